//! What a caller can do about an error, as a type: a program acts on it, a command words it.
//! It knows no command and no option of one; its sentences name what this library has.

use std::fmt;

/// What can be done about an error. Its `Display` is a sentence for whoever calls this library.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum Remedy {
    /// Let the target be replaced: `IfExists::Replace`.
    Replace(InTheWay),
    /// Give up what is kept and begin anew: `OnPartial::Discard`.
    Restart(Kept),
    /// Both: `OnPartial::Discard` and `IfExists::Replace`.
    RestartAndReplace,
    /// Resume what was interrupted, or remove what is kept: `discard`.
    ResumeOrDiscard(Kept),
    /// Give the stream a larger memory budget.
    RaiseMemory {
        /// Bytes that it needs.
        needed: u64,
    },
    /// Give the stream a larger memory budget, or a directory where parts of it may lie until the store has them.
    RaiseMemoryOrSpool {
        /// Bytes of memory that it needs.
        needed: u64,
    },
    /// Give it less memory or fewer threads, or raise the limits of this process.
    LowerMemory,
    /// Ask for fewer threads, or raise the limit on processes of this user.
    FewerThreads,
    /// Seal with longer segments.
    LongerSegments,
    /// Give another identity, passphrase or key file.
    UseOtherKey,
    /// Give a key: without one there is nothing to be done here.
    GiveKey,
    /// Give the key of the stream's own format: `Identities::foreign_key`.
    GiveForeignKey,
    /// Accept that nothing proves that it is whole: `Foreign::AcceptUnproven`.
    AcceptUnproven,
    /// Give a sealed stream: this is none.
    GiveStream(GivenInstead),
    /// Ask for nothing that only trees have: the stream is a file.
    AskForNoTree,
    /// Give the stream as something that has offsets, a file for instance: what comes once, in order, does not do.
    GiveFile,
    /// Verify it in place of inspecting it: a stream that comes once cannot be looked at twice.
    Verify,
    /// Fetch the stream again, or take another copy.
    FetchAgain,
    /// Fetch the end of the stream, which is missing.
    FetchRest,
    /// Give a newer stream, or ask for a lower sequence number.
    GiveNewer,
    /// Stop what changes the source, or take a snapshot of it, and run this again.
    RunAgain,
    /// Give the store's credentials, or have its owner let them read.
    GiveAccess,
    /// Run it again once the place that the bytes come from can be reached: what is kept is not fetched again.
    TryLater,
    /// Keep the state of resumable sealings in another directory.
    OtherStateDirectory,
    /// Give a log for a target that cannot be replaced as a whole: `Opener::log`.
    GiveLog,
    /// Run it again: what is in the log is replayed into the target, from the start.
    FinishFromLog,
    /// Re-wrap into a copy, which gets more room for keys: `rewrap_to`.
    CopyWithRoom,
}

/// What keeps a target from being written.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum InTheWay {
    /// A file.
    File,
    /// A symbolic link.
    Link,
    /// The file system, which cannot rename without replacing.
    FileSystem,
    /// A block device, which is written in place.
    Device,
    /// An object in a store.
    Object,
    /// An output that was put in place by an earlier sealing, and changed since.
    ChangedOutput,
    /// A target that was put in place by an earlier restore, and changed since.
    ChangedTarget,
    /// What a restore has moved into a directory before it stopped.
    StoppedMove,
}

/// What an interrupted attempt has left, as far as it does not serve this one.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum Kept {
    /// A journal that is damaged, or of something else.
    Journal,
    /// A file of another user, or one that others can write.
    NotOurs,
    /// Progress of a restore of another stream.
    OtherStream,
    /// Progress of a restore to another target.
    OtherRestore,
    /// What a commit of a plan has put together.
    PlanCommit,
    /// A receiver's, or a restore's where a receiver runs.
    OtherReceipt,
    /// A log that is damaged, or does not hold what it says.
    Log,
    /// A log of another restore, or to another device.
    OtherLog,
    /// Progress that could not be read.
    Unreadable,
    /// Progress of a restore.
    Restore,
    /// Progress of a sealing.
    Sealing,
    /// Something that no sealing of this release has left.
    NotASealing,
    /// A sealing's bytes without its state.
    SealingWithoutState,
    /// A sealing's state that cannot be used.
    SealingState,
    /// A sealing's state that is not of this user alone.
    StateNotOurs,
    /// A sealing that was begun with other choices.
    OtherOptions,
    /// A sealing of another input.
    OtherInput,
    /// A sealing of this input before it changed.
    ChangedInput,
    /// The plan of a tree's sealing, and nothing that was sealed by it.
    PlanAlone,
}

