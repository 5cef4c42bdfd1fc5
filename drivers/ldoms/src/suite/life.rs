//! A domain's life, on every release and with every form of answers.

use std::time::Duration;

use test_support::wait_until;
use virt_driver::Connection;
use virt_error::{Code, Result};
use virt_types::api;

use super::sim::{PROFILES, Sim, document};
use crate::facts::State;

fn state(connection: &Connection, name: &str) -> i32 {
    let dom = connection.domain_lookup_by_name(name).expect("the domain is there");
    connection.domain_get_state(&dom, 0).expect("it has a state").state
}

/// What a document says, without what differs from one domain to the next.
fn without_uuid(xml: &str) -> String {
    xml.lines().filter(|line| !line.contains("<uuid>")).collect::<Vec<_>>().join("\n")
}

/// A document without the items that the simulator lists to confuse and takes from nobody.
fn without_unknown(xml: &str) -> String {
    let mut kept = String::new();
    let mut inside = false;
    for line in xml.lines() {
        inside |= line.contains("resource='x-sim-unknown'") && !line.ends_with("/>");
        let odd = inside || line.contains("x-sim-");
        if !odd {
            kept.push_str(line);
            kept.push('\n');
        }
        inside &= !line.contains("</ldoms:item>");
    }
    kept
}

/// Define, look, start, change, plug, stop, remove.
fn live(connection: &Connection, profile: &str) {
    let named = |name: &str| connection.domain_lookup_by_name(name);
    let defined = connection.domain_define_xml(&document("web1", 4, 2048));
    let dom = defined.unwrap_or_else(|error| panic!("{profile}: {error}"));
    assert_eq!((&*dom.name, dom.id), ("web1", -1));
    let all = connection.connect_list_all_domains(0).expect("a list");
    let names: Vec<&str> = all.iter().map(|dom| &*dom.name).collect();
    assert_eq!(names, ["primary", "web1"], "{profile}");
    assert_eq!(connection.domain_lookup_by_uuid(&dom.uuid).expect("by uuid").name, dom.name);
    let info = connection.domain_get_info(&dom).expect("info");
    assert_eq!((info.memory, info.nr_virt_cpu), (2 << 20, 4), "{profile}");

    let started = connection.domain_create_with_flags(&dom, 0).expect("it starts");
    assert!(started.id > 0);
    assert_eq!(state(connection, "web1"), api::DOMAIN_RUNNING);
    assert_eq!(connection.domain_lookup_by_id(started.id).expect("by id").name, dom.name);
    let again = connection.domain_create_with_flags(&dom, 0).expect_err("it runs");
    assert!(again.is(Code::OperationInvalid), "{profile}: {again:?}");
    let vcpus = connection.domain_get_vcpus(&dom, 16, 16).expect("vcpus");
    assert_eq!(vcpus.info.len(), 4, "{profile}");

    connection.domain_set_vcpus(&dom, 6).expect("vcpus are added");
    assert_eq!(connection.domain_get_vcpus_flags(&dom, 0), Ok(6), "{profile}");
    memory(connection, profile);
    plug(connection, profile);

    connection.domain_shutdown(&dom).expect("it stops");
    assert_eq!(state(connection, "web1"), api::DOMAIN_SHUTOFF, "{profile}");
    let text = connection.domain_get_xml_desc(&dom, api::DOMAIN_XML_INACTIVE).expect("a document");
    connection.domain_destroy(&dom).expect("its resources are given back");
    let twice = connection.domain_destroy(&dom).expect_err("it is inactive");
    assert!(twice.is(Code::OperationInvalid), "{profile}: {twice:?}");
    connection.domain_undefine(&dom).expect("it is removed");
    assert!(named("web1").expect_err("it is gone").is(Code::NoDomain));

    let text = without_unknown(&text);
    let dom = connection.domain_define_xml(&text).expect("what was dumped defines it again");
    let again = connection.domain_get_xml_desc(&dom, api::DOMAIN_XML_INACTIVE).expect("a document");
    let again = without_unknown(&again);
    assert_eq!(without_uuid(&again), without_uuid(&text), "{profile}");
    let same = connection.domain_define_xml(&again).expect("the same again is no change");
    assert_eq!(same.uuid, dom.uuid, "{profile}");
    let bigger = again.replace(">6</vcpu>", ">3</vcpu>");
    connection.domain_define_xml(&bigger).expect("another definition");
    assert_eq!(connection.domain_get_vcpus_flags(&dom, 0), Ok(3), "{profile}");
    let dom = named("web1").expect("it is there");
    connection.domain_undefine(&dom).expect("bound domains are removed too");
}

