//! Memory, vcpus, tunables and devices: what is changed where, and what is refused.

mod support;

use support::{Recorder, definition, open};
use virt_driver::Connection;
use virt_types::{DomainRef, Event, EventClass, TypedParam, TypedValue, api};

const LIVE: u32 = api::DOMAIN_AFFECT_LIVE;
const CONFIG: u32 = api::DOMAIN_AFFECT_CONFIG;

fn test_domain() -> (Connection, DomainRef) {
    let connection = open();
    let dom = connection.domain_lookup_by_name("test").expect("the domain");
    (connection, dom)
}

fn get(params: &[TypedParam], name: &str) -> TypedValue {
    params.iter().find(|param| param.field == name).expect("the parameter").value.clone()
}

#[test]
fn memory_changes_where_it_is_asked_to() {
    let (connection, dom) = test_domain();
    connection.domain_set_memory_flags(&dom, 1000, LIVE).unwrap();
    connection.domain_set_memory_flags(&dom, 2000, CONFIG).unwrap();
    assert_eq!(connection.domain_get_info(&dom).unwrap().memory, 1000);
    let too_much = connection.domain_set_memory_flags(&dom, u64::MAX, LIVE).unwrap_err();
    assert_eq!(too_much.message(), "invalid argument: cannot set memory higher than max memory");
    let active = connection.domain_set_max_memory(&dom, 5).unwrap_err();
    assert_eq!(
        active.message(),
        "Requested operation is not valid: cannot resize the maximum memory on an active domain"
    );
    connection.domain_destroy(&dom).unwrap();
    assert_eq!(connection.domain_get_info(&dom).unwrap().memory, 2000);
    connection.domain_set_max_memory(&dom, 500).unwrap();
    let info = connection.domain_get_info(&dom).unwrap();
    assert_eq!((info.max_mem, info.memory), (500, 500));
}

#[test]
fn vcpus_are_counted_pinned_and_limited() {
    let (connection, dom) = test_domain();
    connection.domain_set_vcpus(&dom, 1).unwrap();
    assert_eq!(connection.domain_get_vcpus_flags(&dom, LIVE).unwrap(), 1);
    assert_eq!(connection.domain_get_vcpus_flags(&dom, CONFIG).unwrap(), 2);
    connection.domain_pin_vcpu(&dom, 0, &[0b101]).unwrap();
    let vcpus = connection.domain_get_vcpus(&dom, 9, 2).unwrap();
    assert_eq!(vcpus.info.len(), 1);
    assert_eq!((vcpus.info[0].cpu, vcpus.cpumaps.as_slice()), (2, &[0b101, 0][..]));
    let absent = connection.domain_pin_vcpu(&dom, 1, &[1]).unwrap_err();
    assert_eq!(
        absent.message(),
        "invalid argument: requested vcpu '1' is not present in the domain"
    );
    let too_many = connection.domain_set_vcpus(&dom, 3).unwrap_err();
    assert_eq!(
        too_many.message(),
        "invalid argument: requested cpu amount exceeds maximum (3 > 2)"
    );
    let maximum = CONFIG | api::DOMAIN_VCPU_MAXIMUM;
    connection.domain_set_vcpus_flags(&dom, 8, maximum).unwrap();
    assert_eq!(connection.domain_get_vcpus_flags(&dom, maximum).unwrap(), 8);
    assert_eq!(connection.domain_get_vcpus_flags(&dom, CONFIG).unwrap(), 2);
}

#[test]
fn a_limit_that_contradicts_another_changes_nothing() {
    let (connection, dom) = test_domain();
    let set = |params: &[TypedParam]| connection.domain_set_block_io_tune(&dom, "vda", params, 0);
    let limit = |name: &str, value: u64| TypedParam::new(name, value);
    let alone = set(&[limit("total_bytes_sec", 5)]).unwrap_err();
    assert_eq!(
        alone.message(),
        "invalid argument: total_bytes_sec cannot be set higher than total_bytes_sec_max"
    );
    set(&[limit("total_bytes_sec", 5), limit("total_bytes_sec_max", 9)]).unwrap();
    let both = set(&[limit("read_bytes_sec", 5), limit("read_bytes_sec_max", 9)]).unwrap_err();
    assert_eq!(
        both.message(),
        "invalid argument: total and read/write of bytes_sec cannot be set at the same time"
    );
    let tune = connection.domain_get_block_io_tune(&dom, Some("vda"), LIVE).unwrap();
    assert_eq!(get(&tune, "total_bytes_sec"), TypedValue::Ullong(5));
    assert_eq!(get(&tune, "read_bytes_sec"), TypedValue::Ullong(0));
    let stored = connection.domain_get_block_io_tune(&dom, Some("vda"), CONFIG).unwrap();
    assert_eq!(get(&stored, "total_bytes_sec"), TypedValue::Ullong(0));
}

