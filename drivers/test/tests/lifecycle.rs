//! Domains come, run, stop and go; everybody is told, in order.

mod support;

use std::sync::Arc;

use support::{Recorder, definition, open};
use virt_error::{Code, Origin};
use virt_types::api;

#[test]
fn the_default_world_has_one_running_domain() {
    let connection = open();
    let dom = connection.domain_lookup_by_name("test").unwrap();
    assert_eq!(dom.uuid.to_string(), "6695eb01-f6a4-8304-79aa-97f2502e193f");
    assert_eq!(connection.domain_lookup_by_id(dom.id).unwrap(), dom);
    assert_eq!(connection.domain_lookup_by_uuid(&dom.uuid).unwrap(), dom);
    let info = connection.domain_get_info(&dom).unwrap();
    assert_eq!((info.state, info.nr_virt_cpu), (api::DOMAIN_RUNNING as u8, 2));
    assert_eq!((info.max_mem, info.memory), (8_388_608, 2_097_152));
    assert_eq!(connection.domain_get_state(&dom, 0).unwrap().reason, 0);
    assert!(connection.domain_is_persistent(&dom).unwrap());
    let xml = connection.domain_get_xml_desc(&dom, 0).unwrap();
    assert!(xml.starts_with("<domain type='test' id='1'>\n  <name>test</name>\n"), "{xml}");
    assert!(xml.contains("<target dev='testnet0'/>"), "{xml}");
    let stored = connection.domain_get_xml_desc(&dom, api::DOMAIN_XML_INACTIVE).unwrap();
    assert_eq!(stored, xml.replace(" id='1'", ""));
}

#[test]
fn a_stored_domain_runs_and_stops_and_stays() {
    let connection = open();
    let events = Recorder::lifecycle(&connection);
    let dom = connection.domain_define_xml(&definition("a", 1)).unwrap();
    connection.domain_create(&dom).unwrap();
    assert_eq!(connection.domain_lookup_by_name("a").unwrap().id, 2);
    connection.domain_suspend(&dom).unwrap();
    connection.domain_resume(&dom).unwrap();
    connection.domain_reboot(&dom, 0).unwrap();
    connection.domain_shutdown(&dom).unwrap();
    connection.domain_create(&dom).unwrap();
    connection.domain_destroy(&dom).unwrap();
    connection.domain_undefine(&dom).unwrap();
    let expected = [
        (0, 0, -1),
        (2, 0, 2),
        (3, 0, 2),
        (4, 0, 2),
        (5, 0, -1),
        (2, 0, 3),
        (5, 1, -1),
        (1, 0, -1),
    ];
    assert_eq!(events.of("a"), expected);
    let gone = connection.domain_get_info(&dom).unwrap_err();
    assert!(gone.is(Code::NoDomain) && gone.from_number() == Origin::Test as i32, "{gone:?}");
    assert_eq!(gone.message(), "Domain not found");
}

#[test]
fn a_transient_domain_goes_when_it_stops() {
    let connection = open();
    let events = Recorder::lifecycle(&connection);
    let dom = connection.domain_create_xml(&definition("a", 1), 0).unwrap();
    assert_eq!(dom.id, 2);
    assert!(!connection.domain_is_persistent(&dom).unwrap());
    let again = connection.domain_create_xml(&definition("a", 1), 0).unwrap_err();
    assert_eq!(again.message(), "Requested operation is not valid: domain 'a' is already active");
    connection.domain_destroy(&dom).unwrap();
    assert!(connection.domain_lookup_by_name("a").unwrap_err().is(Code::NoDomain));
    assert_eq!(events.of("a"), [(2, 0, 2), (5, 1, 2)]);
}

#[test]
fn a_definition_of_a_running_domain_waits_for_its_end() {
    let connection = open();
    let dom = connection.domain_create_xml(&definition("a", 1), 0).unwrap();
    let bigger = definition("a", 1).replace("65536", "131072");
    connection.domain_define_xml(&bigger).unwrap();
    assert_eq!(connection.domain_get_info(&dom).unwrap().max_mem, 65536);
    connection.domain_destroy(&dom).unwrap();
    assert_eq!(connection.domain_get_info(&dom).unwrap().max_mem, 131_072);
}

#[test]
fn what_does_not_fit_the_state_is_refused_in_libvirts_words() {
    let connection = open();
    let dom = connection.domain_define_xml(&definition("a", 1)).unwrap();
    let refusals = [
        (connection.domain_suspend(&dom), 1, 12, "internal error: domain 'a' not running"),
        (connection.domain_resume(&dom), 1, 12, "internal error: domain 'a' not paused"),
        (connection.domain_shutdown(&dom), 1, 12, "internal error: domain 'a' not running"),
        (
            connection.domain_destroy(&dom),
            55,
            20,
            "Requested operation is not valid: domain is not running",
        ),
        (
            connection.domain_reset(&dom, 1),
            8,
            12,
            "unsupported flags (0x1) in function testDomainReset",
        ),
    ];
    for (result, code, from, message) in refusals {
        let error = result.unwrap_err();
        assert_eq!((error.number(), error.from_number(), error.message()), (code, from, message));
    }
    connection.domain_create(&dom).unwrap();
    let error = connection.domain_create(&dom).unwrap_err();
    assert_eq!(error.message(), "internal error: Domain 'a' is already running");
}

