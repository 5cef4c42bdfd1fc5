//! A whole Linux with QEMU's own agent in it, through both daemons and both shells: what the agent really
//! answers, processors that the guest lets go, and a guest that sleeps and is woken.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use interop::Own;
use test_support::{
    Daemon, Normaliser, Outcome, Reference, Scratch, Virtd, debian_program, guests_path,
    linux_domain, linux_with_agent, long_run, or_skip, our_program, reference_program, run,
    skipped, virsh, wait_until,
};

/// An emulated Linux boots in three seconds; a busy machine may need ten times that, and more.
const LIMIT: Duration = Duration::from_secs(240);

/// What is added to the guest's devices.
const DEVICES: &str = "<disk type='file'><driver name='qemu' type='raw'/>\
    <source file='{DIR}/vda'/><target dev='vda' bus='virtio'/></disk>\
    <disk type='file'><driver name='qemu' type='raw'/>\
    <source file='{DIR}/vdb'/><target dev='vdb' bus='virtio'/></disk>\
    <interface type='user'><mac address='52:54:00:01:02:03'/><model type='virtio'/></interface>\
    <channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0'/></channel>";
const DISKS: [(&str, u64); 2] = [("vda", 4 << 20), ("vdb", 256 << 20)];

/// What the agent is asked while the guest has one processor of four.
const ASKED: &[&str] = &[
    "qemu-agent-command guest '{\"execute\":\"guest-ping\"}'",
    "qemu-agent-command guest --pretty '{\"execute\":\"guest-info\"}'",
    "domhostname guest --source agent",
    "domfsinfo guest",
    "domifaddr guest --source agent --full",
    "guestinfo guest --user --os --timezone --hostname --filesystem --disk --interface",
    "domtime guest --time 1000000000; domtime guest --sync; domtime guest --time -5",
    "set-user-password guest root secret",
    "qemu-agent-command guest \
     '{\"execute\":\"guest-file-open\",\"arguments\":{\"path\":\"/run/passwords\"}}'",
    "qemu-agent-command guest '{\"execute\":\"guest-file-read\",\"arguments\":{\"handle\":1000}}'",
    "set-user-sshkeys guest root --file {DIR}/keys; get-user-sshkeys guest root",
    "set-user-sshkeys guest root --remove --file {DIR}/keys; get-user-sshkeys guest root",
    "get-user-sshkeys guest nobody",
    "domfsfreeze guest; domfsfreeze guest; domfsinfo guest; domtime guest",
    "qemu-agent-command guest '{\"execute\":\"guest-fsfreeze-status\"}'; shutdown guest --mode agent",
    "domfsthaw guest; domfsthaw guest; domfsfreeze guest --mountpoint /mnt; domfsthaw guest",
    "domfsfreeze guest --mountpoint /none; domfsthaw guest --mountpoint /none",
    "domfstrim guest; domfstrim guest --mountpoint /none",
    "guestvcpus guest; vcpucount guest --guest; guestvcpus guest 1 --disable",
    "setvcpus guest 1 --guest; setvcpus guest 2 --guest",
    "dompmwakeup guest; dompmsuspend guest hybrid",
];

/// With four, which the guest brings up and puts aside when it is told to.
const WITH_FOUR: &[&str] = &[
    "guestvcpus guest; guestvcpus guest 1-3 --enable; guestvcpus guest 1-2 --disable; guestvcpus guest; vcpucount guest --guest",
    "guestvcpus guest 0 --disable; setvcpus guest 1 --guest; guestvcpus guest",
    "setvcpus guest 4 --guest; guestvcpus guest; vcpucount guest",
];

const ASLEEP: &[&str] = &[
    "domstate guest --reason; list --all; list --state-running; domstats guest --state",
    "qemu-agent-command guest '{\"execute\":\"guest-ping\"}'; domhostname guest --source agent",
    "suspend guest; resume guest; dompmsuspend guest mem",
    "domstate guest --reason; vcpucount guest",
];

struct Side {
    shell: PathBuf,
    uri: String,
    home: Scratch,
    said: Vec<(String, Outcome)>,
}

impl Side {
    fn new(shell: &Path, daemon: &dyn Daemon, path: &str) -> Result<Self, String> {
        debian_program("qemu-system-x86_64")?;
        let system = linux_with_agent()?;
        let home = Scratch::new("system");
        home.set_mode(0o755);
        let text = |error: std::io::Error| error.to_string();
        let kernel = home.join("kernel");
        fs::copy(system.kernel, &kernel).map_err(text)?;
        let initrd = home.write("initrd", system.initrd);
        for (name, bytes) in DISKS {
            let disk = home.write(name, "");
            // Both daemons' emulators write it.
            fs::set_permissions(&disk, fs::Permissions::from_mode(0o666)).map_err(text)?;
            let file = fs::File::options().write(true).open(disk).map_err(text)?;
            file.set_len(bytes).map_err(text)?;
        }
        let devices = DEVICES.replace("{DIR}", &home.path().to_string_lossy());
        let document = linux_domain("guest", "qemu", &kernel, &initrd)
            .replace("<vcpu>1</vcpu>", "<vcpu current='1'>4</vcpu>")
            .replace("</devices>", &format!("{devices}</devices>"));
        home.write("guest.xml", document);
        home.write("keys", "ssh-rsa AAA a@b\n");
        Ok(Self { shell: shell.to_owned(), uri: daemon.uri("qemu", path), home, said: Vec::new() })
    }

    fn run(&self, line: &str) -> Outcome {
        let line = line.replace("{DIR}", &self.home.path().to_string_lossy());
        run(virsh(&self.shell, &self.uri, self.home.path()).arg(line), LIMIT)
    }

