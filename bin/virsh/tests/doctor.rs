//! `virsh doctor` on hosts made up in a folder: whole ones, and ones that lack a part each.

use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;

use test_support::{Scratch, skipped};
use virt_json::Value;

/// A person of the made-up host who is not root, and the group that both its daemon and KVM are for.
const PERSON: u32 = 7001;

struct Host(Scratch);

impl Host {
    /// A host that lacks nothing.
    fn whole() -> Self {
        let host = Self(Scratch::new("doctor"));
        for (path, text, mode) in [
            (
                "etc/passwd",
                "root:x:0:0::/root:/bin/sh\nalice:x:7001:7001::/home/alice:/bin/sh\nlibvirt-qemu:x:64055:108::/:/bin/false\n",
                0o644,
            ),
            ("etc/group", "root:x:0:\nlibvirt:x:7002:alice\nkvm:x:7003:alice\n", 0o644),
            ("run/libvirt/libvirt-sock", "", 0o666),
            ("run/systemd/system/x", "", 0o644),
            ("usr/lib/systemd/system/virtqemud.socket", "", 0o644),
            ("dev/kvm", "", 0o666),
            ("proc/cpuinfo", "flags\t\t: fpu vmx sse\n", 0o444),
            ("sys/fs/cgroup/cgroup.controllers", "cpuset cpu io memory pids\n", 0o444),
            ("sys/class/net/virbr0/bridge/id", "", 0o444),
            ("proc/sys/net/ipv4/ip_forward", "1\n", 0o644),
            ("proc/sys/kernel/osrelease", "6.1.0\n", 0o444),
            ("proc/modules", "nf_tables 1 0 - Live\n", 0o444),
            ("usr/sbin/nft", "", 0o755),
            ("usr/sbin/dnsmasq", "", 0o755),
            ("usr/bin/apt-get", "", 0o755),
            ("var/lib/libvirt/images/x", "", 0o600),
        ] {
            host.write(path, text, mode);
        }
        let emulator = format!("usr/bin/qemu-system-{}", std::env::consts::ARCH);
        host.write(&emulator, "", 0o755);
        let own = format!("sys/fs/cgroup/user.slice/user-{PERSON}.slice/user@{PERSON}.service");
        host.write(&format!("{own}/cgroup.controllers"), "cpuset cpu io memory pids\n", 0o444);
        host.0.set_mode(0o755);
        host
    }

    fn write(&self, path: &str, text: &str, mode: u32) {
        let path = self.0.join(path);
        std::fs::create_dir_all(path.parent().expect("it lies in a folder")).expect("a folder");
        // A file that is there may be closed to its owner too.
        let _ = std::fs::remove_file(&path);
        std::fs::write(&path, text).expect("a file");
        set_mode(&path, mode);
    }

    fn remove(&self, path: &str) {
        let path = self.0.join(path);
        match path.is_dir() {
            true => std::fs::remove_dir_all(path).expect("it goes"),
            false => std::fs::remove_file(path).expect("it goes"),
        }
    }

    /// What the doctor says: its findings that are not good, and whether it is satisfied.
    fn seen_by(&self, uid: u32) -> Result<(Vec<(String, String)>, bool), String> {
        let mut command = Command::new(env!("CARGO_BIN_EXE_virsh"));
        command.env_clear().args(["doctor", "--output", "json", "--root"]).arg(self.0.path());
        if uid != rustix::process::geteuid().as_raw() {
            command.uid(uid).gid(uid);
        }
        let output = command.output().map_err(|error| format!("as user {uid}: {error}"))?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let found = virt_json::parse(&text).map_err(|error| format!("{error}: {text}"))?;
        let text =
            |finding: &Value, key| finding.get(key).and_then(Value::as_str).map(str::to_owned);
        let bad = found
            .as_array()
            .unwrap_or_default()
            .iter()
            .filter_map(|finding| Some((text(finding, "what")?, text(finding, "fix")?)));
        Ok((bad.collect(), output.status.success()))
    }
}

fn set_mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("a mode");
}

type Break = fn(&Host);

/// What is broken, how it is named, and the command that mends it.
const BROKEN: &[(Break, &str, &str)] = &[
    (
        |host| host.remove("run/libvirt"),
        "'/run/libvirt' does not exist",
        "systemctl start virtqemud.socket",
    ),
    (|host| host.remove("dev/kvm"), "module kvm_intel is not loaded", "modprobe kvm_intel"),
    (
        |host| {
            host.remove("dev/kvm");
            host.write("proc/cpuinfo", "flags\t\t: fpu sse hypervisor\n", 0o444);
        },
        "is a guest itself",
        "host-passthrough",
    ),
    (
        |host| {
            host.remove("dev/kvm");
            host.write("proc/cpuinfo", "flags\t\t: fpu sse\n", 0o444);
        },
        "no vmx or svm",
        "firmware",
    ),
    (|host| host.remove("sys/fs/cgroup"), "no control groups", "mount -t cgroup2"),
    (
        |host| host.write("sys/fs/cgroup/cgroup.controllers", "cpu memory\n", 0o444),
        "controllers missing: cpuset, io, pids",
        "cgroup_disable=",
    ),
    (|host| host.remove("sys/class/net"), "no bridge", "net-start default"),
    (
        |host| host.write("proc/sys/net/ipv4/ip_forward", "0\n", 0o644),
        "not forwarded",
        "sysctl -w net.ipv4.ip_forward=1",
    ),
    (|host| host.remove("usr/sbin/dnsmasq"), "dnsmasq", "apt-get install dnsmasq-base"),
    (|host| host.remove("usr/sbin/nft"), "neither nft nor iptables", "apt-get install nftables"),
    (|host| host.remove("proc/modules"), "no packet filter", "modprobe nf_tables"),
    (|host| host.write("run/firewalld/x", "", 0o644), "no zone 'libvirt'", "firewall-cmd"),
    (
        |host| host.remove("var/lib/libvirt/images"),
        "images' is not there",
        "install -d -m 0711 /var/lib/libvirt/images",
    ),
    (
        |host| set_mode(&host.0.join("var/lib/libvirt"), 0o700),
        "'/var/lib/libvirt' may not be entered by emulators",
        "chmod o+x /var/lib/libvirt",
    ),
    (
        |host| host.remove(&format!("usr/bin/qemu-system-{}", std::env::consts::ARCH)),
        "no emulator",
        "apt-get install qemu-system",
    ),
];

