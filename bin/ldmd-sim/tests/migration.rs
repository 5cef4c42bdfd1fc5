//! Domains that go from one simulator to another.

mod client;

use client::{Client, Sim, command, content, document, properties, units};

/// root, s3cret
const CREDENTIALS: [(&str, &str); 2] = [("username", "cm9vdA=="), ("password", "czNjcmV0")];

fn migrate(client: &mut Client, name: &str, new_name: &str, host: &str) -> client::Answer {
    let target = [&[("target", host)], CREDENTIALS.as_slice()].concat();
    let envelope = content(name, &[]).replace(
        "</Envelope>",
        &format!(
            "<Content id=\"{new_name}\">{}</Content></Envelope>",
            properties("ldom_info", &target)
        ),
    );
    client.ask(&command("migrate-domain", &envelope))
}

fn pair(options: &str) -> (Sim, Sim) {
    let target = Sim::start("--profile 2.2 --remote-listen 127.0.0.1:0 --memory 32G");
    target.scratch.write("users", "root:s3cret:write\n");
    let address = target.address("remote-listen");
    let source = Sim::start(&format!("--profile 3.0 --peer ctl-b={address} {options}"));
    (source, target)
}

#[test]
fn an_active_domain_runs_on_the_other_machine_with_all_it_had() {
    let (source, target) = pair("--migrate-delay 8");
    let (mut here, mut there) = (source.client(), target.client());
    let variable = properties("var", &[("name", "boot-device"), ("value", "net")]);
    here.must("add-domain", "web1", &[units("cpu", "4"), units("memory", "2G"), variable]);
    here.must("bind-domain", "web1", &[]);
    here.must("start-domain", "web1", &[]);
    let mac = here.value("list-domain", "web1", "ldom_info.Address");
    let answer = migrate(&mut here, "web1", "web1b", "ctl-b");
    assert!(answer.is_success(), "{}", answer.0);
    here.refused("list-domain", "web1", &[], "does not exist");
    assert_eq!(there.state("web1b"), "active");
    assert_eq!(there.value("list-domain", "web1b", "ldom_info.Address"), mac);
    let variable = there.value("list-constraints", "web1b", "var.value");
    assert_eq!(variable.as_deref(), Some("net"));
}

#[test]
fn a_domain_stays_where_it_was_if_the_other_machine_does_not_take_it() {
    let (source, target) = pair("");
    let (mut here, mut there) = (source.client(), target.client());
    here.must("add-domain", "big", &[units("cpu", "4"), units("memory", "64G")]);
    here.must("bind-domain", "big", &[]);
    let answer = migrate(&mut here, "big", "big", "ctl-b");
    let why = answer.messages().join("\n");
    assert!(why.contains("Unable to bind 64G") && why.contains("Domain Migration of LDom big"));
    assert_eq!(here.state("big"), "bound");
    there.refused("list-domain", "big", &[], "does not exist");
    target.scratch.write("users", "root:other:write\n");
    let answer = migrate(&mut here, "big", "big", "ctl-b");
    assert!(answer.messages()[0].contains("not authorized"), "{}", answer.0);
    assert_eq!(here.state("big"), "bound");
    let answer = migrate(&mut here, "primary", "primary", "ctl-b");
    assert!(answer.messages()[0].contains("control domain"));
}

#[test]
fn a_cancelled_migration_leaves_nothing_behind() {
    let (source, target) = pair("--migrate-delay 4000");
    let (mut here, mut there) = (source.client(), target.client());
    here.add("web1");
    here.must("bind-domain", "web1", &[]);
    here.must("start-domain", "web1", &[]);
    let mut other = source.client();
    let mover = std::thread::spawn(move || migrate(&mut here, "web1", "web1", "ctl-b"));
    let limit = std::time::Duration::from_secs(5);
    assert!(test_support::wait_until(limit, || other.state("web1") == "suspended"));
    let cancel = format!(
        "<action>cancel-operation</action><option>migration</option><data version=\"3.0\">{}</data>",
        content("web1", &[])
    );
    assert!(other.ask(&document("1.0", &cancel)).is_success());
    assert_eq!(other.state("web1"), "active");
    let answer = mover.join().unwrap();
    assert!(answer.messages()[0].contains("cancelled"), "{}", answer.0);
    there.refused("list-domain", "web1", &[], "does not exist");
}
