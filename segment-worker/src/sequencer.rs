//! The sequencer of one segment: runs in any order in, index order out, and a proof at the end.
//! It never sees ciphertext and knows no thread: made-up frames test it.

use contract::Checkpoint;
use frame_worker::{
    ChainValue, Closing, FrameIndex, FrameWorker, OpenedFrame, SegmentDigest, SegmentEnd, SegmentIndex,
    digests_equal,
};

use crate::error::SegmentFault;
use crate::proof::Verified;
use crate::sync::reorder::Reorder;

/// Consecutive frames that a job has done, with what came out of them if it has not gone to the sink already.
pub struct OpenedRun<T> {
    /// The first frame.
    pub first: FrameIndex,
    /// All of them, in order.
    pub frames: Vec<OpenedFrame>,
    /// What came out.
    pub output: T,
}

/// Puts the runs of one segment in order, absorbs their fragments as soon as those before are there, and checks the whole.
pub struct Sequencer<T> {
    index: SegmentIndex,
    digest: SegmentDigest,
    frame_len: u32,
    runs: Reorder<OpenedRun<T>>,
    plaintext_len: u64,
    wire_len: u64,
    ended_short: bool,
}

/// All that is known of a segment whose frames have been sealed, but for its place in the chain.
pub(crate) struct SealedFrames {
    pub(crate) frame_count: u32,
    pub(crate) plaintext_len: u64,
    /// Bytes of the frames and the TABLE.
    pub(crate) wire_len: u64,
    /// The TABLE, in a compressed stream.
    pub(crate) table: Vec<u8>,
    pub(crate) digest: [u8; 32],
    pub(crate) plaintext_digest: Option<[u8; 32]>,
}

impl<T> Sequencer<T> {
    /// For the segment `index` of frames of `frame_len` plaintext bytes.
    pub fn new(index: SegmentIndex, digest: SegmentDigest, frame_len: u32) -> Sequencer<T> {
        Sequencer {
            index,
            digest,
            frame_len,
            runs: Reorder::new(),
            plaintext_len: 0,
            wire_len: 0,
            ended_short: false,
        }
    }

    /// Takes a run, in any order. Refuses a frame that came before, and a run whose frames are not consecutive.
    pub fn accept(&mut self, run: OpenedRun<T>) -> Result<(), SegmentFault> {
        let due = u64::from(run.first.0)..;
        let consecutive = run.frames.iter().zip(due).all(|(frame, due)| u64::from(frame.index.0) == due);
        let count = u32::try_from(run.frames.len()).map_err(|_| SegmentFault::Frames)?;
        if !consecutive || !self.runs.insert(run.first.0, count, run) {
            return Err(SegmentFault::Frames);
        }
        Ok(())
    }

    /// The run that is due, if it has come: its fragments are absorbed, its output is the caller's to pass on.
    pub fn pop(&mut self) -> Result<Option<OpenedRun<T>>, SegmentFault> {
        let Some(run) = self.runs.pop() else { return Ok(None) };
        for frame in &run.frames {
            if self.ended_short || frame.plaintext_len == 0 || frame.plaintext_len > self.frame_len {
                return Err(SegmentFault::Frames);
            }
            self.ended_short = frame.plaintext_len < self.frame_len;
            self.plaintext_len += u64::from(frame.plaintext_len);
            self.digest.absorb(frame);
            self.wire_len += frame.wire_len() as u64;
        }
        Ok(Some(run))
    }

    /// Frames absorbed so far.
    pub fn frame_count(&self) -> u32 {
        self.runs.next()
    }

    /// Plaintext bytes of them.
    pub fn plaintext_len(&self) -> u64 {
        self.plaintext_len
    }

    /// Checks the segment against its closing frames and the chain so far. Digests and chain values are compared in
    /// constant time.
    ///
    /// # Errors
    /// The first of these that does not hold: no frame is missing, the counts agree, the chain continues, the TABLE says
    /// what the frames say, the digests of plaintext and segment are right.
    pub fn finish(
        self,
        closing: &Closing,
        chain: ChainValue,
        checkpoint: impl FnOnce() -> Checkpoint,
    ) -> Result<Verified, SegmentFault> {
        let fields = &closing.fields;
        if self.runs.has_gap() {
            return Err(SegmentFault::Frames);
        }
        if fields.frame_count != self.frame_count() || fields.plaintext_len != self.plaintext_len {
            return Err(SegmentFault::Count);
        }
        if !digests_equal(&fields.chain_before.0, &chain.0) {
            return Err(SegmentFault::Chain);
        }
        let end = self.check_end(closing)?;
        let digest = self.digest.finish(fields.frame_count, end.as_ref());
        if !digests_equal(&digest, &fields.digest) {
            return Err(SegmentFault::Digest);
        }
        Ok(Verified { index: self.index.0, checkpoint: checkpoint() })
    }

