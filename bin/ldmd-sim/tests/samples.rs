//! The recorded documents: each request answered, each resource taken, each answer alike in shape.

mod client;

use std::fs;
use std::path::PathBuf;

use client::{Sim, command, content, find, loose, properties, units};
use virt_xml::Element;

fn folder() -> Result<PathBuf, String> {
    test_support::shared("ldoms")
}

fn read(folder: &std::path::Path, name: &str) -> String {
    fs::read_to_string(folder.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// A simulator with everything that the samples name.
fn furnished(options: &str) -> (Sim, client::Client) {
    let sim = Sim::start(options);
    let mut client = sim.client();
    client.add("web1");
    client.must("add-domain", "dbsvc", &[]);
    let volume = [("vol_name", "web1-root"), ("service_name", "primary-vds0"), ("block_dev", "/b")];
    let answer =
        client.ask(&command("add-vdiskserverdevice", &loose(&properties("vds_volume", &volume))));
    assert!(answer.is_success(), "{}", answer.0);
    (sim, client)
}

/// The same tree, but for white space between elements and what answers declare.
fn same(left: &Element<'_>, right: &Element<'_>) -> bool {
    let attrs = |element: &Element<'_>| {
        let attrs = element.attrs.iter().filter(|attr| !attr.name.starts_with("xmlns"));
        attrs.map(|attr| (attr.name.to_string(), attr.value.to_string())).collect::<Vec<_>>()
    };
    let texts = |element: &Element<'_>| match element.elements().next() {
        None => element.text().trim().to_owned(),
        Some(_) => String::new(),
    };
    left.name == right.name
        && attrs(left) == attrs(right)
        && texts(left) == texts(right)
        && left.elements().count() == right.elements().count()
        && left.elements().zip(right.elements()).all(|(left, right)| same(left, right))
}

#[test]
fn every_request_is_done_in_the_releases_that_have_it() {
    let folder = test_support::or_skip!(folder());
    for (file, options) in [
        ("constructed/request-list-domain-all.xml", "--profile 1.1"),
        ("documented/reg-domain-events-request.xml", "--profile 1.1"),
        ("documented/request-set-memory-v1.0.xml", "--profile 1.3"),
        ("documented/request-set-memory-v1.0.xml", "--profile 3.6"),
        ("constructed/request-legacy-v2.0-set-vcpu.xml", "--profile 1.2"),
    ] {
        let (_sim, mut client) = furnished(options);
        let answer = client.ask(&read(&folder, file));
        assert!(answer.is_success(), "{file}, {options}: {}", answer.0);
    }
    for (file, options) in [
        ("documented/request-stop-domain-force-v1.0.xml", "--profile 2.2"),
        ("documented/request-stop-domain-force-v1.3.xml", "--profile 3.2"),
    ] {
        let (_sim, mut client) = furnished(options);
        client.must("bind-domain", "web1", &[]);
        client.must("start-domain", "web1", &[]);
        let answer = client.ask(&read(&folder, file));
        assert!(answer.is_success(), "{file}: {}", answer.0);
    }
    let sim = Sim::start("--profile 1.0");
    let mut client = sim.legacy();
    let add = "<ldom><ldom_info><ldom_name>web1</ldom_name></ldom_info></ldom>";
    let add = command("add-domain", add).replace("3.0", "2.0");
    assert!(client.ask(&add).is_success());
    let answer = client.ask(&read(&folder, "constructed/request-legacy-v2.0-set-vcpu.xml"));
    assert!(answer.is_success(), "{}", answer.0);
}

#[test]
fn the_define_sequence_leaves_the_domain_bound_with_all_it_asks_for() {
    let folder = test_support::or_skip!(folder());
    for profile in ["1.1", "2.2", "3.6"] {
        let sim = Sim::start(&format!("--profile {profile}"));
        let mut client = sim.client();
        let answer = client.ask(&read(&folder, "constructed/request-define-sequence.xml"));
        assert!(answer.is_success(), "{}", answer.0);
        assert_eq!(answer.tree().children_named("cmd").count(), 3);
        assert_eq!(client.state("web1"), "bound");
        let bindings = client.act("list-bindings", "web1", &[]);
        for (path, expected) in [
            ("cpu", "4"),
            ("memory", "2G"),
            ("disk.vol_name", "web1-vd0"),
            ("network.vnet_name", "vn0"),
            ("var.value", "vd0"),
            ("console.group", "web1"),
        ] {
            assert_eq!(bindings.value(path).as_deref(), Some(expected), "{path}");
        }
        let uuid = bindings.value("ldom_info.uuid");
        let expected = (profile != "1.1").then_some("0b6d7c1e-4a52-61f3-9c0d-7e1f5a2b3c4d");
        assert_eq!(uuid.as_deref(), expected, "{profile}");
    }
}

