//! A URL of a store or server, and how what is there is opened. Without the feature `remote` there is none.
//! What is secret in a URL is never printed.

#[cfg(feature = "remote")]
pub(crate) use built_in::{Url, variables};
#[cfg(not(feature = "remote"))]
pub(crate) use left_out::Url;

#[cfg(feature = "remote")]
mod built_in {
    use std::env;
    use std::ffi::OsStr;
    use std::fmt;
    use std::io;
    use std::sync::Arc;

    use cofferdam::remote::upload::UploadNotice;
    use cofferdam::remote::{Place, PlaceKind, RemoteOptions, RemoteSource};
    use cofferdam::{CancelToken, Error, ObjectTarget, Source};

    use crate::failure::Failure;
    use crate::report::Report;
    #[cfg(feature = "signatures")]
    use crate::small_source::read_up_to;
    use crate::timeout::Timeout;

    /// A URL that can be opened, and how long it is waited for.
    #[derive(Clone, Debug)]
    pub(crate) struct Url {
        place: Place,
        timeout: Timeout,
    }

    impl Url {
        pub(crate) fn parse(argument: &OsStr) -> Result<Url, String> {
            let text = argument.to_str().ok_or_else(|| format!("a URL is text in UTF-8 ({A_FILE})"))?;
            Place::parse(text, variables())
                .map(|place| Url { place, timeout: Timeout::default() })
                .map_err(|error| format!("{error} ({A_FILE})"))
        }

        /// As [`Url::parse`], of what is to be written.
        pub(crate) fn parse_target(argument: &OsStr) -> Result<Url, String> {
            let url = Url::parse(argument)?;
            match url.place.kind() {
                PlaceKind::Http => Err(format!(
                    "nothing is uploaded to an HTTP server, only to a store: s3:, gs: or az: ({A_FILE})"
                )),
                _ => Ok(url),
            }
        }

        /// It is waited for so long.
        pub(crate) fn set_timeout(&mut self, timeout: Timeout) {
            self.timeout = timeout;
        }

        /// Whether `other` names the same object, however it is written.
        pub(crate) fn is_same_object(&self, other: &Url) -> bool {
            self.place.is_same_object(&other.place)
        }

        /// The URL of the directory that it is in, for `cofferdam uploads`; nothing where a store lists none.
        pub(crate) fn uploads_prefix(&self) -> Option<String> {
            let shown = self.place.to_string();
            let end = shown.rfind('/').unwrap_or(shown.len());
            (self.place.kind() != PlaceKind::Azure).then(|| shown[..=end].to_owned())
        }

        /// The object there, to be written.
        pub(crate) fn target(&self, report: Report) -> ObjectTarget {
            ObjectTarget::new(self.place.clone())
                .retries(self.timeout.policy())
                .on_retry(Arc::new(move |retry| {
                    report.retrying(&retry.what, &retry.cause, retry.attempt, retry.wait);
                }))
                .on_notice(Arc::new({
                    let prefix = self.uploads_prefix();
                    move |notice| report.warning(words(notice, prefix.as_deref()))
                }))
        }

        /// Opens what is there: the first request.
        pub(crate) fn source(
            &self,
            cancel: &CancelToken,
            report: Report,
        ) -> Result<Box<dyn Source>, Failure> {
            let opened = RemoteSource::open(self.place.clone(), self.options(cancel, report));
            let source = opened.map_err(|error| match error.kind() {
                io::ErrorKind::InvalidInput => Failure::usage(error.to_string()),
                _ => Error::io("the sealed stream could not be opened", error).into(),
            })?;
            if let Some(reason) = source.in_order_since() {
                report.warning(format!("{self} is read once, in order: {reason}"));
            }
            Ok(Box::new(source))
        }

        fn options(&self, cancel: &CancelToken, report: Report) -> RemoteOptions {
            let cancel = cancel.clone();
            RemoteOptions::new()
                .retries(self.timeout.policy())
                .cancel_when(Arc::new(move || cancel.is_cancelled()))
                .on_retry(Arc::new(move |retry| {
                    report.retrying(&retry.what, &retry.cause, retry.attempt, retry.wait);
                }))
        }
    }

