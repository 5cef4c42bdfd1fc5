//! `virsh doctor` on hosts made up in a folder: whole ones, and ones that lack a part each. What it says
//! mends a fault is typed as it stands, and mends it.

mod madeup;

use std::os::unix::fs::symlink;
use std::process::Command;

use madeup::{Administrator, BROKEN, DELEGATED, Finding, Host, PERSON, set_mode};
use test_support::{or_skip, skipped};

/// The finding that says so, if it is made.
fn named<'a>(found: &'a [Finding], what: &str) -> Option<&'a str> {
    found.iter().find(|(said, _)| said.contains(what)).map(|(_, fix)| fix.as_str())
}

/// Whether a shell can read it: what is no command stands behind `#`.
fn is_for_a_shell(fix: &str) -> bool {
    let read = Command::new("sh").args(["-n", "-c", fix]).status();
    read.is_ok_and(|status| status.success())
}

#[test]
fn each_broken_part_is_named_with_what_mends_it() {
    let uid = rustix::process::geteuid().as_raw();
    let (whole, _) = Host::whole().seen_by(uid).expect("the doctor answers");
    // What an unprivileged person of this machine lacks on the made-up host is not what is tested.
    assert!(uid != 0 || whole.is_empty(), "{whole:?}");
    for (damage, what, fix) in BROKEN {
        let host = Host::whole();
        damage(&host);
        let (found, _) = host.seen_by(uid).expect("the doctor answers");
        let Some(mends) = named(&found, what) else { panic!("no {what:?} in {found:?}") };
        let told = mends.replace("sudo ", "");
        assert!(told.starts_with(fix), "{what}: {told:?} is not {fix:?}");
        assert!(is_for_a_shell(mends), "{mends}");
    }
}

#[test]
fn what_is_said_to_mend_a_part_mends_it() {
    let administrator = or_skip!(Administrator::new());
    let mut mended = 0;
    for (damage, what, _) in BROKEN {
        let host = Host::whole();
        damage(&host);
        let (found, _) = host.seen_by(0).expect("the doctor answers");
        let Some(fix) = named(&found, what) else { panic!("no {what:?} in {found:?}") };
        if fix.starts_with('#') {
            continue;
        }
        match administrator.types(&host, fix) {
            Ok(()) => {}
            // Where containers may not make devices.
            Err(error) if fix.starts_with("mknod") && error.contains("not permitted") => continue,
            Err(error) => panic!("{error}"),
        }
        let (left, _) = host.seen_by(0).expect("the doctor answers");
        assert_eq!(named(&left, what), None, "after {fix}");
        mended += 1;
    }
    assert!(mended >= 15, "only {mended} were mended");
}

