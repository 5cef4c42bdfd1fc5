//! Both shells at a terminal, on the same daemon: consoles, what Ctrl-C does to a job, the edit loop.
//!
//! Each scene is played with our shell and, where it is installed, with libvirt's; what a person sees
//! must be the same.

use std::cell::RefCell;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use test_support::{
    Daemon, Outcome, Reference, Scratch, Terminal, Virtd, debian_program, guests_path, or_skip,
    our_program, reference_program, run, tiny_guest, virsh, wait_until,
};

/// How long a person would wait.
const LIMIT: Duration = Duration::from_secs(90);
const CTRL_C: &str = "\u{3}";

/// Our shell, and theirs where there is one.
fn shells() -> Vec<PathBuf> {
    std::iter::once(our_program("virsh")).chain(reference_program("virsh")).collect()
}

/// A shell at a terminal of its own, with all that is shown there.
struct Person {
    terminal: Terminal,
    shown: Rc<RefCell<Vec<u8>>>,
}

impl Person {
    fn new(shell: &Path, uri: &str, home: &Path, args: &[&str]) -> Self {
        Self::with(shell, uri, home, args, &[])
    }

    fn with(
        shell: &Path,
        uri: &str,
        home: &Path,
        args: &[&str],
        variables: &[(&str, String)],
    ) -> Self {
        let mut plain = virsh(shell, uri, home);
        plain.args(args).env("VIRSH_HINTS", "0").env("TMPDIR", home);
        plain.envs(variables.iter().map(|(name, value)| (name, value)));
        // Ctrl-C is a signal only for those whose controlling terminal it is.
        let mut command = Command::new("setsid");
        command.args(["--ctty", "--wait"]).arg(plain.get_program()).args(plain.get_args());
        command.env_clear().current_dir(home);
        command.envs(plain.get_envs().filter_map(|(name, value)| Some((name, value?))));
        let shown = Rc::new(RefCell::new(Vec::new()));
        let screen = Rc::clone(&shown);
        let terminal = Terminal::start(&mut command).expect("a terminal");
        let terminal = terminal.showing(move |bytes| screen.borrow_mut().extend_from_slice(bytes));
        Self { terminal, shown }
    }

    #[track_caller]
    fn sees(&mut self, text: &str) {
        self.terminal.wait_for(text, LIMIT).unwrap_or_else(|error| panic!("{error}"));
    }

    #[track_caller]
    fn types(&mut self, keys: &str) {
        self.terminal.send(keys).expect("the shell reads");
    }

    /// Types a guest's command until it answers: what comes before it has set up its port is lost.
    #[track_caller]
    fn asks(&mut self, keys: &str, answer: &str) {
        const ASKED_MAX: u32 = 60;
        let answered = (0..ASKED_MAX).any(|_| {
            self.types(keys);
            self.terminal.wait_for(answer, Duration::from_secs(1)).is_ok()
        });
        assert!(answered, "the guest does not answer {answer}: {}", self.screen());
    }

    /// Waits until keys come to the program as they are.
    #[track_caller]
    fn is_raw(&self) {
        assert!(wait_until(LIMIT, || self.terminal.is_raw()), "the terminal does not become raw");
    }

    fn screen(&self) -> String {
        shown_text(&self.shown.borrow())
    }

    /// All that was seen, and the exit code.
    fn leaves(self) -> (String, Option<i32>) {
        let Self { terminal, shown } = self;
        let code = terminal.end(LIMIT);
        let text = shown_text(&shown.borrow());
        (text, code)
    }
}

/// What libvirt's shell says at a terminal of a host without polkit, whatever it is asked.
const NO_POLKIT: &str = "Authorization not available. Check if polkit service is running or see \
                         debug message for more information.\n";

fn shown_text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).replace("\r\n", "\n").replace(NO_POLKIT, "")
}

