//! A real guest through both daemons: the same words for the same life.

use std::path::{Path, PathBuf};
use std::time::Duration;

use interop::shells;
use test_support::{
    Daemon, Normaliser, Outcome, Reference, Scratch, Terminal, Virtd, debian_program, guests_path,
    or_skip, our_program, reference_program, run, tiny_domain, tiny_guest_in, virsh, wait_until,
};

const LIMIT: Duration = Duration::from_secs(60);
const ASKED_MAX: u32 = 30;
const ANSWER_MAX: Duration = Duration::from_secs(1);
/// Ctrl-], with which a person leaves a console.
const LEAVE: &str = "\u{1d}";

/// Each line is one session; a line that starts with `await ` waits for a state of the guest.
const LIFE: &[&str] = &[
    "define {DIR}/guest.xml",
    "list --all",
    "dumpxml guest --inactive",
    "start guest",
    "list; domstate guest --reason; start guest",
    "dominfo guest",
    "suspend guest; domstate guest --reason; suspend guest",
    "resume guest; domstate guest --reason; resume guest",
    "domid guest; domuuid guest; vcpucount guest",
    "autostart guest; dominfo guest; autostart guest --disable",
    "setmem guest 32768; setmem guest 999999999",
    "reset guest; domstate guest",
    "await running",
    "shutdown guest",
    "await shut off",
    "domstate guest --reason; shutdown guest",
    "start guest; domid guest; destroy guest; domstate guest --reason; destroy guest",
    "undefine guest; list --all; undefine guest",
    "create {DIR}/guest.xml; list --all; dominfo guest; destroy guest; list --all",
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

    /// Whether the guest comes into this state in time.
    fn comes_to(&self, home: &Scratch, state: &str) -> bool {
        wait_until(LIMIT, || self.run(home, "domstate guest").stdout.trim() == state)
    }

    /// The guest's life, and what the shell said at each step.
    fn lead(&self, home: &Scratch, document: &str) -> Vec<(String, Outcome)> {
        let normaliser = Normaliser::new(document)
            .replacing(home.path().to_string_lossy(), "{DIR}")
            .replacing(&self.uri, "{URI}");
        let mut said = Vec::new();
        for line in LIFE {
            if let Some(state) = line.strip_prefix("await ") {
                assert!(self.comes_to(home, state), "the guest is not '{state}' in time");
                continue;
            }
            if line.starts_with("shutdown") {
                // A guest hears its power button only when it runs.
                assert!(self.hears_button(home), "the guest does not boot");
            }
            said.push(((*line).to_owned(), normaliser.outcome(&self.run(home, line))));
        }
        said
    }

    /// Whether the guest has come up, by its console.
    fn hears_button(&self, home: &Scratch) -> bool {
        self.answers(home, "guest", "ping", "pong")
    }

    /// Whether a guest says this when it is asked that on its console.
    fn answers(&self, home: &Scratch, name: &str, asked: &str, answer: &str) -> bool {
        let mut command = virsh(&self.shell, &self.uri, home.path());
        command.args(["console", name, "--force"]);
        let mut terminal = Terminal::start(&mut command).expect("a terminal");
        terminal.wait_for("^]", LIMIT).expect("the console opens");
        // What is typed before the guest has set up its port is lost: ask again.
        let answered = (0..ASKED_MAX).any(|_| {
            terminal.send(&format!("\r{asked}\r")).expect("the shell reads");
            terminal.wait_for(answer, ANSWER_MAX).is_ok()
        });
        terminal.send(LEAVE).expect("the shell reads");
        assert_eq!(terminal.end(LIMIT), Some(0));
        answered
    }
}

/// A folder with the guest's kernel and document, readable for an unprivileged daemon.
fn files() -> Result<(Scratch, String), String> {
    debian_program("qemu-system-x86_64")?;
    let home = Scratch::new("guest");
    home.set_mode(0o755);
    let kernel = tiny_guest_in(&home)?;
    let document = tiny_domain("guest", "qemu", &kernel);
    home.write("guest.xml", &document);
    Ok((home, document))
}

#[track_caller]
fn assert_same(ours: &[(String, Outcome)], theirs: &[(String, Outcome)]) {
    let different: Vec<String> = ours
        .iter()
        .zip(theirs)
        .filter(|(ours, theirs)| ours != theirs)
        .map(|((line, ours), (_, theirs))| {
            format!("virsh {line}\n  wanted {theirs:#?}\n  found {ours:#?}")
        })
        .collect();
    assert!(different.is_empty(), "{} differ:\n{}", different.len(), different.join("\n"));
}

