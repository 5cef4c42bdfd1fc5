//! What the daemon makes on the host for a guest: groups, taps, displays, and an account; and that it
//! takes all of it away again.
#![allow(clippy::unwrap_used)] // a test that cannot go on has failed

mod support;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use support::{OWN_NETWORK, SOON, World, apart, groups, taps};
use test_support::{
    Lkvm, Scratch, Signal, fake_kernel, in_linux_guest, lkvm_domain, long_run, or_skip,
    our_program, reference_program, run, signal, skipped, virsh, wait_until,
};

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// The files of this host's groups for what a test limits.
struct GroupFiles {
    shares: &'static str,
    quota: (&'static str, &'static str),
    threads: &'static str,
}

const VERSION_1: GroupFiles =
    GroupFiles { shares: "cpu.shares", quota: ("cpu.cfs_quota_us", "50000"), threads: "tasks" };
const VERSION_2: GroupFiles = GroupFiles {
    shares: "cpu.weight",
    quota: ("cpu.max", "50000 100000"),
    threads: "cgroup.threads",
};

/// Whether this host lets a test make groups for processors, and of which version.
fn group_files() -> Result<GroupFiles, &'static str> {
    let controllers = std::fs::read_to_string("/sys/fs/cgroup/cgroup.controllers");
    let unified = controllers.is_ok_and(|names| names.split_whitespace().any(|name| name == "cpu"));
    let legacy = Path::new("/sys/fs/cgroup/cpu/cpu.shares").exists();
    match (is_root(), legacy, unified) {
        (false, _, _) => Err("control groups are root's"),
        (_, true, _) => Ok(VERSION_1),
        (_, _, true) => Ok(VERSION_2),
        _ => Err("no control groups for processors"),
    }
}

#[test]
fn limits_are_in_force_and_leave_no_groups() {
    let files = or_skip!(group_files());
    let world = World::fake();
    let name = format!("lim{}", std::process::id());
    let xml = world.plain(&name).replace(
        "<os>",
        "<memtune><hard_limit unit='MiB'>256</hard_limit></memtune>\
         <cputune><shares>512</shares><quota>50000</quota></cputune><os>",
    );
    world.start(&xml, &name);
    let scheduler = world.ok(&["schedinfo", &name]);
    for line in ["cpu_shares     : 512", "vcpu_quota     : 50000", "vcpu_period    : 100000"] {
        assert!(scheduler.contains(line), "{line}: {scheduler}");
    }
    world.ok(&["schedinfo", &name, "--live", "--set", "cpu_shares=1024"]);
    assert!(world.ok(&["schedinfo", &name]).contains("cpu_shares     : 1024"));
    let found = groups(&name);
    let cpu = found.iter().find(|dir| dir.join(files.shares).exists()).expect("a group");
    let read = |file: PathBuf| std::fs::read_to_string(file).unwrap_or_default();
    assert_eq!(read(cpu.join(files.shares)).trim(), "1024");
    let (quota, value) = files.quota;
    assert_eq!(read(cpu.join("vcpu1").join(quota)).trim(), value);
    assert_eq!(read(cpu.join("vcpu0").join(files.threads)).lines().count(), 1);
    let pid = world.pid(&name).unwrap().to_string();
    assert!(read(cpu.join("cgroup.procs")).lines().any(|line| line == pid));
    let memory = world.ok(&["memtune", &name]);
    assert!(memory.contains("hard_limit     : 262144"), "{memory}");
    assert!(memory.contains("soft_limit     : unlimited"), "{memory}");
    world.ok(&["memtune", &name, "--hard-limit", "300000"]);
    assert!(world.ok(&["memtune", &name]).contains("hard_limit     : 300000"));
    assert!(world.ok(&["dumpxml", &name]).contains("<hard_limit unit='KiB'>300000<"));
    world.ok(&["memtune", &name, "--soft-limit", "200000"]);
    assert!(world.ok(&["memtune", &name]).contains("soft_limit     : 200000"));
    let weights = ["io.weight", "blkio.weight", "blkio.bfq.weight"];
    let has = |file: &&str| found.iter().any(|dir| dir.join(file).exists());
    if let Some(file) = weights.iter().find(|file| has(file)) {
        world.ok(&["blkiotune", &name, "--weight", "300"]);
        let told = world.ok(&["blkiotune", &name]);
        assert!(told.contains("weight         : 300"), "{file}: {told}");
    }
    assert!(world.ok(&["cpu-stats", &name, "--total"]).contains("cpu_time"));
    let refused = world.refused(&["schedinfo", &name, "--set", "cpu_shares=1"]);
    assert!(refused.contains("out of range"), "{refused}");
    world.ok(&["destroy", &name]);
    assert!(wait_until(SOON, || groups(&name).is_empty()), "{:?}", groups(&name));
}