/// Plays a scene with each shell, and gives what ours showed: theirs showed the same.
#[track_caller]
fn same<T: PartialEq + std::fmt::Debug>(mut scene: impl FnMut(&Path) -> T) -> T {
    let mut seen = shells().into_iter().map(|shell| scene(&shell));
    let ours = seen.next().expect("there is our shell");
    if let Some(theirs) = seen.next() {
        assert_eq!(ours, theirs, "ours, theirs");
    }
    ours
}

/// A text in which the many figures of a job on its way are one.
fn without_progress(text: &str) -> String {
    let mut made = String::new();
    let text = text.replace("^C", "");
    let mut pieces = text.split('\r');
    made.push_str(pieces.next().unwrap_or_default());
    for piece in pieces {
        let figure = piece.split_once(": [").and_then(|(label, rest)| {
            let (number, rest) = rest.split_once(" %]")?;
            Some((label, if number.trim() == "100.00" { "all" } else { "some" }, rest))
        });
        match figure {
            Some((label, number, rest)) => {
                let line = format!("\r{label}: {number}");
                if !made.ends_with(&line) {
                    made.push_str(&line);
                }
                made.push_str(rest);
            }
            None => {
                made.push('\r');
                made.push_str(piece);
            }
        }
    }
    made
}

/// A guest with a console, a disk, and memory that is not empty.
struct World {
    home: Scratch,
    uri: String,
}

const DISK_BYTES: usize = 32 << 20;

impl World {
    fn new(uri: String) -> Result<Self, String> {
        debian_program("qemu-system-x86_64")?;
        let home = Scratch::new("terminal");
        home.set_mode(0o777);
        let kernel = home.join("kernel");
        std::fs::copy(tiny_guest()?, &kernel).map_err(|error| error.to_string())?;
        let disk = home.write("disk", vec![0x55; DISK_BYTES]);
        use std::os::unix::fs::PermissionsExt as _;
        let open = std::fs::Permissions::from_mode(0o666);
        std::fs::set_permissions(&disk, open).map_err(|error| error.to_string())?;
        let (kernel, disk) = (kernel.display(), disk.display());
        home.write(
            "guest.xml",
            format!(
                "<domain type='qemu'><name>guest</name><memory unit='MiB'>96</memory>\
                 <vcpu>1</vcpu><os><type arch='x86_64' machine='pc'>hvm</type>\
                 <kernel>{kernel}</kernel></os><devices><disk type='file' device='disk'>\
                 <driver name='qemu' type='raw'/><source file='{disk}'/>\
                 <target dev='vda' bus='virtio'/></disk><serial type='pty'/>\
                 <console type='pty'/><memballoon model='virtio'/></devices></domain>"
            ),
        );
        Ok(Self { home, uri })
    }

    /// A line by our shell.
    fn run(&self, line: &str) -> Outcome {
        let line = line.replace("{DIR}", &self.home.path().to_string_lossy());
        run(virsh(&our_program("virsh"), &self.uri, self.home.path()).arg(line), LIMIT)
    }

    fn person(&self, shell: &Path, args: &[&str]) -> Person {
        Person::new(shell, &self.uri, self.home.path(), args)
    }

    /// The guest runs, and has written to most of its memory.
    fn start(&self) {
        let started = self.run("define {DIR}/guest.xml; start guest");
        assert_eq!(started.code, Some(0), "{started:?}");
        let mut person = self.person(&our_program("virsh"), &["console", "guest"]);
        person.sees("^]");
        person.asks("\rtouch 64\r", "touched 64");
        person.types("\u{1d}");
        assert_eq!(person.leaves().1, Some(0));
    }

    fn end(&self) {
        let ended = self.run("destroy guest; undefine guest");
        assert_eq!(ended.code, Some(0), "{ended:?}");
    }
}