#[test]
fn every_resource_is_taken_by_the_action_it_is_for() {
    let folder = test_support::or_skip!(folder());
    let (_sim, mut client) = furnished("--profile 3.6");
    // What the samples are about must not be there yet, or must be.
    let service = |kind: &str, name: &str| properties(kind, &[("service_name", name)]);
    client.must("remove-vconscon", "primary", &[service("vcc", "primary-vcc0")]);
    for (resource, action) in [
        ("vcc", "add-vconscon"),
        ("cpu", "set-vcpu"),
        ("mau", "set-mau"),
        ("memory", "set-memory"),
        ("disk", "add-vdisk"),
        ("network", "add-vnet"),
        ("var", "set-variable"),
        ("console", "set-vconsole"),
        ("ldom_info", "set-domain"),
        ("spconfig", "add-spconfig"),
    ] {
        let data = read(&folder, &format!("documented/res-{resource}.xml"));
        let answer = client.ask(&command(action, &data));
        assert!(answer.is_success(), "{resource}: {}", answer.0);
    }
    for (resource, kind, before, action) in [
        ("vsw", "vsw", "remove-vswitch", "add-vswitch"),
        ("vds", "vds", "remove-vdiskserver", "add-vdiskserver"),
    ] {
        let name = format!("primary-{resource}0");
        let (_sim, mut client) = furnished("--profile 3.6");
        client.must(before, "primary", &[service(kind, &name)]);
        let data = read(&folder, &format!("documented/res-{resource}.xml"));
        let answer = client.ask(&command(action, &data));
        assert!(answer.is_success(), "{resource}: {}", answer.0);
    }
    let device = read(&folder, "documented/res-physio_device.xml");
    assert!(client.ask(&command("start-reconf", &content("primary", &[]))).is_success());
    for action in ["remove-io", "add-io"] {
        let answer = client.ask(&command(action, &device));
        assert!(answer.is_success(), "{action}: {}", answer.0);
    }
    // The volume is there already; a policy belongs to a domain.
    let volume = client
        .ask(&command("add-vdiskserverdevice", &read(&folder, "documented/res-vds_volume.xml")));
    assert!(!volume.is_success() && volume.messages()[0].contains("already exists"));
    let policy = read(&folder, "documented/res-policy.xml");
    let section = policy.split_once("<References/>").unwrap().1.replace("</Envelope>", "");
    let (_sim, mut client) = furnished("--profile 3.6");
    client.must("add-domain", "busy", &[section]);
    let attack = client.value("list-constraints", "busy", "policy.policy_attack");
    assert_eq!(attack.as_deref(), Some("4"));
}

#[test]
fn answers_and_events_are_those_of_the_samples() {
    let folder = test_support::or_skip!(folder());
    let sim = Sim::start("--profile 1.2");
    let mut client = sim.client();
    let parse = |text: &str| virt_xml::parse(text).unwrap().to_static();
    // Registered, one object failed, malformed.
    let answer = client.ask(&read(&folder, "documented/reg-domain-events-request.xml"));
    let expected = read(&folder, "documented/reg-domain-events-response.xml");
    assert!(same(&answer.tree(), &parse(&expected)), "{}", answer.0);
    let expected = parse(&read(&folder, "documented/response-one-object-failed.xml"));
    let answer = client.act("start-domain", "web9", &[]);
    assert!(same(&answer.tree(), &expected), "{}", answer.0);
    let expected = parse(&read(&folder, "documented/response-malformed-request.xml"));
    let answer = client.ask(&read(&folder, "documented/constraints-data-v2.0.xml"));
    assert!(same(&answer.tree(), &expected), "{}", answer.0);

    sim.control("id = ovf");
    client.add("web1");
    client.until("</LDM_event>");
    client.must("bind-domain", "web1", &[]);
    client.until("</LDM_event>");
    client.must("start-domain", "web1", &[]);
    let event = client.until("</LDM_event>");
    let expected = parse(&read(&folder, "documented/event-start-domain.xml"));
    assert!(same(&parse(&event), &expected), "{event}");
    client.ask(&command("reg-hardware-events", ""));
    let name = properties("spconfig", &[("spconfig_name", "nightly")]);
    client.ask(&command("add-spconfig", &loose(&name)));
    let event = client.until("</LDM_event>").to_lowercase();
    let expected = read(&folder, "documented/event-spconfig.xml").to_lowercase();
    let expected = expected.replace("resourceallocationsection", "virtualhardwaresection");
    let (event, expected) = (parse(&event), parse(&expected));
    assert!(same(&event, &expected));
}

