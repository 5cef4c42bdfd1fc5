//! Domains from their definition to their end: states, resources, events, restarts.

mod client;

use std::time::Duration;

use client::{Client, Sim, command, content, document, loose, properties, units};
use test_support::{Signal, wait_until};

const ALL: [&str; 4] = ["add-domain", "bind-domain", "start-domain", "stop-domain"];

fn with_option(action: &str, option: &str, inside: &str) -> String {
    let body = format!(
        "<action>{action}</action><option>{option}</option><data version=\"3.0\">{inside}</data>"
    );
    document("1.0", &body)
}

fn started(client: &mut Client, name: &str) {
    client.add(name);
    client.must("bind-domain", name, &[]);
    client.must("start-domain", name, &[]);
}

fn volume(name: &str) -> String {
    let pairs = [("vol_name", name), ("service_name", "primary-vds0"), ("block_dev", "/dev/x")];
    loose(&properties("vds_volume", &pairs))
}

fn disk(name: &str, volume: &str) -> String {
    let pairs = [("vdisk_name", name), ("service_name", "primary-vds0"), ("vol_name", volume)];
    properties("disk", &pairs)
}

#[test]
fn a_domain_goes_through_its_states_in_order_only_and_others_hear_of_it() {
    for profile in ["1.1", "1.3", "2.2", "3.6"] {
        let sim = Sim::start(&format!("--profile {profile}"));
        let (mut client, mut listener) = (sim.client(), sim.client());
        assert!(listener.ask(&command("reg-domain-events", "")).is_success());
        client.refused("bind-domain", "web1", &[], "does not exist");
        client.add("web1");
        client.refused("add-domain", "web1", &[], "already exists");
        client.refused("start-domain", "web1", &[], "inactive state");
        client.refused("stop-domain", "web1", &[], "inactive state");
        client.must("bind-domain", "web1", &[]);
        assert_eq!(client.state("web1"), "bound");
        client.refused("remove-domain", "web1", &[], "must be unbound");
        client.must("start-domain", "web1", &[]);
        assert_eq!(client.state("web1"), "active");
        client.refused("unbind-domain", "web1", &[], "active state");
        client.must("stop-domain", "web1", &[]);
        assert_eq!(client.state("web1"), "bound");
        client.must("unbind-domain", "web1", &[]);
        client.must("remove-domain", "web1", &[]);
        for action in ALL.iter().chain(&["unbind-domain", "remove-domain"]) {
            assert_eq!(listener.event(), ((*action).to_owned(), "web1".to_owned()));
        }
        for action in ["stop-domain", "unbind-domain", "remove-domain"] {
            client.refused(action, "primary", &[], "primary");
        }
    }
}

#[test]
fn binding_takes_all_or_nothing_and_what_was_taken_comes_back() {
    let sim = Sim::start("--strands 16 --memory 16G --primary-vcpus 4 --primary-memory 4G");
    let mut client = sim.client();
    let free = |client: &mut Client| {
        let answer = client.ask(&command("list-devices", ""));
        (answer.0.matches(">cpu<").count(), answer.value("memory.size"))
    };
    let before = free(&mut client);
    assert_eq!(before.0, 12);
    client.must("add-domain", "big", &[units("cpu", "13"), units("memory", "1G")]);
    client.refused("bind-domain", "big", &[], "VCPUs");
    client.must("set-vcpu", "big", &[units("cpu", "8")]);
    client.must("set-memory", "big", &[units("memory", "13G")]);
    client.refused("bind-domain", "big", &[], "Unable to bind 13G memory region");
    assert_eq!((client.state("big"), free(&mut client)), ("inactive".to_owned(), before.clone()));
    // Sizes are rounded up when they are bound.
    client.must("set-memory", "big", &[units("memory", "1965M")]);
    client.must("bind-domain", "big", &[]);
    let bound = client.value("list-domain", "big", "memory");
    assert_eq!(bound.as_deref(), Some("1968M"));
    let asked = client.value("list-constraints", "big", "memory");
    assert_eq!(asked.as_deref(), Some("1965M"));
    assert_eq!(free(&mut client).0, 4);
    client.must("unbind-domain", "big", &[]);
    assert_eq!(free(&mut client), before);
    client.must("add-domain", "empty", &[]);
    client.refused("bind-domain", "empty", &[], "no VCPUs");
}