/// What a person sees of a guest's console, with keys that go to the guest and keys that do not.
fn console_scenes(world: &World) {
    let scene = |shell: &Path, args: &[&str], keys: &str| {
        let mut person = world.person(shell, args);
        person.sees("Escape character is ");
        person.is_raw();
        person.asks("\rping\r", "pong");
        // It is a letter like others for the guest, which says it back.
        person.types(CTRL_C);
        person.sees(CTRL_C);
        person.asks("\rping\r", "pong");
        person.types(keys);
        let (text, code) = person.leaves();
        // What the guest said depends on how often it was asked.
        let head: Vec<String> = text.lines().take(2).map(str::to_owned).collect();
        (head, code)
    };
    let said = same(|shell| scene(shell, &["console", "guest"], "\u{1d}"));
    let head = ["Connected to domain 'guest'", "Escape character is ^] (Ctrl + ])"];
    assert_eq!(said, (head.map(str::to_owned).to_vec(), Some(0)));
    for (escape, key) in [("^A", "\u{1}"), ("^x", "\u{18}")] {
        let args = ["-e", escape, "console", "guest"];
        let (head, code) = same(|shell| scene(shell, &args, key));
        assert!(head[1].starts_with("Escape character is ^"), "{head:?}");
        assert_eq!(code, Some(0));
    }
}

/// Two people want one console.
fn force_scenes(world: &World) {
    let said = same(|shell| {
        let mut first = world.person(shell, &["console", "guest"]);
        first.sees("Escape character is ");
        first.is_raw();
        first.asks("\rping\r", "pong");
        // Nobody gets it who only asks.
        let refused = world.person(shell, &["console", "guest"]).leaves();
        let safely = world.person(shell, &["console", "guest", "--safe"]).leaves();
        let mut second = world.person(shell, &["console", "guest", "--force"]);
        second.sees("Escape character is ");
        second.is_raw();
        second.asks("\rping\r", "pong");
        let (text, code) = first.leaves();
        // What follows the guest's last word.
        let last = text.rsplit("> ").next().unwrap_or_default().to_owned();
        second.types("\u{1d}");
        (refused, safely, (last, code), second.leaves().1)
    });
    let (refused, safely, first, second) = said;
    assert!(refused.0.contains("Active console session exists for this domain"), "{refused:?}");
    assert_eq!(refused.1, Some(1));
    assert_eq!(safely, refused);
    assert_eq!(first.1, Some(1), "who lost the console saw: {first:?}");
    assert_eq!(second, Some(0));
}

#[test]
fn a_console_on_our_daemon_takes_ctrl_c_and_can_be_taken_over() {
    let virtd = Virtd::start();
    let world = or_skip!(World::new(virtd.uri("qemu", guests_path())));
    world.start();
    console_scenes(&world);
    force_scenes(&world);
    world.end();
}

#[test]
fn a_console_on_libvirt_s_daemon_takes_ctrl_c_and_can_be_taken_over() {
    let reference = or_skip!(Reference::start());
    let world = or_skip!(World::new(reference.uri("qemu", "session")));
    world.start();
    console_scenes(&world);
    force_scenes(&world);
    world.end();
}

/// Consoles that there are not.
#[test]
fn a_console_that_is_not_there_is_refused_by_name() {
    let home = Scratch::new("terminal");
    for (args, want) in [
        (&["console", "test"][..], "virDomainOpenConsole"),
        (&["console", "test", "--safe"], "virDomainOpenConsole"),
        (&["console", "test", "--force"], "virDomainOpenConsole"),
        (&["console", "nosuch"], "nosuch"),
        (&["destroy test; console test"], "The domain is not running"),
        (&["start", "test", "--console"], "already active"),
    ] {
        let (text, code) =
            same(|shell| Person::new(shell, "test:///default", home.path(), args).leaves());
        assert!(text.contains(want), "{args:?}: {text}");
        assert_eq!(code, Some(1), "{args:?}");
    }
}

/// A job that a person breaks off, and what is said of it.
///
/// libvirt's shell misses Ctrl-C now and then, and the job goes on to its end: it is asked again.
fn broken_off(world: &World, shell: &Path, args: &[&str], label: &str) -> (String, Option<i32>) {
    const TRIES: usize = 3;
    let mut said = try_to_break_off(world, shell, args, label);
    for _ in 1..TRIES {
        if said.1 != Some(0) || shell == our_program("virsh") {
            break;
        }
        world.run("destroy guest");
        world.start();
        said = try_to_break_off(world, shell, args, label);
    }
    said
}

