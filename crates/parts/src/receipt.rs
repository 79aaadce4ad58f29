//! A receipt: what an attempt at a part says it has written, once that is synced and closed, or the store has it.
//! It knows no file; whoever takes what it says asks the file system whether the file is still the same, reads it, or asks the store.

use std::fmt;
use std::ops::Range;

use crate::key::random_id;
use crate::text::{Hex, Lines, Quoted, Writer, parse_hex};
use crate::upload::{STORE_NAME_LEN_MAX, store_name};
use crate::{
    MemberRange, PartExtent, PartLayout, Piece, PieceDigest, Plan, PlanId, PlanKey, RECEIPT_LEN_MAX,
    RECEIPT_MEMBERS_MAX, RECEIPT_PIECES_MAX, RandomError, RecordError,
};

/// Says of one attempt that its file has a part, all of it, or that the store has.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PartReceipt {
    plan: PlanId,
    part: u64,
    attempt: AttemptName,
    extent: PartExtent,
    layout: PartLayout,
    files: Option<FileStates>,
    pieces: Vec<Piece>,
    tags: Vec<String>,
}

/// What the file system says of the files of an attempt.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FileStates {
    /// Of the part's own.
    pub own: FileState,
    /// Of each file of a member, in order.
    pub members: Vec<FileState>,
}

/// What the file system says of an attempt's file once nobody writes to it any more. As long as it says the same, these are its bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FileState {
    /// Its number.
    pub inode: u64,
    /// Its length in bytes.
    pub len: u64,
    /// When anything of it was last changed (its ctime, which no program sets), in nanoseconds since 1970.
    pub changed: u64,
}

/// Names an attempt: 16 random bytes, drawn by whoever makes it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AttemptName(pub [u8; 16]);

impl AttemptName {
    /// Draws a name.
    ///
    /// # Errors
    /// The operating system gave no random numbers.
    pub fn generate() -> Result<AttemptName, RandomError> {
        random_id().map(AttemptName)
    }

    /// Reads what `Display` has written.
    pub fn parse(text: &str) -> Option<AttemptName> {
        parse_hex(text).map(AttemptName)
    }
}

impl PartReceipt {
    /// Of `part` of `plan`, whose file has these `pieces`.
    ///
    /// # Errors
    /// [`RecordError::Contradictory`]: there is no such part, or the pieces are not as long as it is. [`RecordError::TooLong`]: they are more than
    /// [`RECEIPT_PIECES_MAX`], and nobody would read its text.
    pub fn new(
        plan: &Plan,
        part: u64,
        attempt: AttemptName,
        pieces: Vec<Piece>,
    ) -> Result<PartReceipt, RecordError> {
        PartReceipt::sent(plan, part, attempt, pieces, Vec::new())
    }

    /// The same receipt, of an attempt that has these `members` of the tree in files of their own. What the file system has said of its files is
    /// not in it.
    ///
    /// # Errors
    /// [`RecordError::Contradictory`]: the plan's target is no directory; they are no members of this part; a piece is in two files.
    /// [`RecordError::TooLong`]: they are more than [`RECEIPT_MEMBERS_MAX`].
    pub fn of_members(self, plan: &Plan, members: Vec<MemberRange>) -> Result<PartReceipt, RecordError> {
        if members.len() > RECEIPT_MEMBERS_MAX {
            return Err(RecordError::TooLong);
        }
        let has_files = plan.content().tree.is_some() && self.tags.is_empty();
        let layout = PartLayout::new(self.extent.len(), members)?;
        let mut end = 0;
        let are_whole = self.pieces.iter().all(|piece| {
            let start = end;
            end += piece.len;
            layout.places(start..end).count() == 1
        });
        match layout.members().is_empty() || has_files && are_whole {
            true => Ok(PartReceipt { layout, files: None, ..self }),
            false => Err(RecordError::Contradictory),
        }
    }

    /// The same receipt, of files of which the file system says this. Without it, nothing is known of them but what is read.
    ///
    /// # Errors
    /// [`RecordError::Contradictory`]: they are not as long as they have to be, or what was sent to a store is in no file.
    pub fn of_files(self, files: FileStates) -> Result<PartReceipt, RecordError> {
        let lens = files.members.iter().map(|file| file.len);
        let fit = lens.eq(self.layout.members().iter().map(MemberRange::file_len));
        match fit && files.own.len == self.layout.own_len() && self.tags.is_empty() {
            true => Ok(PartReceipt { files: Some(files), ..self }),
            false => Err(RecordError::Contradictory),
        }
    }