#[test]
fn a_guest_leads_the_same_life_under_both_daemons() {
    let shell = or_skip!(reference_program("virsh"));
    let (home, document) = or_skip!(files());
    let reference = or_skip!(Reference::start());
    let theirs = Side::new(&shell, &reference, "session").lead(&home, &document);
    for shell in [shell, our_program("virsh")] {
        // A new daemon each time: ids are counted from 1.
        let virtd = Virtd::start();
        let ours = Side::new(&shell, &virtd, guests_path()).lead(&home, &document);
        assert_same(&ours, &theirs);
        assert_eq!(virtd.emulators(), [0; 0], "an emulator is left over");
    }
}

/// The founding page's document of a guest that is installed from a kernel, but for what is Xen's own in it.
const INSTALLED: &str = "<domain type='qemu'>
  <name>fc8</name>
  <os>
    <type>hvm</type>
    <kernel>{DIR}/kernel</kernel>
    <initrd>{DIR}/initrd</initrd>
    <cmdline> kickstart=http://example.com/myguest.ks </cmdline>
  </os>
  <memory>131072</memory>
  <vcpu>1</vcpu>
  <devices>
    <disk type='file'>
      <source file='{DIR}/disk'/>
      <target dev='sda'/>
    </disk>
    <graphics type='vnc' port='-1'/>
    <console tty='/dev/pts/5'/>
  </devices>
</domain>";

#[test]
fn the_founding_pages_installation_has_the_same_shape_here() {
    let (home, _) = or_skip!(files());
    home.write("initrd", [1; 1234]);
    home.write("disk", vec![0; 1 << 20]);
    home.write("fc8.xml", INSTALLED.replace("{DIR}", &home.path().to_string_lossy()));
    let virtd = Virtd::start();
    for shell in shells() {
        let side = Side::new(&shell, &virtd, guests_path());
        side.run(&home, "define {DIR}/fc8.xml; start fc8").ok();
        assert!(side.run(&home, "vncdisplay fc8").ok().trim().contains(':'), "it has a display");
        // The kernel has what the document says.
        let kickstart = "kickstart=http://example.com/myguest.ks";
        assert!(side.answers(&home, "fc8", "cmdline", kickstart));
        assert!(side.answers(&home, "fc8", "initrd", "initrd 1234 "));
        side.run(&home, "destroy fc8; undefine fc8").ok();
    }
}

#[test]
fn a_guest_marked_for_it_starts_with_the_host() {
    let (home, _) = or_skip!(files());
    let mut virtd = Virtd::start();
    let side = Side::new(&our_program("virsh"), &virtd, guests_path());
    side.run(&home, "define {DIR}/guest.xml; autostart guest").ok();
    let document = side.run(&home, "dumpxml guest").ok();

    assert_eq!(virtd.stop(), Some(0));
    virtd.restart();
    // The daemon came back, the host did not: nothing starts by itself.
    assert_eq!(side.run(&home, "domstate guest").ok().trim(), "shut off");
    assert_eq!(side.run(&home, "dumpxml guest").ok(), document);

    assert_eq!(virtd.stop(), Some(0));
    // A host that boots has nothing in its run-time folder.
    std::fs::remove_dir_all(virtd.base().join("run")).expect("the folder is ours");
    virtd.restart();
    assert!(side.comes_to(&home, "running"), "the guest was not started");
    side.run(&home, "destroy guest; autostart guest --disable; undefine guest").ok();
}

#[test]
fn a_transient_guest_is_gone_when_it_ends_and_its_id_is_not_given_again() {
    let (home, _) = or_skip!(files());
    let virtd = Virtd::start();
    let side = Side::new(&our_program("virsh"), &virtd, guests_path());
    side.run(&home, "create {DIR}/guest.xml").ok();
    let id = side.run(&home, "domid guest").ok();
    assert_eq!(id.trim(), "1");
    side.run(&home, "destroy guest").ok();
    assert_ne!(side.run(&home, "domstate guest").code, Some(0));
    side.run(&home, "create {DIR}/guest.xml").ok();
    assert_eq!(side.run(&home, "domid guest").ok().trim(), "2");
    side.run(&home, "destroy guest").ok();
}