fn try_to_break_off(
    world: &World,
    shell: &Path,
    args: &[&str],
    label: &str,
) -> (String, Option<i32>) {
    let mut person = world.person(shell, args);
    // Some way into it.
    person.sees(&format!("{label}: ["));
    person.sees(&format!("{label}: ["));
    person.types(CTRL_C);
    let (text, code) = person.leaves();
    let text = without_progress(&text).replace(&*world.home.path().to_string_lossy(), "{DIR}");
    if code != Some(0) {
        let state = world.run("domstate guest").ok();
        assert_eq!(state.trim(), "running", "after {args:?}: {text}");
    }
    (text, code)
}

/// A file that takes what is written slowly, so that a job on it lasts.
struct SlowFile {
    path: String,
    done: Arc<AtomicBool>,
    reader: Option<thread::JoinHandle<()>>,
}

impl SlowFile {
    fn new(world: &World, name: &str) -> Self {
        let path = world.home.join(name);
        drop(std::fs::remove_file(&path));
        let made = Command::new("mkfifo").args(["-m", "666"]).arg(&path).status();
        assert!(made.is_ok_and(|status| status.success()), "no pipe at {}", path.display());
        // Open for writing too, so that it is never at its end.
        let pipe = std::fs::File::options().read(true).write(true).open(&path).expect("a pipe");
        let done = Arc::new(AtomicBool::new(false));
        let reader = {
            let done = Arc::clone(&done);
            thread::spawn(move || slowly(&pipe, &done))
        };
        Self { path: path.to_string_lossy().into_owned(), done, reader: Some(reader) }
    }
}

/// Reads a MiB a second or so.
fn slowly(mut pipe: &std::fs::File, done: &AtomicBool) {
    let mut buffer = vec![0; 64 << 10];
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    while !done.load(Ordering::Acquire) {
        let mut wanted = [PollFd::new(pipe, PollFlags::IN)];
        if poll(&mut wanted, Some(&now)).is_ok_and(|ready| ready > 0) {
            drop(pipe.read(&mut buffer));
        }
        thread::sleep(Duration::from_millis(50));
    }
}

impl Drop for SlowFile {
    fn drop(&mut self) {
        self.done.store(true, Ordering::Release);
        self.reader.take().map(thread::JoinHandle::join);
    }
}

#[test]
fn ctrl_c_breaks_off_a_job_as_with_libvirt_s_shell() {
    let reference = or_skip!(Reference::start());
    let world = or_skip!(World::new(reference.uri("qemu", "session")));
    world.start();
    for (command, label) in [("save", "Save"), ("dump", "Dump")] {
        let (text, code) = same(|shell| {
            let file = SlowFile::new(&world, command);
            broken_off(&world, shell, &[command, "guest", &file.path, "--verbose"], label)
        });
        assert!(text.contains("canceled by client"), "{text}");
        assert_eq!(code, Some(1));
    }
    let copy = world.home.join("copy").to_string_lossy().into_owned();
    let args = ["blockcopy", "guest", "vda", "--dest", &copy, "--wait", "--verbose"];
    let args: Vec<&str> = args.into_iter().chain(["--bandwidth", "1", "--transient-job"]).collect();
    let (text, code) = same(|shell| {
        drop(std::fs::remove_file(&copy));
        broken_off(&world, shell, &args, "Block Copy")
    });
    assert!(text.contains("Copy aborted"), "{text}");
    assert_eq!(code, Some(1));
    world.end();
}

/// An editor that does one thing to the document each time it is called, as its script's lines say.
fn editor(home: &Scratch, steps: &[&str]) -> String {
    home.write("steps", steps.join("\n") + "\n");
    home.write(
        "editor",
        "step=$(head -n 1 steps); sed -i 1d steps; [ -n \"$step\" ] && sed -i \"$step\" \"$1\"; true\n",
    );
    format!("sh {}", home.join("editor").display())
}

