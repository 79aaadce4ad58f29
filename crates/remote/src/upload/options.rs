//! How an object is written, and who is asked and told meanwhile.
//! Knows no request.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::retry::{Retry, RetryPolicy};

/// How an object is written.
#[derive(Clone)]
#[non_exhaustive]
pub struct UploadOptions {
    /// What to do with an object that is there.
    pub if_exists: IfThere,
    /// How requests are made again.
    pub retry: RetryPolicy,
    /// How long an upload is given up for: whoever waits has an error to report.
    pub abort_max: Duration,
    /// Asked every 50 ms where something is waited for.
    pub is_cancelled: Arc<dyn Fn() -> bool + Send + Sync>,
    /// Told of every request that is made again.
    pub on_retry: Arc<dyn Fn(&Retry) + Send + Sync>,
    /// Told what its user should know beside the outcome.
    pub on_notice: Arc<dyn Fn(&UploadNotice) + Send + Sync>,
}

/// What the user of an upload should know beside its outcome. Objects are named without what is secret in their URLs.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum UploadNotice {
    /// The store does not let this user look at the object, and one that is there may be replaced. So whatever is there in the end is
    /// replaced, whoever wrote it. Told when the upload is opened.
    Unguarded {
        /// The object.
        object: String,
    },
    /// The upload was cancelled while the request was out that makes the object. Whether that is there is known by the answer alone.
    /// Told once.
    AnswerAwaited {
        /// The object.
        object: String,
        /// How long the answer is waited for at most, looking for the object included where none comes.
        at_most: Duration,
    },
    /// The upload has failed or was dropped, and parts of it may stay at the store.
    Left {
        /// Names the object, and says why they could not be given up.
        what: String,
    },
}

/// What to do with an object that is there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum IfThere {
    /// Refuse it, when the upload is opened, and again at the end.
    Refuse,
    /// Replace it, if it is still the one that was there when the upload was opened.
    Replace,
}

impl Default for UploadOptions {
    /// Refuses an object that is there; 10 s to give up in; never cancelled.
    fn default() -> UploadOptions {
        UploadOptions {
            if_exists: IfThere::Refuse,
            retry: RetryPolicy::default(),
            abort_max: Duration::from_secs(10),
            is_cancelled: Arc::new(|| false),
            on_retry: Arc::new(|_| {}),
            on_notice: Arc::new(|_| {}),
        }
    }
}

impl fmt::Debug for UploadOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let UploadOptions { if_exists, retry, .. } = self;
        f.debug_struct("UploadOptions")
            .field("if_exists", if_exists)
            .field("retry", retry)
            .finish_non_exhaustive()
    }
}
