//! SeaweedFS as S3, alone and through the proxy.

use cofferdam_io::FetchFault;
use servers::{FaultProxy, Identity, Plan, SeaweedFs};
use sources::Source;

use crate::{
    MIB, bytes, fault, impatient, open, options, passing,
    reading::{check_reads, in_order, read_ahead},
};

const LEN: usize = 12 * MIB + 345;

#[test]
fn all_of_an_object_is_read_in_each_way() {
    let (s3, object) = (SeaweedFs::shared(), bytes(1, LEN));
    let bucket = s3.new_bucket().unwrap();
    s3.put(&bucket, "dir/object", &object).unwrap();
    for who in [Identity::Owner, Identity::Reader] {
        let environment = s3.environment(s3.address(), who);
        check_reads(
            &mut open(&format!("s3://{bucket}/dir/object"), environment, options()).unwrap(),
            &object,
        );
    }
}

#[test]
fn what_is_not_there_or_not_allowed_is_said_at_once() {
    let s3 = SeaweedFs::shared();
    let bucket = s3.new_bucket().unwrap();
    s3.put(&bucket, "object", b"x").unwrap();
    let asked = |who, url: &str| {
        let error = open(url, s3.environment(s3.address(), who), options()).unwrap_err();
        assert!(error.to_string().contains(url), "{error}");
        assert!(!error.to_string().contains(Identity::Owner.secret_key()), "{error}");
        fault(&error)
    };
    assert_eq!(asked(Identity::Owner, &format!("s3://{bucket}/nothing")), FetchFault::NotFound);
    assert_eq!(asked(Identity::Owner, "s3://no-such-bucket/object"), FetchFault::NotFound);
    assert_eq!(asked(Identity::Stranger, &format!("s3://{bucket}/object")), FetchFault::Denied);
    assert_eq!(asked(Identity::Unknown, &format!("s3://{bucket}/object")), FetchFault::Denied);
}

#[test]
fn a_key_with_odd_letters_is_asked_for_as_it_is() {
    let s3 = SeaweedFs::shared();
    let bucket = s3.new_bucket().unwrap();
    for (url, stored) in
        [("with%20space", "with%20space"), ("100%25", "100%25"), ("a%3Fb%23c", "a%3Fb%23c"), ("ü", "%C3%BC")]
    {
        // What is stored is named as the server's own interface, not S3, escapes it.
        s3.put(&bucket, stored, url.as_bytes()).unwrap();
        let url_of_key = format!("s3://{bucket}/{url}");
        let mut source = open(&url_of_key, s3.environment(s3.address(), Identity::Owner), options()).unwrap();
        assert_eq!(in_order(&mut source).unwrap(), url.as_bytes());
    }
}

#[test]
fn an_object_that_is_replaced_or_removed_is_a_change() {
    let s3 = SeaweedFs::shared();
    let bucket = s3.new_bucket().unwrap();
    s3.put(&bucket, "object", &bytes(1, LEN)).unwrap();
    let environment = || s3.environment(s3.address(), Identity::Owner);
    let source = open(&format!("s3://{bucket}/object"), environment(), options()).unwrap();
    let at = source.positioned().unwrap();
    // Of the same length.
    s3.put(&bucket, "object", &bytes(2, LEN)).unwrap();
    assert_eq!(fault(&read_ahead(&*at, 16 * MIB).unwrap_err()), FetchFault::Changed);
    assert!(at.changed().unwrap());
}

#[test]
fn passing_faults_change_nothing() {
    let (s3, object) = (SeaweedFs::shared(), bytes(3, LEN));
    let bucket = s3.new_bucket().unwrap();
    s3.put(&bucket, "object", &object).unwrap();
    for seed in 0..3 {
        let proxy = FaultProxy::start(s3.address(), Plan::seeded(seed, 3, &passing())).unwrap();
        let environment = s3.environment(proxy.address(), Identity::Reader);
        let source = open(&format!("s3://{bucket}/object"), environment, impatient()).unwrap();
        assert!(read_ahead(&*source.positioned().unwrap(), 8 * MIB).unwrap() == *object, "seed {seed}");
    }
}
