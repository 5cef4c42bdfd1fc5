//! Persons at terminals, with either shell, and what they sit at: a guest that can be talked to, jobs that
//! last.

use std::cell::RefCell;
use std::fmt::Debug;
use std::io::Read as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use test_support::{
    Outcome, Scratch, Terminal, guest_folder, our_program, reference_program, run, virsh,
    wait_until,
};

/// How long a person would wait.
pub const PATIENCE: Duration = Duration::from_secs(90);
pub const CTRL_C: &str = "\u{3}";

/// Our shell, and theirs where there is one.
pub fn shells() -> Vec<PathBuf> {
    std::iter::once(our_program("virsh")).chain(reference_program("virsh")).collect()
}

/// A shell at a terminal of its own, with all that is shown there.
pub struct Person {
    terminal: Terminal,
    shown: Rc<RefCell<Vec<u8>>>,
}

impl Person {
    pub fn new(shell: &Path, uri: &str, home: &Path, args: &[&str]) -> Self {
        Self::with(shell, uri, home, args, &[])
    }

    pub fn with(
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
    pub fn sees(&mut self, text: &str) {
        self.terminal.wait_for(text, PATIENCE).unwrap_or_else(|error| panic!("{error}"));
    }

    /// Whether the text comes within this time.
    pub fn has_seen(&mut self, text: &str, limit: Duration) -> bool {
        self.terminal.wait_for(text, limit).is_ok()
    }

    #[track_caller]
    pub fn types(&mut self, keys: &str) {
        self.terminal.send(keys).expect("the shell reads");
    }

    /// Types a guest's command until it answers: what comes before it has set up its port is lost.
    #[track_caller]
    pub fn asks(&mut self, keys: &str, answer: &str) {
        const ASKED_MAX: u32 = 60;
        let answered = (0..ASKED_MAX).any(|_| {
            self.types(keys);
            self.has_seen(answer, Duration::from_secs(1))
        });
        assert!(answered, "the guest does not answer {answer}: {}", self.screen());
    }

    /// Waits until keys come to the program as they are.
    #[track_caller]
    pub fn is_raw(&self) {
        assert!(
            wait_until(PATIENCE, || self.terminal.is_raw()),
            "the terminal does not become raw"
        );
    }

    pub fn screen(&self) -> String {
        shown_text(&self.shown.borrow())
    }

    /// All that was seen, and the exit code.
    pub fn leaves(self) -> (String, Option<i32>) {
        let Self { terminal, shown } = self;
        let code = terminal.end(PATIENCE);
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

/// How often libvirt's shell may play a scene. Seen of it at libvirt's own daemon, where nothing of ours
/// takes part: a key that it misses, events it does not wait for, a console it never leaves.
const THEIR_TRIES: usize = 4;

/// Plays a scene with each shell, and gives what ours showed: theirs showed the same.
///
/// Ours plays once. What theirs showed otherwise only by chance, it does not show again.
#[track_caller]
pub fn same<T: PartialEq + Debug>(mut scene: impl FnMut(&Path) -> T) -> T {
    let ours = scene(&our_program("virsh"));
    let Ok(shell) = reference_program("virsh") else { return ours };
    for _ in 1..THEIR_TRIES {
        // What it breaks off with has been printed.
        let theirs = catch_unwind(AssertUnwindSafe(|| scene(&shell)));
        if theirs.is_ok_and(|theirs| theirs == ours) {
            return ours;
        }
    }
    let theirs = scene(&shell);
    assert_eq!(ours, theirs, "ours, theirs");
    ours
}

/// A text in which the many figures of a job on its way are the last of them: a job that seems done may
/// find more to do, and how often it does is chance.
pub fn without_progress(text: &str) -> String {
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
                for before in ["all", "some"].map(|word| format!("\r{label}: {word}")) {
                    made.truncate(made.strip_suffix(&before).unwrap_or(&made).len());
                }
                made.push_str(&format!("\r{label}: {number}{rest}"));
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
pub struct World {
    pub home: Scratch,
    uri: String,
}

const DISK_BYTES: usize = 32 << 20;

impl World {
    pub fn new(uri: String) -> Result<Self, String> {
        let (home, kernel) = guest_folder("terminal")?;
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
    pub fn run(&self, line: &str) -> Outcome {
        let line = line.replace("{DIR}", &self.home.path().to_string_lossy());
        run(virsh(&our_program("virsh"), &self.uri, self.home.path()).arg(line), PATIENCE)
    }

    pub fn person(&self, shell: &Path, args: &[&str]) -> Person {
        Person::new(shell, &self.uri, self.home.path(), args)
    }

    /// The guest runs, and has written to most of its memory.
    pub fn start(&self) {
        let started = self.run("define {DIR}/guest.xml; start guest");
        assert_eq!(started.code, Some(0), "{started:?}");
        let mut person = self.person(&our_program("virsh"), &["console", "guest"]);
        person.sees("^]");
        person.asks("\rtouch 64\r", "touched 64");
        person.types("\u{1d}");
        assert_eq!(person.leaves().1, Some(0));
    }

    pub fn end(&self) {
        let ended = self.run("destroy guest; undefine guest");
        assert_eq!(ended.code, Some(0), "{ended:?}");
    }
}

/// A file that takes what is written slowly, so that a job on it lasts.
pub struct SlowFile {
    pub path: String,
    done: Arc<AtomicBool>,
    reader: Option<thread::JoinHandle<()>>,
}

impl SlowFile {
    pub fn new(path: PathBuf) -> Self {
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
        // A daemon that looks there must not take it for what was to be written.
        drop(std::fs::remove_file(&self.path));
    }
}
