//! Snapshots and checkpoints, saved images and dumps.

mod support;

use std::path::PathBuf;

use support::{Recorder, definition, open};
use virt_types::api;

#[test]
fn a_snapshot_brings_a_state_back() {
    let connection = open();
    let events = Recorder::lifecycle(&connection);
    let dom = connection.domain_define_xml(&definition("a", 1)).unwrap();
    let take = |name: &str| {
        let xml = format!("<domainsnapshot><name>{name}</name></domainsnapshot>");
        connection.domain_snapshot_create_xml(&dom, &xml, 0)
    };
    let off = take("off").unwrap();
    connection.domain_create(&dom).unwrap();
    let on = take("on").unwrap();
    assert_eq!(connection.domain_snapshot_get_parent(&on, 0).unwrap(), off);
    assert_eq!(
        take("on").unwrap_err().message(),
        "operation failed: domain moment on already exists"
    );
    connection.domain_revert_to_snapshot(&off, 0).unwrap();
    let state = connection.domain_get_state(&dom, 0).unwrap();
    assert_eq!(
        (state.state, state.reason),
        (api::DOMAIN_SHUTOFF, api::DOMAIN_SHUTOFF_FROM_SNAPSHOT)
    );
    connection.domain_revert_to_snapshot(&on, api::DOMAIN_SNAPSHOT_REVERT_PAUSED).unwrap();
    let state = connection.domain_get_state(&dom, 0).unwrap();
    assert_eq!((state.state, state.reason), (api::DOMAIN_PAUSED, api::DOMAIN_PAUSED_FROM_SNAPSHOT));
    let seen: Vec<(i32, i32)> = events.of("a").iter().map(|(e, d, _)| (*e, *d)).collect();
    assert_eq!(seen, [(0, 0), (2, 0), (5, 6), (2, 3), (3, 5)]);
    connection.domain_destroy(&dom).unwrap();
    let kept = connection.domain_undefine(&dom).unwrap_err();
    assert_eq!(
        kept.message(),
        "Requested operation is not valid: cannot delete inactive domain with 2 snapshots"
    );
    let with_metadata = api::DOMAIN_UNDEFINE_SNAPSHOTS_METADATA;
    connection.domain_undefine_flags(&dom, with_metadata).unwrap();
}

#[test]
fn snapshots_are_listed_by_generation_and_deleted_with_their_children() {
    let connection = open();
    let dom = connection.domain_lookup_by_name("test").unwrap();
    for name in ["a", "b", "c"] {
        let xml = format!("<domainsnapshot><name>{name}</name></domainsnapshot>");
        connection.domain_snapshot_create_xml(&dom, &xml, 0).unwrap();
    }
    let list = |flags| {
        let all = connection.domain_list_all_snapshots(&dom, flags).unwrap();
        all.iter().map(|snapshot| snapshot.name.to_string()).collect::<String>()
    };
    assert_eq!(list(0), "abc");
    assert_eq!(list(api::DOMAIN_SNAPSHOT_LIST_ROOTS), "a");
    assert_eq!(list(api::DOMAIN_SNAPSHOT_LIST_LEAVES), "c");
    assert_eq!(list(api::DOMAIN_SNAPSHOT_LIST_EXTERNAL), "");
    let b = connection.domain_snapshot_lookup_by_name(&dom, "b", 0).unwrap();
    connection.domain_snapshot_delete(&b, api::DOMAIN_SNAPSHOT_DELETE_CHILDREN).unwrap();
    assert_eq!(list(0), "a");
    assert_eq!(&*connection.domain_snapshot_current(&dom, 0).unwrap().name, "a");
}

#[test]
fn a_snapshot_described_anew_stays_what_it_was() {
    let connection = open();
    let dom = connection.domain_lookup_by_name("test").unwrap();
    let taken = "<domainsnapshot><name>s</name></domainsnapshot>";
    let taken = connection.domain_snapshot_create_xml(&dom, taken, 0).unwrap();
    let xml = connection.domain_snapshot_get_xml_desc(&taken, 0).unwrap();
    let again = |xml: &str| {
        let redefine = api::DOMAIN_SNAPSHOT_CREATE_REDEFINE;
        connection.domain_snapshot_create_xml(&dom, xml, redefine)
    };
    let without_memory = xml.replace("  <memory snapshot='internal'/>\n", "");
    for (changed, message) in [
        (
            xml.replace("<memory unit='KiB'>8388608<", "<memory unit='KiB'>4194304<"),
            "unsupported configuration: Target domain max memory 4194304 does not match source \
             8388608",
        ),
        (
            xml.replace("<name>test</name>", "<name>other</name>"),
            "unsupported configuration: Target domain name 'other' does not match source 'test'",
        ),
        (
            without_memory.replace(">running<", ">shutoff<"),
            "invalid argument: cannot change between online and offline snapshot state in snapshot s",
        ),
        (
            xml.replace(">running<", ">shutoff<"),
            "XML error: memory state cannot be saved with offline or disk-only snapshot",
        ),
    ] {
        assert_ne!(changed, xml);
        assert_eq!(again(&changed).unwrap_err().message(), message);
    }
    again(&xml.replace(">running<", ">paused<")).unwrap();
    let (start, end) = (xml.find("  <domain ").unwrap(), xml.find("</domain>\n").unwrap() + 10);
    again(&format!("{}{}", &xml[..start], &xml[end..])).unwrap();
    let kept = connection.domain_snapshot_get_xml_desc(&taken, 0).unwrap();
    assert!(kept.contains("<memory unit='KiB'>8388608<"), "{kept}");
}

