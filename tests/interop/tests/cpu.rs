//! Processors of guests through both daemons: what runs, what is compared, what is plugged.

use std::path::{Path, PathBuf};
use std::time::Duration;

use test_support::{
    Daemon, Normaliser, Outcome, Reference, Scratch, Virtd, debian_program, or_skip, our_program,
    reference_program, run, tiny_domain, tiny_guest_in, virsh,
};

const LIMIT: Duration = Duration::from_secs(60);

/// Each is the processor of a guest that both daemons are to start, and to show in the same words.
const GUESTS: &[&str] = &[
    "",
    "<cpu><model>Nehalem</model></cpu>",
    "<cpu><model>Nehalem</model><feature name='aes' policy='require'/>\
     <feature name='vmx' policy='optional'/></cpu>",
    "<cpu><model>Haswell</model></cpu>",
    "<cpu check='partial'><model>Haswell</model></cpu>",
    "<cpu check='full'><model>Haswell</model></cpu>",
    "<cpu check='full'><model>qemu64</model></cpu>",
    "<cpu mode='maximum'/>",
    "<cpu match='strict'><model>Nehalem</model></cpu>",
    "<cpu><model>Nehalem</model><feature name='vmx' policy='require'/></cpu>",
    "<cpu><model>Nehalem</model><feature name='popcnt' policy='forbid'/></cpu>",
    "<cpu><model>Nehalem</model><feature name='bogus' policy='require'/></cpu>",
    "<cpu><model>Bogus</model></cpu>",
    "<cpu><topology sockets='1' cores='4' threads='1'/></cpu>",
];

/// A guest's virtual CPUs: the guest has one of four, and no system that lets one go.
const VCPUS: &[&str] = &[
    "define {DIR}/guest.xml; vcpucount guest",
    "setvcpus guest 2; setvcpus guest 3 --live",
    "setvcpus guest 2 --config; setvcpus guest 9 --config; setvcpus guest 0 --config",
    "setvcpus guest 1 --config; start guest; vcpucount guest",
    "setvcpus guest 3 --live; vcpucount guest; dumpxml guest --xpath //vcpus",
    "setvcpus guest 5 --live",
    "setvcpus guest 2 --live",
    "setvcpu guest 2 --enable --live",
    "setvcpu guest 3 --enable; vcpucount guest; dumpxml guest --xpath //vcpus",
    "setvcpu guest 3 --disable",
    "setvcpu guest 0 --disable",
    "setvcpu guest 9 --enable",
    "setvcpu guest 1-2 --enable --config; setvcpu guest 2 --disable --config",
    "guestvcpus guest",
    "setvcpus guest 2 --guest",
    "vcpucount guest --guest",
    "setvcpus guest 8 --maximum --config; setvcpus guest 4 --live --config",
    "vcpucount guest; dumpxml guest --inactive --xpath //vcpus",
    "destroy guest; setvcpus guest 3 --config; start guest; vcpucount guest",
    "dumpxml guest --xpath //vcpus; setvcpu guest 1 --disable --live",
    "destroy guest; undefine guest",
];

const COMPARED: &[(&str, &str)] = &[
    ("nehalem", "<cpu match='exact'><model>Nehalem</model></cpu>"),
    ("bogus", "<cpu><model>Bogus</model></cpu>"),
    ("strict", "<cpu match='strict'><model>Nehalem</model></cpu>"),
    ("forbid", "<cpu><model>Nehalem</model><feature name='popcnt' policy='forbid'/></cpu>"),
    ("power", "<cpu><arch>ppc64</arch><model>POWER8</model></cpu>"),
    ("haswell", "<cpu><arch>x86_64</arch><model>Haswell</model></cpu>"),
];

struct Side {
    shell: PathBuf,
    uri: String,
}

impl Side {
    fn new(shell: &Path, daemon: &dyn Daemon, path: &str) -> Self {
        Self { shell: shell.to_owned(), uri: daemon.uri("qemu", path) }
    }