#[test]
fn lists_have_the_shape_of_the_samples() {
    let folder = test_support::or_skip!(folder());
    let (_sim, mut client) = furnished("--profile 2.2");
    client.must("set-vcpu", "web1", &[units("cpu", "2")]);
    client.must("bind-domain", "web1", &[]);
    /// The names and keys of all elements.
    fn shape(element: &Element<'_>, path: &str, into: &mut std::collections::BTreeSet<String>) {
        let key = element.attr("key").unwrap_or_default();
        let path = format!("{path}/{} {key}", element.name);
        element.elements().for_each(|child| shape(child, &path, into));
        into.insert(path);
    }
    for (action, target, sample) in [
        ("list-domain", None, "constructed/response-list-domain-all.xml"),
        ("list-bindings", Some("web1"), "constructed/response-list-bindings.xml"),
    ] {
        let data = target.map(|name| content(name, &[])).unwrap_or_default();
        let answer = client.ask(&command(action, &data));
        let (mut ours, mut theirs) = Default::default();
        shape(&answer.tree(), "", &mut ours);
        let sample = read(&folder, sample);
        shape(&virt_xml::parse(&sample).unwrap(), "", &mut theirs);
        let missing: Vec<_> = theirs.difference(&ours).collect();
        assert!(missing.is_empty(), "{action}: {missing:?}");
    }
    let all = "<action>list-devices</action><option>-a</option><data version=\"3.0\"/>";
    let answer = client.ask(&client::document("1.0", all));
    let sample = read(&folder, "constructed/response-list-devices.xml");
    let tree = virt_xml::parse(&sample).unwrap();
    let (mut ours, mut theirs) = Default::default();
    shape(&answer.tree(), "", &mut ours);
    shape(&tree, "", &mut theirs);
    assert_eq!(theirs.difference(&ours).count(), 0);
    assert!(find(&answer.tree(), "Section").unwrap().elements().count() > 64);
}

#[test]
fn a_migration_tells_its_progress_as_in_the_sample_and_takes_the_domain_away() {
    let folder = test_support::or_skip!(folder());
    let (sim, mut client) = furnished("--profile 2.0 --migrate-delay 40");
    client.must("bind-domain", "web1", &[]);
    client.must("start-domain", "web1", &[]);
    let mut listener = sim.client();
    assert!(listener.ask(&command("reg-all-events", "")).is_success());
    let data = read(&folder, "documented/migrate-domain-data.xml");
    assert!(client.ask(&command("migrate-domain", &data)).is_success());
    for _ in 0..4 {
        let event = listener.until("</LDM_event>");
        let tree = virt_xml::parse(event.trim()).unwrap();
        assert_eq!(find(&tree, "action").unwrap().text(), "migration-process");
        assert!(event.contains("key=\"progress\"") && event.contains("key=\"source\""));
    }
    assert_eq!(listener.event(), ("migrate-domain".to_owned(), "web1".to_owned()));
    client.refused("list-domain", "web1", &[], "does not exist");
}

/// Samples are more than this list knows: whatever one is, it is answered, and the next one too.
#[test]
fn whatever_a_sample_is_it_is_answered_on_every_profile() {
    let folder = test_support::or_skip!(folder());
    let mut samples = Vec::new();
    for part in ["documented", "constructed"] {
        let files = fs::read_dir(folder.join(part)).expect("the samples").flatten();
        samples.extend(files.map(|file| file.path()).filter(|path| {
            let name = path.to_string_lossy();
            name.ends_with(".xml") || name.ends_with(".xml.txt")
        }));
    }
    assert!(samples.len() >= 30, "only {} samples", samples.len());
    for profile in ["1.0", "1.3", "2.2", "3.6"] {
        let sim = Sim::start(&format!("--profile {profile}"));
        let mut client = if profile == "1.0" { sim.legacy() } else { sim.client() };
        for path in &samples {
            let text = fs::read_to_string(path).expect("a sample");
            let inside = match text.split_once("?>") {
                Some((declaration, rest)) if declaration.starts_with("<?xml") => rest.trim(),
                _ => text.trim(),
            };
            // A part of a document is asked for in one, and what is no question is no document.
            let request = match inside.starts_with("<LDM_interface") {
                true => inside.to_owned(),
                false => command("list-constraints", inside),
            };
            let answer = client.ask(&request);
            let tree = answer.tree();
            let judged = tree.children_named("response").count();
            assert_eq!(judged, 1, "{profile} {}: {}", path.display(), answer.0);
        }
        let list = command("list-domain", "");
        let list = if profile == "1.0" { list.replace("3.0", "2.0") } else { list };
        assert!(client.ask(&list).is_success(), "{profile}");
    }
}
