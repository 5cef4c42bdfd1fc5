//! What goes wrong on the way: nothing crashes, nothing hangs, nothing is told that is not so.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use test_support::wait_until;
use virt_driver::EventFilter;
use virt_error::Code;
use virt_types::{Event, EventClass, api};

use super::sim::{PROFILES, Sim, connection, document};

/// Faults, and whether a list survives them when they happen once.
const FAULTS: &[(&str, bool)] = &[
    ("refuse", false),
    ("close-before", true),
    ("lose-answer", true),
    ("close-mid-answer", true),
    ("silent", false),
    ("split-writes", true),
    ("slow", true),
    ("garbage", false),
    ("bad-utf8", false),
    ("doctype", false),
    ("deep", false),
    ("huge", false),
    ("events-between", true),
    ("other-action", false),
    ("no-status", true),
    ("stream-error", false),
];

/// The oldest release and the newest differ most; a long run takes all.
fn profiles() -> &'static [&'static str] {
    if test_support::long_run() { PROFILES } else { &["1.0", "3.6"] }
}

#[test]
fn lists_fail_or_do_not_but_end_in_time_and_work_again() {
    for profile in profiles() {
        for (fault, survives) in FAULTS {
            if *profile == "1.0" && matches!(*fault, "stream-error" | "events-between") {
                continue;
            }
            let sim = Sim::start(profile, &[]);
            let manager = sim.manager_at(&sim.uri("").replace("timeout=20", "timeout=3"));
            let connection = connection(&manager.expect("it is there"));
            sim.set(&format!("fault = {fault}\nfault-action = list-domain\nfault-count = 1"));
            let begun = Instant::now();
            let listed = connection.connect_list_all_domains(0);
            assert_eq!(listed.is_ok(), *survives, "{profile} {fault}: {listed:?}");
            assert!(begun.elapsed() < Duration::from_secs(30), "{profile} {fault}");
            sim.set("fault = none");
            let again = connection.connect_list_all_domains(0);
            let again = again.unwrap_or_else(|error| panic!("{profile} {fault}: {error}"));
            assert_eq!(again.len(), 1, "{profile} {fault}");
        }
    }
}

/// What can go wrong before there is anything to ask: once, or always.
#[test]
fn greetings_that_fail_end_in_time_and_the_next_one_is_heard() {
    for profile in profiles().iter().filter(|profile| **profile != "1.0") {
        for (fault, code) in
            [("mute-handshake", Code::InternalError), ("tls-refused", Code::NoConnect)]
        {
            let sim = Sim::start(profile, &[]);
            let uri = sim.uri("").replace("timeout=20", "timeout=3");
            for times in ["1", "1000"] {
                let registry = virt_driver::Registry::new().with(crate::opener(None));
                let listed = || registry.open(Some(&uri), false)?.connect_list_all_domains(0);
                sim.set(&format!("fault = {fault}\nfault-count = {times}"));
                let begun = Instant::now();
                let error = listed().err();
                assert!(begun.elapsed() < Duration::from_secs(60), "{profile} {fault} {times}");
                if let Some(error) = &error {
                    assert!(error.is(code), "{profile} {fault} {times}: {error:?}");
                }
                // Whoever was slow to greet once may have been asked again.
                assert!(error.is_some() || times == "1", "{profile} {fault}");
                sim.set("fault = none");
                let heard = wait_until(Duration::from_secs(30), || listed().is_ok());
                assert!(heard, "{profile} {fault} {times}: {:?}", listed());
            }
        }
    }
}