#[test]
fn whole_cores_and_crypto_units_are_counted() {
    let sim = Sim::start("--profile 3.0 --strands 32 --threads-per-core 8 --primary-vcpus 2");
    let mut client = sim.client();
    client.must("add-domain", "web1", &[units("core", "2"), units("memory", "1G")]);
    client.must("bind-domain", "web1", &[]);
    assert_eq!(client.value("list-domain", "web1", "cpu").as_deref(), Some("16"));
    client.refused("set-vcpu", "web1", &[units("cpu", "3")], "by core");
    client.must("add-core", "web1", &[units("core", "1")]);
    assert_eq!(client.value("list-bindings", "web1", "core").as_deref(), Some("3"));
    client.refused("add-core", "web1", &[units("core", "1")], "cores");
    assert_eq!(client.value("list-domain", "web1", "cpu").as_deref(), Some("24"));
    client.must("set-mau", "web1", &[units("mau", "3")]);
    client.refused("set-mau", "web1", &[units("mau", "4")], "MAUs");
    assert_eq!(client.value("list-bindings", "web1", "mau").as_deref(), Some("3"));
}

#[test]
fn disks_and_volumes_hold_on_to_each_other() {
    let sim = Sim::start("");
    let mut client = sim.client();
    client.add("web1");
    client.add("web2");
    client.refused("add-vdisk", "web1", &[disk("vd0", "root")], "does not exist");
    assert!(client.ask(&command("add-vdiskserverdevice", &volume("root"))).is_success());
    assert!(!client.ask(&command("add-vdiskserverdevice", &volume("root"))).is_success());
    client.must("add-vdisk", "web1", &[disk("vd0", "root")]);
    client.refused("add-vdisk", "web2", &[disk("vd0", "root")], "is attached");
    let remove = command("remove-vdiskserverdevice", &volume("root"));
    assert!(client.ask(&remove).messages()[0].contains("is attached"));
    let server = [properties("vds", &[("service_name", "primary-vds0")])];
    client.refused("remove-vdiskserver", "primary", &server, "is attached");
    client.must("remove-vdisk", "web1", &[disk("vd0", "root")]);
    assert!(client.ask(&remove).is_success());

    let network = |name: &str, mac: &str| {
        let pairs = [("vnet_name", name), ("service_name", "primary-vsw0")];
        let address = format!("<rasd:Address>{mac}</rasd:Address></Item>");
        properties("network", &pairs).replace("</Item>", &address)
    };
    client.must("add-vnet", "web1", &[network("vn0", "00:14:4f:f9:00:0b")]);
    client.refused("add-vnet", "web2", &[network("vn0", "00:14:4F:F9:00:0B")], "already exists");
    client.refused("add-vnet", "web2", &[network("vn0", "x")], "Invalid MAC");
}

#[test]
fn memory_of_a_running_domain_changes_as_its_release_can() {
    let set = |size: &str| [units("memory", size)];
    // At once, in steps of 256 MB.
    let sim = Sim::start("--profile 2.0 --guest stiff=no-drd");
    let mut client = sim.client();
    started(&mut client, "web1");
    client.refused("set-memory", "web1", &set("2100M"), "must be a multiple of 256MB.");
    client.must("set-memory", "web1", &set("3G"));
    assert_eq!(client.value("list-domain", "web1", "memory").as_deref(), Some("3G"));
    client.must("remove-memory", "web1", &set("256M"));
    let adjusted = with_option("add-memory", "--auto-adj", &content("web1", &set("100M")));
    assert!(client.ask(&adjusted).is_success());
    assert_eq!(client.value("list-domain", "web1", "memory").as_deref(), Some("3G"));
    client.refused("remove-memory", "web1", &set("4G"), "does not have that many");
    started(&mut client, "stiff");
    client.refused("set-memory", "stiff", &set("3G"), "drd");
    client.refused("set-vcpu", "stiff", &[units("cpu", "5")], "drd");
    // Refused in between.
    let sim = Sim::start("--profile 1.3");
    let mut client = sim.client();
    started(&mut client, "web1");
    client.refused("set-memory", "web1", &set("3G"), "active state");
    client.must("set-vcpu", "web1", &[units("cpu", "6")]);
}

