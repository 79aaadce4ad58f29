//! Opening from a source that cannot seek: every record in wire order, the trailer compared with what came before.
//! It learns a stream's length at its end, and trusts nothing of the trailer that the segments do not say.

use std::collections::VecDeque;
use std::sync::Arc;

use frame_worker::{ChainValue, Closing, FrameIndex, FrameWorker, OpenedTable};
use framing::limits::MAC_LEN;
use framing::{FrameHeader, IndexEntry, Piece, Record, SegmentHeader};
use keys::macs_equal;
use segment_worker::{Buffers, Edges, Ending, Feed, Input, Run, SegmentPlan, Step, StreamEnd};
use sources::Source;

use super::kept::Mend;
use super::window::{Next, Window};
use crate::envelope::{Access, Envelope, read_preamble};
use crate::index::trailer_fault;
use crate::pin::ExpectedPin;
use crate::resources::Resources;
use crate::trailer::IndexBuilder;
use crate::{Error, ErrorKind, Remedy};

/// A sealed stream, read once from front to back.
pub(crate) struct SequentialFeed<'a, S> {
    window: Window<S>,
    envelope: &'a Envelope,
    frames_per_run: u32,
    expected: ExpectedPin<'a>,
    ledger: IndexBuilder,
    segment: Option<OpenSegment>,
    run: Option<Run>,
    due: Option<Step<Closing, ()>>,
    end: Option<StreamEnd>,
    fault: Option<Error>,
    chain: ChainValue,
    kept: Option<Kept<'a>>,
}

/// What is asked of a stream that a sealing is to resume.
struct Kept<'a> {
    /// Of the segments that have been closed and not asked for.
    entries: VecDeque<IndexEntry>,
    mend: Mend<'a>,
}

struct OpenSegment {
    header: SegmentHeader,
    worker: Arc<FrameWorker>,
    plaintext_len: u64,
    frame_count: u32,
    table: Option<OpenedTable>,
}

/// Reads the records before the segments.
pub(crate) fn read_envelope<'a, S: Source>(
    window: &mut Window<S>,
    access: impl Into<Access<'a>>,
    resources: &Resources,
) -> Result<Envelope, Error> {
    let access = access.into();
    // The splitter names the records in their order, or fails.
    let preamble = read_record(window, resources)?;
    read_preamble(&preamble, access)?;
    let area = read_record(window, resources)?;
    let metadata = read_record(window, resources).map_err(|error| {
        if error.kind() == ErrorKind::Cancelled {
            return error;
        }
        // What is whole is judged first: the fault to report is the first on the wire.
        match Envelope::judge(&preamble, &area, access, resources) {
            Ok((_, _, warnings)) => error.behind(&warnings),
            Err(before) => before,
        }
    })?;
    Envelope::open(&preamble, &area, &metadata, access, resources)
}

/// Passes over the records before the segments, of which `envelope` has been opened already, at their offsets. They have to be
/// the same: all that comes is cut as that preamble says. Only the key copies may differ, for a re-wrap changes those.
pub(crate) fn pass_envelope<S: Source>(
    window: &mut Window<S>,
    envelope: &Envelope,
    resources: &Resources,
) -> Result<(), Error> {
    let mut again = || {
        let preamble = read_record(window, resources)?;
        read_record(window, resources)?;
        Ok::<_, Error>((preamble, read_record(window, resources)?))
    };
    match again() {
        Ok((preamble, metadata)) if envelope.begins_with(&preamble, &metadata) => Ok(()),
        Err(error) if error.is_of_medium() => Err(error),
        // A whole envelope was there a moment ago, so what is wrong with this one has come since.
        Ok(_) | Err(_) => Err(Error::new(
            ErrorKind::SourceChanged,
            "the beginning of the sealed stream changed while it was read",
        )
        .at(0)
        .remedied(Remedy::RunAgain)),
    }
}

fn read_record<S: Source>(window: &mut Window<S>, resources: &Resources) -> Result<Vec<u8>, Error> {
    match window.wait(&resources.cancel)? {
        Next::Piece { len, .. } => Ok(window.bytes(len).to_vec()),
        Next::End | Next::NothingYet => Ok(Vec::new()),
    }
}