    /// What a compressed segment has after its frames, compared with them.
    fn check_end(&self, closing: &Closing) -> Result<Option<SegmentEnd>, SegmentFault> {
        let Some(body_lens) = self.digest.body_lens() else { return Ok(None) };
        let table = closing.table.as_ref().filter(|table| table.body_lens == body_lens);
        let table = table.ok_or(SegmentFault::Table)?;
        let said = closing.fields.plaintext_digest.ok_or(SegmentFault::PlaintextDigest)?;
        let found = self.digest.plaintext_digest(self.frame_count());
        if found.is_some_and(|found| !digests_equal(&found, &said)) {
            return Err(SegmentFault::PlaintextDigest);
        }
        Ok(Some(SegmentEnd { table: table.fragment, plaintext_digest: said }))
    }

    /// Ends a segment that is being sealed by `worker`.
    pub(crate) fn seal(self, worker: &FrameWorker) -> Result<SealedFrames, SegmentFault> {
        self.check_whole()?;
        let (frame_count, plaintext_len) = (self.frame_count(), self.plaintext_len);
        let plaintext_digest = self.digest.plaintext_digest(frame_count);
        let (mut table, mut end) = (Vec::new(), None);
        if let Some((body_lens, plaintext_digest)) = self.digest.body_lens().zip(plaintext_digest) {
            let sealed = worker.seal_table(body_lens);
            table = sealed.0;
            end = Some(SegmentEnd { table: sealed.1, plaintext_digest });
        }
        let wire_len = self.wire_len + table.len() as u64;
        let digest = self.digest.finish(frame_count, end.as_ref());
        Ok(SealedFrames { frame_count, plaintext_len, wire_len, table, digest, plaintext_digest })
    }

    /// Ends a segment whose plaintext was hashed, and not sealed, with the plaintext digest. `None` where a run is missing, or the
    /// segment has no such digest.
    pub(crate) fn hashed(self) -> Option<[u8; 32]> {
        self.check_whole().ok()?;
        self.digest.plaintext_digest(self.frame_count())
    }