/// This test's program runs its own test there.
#[test]
fn limits_are_in_force_on_a_kernel_with_version_2_alone() {
    if !long_run() {
        return skipped("booting Linux without KVM is for long runs");
    }
    let mut programs: Vec<PathBuf> = ["virtd", "virsh", "fake-lkvm"].map(our_program).into();
    let me = std::env::current_exe().unwrap();
    let name = me.file_name().unwrap().to_string_lossy().into_owned();
    programs.push(me);
    let script = format!(
        "cat /sys/fs/cgroup/cgroup.controllers\nexport FERROVIRT_BIN_DIR=/programs\n\
         ./{name} --exact limits_are_in_force_and_leave_no_groups --nocapture\n"
    );
    let said = or_skip!(in_linux_guest(&programs, &script, Duration::from_secs(900)));
    assert!(said.contains("cpu io memory"), "the kernel has the controllers: {said}");
    assert!(said.contains("test result: ok. 1 passed"), "{said}");
    assert!(!said.contains("skipped: "), "{said}");
}

#[test]
fn virtual_processors_run_where_they_are_put() {
    let world = World::fake();
    let xml =
        world.plain("one").replace("<os>", "<cputune><vcpupin vcpu='1' cpuset='0'/></cputune><os>");
    world.start(&xml, "one");
    let affinity = |comm: &str| {
        let pid = world.pid("one").unwrap().unsigned_abs();
        let mut threads = virt_host::threads(pid).into_iter();
        let (thread, _) = threads.find(|(_, name)| name == comm).unwrap();
        virt_host::thread_cpus(pid, thread).unwrap()
    };
    assert_eq!(affinity("kvm-vcpu-1"), [0]);
    world.ok(&["vcpupin", "one", "0", "0"]);
    assert_eq!(affinity("kvm-vcpu-0"), [0]);
    assert!(world.ok(&["vcpupin", "one"]).contains("0      0"));
    world.ok(&["emulatorpin", "one", "0"]);
    assert_eq!(affinity("kvm-ipc"), [0]);
    world.ok(&["destroy", "one"]);
}

/// A bridge of the test's own, gone with it.
struct Bridge(String);

impl Bridge {
    fn new() -> Result<Self, String> {
        if !is_root() {
            return Err("bridges are root's".into());
        }
        let name = format!("fvb{}", std::process::id() % 100_000);
        let made = ip(&["link", "add", "dev", &name, "type", "bridge"]);
        if !made {
            return Err("this host has no bridges".into());
        }
        Ok(Self(name))
    }

    fn members(&self) -> Vec<String> {
        let dir = format!("/sys/class/net/{}/brif", self.0);
        let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
        entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
    }
}

impl Drop for Bridge {
    fn drop(&mut self) {
        ip(&["link", "delete", "dev", &self.0]);
    }
}

fn ip(args: &[&str]) -> bool {
    Command::new("ip").args(args).output().is_ok_and(|output| output.status.success())
}