impl<'a, S: Source> SequentialFeed<'a, S> {
    /// Goes on behind the envelope that was read through `window`.
    pub(crate) fn new(
        window: Window<S>,
        envelope: &'a Envelope,
        frames_per_run: u32,
        expected: ExpectedPin<'a>,
    ) -> SequentialFeed<'a, S> {
        SequentialFeed {
            window,
            envelope,
            frames_per_run,
            expected,
            ledger: IndexBuilder::new(envelope.metadata_len),
            segment: None,
            run: None,
            due: None,
            end: None,
            fault: None,
            chain: envelope.chain,
            kept: None,
        }
    }

    /// The same of what an interrupted sealing has left. A page follows from its segments: one that is wrong is written again
    /// by `mend`, and no reason to give up what stands behind it (FORMAT F12.4).
    pub(crate) fn of_kept(
        window: Window<S>,
        envelope: &'a Envelope,
        frames_per_run: u32,
        mend: Mend<'a>,
    ) -> SequentialFeed<'a, S> {
        let kept = Some(Kept { entries: VecDeque::new(), mend });
        let any = ExpectedPin::any(envelope.preamble.digest);
        SequentialFeed { kept, ..SequentialFeed::new(window, envelope, frames_per_run, any) }
    }

    /// What the index has to say of the oldest closed segment that has not been asked for.
    pub(crate) fn pop_kept(&mut self) -> Option<IndexEntry> {
        self.kept.as_mut()?.entries.pop_front()
    }

    fn segment_header(&mut self, offset: u64, len: usize) -> Result<Step<Closing, ()>, Error> {
        let header =
            SegmentHeader::parse(self.window.bytes(len)).map_err(|error| Error::framing(error, offset))?;
        let expected = (self.ledger.segments(), self.ledger.plaintext_len());
        if (header.index.0, header.plaintext_offset) != expected {
            return Err(Error::damaged("this is not the segment that is due: segments are missing or moved")
                .in_segment(expected.0)
                .at(offset));
        }
        let (worker, digest) = self.envelope.segment(&header)?;
        let plan = SegmentPlan {
            index: header.index,
            worker: worker.clone(),
            digest,
            sink_offset: header.plaintext_offset,
            head: Vec::new(),
        };
        self.segment = Some(OpenSegment { header, worker, plaintext_len: 0, frame_count: 0, table: None });
        Ok(Step::Segment(plan))
    }

    /// Adds a frame to the run that is gathered; a full run, or one that has to end here, is handed on.
    fn data(
        &mut self,
        frame: FrameHeader,
        offset: u64,
        len: usize,
        buffers: &Buffers,
    ) -> Result<Option<Run>, Error> {
        let segment = self.segment.as_mut().expect("the splitter names frames behind a header only");
        let run = match &mut self.run {
            Some(run) => run,
            none => none.insert(Run {
                first: FrameIndex(frame.index.0),
                count: 0,
                input: Input::Bytes(buffers.take()?),
                input_offset: offset,
                input_len: 0,
                edges: Edges::default(),
                output_len: 0,
                sink_offset: segment.header.plaintext_offset + segment.plaintext_len,
            }),
        };
        let Input::Bytes(buffer) = &mut run.input else { return Ok(None) };
        buffer[run.input_len..run.input_len + len].copy_from_slice(self.window.bytes(len));
        run.count += 1;
        run.input_len += len;
        if self.envelope.schedule.is_some() {
            run.output_len += frame.plaintext_len as usize;
        }
        segment.plaintext_len += u64::from(frame.plaintext_len);
        segment.frame_count += 1;
        let full = run.count == self.frames_per_run;
        Ok(if full { self.run.take() } else { None })
    }

    /// The TABLE is compared with the frames when the segment is.
    fn table(&mut self, offset: u64, len: usize) -> Result<(), Error> {
        let segment = self.segment.as_mut().expect("the splitter names a TABLE behind a header only");
        let table = segment.worker.open_table(self.window.bytes(len), segment.frame_count);
        let index = segment.header.index.0;
        segment.table =
            Some(table.map_err(|error| Error::frame_refused(index, segment.frame_count, &error, offset))?);
        Ok(())
    }

    fn closing(&mut self, offset: u64, len: usize) -> Result<Closing, Error> {
        let OpenSegment { header, worker, plaintext_len, table, .. } =
            self.segment.take().expect("the splitter names closing frames behind a header only");
        let index = header.index.0;
        let closing = worker.open_closing(self.window.bytes(len));
        let closing = closing.map_err(|error| Error::frame_refused(index, 0, &error, offset))?;
        let begin = self.ledger.wire_len();
        let end = offset + len as u64 - self.envelope.origin();
        let entry = IndexEntry {
            wire_offset: begin,
            wire_len: end - begin,
            plaintext_offset: header.plaintext_offset,
            plaintext_len: plaintext_len as u32,
            frame_count: closing.fields.frame_count,
            attempt_salt: header.attempt_salt,
            digest: closing.fields.digest,
            plaintext_digest: closing.fields.plaintext_digest,
        };
        if let Some(kept) = &mut self.kept {
            kept.entries.push_back(entry.clone());
        }
        self.ledger.push(entry);
        self.chain = closing.chain_after;
        Ok(Closing { table, ..closing })
    }

    /// The page has to be the one that the segments imply, MAC included where there is a key.
    fn index_page(&mut self, offset: u64, len: usize) -> Result<(), Error> {
        let bytes = self.window.bytes(len);
        let (seen, seen_mac) = bytes.split_last_chunk::<MAC_LEN>().expect("a page ends with its MAC");
        let schedule = self.envelope.schedule.as_ref();
        let implied =
            self.ledger.end_page(|page| schedule.map_or(*seen_mac, |schedule| schedule.page_mac(page)));
        let (page, mac) = implied.split_last_chunk::<MAC_LEN>().expect("a page ends with its MAC");
        if page == seen && macs_equal(mac, seen_mac) {
            return Ok(());
        }
        match &mut self.kept {
            Some(kept) => (kept.mend)(offset, &implied)
                .map_err(|error| Error::io("an index page could not be written again", error)),
            None => Err(trailer_fault(Record::IndexPage, offset)),
        }
    }

    fn directory(&self, offset: u64, len: usize) -> Result<(), Error> {
        if self.window.bytes(len) != self.ledger.directory() {
            return Err(trailer_fault(Record::Directory, offset));
        }
        Ok(())
    }

    fn footer(&self, offset: u64, len: usize) -> Result<StreamEnd, Error> {
        let footer = self.ledger.footer(self.chain);
        let implied = footer.to_bytes();
        let bytes = self.window.bytes(len);
        let (seen, seen_mac) = bytes.split_last_chunk::<MAC_LEN>().expect("a footer ends with its MAC");
        let schedule = self.envelope.schedule.as_ref();
        let mac =
            schedule.map_or(*seen_mac, |schedule| schedule.footer_mac(&self.ledger.directory(), &implied));
        if seen != implied || !macs_equal(&mac, seen_mac) {
            return Err(trailer_fault(Record::Footer, offset));
        }
        self.expected.check(self.chain)?;
        Ok(StreamEnd {
            segments: footer.segments,
            plaintext_len: footer.plaintext_len,
            stream_digest: self.chain,
            ending: Ending::Proved,
        })
    }

    fn advance(&mut self, buffers: &Buffers) -> Result<Step<Closing, ()>, Error> {
        if let Some(Step::Close(closing)) = self.due.take_if(|due| matches!(due, Step::Close(_))) {
            return Ok(Step::Close(closing));
        }
        loop {
            let next = self.window.next()?;
            if let Some(step) = self.take(next, buffers)? {
                return Ok(step);
            }
        }
    }

    fn take(&mut self, next: Next, buffers: &Buffers) -> Result<Option<Step<Closing, ()>>, Error> {
        let (piece, offset, len) = match next {
            Next::Piece { piece, offset, len } => (piece, offset, len),
            Next::NothingYet => return Ok(Some(Step::NothingYet)),
            Next::End => return Ok(self.due.take()),
        };
        match piece {
            Piece::SegmentHeader => return self.segment_header(offset, len).map(Some),
            Piece::Data(frame) => return Ok(self.data(frame, offset, len, buffers)?.map(Step::Run)),
            Piece::Closing => {
                let closing = Step::Close(self.closing(offset, len)?);
                let Some(run) = self.run.take() else { return Ok(Some(closing)) };
                self.due = Some(closing);
                return Ok(Some(Step::Run(run)));
            }
            Piece::Table => self.table(offset, len)?,
            Piece::IndexPage => self.index_page(offset, len)?,
            Piece::Directory => self.directory(offset, len)?,
            // The stream is whole when its source has ended, too: the end is told then.
            Piece::Footer => {
                self.end = Some(self.footer(offset, len)?);
                self.due = Some(Step::End(()));
            }
            Piece::Preamble | Piece::KeyArea | Piece::Metadata => {}
        }
        Ok(None)
    }
}

impl<S: Source> Feed for SequentialFeed<'_, S> {
    type Error = Error;

    fn next(&mut self, buffers: &Buffers) -> Result<Step<Closing, ()>, Error> {
        if let Some(fault) = self.fault.take() {
            return Err(fault);
        }
        self.advance(buffers).or_else(|fault| {
            // The frames that came before the fault are judged before it.
            let Some(run) = self.run.take() else { return Err(fault) };
            self.fault = Some(fault);
            Ok(Step::Run(run))
        })
    }

    fn end(&mut self) -> Result<StreamEnd, Error> {
        Ok(self.end.take().expect("the stream's end has been told, and so the footer was read"))
    }
}
