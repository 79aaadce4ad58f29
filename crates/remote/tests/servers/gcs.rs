//! The server of Google's XML API, alone and through the proxy.

use std::net::SocketAddr;

use cofferdam_io::FetchFault;
use servers::{FaultProxy, GcsFake, Plan};
use sources::Source;

use crate::{
    MIB, bytes, fault, impatient, open, options, passing,
    reading::{check_reads, in_order, read_ahead},
};

const LEN: usize = 12 * MIB + 345;

fn environment(gcs: &GcsFake, endpoint: SocketAddr) -> Vec<(&'static str, String)> {
    let mut environment = gcs.environment(endpoint).unwrap();
    environment.push(("GOOGLE_ALLOW_HTTP", "true".into()));
    environment
}

#[test]
fn all_of_an_object_is_read_in_each_way() {
    let (gcs, object) = (GcsFake::shared(), bytes(1, LEN));
    let bucket = gcs.new_bucket();
    gcs.put(&bucket, "dir/object", &object);
    let environment = environment(gcs, gcs.address());
    check_reads(&mut open(&format!("gs://{bucket}/dir/object"), environment, options()).unwrap(), &object);
}

#[test]
fn what_is_not_there_or_not_allowed_is_said_at_once() {
    let gcs = GcsFake::shared();
    let bucket = gcs.new_bucket();
    let asked = |url: &str| {
        let error = open(url, environment(gcs, gcs.address()), options()).unwrap_err();
        assert!(error.to_string().contains(url), "{error}");
        fault(&error)
    };
    assert_eq!(asked(&format!("gs://{bucket}/nothing")), FetchFault::NotFound);
    assert_eq!(asked("gs://no-such-bucket/object"), FetchFault::NotFound);
    assert_eq!(asked(&format!("gs://{}/object", GcsFake::DENIED_BUCKET)), FetchFault::Denied);
}

#[test]
fn a_key_with_odd_letters_is_asked_for_as_it_is() {
    let gcs = GcsFake::shared();
    let bucket = gcs.new_bucket();
    for (key, url) in [("with space", "with%20space"), ("100%", "100%25"), ("a?b#c", "a%3Fb%23c"), ("ü", "ü")]
    {
        gcs.put(&bucket, key, key.as_bytes());
        let environment = environment(gcs, gcs.address());
        let mut source = open(&format!("gs://{bucket}/{url}"), environment, options()).unwrap();
        assert_eq!(in_order(&mut source).unwrap(), key.as_bytes());
    }
}

#[test]
fn an_object_that_is_replaced_is_a_change() {
    let gcs = GcsFake::shared();
    let bucket = gcs.new_bucket();
    gcs.put(&bucket, "object", &bytes(1, LEN));
    let environment = environment(gcs, gcs.address());
    let source = open(&format!("gs://{bucket}/object"), environment, options()).unwrap();
    let at = source.positioned().unwrap();
    gcs.put(&bucket, "object", &bytes(2, LEN));
    assert_eq!(fault(&read_ahead(&*at, 16 * MIB).unwrap_err()), FetchFault::Changed);
    assert!(at.changed().unwrap());
}

#[test]
fn passing_faults_change_nothing() {
    let (gcs, object) = (GcsFake::shared(), bytes(3, LEN));
    let bucket = gcs.new_bucket();
    gcs.put(&bucket, "object", &object);
    for seed in 0..3 {
        let proxy = FaultProxy::start(gcs.address(), Plan::seeded(seed, 3, &passing())).unwrap();
        let environment = environment(gcs, proxy.address());
        let source = open(&format!("gs://{bucket}/object"), environment, impatient()).unwrap();
        assert!(read_ahead(&*source.positioned().unwrap(), 8 * MIB).unwrap() == *object, "seed {seed}");
    }
}