/// Memory changes at once from 2.0; before, at the next start or not at all; always truthfully.
fn memory(connection: &Connection, profile: &str) {
    let dom = connection.domain_lookup_by_name("web1").expect("it is there");
    let asked = connection.domain_set_memory(&dom, 3 << 20);
    let has = connection.domain_get_info(&dom).expect("info").memory;
    match profile {
        "1.0" | "1.1" => {
            asked.expect("it is taken note of");
            assert_eq!(has, 2 << 20, "{profile}");
            assert_eq!(connection.domain_is_updated(&dom), Ok(true), "{profile}");
            let live = connection.domain_set_memory_flags(&dom, 3 << 20, api::DOMAIN_MEM_LIVE);
            assert!(live.expect_err("not now").message().contains("restart"), "{profile}");
            // Other changes go on after the restart.
            connection.domain_shutdown(&dom).expect("it stops");
            let dom = connection.domain_create_with_flags(&dom, 0).expect("it starts");
            assert_eq!(connection.domain_get_info(&dom).expect("info").memory, 3 << 20);
            assert_eq!(connection.domain_is_updated(&dom), Ok(false), "{profile}");
        }
        "1.2" | "1.3" => {
            let error = asked.expect_err("refused while it runs");
            assert!(error.is(Code::OperationInvalid), "{profile}: {error:?}");
        }
        _ => {
            asked.expect("it has it");
            assert_eq!(has, 3 << 20, "{profile}");
            let odd = connection.domain_set_memory(&dom, (3 << 20) + 1024);
            let error = odd.expect_err("256 MB steps");
            assert!(error.message().contains("256MB"), "{profile}: {error:?}");
        }
    }
}

fn plug(connection: &Connection, profile: &str) {
    let dom = connection.domain_lookup_by_name("web1").expect("it is there");
    let disk = "<disk type='block'><source dev='/dev/zvol/dsk/two'/><target dev='vd1'/></disk>";
    let net = "<interface type='bridge'><mac address='00:14:4f:fc:00:07'/>\
               <source bridge='primary-vsw0'/></interface>";
    for (device, trace) in [(disk, "/dev/zvol/dsk/two"), (net, "00:14:4f:fc:00:07")] {
        let attached = connection.domain_attach_device_flags(&dom, device, 0);
        if profile.starts_with("1.0") || profile == "1.1" {
            // Compat: it is there after the next restart; the definition has it now or then.
            attached.unwrap_or_else(|error| assert!(error.is(Code::OperationInvalid), "{error:?}"));
            connection.domain_shutdown(&dom).expect("it stops");
            let dom = connection.domain_create_with_flags(&dom, 0).expect("it starts");
            let xml = connection.domain_get_xml_desc(&dom, 0).expect("a document");
            if xml.contains(trace) {
                connection.domain_detach_device_flags(&dom, device, 0).expect("it goes");
                connection.domain_shutdown(&dom).expect("it stops");
                connection.domain_create_with_flags(&dom, 0).expect("it starts");
            }
            continue;
        }
        attached.unwrap_or_else(|error| panic!("{profile}: {error}"));
        let xml = connection.domain_get_xml_desc(&dom, 0).expect("a document");
        assert!(xml.contains(trace), "{profile}: {xml}");
        connection.domain_detach_device_flags(&dom, device, 0).expect("it goes");
        let xml = connection.domain_get_xml_desc(&dom, 0).expect("a document");
        assert!(!xml.contains(trace), "{profile}: {xml}");
        let gone = connection.domain_detach_device_flags(&dom, device, 0);
        assert!(gone.expect_err("it is gone").is(Code::DeviceMissing), "{profile}");
    }
}

