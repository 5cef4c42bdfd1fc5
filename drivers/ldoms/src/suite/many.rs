//! Hundreds of domains, and how often the manager is asked for them.

use std::time::Instant;

use super::sim::{Sim, connection, document};

#[test]
fn a_list_is_one_request_and_none_while_nothing_changes() {
    let sim = Sim::start("3.6", &[]);
    let other = sim.connect();
    for number in 0..20 {
        let xml = document(&format!("web{number}"), 1, 64);
        other.domain_define_xml(&xml).expect("it is defined");
    }
    let manager = sim.manager();
    let connection = connection(&manager);
    let asked = |what: &dyn Fn()| {
        let before = manager.requests();
        what();
        manager.requests() - before
    };
    let list = || assert_eq!(connection.connect_list_all_domains(0).expect("a list").len(), 21);
    assert_eq!(asked(&list), 1, "the first list");
    assert_eq!(asked(&list), 0, "nothing has changed");
    assert_eq!(asked(&|| drop(connection.domain_lookup_by_name("web7"))), 0);
    assert_eq!(asked(&|| drop(connection.domain_lookup_by_name("nobody"))), 0);
    let dom = other.domain_lookup_by_name("web7").expect("it is there");
    other.domain_create_with_flags(&dom, 0).expect("another starts it");
    let heard = test_support::wait_until(std::time::Duration::from_secs(5), || {
        connection.domain_is_active(&dom) == Ok(true)
    });
    assert!(heard, "the event is heard");
    assert_eq!(asked(&list), 0, "the one that changed was asked for");
}

#[test]
fn five_hundred_domains_live_and_die() {
    let count = if test_support::long_run() { 500 } else { 60 };
    let sim = Sim::start("3.6", &["--strands", "1024", "--memory", "1T"]);
    let manager = sim.manager();
    let connection = connection(&manager);
    let phase = |name: &str, work: &dyn Fn(usize)| {
        let (begun, before) = (Instant::now(), manager.requests());
        (0..count).for_each(work);
        let (took, asked) = (begun.elapsed(), manager.requests() - before);
        eprintln!("{name}: {count} domains, {asked} requests, {took:.2?}");
    };
    let dom = |number: usize| {
        let found = connection.domain_lookup_by_name(&format!("d{number}"));
        found.expect("it is there")
    };
    phase("define", &|number| {
        let xml = document(&format!("d{number}"), 1, 64);
        connection.domain_define_xml(&xml).expect("it is defined");
    });
    phase("start", &|number| drop(connection.domain_create_with_flags(&dom(number), 0)));
    let begun = Instant::now();
    let before = manager.requests();
    let running = connection.connect_list_all_domains(1).expect("a list");
    eprintln!(
        "list: {} running, {} requests, {:.2?}",
        running.len(),
        manager.requests() - before,
        begun.elapsed()
    );
    assert_eq!(running.len(), count + 1);
    assert!(manager.requests() - before <= 1);
    let fresh = sim.manager();
    let begun = Instant::now();
    let listed = super::sim::connection(&fresh).connect_list_all_domains(0).expect("a list");
    eprintln!("first list of a new client: {}, {:.2?}", listed.len(), begun.elapsed());
    assert_eq!((listed.len(), fresh.requests()), (count + 1, 1));
    phase("dumpxml", &|number| drop(connection.domain_get_xml_desc(&dom(number), 0).unwrap()));
    phase("destroy", &|number| connection.domain_destroy(&dom(number)).expect("it ends"));
    phase("undefine", &|number| connection.domain_undefine(&dom(number)).expect("it goes"));
    assert_eq!(connection.connect_list_all_domains(0).expect("a list").len(), 1);
}