#[test]
fn a_guest_may_give_up_only_some_of_its_processors() {
    let sim = Sim::start("--guest partial-cpu");
    let mut client = sim.client();
    started(&mut client, "web1");
    client.refused("set-vcpu", "web1", &[units("cpu", "1")], "Only 1 of 3");
    assert_eq!(client.value("list-domain", "web1", "cpu").as_deref(), Some("3"));
    client.refused("remove-vcpu", "web1", &[units("cpu", "9")], "that many");
}

#[test]
fn early_releases_put_off_what_a_running_guest_cannot_take() {
    let sim = Sim::start("--profile 1.1");
    let mut client = sim.client();
    started(&mut client, "web1");
    client.add("web2");
    client.must("set-memory", "web1", &[units("memory", "3G")]);
    assert_eq!(client.value("list-domain", "web1", "memory").as_deref(), Some("2G"));
    let flags = client.value("list-domain", "web1", "ldom_info.flags");
    assert_eq!(flags.as_deref(), Some("normal,delayed"));
    client.refused("set-vcpu", "web2", &[units("cpu", "1")], "delayed reconfiguration");
    client.must("stop-domain", "web1", &[]);
    assert_eq!(client.value("list-domain", "web1", "memory").as_deref(), Some("3G"));
    client.must("set-vcpu", "web2", &[units("cpu", "1")]);
}

#[test]
fn the_control_domain_reconfigures_at_its_reboot_or_not_at_all() {
    let sim = Sim::start("--profile 1.3");
    let mut client = sim.client();
    let mut listener = sim.client();
    listener.ask(&command("reg-domain-events", ""));
    client.must("set-memory", "primary", &[units("memory", "4G")]);
    client.refused("add-domain", "web1", &[], "delayed reconfiguration");
    let cancel = with_option("cancel-operation", "reconf", &content("primary", &[]));
    assert!(client.ask(&cancel).is_success());
    client.must("add-domain", "web1", &[]);
    assert_eq!(listener.event().0, "add-domain");
    client.must("set-memory", "primary", &[units("memory", "4G")]);
    assert_eq!(client.value("list-domain", "primary", "memory").as_deref(), Some("8G"));
    sim.signal(Signal::USR1);
    assert_eq!(listener.event(), ("domain-reset".to_owned(), "primary".to_owned()));
    assert_eq!(client.value("list-domain", "primary", "memory").as_deref(), Some("4G"));
    // Later releases want to be told first.
    let sim = Sim::start("--profile 3.0");
    let mut client = sim.client();
    let bus = [properties("physio_device", &[("name", "pci@500")])];
    client.refused("remove-io", "primary", &bus, "delayed reconfiguration");
    client.must("start-reconf", "primary", &[]);
    client.must("remove-io", "primary", &bus);
    client.must("remove-reconf", "primary", &[]);
    client.refused("remove-reconf", "primary", &[], "not in delayed");
}

#[test]
fn a_guest_that_does_not_stop_is_stopped_by_force() {
    let sim = Sim::start("--guest ignores-stop --stop-timeout 50");
    let mut client = sim.client();
    started(&mut client, "web1");
    client.refused("stop-domain", "web1", &[], "timed out");
    assert_eq!(client.state("web1"), "active");
    let inside = content("web1", &[]);
    assert!(client.ask(&with_option("stop-domain", "-f", &inside)).is_success());
    assert_eq!(client.state("web1"), "bound");
    sim.control("guest = normal");
    client.must("start-domain", "web1", &[]);
    client.must("stop-domain", "web1", &[]);
}

