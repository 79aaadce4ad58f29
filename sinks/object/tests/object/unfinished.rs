//! What a machine that died has left at the store: it is listed, and given up only by name.
//! Knows no sink but the one that it leaves behind.

use std::time::{Duration, SystemTime};

use object::ObjectSink;
use remote::upload::{UnfinishedUploads, UploadOptions};
use servers::{Fault, Plan, Request};

use crate::stores::{Bucket, THREE_PARTS, options, stream, write};

/// Leaves an upload as a machine leaves it that loses its power.
fn abandon(bucket: &Bucket, key: &str) {
    let mut options = options(THREE_PARTS);
    options.upload.abort_max = Duration::from_millis(100);
    let mut sink = ObjectSink::open(&bucket.place(key), &options).unwrap();
    write(&mut sink, &stream(THREE_PARTS, 1)).unwrap();
    // None of its last words reaches the store.
    let says_so = |request: &Request| request.method() == "DELETE";
    bucket.proxy.set_plan(Plan::always(says_so, Fault::CutRequest { after: 0 }));
    drop(sink);
}

#[test]
fn what_was_left_is_listed_by_prefix_and_given_up_one_by_one() {
    if servers::installed::is_skipped() {
        return;
    }
    let bucket = Bucket::new();
    for key in ["backups/a%20%26%20b", "backups/c", "backupsd", "other"] {
        abandon(&bucket, key);
    }
    let list = |url: &str| UnfinishedUploads::open(url, bucket.options(), &UploadOptions::default()).unwrap();
    let keys = |url: &str| -> Vec<String> {
        list(url).uploads().unwrap().into_iter().map(|upload| upload.key).collect()
    };
    assert_eq!(
        keys(bucket.url("").trim_end_matches('/')),
        ["backups/a & b", "backups/c", "backupsd", "other"]
    );
    assert_eq!(keys(&bucket.url("backups/")), ["backups/a & b", "backups/c"]);
    assert_eq!(keys(&bucket.url("backups")).len(), 3);
    assert_eq!(keys(&bucket.url("nothing")).len(), 0);

    bucket.proxy.set_plan(Plan::none());
    let listing = list(&bucket.url("backups/"));
    let uploads = listing.uploads().unwrap();
    let age = SystemTime::now().duration_since(uploads[0].begun.unwrap()).unwrap_or_default();
    assert!(age < Duration::from_secs(600), "{age:?}");
    for upload in &uploads {
        listing.abort(upload).unwrap();
    }
    assert_eq!((keys(&bucket.url("backups/")).len(), bucket.open_uploads()), (0, 2));
    // Again, there is nothing to do.
    listing.abort(&uploads[0]).unwrap();
}

#[test]
fn where_there_is_nothing_to_list_that_is_said() {
    let azure = [("AZURE_STORAGE_ACCOUNT_NAME", "account"), ("AZURE_STORAGE_USE_EMULATOR", "true")];
    let azure = azure.map(|(name, value)| (name.to_owned(), value.to_owned()));
    for (url, options) in [("az://container/prefix", &azure[..]), ("https://host.invalid/x", &[])] {
        let error = UnfinishedUploads::open(url, options.to_vec(), &UploadOptions::default()).unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::Unsupported, "{url}: {error}");
    }
}
