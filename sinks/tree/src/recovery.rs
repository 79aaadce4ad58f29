//! What to do about what a crash, a drop or damage left beside a target: one table.
//! Knows no file: it is a function of what was found, and changes nothing.

use contract::AttemptId;
use local::journal_header::Header;
use storage::JournalProblem;

use crate::{
    directory_id::DirectoryId,
    journal::{Intent, Records},
};

/// What was found: the journal, and which directories are at the two names.
#[derive(Debug)]
pub(crate) struct Evidence {
    pub(crate) records: Records,
    /// What is at the private directory's name, whatever it is.
    pub(crate) staging: Option<DirectoryId>,
    pub(crate) target: Option<DirectoryId>,
}

/// What to do about it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Recovery {
    /// Begin. Of what is at the private directory's name `stale` may be removed, and anything else only if it is empty.
    StartAnew {
        /// The attempt's own directory.
        stale: Option<DirectoryId>,
    },
    /// Go on in the private directory.
    Resume(AttemptId),
    /// The target is the directory that the attempt filled. What it was before is still beside it, if that is what is there.
    Published {
        attempt_id: AttemptId,
        intent: Intent,
        /// Whether the tree that was replaced is at the private directory's name.
        is_old_tree_there: bool,
    },
    /// What is at the private directory's name is not what this attempt has made there: it may be somebody's only copy.
    InTheWay,
    /// The journal says that there was something, and not what.
    Refuse(JournalProblem),
}

/// The table. Its rows are numbered as in docs/DESIGN.md.
pub(crate) fn decide(found: &Evidence) -> Recovery {
    let Records { header, place, intent } = &found.records;
    let is_place = |there: Option<DirectoryId>| there.is_some() && there == *place;
    match (header, intent) {
        // T1. What it means is not known.
        (Header::Foreign { version }, _) => Recovery::Refuse(JournalProblem::Version(*version)),
        (Header::Stranger, _) => Recovery::Refuse(JournalProblem::Stranger),
        // T2. The header was durable before the intent: this is damage.
        (Header::Absent | Header::Torn, Some(_)) => Recovery::Refuse(JournalProblem::Header),
        // T3. The rename was made.
        (Header::Valid(attempt_id), Some(intent)) if is_place(found.target) => Recovery::Published {
            attempt_id: attempt_id.clone(),
            intent: *intent,
            is_old_tree_there: found.staging.is_some() && found.staging == intent.replaced,
        },
        // T4. It was not made, or made and taken back.
        (Header::Valid(attempt_id), _) if is_place(found.staging) => Recovery::Resume(attempt_id.clone()),
        // T5. It was made, and the target moved away since: the old tree may be what is there.
        (Header::Valid(_), Some(_)) if found.staging.is_some() => Recovery::InTheWay,
        // T6. The directory is the attempt's. Whose that was is not known any more.
        (Header::Absent | Header::Torn, None) if is_place(found.staging) => {
            Recovery::StartAnew { stale: found.staging }
        }
        // T7. Another directory than the attempt's has come to the name.
        (_, None) if found.staging.is_some() && place.is_some() => Recovery::InTheWay,
        // T8. The crash came before anything was in the directory, or everything is gone. Nothing says of what is there that it was the attempt's.
        (Header::Absent | Header::Torn | Header::Valid(_), _) => Recovery::StartAnew { stale: None },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::MOVING;

    const OURS: DirectoryId = DirectoryId { inode: 1, created: Some((5, 5)) };
    const OLD: DirectoryId = DirectoryId { inode: 2, created: Some((4, 4)) };
    /// A later directory that has got the inode's number.
    const OTHER: DirectoryId = DirectoryId { inode: 1, created: Some((6, 6)) };

    fn attempt_id() -> AttemptId {
        AttemptId::new(b"an attempt").unwrap()
    }

    /// Of every state that there is, what may be touched: what is removed or gone on with is never the old tree nor a stranger's.
    #[test]
    fn the_old_tree_and_what_others_put_there_are_never_gone_on_with_nor_removed() {
        let headers = [
            Header::Absent,
            Header::Torn,
            Header::Stranger,
            Header::Foreign { version: 9 },
            Header::Valid(attempt_id()),
        ];
        let intents = [None, Some(None), Some(Some(OLD))]
            .map(|intent| intent.map(|replaced| Intent { replaced, ..MOVING }));
        let ids = &[None, Some(OURS), Some(OLD), Some(OTHER)];
        let (mut resumed, mut removed) = (0, 0);
        for header in headers {
            for intent in intents {
                for (place, staging, target) in ids
                    .iter()
                    .flat_map(|a| ids.iter().flat_map(move |b| ids.iter().map(move |c| (*a, *b, *c))))
                {
                    let records = Records { header: header.clone(), place, intent };
                    let decided = decide(&Evidence { records, staging, target });
                    let state =
                        format!("{header:?} {intent:?} {place:?} {staging:?} {target:?}: {decided:?}");
                    match decided {
                        Recovery::Resume(_) => {
                            assert!(staging.is_some() && staging == place, "{state}");
                            resumed += 1;
                        }
                        // After an intent nothing is removed, and without one only the directory that the attempt has filled.
                        Recovery::StartAnew { stale } => {
                            assert!(staging.is_none() || intent.is_none(), "{state}");
                            assert!(stale.is_none() || stale == place && stale == staging, "{state}");
                            assert!(staging.is_none() || place.is_none() || stale.is_some(), "{state}");
                            removed += u64::from(stale.is_some());
                        }
                        Recovery::Published { is_old_tree_there, .. } => {
                            assert!(target.is_some() && target == place && intent.is_some(), "{state}");
                            assert_eq!(
                                is_old_tree_there,
                                staging == Some(OLD) && intent.is_some_and(|it| it.replaced == Some(OLD)),
                                "{state}"
                            );
                        }
                        Recovery::InTheWay | Recovery::Refuse(_) => {}
                    }
                }
            }
        }
        assert!(resumed > 0 && removed > 0);
    }
}
