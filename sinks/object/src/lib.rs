//! A sink that is an object in a store: a multipart upload, completed at publish, aborted otherwise.
//! Knows parts and their order; the requests are [`remote`]'s.
