//! What to do about what a crash, a drop or damage left beside a target: one table.
//! Knows no file: it is a function of what was found, and changes nothing.

use contract::{AttemptId, Checkpoint};
use storage::{FileStamp, JournalProblem};

use crate::journal::{Announced, Header, Intent, Slots};

/// What was found: the three parts of the journal, whether a staging file is there, and which file stands at the target's
/// name.
#[derive(Clone, Debug)]
pub(super) struct Evidence {
    pub(super) header: Header,
    pub(super) slots: Slots,
    pub(super) intent: Intent,
    pub(super) staging: Staging,
    pub(super) target: Option<FileStamp>,
}

/// What to do about it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Recovery {
    /// Removing what is there loses nothing: remove it and begin.
    StartAnew,
    /// Resume with the staging file.
    Resume { attempt_id: AttemptId, newest: Option<(u64, Option<Checkpoint>)> },
    /// The target is the file that the attempt was about: only its leftovers remain to be removed.
    Published { attempt_id: AttemptId, checkpoint: Option<Checkpoint>, announced: Announced },
    /// Removing what is there may lose progress, and it cannot be resumed.
    Refuse(JournalProblem),
}

/// The table. Its rows are numbered as in docs/DESIGN.md and do not overlap. The compiler checks that it is complete:
/// there is no wildcard arm.
pub(super) fn decide(found: &Evidence) -> Recovery {
    use Aim as A;
    use Header as H;
    use Slots as S;
    use Staging::*;

    match (&found.header, &found.slots, found.aim(), found.staging) {
        // R1. Another version's journal: what it means is not known.
        (
            H::Foreign { version },
            S::None | S::Checkpoint { .. } | S::BothBad,
            A::None | A::Torn | A::Missed | A::Reached(_),
            Gone | There,
        ) => Recovery::Refuse(JournalProblem::Version(*version)),

        // R2. The crash came while the journal was made: there was no progress yet.
        (H::Absent | H::Torn, S::None, A::None | A::Torn, Gone | There) => Recovery::StartAnew,

        // R3. Progress or an intent without a header, which was durable before them: this is damage.
        (H::Absent | H::Torn, S::None, A::Missed | A::Reached(_), Gone | There)
        | (
            H::Absent | H::Torn,
            S::Checkpoint { .. } | S::BothBad,
            A::None | A::Torn | A::Missed | A::Reached(_),
            Gone | There,
        ) => Recovery::Refuse(JournalProblem::Header),

        // R4. The rename was made: whatever the slots say, the target is whole and durable.
        (
            H::Valid(attempt_id),
            slots @ (S::None | S::Checkpoint { .. } | S::BothBad),
            A::Reached(announced),
            Gone | There,
        ) => {
            let checkpoint = slots.newest().and_then(|(_, checkpoint)| checkpoint);
            Recovery::Published { attempt_id: attempt_id.clone(), checkpoint, announced }
        }

        // R5. No staging file, and not because it became the target: there is nothing that could be kept.
        (H::Valid(_), S::None | S::Checkpoint { .. } | S::BothBad, A::None | A::Torn | A::Missed, Gone) => {
            Recovery::StartAnew
        }

        // R6. Both slots were written and neither is whole: a crash does not do that.
        (H::Valid(_), S::BothBad, A::None | A::Torn | A::Missed, There) => {
            Recovery::Refuse(JournalProblem::Slots)
        }

        // R7. The rename was not made: go on, from the checkpoint if there is one. A torn intent says the same as none, because
        // the rename comes after it is durable.
        (
            H::Valid(attempt_id),
            slots @ (S::None | S::Checkpoint { .. }),
            A::None | A::Torn | A::Missed,
            There,
        ) => Recovery::Resume { attempt_id: attempt_id.clone(), newest: slots.newest() },

        // R8. No crash leaves that: it is somebody else's, or damage.
        (
            H::Stranger,
            S::None | S::Checkpoint { .. } | S::BothBad,
            A::None | A::Torn | A::Missed | A::Reached(_),
            Gone | There,
        ) => Recovery::Refuse(JournalProblem::Stranger),
    }
}

