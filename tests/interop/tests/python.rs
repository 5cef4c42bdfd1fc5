//! libvirt's Python bindings drive our daemon without knowing that it is not libvirt's.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use test_support::{
    Daemon, Reference, Scratch, Virtd, debian_program, guests_path, or_skip, run, system_python,
    tiny_domain, tiny_guest_in,
};

const LIMIT: Duration = Duration::from_secs(120);

/// Runs a script of `python/` to its last line.
#[track_caller]
fn script(name: &str, uri: &str, further: &[&Path]) -> Result<(), String> {
    let python = system_python()?;
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("python").join(name);
    let output = run(Command::new(python).arg(script).arg(uri).args(further), LIMIT).ok();
    assert!(output.ends_with("done\n"), "{output}");
    Ok(())
}

#[track_caller]
fn guest(daemon: &dyn Daemon, path: &str) -> Result<(), String> {
    debian_program("qemu-system-x86_64")?;
    let files = Scratch::new("python");
    // Copied: an unprivileged daemon may not reach the folder it was built in.
    let kernel = tiny_guest_in(&files)?;
    let document = files.write("guest.xml", tiny_domain("guest", "qemu", &kernel));
    script("guest.py", &daemon.uri("qemu", path), &[&document])
}

#[test]
fn the_default_world_through_python() {
    let virtd = Virtd::start();
    or_skip!(script("world.py", &virtd.uri("test", "default"), &[]));
}

#[test]
fn a_real_guest_through_python() {
    let virtd = Virtd::start();
    or_skip!(guest(&virtd, guests_path()));
}

/// What the displays' script was told where it was refused.
fn displays(daemon: &dyn Daemon, path: &str) -> Result<String, String> {
    debian_program("qemu-system-x86_64")?;
    let files = Scratch::new("displays");
    let kernel = tiny_guest_in(&files)?;
    let display = "<graphics type='vnc'><listen type='none'/></graphics></devices>";
    let document = tiny_domain("shown", "qemu", &kernel).replace("</devices>", display);
    let document = files.write("shown.xml", document);
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("python/displays.py");
    let uri = daemon.uri("qemu", path);
    let mut command = Command::new(system_python()?);
    let output = run(command.arg(script).arg(uri).arg(document), LIMIT);
    assert!(output.stdout.ends_with("done\n"), "{output:?}");
    Ok(output.stdout)
}

#[test]
fn displays_take_clients_and_give_them_by_descriptors() {
    let reference = or_skip!(Reference::start());
    let theirs = or_skip!(displays(&reference, "session"));
    let virtd = Virtd::start();
    assert_eq!(or_skip!(displays(&virtd, guests_path())), theirs);
}

/// Calls that libvirt's test driver answers and ours refuses. A line here is a debt.
const GAPS: &[&str] = &[];

/// What each method of the public API answers on the default world, refusals included.
fn surface(daemon: &dyn Daemon) -> Result<Vec<String>, String> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("python/surface.py");
    let uri = daemon.uri("test", "default");
    let output = run(Command::new(system_python()?).arg(script).arg(&uri), LIMIT).ok();
    assert!(output.ends_with("done\n"), "{output}");
    Ok(output.replace(&uri, "{URI}").lines().map(str::to_owned).collect())
}

#[test]
fn every_call_is_answered_or_refused_as_the_reference_does() {
    let reference = or_skip!(Reference::start());
    let theirs = or_skip!(surface(&reference));
    let virtd = Virtd::start();
    let ours = or_skip!(surface(&virtd));
    let pairs = theirs.iter().zip(&ours).filter(|(theirs, ours)| {
        let is_gap = GAPS.iter().any(|call| theirs.starts_with(call));
        assert!(!is_gap || theirs != ours, "no longer a gap: {theirs}");
        theirs != ours && !is_gap
    });
    let different: Vec<String> =
        pairs.map(|(theirs, ours)| format!("wanted {theirs}\n found {ours}")).collect();
    assert!(theirs.len() > 300, "the script calls too little");
    assert!(different.is_empty(), "{} differ:\n{}", different.len(), different.join("\n"));
    assert_eq!(ours.len(), theirs.len());
}

/// The scripts themselves are right: libvirt's own daemon passes them.
#[test]
fn the_scripts_pass_on_the_reference() {
    let reference = or_skip!(Reference::start());
    or_skip!(script("world.py", &reference.uri("test", "default"), &[]));
    or_skip!(guest(&reference, "session"));
}