const BREAK: &str = "s/<vcpu/<vcpx/; s/vcpu>/vcpx>/";
const SPOIL: &str = "s/<vcpu [^<]*</<vcpu>many</";
const MEND: &str = "s/<vcpu>many</<vcpu>2</; s/8388608/8388609/";

/// A document that is refused is asked about again, with the keys that libvirt's shell knows.
#[test]
fn a_refused_document_is_asked_about_until_it_is_taken_or_given_up() {
    const ASKED: &str = "Failed. Try again? [y,n,i,f,?]: ";
    const ASKED_AGAIN: &str = "Failed. Try again? [y,n,f,?]: ";
    for (steps, keys, want) in [
        (&[SPOIL, MEND][..], &[(ASKED, "y")][..], "XML configuration edited."),
        (&[SPOIL][..], &[(ASKED, "n")][..], "Failed."),
        (&[SPOIL][..], &[(ASKED, "?"), (ASKED, "n")][..], "print this help"),
        // Checked no more, and refused for what it says; then by force, and given up.
        (&[SPOIL][..], &[(ASKED, "i"), (ASKED_AGAIN, "f"), (ASKED_AGAIN, "n")][..], "Failed."),
        (&[SPOIL, "", MEND][..], &[(ASKED, "y"), (ASKED, "y")][..], "edited."),
        // What only the schema does not know goes without the check.
        (&[BREAK][..], &[(ASKED, "i")][..], "edited."),
    ] {
        let (text, ended) = same(|shell| {
            let home = Scratch::new("terminal");
            let variables = [("EDITOR", editor(&home, steps))];
            let line = &["edit test; dumpxml test --inactive --xpath /domain/memory"];
            let mut person = Person::with(shell, "test:///default", home.path(), line, &variables);
            for (question, key) in keys {
                person.sees(question);
                person.types(key);
            }
            let (text, ended) = person.leaves();
            let left = std::fs::read_dir(home.path()).expect("our folder").flatten();
            let drafts = left.filter(|e| e.path().extension().is_some_and(|end| end == "xml"));
            assert_eq!(drafts.count(), 0, "a draft was left behind");
            // Why the schema refused it is said in words of its reader.
            const OWN: [&str; 4] =
                ["error: XML document failed", "Invalid sequence", "Element ", "Extra element"];
            let lines = text.lines().filter(|line| !OWN.iter().any(|own| line.starts_with(own)));
            (lines.collect::<Vec<_>>().join("\n"), ended)
        });
        assert!(text.contains(want), "{steps:?} {keys:?}: {text}");
        // The last line of the two is what counts.
        assert_eq!(ended, Some(0), "{steps:?} {keys:?}: {text}");
    }
}

/// Lines are completed, found again, and broken off, in both shells by the same keys.
#[test]
fn the_same_keys_complete_find_again_and_break_off() {
    for shell in shells() {
        let home = Scratch::new("terminal");
        let variables = [("TERM", "xterm".to_owned())];
        let sit = || Person::with(&shell, "test:///default", home.path(), &[], &variables);
        let mut person = sit();
        person.sees("virsh # ");
        person.types("domstat\t");
        person.types("e tes\t\r");
        person.sees("running");
        person.sees("virsh # ");
        person.types("dominfo --dom\ttes\t\r");
        person.sees("Max memory:");
        person.sees("virsh # ");
        // Back to the line before the last.
        person.types("\u{1b}[A\u{1b}[A\r");
        person.sees("running");
        person.sees("virsh # ");
        person.types("quit\r");
        assert_eq!(person.leaves().1, Some(0), "{}", shell.display());
        // The next session knows the lines of this one.
        let mut person = sit();
        person.sees("virsh # ");
        person.types("\u{1b}[A\u{1b}[A\u{1b}[A\r");
        person.sees("Max memory:");
        person.sees("virsh # ");
        person.types("quit\r");
        assert_eq!(person.leaves().1, Some(0), "{}", shell.display());
    }
}
