//! A guest's console, at which something is typed.

use test_support::Terminal;

use crate::{Daemon, LONG, Xen, until};

/// Ctrl-], with which a person leaves a console.
const LEAVE: &str = "\u{1d}";

/// A person at a console.
pub struct Console(Terminal);

impl Console {
    pub fn open(xen: &Xen, name: &str) -> Self {
        let line = format!("console {name} --force");
        let terminal = Terminal::start(&mut xen.shell(Daemon::Ours, &line));
        let terminal = terminal.expect("a terminal");
        until("the shell takes each key", || terminal.is_raw());
        Self(terminal)
    }

    pub fn send(&mut self, keys: &str) {
        self.0.send(keys).expect("the shell reads");
    }

    /// Waits for words of the guest's.
    pub fn wait_for(&mut self, words: &str) {
        self.0.wait_for(words, LONG).unwrap_or_else(|error| panic!("{words}: {error}"));
    }

    /// Types a line, and waits for words that are not in it.
    pub fn ask(&mut self, line: &str, words: &str) {
        self.send(&format!("{line}\r"));
        self.wait_for(words);
    }

    pub fn leave(mut self) {
        self.send(LEAVE);
        assert_eq!(self.0.end(LONG), Some(0));
    }
}
