//! nginx, alone and through the proxy.

use std::{fs, sync::Arc, time::Duration};

use cofferdam_io::FetchFault;
use servers::{Fault, FaultProxy, Nginx, Plan, Request};
use sources::Source;
use tempfile::TempDir;

use crate::{
    MIB, bytes, fault, impatient, open, options, passing,
    reading::{check_reads, in_order, read_ahead},
};

const LEN: usize = 12 * MIB + 345;

/// nginx, and a folder in which `object` is.
fn serving(object: &[u8]) -> (Nginx, TempDir) {
    let root = tempfile::tempdir().unwrap();
    fs::write(root.path().join("object"), object).unwrap();
    (Nginx::start(root.path()).unwrap(), root)
}

#[test]
fn all_of_a_file_is_read_in_each_way() {
    let object = bytes(1, LEN);
    let (nginx, _root) = serving(&object);
    check_reads(&mut open(&nginx.url("object"), Vec::new(), options()).unwrap(), &object);
}

#[test]
fn what_is_not_there_or_not_allowed_is_said_at_once() {
    let (nginx, root) = serving(b"x");
    fs::create_dir(root.path().join(Nginx::DENIED)).unwrap();
    let asked = |path: &str| fault(&open(&nginx.url(path), Vec::new(), options()).unwrap_err());
    assert_eq!(asked("nothing"), FetchFault::NotFound);
    assert_eq!(asked(&format!("{}/object", Nginx::DENIED)), FetchFault::Denied);
}

#[test]
fn a_name_with_odd_letters_is_asked_for_as_it_is() {
    let (nginx, root) = serving(b"x");
    for (name, url) in
        [("with space", "with%20space"), ("100%", "100%25"), ("a?b#c", "a%3Fb%23c"), ("ü+&=", "%C3%BC+&=")]
    {
        fs::write(root.path().join(name), name).unwrap();
        let mut source = open(&nginx.url(url), Vec::new(), options()).unwrap();
        assert_eq!(in_order(&mut source).unwrap(), name.as_bytes());
    }
}

#[test]
fn a_file_that_is_replaced_is_a_change() {
    let (nginx, root) = serving(&bytes(1, LEN));
    let source = open(&nginx.url("object"), Vec::new(), options()).unwrap();
    let at = source.positioned().unwrap();
    // Of another length: nginx tells files apart by the second and the length alone.
    fs::write(root.path().join("new"), &bytes(2, LEN + 1)[..]).unwrap();
    fs::rename(root.path().join("new"), root.path().join("object")).unwrap();
    assert_eq!(fault(&read_ahead(&*at, 16 * MIB).unwrap_err()), FetchFault::Changed);
    assert!(at.changed().unwrap());
}

#[test]
fn passing_faults_change_nothing() {
    let object = bytes(3, LEN);
    let (nginx, _root) = serving(&object);
    for seed in 0..4 {
        let proxy = FaultProxy::start(nginx.address(), Plan::seeded(seed, 3, &passing())).unwrap();
        let mut source = open(&proxy.url("object"), Vec::new(), impatient()).unwrap();
        let at = source.positioned().unwrap();
        assert!(read_ahead(&*at, 8 * MIB).unwrap() == *object, "seed {seed}");
        assert!(in_order(&mut source).unwrap() == *object, "seed {seed}");
        assert!(proxy.counts().requests > 4);
    }
}

#[test]
fn a_server_that_errs_gives_the_object_or_the_right_error() {
    let object = bytes(4, LEN);
    let (nginx, _root) = serving(&object);
    let is_later = |request: &Request| request.index() > 0;
    for (later, expected) in [
        (Fault::WholeBody, FetchFault::Refused),
        (Fault::ShiftedRange, FetchFault::Refused),
        (Fault::OtherTotal, FetchFault::Changed),
        (Fault::WrongLength { by: 5 }, FetchFault::Refused),
        (Fault::WrongLength { by: -5 }, FetchFault::Refused),
        (Fault::WeakTag, FetchFault::Changed),
        (Fault::NoTag, FetchFault::Refused),
        (Fault::OtherTag, FetchFault::Changed),
    ] {
        let proxy = FaultProxy::start(nginx.address(), Plan::always(is_later, later.clone())).unwrap();
        let source = open(&proxy.url("object"), Vec::new(), options()).unwrap();
        let error = read_ahead(&*source.positioned().unwrap(), 8 * MIB).unwrap_err();
        assert_eq!(fault(&error), expected, "{later:?}: {error}");
        assert!(proxy.counts().requests <= 12, "{later:?}");

        // Once, it is asked for again, unless it is another object by what it says.
        let once = Plan::script(|_| true, [None, Some(later.clone())]);
        let proxy = FaultProxy::start(nginx.address(), once).unwrap();
        let source = open(&proxy.url("object"), Vec::new(), options()).unwrap();
        match read_ahead(&*source.positioned().unwrap(), 8 * MIB) {
            Ok(read) => assert!(expected == FetchFault::Refused && read == *object, "{later:?}"),
            Err(error) => assert_eq!((fault(&error), expected), (FetchFault::Changed, expected), "{later:?}"),
        }
    }
}

#[test]
fn without_ranges_or_tags_it_is_read_in_order() {
    let object = bytes(5, LEN);
    let (nginx, _root) = serving(&object);
    for always in [Fault::WholeBody, Fault::WeakTag, Fault::NoTag] {
        let proxy = FaultProxy::start(nginx.address(), Plan::always(|_| true, always.clone())).unwrap();
        let mut source = open(&proxy.url("object"), Vec::new(), options()).unwrap();
        // The file was made just now: its time of modification tells nothing yet.
        assert!(source.positioned().is_none(), "{always:?}");
        assert!(in_order(&mut source).unwrap() == *object, "{always:?}");
    }
}

#[test]
fn an_outage_is_waited_out() {
    let object = bytes(6, LEN);
    let (nginx, _root) = serving(&object);
    let proxy = Arc::new(FaultProxy::start(nginx.address(), Plan::none()).unwrap());
    let own = Arc::downgrade(&proxy);
    let options = options().on_retry(Arc::new(move |retry| {
        if retry.attempt == 3 {
            own.upgrade().unwrap().set_outage(false);
        }
    }));
    let source = open(&proxy.url("object"), Vec::new(), options).unwrap();
    proxy.set_outage(true);
    assert!(read_ahead(&*source.positioned().unwrap(), 8 * MIB).unwrap() == *object);
    assert!(source.tally().retries >= 3);
}

#[test]
fn a_long_way_is_made_up_for_by_more_and_longer_parts() {
    let object = bytes(7, 64 * MIB);
    let (nginx, _root) = serving(&object);
    let proxy = FaultProxy::start(nginx.address(), Plan::none()).unwrap();
    proxy.link().set_latency(Duration::from_millis(30));
    let source = open(&proxy.url("object"), Vec::new(), options()).unwrap();
    assert!(read_ahead(&*source.positioned().unwrap(), 256 * MIB).unwrap() == *object);
    assert!(source.tally().requests <= 20, "{:?}", source.tally());
}
