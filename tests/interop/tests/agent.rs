//! The agent in a guest, through both daemons and both shells: what it is asked, what its answers mean,
//! and that one that hangs hangs alone.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use interop::{Agent, Own};
use test_support::{
    Daemon, Normaliser, Outcome, Reference, Scratch, Virtd, guest_folder, guests_path, or_skip,
    our_program, reference_program, run, tiny_domain, virsh, wait_until,
};

const LIMIT: Duration = Duration::from_secs(90);
/// No call waits for an agent here: this allows for a busy machine and a new process.
const PROMPT: Duration = Duration::from_secs(5);
const SESSIONS: &str = include_str!("../agent.txt");

/// A guest of one daemon, driven by one shell.
struct Side {
    shell: PathBuf,
    uri: String,
    home: Scratch,
}

impl Side {
    fn new(shell: &Path, daemon: &dyn Daemon, path: &str) -> Result<Self, String> {
        let (home, kernel) = guest_folder("agent")?;
        let mut disks = String::new();
        for (name, bus) in [("vda", "virtio"), ("hda", "ide")] {
            let image = home.write(name, [0_u8; 4096]);
            let source = image.display();
            disks += &format!(
                "<disk type='file'><driver name='qemu' type='raw'/><source file='{source}'/>\
                 <target dev='{name}' bus='{bus}'/><readonly/></disk>"
            );
        }
        let disks = disks.replace("bus='ide'/><readonly/>", "bus='ide'/>");
        // Both daemons' emulators read and write it.
        let all = std::os::unix::fs::PermissionsExt::from_mode(0o666);
        std::fs::set_permissions(home.join("hda"), all).map_err(|error| error.to_string())?;
        let document = tiny_domain("guest", "qemu", &kernel)
            .replace("<vcpu>1</vcpu>", "<vcpu>3</vcpu>")
            .replace("</devices>", &format!("{disks}</devices>"));
        home.write("guest.xml", Agent::devices(&document, &home.join("line")));
        home.write("keys", "ssh-rsa AAA a@b");
        Ok(Self { shell: shell.to_owned(), uri: daemon.uri("qemu", path), home })
    }

    fn command(&self) -> Command {
        virsh(&self.shell, &self.uri, self.home.path())
    }

    fn run(&self, line: &str) -> Outcome {
        let line = line.replace("{DIR}", &self.home.path().to_string_lossy());
        run(self.command().arg(line), LIMIT)
    }

    /// Starts the guest, with somebody at its port for an agent once it is opened.
    fn start(&self) -> Agent {
        self.run("create {DIR}/guest.xml").ok();
        Agent::at(&self.home.join("line"))
    }

    /// Opens or closes the port in the guest, and waits until the daemon knows.
    fn port(&self, open: bool) {
        let mut console = virsh(&our_program("virsh"), &self.uri, self.home.path());
        Agent::port(console.args(["console", "guest", "--force"]), open);
        let state = if open { "state='connected'" } else { "state='disconnected'" };
        let known = || self.run("dumpxml guest").stdout.contains(state);
        assert!(wait_until(LIMIT, known), "{state}: {}", self.uri);
    }

    fn comes_to(&self, state: &str) {
        let is_so = || self.run("domstate guest").stdout.trim() == state;
        assert!(wait_until(LIMIT, is_so), "{state}: {}", self.uri);
    }

    fn is_gone(&self) {
        let is_so = || self.run("list --all --name").stdout.trim().is_empty();
        assert!(wait_until(LIMIT, is_so), "{}", self.uri);
    }

    /// All sessions: what was said, and what the agent heard.
    fn lead(&self) -> Vec<(String, Outcome, Vec<String>)> {
        let agent = self.start();
        let normaliser = Normaliser::new(SESSIONS)
            .replacing(self.home.path().to_string_lossy(), "{DIR}")
            .replacing(&self.uri, "{URI}");
        let mut said = Vec::new();
        let mut lead = |line: &str| {
            let outcome = normaliser.outcome(&self.run(line));
            said.push((line.to_owned(), outcome, agent.heard()));
        };
        lead("qemu-agent-command guest '{\"execute\":\"guest-ping\"}'");
        self.port(true);
        for line in SESSIONS.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
            match line.strip_prefix("= ") {
                Some(rest) => match rest.split_once(' ') {
                    Some((command, answer)) => agent.answers(command, &format!("{answer}\n")),
                    None => agent.answers(rest, ""),
                },
                None => lead(line),
            }
        }
        self.is_gone();
        said
    }
}

fn ping() -> String {
    "qemu-agent-command guest '{\"execute\":\"guest-ping\"}'".to_owned()
}

#[test]
fn every_call_to_an_agent_is_as_with_libvirt() {
    let shell = or_skip!(reference_program("virsh"));
    let reference = or_skip!(Reference::start());
    let theirs = or_skip!(Side::new(&shell, &reference, "session")).lead();
    let asked: usize = theirs.iter().map(|(_, _, heard)| heard.len()).sum();
    assert!(theirs.len() > 70 && asked > 100, "{} lines, {asked} commands", theirs.len());
    let virtd = Virtd::start();
    for shell in [shell, our_program("virsh")] {
        let ours = or_skip!(Side::new(&shell, &virtd, guests_path())).lead();
        let pairs = theirs.iter().zip(&ours).filter(|(theirs, ours)| theirs != ours);
        let different: Vec<String> =
            pairs.map(|(theirs, ours)| format!("wanted {theirs:#?}\nfound {ours:#?}")).collect();
        let who = shell.display();
        assert!(
            different.is_empty(),
            "{who}: {} differ:\n{}",
            different.len(),
            different.join("\n")
        );
    }
}