    #[cfg(feature = "signatures")]
    impl Url {
        /// The URL of what is called as this and `suffix`, in the same place.
        pub(crate) fn beside(&self, suffix: &str) -> Result<Url, Failure> {
            let beside = self.place.beside(suffix).map_err(|error| Failure::usage(error.to_string()))?;
            Ok(Url { place: beside, timeout: self.timeout })
        }

        /// All that is there, if that is at most `len_max` bytes and one; as many of it if it is more. `None` if nothing is there.
        pub(crate) fn read_small(
            &self,
            len_max: usize,
            cancel: &CancelToken,
            report: Report,
        ) -> Result<Option<Vec<u8>>, Failure> {
            let failed = |error| Failure::from(Error::io(format!("{self} could not be read"), error));
            match RemoteSource::open(self.place.clone(), self.options(cancel, report)) {
                Ok(source) => read_up_to(source, len_max, cancel).map(Some).map_err(failed),
                Err(error) if is_not_found(&error) => Ok(None),
                Err(error) if error.kind() == io::ErrorKind::InvalidInput => {
                    Err(Failure::usage(error.to_string()))
                }
                Err(error) => Err(failed(error)),
            }
        }
    }

    #[cfg(feature = "signatures")]
    fn is_not_found(error: &io::Error) -> bool {
        use cofferdam::{FetchError, FetchFault};

        FetchError::of(error).is_some_and(|error| error.fault() == FetchFault::NotFound)
    }

    impl fmt::Display for Url {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            self.place.fmt(f)
        }
    }

    fn words(notice: &UploadNotice, uploads_prefix: Option<&str>) -> String {
        match notice {
            UploadNotice::Unguarded { object } => format!(
                "{object} may not be looked at with these credentials: whatever is there when this ends is replaced, whoever wrote it"
            ),
            UploadNotice::AnswerAwaited { object, at_most } => format!(
                "interrupted while {object} was being put in place: waiting for the store's answer, at most {} s",
                at_most.as_secs()
            ),
            UploadNotice::Left { what } => {
                let list = uploads_prefix.map(|prefix| format!("; `cofferdam uploads {prefix}` lists it"));
                format!("{what}{}", list.unwrap_or_default())
            }
            notice => format!("{notice:?}"),
        }
    }

    /// Those of the environment that are text: others are none of a store's.
    pub(crate) fn variables() -> impl Iterator<Item = (String, String)> {
        env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
    }

    const A_FILE: &str = "a file of that name is ./…";
}

#[cfg(not(feature = "remote"))]
mod left_out {
    use std::ffi::OsStr;
    use std::fmt;

    use cofferdam::{CancelToken, Source};

    use crate::failure::Failure;
    use crate::report::Report;
    use crate::timeout::Timeout;

    /// No URL can be opened.
    #[derive(Clone, Debug)]
    pub(crate) enum Url {}

    impl Url {
        pub(crate) fn parse(_: &OsStr) -> Result<Url, String> {
            Err("this program was built without stores and servers, its feature `remote` (a file of that name is ./…)"
                .to_owned())
        }

        pub(crate) fn parse_target(argument: &OsStr) -> Result<Url, String> {
            Url::parse(argument)
        }

        pub(crate) fn set_timeout(&mut self, _: Timeout) {
            match *self {}
        }

        pub(crate) fn is_same_object(&self, _: &Url) -> bool {
            match *self {}
        }

        pub(crate) fn uploads_prefix(&self) -> Option<String> {
            match *self {}
        }

        pub(crate) fn source(&self, _: &CancelToken, _: Report) -> Result<Box<dyn Source>, Failure> {
            match *self {}
        }
    }

    #[cfg(feature = "signatures")]
    impl Url {
        pub(crate) fn beside(&self, _: &str) -> Result<Url, Failure> {
            match *self {}
        }

        pub(crate) fn read_small(
            &self,
            _: usize,
            _: &CancelToken,
            _: Report,
        ) -> Result<Option<Vec<u8>>, Failure> {
            match *self {}
        }
    }

    impl fmt::Display for Url {
        fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
            match *self {}
        }
    }
}
