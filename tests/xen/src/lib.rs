//! A real Xen under QEMU, without KVM, with our daemon in its control domain.
//!
//! The shells run outside, over TCP: what is tested is the daemon, and nothing runs twice as slow as it
//! must. `prepare` makes the disk-less system from Debian's packages, once; `dom0` is what runs in it.

#![allow(clippy::print_stdout)] // a transcript, for who reads of a failure

mod console;
pub mod full;
mod xenstored;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use test_support::{Outcome, Scratch, debian_program, free_port, our_program, run, virsh};

pub use console::Console;
pub use xenstored::{Guest, Xenstored};

/// How long anything may take on a busy machine; Xen's own scripts wait 40 seconds.
pub const LONG: Duration = Duration::from_secs(240);
/// How long packages may take to come, and to be unpacked.
const PREPARE_MAX: Duration = Duration::from_secs(500);
/// How often it is looked whether something has happened: each look costs the guest time.
const STEP: Duration = Duration::from_millis(200);
/// Where guests of another machine come in, as the control domain sees it.
pub const MOVES: u16 = 8100;
/// Of our daemon, and of libvirt's beside it, and where guests come in.
const PORTS: [u16; 3] = [16_509, 16_510, MOVES];
/// Limit: a release that hangs is ended by this.
const LIFE_S: &str = "1500";

/// A machine with Xen on it.
pub struct Xen {
    share: Scratch,
    home: Scratch,
    qemu: Child,
    ports: [u16; 3],
    began: Instant,
}

/// Which daemon a shell talks to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Daemon {
    Ours,
    Libvirts,
}

/// Prepares a release, and gives the folder; or why that cannot be.
pub fn prepare(release: &str) -> Result<PathBuf, String> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("prepare");
    let said = run(Command::new(script).arg(release), PREPARE_MAX);
    let find = |head: &str| said.stdout.lines().find_map(|line| line.strip_prefix(head));
    match (find("skipped: "), find("ready: ")) {
        (Some(reason), _) => Err(reason.to_owned()),
        (None, Some(dir)) => Ok(dir.into()),
        (None, None) => panic!("Xen {release} cannot be prepared: {}{}", said.stdout, said.stderr),
    }
}

/// The release that is asked for: 4.17, unless `FERROVIRT_XEN` says otherwise.
pub fn release() -> String {
    std::env::var("FERROVIRT_XEN").unwrap_or_else(|_| "4.17".to_owned())
}

/// Waits for something that a guest or a daemon does.
pub fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let end = Instant::now() + LONG;
    while !is_so() {
        assert!(Instant::now() < end, "in vain: {what}");
        std::thread::sleep(STEP);
    }
}

/// Copies a program, and the libraries it is linked with: the control domain may have others.
fn copy_program(program: &Path, share: &Path) {
    let name = program.file_name().expect("a program has a name");
    let copy = share.join(name);
    fs::copy(program, &copy).expect("the program is copied");
    // What is for debuggers is most of it, and has to come through the emulator; one that cannot be
    // taken off does no harm.
    let _ = run(Command::new("strip").arg("--strip-debug").arg(&copy), LONG);
    fs::create_dir_all(share.join("lib")).expect("the folder is ours");
    let listed = run(Command::new("ldd").arg(program), LONG).ok();
    for path in listed.split_whitespace().filter(|word| word.starts_with('/')) {
        let name = Path::new(path).file_name().expect("a library has a name");
        fs::copy(path, share.join("lib").join(name)).expect("the library is copied");
    }
}

impl Xen {
    /// Boots a release, and waits for the daemon; or says why that cannot be tried here.
    pub fn start(release: &str) -> Result<Self, String> {
        // A processor that has it all makes guests without drivers possible from 4.20 on.
        let cpu = if release == "4.20" { "max,-rdtscp" } else { "Nehalem,+rdrand" };
        Self::start_on(release, cpu)
    }