#[test]
fn snapshots_and_checkpoints_exclude_each_other() {
    let connection = open();
    let dom = connection.domain_lookup_by_name("test").unwrap();
    let point = "<domaincheckpoint><name>c</name></domaincheckpoint>";
    let made = connection.domain_checkpoint_create_xml(&dom, point, 0).unwrap();
    let refused = connection.domain_snapshot_create_xml(&dom, "<domainsnapshot/>", 0).unwrap_err();
    assert_eq!(
        refused.message(),
        "Operation not supported: cannot create snapshot while checkpoint exists"
    );
    let short = api::DOMAIN_CHECKPOINT_XML_NO_DOMAIN;
    let xml = connection.domain_checkpoint_get_xml_desc(&made, short).unwrap();
    assert!(xml.contains("<disk name='vda' checkpoint='bitmap' bitmap='c'/>"), "{xml}");
    connection.domain_checkpoint_delete(&made, 0).unwrap();
    connection.domain_snapshot_create_xml(&dom, "<domainsnapshot/>", 0).unwrap();
    let refused = connection.domain_checkpoint_create_xml(&dom, point, 0).unwrap_err();
    assert_eq!(
        refused.message(),
        "Operation not supported: cannot create checkpoint while snapshot exists"
    );
}

/// A path that is free, and freed again.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        Self(std::env::temp_dir().join(format!("save-{}-{name}", std::process::id())))
    }

    fn path(&self) -> &str {
        self.0.to_str().expect("a path of text")
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

#[test]
fn a_saved_domain_is_restored_once() {
    let connection = open();
    let image = Scratch::new("image");
    let dom = connection.domain_create_xml(&definition("a", 1), 0).unwrap();
    connection.domain_save(&dom, image.path()).unwrap();
    assert!(connection.domain_lookup_by_name("a").is_err(), "it is not stored");
    assert!(std::fs::read(&image.0).unwrap().starts_with(b"TestGuestMagic\0"));
    connection.domain_restore(image.path()).unwrap();
    let state = connection.domain_get_state(&dom, 0).unwrap();
    assert_eq!((state.state, state.reason), (api::DOMAIN_RUNNING, api::DOMAIN_RUNNING_RESTORED));
    let again = connection.domain_restore(image.path()).unwrap_err();
    assert_eq!(again.message(), "Requested operation is not valid: domain 'a' is already active");
}

#[test]
fn an_image_that_is_none_is_refused() {
    let connection = open();
    let image = Scratch::new("bad");
    let restore = |content: &[u8]| {
        std::fs::write(&image.0, content).unwrap();
        connection.domain_restore(image.path()).unwrap_err().message().to_owned()
    };
    assert_eq!(restore(b"this is not one"), "internal error: mismatched header magic");
    assert!(restore(b"short").starts_with("incomplete save header in "));
    assert!(restore(b"TestGuestMagic\0").starts_with("failed to read metadata length"));
    assert_eq!(
        restore(b"TestGuestMagic\0\xff\xff\xff\xff"),
        "internal error: length of metadata out of range"
    );
    assert!(restore(b"TestGuestMagic\0\x05\0\0\0<a").starts_with("incomplete metadata"));
}

#[test]
fn a_crash_dump_ends_the_domain_and_a_managed_save_is_remembered() {
    let connection = open();
    let core = Scratch::new("core");
    let dom = connection.domain_lookup_by_name("test").unwrap();
    connection.domain_core_dump(&dom, core.path(), api::DUMP_CRASH).unwrap();
    let state = connection.domain_get_state(&dom, 0).unwrap();
    assert_eq!((state.state, state.reason), (api::DOMAIN_SHUTOFF, api::DOMAIN_SHUTOFF_CRASHED));
    connection.domain_create(&dom).unwrap();
    connection.domain_managed_save(&dom, 0).unwrap();
    assert!(connection.domain_has_managed_save_image(&dom, 0).unwrap());
    let kept = connection.domain_undefine(&dom).unwrap_err();
    assert_eq!(
        kept.message(),
        "Requested operation is not valid: Refusing to undefine while domain managed save image exists"
    );
    connection.domain_create(&dom).unwrap();
    assert!(!connection.domain_has_managed_save_image(&dom, 0).unwrap());
}