#[test]
fn each_broken_part_is_named_with_what_mends_it() {
    let uid = rustix::process::geteuid().as_raw();
    let (whole, _) = Host::whole().seen_by(uid).expect("the doctor answers");
    let faults_before: Vec<&(String, String)> = whole.iter().collect();
    // What an unprivileged person of this machine lacks on the made-up host is not what is tested.
    assert!(uid != 0 || faults_before.is_empty(), "{whole:?}");
    for (damage, what, fix) in BROKEN {
        let host = Host::whole();
        damage(&host);
        let (found, _) = host.seen_by(uid).expect("the doctor answers");
        let named = found.iter().find(|(said, _)| said.contains(what));
        let Some((_, mends)) = named else { panic!("no {what:?} in {found:?}") };
        assert!(mends.contains(fix), "{what}: {mends:?} is not {fix:?}");
    }
}

#[test]
fn a_person_without_rights_is_told_which_group_to_join() {
    if !rustix::process::geteuid().is_root() {
        return skipped("only root can be somebody else");
    }
    let host = Host::whole();
    // Whom the files belong to decides; made-up groups are nobody's on this machine.
    let seen = match host.seen_by(PERSON) {
        Ok(seen) => seen,
        Err(reason) => return skipped(format!("the program is out of reach: {reason}")),
    };
    let says = |found: &[(String, String)], what: &str, fix: &str| {
        assert!(
            found.iter().any(|(said, mends)| said.contains(what) && mends.contains(fix)),
            "no {what:?} with {fix:?} in {found:?}"
        );
    };
    // The made-up group file has alice in it, this process is not: as after a usermod.
    says(&seen.0, "after this login", "newgrp libvirt");
    host.write("etc/group", "root:x:0:\nlibvirt:x:7002:\nkvm:x:7003:\n", 0o644);
    host.write("dev/kvm", "", 0o660);
    let (found, satisfied) = host.seen_by(PERSON).expect("the doctor answers");
    says(&found, "not in group 'libvirt'", "sudo usermod -aG libvirt alice");
    says(&found, "'/dev/kvm' is closed to 'alice'", "sudo usermod -aG kvm alice");
    assert!(!satisfied, "a fault is the doctor's exit status too");
    set_mode(&host.0.join("run/libvirt"), 0o700);
    let (found, _) = host.seen_by(PERSON).expect("the doctor answers");
    says(
        &found,
        "'/run/libvirt' (mode 0700) may not be searched by 'alice'",
        "setfacl -m u:alice:x",
    );
    set_mode(&host.0.join("run/libvirt"), 0o755);
    host.write("run/libvirt/libvirt-sock", "", 0o600);
    let (found, _) = host.seen_by(PERSON).expect("the doctor answers");
    says(&found, "(mode 0600, group 'root') is closed to 'alice'", "qemu:///session");
    host.remove("run/libvirt/libvirt-sock");
    symlink("/nowhere", host.0.join("run/libvirt/libvirt-sock")).expect("a link");
    let (found, _) = host.seen_by(PERSON).expect("the doctor answers");
    says(
        &found,
        "does not exist: its daemon does not run",
        "sudo systemctl start virtqemud.socket",
    );
}

#[test]
fn people_and_programs_are_told_the_same() {
    let host = Host::whole();
    host.remove("usr/sbin/dnsmasq");
    let doctor = |more: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_virsh"));
        command.env_clear().args(["-q", "doctor", "bridges"]).args(more).arg("--root");
        let output = command.arg(host.0.path()).output().expect("virsh runs");
        (String::from_utf8_lossy(&output.stdout).into_owned(), output.status.success())
    };
    let sudo = if rustix::process::geteuid().is_root() { "" } else { "sudo " };
    let (what, fix) = (
        "dnsmasq is not installed: virtual networks have no DHCP and DNS",
        format!("{sudo}apt-get install dnsmasq-base"),
    );
    let text = format!(
        "bridges    good   bridges: virbr0\nbridges    note   {what}\n                  fix: {fix}\n"
    );
    assert_eq!(doctor(&[]), (text, true));
    let yaml = format!(
        "- part: bridges\n  state: good\n  what: \"bridges: virbr0\"\n  fix: null\n- part: bridges\n  \
         state: note\n  what: \"{what}\"\n  fix: \"{fix}\"\n"
    );
    assert_eq!(doctor(&["--output", "yaml"]), (yaml, true));
}