fn plugged(world: &mut World, bridge: &Bridge) {
    let interface = format!("<interface type='bridge'><source bridge='{}'/></interface>", bridge.0);
    let devices = format!("<console type='pty'/>{interface}{interface}");
    world.start(&world.domain("one", &devices), "one");
    let members = bridge.members();
    assert_eq!(members.len(), 2, "{members:?}");
    let list = world.ok(&["domiflist", "one"]);
    assert!(members.iter().all(|tap| list.contains(tap.as_str())), "{list}");
    assert!(world.ok(&["domifstat", "one", &members[0]]).contains("rx_bytes"));
    assert!(world.ok(&["domstats", "--interface", "one"]).contains("net.count=2"));
    assert!(!world.ok(&["dumpxml", "--inactive", "one"]).contains("vnet"));
    // A daemon that finds its guest dead takes its taps away.
    let pid = world.pid("one").unwrap();
    world.virtd.kill();
    signal(pid, Signal::KILL);
    world.virtd.restart();
    assert!(world.becomes("one", "shut off (crashed)"));
    assert!(wait_until(SOON, || bridge.members().is_empty()), "{:?}", bridge.members());
    world.ok(&["start", "one"]);
    assert_eq!(bridge.members().len(), 2);
    world.ok(&["destroy", "one"]);
    assert!(bridge.members().is_empty());
}

/// In a network of the test's own, where nobody else's devices are.
#[test]
fn taps_are_made_plugged_in_and_taken_away() {
    if or_skip!(apart("taps_are_made_plugged_in_and_taken_away", OWN_NETWORK)) {
        plugged(&mut World::fake(), &or_skip!(Bridge::new()));
        assert_eq!(taps(), [""; 0]);
    }
}

#[test]
fn a_real_tool_takes_the_taps() {
    drop(or_skip!(World::real()));
    if or_skip!(apart("a_real_tool_takes_the_taps", OWN_NETWORK)) {
        plugged(&mut or_skip!(World::real()), &or_skip!(Bridge::new()));
        assert_eq!(taps(), [""; 0]);
    }
}

#[test]
fn a_host_without_control_groups_runs_what_needs_none() {
    let setup = "umount -R /sys/fs/cgroup";
    if !or_skip!(apart("a_host_without_control_groups_runs_what_needs_none", setup)) {
        return;
    }
    let world = World::fake();
    world.start(&world.plain("one"), "one");
    let refused = world.refused(&["schedinfo", "one", "--live", "--set", "cpu_shares=512"]);
    assert!(refused.contains("cgroup CPU controller is not mounted"), "{refused}");
    assert!(world.ok(&["cpu-stats", "one", "--total"]).contains("cpu_time"));
    world.ok(&["destroy", "one"]);
    let limited = world.plain("two").replace("<os>", "<cputune><shares>512</shares></cputune><os>");
    world.ok(&["define", &world.file(&limited)]);
    let refused = world.refused(&["start", "two"]);
    assert!(refused.contains("cgroup CPU controller is not mounted"), "{refused}");
    assert!(world.lkvm.sockets().is_empty() && world.status_files().is_empty());
}

#[test]
fn a_bridge_that_is_not_there_refuses_the_start() {
    if !is_root() {
        return skipped("taps are root's");
    }
    let world = World::fake();
    let interface = "<interface type='bridge'><source bridge='fvnone'/></interface>";
    world.ok(&["define", &world.file(&world.domain("one", interface))]);
    let error = world.refused(&["start", "one"]);
    assert!(error.contains("there is no bridge 'fvnone'"), "{error}");
    assert!(world.status_files().is_empty());
}

/// The port of a guest's display.
fn display(world: &World) -> u16 {
    let shown = world.ok(&["domdisplay", "one"]);
    let port = shown.trim().rsplit(':').next().and_then(|port| port.parse::<u16>().ok());
    // Ports from 5900 on are shown as displays from 0 on.
    port.unwrap_or_else(|| panic!("{shown}")) + 5900
}

/// A client of the display: what it is greeted with, and an answer to a word.
fn shake(world: &World, port: u16) {
    let mut client = TcpStream::connect(("127.0.0.1", port)).unwrap();
    client.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let mut hello = [0; 12];
    client.read_exact(&mut hello).unwrap();
    assert_eq!(&hello, b"RFB 003.008\n");
    let mut answer = [0; 4];
    if world.lkvm.is_real() {
        // The version back, and the kinds of security come: one, and it is none.
        client.write_all(&hello).unwrap();
        client.read_exact(&mut answer[..2]).unwrap();
        assert_eq!(answer[..2], [1, 1]);
    } else {
        client.write_all(b"echo").unwrap();
        client.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"echo");
    }
}