    /// Keeps what is said to compare it.
    fn say(&mut self, line: &str) {
        let normaliser = Normaliser::new("ssh-rsa")
            .replacing(self.home.path().to_string_lossy(), "{DIR}")
            .replacing(&self.uri, "{URI}");
        let outcome = normaliser.outcome(&self.run(line));
        self.said.push((line.to_owned(), outcome));
    }

    /// Says something again and again until it has the wanted effect; both are at liberty to need time.
    #[track_caller]
    fn until(&self, line: &str, wanted: &str) {
        let mut last = None;
        let done = wait_until(LIMIT, || {
            let outcome = self.run(line);
            let done = outcome.stdout.contains(wanted);
            last = Some(outcome);
            done
        });
        assert!(done, "{line}: no '{wanted}', but {last:?}");
    }

    #[track_caller]
    fn agent_answers(&self) {
        self.until("domhostname guest --source agent", "guest");
    }

    fn lead(&mut self) {
        self.say("define {DIR}/guest.xml; start guest");
        self.agent_answers();
        let listener = Listener::start(self);
        ASKED.iter().for_each(|line| self.say(line));
        self.say("setvcpus guest 4; vcpucount guest");
        self.until("guestvcpus guest", "vcpus          : 0-3\n");
        WITH_FOUR.iter().for_each(|line| self.say(line));
        // It also lets them go, and how long that takes is its own affair.
        self.until("setvcpus guest 2 --live; vcpucount guest --live --current", "2\n");
        self.until("setvcpu guest 1 --disable --live; vcpucount guest --live --current", "1\n");
        self.until("guestvcpus guest", "vcpus          : 0\n");
        self.say("guestvcpus guest; dumpxml guest --xpath //vcpus; domstate guest");
        self.say("dompmsuspend guest mem");
        self.until("domstate guest", "pmsuspended");
        ASLEEP.iter().for_each(|line| self.say(line));
        self.say("dompmwakeup guest");
        self.until("domstate guest", "running");
        self.say("domstate guest --reason");
        self.agent_answers();
        self.say("reboot guest --mode agent");
        listener.hears("'reboot'");
        self.agent_answers();
        self.say("dompmsuspend guest disk");
        self.until("domstate guest", "shut off");
        self.say("domstate guest --reason; start guest");
        self.agent_answers();
        self.say("shutdown guest --mode agent");
        self.until("domstate guest", "shut off");
        self.say("domstate guest --reason; undefine guest");
        self.said.push((listener.all(), self.run("list --all")));
    }
}

/// What a shell that listens has heard.
struct Listener {
    _shell: Own,
    file: PathBuf,
}

impl Listener {
    fn start(side: &Side) -> Self {
        let file = side.home.write("events", "");
        let mut command = virsh(&side.shell, &side.uri, side.home.path());
        command.args(["event", "--all", "--loop"]).stdin(Stdio::null()).stderr(Stdio::null());
        command.stdout(fs::File::create(&file).expect("the folder is ours"));
        let listener = Self { _shell: Own(command.spawn().expect("the shell starts")), file };
        let listens = wait_until(LIMIT, || {
            side.run("domtime guest --time 1000000000");
            listener.all_lines().contains("rtc-change")
        });
        assert!(listens, "{}: nothing is heard", side.uri);
        listener
    }

    fn all_lines(&self) -> String {
        fs::read_to_string(&self.file).unwrap_or_default()
    }

    #[track_caller]
    fn hears(&self, what: &str) {
        let heard = wait_until(LIMIT, || self.all_lines().contains(what));
        assert!(heard, "no {what} in {}", self.all_lines());
    }

    /// All but what the guest's clock says, and how often its agent comes and goes while it sleeps and starts
    /// over: of what happens in one second the emulator tells the last.
    fn all(&self) -> String {
        self.hears("Undefined Removed");
        let all = self.all_lines();
        let told = |line: &&str| !line.contains("rtc-change") && !line.contains("'channel event'");
        let mut lines: Vec<&str> =
            all.lines().filter(|line| !line.is_empty()).filter(told).collect();
        lines.dedup();
        lines.join("\n")
    }
}

fn lead(shell: &Path, daemon: &dyn Daemon, path: &str) -> Result<Vec<(String, Outcome)>, String> {
    let mut side = Side::new(shell, daemon, path)?;
    side.lead();
    Ok(std::mem::take(&mut side.said))
}

#[test]
fn a_linux_with_an_agent_says_and_does_the_same() {
    if !long_run() {
        return skipped("a Linux boots nine times, emulated (cargo xtask test --long)");
    }
    let shell = or_skip!(reference_program("virsh"));
    let reference = or_skip!(Reference::start());
    let theirs = or_skip!(lead(&shell, &reference, "session"));
    assert!(theirs.last().is_some_and(|(heard, _)| heard.contains("PMSuspended Disk")));
    for shell in [shell, our_program("virsh")] {
        // A new daemon each time: ids are counted from 1.
        let virtd = Virtd::start();
        let ours = or_skip!(lead(&shell, &virtd, guests_path()));
        let pairs = theirs.iter().zip(&ours).filter(|(theirs, ours)| theirs != ours);
        let different: Vec<String> =
            pairs.map(|(theirs, ours)| format!("wanted {theirs:#?}\nfound {ours:#?}")).collect();
        assert_eq!(theirs.len(), ours.len());
        assert!(different.is_empty(), "{}:\n{}", shell.display(), different.join("\n"));
    }
}
