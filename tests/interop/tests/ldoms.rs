//! Debian's virsh on Logical Domains: the founding document's commands, through our daemon.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use interop::LdomsHost;
use test_support::{
    Normaliser, Scratch, Terminal, long_run, or_skip, our_program, reference_program, run, virsh,
    wait_until,
};

const LIMIT: Duration = Duration::from_secs(60);
/// Ctrl-], with which a person leaves a console.
const LEAVE: &str = "\u{1d}";

/// The document's commands, and what stands beside them; each line is one session.
const SESSIONS: &[&str] = &[
    "list --all",
    "version --daemon",
    "nodeinfo",
    "hostname",
    "define {DIR}/web1.xml",
    "list --all",
    "start web1",
    "start web1",
    "domid web1",
    "domname 1",
    "domuuid web1",
    "domname 0b6d7c1e-4a52-41f3-9c0d-7e1f5a2b3c4d",
    "domstate web1",
    "dominfo web1",
    "dumpxml web1",
    "vcpuinfo web1",
    "setvcpus web1 6",
    "setvcpus web1 4000",
    "setmem web1 3G",
    "setmem web1 3100000",
    "dominfo web1",
    "shutdown web1",
    "domstate web1",
    "shutdown web1",
    "destroy web1",
    "destroy web1",
    "domrename web1 web2",
    "undefine web1",
    "undefine web1",
    "create {DIR}/web1.xml",
    "list; destroy web1; undefine web1; list --all; quit",
    "undefine primary",
];

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("ldoms.golden")
}

#[test]
fn the_documents_commands_say_what_they_said() {
    let shell = or_skip!(reference_program("virsh"));
    let host = LdomsHost::start();
    let mut said = String::new();
    for session in SESSIONS {
        let directory = host.home.path().to_string_lossy().into_owned();
        let line = session.replace("{DIR}", &directory);
        let outcome = run(host.virsh(&shell).arg(line), LIMIT);
        let normaliser = Normaliser::new(LdomsHost::DOCUMENT).replacing(directory, "{DIR}");
        let mut outcome = normaliser.outcome(&outcome);
        if *session == "hostname" {
            let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
            outcome.stdout = outcome.stdout.replace(&name, "{HOST}");
        }
        let code = outcome.code.unwrap_or(-1);
        said.push_str(&format!(
            "$ virsh {session}\n{}{}[{code}]\n",
            outcome.stdout, outcome.stderr
        ));
    }
    // The console's port is any free one.
    let said: Vec<String> = said
        .lines()
        .map(|line| match line.split_once(" service='") {
            Some((before, after)) => {
                let rest = after.split_once('\'').map_or("", |(_, rest)| rest);
                format!("{before} service='{{PORT}}'{rest}")
            }
            None => line.trim_end().to_owned(),
        })
        .collect();
    let said = said.join("\n") + "\n";
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(golden(), said).expect("the file is ours");
        return;
    }
    let kept = std::fs::read_to_string(golden()).expect("the kept transcripts");
    assert_eq!(said, kept);
}

/// The founding document's commands.
const COMMANDS: &str = "help console create start destroy define domid domuuid dominfo domname \
                        domstate dumpxml hostname list nodeinfo quit shutdown setmem setvcpus \
                        undefine vcpuinfo version";

#[test]
fn both_shells_offer_every_command_of_the_document() {
    let theirs = or_skip!(reference_program("virsh"));
    let host = LdomsHost::start();
    for shell in [&theirs, &our_program("virsh")] {
        let help = run(host.virsh(shell).arg("help"), LIMIT).ok();
        let offered: Vec<&str> =
            help.lines().filter_map(|line| line.split_whitespace().next()).collect();
        for command in COMMANDS.split_whitespace() {
            assert!(offered.contains(&command), "{}: {command}", shell.display());
            let own = run(host.virsh(shell).args(["help", command]), LIMIT).ok();
            assert!(own.contains("SYNOPSIS") && own.contains(command), "{command}: {own}");
        }
    }
}

#[test]
fn a_console_opens_for_debians_shell_and_can_be_left() {
    let shell = or_skip!(reference_program("virsh"));
    let host = LdomsHost::start();
    let create = format!("create {}/web1.xml", host.home.path().display());
    run(host.virsh(&shell).arg(create), LIMIT).ok();
    let mut command = host.virsh(&shell);
    command.args(["console", "web1"]);
    let mut terminal = Terminal::start(&mut command).expect("a terminal");
    terminal.wait_for("Connecting to console \"web1\"", LIMIT).expect("the concentrator");
    let raw = wait_until(LIMIT, || terminal.is_raw());
    assert!(raw, "the shell takes each key");
    terminal.send("\r").expect("the shell reads");
    terminal.wait_for("login:", LIMIT).expect("the guest");
    terminal.send(LEAVE).expect("the shell reads");
    assert_eq!(terminal.end(LIMIT), Some(0));
    run(host.virsh(&shell).args(["destroy", "web1"]), LIMIT).ok();
}

/// A shell that has hundreds of domains live and die, a process each phase.
struct Crowd<'a> {
    host: &'a LdomsHost,
    shell: PathBuf,
    uri: String,
    count: usize,
    /// Between the shell and the manager, with a memory longer than a process.
    daemon: bool,
}