fn shown(world: &mut World) {
    let devices = "<console type='pty'/><graphics type='vnc' port='-1' listen='127.0.0.1'/>";
    let started = world.virsh(&["create", &world.file(&world.domain("one", devices))]);
    if world.lkvm.is_real() && started.stderr.contains("built without VNC") {
        return skipped("this lkvm is built without VNC");
    }
    assert_eq!((started.code, started.stderr.as_str()), (Some(0), ""));
    let port = display(world);
    shake(world, port);
    // Not on other addresses of this host, which the tool would have taken.
    assert!(TcpStream::connect(("127.0.0.2", port)).is_err());
    // Another guest has a display of its own beside it.
    world.ok(&["create", &world.file(&world.domain("two", devices))]);
    let two = world.ok(&["domdisplay", "two"]);
    assert!(!two.trim().ends_with(&format!(":{}", port - 5900)), "{two}");
    world.ok(&["destroy", "two"]);
    world.virtd.kill();
    world.virtd.restart();
    assert_eq!(display(world), port);
    shake(world, port);
    world.ok(&["destroy", "one"]);
    assert!(wait_until(SOON, || TcpStream::connect(("127.0.0.1", port)).is_err()));
}

#[test]
fn a_display_listens_where_it_is_told_and_only_there() {
    match is_root() {
        true => shown(&mut World::fake()),
        false => skipped("networks of one's own are root's"),
    }
}

#[test]
fn a_real_display_listens_where_it_is_told_and_only_there() {
    match is_root() {
        true => shown(&mut or_skip!(World::real())),
        false => skipped("networks of one's own are root's"),
    }
}

#[test]
fn a_display_and_a_network_go_together() {
    let test = "a_display_and_a_network_go_together";
    if !or_skip!(apart(test, OWN_NETWORK)) {
        return;
    }
    let bridge = or_skip!(Bridge::new());
    let world = World::fake();
    let devices = format!(
        "<graphics type='vnc' port='-1'/>\
         <interface type='bridge'><source bridge='{}'/></interface>",
        bridge.0
    );
    world.start(&world.domain("one", &devices), "one");
    assert_eq!(bridge.members().len(), 1);
    assert!(display(&world) >= 5900);
    world.ok(&["destroy", "one"]);
    assert!(wait_until(SOON, || bridge.members().is_empty()));
}

#[test]
fn the_systems_daemon_runs_the_tool_as_somebody_else() {
    if !is_root() {
        return skipped("another user's rights are root's to give");
    }
    let world = World::configured("user = \"nobody\"\n");
    world.lkvm.open_to_all();
    let disk = world.folder.write("disk", [0_u8; 4096]);
    let device = format!(
        "<console type='pty'/><disk type='file'><source file='{}'/>\
         <target dev='vda' bus='virtio'/></disk>",
        disk.display()
    );
    world.start(&world.domain("one", &device), "one");
    let status = std::fs::read_to_string(format!("/proc/{}/status", world.pid("one").unwrap()));
    let status = status.unwrap();
    let line = status.lines().find(|line| line.starts_with("Uid:")).unwrap_or_default();
    assert_eq!(line, "Uid:\t65534\t65534\t65534\t65534");
    let owner =
        |path: &Path| std::os::unix::fs::MetadataExt::uid(&std::fs::metadata(path).unwrap());
    assert_eq!(owner(&disk), 65534);
    let mut console = world.first_console("one");
    console.send("ping\r").unwrap();
    console.wait_for("PONG", SOON).unwrap();
    drop(console);
    world.ok(&["suspend", "one"]);
    world.ok(&["destroy", "one"]);
    // It has its owner back.
    assert_eq!(owner(&disk), 0);
}

