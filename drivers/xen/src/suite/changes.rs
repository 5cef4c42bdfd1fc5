//! Tool stacks that come and go while a connection is open.

use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;

use test_support::wait_until;
use virt_driver::Connection;

use super::sim::{LONG, Sim, Way, paravirtual};
use crate::config::Config;
use crate::hypercalls::Calls;
use crate::hypercalls::layout::LAYOUTS;
use crate::hypercalls::tests::Fake;
use crate::open;

/// A hypervisor with three domains, where the device's file is there.
fn gateway(config: &Config) -> Option<Calls> {
    let (fake, _) = Fake::new(LAYOUTS[4], 3);
    config.privcmd.exists().then(|| Calls::probe(Box::new(fake)).expect("its interface"))
}

/// Numbers and names of what runs.
fn running(connection: &Connection) -> Result<Vec<(i32, String)>, String> {
    let all = connection.connect_list_all_domains(virt_types::api::CONNECT_LIST_DOMAINS_ACTIVE);
    let all = all.map_err(|error| error.message().to_owned())?;
    Ok(all.into_iter().map(|dom| (dom.id, dom.name.to_string())).collect())
}

#[test]
fn tool_stacks_come_and_go_under_an_open_connection() {
    let mut sim = Sim::start("4.4", &[]);
    let (xl, privcmd) = (sim.dir.join("xl"), sim.dir.join("privcmd"));
    let mut settings = sim.settings(Way::Unix);
    let conf = std::fs::read_to_string(&settings.config).expect("its configuration");
    let conf = conf.replace("privcmd = \"\"", &format!("privcmd = \"{}\"", privcmd.display()));
    let conf = conf.replace("\"/nowhere\"", &format!("\"{}\"", xl.display()));
    settings.config = sim.dir.write("both.conf", conf);
    let driver = open::start_through(settings, gateway).expect("xend is there");
    let connection = Connection::new(vec![Arc::new(driver)], "xen:///system", false);
    connection.domain_create_xml(&paravirtual("old", ""), 0).expect("xend makes it");
    let ids = || running(&connection).map(|all| all.iter().map(|(id, _)| *id).collect::<Vec<_>>());
    assert_eq!(ids(), Ok(vec![0, 1]), "as xend tells");

    // The hypervisor's device comes: it is asked from then on, beside xend.
    std::fs::write(&privcmd, "").expect("a file");
    assert!(wait_until(LONG, || ids() == Ok(vec![0, 2, 4])), "{:?}", ids());

    // xend goes, and its socket stays: what is missing is said.
    sim.stop();
    std::fs::remove_file(&privcmd).expect("it goes");
    let missing = || connection.domain_define_xml(&paravirtual("new", "")).map(drop);
    assert!(wait_until(LONG, || missing().is_err_and(|e| e.message().contains("xend"))));

    // Another tool stack comes.
    std::fs::write(&privcmd, "").expect("a file");
    std::fs::write(&xl, "#!/bin/sh\nexit 1\n").expect("a program");
    let mode = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(&xl, mode).expect("a program");
    assert!(wait_until(LONG, || missing().is_ok()), "{:?}", missing());
    let kept = sim.dir.join("driver/config/new.xml");
    assert!(kept.exists(), "definitions are files of ours there");

    // xend comes again, and is the tool stack again.
    sim.restart();
    let there = || {
        let all = connection.connect_list_all_domains(0).unwrap_or_default();
        all.iter().all(|dom| *dom.name != *"new") && ids() == Ok(vec![0, 2, 4])
    };
    assert!(wait_until(LONG, there), "{:?}", running(&connection));
    std::fs::remove_file(&privcmd).expect("it goes");
    assert!(wait_until(LONG, || ids() == Ok(vec![0])), "{:?}", ids());
    connection.domain_create_xml(&paravirtual("more", ""), 0).expect("xend makes it");
}
