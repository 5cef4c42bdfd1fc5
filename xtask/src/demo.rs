//! `demo`: a real Linux guest from its definition to its shutdown, on a private daemon.
//!
//! Everything the daemon writes lies below one temporary folder, which is removed at the end; the
//! host's own daemons and guests are not touched.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use test_support::{Daemon as _, Initramfs, Terminal, Virtd, linux_domain, run as run_program};

use crate::{process, setup, switches, workspace};

const GUEST: &str = "demo";
const PROMPT: &str = "/ # ";
const CURSOR_QUERY: &str = "\u{1b}[6n";
/// Ctrl-], with which a person leaves a console.
const LEAVE: &str = "\u{1d}";

/// An emulated guest needs 2.5 s to its prompt; a busy machine may need ten times that.
const BOOT_MAX: Duration = Duration::from_secs(60);
const COMMAND_MAX: Duration = Duration::from_secs(30);

pub(crate) fn run(args: &[String]) -> Result<(), String> {
    let [] = switches(args, [])?;
    say("installing what is missing");
    let kernel = setup::for_demo()?;
    say("building virtd and virsh");
    let root = workspace::root();
    let build = ["build", "--release", "-p", "virtd", "-p", "virsh"];
    process::run(&mut process::cargo(&root, &build))?;
    let programs = workspace::target().join("release");

    let start = Instant::now();
    say("starting a private daemon");
    let mut virtd = Virtd::start_program(programs.join("virtd"));
    println!("  virtd runs as process {}, with all its files below", virtd.pid());
    println!("  {}", virtd.base().display());
    // The daemon of one who is not root serves their own guests.
    let path = if rustix::process::geteuid().is_root() { "system" } else { "session" };
    let shell = Shell { program: programs.join("virsh"), uri: virtd.uri("qemu", path) };
    let document = prepare_guest(&virtd, &shell, &kernel)?;
    let outcome = show(&shell, &document);
    say("cleaning up");
    let stopped = virtd.stop();
    drop(virtd);
    println!("  the daemon has ended, and its folder is gone");
    outcome?;
    if stopped != Some(0) {
        return Err("the daemon did not end well".to_owned());
    }
    println!("\nDone, in {:.1} s after installing and building.", start.elapsed().as_secs_f32());
    Ok(())
}

fn say(what: &str) {
    println!("\n▸ {what}");
}

/// Our virsh, connected to the private daemon.
struct Shell {
    program: PathBuf,
    uri: String,
}

impl Shell {
    fn command(&self, words: &[&str]) -> Command {
        let mut command = process::command(&self.program, &["-c", &self.uri]);
        command.args(words);
        command
    }

    /// Runs one command silently.
    fn ask(&self, words: &[&str]) -> Result<String, String> {
        let outcome = run_program(&mut self.command(words), COMMAND_MAX);
        match outcome.code {
            Some(0) => Ok(outcome.stdout),
            _ => Err(format!("virsh {}: {}", words.join(" "), outcome.stderr.trim())),
        }
    }

    /// Runs one command as a person would, and shows what it says.
    fn show(&self, words: &[&str]) -> Result<String, String> {
        println!("  $ virsh {}", words.join(" "));
        let output = self.ask(words)?;
        for line in output.lines().filter(|line| !line.is_empty()) {
            println!("  {line}");
        }
        Ok(output)
    }

    /// Shows the guest's state, which must be `wanted` within the time for one command.
    fn await_state(&self, wanted: &str) -> Result<(), String> {
        let end = Instant::now() + COMMAND_MAX;
        while self.ask(&["domstate", GUEST])?.trim() != wanted {
            if Instant::now() >= end {
                return Err(format!("the guest is not '{wanted}' in time"));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        self.show(&["domstate", GUEST]).map(drop)
    }
}

/// Puts the guest's kernel and file system below the daemon's folder, and writes its document.
fn prepare_guest(virtd: &Virtd, shell: &Shell, kernel: &setup::Kernel) -> Result<PathBuf, String> {
    say("making a guest: Debian's cloud kernel, and busybox as its file system");
    let text = |error: std::io::Error| error.to_string();
    let busybox = process::find_program("busybox").ok_or("busybox is not installed")?;
    let archive = Initramfs::with_busybox(&busybox, &kernel.modules).map_err(text)?;
    let (image, initrd) = (virtd.base().join("vmlinuz"), virtd.base().join("initrd"));
    // Copied: the emulator may run as a user that cannot reach the target folder.
    std::fs::copy(&kernel.image, &image).map_err(text)?;
    std::fs::write(&initrd, archive).map_err(text)?;
    // The daemon has found out whether this host's KVM really runs guests.
    let accel = if shell.ask(&["capabilities"])?.contains("<domain type='kvm'") {
        "kvm"
    } else {
        println!("  KVM runs no guest here: it will be emulated");
        "qemu"
    };
    let document = virtd.base().join("demo.xml");
    std::fs::write(&document, linux_domain(GUEST, accel, &image, &initrd)).map_err(text)?;
    Ok(document)
}

/// The guest's life, as a person would lead it through virsh.
fn show(shell: &Shell, document: &std::path::Path) -> Result<(), String> {
    say("defining and starting it");
    shell.show(&["define", &document.to_string_lossy()])?;
    shell.show(&["list", "--all"])?;
    shell.show(&["start", GUEST])?;
    console(shell)?;
    shell.show(&["list"])?;
    shell.show(&["dominfo", GUEST])?;

    say("suspending and resuming it");
    shell.show(&["suspend", GUEST])?;
    shell.await_state("paused")?;
    shell.show(&["resume", GUEST])?;
    shell.await_state("running")?;

    say("asking it to shut down, as its power button would");
    shell.show(&["shutdown", GUEST])?;
    shell.await_state("shut off")?;
    shell.show(&["undefine", GUEST])?;
    shell.show(&["list", "--all"]).map(drop)
}

/// Watches the guest's console up to its prompt, types a command, and leaves.
fn console(shell: &Shell) -> Result<(), String> {
    say("its console, up to the shell's prompt, and a command typed into it");
    println!("  $ virsh console {GUEST}");
    let text = |error: std::io::Error| error.to_string();
    let mut terminal =
        Terminal::start(&mut shell.command(&["console", GUEST])).map_err(text)?.showing(|bytes| {
            // The guest's shell asks the terminal where its cursor is: a real one would answer.
            print!("{}", String::from_utf8_lossy(bytes).replace(CURSOR_QUERY, ""));
            // A console that cannot be shown does not stop the demo.
            let _ = std::io::stdout().flush();
        });
    let boot = Instant::now();
    terminal.wait_for(PROMPT, BOOT_MAX)?;
    let boot = boot.elapsed();
    terminal.send("echo $((6 * 7)) from $(hostname)\n").map_err(text)?;
    // What the guest answers, not what the terminal echoes.
    terminal.wait_for("42 from guest", COMMAND_MAX)?;
    terminal.wait_for(PROMPT, COMMAND_MAX)?;
    terminal.send(LEAVE).map_err(text)?;
    let code = terminal.end(COMMAND_MAX);
    println!("\n  (the prompt came after {:.1} s)", boot.as_secs_f32());
    if code == Some(0) { Ok(()) } else { Err("virsh console did not end when left".to_owned()) }
}
