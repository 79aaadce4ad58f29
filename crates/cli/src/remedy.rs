//! What to do about a failure, in the words of this command: its options and its subcommands.
//! It knows no error; the library says what can be done, and has a sentence of its own where no option is named.

use cofferdam::{GivenInstead, InTheWay, Kept, Remedy};

/// The sentence for a remedy that an option or a subcommand of this program is; `None` where it is none.
pub(crate) fn words(remedy: Remedy) -> Option<&'static str> {
    Some(match remedy {
        Remedy::Replace(in_the_way) => return replace(in_the_way),
        Remedy::Restart(kept) => return restart(kept),
        Remedy::RestartAndReplace => "Replace it with `--restart --force`.",
        Remedy::ResumeOrDiscard(Kept::Sealing) => {
            "Go on with it by `--resume`, or give it up with `--resume --restart` or `cofferdam discard`."
        }
        Remedy::ResumeOrDiscard(Kept::Restore) => {
            "Finish that restore, give it up with `cofferdam discard`, or take another name."
        }
        Remedy::ResumeOrDiscard(Kept::PlanCommit) => {
            "Commit that plan (`restore --plan FILE --commit`), or give it up (`--give-up`); if it is lost, `cofferdam discard` \
             removes this."
        }
        Remedy::ResumeOrDiscard(_) => {
            "Move it away if it is yours, or give it up: `cofferdam discard`, or `--resume --restart`, which replaces \
             another user's, too."
        }
        Remedy::RaiseMemory { .. } => {
            "Give it more with `--memory`; a stream that is held needs room for a whole segment."
        }
        Remedy::RaiseMemoryOrSpool { .. } => {
            "Give it more with `--memory`, or with `--spool DIR` a directory for what the store does not have yet; how long a pipe's \
             stream gets at most, `--max-size` says."
        }
        Remedy::LowerMemory => {
            "Give it less with `--memory` and `--threads`, or raise the limit on this process's memory (`ulimit -v`)."
        }
        Remedy::LongerSegments => "Seal it with longer segments: `--segment-size`.",
        Remedy::UseOtherKey => {
            "Try another identity, passphrase or key file; `cofferdam inspect` shows the kinds of slots."
        }
        Remedy::GiveForeignKey => "Give the key that it was sealed with by `--foreign-key FILE`.",
        Remedy::AcceptUnproven => {
            "If you know by other means that it is what you expect, `--accept-unproven` opens it, with exit code 13."
        }
        Remedy::GiveStream(given) => return give_stream(given),
        Remedy::GiveFile => {
            "Give the sealed file by its name, or fetch the stream into a file; without `--range`, `cofferdam cat` takes a pipe."
        }
        Remedy::Verify => "`cofferdam verify` takes a pipe.",
        Remedy::GiveNewer => {
            "Fetch a newer stream. To accept this one, give a lower `--min-sequence`; one without a number is accepted without that option."
        }
        Remedy::GiveAccess => {
            "Look whether the credentials are in the environment (AWS_…, GOOGLE_…, AZURE_…), are still valid, and may read it."
        }
        Remedy::TryLater => {
            "Run the same command again when the place can be reached: what a restore has kept is not fetched again."
        }
        Remedy::OtherStateDirectory => {
            "What lets a sealing resume is kept there; `--state-dir` names another directory."
        }
        Remedy::GiveLog => {
            "Give a log with `--wal FILE`: the stream goes there first, and then over the device. Or restore to a file."
        }
        Remedy::CopyWithRoom => {
            "The key area has a fixed size. Give fewer recipients, or make a copy with more room: `rewrap -o NEW`."
        }
        _ => return None,
    })
}

fn give_stream(given: GivenInstead) -> Option<&'static str> {
    Some(match given {
        GivenInstead::Unknown => {
            "Only what `cofferdam seal` has made can be opened: look whether it is the right file."
        }
        GivenInstead::Database => "Only what `cofferdam seal` has made can be opened.",
        GivenInstead::KeyFile => "A key file goes with --key-file.",
        GivenInstead::Identity => "An identity goes with -i; here belongs the sealed file.",
        GivenInstead::Recipients => "Recipients go with -R; here belongs the sealed file.",
        GivenInstead::OtherFormat => {
            "`cofferdam restore`, `verify`, `cat` and `convert` take it; the rest is for streams of ours."
        }
        GivenInstead::Manifest => {
            "`cofferdam restore` and `verify` take a manifest with `--manifest`, and do what they do with all streams that it names."
        }
        _ => return None,
    })
}

fn replace(in_the_way: InTheWay) -> Option<&'static str> {
    Some(match in_the_way {
        InTheWay::File => "`--force` replaces it, atomically.",
        InTheWay::Link => "`--force` replaces what it points to, atomically.",
        InTheWay::FileSystem => "`--force` works here. It replaces whatever stands at the target in the end.",
        InTheWay::Device => "`--force` writes over it, once all of the stream is in the log and verified.",
        InTheWay::Object => {
            "`--force` replaces it, if it is still the one that is there when the command begins."
        }
        InTheWay::ChangedOutput => {
            "Run the command again with `--force`: that replaces the output, atomically."
        }
        InTheWay::ChangedTarget => {
            "Run the command again with `--force`: that replaces the target, atomically."
        }
        InTheWay::StoppedMove => {
            "Run the command again with `--force`: that brings it to its end, as soon as nothing is in its way."
        }
        _ => return None,
    })
}

fn restart(kept: Kept) -> Option<&'static str> {
    Some(match kept {
        Kept::Journal => "`--restart` begins anew; what is kept beside the target is then lost.",
        Kept::NotOurs => "`--restart` replaces it by a file of this user's; what is kept in it is then lost.",
        Kept::OtherStream => "Give the stream whose restore was interrupted, or start over with `--restart`.",
        Kept::OtherRestore => {
            "Finish that restore, restore to another name, or discard what is kept with `--restart`."
        }
        Kept::PlanCommit => {
            "Commit that plan again (`restore --plan FILE --commit`), or give it up (`--give-up`)."
        }
        Kept::OtherReceipt => {
            "Finish what was begun there, receive to another name, or discard it with `--restart`."
        }
        Kept::Log => "`--restart` removes the log and begins anew.",
        Kept::OtherLog => {
            "Finish that restore, to its device, or name another log; `--restart` removes this one, and what its device lacks \
             of its stream is then lost."
        }
        Kept::Unreadable => "Try again, or start over with `--restart`.",
        Kept::NotASealing => "Finish what was interrupted there, or give it up with `--restart`.",
        Kept::SealingWithoutState => {
            "The state is kept for the output's path, user and machine: go on from there. `--restart` replaces the \
             bytes."
        }
        Kept::SealingState => "`--restart` replaces it and seals anew.",
        Kept::StateNotOurs => "Look who put it there; `--restart` replaces it.",
        Kept::OtherOptions => "Leave the option out to go on with it, or seal anew with `--restart`.",
        Kept::OtherInput => "Give that input, or another output; `--restart` gives up what is sealed of it.",
        Kept::PlanAlone => "`--restart` seals the tree as it is now.",
        Kept::ChangedInput => {
            "What is sealed of it no longer fits. `--restart` gives that up and seals the input as it is now."
        }
        _ => return None,
    })
}