/// What was given in place of a stream.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum GivenInstead {
    /// Something that was not looked at more closely.
    Unknown,
    /// A database.
    Database,
    /// A key file.
    KeyFile,
    /// An age identity, or a private key of SSH.
    Identity,
    /// Age recipients.
    Recipients,
    /// A stream of another format that is read, where only one of ours does.
    OtherFormat,
    /// A manifest, which names streams.
    Manifest,
}

impl Remedy {
    /// The sentence of its `Display`.
    pub fn sentence(&self) -> &'static str {
        match self {
            Remedy::Replace(in_the_way) => in_the_way.sentence(),
            Remedy::Restart(kept) => kept.restart_sentence(),
            Remedy::RestartAndReplace => "Discard what is kept, and let the target be replaced.",
            Remedy::ResumeOrDiscard(Kept::Sealing) => "Resume that sealing, or discard what is kept of it.",
            Remedy::ResumeOrDiscard(Kept::Restore) => {
                "Finish that restore, discard what is kept of it, or take another name."
            }
            Remedy::ResumeOrDiscard(Kept::PlanCommit) => {
                "Commit that plan, or give it up; if it is lost, discard what is kept."
            }
            Remedy::ResumeOrDiscard(_) => "Move it away if it is yours, or discard it.",
            Remedy::RaiseMemory { .. } => {
                "Give it a larger budget; a stream that is held needs room for a whole segment."
            }
            Remedy::RaiseMemoryOrSpool { .. } => {
                "Give it a larger budget, or a directory for a spool file (`ObjectTarget::spool`); the length of what comes through \
                 a pipe may be given (`ObjectTarget::len_max`)."
            }
            Remedy::LowerMemory => {
                "Give it less memory and fewer threads, or raise the limit on this process's memory (`ulimit -v`)."
            }
            Remedy::FewerThreads => {
                "Ask for fewer threads, or raise the limit on processes of this user (`ulimit -u`)."
            }
            Remedy::LongerSegments => "Seal it with longer segments.",
            Remedy::UseOtherKey => {
                "Try another identity, passphrase or key file; an inspection shows the kinds of slots."
            }
            Remedy::GiveKey => "Give an identity, a passphrase or a key file.",
            Remedy::GiveForeignKey => {
                "Give the key that it was sealed with, as that tool has it (`Identities::foreign_key`)."
            }
            Remedy::AcceptUnproven => {
                "Look whether it is what you expect by other means; `Foreign::AcceptUnproven` opens it all the same."
            }
            Remedy::GiveStream(given) => given.sentence(),
            Remedy::AskForNoTree => "Leave out what is for directories alone.",
            Remedy::GiveFile => "Give it as a file, or fetch it into one first.",
            Remedy::Verify => "A verification takes a pipe.",
            Remedy::FetchAgain => "Fetch the stream again, or take another copy of it.",
            Remedy::FetchRest => "Its end is missing: fetch the rest, or take another copy.",
            Remedy::GiveNewer => {
                "Give a newer stream. To accept this one, ask for a lower number, or for none."
            }
            Remedy::RunAgain => "Stop what writes to it, or take a copy, and run this again.",
            Remedy::GiveAccess => "Look whether the credentials are there, are still valid, and may read it.",
            Remedy::TryLater => {
                "Run it again when the place can be reached. What a restore has kept by then is not fetched again."
            }
            Remedy::OtherStateDirectory => {
                "What lets a sealing resume is kept there; give another directory for it."
            }
            Remedy::GiveLog => {
                "Give a log (`Opener::log`): the stream goes into that first, and then over the device. Or write to a file."
            }
            Remedy::FinishFromLog => {
                "Look at the device and the system's log, then run this again: it proves the log, and writes the device from the \
                 start. Keep the log and the sealed stream until then."
            }
            Remedy::CopyWithRoom => {
                "The key area has a fixed size. Give fewer recipients, or re-wrap into a copy, which gets more room."
            }
        }
    }
}