impl Evidence {
    /// The intent, and whether it was carried out. Only the announced rename gives that file the target's name.
    fn aim(&self) -> Aim {
        match self.intent {
            Intent::None => Aim::None,
            Intent::Torn => Aim::Torn,
            Intent::Valid(announced) => match &self.target {
                Some(target) if target.is_of_same_file(&announced.stamp) => Aim::Reached(announced),
                Some(_) | None => Aim::Missed,
            },
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Aim {
    None,
    Torn,
    Missed,
    Reached(Announced),
}

/// Whether there is a staging file. Which one it is does not matter: what is kept of it is proved, whoever put it there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Staging {
    Gone,
    There,
}

#[cfg(test)]
mod tests {
    use storage::FileTime;

    use super::*;
    use crate::journal::WriterId;

    fn time(seconds: i64) -> FileTime {
        FileTime { seconds, nanos: 7 }
    }

    fn ours() -> FileStamp {
        FileStamp { inode: 10, len: 500, modified: time(2), created: Some(time(1)) }
    }

    /// Targets, and whether each is the file that the intent speaks of.
    fn targets() -> [(Option<FileStamp>, bool); 8] {
        let later = FileTime { nanos: 8, ..time(2) };
        [
            (None, false),
            (Some(ours()), true),
            // A system that does not tell when a file was made.
            (Some(FileStamp { created: None, ..ours() }), true),
            (Some(FileStamp { inode: 11, ..ours() }), false),
            (Some(FileStamp { len: 501, ..ours() }), false),
            (Some(FileStamp { modified: time(3), ..ours() }), false),
            (Some(FileStamp { modified: later, ..ours() }), false),
            // The inode of a file that is gone, used again.
            (Some(FileStamp { created: Some(time(2)), ..ours() }), false),
        ]
    }

    fn announced() -> Announced {
        Announced { stamp: ours(), writer: WriterId([9; WriterId::LEN]), mode_due: Some(0o640) }
    }

    fn reached(case: &Evidence) -> bool {
        let is_named = targets().iter().any(|(target, named)| *named && *target == case.target);
        matches!(case.intent, Intent::Valid(_)) && is_named
    }

    fn attempt_id() -> AttemptId {
        AttemptId::new(b"label").unwrap()
    }

    fn every_case() -> Vec<Evidence> {
        let foreign = Header::Foreign { version: 2 };
        let headers = [Header::Absent, Header::Torn, Header::Stranger, foreign, Header::Valid(attempt_id())];
        let checkpoint = Some(Checkpoint::from_bytes([7; Checkpoint::LEN]));
        let slots = [Slots::None, Slots::Checkpoint { generation: 3, checkpoint }, Slots::BothBad];
        let intents = [Intent::None, Intent::Torn, Intent::Valid(announced())];
        let stagings = [Staging::Gone, Staging::There];
        let mut cases = Vec::new();
        for header in &headers {
            for slots in &slots {
                for intent in intents {
                    for (staging, (target, _)) in stagings.iter().flat_map(|a| targets().map(|b| (*a, b))) {
                        let (header, slots) = (header.clone(), slots.clone());
                        cases.push(Evidence { header, slots, intent, staging, target });
                    }
                }
            }
        }
        assert_eq!(cases.len(), 5 * 3 * 3 * 2 * 8);
        cases
    }

    #[test]
    fn published_is_said_exactly_where_a_readable_journals_whole_intent_names_the_target() {
        for case in every_case() {
            let expected = matches!(case.header, Header::Valid(_)) && reached(&case);
            let decided = decide(&case);
            let found =
                matches!(decided, Recovery::Published { announced: found, .. } if found == announced());
            assert_eq!(found, expected, "{case:?}");
        }
    }

    #[test]
    fn a_staging_file_is_gone_on_with_only_under_a_readable_journal_and_never_without_one() {
        for case in every_case() {
            if let Recovery::Resume { attempt_id: found, newest } = decide(&case) {
                assert_eq!(case.staging, Staging::There, "{case:?}");
                assert_eq!(case.header, Header::Valid(found), "{case:?}");
                assert_ne!(case.slots, Slots::BothBad, "{case:?}");
                assert_eq!(newest.is_some(), matches!(case.slots, Slots::Checkpoint { .. }), "{case:?}");
            }
        }
    }

    #[test]
    fn nothing_is_thrown_away_that_a_whole_record_vouches_for_unless_its_staging_file_is_gone() {
        for case in every_case() {
            let progress = case.slots != Slots::None || matches!(case.intent, Intent::Valid(_));
            let nothing_left = case.staging == Staging::Gone && matches!(case.header, Header::Valid(_));
            let somebodys =
                matches!(case.header, Header::Valid(_) | Header::Foreign { .. } | Header::Stranger);
            if decide(&case) == Recovery::StartAnew {
                assert!(!progress || nothing_left, "{case:?}");
                assert!(!somebodys || nothing_left, "{case:?}");
            }
        }
    }

    #[test]
    fn what_one_crash_can_leave_is_never_refused() {
        // The header is durable before the first slot or intent is written, and a crash tears one record at most.
        for case in every_case() {
            let before_progress = case.slots == Slots::None && case.intent == Intent::None;
            let after = matches!(case.header, Header::Valid(_)) && case.slots != Slots::BothBad;
            let not_ours = matches!(case.header, Header::Foreign { .. } | Header::Stranger);
            if !not_ours && (before_progress || after) {
                assert!(!matches!(decide(&case), Recovery::Refuse(_)), "{case:?}");
            }
        }
    }

    #[test]
    fn damage_strangers_and_unknown_versions_are_refused_and_named() {
        for case in every_case() {
            let progress = case.slots != Slots::None || matches!(case.intent, Intent::Valid(_));
            let published = reached(&case);
            let expected = match case.header {
                Header::Foreign { version } => Some(JournalProblem::Version(version)),
                Header::Stranger => Some(JournalProblem::Stranger),
                Header::Absent | Header::Torn => progress.then_some(JournalProblem::Header),
                Header::Valid(_) => {
                    (case.slots == Slots::BothBad && case.staging == Staging::There && !published)
                        .then_some(JournalProblem::Slots)
                }
            };
            match (decide(&case), expected) {
                (Recovery::Refuse(found), Some(expected)) => assert_eq!(found, expected, "{case:?}"),
                (Recovery::Refuse(_), None) | (_, Some(_)) => panic!("{case:?}: {:?}", decide(&case)),
                (_, None) => {}
            }
        }
    }
}