    /// The same on a processor that is named.
    pub fn start_on(release: &str, cpu: &str) -> Result<Self, String> {
        let emulator = debian_program("qemu-system-x86_64")?;
        let dir = prepare(release)?;
        let began = Instant::now();
        let share = Scratch::new("xen");
        copy_program(&our_program("virtd"), share.path());
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("dom0");
        fs::copy(script, share.join("dom0")).expect("the script is copied");
        let ports = [free_port(), free_port(), free_port()];
        let forward = |at: usize| format!("hostfwd=tcp:127.0.0.1:{}-:{}", ports[at], PORTS[at]);
        // It ends with the test, also when that is killed and cannot clear up.
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig=TERM", "timeout", "--kill-after=5", LIFE_S]).arg(emulator);
        command.args(["-accel", "tcg", "-cpu", cpu, "-m", "2048", "-display", "none"]);
        command.args(["-nodefaults", "-no-reboot"]).arg("-kernel").arg(dir.join("xen"));
        command.args([
            "-append",
            "console=com1 com1=115200,8n1 dom0_mem=1024M,max:1024M dom0_max_vcpus=1 \
             loglvl=warning guest_loglvl=warning spec-ctrl=no,eager-fpu=yes xpti=no pv-l1tf=no",
        ]);
        // What protects from real processors costs most of an emulated one's time. Registers are saved at
        // each change of guests all the same: put off, they came back wrong under the emulator.
        let modules = ["vmlinux console=hvc0 quiet mitigations=off", "boot.gz"];
        command
            .arg("-initrd")
            .arg(modules.map(|name| dir.join(name).display().to_string()).join(","));
        command.arg("-serial").arg(format!("file:{}", share.join("serial.log").display()));
        let folders =
            [("root9p", dir.join("root"), ",readonly=on"), ("share9p", share.path().into(), "")];
        for (tag, path, more) in folders {
            let path = path.display();
            let local =
                format!("local,id={tag},path={path},security_model=none,multidevs=remap{more}");
            command.arg("-fsdev").arg(local);
            command.arg("-device").arg(format!("virtio-9p-pci,fsdev={tag},mount_tag={tag}"));
        }
        command.arg("-netdev").arg(format!(
            "user,id=n,{},{},{}",
            forward(0),
            forward(1),
            forward(2)
        ));
        command.args(["-device", "virtio-net-pci,netdev=n,romfile="]);
        let qemu = command.stdin(Stdio::null()).stdout(Stdio::null()).spawn();
        let qemu = qemu.map_err(|error| format!("{command:?}: {error}"))?;
        let mut xen = Self { share, home: Scratch::new("xen-home"), qemu, ports, began };
        xen.await_boot();
        Ok(xen)
    }

    fn await_boot(&mut self) {
        let end = Instant::now() + LONG;
        while run(&mut self.shell(Daemon::Ours, "uri"), LONG).code != Some(0) {
            let ended = matches!(self.qemu.try_wait(), Ok(Some(_)));
            assert!(!ended && Instant::now() < end, "no daemon came up: {}", self.logs());
            std::thread::sleep(STEP);
        }
    }

    /// What the machine and the daemon wrote.
    pub fn logs(&self) -> String {
        let read = |name: &str| fs::read_to_string(self.share.join(name)).unwrap_or_default();
        format!("{}\n{}", read("serial.log"), read("virtd.log"))
    }

    /// A folder of the test's own, outside.
    pub fn home(&self) -> &Scratch {
        &self.home
    }

    /// The folder that both sides see; inside it is `/share`.
    pub fn share(&self) -> &Scratch {
        &self.share
    }

    /// Our shell outside, on a daemon inside.
    pub fn shell(&self, daemon: Daemon, line: &str) -> Command {
        self.shell_of(&our_program("virsh"), daemon, line)
    }

    /// Where a daemon is to be reached from outside.
    pub fn port(&self, daemon: Daemon) -> u16 {
        self.ports[usize::from(daemon == Daemon::Libvirts)]
    }

    /// Where guests that come in are to be sent to, from outside and from another machine.
    pub fn moves_port(&self) -> u16 {
        let [_, _, moves] = self.ports;
        moves
    }