impl GivenInstead {
    fn sentence(self) -> &'static str {
        match self {
            GivenInstead::Unknown => {
                "Only what this library has sealed can be opened: look whether it is the right file."
            }
            GivenInstead::Database => "Only what this library has sealed can be opened.",
            GivenInstead::KeyFile => "A key file is no stream: give it as a key.",
            GivenInstead::Identity => "An identity is given as a key; here belongs the sealed file.",
            GivenInstead::Recipients => "Recipients are for sealing; here belongs the sealed file.",
            GivenInstead::OtherFormat => {
                "An opener that is told to (`Opener::foreign`) opens, verifies and converts it; the rest is for streams of ours."
            }
            GivenInstead::Manifest => {
                "A manifest names streams, and is none: `shards` of the library restores what it names."
            }
        }
    }
}

impl InTheWay {
    fn sentence(self) -> &'static str {
        match self {
            InTheWay::File => "`IfExists::Replace` replaces it, atomically.",
            InTheWay::Link => "`IfExists::Replace` replaces what it points to, atomically.",
            InTheWay::FileSystem => {
                "`IfExists::Replace` works here. It replaces whatever stands at the target in the end."
            }
            InTheWay::Device => {
                "`IfExists::Replace` writes over it, once all of the stream is in the log and verified."
            }
            InTheWay::Object => {
                "`IfExists::Replace` replaces it, if it is still the one that is there when the call begins."
            }
            InTheWay::ChangedOutput => {
                "Run it again with `IfExists::Replace`: that replaces the output, atomically."
            }
            InTheWay::ChangedTarget => {
                "Run it again with `IfExists::Replace`: that replaces the target, atomically."
            }
            InTheWay::StoppedMove => {
                "Run it again with `IfExists::Replace`: that brings it to its end, as soon as nothing is in its way."
            }
        }
    }
}

impl Kept {
    fn restart_sentence(self) -> &'static str {
        match self {
            Kept::Journal => "`OnPartial::Discard` begins anew; what is kept beside the target is then lost.",
            Kept::NotOurs => {
                "`OnPartial::Discard` replaces it by a file of this user's; what is kept in it is then lost."
            }
            Kept::OtherStream => {
                "Give the stream whose restore was interrupted, or start over with `OnPartial::Discard`."
            }
            Kept::OtherRestore => "Finish that restore, restore to another name, or discard what is kept.",
            Kept::PlanCommit => "Commit that plan again, or give it up.",
            Kept::OtherReceipt => "Finish what was begun there, receive to another name, or discard it.",
            Kept::Log => "`OnPartial::Discard` removes the log and begins anew.",
            Kept::OtherLog => {
                "Finish that restore, to its device, or name another log; `OnPartial::Discard` removes this one, and what its \
                 device lacks of its stream is then lost."
            }
            Kept::Unreadable => "Try again, or start over with `OnPartial::Discard`.",
            Kept::Restore | Kept::Sealing => "Finish what was interrupted there, or discard what is kept.",
            Kept::NotASealing => {
                "Finish what was interrupted there, or give it up with `OnPartial::Discard`."
            }
            Kept::SealingWithoutState => {
                "The state is kept for the output's path, user and machine: go on from there. `OnPartial::Discard` \
                 replaces the bytes."
            }
            Kept::SealingState => "`OnPartial::Discard` replaces it and seals anew.",
            Kept::StateNotOurs => "Look who put it there; `OnPartial::Discard` replaces it.",
            Kept::OtherOptions => {
                "Make no such choice to go on with it, or seal anew with `OnPartial::Discard`."
            }
            Kept::OtherInput => {
                "Give that input, or another output; `OnPartial::Discard` gives up what is sealed of it."
            }
            Kept::PlanAlone => "Seal the tree as it is now.",
            Kept::ChangedInput => {
                "What is sealed of it no longer fits. `OnPartial::Discard` gives that up and seals the input as it is \
                 now."
            }
        }
    }
}

impl fmt::Display for Remedy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.sentence())
    }
}
