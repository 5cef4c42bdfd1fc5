//! What can be made to go wrong, and the styles that answers come in.

mod client;

use std::time::{Duration, Instant};

use client::{Client, HEADER, STARTTLS, Sim, command, content, find};

/// A client whose stream is not encrypted: what is sent is seen as it is.
fn bare(sim: &Sim) -> Client {
    let mut client = Client::plain(sim.socket("listen"));
    client.send(HEADER);
    client.until("<stream:features/>");
    client
}

fn list() -> String {
    command("list-domain", "")
}

#[test]
fn connections_end_before_within_or_instead_of_answers() {
    let sim = Sim::start("--tls off");
    for (fault, is_done, start) in [
        ("close-before", false, None),
        ("lose-answer", true, None),
        ("close-mid-answer", true, Some("<LDM_interface")),
        ("stream-error", false, Some("<stream:error>")),
    ] {
        let mut client = bare(&sim);
        sim.control(&format!("fault = {fault}\nfault-action = add-domain"));
        client.send(&command("add-domain", &content(fault, &[])));
        let rest = client.rest();
        assert!(!rest.contains("</LDM_interface>"), "{fault}: {rest}");
        match start {
            None => assert_eq!(rest, "", "{fault}"),
            Some(start) => assert!(rest.starts_with(start), "{fault}: {rest}"),
        }
        let found = bare(&sim).act("list-domain", fault, &[]).is_success();
        assert_eq!(found, is_done, "{fault}");
    }
}

#[test]
fn faults_can_be_limited_to_an_action_and_to_a_number() {
    let sim = Sim::start("--fault refuse --fault-action bind-domain --fault-count 2");
    let mut client = sim.client();
    client.add("web1");
    client.refused("bind-domain", "web1", &[], "refused by the simulator");
    client.refused("bind-domain", "web1", &[], "refused by the simulator");
    client.must("bind-domain", "web1", &[]);
}

#[test]
fn answers_come_late_in_pieces_or_not_at_all() {
    let sim = Sim::start("--tls off");
    let mut client = bare(&sim);
    sim.control("fault = split-writes");
    assert!(client.ask(&list()).is_success());
    sim.control("fault = slow");
    let started = Instant::now();
    assert!(client.ask(&list()).is_success());
    assert!(started.elapsed() > Duration::from_millis(500));
    sim.control("fault = silent\nfault-count = 1");
    client.send(&list());
    // The next one is answered, and only that.
    assert_eq!(client.state("primary"), "active");
}

#[test]
fn answers_can_be_what_no_client_should_take() {
    let sim = Sim::start("--tls off");
    let spoiled = |fault: &str, end: &str| {
        let mut client = bare(&sim);
        sim.control(&format!("fault = {fault}"));
        client.send(&list());
        client.until(end)
    };
    assert!(virt_xml::parse(&spoiled("garbage", "</x>")).is_err());
    assert!(spoiled("doctype", "</LDM_interface>").starts_with("<!DOCTYPE"));
    assert!(spoiled("bad-utf8", "</LDM_interface>").contains('\u{fffd}'));
    let deep = spoiled("deep", "</LDM_interface>");
    assert!(deep.matches("<LDM_interface>").count() > 10_000);
    let other = spoiled("other-action", "</LDM_interface>");
    assert!(other.contains("<action>x-other-list-domain</action>"));
    assert!(!spoiled("no-status", "</LDM_interface>").contains("<response>"));
    let between = spoiled("events-between", "</LDM_interface>");
    assert!(between.starts_with("<LDM_event") && between.contains("<presence/>"));
    // Megabytes without an end.
    let mut client = bare(&sim);
    sim.control("fault = huge");
    client.send(&list());
    let mut taken = 0;
    while taken < 20 << 20 {
        let bytes = client.read();
        assert!(!bytes.is_empty());
        taken += bytes.len();
    }
}

#[test]
fn handshakes_can_fail_too() {
    let sim = Sim::start("--fault mute-handshake");
    let mut client = Client::plain(sim.socket("listen"));
    client.send(&format!("{HEADER}</stream:stream>"));
    assert_eq!(client.rest(), "</stream:stream>");
    sim.control("fault = tls-refused");
    let mut client = Client::plain(sim.socket("listen"));
    client.send(HEADER);
    client.until("</stream:features>");
    client.send(STARTTLS);
    assert!(client.rest().starts_with("<failure"));
}

#[test]
fn every_style_says_the_same() {
    let sim = Sim::start("--profile 2.2");
    let mut client = sim.client();
    client.add("web1");
    let plain = client.ask(&list());
    let data = |text: &str| text.matches("<data").count();
    let marks = |control: &str, expected: &[&str], absent: &[&str], client: &mut Client| {
        sim.control(control);
        client.send(&list());
        let text = client.until("</LDM_interface>");
        for mark in expected {
            assert!(text.contains(mark), "{control}: {mark} in {text}");
        }
        for mark in absent {
            assert!(!text.contains(mark), "{control}: no {mark} in {text}");
        }
        assert_eq!(text.matches("web1").count(), 1);
        text
    };
    assert_eq!(data(&plain.0), 2);
    assert_eq!(data(&marks("answers = one", &["<data"], &[], &mut client)), 1);
    marks("id = ovf", &["ovf:id=\"web1\""], &[" id=\"web1\""], &mut client);
    marks("names = undeclared", &["rasd:Alloc"], &["xmlns"], &mut client);
    marks("names = odd", &["ns2:Alloc", "./schemas/"], &["rasd"], &mut client);
    marks("layout = pretty", &["\n      <Envelope>"], &[], &mut client);
    marks("sizes = bytes", &[">2147483648<"], &[">2G<"], &mut client);
    marks("status = upper", &["<status>SUCCESS"], &["success"], &mut client);
    marks("declaration = on", &["<?xml version=\"1.0\"?><LDM"], &[], &mut client);
    marks("extras = on", &["x-sim-unknown"], &[], &mut client);
}

#[test]
fn warnings_come_beside_a_success_in_the_last_release_only() {
    for (profile, count) in [("3.5", 1), ("3.6", 2)] {
        let sim = Sim::start(&format!("--profile {profile} --warnings on"));
        let mut client = sim.client();
        let answer = client.act("add-domain", "web1", &[]);
        assert!(answer.is_success());
        let tree = answer.tree();
        let data = find(&tree, "data").unwrap();
        assert_eq!(data.children_named("response").count(), count);
        assert_eq!(answer.messages().len(), count - 1);
    }
}

#[test]
fn a_control_file_that_is_wrong_changes_nothing() {
    let sim = Sim::start("--tls off");
    let mut client = bare(&sim);
    sim.control("fault = garbage\nprofile = 1.0");
    assert!(client.ask(&list()).is_success());
}