/// What a listener hears while the port opens, closes, and opens again.
fn heard_of_the_port(side: &Side) -> String {
    side.start();
    let mut listener = side.command();
    listener.args(["event", "--event", "agent-lifecycle", "--loop", "--timeout", "120"]);
    let mut listener = Own(listener
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("the shell starts"));
    let out = listener.0.stdout.take().expect("piped");
    let (tell, told) = std::sync::mpsc::channel();
    thread::spawn(move || {
        use std::io::BufRead as _;
        let lines = std::io::BufReader::new(out).lines().map_while(Result::ok);
        lines.for_each(|line| drop(tell.send(line)));
    });
    // Until it listens nothing is heard: the port is opened and closed till it is.
    let mut first = None;
    let listens = wait_until(LIMIT, || {
        side.port(true);
        first = told.recv_timeout(Duration::from_secs(2)).ok();
        let listens = first.as_ref().is_some_and(|line| line.contains("'connected'"));
        if !listens {
            side.port(false);
            drop(told.recv_timeout(Duration::from_secs(2)));
        }
        listens
    });
    assert!(listens, "{}", side.uri);
    let mut heard = first.unwrap_or_default();
    for open in [false, true] {
        side.port(open);
        // QEMU tells of a port that the guest closes twice, as when it is told to again, twice.
        let state = if open { "'connected'" } else { "'disconnected'" };
        let mut lines = std::iter::from_fn(|| told.recv_timeout(LIMIT).ok());
        heard += &lines.find(|line| line.contains(state)).expect("an event");
    }
    side.run("destroy guest").ok();
    heard
}

#[test]
fn whoever_listens_hears_of_agents_that_come_and_go() {
    let shell = or_skip!(reference_program("virsh"));
    let reference = or_skip!(Reference::start());
    let theirs = heard_of_the_port(&or_skip!(Side::new(&shell, &reference, "session")));
    let one = |state: &str| {
        format!(
            "event 'agent-lifecycle' for domain 'guest': state: '{state}' reason: 'channel event'"
        )
    };
    let wanted = [one("connected"), one("disconnected"), one("connected")].concat();
    assert_eq!(theirs, wanted);
    let virtd = Virtd::start();
    for shell in [shell, our_program("virsh")] {
        let side = or_skip!(Side::new(&shell, &virtd, guests_path()));
        assert_eq!(heard_of_the_port(&side), wanted, "{}", shell.display());
    }
}

#[test]
fn an_agent_that_hangs_hangs_alone() {
    const WAITING: usize = 6;
    let virtd = Virtd::start();
    let side = or_skip!(Side::new(&our_program("virsh"), &virtd, guests_path()));
    let agent = side.start();
    side.port(true);
    agent.answers("guest-ping", "{\"return\":{}}\n");
    agent.answers("guest-get-time", "");
    assert_eq!(side.run(&ping()).ok().trim(), "{\"return\":{}}");
    let waiting: Vec<_> = (0..WAITING)
        .map(|_| {
            let mut command = side.command();
            command.arg("domtime guest");
            thread::spawn(move || run(&mut command, LIMIT))
        })
        .collect();
    assert!(wait_until(LIMIT, || !agent.heard().is_empty()), "nobody asked");
    let mut slow = Vec::new();
    for line in [
        "list --all",
        "domstate guest",
        "dumpxml guest",
        "suspend guest",
        "resume guest",
        "setmem guest 32768",
        "dominfo guest",
        "domstats guest",
    ] {
        let start = Instant::now();
        let outcome = side.run(line);
        if outcome.code != Some(0) || start.elapsed() > PROMPT {
            slow.push(format!("{line}: {:?}, {outcome:?}", start.elapsed()));
        }
    }
    let were_waiting = waiting.iter().filter(|call| !call.is_finished()).count();
    let start = Instant::now();
    side.run("destroy guest").ok();
    let ended: Vec<Outcome> =
        waiting.into_iter().map(|call| call.join().expect("it does not panic")).collect();
    assert!(slow.is_empty(), "held up by an agent:\n{}", slow.join("\n"));
    assert_eq!(were_waiting, WAITING, "nobody waited");
    assert!(start.elapsed() < Duration::from_secs(30), "{:?}", start.elapsed());
    assert!(ended.iter().all(|outcome| outcome.code == Some(1)), "{ended:?}");
    let told = "guest agent command timed out: Guest agent disappeared while executing command";
    assert!(ended.iter().any(|outcome| outcome.stderr.contains(told)), "{ended:?}");
}

#[test]
fn a_new_daemon_finds_the_agent_again() {
    let mut virtd = Virtd::start();
    let side = or_skip!(Side::new(&our_program("virsh"), &virtd, guests_path()));
    let agent = side.start();
    agent.answers("guest-ping", "{\"return\":{}}\n");
    side.port(true);
    side.run("guest-agent-timeout guest --timeout 7").ok();
    virtd.kill();
    virtd.restart();
    side.comes_to("running");
    assert!(side.run("dumpxml guest").stdout.contains("state='connected'"));
    assert_eq!(side.run(&ping()).ok().trim(), "{\"return\":{}}");
    let status = virtd.base().join("run/libvirt/qemu/guest.xml");
    let status = std::fs::read_to_string(status).expect("a status file");
    assert!(status.contains("<agentTimeout>7</agentTimeout>"), "{status}");
    // What happened while nobody watched is found out.
    side.port(false);
    virtd.kill();
    virtd.restart();
    side.comes_to("running");
    let refused = side.run(&ping());
    assert!(refused.stderr.contains("QEMU guest agent is not connected"), "{refused:?}");
    side.run("destroy guest").ok();
}