/// Where a shell looks for the system's daemon that is told no more than its driver.
#[test]
fn the_systems_daemon_is_found_by_its_short_names() {
    let world = World::fake();
    world.ok(&["define", &world.file(&world.plain("one"))]);
    let socket = world.virtd.base().join("run/libvirt/libvirt-sock");
    let setup = format!(
        "mount -t tmpfs tmpfs /run && mkdir /run/libvirt && ln -s {} /run/libvirt/libvirt-sock",
        socket.display()
    );
    let mut shells = vec![our_program("virsh")];
    shells.extend(reference_program("virsh").ok());
    if !is_root() {
        return skipped("the system's daemon is root's");
    }
    for shell in shells {
        for uri in ["kvmtool:///system", "kvmtool+unix:///system"] {
            let mut command = Command::new("unshare");
            command.args(["--mount", "--", "/bin/sh", "-ec"]);
            command.arg(format!("{setup}; exec \"$0\" \"$@\"")).arg(&shell);
            command.args(["-c", uri, "list", "--all", "--name"]);
            let listed = run(&mut command, Duration::from_secs(30));
            let shown = (listed.code, listed.stdout.trim());
            assert_eq!(shown, (Some(0), "one"), "{uri} {}: {listed:?}", shell.display());
        }
    }
}

/// A user's own daemon, ended with the test.
struct Session(std::process::Child);

impl Drop for Session {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

#[test]
fn a_user_has_guests_of_ones_own() {
    const NOBODY: u32 = 65534;
    if !is_root() {
        return skipped("as a user every test here shows this");
    }
    let folder = Scratch::new("session");
    let (lkvm, kernel) = (Lkvm::fake(&folder), fake_kernel(&folder));
    lkvm.open_to_all();
    let base = folder.join("base");
    std::fs::create_dir(&base).unwrap();
    std::os::unix::fs::chown(&base, Some(NOBODY), Some(NOBODY)).unwrap();
    // The tool is found on the path, and the home is the user's.
    let path = format!("{}:/usr/bin:/bin", folder.path().display());
    let daemon = Command::new("setpriv")
        .args(["--reuid", "65534", "--regid", "65534", "--clear-groups"])
        .arg(our_program("virtd"))
        .arg("--base-dir")
        .arg(&base)
        .env("PATH", path)
        .env("HOME", &lkvm.home)
        .current_dir("/")
        .stderr(std::fs::File::create(folder.join("log")).unwrap())
        .spawn();
    let _daemon = Session(daemon.unwrap());
    let socket = base.join("run/libvirt/libvirt-sock");
    assert!(wait_until(SOON, || std::os::unix::net::UnixStream::connect(&socket).is_ok()));
    let uri = format!("kvmtool+unix:///session?socket={}", socket.display());
    let program = our_program("virsh");
    let shell = |args: &[&str]| {
        run(virsh(&program, &uri, folder.path()).args(args), Duration::from_secs(30))
    };
    let xml = lkvm_domain("one", &kernel, "<console type='pty'/><memballoon model='virtio'/>");
    let file = folder.write("one.xml", xml).to_string_lossy().into_owned();
    shell(&["create", &file]).ok();
    assert_eq!(lkvm.sockets(), ["one.sock"]);
    let data = std::fs::metadata(lkvm.home.join(".lkvm/one.sock")).unwrap();
    assert_eq!(std::os::unix::fs::MetadataExt::uid(&data), NOBODY);
    shell(&["suspend", "one"]).ok();
    assert!(lkvm.run(&["list"]).stdout.contains("paused"));
    let runtime = folder.join("runtime");
    std::fs::create_dir_all(runtime.join("libvirt")).unwrap();
    std::os::unix::fs::symlink(&socket, runtime.join("libvirt/libvirt-sock")).unwrap();
    for uri in ["kvmtool:///session", "kvmtool+unix:///session"] {
        let mut command = Command::new("setpriv");
        command.args(["--reuid", "65534", "--regid", "65534", "--clear-groups"]);
        command.arg(&program).args(["-c", uri, "list", "--name"]).current_dir("/");
        command.env("XDG_RUNTIME_DIR", &runtime).env("HOME", &lkvm.home);
        let listed = run(&mut command, Duration::from_secs(30));
        assert_eq!((listed.code, listed.stdout.trim()), (Some(0), "one"), "{uri}: {listed:?}");
    }
    shell(&["destroy", "one"]).ok();
    assert!(lkvm.sockets().is_empty());
    let xml = lkvm_domain("two", &kernel, "<graphics type='vnc' port='-1'/>");
    let file = folder.write("two.xml", xml).to_string_lossy().into_owned();
    let refused = shell(&["create", &file]).stderr;
    assert!(refused.contains("only the system's daemon has the right"), "{refused}");
}