impl Crowd<'_> {
    /// Runs a shell with these commands; what it said, and what the manager was asked meanwhile.
    fn said(&self, commands: &str) -> (String, Vec<String>) {
        let before = self.host.requests().len();
        let mut command = virsh(&self.shell, &self.uri, self.host.home.path());
        let said = run(command.arg(commands), Duration::from_secs(900)).ok();
        (said, self.host.requests().split_off(before))
    }

    /// One command for each domain, all of which say this.
    fn each(&self, verb: &str, wanted: &str) -> usize {
        let begun = Instant::now();
        let lines = |number: usize| format!("{verb} {};", self.operand(verb, number));
        let (said, asked) = self.said(&(0..self.count).map(lines).collect::<String>());
        let good = said.lines().filter(|line| line.contains(wanted)).count();
        assert_eq!(good, self.count, "{verb}: {said}");
        self.figure(verb, asked.len(), begun);
        asked.len()
    }

    fn operand(&self, verb: &str, number: usize) -> String {
        if verb != "define" {
            return format!("d{number}");
        }
        let name = format!("d{number}");
        let xml = LdomsHost::DOCUMENT.replace("web1", &name);
        let keep = |line: &&str| !line.contains("<uuid>");
        let xml: String = xml.lines().filter(keep).map(|line| format!("{line}\n")).collect();
        let xml = xml.replace("<memory unit='GiB'>2<", "<memory unit='MiB'>64<");
        let xml =
            xml.replace("<vcpu>4<", "<vcpu>1<").replace("<mac address='00:14:4f:fc:00:01'/>", "");
        self.host.home.write(&format!("{name}.xml"), xml).display().to_string()
    }

    fn figure(&self, phase: &str, requests: usize, begun: Instant) {
        let (count, took) = (self.count, begun.elapsed());
        eprintln!("  {phase}: {count} domains, {requests} requests, {took:.2?}");
    }

    /// Lists them all, three times over in one process; how often the manager was asked.
    fn list(&self, phase: &str) -> usize {
        let begun = Instant::now();
        let (said, asked) = self.said("list --all; list --all; list --all");
        let listed = said.lines().filter(|line| line.contains(" d")).count();
        assert_eq!(listed, 3 * self.count, "{said}");
        assert!(asked.iter().all(|line| line.starts_with("list-domain")), "{asked:?}");
        self.figure(phase, asked.len(), begun);
        asked.len()
    }

    /// What a list costs: one request for a shell that knows nothing; none for a daemon, once the
    /// event of the last change has come, with which it asks once more.
    fn lists(&self) {
        match self.daemon {
            false => assert_eq!(self.list("list by a client that knows nothing"), 1),
            true => {
                let quiet = wait_until(LIMIT, || self.list("list when nothing has changed") == 0);
                assert!(quiet, "the daemon asks again and again");
            }
        }
    }

    fn live(&self) {
        eprintln!("{} -c {}", self.shell.display(), self.uri);
        self.each("define", "defined from");
        self.lists();
        self.each("start", "started");
        self.lists();
        self.each("dumpxml", "<name>d");
        self.each("dominfo", "running");
        if self.daemon {
            assert_eq!(self.each("dominfo", "running"), 0, "nothing has changed");
            assert_eq!(self.each("dumpxml", "<name>d"), 0, "nothing has changed");
        }
        self.lists();
        self.each("shutdown", "is being shutdown");
        self.each("destroy", "destroyed");
        self.each("undefine", "has been undefined");
        let (said, _) = self.said("list --all --name");
        assert_eq!(said.trim(), "primary");
    }
}

#[test]
fn hundreds_of_domains_live_and_die_and_a_list_is_one_request_or_none() {
    let count = if long_run() { 500 } else { 16 };
    let theirs = or_skip!(reference_program("virsh"));
    let mut host = LdomsHost::start_with(&["--strands", "1024", "--memory", "1T"]);
    let alone = format!("ldoms:///default?port={}", host.port);
    Crowd { host: &host, shell: our_program("virsh"), uri: alone, count, daemon: false }.live();
    for shell in [our_program("virsh"), theirs] {
        let crowd = Crowd { host: &host, shell, uri: host.uri(), count, daemon: true };
        // The daemon learns what there is from its first client, and from events from then on.
        let (_, asked) = crowd.said("list --all; list --all");
        assert_eq!(asked, ["list-domain"]);
        crowd.live();
        host.virtd.stop();
        host.virtd.restart();
    }
}

#[test]
fn a_domain_moves_to_another_machine() {
    let home = Scratch::new("ldoms-move");
    let users = home.write("users", "root:secret:write\n").display().to_string();
    let auth =
        "[credentials-c]\nusername=root\npassword=secret\n[auth-ldoms-other]\ncredentials=c\n";
    let auth = home.write("auth", auth).display().to_string();
    let there = LdomsHost::start_with(&["--remote-listen", "127.0.0.1:0", "--users-file", &users]);
    let peer = format!("other={}", there.remote.as_deref().expect("it listens"));
    let here = LdomsHost::start_with(&["--peer", &peer, "--users-file", &users]);
    let shell = |host: &LdomsHost, words: &[&str]| {
        let uri = format!("ldoms:///default?port={}&authfile={auth}", host.port);
        run(virsh(&our_program("virsh"), &uri, host.home.path()).args(words), LIMIT)
    };
    // One without disks: volumes are to be on both machines before.
    let xml: String = LdomsHost::DOCUMENT
        .lines()
        .filter(|line| !line.contains("<disk"))
        .map(|l| format!("{l}\n"))
        .collect();
    let file = here.home.write("bare.xml", xml).display().to_string();
    shell(&here, &["create", &file]).ok();
    let target = "ldoms://root@other/";
    let more = ["migrate", "--direct", "web1", target, target, "--parallel-connections", "2"];
    let wrong = shell(&here, &more);
    assert!(wrong.stderr.contains("extended parameters were passed"), "{wrong:?}");
    shell(&here, &["migrate", "--direct", "--live", "web1", target, target]).ok();
    assert_eq!(shell(&here, &["list", "--all", "--name"]).ok().trim(), "primary");
    assert_eq!(shell(&there, &["domstate", "web1"]).ok().trim(), "running");
}