#[test]
fn changes_that_take_time_show_their_state_meanwhile() {
    let sim = Sim::start(
        "--bind-delay 300 --start-delay 300 --stop-delay 300 --unbind-delay 300 --boot-delay 60000",
    );
    let (mut client, mut other) = (sim.client(), sim.client());
    client.add("web1");
    for (action, meanwhile, after) in [
        ("bind-domain", "binding", "bound"),
        ("start-domain", "starting", "active"),
        ("stop-domain", "stopping", "bound"),
        ("unbind-domain", "unbinding", "inactive"),
    ] {
        client.send(&command(action, &content("web1", &[])));
        let seen = wait_until(Duration::from_secs(5), || other.state("web1") == meanwhile);
        assert!(seen, "{meanwhile}");
        other.refused("set-vcpu", "web1", &[units("cpu", "2")], "busy");
        assert!(client.answer().is_success());
        assert_eq!(other.state("web1"), after);
        if action == "start-domain" {
            let flags = other.value("list-domain", "web1", "ldom_info.flags");
            assert_eq!(flags.as_deref(), Some("transition"));
        }
    }
}

#[test]
fn a_manager_that_was_killed_finds_its_domains_again() {
    let mut sim = Sim::start("--state-dir STATE");
    let mut client = sim.client();
    started(&mut client, "web1");
    client.add("web2");
    client.add("gone");
    client.must("remove-domain", "gone", &[]);
    let variable = [properties("var", &[("name", "boot-device"), ("value", "a &lt; b")])];
    client.must("set-variable", "web2", &variable);
    let before = client.act("list-bindings", "web1", &[]).0;
    let uptime = |text: &str| text.split("\"uptime\"").count();
    sim.kill();
    sim.restart();
    let mut client = sim.client();
    assert_eq!((client.state("web1"), client.state("web2")), ("active".into(), "inactive".into()));
    assert_eq!(uptime(&client.act("list-bindings", "web1", &[]).0), uptime(&before));
    let port = client.value("list-bindings", "web1", "console.port");
    assert!(before.contains(&format!(">{}<", port.unwrap())));
    let value = client.value("list-constraints", "web2", "var.value");
    assert_eq!(value.as_deref(), Some("a < b"));
    client.refused("list-domain", "gone", &[], "does not exist");
}

#[test]
fn what_is_listed_as_constraints_can_be_added_again() {
    let sim = Sim::start("--profile 2.2");
    let mut client = sim.client();
    client.must(
        "add-domain",
        "web1",
        &[
            units("cpu", "3"),
            units("memory", "1536M"),
            units("mau", "1"),
            properties("var", &[("name", "auto-boot?"), ("value", "false")]),
            properties(
                "network",
                &[("vnet_name", "vn0"), ("service_name", "primary-vsw0"), ("x", "1")],
            ),
        ],
    );
    let listed = client.act("list-constraints", "web1", &[]).0;
    client.must("remove-domain", "web1", &[]);
    let from = listed.find("<Envelope>").unwrap();
    let to = listed.find("</Envelope>").unwrap() + "</Envelope>".len();
    assert!(client.ask(&command("add-domain", &listed[from..to])).is_success());
    assert_eq!(client.act("list-constraints", "web1", &[]).0, listed);
}

#[test]
fn later_releases_list_what_domains_depend_on_and_the_devices() {
    let sim = Sim::start("--profile 3.5");
    let mut client = sim.client();
    client.must("add-domain", "web1", &[]);
    let master = properties("ldom_info", &[("master", "web1")]);
    client.must("add-domain", "web2", &[master]);
    let master = client.value("list-dependencies", "web2", "ldom_info.master");
    assert_eq!(master.as_deref(), Some("web1"));
    let answer = client.ask(&command("list-io", ""));
    assert_eq!(answer.value("physio_device.bound").as_deref(), Some("primary"));
    let sim = Sim::start("--profile 3.4");
    let answer = sim.client().ask(&command("list-io", ""));
    assert_eq!(answer.messages(), ["Unknown action list-io"]);
}

#[test]
fn five_hundred_domains_are_listed_in_one_answer() {
    let sim = Sim::start("--strands 1024 --memory 512G --console-ports 0");
    let mut client = sim.client();
    for number in 0..500 {
        let name = format!("d{number}");
        client.must("add-domain", &name, &[units("cpu", "1"), units("memory", "64M")]);
        client.must("bind-domain", &name, &[]);
    }
    let answer = client.ask(&command("list-domain", ""));
    assert!(answer.is_success());
    assert_eq!(answer.tree().child("cmd").unwrap().children_named("data").count(), 501);
}