    /// The same of a plan whose target is an object: the store has taken these `pieces`, and calls them by these `tags`.
    ///
    /// # Errors
    /// [`RecordError::Contradictory`]: there is no such part, or these are not the pieces that it is cut into.
    pub fn sent(
        plan: &Plan,
        part: u64,
        attempt: AttemptName,
        pieces: Vec<Piece>,
        tags: Vec<String>,
    ) -> Result<PartReceipt, RecordError> {
        let extent = usize::try_from(part).ok().and_then(|part| plan.parts().get(part)).cloned();
        let extent = extent.ok_or(RecordError::Contradictory)?;
        if pieces.len() > RECEIPT_PIECES_MAX {
            return Err(RecordError::TooLong);
        }
        check_pieces(&pieces, &extent)?;
        let layout = PartLayout::new(extent.len(), Vec::new())?;
        let receipt =
            PartReceipt { plan: plan.id(), part, attempt, extent, layout, files: None, pieces, tags };
        if receipt.is_sent_as(plan) { Ok(receipt) } else { Err(RecordError::Contradictory) }
    }

    /// Whether the pieces are those of the plan's upload, each with a tag; or there is none, and no tag.
    fn is_sent_as(&self, plan: &Plan) -> bool {
        let Some(upload) = plan.content().upload() else { return self.tags.is_empty() };
        let Some(cut) = upload.cuts.get(self.part as usize) else { return false };
        let is_tag = |tag: &String| (1..=STORE_NAME_LEN_MAX).contains(&tag.len());
        let lens = self.pieces.iter().map(|piece| piece.len);
        self.tags.len() == self.pieces.len()
            && self.tags.iter().all(is_tag)
            && lens.eq(cut.pieces(self.extent.len()).map(|(_, len)| len))
    }

    /// Its text.
    pub fn to_text(&self, key: &PlanKey) -> String {
        let PartExtent { segments, plaintext, chain_before, chain_after } = &self.extent;
        let mut text = Writer::new(KIND);
        text.line("plan", &[&self.plan]);
        text.line("part", &[&self.part]);
        text.line("attempt", &[&self.attempt]);
        text.line("segments", &[&segments.start, &segments.end]);
        text.line("plaintext", &[&plaintext.start, &plaintext.end]);
        text.line("chain", &[&Hex(chain_before), &Hex(chain_after)]);
        if let Some(FileState { inode, len, changed }) = self.files.as_ref().map(|files| &files.own) {
            text.line("file", &[inode, len, changed]);
        }
        let members = self.layout.members();
        if !members.is_empty() {
            text.line("members", &[&members.len()]);
        }
        for (number, MemberRange { range: Range { start, end }, pad }) in members.iter().enumerate() {
            match self.files.as_ref().map(|files| &files.members[number]) {
                Some(FileState { inode, changed, .. }) => {
                    text.line("member", &[start, end, pad, inode, changed]);
                }
                None => text.line("member", &[start, end, pad]),
            }
        }
        text.line("pieces", &[&self.pieces.len()]);
        for piece in &self.pieces {
            text.line("piece", &[&piece.len, &piece.digest]);
        }
        for tag in &self.tags {
            text.line("tag", &[&Quoted(tag.as_ref())]);
        }
        text.finish(key)
    }

    /// Reads a receipt of `plan` that was made under its `key`. What it says of its part is what the plan says.
    ///
    /// # Errors
    /// See [`RecordError`].
    pub fn parse(text: &[u8], key: &PlanKey, plan: &Plan) -> Result<PartReceipt, RecordError> {
        let mut lines = Lines::of(text, KIND, RECEIPT_LEN_MAX, key)?;
        if PlanId(lines.line::<1>("plan")?.bytes(0)?) != plan.id() {
            return Err(RecordError::OtherPlan);
        }
        let part = lines.line::<1>("part")?.number(0)?;
        let attempt = AttemptName(lines.line::<1>("attempt")?.bytes(0)?);
        let (segments, plaintext) =
            (lines.line::<2>("segments")?.range(0)?, lines.line::<2>("plaintext")?.range(0)?);
        let chain = lines.line::<2>("chain")?;
        let extent =
            PartExtent { segments, plaintext, chain_before: chain.bytes(0)?, chain_after: chain.bytes(1)? };
        let own = match plan.content().upload() {
            None => parse_file(&mut lines)?,
            Some(_) => None,
        };
        let (members, states) = match plan.content().tree {
            Some(_) => parse_members(&mut lines, own.is_some())?,
            None => (Vec::new(), Vec::new()),
        };
        let pieces = parse_pieces(&mut lines)?;
        let tags = match plan.content().upload() {
            None => Vec::new(),
            Some(_) => {
                let tag = |_: &Piece| store_name(&lines.line::<1>("tag")?, 0);
                pieces.iter().map(tag).collect::<Result<_, _>>()?
            }
        };
        lines.end()?;
        let receipt = PartReceipt::sent(plan, part, attempt, pieces, tags)?.of_members(plan, members)?;
        let receipt = match own {
            Some(own) => receipt.of_files(FileStates { own, members: states })?,
            None => receipt,
        };
        if receipt.extent == extent { Ok(receipt) } else { Err(RecordError::Contradictory) }
    }

