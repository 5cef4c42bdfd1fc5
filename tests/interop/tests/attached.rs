//! What hangs on a connection: guests and consoles that end with it, descriptors and pictures that go
//! along with calls.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use test_support::{
    Daemon, Outcome, Reference, Scratch, Signal, Terminal, Virtd, debian_program, guests_path,
    or_skip, our_program, reference_program, run, signal, tiny_domain, tiny_guest_in, virsh,
    wait_until,
};

const LIMIT: Duration = Duration::from_secs(60);

/// A shell at a daemon, in a folder with a guest's document.
struct Side<'a> {
    shell: PathBuf,
    uri: String,
    home: &'a Scratch,
}

impl Side<'_> {
    fn command(&self) -> Command {
        virsh(&self.shell, &self.uri, self.home.path())
    }

    fn run(&self, line: &str) -> Outcome {
        run(self.command().arg(line), LIMIT)
    }

    /// With an open file as the descriptor of number 3.
    fn run_with_file(&self, args: &[&str]) -> Outcome {
        let inner = self.command();
        let mut command = Command::new("sh");
        command.args(["-c", "exec \"$@\" 3</dev/null", "sh"]);
        command.arg(inner.get_program()).args(inner.get_args()).args(args);
        for (name, value) in inner.get_envs() {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        run(&mut command, LIMIT)
    }

    fn comes_to(&self, state: &str) {
        let is_so = || self.run("domstate guest").stdout.trim() == state;
        assert!(wait_until(LIMIT, is_so), "{state}: {} {}", self.shell.display(), self.uri);
    }

    /// Whether nobody knows the guest any more.
    fn is_gone(&self) {
        let is_so = || self.run("list --all --name").stdout.trim().is_empty();
        assert!(wait_until(LIMIT, is_so), "{} {}", self.shell.display(), self.uri);
    }
}

fn files() -> Result<Scratch, String> {
    debian_program("qemu-system-x86_64")?;
    let home = Scratch::new("attached");
    home.set_mode(0o755);
    let kernel = tiny_guest_in(&home)?;
    home.write("guest.xml", tiny_domain("guest", "qemu", &kernel));
    Ok(home)
}

/// Both shells at both daemons.
fn everywhere<'a>(
    home: &'a Scratch,
    theirs: &Path,
    reference: &Reference,
    virtd: &Virtd,
) -> Vec<Side<'a>> {
    let shells = [theirs.to_owned(), our_program("virsh")];
    let uris = [reference.uri("qemu", "session"), virtd.uri("qemu", guests_path())];
    let side =
        |shell: &PathBuf, uri: &String| Side { shell: shell.clone(), uri: uri.clone(), home };
    uris.iter().flat_map(|uri| shells.iter().map(move |shell| side(shell, uri))).collect()
}

#[test]
fn a_guest_marked_for_it_ends_with_the_connection_that_started_it() {
    let theirs = or_skip!(reference_program("virsh"));
    let home = or_skip!(files());
    let reference = or_skip!(Reference::start());
    let virtd = Virtd::start();
    let file = home.join("guest.xml").display().to_string();
    for side in everywhere(&home, &theirs, &reference, &virtd) {
        // One that ends by itself, and one that is killed while its guest runs.
        let made = side.run(&format!("create {file} --autodestroy; domstate guest"));
        assert!(made.stdout.contains("running"), "{made:?}");
        side.is_gone();
        let mut stays = side
            .command()
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .expect("the shell starts");
        let mut input = stays.stdin.take().expect("piped");
        let line = format!("define {file}\nstart guest --autodestroy\n");
        input.write_all(line.as_bytes()).expect("it reads");
        side.comes_to("running");
        signal(stays.id().cast_signed(), Signal::KILL);
        stays.wait().expect("it was ours");
        side.comes_to("shut off");
        // A later start is nobody's but its own.
        assert_eq!(side.run("start guest").code, Some(0));
        side.comes_to("running");
        assert_eq!(side.run("destroy guest; undefine guest").code, Some(0));
        side.is_gone();
    }
}

#[test]
fn descriptors_go_along_with_calls() {
    let theirs = or_skip!(reference_program("virsh"));
    let home = or_skip!(files());
    let reference = or_skip!(Reference::start());
    let virtd = Virtd::start();
    let file = home.join("guest.xml").display().to_string();
    let mut all = Vec::new();
    for side in everywhere(&home, &theirs, &reference, &virtd) {
        let refused = side.run_with_file(&["create", "--pass-fds", "3", &file]);
        let made = side.run(&format!("create {file}")).code;
        let tell = |command: &str, fds: &[&str]| {
            let words = [&["qemu-monitor-command", "guest"], fds, &[command]].concat();
            let told = side.run_with_file(&words).stdout;
            // The number that follows is the daemon's own.
            told.split_once("\"id\":").map_or(String::new(), |(before, _)| before.to_owned())
        };
        let get = "{\"execute\":\"getfd\",\"arguments\":{\"fdname\":\"mine\"}}";
        let close = "{\"execute\":\"closefd\",\"arguments\":{\"fdname\":\"mine\"}}";
        let said = [tell(get, &["--pass-fds", "3"]), tell(close, &[]), tell(close, &[])];
        assert_eq!(side.run("destroy guest").code, Some(0));
        assert!(said[0].starts_with("{\"return\":{}"), "{said:?} {}", side.uri);
        all.push((refused.code, refused.stderr, made, said));
    }
    let first = all.first().expect("four").clone();
    assert!(all.iter().all(|one| *one == first), "{all:#?}");
}

