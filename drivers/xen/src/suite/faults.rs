//! Services that are missing, that do not answer, or that answer nonsense.

use std::os::unix::fs::PermissionsExt as _;

use test_support::as_nobody;
use virt_error::Code;

use super::sim::{Sim, Way, paravirtual};

fn refusal(sim: &Sim, way: Way) -> String {
    sim.try_driver(way).expect_err("there is no xend").message().to_owned()
}

#[test]
fn a_missing_xend_is_named_with_its_setting() {
    let mut sim = Sim::start("3.4", &[]);
    let connection = sim.connect(Way::Unix);
    sim.stop();
    let _ = std::fs::remove_file(sim.dir.join("xend"));
    for text in [
        refusal(&sim, Way::Unix),
        connection.connect_list_all_domains(0).expect_err("xend is gone").message().to_owned(),
    ] {
        assert!(text.contains("(xend-unix-server yes)"), "{text}");
        assert!(text.contains("/etc/xen/xend-config.sxp"), "{text}");
    }
    let text = refusal(&sim, Way::TcpAlone);
    assert!(text.contains("(xend-http-server yes)"), "{text}");
    // A service that comes again is found again.
    sim.restart();
    assert_eq!(connection.connect_list_all_domains(0).map(|all| all.len()), Ok(1));
}

#[test]
fn a_socket_without_rights_is_said_to_be_one() {
    let sim = Sim::start("3.4", &[]);
    // As xend leaves it on a host: root's alone.
    let socket = sim.dir.join("xend");
    let mode = |path: &std::path::Path, mode: u32| {
        let mode = std::fs::Permissions::from_mode(mode);
        std::fs::set_permissions(path, mode).expect("it is ours");
    };
    mode(&socket, if rustix::process::geteuid().is_root() { 0o700 } else { 0o000 });
    let settings = sim.settings(Way::Unix);
    std::fs::create_dir_all(sim.dir.join("driver")).expect("a folder");
    mode(&sim.dir.join("driver"), 0o777);
    mode(sim.dir.path(), 0o755);
    let config = settings.config.clone();
    if as_nobody(|| std::fs::read(&config).is_err()) {
        return test_support::skipped("the folder of tests is root's alone");
    }
    let refused = as_nobody(|| crate::open::start(settings)).expect_err("it is root's");
    let text = refused.message();
    assert!(text.contains("no right to use") && text.contains("is for root"), "{text}");
    assert!(text.contains(&*socket.to_string_lossy()), "{text}");
}

#[test]
fn nonsense_and_half_answers_are_refused_and_forgotten() {
    let sim = Sim::start("4.1", &[]);
    let connection = sim.connect(Way::Unix);
    for fault in ["half", "cyclic"] {
        sim.set(&format!("fault={fault}\n"));
        let error = connection.connect_list_all_domains(0).expect_err("nonsense");
        assert!(error.is(Code::InternalError) || error.is(Code::OperationFailed), "{error:?}");
        sim.set("");
        assert_eq!(connection.connect_list_all_domains(0).map(|all| all.len()), Ok(1), "{fault}");
    }
}

#[test]
fn what_xend_refuses_is_told_in_its_words_and_leaves_nothing() {
    for profile in ["3.0.1", "3.2", "4.1"] {
        let sim = Sim::start(profile, &["--no-hvm", "--memory", "1024"]);
        let connection = sim.connect(Way::Unix);
        let large = paravirtual("large", "").replace("'MiB'>256", "'MiB'>4096");
        let large = large.replace("'MiB'>128", "'MiB'>4096");
        let error = connection.domain_create_xml(&large, 0).expect_err("too much memory");
        assert!(error.message().contains("KiB free"), "{profile}: {error}");
        let error = connection.domain_create_xml(&super::sim::full("w"), 0).expect_err("no HVM");
        assert!(error.message().contains("VT/AMD-V"), "{profile}: {error}");
        assert_eq!(connection.connect_list_all_domains(0).map(|all| all.len()), Ok(1), "{profile}");
        let dom = connection.domain_create_xml(&paravirtual("a", ""), 0).expect("it starts");
        sim.set("fault=save\n");
        let file = sim.dir.join("a.save").display().to_string();
        let error = connection.domain_save(&dom, &file).expect_err("it is not saved");
        assert!(error.message().contains("xc_save failed"), "{profile}: {error}");
        assert!(!sim.dir.join("a.save").exists(), "{profile}: half a file");
        assert_eq!(connection.domain_is_active(&dom), Ok(true), "{profile}: it goes on");
    }
}