#[test]
fn a_name_and_a_uuid_belong_together() {
    let connection = open();
    let dom = connection.domain_define_xml(&definition("a", 1)).unwrap();
    let uuid = dom.uuid;
    let other_name = connection.domain_define_xml(&definition("b", 1)).unwrap_err();
    assert_eq!(
        other_name.message(),
        format!("operation failed: domain 'a' is already defined with uuid {uuid}")
    );
    let other_uuid = connection.domain_define_xml(&definition("a", 2)).unwrap_err();
    assert_eq!(
        other_uuid.message(),
        format!("operation failed: domain 'a' already exists with uuid {uuid}")
    );
}

#[test]
fn a_renamed_domain_is_found_under_its_new_name_only() {
    let connection = open();
    let events = Recorder::lifecycle(&connection);
    let dom = connection.domain_define_xml(&definition("a", 1)).unwrap();
    connection.domain_define_xml(&definition("c", 3)).unwrap();
    connection.domain_set_autostart(&dom, 1).unwrap();
    connection.domain_rename(&dom, Some("b"), 0).unwrap();
    assert!(connection.domain_lookup_by_name("a").is_err());
    let renamed = connection.domain_lookup_by_name("b").unwrap();
    assert_eq!(renamed.uuid, dom.uuid);
    assert!(connection.domain_get_autostart(&renamed).unwrap());
    let taken = connection.domain_rename(&renamed, Some("c"), 0).unwrap_err();
    assert_eq!(
        taken.message(),
        "Requested operation is not valid: domain with name 'c' already exists"
    );
    assert_eq!(events.of("a"), [(0, 0, -1), (1, 1, -1)]);
    assert_eq!(events.of("b"), [(0, 2, -1)]);
}

#[test]
fn threads_that_define_start_destroy_and_undefine_leave_nothing() {
    const THREADS: u8 = 8;
    const ROUNDS: usize = 50;
    let connection = open();
    let events = Recorder::lifecycle(&connection);
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let connection = connection.clone();
            scope.spawn(move || {
                let xml = definition(&format!("own{thread}"), 10 + thread);
                for _ in 0..ROUNDS {
                    let dom = connection.domain_define_xml(&xml).unwrap();
                    connection.domain_create(&dom).unwrap();
                    connection.domain_destroy(&dom).unwrap();
                    connection.domain_undefine(&dom).unwrap();
                    // One domain that all fight over: every call works or is refused for its state.
                    let shared = definition("shared", 99);
                    if let Ok(dom) = connection.domain_create_xml(&shared, 0) {
                        let _ = connection.domain_suspend(&dom);
                        let _ = connection.domain_destroy(&dom);
                    }
                }
            });
        }
    });
    let list = connection.connect_list_all_domains(0).unwrap();
    let names: Vec<&str> = list.iter().map(|dom| &*dom.name).collect();
    assert_eq!(names, ["test"]);
    for thread in 0..THREADS {
        let own = events.of(&format!("own{thread}"));
        let steps: Vec<(i32, i32)> =
            own.iter().map(|(event, detail, _)| (*event, *detail)).collect();
        assert_eq!(steps, [(0, 0), (2, 0), (5, 1), (1, 0)].repeat(ROUNDS), "thread {thread}");
    }
    let starts_and_stops: Vec<i32> = events
        .of("shared")
        .iter()
        .map(|(event, ..)| *event)
        .filter(|event| *event != api::DOMAIN_EVENT_SUSPENDED)
        .collect();
    assert!(starts_and_stops.chunks(2).all(|pair| pair == [2, 5]), "{starts_and_stops:?}");
}

#[test]
fn the_default_world_lives_as_long_as_somebody_has_it_open() {
    // The other tests have worlds of their own (`support::open`): only this one uses the real URI.
    let registry = support::registry();
    let first = registry.open(Some("test:///default"), false).unwrap();
    let second = registry.open(Some("test:///default"), false).unwrap();
    first.domain_define_xml(&definition("a", 1)).unwrap();
    drop(first);
    assert!(second.domain_lookup_by_name("a").is_ok());
    drop(second);
    let third = Arc::new(registry.open(Some("test:///default"), false).unwrap());
    assert!(third.domain_lookup_by_name("a").is_err());
}
