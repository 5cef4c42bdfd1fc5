//! An agent that says what a test tells it to. It talks through the tiny guest, which joins its port for
//! an agent to its second serial line.

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use test_support::{Terminal, wait_until};

const LIMIT: Duration = Duration::from_secs(60);

#[derive(Default)]
struct Talk {
    answers: HashMap<String, String>,
    heard: Vec<String>,
}

/// The agent; it is gone with its guest.
pub struct Agent(Arc<Mutex<Talk>>);

impl Agent {
    /// A document's serial lines and its port for an agent, instead of its one serial line.
    pub fn devices(document: &str, line: &Path) -> String {
        let serial = "<serial type='pty'/>";
        assert!(document.contains(serial));
        let devices = format!(
            "<serial type='pty'><target port='0'/></serial>\
             <serial type='unix'><source mode='bind' path='{}'/><target port='1'/></serial>\
             <channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0'/></channel>",
            line.display()
        );
        document.replace(serial, &devices)
    }

    /// Comes to life in a guest that has been started.
    pub fn at(line: &Path) -> Self {
        let mut stream = None;
        wait_until(LIMIT, || {
            stream = UnixStream::connect(line).ok();
            stream.is_some()
        });
        let stream = stream.unwrap_or_else(|| panic!("nobody listens on {}", line.display()));
        let talk = Arc::new(Mutex::new(Talk::default()));
        let shared = Arc::clone(&talk);
        std::thread::spawn(move || {
            let mut out = stream.try_clone().expect("a descriptor");
            for line in BufReader::new(stream).lines().map_while(Result::ok) {
                let answer = lock(&shared).answer(line);
                if out.write_all(answer.as_bytes()).is_err() {
                    return;
                }
            }
        });
        Self(talk)
    }

    /// What the agent will say to a command, with the end of the line; nothing at all is silence.
    pub fn answers(&self, command: &str, text: &str) {
        lock(&self.0).answers.insert(command.to_owned(), text.to_owned());
    }

    /// The commands that it has heard since it was asked for them.
    pub fn heard(&self) -> Vec<String> {
        std::mem::take(&mut lock(&self.0).heard)
    }

    /// Opens or closes the port in the guest, by the guest's console.
    pub fn port(console: &mut std::process::Command, open: bool) {
        let mut terminal = Terminal::start(console).expect("a terminal");
        terminal.wait_for("^]", LIMIT).expect("the console opens");
        let (line, said) = if open { ("port 1", "opened") } else { ("port 0", "closed") };
        // What is typed before the guest has set up its line is lost: say it again.
        let done = wait_until(LIMIT, || {
            terminal.send(&format!("\r{line}\r")).expect("the shell reads");
            terminal.wait_for(said, Duration::from_secs(1)).is_ok()
        });
        assert!(done, "the guest does not hear '{line}'");
        terminal.send("\u{1d}").expect("the shell reads");
        terminal.end(Duration::from_secs(5));
    }
}

impl Talk {
    fn answer(&mut self, line: String) -> String {
        let between = |from: &str, to: char| {
            let rest = line.split_once(from)?.1;
            rest.split_once(to).map(|(found, _)| found)
        };
        let name = between("\"execute\":\"", '"').unwrap_or_default();
        if let (true, Some(id)) = (name == "guest-sync", between("\"id\":", '}')) {
            return format!("{{\"return\":{id}}}\n");
        }
        let unknown = || {
            format!(
                "{{\"error\":{{\"class\":\"CommandNotFound\",\
                 \"desc\":\"The command {name} has not been found\"}}}}\n"
            )
        };
        let answer = self.answers.get(name).cloned().unwrap_or_else(unknown);
        self.heard.push(line);
        answer
    }
}

fn lock(talk: &Mutex<Talk>) -> MutexGuard<'_, Talk> {
    talk.lock().unwrap_or_else(PoisonError::into_inner)
}