#[test]
fn a_domain_lives_on_every_release() {
    for profile in PROFILES {
        let sim = Sim::start(profile, &[]);
        live(&sim.connect(), profile);
    }
}

#[test]
fn a_domain_lives_whatever_form_answers_have() {
    // The same is said on every stream; the oldest release and the newest differ most.
    let some: &[&str] = &["1.0", "3.6"];
    for profile in if test_support::long_run() { PROFILES } else { some } {
        let sim = Sim::start(profile, &[]);
        for setting in [
            "answers = one",
            "id = ovf",
            "names = undeclared",
            "names = odd",
            "layout = pretty",
            "sizes = bytes",
            "status = upper",
            "declaration = on",
            "extras = on",
            "warnings = on",
        ] {
            if setting.starts_with("warnings") && *profile != "3.6" {
                continue;
            }
            sim.set(setting);
            // A manager of its own: the forms of answers are learnt from the start.
            live(&sim.connect(), profile);
        }
    }
}

/// The manager's guides call interfaces as libvirt calls devices that it makes up.
#[test]
fn interfaces_have_the_names_they_are_given() {
    let sim = Sim::start("3.6", &[]);
    let connection = sim.connect();
    let xml = document("web1", 1, 256).replace(
        "<source bridge='primary-vsw0'/>",
        "<source bridge='primary-vsw0'/><target dev='vnet3'/>",
    );
    let dom = connection.domain_define_xml(&xml).expect("it is defined");
    let more = "<interface type='bridge'><source bridge='primary-vsw0'/>\
                <target dev='vnet7'/></interface>";
    connection.domain_attach_device_flags(&dom, more, 0).expect("it comes");
    let text = connection.domain_get_xml_desc(&dom, api::DOMAIN_XML_INACTIVE).expect("a document");
    assert!(
        text.contains("<target dev='vnet3'/>") && text.contains("<target dev='vnet7'/>"),
        "{text}"
    );
    connection.domain_undefine(&dom).expect("it goes");
    let dom = connection.domain_define_xml(&text).expect("it is defined again");
    let again = connection.domain_get_xml_desc(&dom, api::DOMAIN_XML_INACTIVE).expect("a document");
    assert_eq!(without_uuid(&again), without_uuid(&text));
}

#[test]
fn warnings_are_told_with_the_domain() {
    let sim = Sim::start("3.6", &[]);
    sim.set("warnings = on");
    let connection = sim.connect();
    let dom = connection.domain_define_xml(&document("web1", 1, 256)).expect("it is defined");
    let messages = connection.domain_get_messages(&dom, 0).expect("messages");
    assert!(!messages.is_empty());
    let xml = document("web2", 1, 256)
        .replace("<devices>", "<title>t</title><devices><input type='keyboard' bus='usb'/>");
    let dom = connection.domain_define_xml(&xml).expect("it is defined");
    let messages = connection.domain_get_messages(&dom, 0).expect("messages");
    assert!(messages.iter().any(|said| said.contains("not kept") && said.contains("input")));
}

#[test]
fn what_cannot_be_bound_is_told_and_nothing_is_left_of_a_create() {
    let sim = Sim::start("3.6", &["--strands", "16"]);
    let connection = sim.connect();
    let dom = connection.domain_define_xml(&document("big", 99, 256)).expect("it is defined");
    let messages = connection.domain_get_messages(&dom, 0).expect("messages");
    assert!(messages.iter().any(|said| said.contains("not bound")), "{messages:?}");
    let refused = connection.domain_create_with_flags(&dom, 0).expect_err("no strands");
    assert!(refused.message().contains("bind-domain of 'big'"), "{refused:?}");
    let refused = connection.domain_create_xml(&document("more", 99, 256), 0);
    assert!(refused.is_err());
    let missing = connection.domain_lookup_by_name("more").expect_err("nothing is left");
    assert!(missing.is(Code::NoDomain));
    connection.domain_undefine(&dom).expect("it is removed");
    let created = connection.domain_create_xml(&document("more", 2, 256), 0).expect("it runs");
    assert!(created.id > 0);
}