    fn check_whole(&self) -> Result<(), SegmentFault> {
        if self.runs.has_gap() { Err(SegmentFault::Frames) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use frame_worker::{ClosingFields, DigestKind, Fragment};

    use super::*;

    const FRAME_LEN: u32 = 4096;
    const INDEX: SegmentIndex = SegmentIndex(5);
    const CHAIN: ChainValue = ChainValue([0xC0; 32]);

    fn digest() -> SegmentDigest {
        SegmentDigest::new(DigestKind::Blake3, &[1; 112], &[2; 48])
    }

    /// What is not compressed has no TABLE to seal.
    fn worker() -> FrameWorker {
        let shape = frame_worker::Shape::new(FRAME_LEN, 16).unwrap();
        FrameWorker::keyless(DigestKind::Blake3, shape).unwrap()
    }

    fn sequencer() -> Sequencer<u32> {
        Sequencer::new(INDEX, digest(), FRAME_LEN)
    }

    fn frame(index: u32, plaintext_len: u32) -> OpenedFrame {
        let mut bytes = [0x5A; 32];
        bytes[..4].copy_from_slice(&index.to_le_bytes());
        OpenedFrame::plain(FrameIndex(index), plaintext_len, Fragment::from_bytes(bytes))
    }

    /// A run of full frames; its output is its first index.
    fn run(first: u32, count: u32) -> OpenedRun<u32> {
        run_of((first..first + count).map(|index| frame(index, FRAME_LEN)).collect())
    }

    fn run_of(frames: Vec<OpenedFrame>) -> OpenedRun<u32> {
        let first = frames[0].index;
        OpenedRun { first, frames, output: first.0 }
    }

    /// Five runs of one to three frames, the last frame short.
    fn five_runs() -> [OpenedRun<u32>; 5] {
        [run(0, 2), run(2, 1), run(3, 3), run(6, 2), run_of(vec![frame(8, FRAME_LEN), frame(9, 7)])]
    }

    /// What closing frames say of the five runs, from a digest that took their fragments one after the other.
    fn closing() -> Closing {
        let mut digest = digest();
        for index in 0..10 {
            digest.absorb(&frame(index, FRAME_LEN));
        }
        let fields = ClosingFields {
            frame_count: 10,
            plaintext_len: 9 * u64::from(FRAME_LEN) + 7,
            digest: digest.finish(10, None),
            plaintext_digest: None,
            last: false,
            chain_before: CHAIN,
        };
        Closing { fields, chain_after: ChainValue([0xC1; 32]), table: None }
    }

    fn checkpoint() -> Checkpoint {
        Checkpoint::from_bytes([9; Checkpoint::LEN])
    }

    /// Takes the runs in, popping what is due after each, then checks the whole. Gives the outputs with the verdict.
    fn verdict(
        runs: impl IntoIterator<Item = OpenedRun<u32>>,
        closing: &Closing,
    ) -> (Vec<u32>, Result<Verified, SegmentFault>) {
        let mut sequencer = sequencer();
        let mut outputs = Vec::new();
        for run in runs {
            let taken = sequencer.accept(run).and_then(|()| {
                while let Some(run) = sequencer.pop()? {
                    outputs.push(run.output);
                }
                Ok(())
            });
            if let Err(fault) = taken {
                return (outputs, Err(fault));
            }
        }
        (outputs, sequencer.finish(closing, CHAIN, checkpoint))
    }

    fn fault_of(runs: impl IntoIterator<Item = OpenedRun<u32>>) -> SegmentFault {
        verdict(runs, &closing()).1.expect_err("this is no whole segment")
    }

    fn permutations(items: Vec<usize>) -> Vec<Vec<usize>> {
        if items.len() < 2 {
            return vec![items];
        }
        let mut all = Vec::new();
        for (place, first) in items.iter().enumerate() {
            let mut rest = items.clone();
            rest.remove(place);
            all.extend(permutations(rest).into_iter().map(|tail| [&[*first], tail.as_slice()].concat()));
        }
        all
    }

    #[test]
    fn every_order_of_arrival_gives_the_same_output_and_the_same_proof() {
        let orders = permutations((0..5).collect());
        assert_eq!(orders.len(), 120);
        for order in orders {
            let mut runs = five_runs().map(Some);
            let arriving = order.iter().map(|run| runs[*run].take().unwrap());
            let (outputs, proof) = verdict(arriving, &closing());
            let proof = proof.unwrap_or_else(|fault| panic!("{order:?}: {fault}"));
            assert_eq!(outputs, [0, 2, 3, 6, 8], "{order:?}");
            assert_eq!((proof.index, proof.checkpoint), (INDEX.0, checkpoint()), "{order:?}");
        }
    }

    #[test]
    fn every_order_of_arrival_of_a_wrong_segment_is_refused() {
        for order in permutations((0..5).collect()) {
            let mut runs = five_runs().map(Some);
            runs[2].as_mut().unwrap().frames[1].fragment = Fragment::from_bytes([0; 32]);
            let arriving = order.iter().map(|run| runs[*run].take().unwrap());
            assert_eq!(verdict(arriving, &closing()).1.unwrap_err(), SegmentFault::Digest, "{order:?}");
        }
    }

    #[test]
    fn a_segment_without_frames_is_a_segment() {
        let mut closing = closing();
        closing.fields.frame_count = 0;
        closing.fields.plaintext_len = 0;
        closing.fields.digest = digest().finish(0, None);
        assert!(verdict([], &closing).1.is_ok());
        assert_eq!(fault_of([]), SegmentFault::Count);
    }

    #[test]
    fn a_run_that_is_missing_is_refused_wherever_it_is() {
        for missing in 0..5 {
            let runs = five_runs().into_iter().enumerate().filter(|(run, _)| *run != missing);
            let due = if missing == 4 { SegmentFault::Count } else { SegmentFault::Frames };
            assert_eq!(fault_of(runs.map(|(_, run)| run)), due, "run {missing}");
        }
    }

    #[test]
    fn a_run_that_comes_again_is_refused_before_and_after_it_has_left() {
        for doubled in 0..5 {
            let twice = five_runs().into_iter().nth(doubled);
            assert_eq!(fault_of(five_runs().into_iter().chain(twice)), SegmentFault::Frames);
            let mut early = sequencer();
            let mut again = five_runs().into_iter().zip(five_runs()).skip(doubled);
            let (first, second) = again.next().unwrap();
            early.accept(first).unwrap();
            assert_eq!(early.accept(second), Err(SegmentFault::Frames), "run {doubled}");
        }
    }

    #[test]
    fn runs_that_overlap_are_refused() {
        for (first, count) in [(0, 1), (1, 1), (1, 3), (2, 2), (4, 4), (5, 1)] {
            let mut sequencer = sequencer();
            sequencer.accept(run(0, 2)).unwrap();
            sequencer.accept(run(3, 3)).unwrap();
            assert_eq!(
                sequencer.accept(run(first, count)),
                Err(SegmentFault::Frames),
                "{count} from {first}"
            );
        }
    }

    #[test]
    fn a_run_whose_frames_are_not_consecutive_is_refused() {
        let gap = run_of(vec![frame(0, FRAME_LEN), frame(2, FRAME_LEN)]);
        let doubled = run_of(vec![frame(0, FRAME_LEN), frame(0, FRAME_LEN)]);
        let swapped = run_of(vec![frame(1, FRAME_LEN), frame(0, FRAME_LEN)]);
        let elsewhere = OpenedRun { first: FrameIndex(0), ..run(1, 2) };
        let empty = OpenedRun { first: FrameIndex(0), frames: Vec::new(), output: 0 };
        for run in [gap, doubled, swapped, elsewhere, empty] {
            assert_eq!(sequencer().accept(run), Err(SegmentFault::Frames));
        }
    }

    #[test]
    fn the_last_index_there_is_does_not_overflow() {
        assert_eq!(sequencer().accept(run_of(vec![frame(u32::MAX, 1)])), Err(SegmentFault::Frames));
    }

    #[test]
    fn only_the_last_frame_may_be_short_and_none_empty_or_over_long() {
        for (place, len) in [(0, 4095), (4, 1), (8, 4095), (0, 0), (9, 0), (9, 4097), (3, u32::MAX)] {
            let mut runs = five_runs();
            let frames = runs.iter_mut().flat_map(|run| &mut run.frames);
            frames.into_iter().nth(place).unwrap().plaintext_len = len;
            assert_eq!(fault_of(runs), SegmentFault::Frames, "frame {place} of {len} bytes");
        }
    }

    #[test]
    fn closing_frames_that_say_something_else_are_refused_with_what_is_wrong() {
        type Change = fn(&mut ClosingFields);
        let table: [(Change, SegmentFault); 6] = [
            (|fields| fields.frame_count += 1, SegmentFault::Count),
            (|fields| fields.frame_count -= 1, SegmentFault::Count),
            (|fields| fields.plaintext_len += 1, SegmentFault::Count),
            (|fields| fields.plaintext_len -= 1, SegmentFault::Count),
            (|fields| fields.chain_before.0[31] ^= 1, SegmentFault::Chain),
            (|fields| fields.digest[31] ^= 1, SegmentFault::Digest),
        ];
        for (change, due) in table {
            let mut closing = closing();
            change(&mut closing.fields);
            assert_eq!(verdict(five_runs(), &closing).1.unwrap_err(), due);
        }
    }

    #[test]
    fn every_bit_of_the_digest_counts() {
        for bit in 0..256 {
            let mut closing = closing();
            closing.fields.digest[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(verdict(five_runs(), &closing).1.unwrap_err(), SegmentFault::Digest, "bit {bit}");
        }
    }

    #[test]
    fn no_checkpoint_is_made_for_a_segment_that_is_refused() {
        let mut closing = closing();
        closing.fields.digest[0] ^= 1;
        let mut sequencer = sequencer();
        for run in five_runs() {
            sequencer.accept(run).unwrap();
            sequencer.pop().unwrap();
        }
        let refused = sequencer.finish(&closing, CHAIN, || panic!("a checkpoint was made"));
        assert_eq!(refused.unwrap_err(), SegmentFault::Digest);
    }

    #[test]
    fn what_is_sealed_has_the_digest_of_its_fragments_in_order_and_no_gap() {
        let mut sequencer = sequencer();
        for run in five_runs().into_iter().rev() {
            sequencer.accept(run).unwrap();
        }
        while sequencer.pop().unwrap().is_some() {}
        assert_eq!((sequencer.frame_count(), sequencer.plaintext_len()), (10, 9 * 4096 + 7));
        let sealed =
            sequencer.seal(&worker()).map(|sealed| (sealed.digest, sealed.frame_count, sealed.wire_len));
        assert_eq!(sealed, Ok((closing().fields.digest, 10, 9 * 4096 + 7 + 10 * 32)));

        let mut gap = self::sequencer();
        gap.accept(run(1, 1)).unwrap();
        assert_eq!(gap.seal(&worker()).err(), Some(SegmentFault::Frames));
    }
}