#[test]
fn changes_are_asked_once_and_their_outcome_is_never_guessed() {
    let all = profiles().iter().flat_map(|profile| FAULTS.iter().map(move |one| (profile, one)));
    for (profile, (fault, _)) in all {
        if *profile == "1.0" && matches!(*fault, "stream-error" | "events-between") {
            continue;
        }
        let sim = Sim::start(profile, &[]);
        let manager = sim.manager_at(&sim.uri("").replace("timeout=20", "timeout=3"));
        let connection = connection(&manager.expect("it is there"));
        let dom = connection.domain_define_xml(&document("web1", 1, 256)).expect("it is defined");
        sim.set(&format!("fault = {fault}\nfault-action = start-domain\nfault-count = 1"));
        let started = connection.domain_create_with_flags(&dom, 0);
        sim.set("fault = none");
        let now = connection.domain_is_active(&dom).expect("it can be asked");
        match started {
            Ok(_) => assert!(now, "{profile} {fault}"),
            Err(error) => {
                let done_unheard = now && error.message().contains("outcome unknown");
                assert!(
                    !now || done_unheard || *fault == "no-status",
                    "{profile} {fault}: {error:?}"
                );
            }
        }
    }
}

#[test]
fn a_manager_that_comes_back_is_found_again_and_its_changes_are_told() {
    let mut sim = Sim::start("3.6", &[]);
    let manager = sim.manager();
    let connection = connection(&manager);
    let told = Arc::new(Mutex::new(Vec::new()));
    let sink = {
        let told = Arc::clone(&told);
        Arc::new(move |event: &Event| {
            if let Event::DomainLifecycle { dom, event, .. } = event {
                told.lock().unwrap().push((dom.name.to_string(), *event));
            }
        })
    };
    let filter = EventFilter::all(EventClass::Domain, api::DOMAIN_EVENT_ID_LIFECYCLE);
    connection.subscribe(filter, sink).expect("events");
    let has = |name: &str, event: i32| {
        let wanted = (name.to_owned(), event);
        wait_until(Duration::from_secs(15), || told.lock().unwrap().contains(&wanted))
    };
    let dom = connection.domain_define_xml(&document("web1", 1, 256)).expect("it is defined");
    connection.domain_create_with_flags(&dom, 0).expect("it starts");
    assert!(has("web1", api::DOMAIN_EVENT_DEFINED));
    assert!(has("web1", api::DOMAIN_EVENT_STARTED));
    sim.stop();
    // What was known holds until the end of the connection is noticed.
    let mut away = None;
    wait_until(Duration::from_secs(5), || {
        away = connection.connect_list_all_domains(0).err();
        away.is_some()
    });
    let away = away.expect("it is away");
    assert!(away.is(Code::NoConnect) || away.is(Code::OperationFailed), "{away:?}");
    sim.restart();
    let other = sim.connect();
    let dom = other.domain_lookup_by_name("web1").expect("it is there");
    other.domain_destroy(&dom).expect("another stops it");
    assert!(has("web1", api::DOMAIN_EVENT_STOPPED), "{:?}", told.lock().unwrap());
    let found =
        wait_until(Duration::from_secs(10), || connection.domain_is_active(&dom) == Ok(false));
    assert!(found, "the list is asked for again");
}

#[test]
fn slow_changes_hold_up_nobody_who_asks() {
    let sim = Sim::start("3.6", &[]);
    let connection = sim.connect();
    let dom = connection.domain_create_xml(&document("web1", 1, 256), 0).expect("it runs");
    sim.set("stop-delay = 4000");
    std::thread::scope(|scope| {
        let stopping = scope.spawn(|| connection.domain_shutdown(&dom));
        std::thread::sleep(Duration::from_millis(500));
        let begun = Instant::now();
        let primary = connection.domain_lookup_by_name("primary").expect("it is known");
        connection.domain_get_xml_desc(&primary, 0).expect("it can be asked");
        assert!(begun.elapsed() < Duration::from_secs(3));
        stopping.join().expect("no panic").expect("it stops");
    });
}

#[test]
fn nobody_there_is_no_connection() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("its number").port();
    drop(listener);
    let uri = format!("ldoms:///default?port={port}");
    let registry = virt_driver::Registry::new().with(crate::opener(None));
    assert!(registry.open(Some(&uri), false).expect_err("nobody").is(Code::NoConnect));
}