#[test]
fn the_control_domain_stays_and_names_stay() {
    let sim = Sim::start("3.6", &[]);
    let connection = sim.connect();
    let primary = connection.domain_lookup_by_name("primary").expect("it is there");
    assert_eq!(primary.id, 0);
    for refused in [
        connection.domain_destroy(&primary),
        connection.domain_shutdown(&primary),
        connection.domain_undefine(&primary),
    ] {
        assert!(refused.expect_err("it stays").is(Code::OperationInvalid));
    }
    let renamed = connection.domain_rename(&primary, Some("other"), 0).expect_err("no way");
    assert!(renamed.is(Code::OperationUnsupported));
}

#[test]
fn guests_that_do_less_than_asked_are_told_of() {
    let sim = Sim::start("3.6", &[]);
    let connection = sim.connect();
    let dom = connection.domain_create_xml(&document("web1", 8, 512), 0).expect("it runs");
    sim.set("guest = web1=partial-cpu");
    let error = connection.domain_set_vcpus(&dom, 2).expect_err("half of them stay");
    assert!(error.message().contains("set-vcpu of 'web1'"), "{error:?}");
    sim.set("guest = web1=no-drd");
    let error = connection.domain_set_vcpus(&dom, 6).expect_err("it takes no changes");
    assert!(error.message().contains("set-vcpu of 'web1'"), "{error:?}");
    sim.set("guest = web1=ignores-stop");
    let error = connection.domain_shutdown(&dom).expect_err("it goes on");
    assert!(error.message().contains("stop-domain of 'web1'"), "{error:?}");
    assert_eq!(state(&connection, "web1"), api::DOMAIN_RUNNING);
    connection.domain_destroy(&dom).expect("by force");
    assert_eq!(state(&connection, "web1"), api::DOMAIN_SHUTOFF);
}

#[test]
fn what_takes_its_time_is_told_as_what_it_is_meanwhile() {
    let sim = Sim::start("3.6", &[]);
    let connection = sim.connect();
    let dom = connection.domain_define_xml(&document("web1", 1, 256)).expect("it is defined");
    let during = |delay: &str, told: (State, i32), act: &(dyn Fn() -> Result<()> + Sync)| {
        sim.set(&format!("{delay} = 3000"));
        std::thread::scope(|scope| {
            let acting = scope.spawn(act);
            let seen = wait_until(Duration::from_secs(20), || {
                // A client that knows nothing from before.
                let facts = sim.manager().named(None, "web1").expect("a list");
                facts.is_some_and(|facts| (facts.state, facts.state.public()) == told)
            });
            acting.join().expect("no panic").unwrap_or_else(|error| panic!("{delay}: {error}"));
            assert!(seen, "{delay}");
        });
        sim.set("");
    };
    let start = || connection.domain_create_with_flags(&dom, 0).map(drop);
    during("start-delay", (State::Starting, api::DOMAIN_RUNNING), &start);
    let shutdown = || connection.domain_shutdown(&dom);
    during("stop-delay", (State::Stopping, api::DOMAIN_SHUTDOWN), &shutdown);
    let destroy = || connection.domain_destroy(&dom);
    during("unbind-delay", (State::Unbinding, api::DOMAIN_SHUTOFF), &destroy);
    during("bind-delay", (State::Binding, api::DOMAIN_SHUTOFF), &start);
    sim.set("boot-delay = 60000");
    connection.domain_destroy(&dom).expect("it ends");
    start().expect("it starts");
    assert_eq!(state(&connection, "web1"), api::DOMAIN_RUNNING, "a guest in OpenBoot runs");
}

#[test]
fn a_name_that_the_manager_does_not_take_is_told_with_what_it_takes() {
    let sim = Sim::start("3.6", &[]);
    let connection = sim.connect();
    for name in ["a b", "ü", "-x", &"n".repeat(300)] {
        let error = connection.domain_define_xml(&document(name, 1, 256)).expect_err(name);
        assert!(error.message().contains(&format!("no domain named '{name}'")), "{error}");
        assert!(error.hint().is_some_and(|hint| hint.contains("letters, digits and")), "{error:?}");
    }
    for name in ["a-b_c", "0#x"] {
        connection.domain_define_xml(&document(name, 1, 256)).expect(name);
    }
}