    /// The number of its part, from 0.
    pub fn part(&self) -> u64 {
        self.part
    }

    /// The attempt whose file it is of.
    pub fn attempt(&self) -> AttemptName {
        self.attempt
    }

    /// What the part is.
    pub fn extent(&self) -> &PartExtent {
        &self.extent
    }

    /// Where the bytes of the part are.
    pub fn layout(&self) -> &PartLayout {
        &self.layout
    }

    /// What the file system has said of the attempt's files, where that is known.
    pub fn files(&self) -> Option<&FileStates> {
        self.files.as_ref()
    }

    /// What the store calls the pieces, in order; of a file there are none.
    pub fn tags(&self) -> &[String] {
        &self.tags
    }

    /// What was written, from the part's first byte to its last.
    pub fn pieces(&self) -> &[Piece] {
        &self.pieces
    }
}

fn parse_file(lines: &mut Lines<'_>) -> Result<Option<FileState>, RecordError> {
    let Some(values) = lines.line_if_there::<3>("file")? else { return Ok(None) };
    Ok(Some(FileState { inode: values.number(0)?, len: values.number(1)?, changed: values.number(2)? }))
}

/// Members, and of each what the file system has said of its file, if it has of the part's.
fn parse_members(
    lines: &mut Lines<'_>,
    are_told: bool,
) -> Result<(Vec<MemberRange>, Vec<FileState>), RecordError> {
    let Some(count) = lines.line_if_there::<1>("members")? else { return Ok((Vec::new(), Vec::new())) };
    let count: u64 = count.number(0)?;
    if count == 0 {
        // There is one way to say that there are none.
        return Err(RecordError::Contradictory);
    }
    // Each is a line, so the count sizes nothing that the text does not have.
    let (mut members, mut states) = (Vec::new(), Vec::new());
    for _ in 0..count {
        if are_told {
            let values = lines.line::<5>("member")?;
            let (range, pad) = (values.range(0)?, values.number(2)?);
            let len = range.end.checked_sub(range.start).and_then(|len| len.checked_add(pad));
            let len = len.ok_or(RecordError::Contradictory)?;
            states.push(FileState { inode: values.number(3)?, len, changed: values.number(4)? });
            members.push(MemberRange { range, pad });
        } else {
            let values = lines.line::<3>("member")?;
            members.push(MemberRange { range: values.range(0)?, pad: values.number(2)? });
        }
    }
    Ok((members, states))
}

fn parse_pieces(lines: &mut Lines<'_>) -> Result<Vec<Piece>, RecordError> {
    let count = lines.line::<1>("pieces")?.number(0)?;
    // Each is a line, so the count sizes nothing that the text does not have.
    (0..count)
        .map(|_| {
            let values = lines.line::<2>("piece")?;
            Ok(Piece { len: values.number(0)?, digest: PieceDigest(values.bytes(1)?) })
        })
        .collect()
}

/// None is empty, and together they are as long as the part.
fn check_pieces(pieces: &[Piece], extent: &PartExtent) -> Result<(), RecordError> {
    let sum = pieces.iter().try_fold(0_u64, |sum, piece| sum.checked_add(piece.len));
    match sum == Some(extent.len()) && pieces.iter().all(|piece| piece.len > 0) {
        true => Ok(()),
        false => Err(RecordError::Contradictory),
    }
}

impl fmt::Display for AttemptName {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        Hex(&self.0).fmt(out)
    }
}

impl fmt::Debug for AttemptName {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, out)
    }
}

const KIND: &str = "cofferdam-receipt";