    fn run(&self, home: &Scratch, line: &str) -> Outcome {
        let line = line.replace("{DIR}", &home.path().to_string_lossy());
        run(virsh(&self.shell, &self.uri, home.path()).arg(line), LIMIT)
    }

    fn say(&self, home: &Scratch, lines: &[String]) -> Vec<(String, Outcome)> {
        let normaliser = Normaliser::new("")
            .replacing(home.path().to_string_lossy(), "{DIR}")
            .replacing(&self.uri, "{URI}");
        let say = |line: &String| (line.clone(), normaliser.outcome(&self.run(home, line)));
        lines.iter().map(say).collect()
    }
}

/// Says the lines to both daemons, which are to answer the same.
#[track_caller]
fn same(home: &Scratch, lines: &[String]) -> Result<(), String> {
    let shell = reference_program("virsh")?;
    let reference = Reference::start()?;
    let theirs = Side::new(&shell, &reference, "session").say(home, lines);
    let virtd = Virtd::start();
    let ours = Side::new(&our_program("virsh"), &virtd, "system").say(home, lines);
    let different: Vec<String> = ours
        .iter()
        .zip(&theirs)
        .filter(|(ours, theirs)| ours != theirs)
        .map(|((line, ours), (_, theirs))| {
            format!("virsh {line}\n  wanted {theirs:#?}\n  found {ours:#?}")
        })
        .collect();
    assert!(different.is_empty(), "{} differ:\n{}", different.len(), different.join("\n"));
    Ok(())
}

/// A folder that an unprivileged daemon can read, with the guest's kernel.
fn folder() -> Result<(Scratch, String), String> {
    debian_program("qemu-system-x86_64")?;
    let home = Scratch::new("cpu");
    home.set_mode(0o755);
    let kernel = tiny_guest_in(&home)?;
    let one_of_four = "<vcpu current='1'>4</vcpu>";
    let document = tiny_domain("guest", "qemu", &kernel).replace("<vcpu>1</vcpu>", one_of_four);
    assert!(document.contains(one_of_four));
    Ok((home, document))
}

#[test]
fn a_running_guest_shows_the_processor_it_has() {
    let (home, document) = or_skip!(folder());
    let mut lines = Vec::new();
    for (at, cpu) in GUESTS.iter().enumerate() {
        let document = document.replace("<devices>", &format!("{cpu}<devices>"));
        home.write(&format!("{at}.xml"), document);
        lines.push(format!("define {{DIR}}/{at}.xml; dumpxml guest --inactive --xpath //cpu"));
        lines.push("start guest".to_owned());
        lines.push("dumpxml guest --xpath //cpu".to_owned());
        lines.push("destroy guest".to_owned());
        lines.push("undefine guest".to_owned());
    }
    or_skip!(same(&home, &lines));
}

#[test]
fn virtual_cpus_come_and_cannot_go_without_the_guest() {
    let (home, document) = or_skip!(folder());
    home.write("guest.xml", document);
    let lines: Vec<String> = VCPUS.iter().map(|line| (*line).to_owned()).collect();
    or_skip!(same(&home, &lines));
}

#[test]
fn processors_compare_as_libvirt_says() {
    let (home, _) = or_skip!(folder());
    let mut lines = vec!["cpu-models x86_64".to_owned(), "cpu-models nosuch".to_owned()];
    for (name, document) in COMPARED {
        home.write(&format!("{name}.xml"), document);
        for rest in ["", " --error"] {
            lines.push(format!("hypervisor-cpu-compare {{DIR}}/{name}.xml --virttype qemu{rest}"));
        }
    }
    lines.push("cpu-compare {DIR}/bogus.xml; cpu-compare {DIR}/power.xml --error".to_owned());
    lines.push("hypervisor-cpu-models --virttype qemu".to_owned());
    for rest in ["", " --migratable", " --features"] {
        lines.push(format!("hypervisor-cpu-baseline {{DIR}}/haswell.xml --virttype qemu{rest}"));
    }
    lines.push("cpu-baseline {DIR}/haswell.xml; cpu-baseline {DIR}/bogus.xml".to_owned());
    or_skip!(same(&home, &lines));
}