#[test]
fn a_console_is_free_again_when_its_client_was_killed() {
    const OPEN: &str = "Escape character is";
    let theirs = or_skip!(reference_program("virsh"));
    let home = or_skip!(files());
    let reference = or_skip!(Reference::start());
    let virtd = Virtd::start();
    let file = home.join("guest.xml").display().to_string();
    for side in everywhere(&home, &theirs, &reference, &virtd) {
        assert_eq!(side.run(&format!("create {file}")).code, Some(0));
        let open = || Terminal::start(side.command().arg("console guest")).expect("a terminal");
        let mut first = open();
        first.wait_for(OPEN, LIMIT).expect("a console");
        let refusal = "Active console session exists for this domain";
        open().wait_for(refusal, LIMIT).expect("it is taken");
        // It has no time left to end in, so it is killed.
        first.end(Duration::ZERO);
        let is_free = || open().wait_for(OPEN, LIMIT).is_ok();
        assert!(wait_until(LIMIT, is_free), "{} {}", side.shell.display(), side.uri);
        assert_eq!(side.run("destroy guest").code, Some(0));
        side.is_gone();
    }
}

#[test]
fn a_picture_of_the_screen_is_streamed() {
    let theirs = or_skip!(reference_program("virsh"));
    let home = or_skip!(files());
    let reference = or_skip!(Reference::start());
    let virtd = Virtd::start();
    let picture = home.join("picture.png");
    let line = format!("screenshot test {}", picture.display());
    let mut said = Vec::new();
    for daemon in [&reference as &dyn Daemon, &virtd] {
        for shell in [theirs.clone(), our_program("virsh")] {
            let side = Side { shell, uri: daemon.uri("test", "default"), home: &home };
            let outcome = side.run(&line);
            let bytes = std::fs::read(&picture).expect("it was written");
            assert!(bytes.starts_with(b"\x89PNG"), "{} {outcome:?}", side.uri);
            std::fs::remove_file(&picture).expect("ours");
            said.push(outcome);
        }
    }
    assert!(said.iter().all(|one| *one == said[0]), "{said:#?}");
}

#[test]
fn what_an_emulator_says_by_itself_is_told_to_who_asked_for_it() {
    let theirs = or_skip!(reference_program("virsh"));
    let home = or_skip!(files());
    let reference = or_skip!(Reference::start());
    let virtd = Virtd::start();
    let file = home.join("guest.xml").display().to_string();
    let mut all = Vec::new();
    for side in everywhere(&home, &theirs, &reference, &virtd) {
        assert_eq!(side.run(&format!("create {file}")).code, Some(0));
        let mut said = Vec::new();
        for (words, limit) in [
            (&["--domain", "guest", "--event", "RESUME"][..], "60"),
            (&["--event", "stop", "--no-case"], "60"),
            (&["--event", "^s.*p$", "--no-case", "--regex"], "60"),
            (&["--event", "RES", "--regex"], "60"),
            // By that name nothing comes.
            (&["--event", "resume"], "3"),
        ] {
            said.push(said_while_paused(&side, words, limit));
        }
        assert!(said[0].starts_with("event RESUME for domain 'guest'"), "{said:?}");
        for at in [1, 2] {
            assert!(said[at].starts_with("event STOP for domain 'guest'"), "{said:?}");
        }
        assert!(said[3].starts_with("event RESUME for domain 'guest'"), "{said:?}");
        assert!(said[4].contains("events received: 0"), "{said:?}");
        let refused = side.run("qemu-monitor-event --event ( --regex --timeout 3").stderr;
        let why = "error: invalid argument: failed to compile regex '(': ";
        assert!(refused.starts_with(why), "{refused}");
        assert_eq!(side.run("destroy guest").code, Some(0));
        all.push(said);
    }
    assert!(all.iter().all(|one| *one == all[0]), "{all:#?}");
}

/// What a listener prints while the guest is paused and goes on again and again, without the time.
fn said_while_paused(side: &Side<'_>, words: &[&str], limit: &str) -> String {
    let mut listener = side.command();
    listener.args(["qemu-monitor-event", "--timeout", limit]).args(words);
    let listener = listener.stdout(Stdio::piped()).stderr(Stdio::null()).spawn();
    let mut listener = listener.expect("virsh");
    assert!(wait_until(LIMIT, || {
        side.run("suspend guest; resume guest");
        listener.try_wait().is_ok_and(|ended| ended.is_some())
    }));
    let told = listener.wait_with_output().expect("it was ours").stdout;
    let told = String::from_utf8_lossy(&told).into_owned();
    let timeless = told.split_once(" at ").and_then(|(name, rest)| {
        let (_, what) = rest.split_once(" for ")?;
        Some(format!("{name} for {what}"))
    });
    timeless.unwrap_or(told)
}
