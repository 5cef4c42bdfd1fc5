//! A real guest that boots from a vdisk, writes to it, and sees what a rollback brings back.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use test_support::{
    Signal, counting_boot_sector, debian_program, or_skip, run, signal, wait_until,
};

use crate::tool::Tool;

/// A running `serve`.
struct Served(Child);

impl Served {
    fn start(tool: &Tool, options: &str, vdisk: &str) -> Self {
        let line = format!("serve {options} -s nbd.sock {vdisk}");
        let mut child = tool.command(&line).stdout(Stdio::piped()).spawn().unwrap();
        let mut ready = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut ready).unwrap();
        assert_eq!(ready, "ready\n");
        Self(child)
    }

    fn end(mut self) {
        let status = &mut None;
        wait_until(Duration::from_secs(20), || {
            *status = self.0.try_wait().unwrap();
            status.is_some()
        });
        assert!(status.is_some_and(|status| status.success()), "{status:?}");
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// Boots a guest from a vdisk; gives what it printed.
fn boot(tool: &Tool, qemu: &Path, vdisk: &str) -> String {
    let served = Served::start(tool, "", vdisk);
    let mut command = Command::new(qemu);
    command.args(["-accel", "tcg", "-machine", "pc", "-m", "16", "-display", "none"]);
    command.args(["-nodefaults", "-no-reboot", "-device", "isa-debug-exit,iobase=0xf4,iosize=4"]);
    command.args(["-serial", "file:serial", "-blockdev"]);
    command.arg("driver=nbd,node-name=disk,server.type=unix,server.path=nbd.sock");
    command.args(["-device", "ide-hd,drive=disk"]).current_dir(tool.scratch.path());
    let outcome = run(&mut command, Duration::from_secs(60));
    assert_eq!(outcome.code, Some(1), "{}{}", outcome.stdout, outcome.stderr);
    served.end();
    tool.text("serial")
}

#[test]
fn a_guest_boots_writes_and_is_rolled_back() {
    let qemu = or_skip!(debian_program("qemu-system-x86_64"));
    for kind in ["vmdk:sparse", "vdi:sparse", "vhd:sparse", "qcow2"] {
        let tool = Tool::new();
        tool.ok(&format!("create -s 8m -t {kind} d"));
        tool.write("d", 0, &counting_boot_sector());
        assert_eq!(boot(&tool, &qemu, "d"), "1", "{kind}");
        assert_eq!(boot(&tool, &qemu, "d"), "2", "{kind}");
        tool.ok("snapshot d@s");
        assert_eq!(boot(&tool, &qemu, "d"), "3", "{kind}");
        tool.ok("snapshot d@t");
        assert_eq!(boot(&tool, &qemu, "d"), "4", "{kind}");
        tool.ok("rollback -r d@s");
        assert_eq!(boot(&tool, &qemu, "d"), "3", "{kind}: the old data are back");
        assert_eq!(tool.ok("prop-get -p rwcnt d"), "0\n");
        tool.ok("verify d");
    }
}

#[test]
fn a_second_writer_is_refused_and_a_killed_one_is_forgotten() {
    let tool = Tool::new();
    tool.ok("create -s 1m d");
    let mut served = Served::start(&tool, "", "d");
    assert_eq!(tool.ok("prop-get -p rwcnt d"), "1\n");
    for line in ["serve -s other d", "serve -r -s other d", "ref-inc d", "snapshot d@s"] {
        assert!(tool.fails(line).contains("in use"), "{line}");
    }
    signal(i32::try_from(served.0.id()).unwrap(), Signal::KILL);
    served.0.wait().unwrap();
    assert_eq!(tool.ok("prop-get -p rwcnt d"), "0\n");
    assert_eq!(tool.names("d"), ["vdisk.vmdk", "vdisk.xml"]);
    std::fs::remove_file(tool.path("nbd.sock")).unwrap();
    tool.ok("ref-inc -r d");
    let reader = Served::start(&tool, "-r", "d");
    assert_eq!(tool.ok("prop-get -p rocnt d"), "2\n");
    drop(reader);
    assert_eq!(tool.ok("prop-get -p rocnt d"), "1\n", "who counted alone counts back alone");
}

/// What is no vdisk, but an image: its name says what it is, and nothing that a guest writes.
#[test]
fn an_image_is_served_as_what_its_name_says() {
    let qemu = or_skip!(debian_program("qemu-system-x86_64"));
    let tool = Tool::new();
    tool.ok("create -s 1m d");
    tool.write("d", 0, &counting_boot_sector());
    for (kind, name) in
        [("raw", "a.img"), ("vmdk", "a.vmdk"), ("vmdk:fixed", "b.vmdk"), ("vhd:fixed", "a.vhd")]
    {
        tool.ok(&format!("export -x {kind} -d {name} d"));
        assert_eq!(boot(&tool, &qemu, name), "1", "{name}");
        assert_eq!(boot(&tool, &qemu, name), "2", "{name}");
    }
    let served = Served::start(&tool, "", "a.img");
    for line in ["serve -s other a.img", "serve -r -s other a.img"] {
        assert!(tool.fails(line).contains("'a.img' is in use"), "{line}");
    }
    drop(served);
    std::fs::remove_file(tool.path("nbd.sock")).unwrap();
    // A descriptor in a raw disk leads nowhere; a file that is not what its name says is refused.
    let text = "# Disk DescriptorFile\nversion=1\nCID=1\nparentCID=ffffffff\n\
                createType=\"monolithicFlat\"\nRW 8 FLAT \"b-flat.vmdk\" 0\n";
    let mut disk = text.as_bytes().to_vec();
    disk.resize(4096, 0);
    tool.scratch.write("c.img", &disk);
    tool.scratch.write("c.vdi", &disk);
    let qemu_io = or_skip!(debian_program("qemu-io"));
    let served = Served::start(&tool, "-r", "c.img");
    let mut command = Command::new(qemu_io);
    command.args(["-r", "-f", "raw", "-c", "read -P 35 0 1", "nbd+unix:///?socket=nbd.sock"]);
    let outcome = run(command.current_dir(tool.scratch.path()), Duration::from_secs(30));
    assert!(!outcome.stdout.contains("failed"), "it begins with '#': {}", outcome.stdout);
    assert_eq!(outcome.code, Some(0), "{}", outcome.stderr);
    served.end();
    tool.fails("serve -s nbd.sock c.vdi");
    tool.ok("export -x vmdk:stream -d s.vmdk d");
    assert!(tool.fails("serve -s nbd.sock s.vmdk").contains("can only be read"));
    tool.fails("serve -s nbd.sock nosuch");
}

#[test]
fn qemu_reads_and_writes_through_the_socket() {
    let qemu_io = or_skip!(debian_program("qemu-io"));
    let tool = Tool::new();
    tool.ok("create -s 4m -t vhd d");
    tool.write("d", 1 << 20, &[7; 4096]);
    tool.ok("snapshot d@s");
    let served = Served::start(&tool, "", "d");
    let mut command = Command::new(qemu_io);
    command.args(["-f", "raw", "-c", "read -P 7 1M 4k", "-c", "write -P 9 1M 512"]);
    command.args(["-c", "write -z 1049600 1024", "-c", "flush", "-c", "read -P 9 1M 512"]);
    command.args(["-c", "read -P 0 1049600 1024", "-c", "read -P 7 1050624 2048"]);
    command.arg("nbd+unix:///?socket=nbd.sock").current_dir(tool.scratch.path());
    let outcome = run(&mut command, Duration::from_secs(30));
    assert!(!outcome.stdout.contains("verification failed"), "{}", outcome.stdout);
    assert_eq!(outcome.code, Some(0), "{}", outcome.stderr);
    served.end();
    assert_eq!(tool.read("d", 1 << 20, 512), [9; 512]);
    tool.ok("rollback d@s");
    assert_eq!(tool.read("d", 1 << 20, 4096), [7; 4096]);
}