#[test]
fn parameters_are_checked_by_name_and_type() {
    let (connection, dom) = test_domain();
    let unknown = [TypedParam::new("zz", 1_u64)];
    let error = connection.domain_set_memory_parameters(&dom, &unknown, 0).unwrap_err();
    assert_eq!(error.message(), "argument unsupported: parameter 'zz' not supported");
    let mistyped = [TypedParam::new("hard_limit", 1_u32)];
    let error = connection.domain_set_memory_parameters(&dom, &mistyped, 0).unwrap_err();
    assert_eq!(
        error.message(),
        "invalid argument: invalid type 'uint' for parameter 'hard_limit', expected 'ullong'"
    );
    let devices = [TypedParam::new("device_weight", "/dev/a,300,/dev/b,0")];
    connection.domain_set_blkio_parameters(&dom, &devices, 0).unwrap();
    let blkio = connection.domain_get_blkio_parameters(&dom, 0).unwrap();
    assert_eq!(get(&blkio, "device_weight"), TypedValue::String("/dev/a,300".to_owned()));
}

#[test]
fn a_thread_comes_to_one_definition_and_a_transient_domain_has_one() {
    let (connection, dom) = test_domain();
    // Compat: libvirt's driver takes one of the two for these.
    let error = connection.domain_add_iothread(&dom, 4, LIVE | CONFIG).unwrap_err();
    assert!(error.message().ends_with("are mutually exclusive"), "{error}");
    for flags in [LIVE, CONFIG] {
        connection.domain_add_iothread(&dom, 4, flags).unwrap();
        let threads = connection.domain_get_iothread_info(&dom, flags).unwrap();
        assert_eq!(threads.info.iter().map(|t| t.iothread_id).collect::<Vec<_>>(), [4]);
    }
    let transient = connection.domain_create_xml(&definition("a", 1), 0).unwrap();
    let error = connection.domain_add_iothread(&transient, 4, CONFIG).unwrap_err();
    assert_eq!(
        error.message(),
        "Requested operation is not valid: transient domains do not have any persistent config"
    );
    connection.domain_destroy(&dom).unwrap();
    let error = connection.domain_add_iothread(&dom, 5, LIVE).unwrap_err();
    assert_eq!(error.message(), "Requested operation is not valid: domain is not running");
}

#[test]
fn a_disk_comes_with_an_alias_and_goes_by_it() {
    let (connection, dom) = test_domain();
    let (added, removed) = (
        Recorder::new(&connection, EventClass::Domain, api::DOMAIN_EVENT_ID_DEVICE_ADDED),
        Recorder::new(&connection, EventClass::Domain, api::DOMAIN_EVENT_ID_DEVICE_REMOVED),
    );
    let disk = "<disk type='file'><source file='/x'/><target dev='vdb' bus='virtio'/></disk>";
    connection.domain_attach_device(&dom, disk).unwrap();
    assert!(connection.domain_attach_device(&dom, disk).is_err(), "the name is taken");
    connection.domain_detach_device_alias(&dom, "virtio-disk1", 0).unwrap();
    let alias = "virtio-disk1".to_owned();
    assert_eq!(
        added.all(),
        [Event::DomainDeviceAdded { dom: dom.clone(), dev_alias: alias.clone() }]
    );
    assert_eq!(removed.all(), [Event::DomainDeviceRemoved { dom: dom.clone(), dev_alias: alias }]);
    assert!(!connection.domain_get_xml_desc(&dom, 0).unwrap().contains("vdb"));
}

#[test]
fn metadata_lives_in_its_namespace() {
    let (connection, dom) = test_domain();
    let kind = api::DOMAIN_METADATA_ELEMENT;
    let (key, uri) = (Some("k"), Some("http://x.org"));
    let set = |text| connection.domain_set_metadata(&dom, kind, text, key, uri, 0);
    set(Some("<a><b/></a>")).unwrap();
    let xml = connection.domain_get_xml_desc(&dom, 0).unwrap();
    assert!(xml.contains("<k:a xmlns:k=\"http://x.org\">\n      <k:b/>"), "{xml}");
    let read = || connection.domain_get_metadata(&dom, kind, uri, 0);
    assert_eq!(read().unwrap(), "<a>\n  <b/>\n</a>");
    set(None).unwrap();
    assert_eq!(
        read().unwrap_err().message(),
        "metadata not found: Requested metadata element is not present"
    );
    assert!(!connection.domain_get_xml_desc(&dom, 0).unwrap().contains("metadata"));
}

#[test]
fn the_screenshot_is_a_picture() {
    use virt_driver::Received;
    let (connection, dom) = test_domain();
    let (kind, stream) = connection.domain_screenshot(&dom, 0, 0).unwrap();
    assert_eq!(kind.as_deref(), Some("image/png"));
    let mut start = [0; 16];
    assert_eq!(stream.recv(&mut start).unwrap(), Received::Data(16));
    assert_eq!(&start, b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR");
    stream.abort();
    assert_eq!(stream.recv(&mut start).unwrap(), Received::End);
}
