//! Azurite as Azure Blob Storage, alone and through the proxy.

use cofferdam_io::FetchFault;
use servers::{Access, Azurite, FaultProxy, Plan};
use sources::Source;

use crate::{
    MIB, bytes, fault, impatient, open, options, passing,
    reading::{check_reads, read_ahead},
};

const LEN: usize = 6 * MIB + 345;

#[test]
fn all_of_a_blob_is_read_in_each_way() {
    let (azure, object) = (Azurite::shared(), bytes(1, LEN));
    let container = azure.new_container().unwrap();
    azure.put(&container, "dir/object", &object).unwrap();
    for access in [Access::Key, Access::Reading] {
        let environment = azure.environment(azure.address(), access);
        check_reads(
            &mut open(&format!("az://{container}/dir/object"), environment, options()).unwrap(),
            &object,
        );
    }
}

#[test]
fn what_is_not_there_or_not_allowed_is_said_at_once() {
    let azure = Azurite::shared();
    let container = azure.new_container().unwrap();
    azure.put(&container, "object", b"x").unwrap();
    let asked = |access, url: &str| {
        let error = open(url, azure.environment(azure.address(), access), options()).unwrap_err();
        assert!(error.to_string().contains(url), "{error}");
        fault(&error)
    };
    assert_eq!(asked(Access::Key, &format!("az://{container}/nothing")), FetchFault::NotFound);
    assert_eq!(asked(Access::Key, "az://no-such-container/object"), FetchFault::NotFound);
    assert_eq!(asked(Access::OtherKey, &format!("az://{container}/object")), FetchFault::Denied);
}

#[test]
fn a_blob_that_is_replaced_is_a_change() {
    let azure = Azurite::shared();
    let container = azure.new_container().unwrap();
    azure.put(&container, "object", &bytes(1, LEN)).unwrap();
    let environment = azure.environment(azure.address(), Access::Key);
    let source = open(&format!("az://{container}/object"), environment, options()).unwrap();
    let at = source.positioned().unwrap();
    azure.put(&container, "object", &bytes(2, LEN)).unwrap();
    assert_eq!(fault(&read_ahead(&*at, 16 * MIB).unwrap_err()), FetchFault::Changed);
}

#[test]
fn passing_faults_change_nothing() {
    let (azure, object) = (Azurite::shared(), bytes(3, LEN));
    let container = azure.new_container().unwrap();
    azure.put(&container, "object", &object).unwrap();
    for seed in 0..2 {
        let proxy = FaultProxy::start(azure.address(), Plan::seeded(seed, 3, &passing())).unwrap();
        let environment = azure.environment(proxy.address(), Access::Reading);
        let source = open(&format!("az://{container}/object"), environment, impatient()).unwrap();
        assert!(read_ahead(&*source.positioned().unwrap(), 8 * MIB).unwrap() == *object, "seed {seed}");
    }
}
