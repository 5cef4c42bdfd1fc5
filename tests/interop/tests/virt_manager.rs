//! virt-manager's own unit tests, on libvirt's test driver and on ours over the socket.
//!
//! `cargo xtask setup` fetches its sources; `FERROVIRT_VIRT_MANAGER` names others (5.1.0 was tried). They
//! want python3-libvirt, libosinfo, libxml2, pytest and xorriso.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use test_support::{Daemon as _, Virtd, or_skip, run, system_python, virt_manager};

const LIMIT: Duration = Duration::from_secs(900);

/// The names of the tests that failed, and how many passed.
struct Outcome {
    failed: BTreeSet<String>,
    passed: usize,
}

fn unit_tests(sources: &Path, socket: Option<&Path>) -> Result<Outcome, String> {
    let mut pytest = Command::new(system_python()?);
    pytest.args(["-m", "pytest", "-p", "socket_uris", "-p", "no:cacheprovider", "-v", "--tb=no"]);
    pytest.current_dir(sources).env_remove("FERROVIRT_TEST_SOCKET");
    pytest.env("PYTHONPATH", Path::new(env!("CARGO_MANIFEST_DIR")).join("python"));
    pytest.env("PYTHONDONTWRITEBYTECODE", "1");
    // Some look for distributions on the network: nobody is there.
    for variable in ["http_proxy", "https_proxy", "ftp_proxy"] {
        pytest.env(variable, "http://127.0.0.1:9");
    }
    if let Some(socket) = socket {
        pytest.env("FERROVIRT_TEST_SOCKET", socket);
    }
    let outcome = run(&mut pytest, LIMIT);
    let ended = |word: &str| -> BTreeSet<String> {
        let lines = outcome.stdout.lines().filter_map(|line| line.split_once(&format!(" {word} ")));
        lines.map(|(name, _)| name.rsplit("::").next().unwrap_or(name).to_owned()).collect()
    };
    let (failed, passed) = (ended("FAILED"), ended("PASSED").len());
    match passed {
        0 => Err(format!("pytest passes nothing here: {}", outcome.stdout)),
        _ => Ok(Outcome { failed, passed }),
    }
}

/// Tests that pass on libvirt's driver and not on ours. A line here is a debt.
const KNOWN: &str = include_str!("../virt-manager-known.txt");

#[test]
fn nearly_all_pass_as_on_the_reference() {
    let sources = or_skip!(virt_manager());
    let theirs = or_skip!(unit_tests(&sources, None));
    let virtd = Virtd::start();
    let ours = or_skip!(unit_tests(&sources, Some(virtd.socket())));
    println!("passed: {} on libvirt's driver, {} on ours", theirs.passed, ours.passed);
    let known: BTreeSet<&str> = KNOWN.lines().filter(|line| !line.starts_with('#')).collect();
    let new: Vec<&String> = ours
        .failed
        .iter()
        .filter(|name| !theirs.failed.contains(*name) && !known.contains(name.as_str()))
        .collect();
    assert!(new.is_empty(), "these fail on our driver alone: {new:?}");
    let mended: Vec<&&str> = known.iter().filter(|name| !ours.failed.contains(**name)).collect();
    assert!(mended.is_empty(), "no longer a debt: {mended:?}");
}