    pub fn shell_of(&self, program: &Path, daemon: Daemon, line: &str) -> Command {
        let port = self.port(daemon);
        let uri = format!("xen+tcp://127.0.0.1:{port}/system");
        let mut command = virsh(program, &uri, self.home.path());
        command.arg("-q").arg(line);
        command
    }

    /// A transcript, with the seconds that have gone by.
    fn tell(&self, what: &str, said: &str) {
        println!("{:4} {what}: {}", self.began.elapsed().as_secs(), said.trim());
    }

    /// One command of our shell to our daemon.
    pub fn virsh(&self, line: &str) -> Outcome {
        run(&mut self.shell(Daemon::Ours, line), LONG)
    }

    /// The same, which must succeed.
    #[track_caller]
    pub fn must(&self, line: &str) -> String {
        let said = self.virsh(line);
        self.succeeded(line, &said);
        said.stdout.trim().to_owned()
    }

    #[track_caller]
    fn succeeded(&self, line: &str, said: &Outcome) {
        self.tell(&format!("virsh {line}"), &said.stdout);
        assert_eq!(
            said.code,
            Some(0),
            "virsh {line}: {}{}\n{}",
            said.stdout,
            said.stderr,
            self.logs()
        );
    }

    /// Starts a guest. libxl gives its scripts 40 s, which an emulated machine may need and more: then
    /// once more.
    #[track_caller]
    pub fn starts(&self, guest: &str) {
        const TRIES_MAX: usize = 3;
        let line = format!("start {guest}");
        let mut said = self.virsh(&line);
        for _ in 1..TRIES_MAX {
            if said.code == Some(0) || !said.stderr.contains("because of timeout") {
                break;
            }
            said = self.virsh(&line);
        }
        self.succeeded(&line, &said);
    }

    /// The same, which must be refused, with these words among others.
    #[track_caller]
    pub fn refused(&self, line: &str, words: &str) {
        let said = self.virsh(line);
        self.tell(&format!("virsh {line}"), &said.stderr);
        assert_eq!(said.code, Some(1), "virsh {line}: {}", said.stdout);
        assert!(said.stderr.contains(words), "virsh {line}: {}", said.stderr);
    }

    /// Runs a script in the control domain, and gives what it said and its code.
    pub fn sh(&self, script: &str) -> (String, i32) {
        let said = self.share.join("said");
        let _ = fs::remove_file(&said);
        let asking = self.share.write("asking", script);
        fs::rename(asking, self.share.join("ask")).expect("the folder is ours");
        until(script, || said.exists());
        let text = fs::read_to_string(&said).expect("what it said");
        let (text, code) = text.trim_end().rsplit_once("code ").expect("its code");
        (text.trim_end().to_owned(), code.parse().expect("a number"))
    }

    /// The same, which must succeed.
    #[track_caller]
    pub fn inside(&self, script: &str) -> String {
        let (said, code) = self.sh(script);
        self.tell(&format!("inside: {script}"), &said);
        assert_eq!(code, 0, "{script}: {said}\n{}", self.logs());
        said
    }

    /// Ends our daemon without a warning.
    pub fn kill_daemon(&self) {
        self.inside("kill -9 $(cat /run/virtd.pid) && ! cat /proc/$(cat /run/virtd.pid)/maps 2>&-");
    }

    /// Starts it again.
    pub fn restart_daemon(&mut self) {
        self.inside("/run/virtd & echo $! >/run/virtd.pid");
        self.await_boot();
    }
}

impl Drop for Xen {
    fn drop(&mut self) {
        self.share.write("end", "");
        let end = Instant::now() + Duration::from_secs(20);
        while Instant::now() < end {
            if matches!(self.qemu.try_wait(), Ok(Some(_))) {
                return;
            }
            std::thread::sleep(STEP);
        }
        // `timeout` passes the signal on.
        test_support::signal(self.qemu.id().cast_signed(), test_support::Signal::TERM);
        let _ = self.qemu.wait();
    }
}