/// What a person lacks: what is broken, how it is named, what mends it, and whether that takes a login.
const LACKING: &[(madeup::Break, &str, &str)] = &[
    (
        |host| host.write("etc/group", "root:x:0:\nkvm:x:7003:\n", 0o644),
        "there is no group 'libvirt'",
        "sudo groupadd --system libvirt",
    ),
    (
        |host| host.write("etc/group", "root:x:0:\nlibvirt:x:7002:\nkvm:x:7003:\n", 0o644),
        "not in group 'libvirt'",
        "sudo usermod -aG libvirt alice  # then log in again",
    ),
    (
        |host| {
            host.write("etc/group", "root:x:0:\nlibvirt:x:7002:\nkvm:x:7003:\n", 0o644);
            host.write("dev/kvm", "", 0o660);
        },
        "'/dev/kvm' is closed to 'alice'",
        "sudo chgrp kvm /dev/kvm && sudo chmod g+rw /dev/kvm && sudo usermod -aG kvm alice  # then \
         log in again",
    ),
    (
        |host| {
            host.write("etc/group", "root:x:0:\nlibvirt:x:7002:alice\n", 0o644);
            host.write("dev/kvm", "", 0o660);
        },
        "'/dev/kvm' is closed to 'alice'",
        "sudo groupadd --system kvm && sudo chgrp kvm /dev/kvm && sudo chmod g+rw /dev/kvm && \
         sudo usermod -aG kvm alice  # then log in again",
    ),
    (
        |host| {
            host.write("etc/group", "root:x:0:\nlibvirt:x:7002:alice\nkvm:x:7003:\n", 0o644);
            host.write("dev/kvm", "", 0o660);
            host.belongs_to("dev/kvm", 7003);
        },
        "'/dev/kvm' is closed to 'alice'",
        "sudo usermod -aG kvm alice  # then log in again",
    ),
    (
        |host| set_mode(&host.0.join("run/libvirt"), 0o700),
        "'/run/libvirt' (mode 0700) may not be searched by 'alice'",
        "sudo chmod o+x /run/libvirt",
    ),
    (
        |host| {
            host.write("etc/group", "root:x:0:\nlibvirt:x:7002:\nkvm:x:7003:\n", 0o644);
            host.write("run/libvirt/libvirt-sock", "", 0o660);
            host.belongs_to("run/libvirt/libvirt-sock", 7002);
        },
        "(mode 0660, group 'libvirt') is closed to 'alice'",
        "sudo usermod -aG libvirt alice  # then log in again",
    ),
    (
        |host| host.write("run/libvirt/libvirt-sock", "", 0o600),
        "(mode 0600, group 'root') is closed to 'alice'",
        "# use qemu:///session, or set unix_sock_group and unix_sock_rw_perms in \
         /etc/libvirt/libvirtd.conf",
    ),
    (
        |host| host.write(DELEGATED, "memory pids\n", 0o644),
        "controllers missing: cpu, cpuset, io for guests of qemu:///session",
        "sudo mkdir -p /etc/systemd/system/user@.service.d && sudo sh -c 'printf \
         \"[Service]\\nDelegate=cpu cpuset io memory pids\\n\" \
         >/etc/systemd/system/user@.service.d/delegate.conf' && sudo systemctl daemon-reload  # then \
         log in again",
    ),
];

#[test]
fn what_a_person_is_told_to_have_typed_mends_it_at_the_next_login() {
    let administrator = or_skip!(Administrator::new());
    for (damage, what, fix) in LACKING {
        let host = Host::whole();
        damage(&host);
        let seen = host.seen_after_login(PERSON);
        let (found, _) = match seen {
            Ok(seen) => seen,
            Err(reason) => return skipped(format!("the program is out of reach: {reason}")),
        };
        assert_eq!(named(&found, what), Some(*fix), "{found:?}");
        assert!(is_for_a_shell(fix), "{fix}");
        if fix.starts_with('#') {
            continue;
        }
        administrator.types(&host, fix).expect("it is done");
        let (left, _) = host.seen_after_login(PERSON).expect("the doctor answers");
        assert_eq!(named(&left, what), None, "after {fix}");
    }
    // Who was put into a group while logged in.
    let host = Host::whole();
    let (found, _) = host.seen_by(PERSON).expect("the doctor answers");
    let fix = named(&found, "was put into group 'libvirt' after this login");
    assert_eq!(fix, Some("newgrp libvirt  # or log in again"));
    let (left, _) = host.seen_after_login(PERSON).expect("the doctor answers");
    assert_eq!(named(&left, "after this login"), None);
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
    says(&found, "'/dev/kvm' is closed to 'alice'", "usermod -aG kvm alice");
    assert!(!satisfied, "a fault is the doctor's exit status too");
    set_mode(&host.0.join("run/libvirt"), 0o700);
    let (found, _) = host.seen_by(PERSON).expect("the doctor answers");
    says(
        &found,
        "'/run/libvirt' (mode 0700) may not be searched by 'alice'",
        "chmod o+x /run/libvirt",
    );
    host.write("usr/bin/setfacl", "", 0o755);
    let (found, _) = host.seen_by(PERSON).expect("the doctor answers");
    says(&found, "may not be searched by 'alice'", "sudo setfacl -m u:alice:x /run/libvirt");
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
