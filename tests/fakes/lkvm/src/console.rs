//! The console: input only from a terminal, a few words answered, and the tool's own key.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::guest::{End, Guest};

const KEY: u8 = 0x01;

/// More than any terminal keeps.
const FLOOD_LINES: usize = 10_000;
const FLOOD_LINE: &str = "a line that nobody reads, and many of them\r\n";

/// Writes to the console. It never waits: what does not fit is lost, as with the real one.
pub(crate) fn say(text: &str) {
    drop(std::io::stdout().write_all(text.as_bytes()));
    drop(std::io::stdout().flush());
}

/// Reads the console for ever.
pub(crate) fn read(guest: &Arc<Guest>) {
    if !rustix::termios::isatty(std::io::stdin()) || !rustix::termios::isatty(std::io::stdout()) {
        return;
    }
    let (mut line, mut key) = (Vec::new(), false);
    loop {
        let mut byte = [0];
        match std::io::stdin().read(&mut byte) {
            Ok(1) => {}
            // The descriptor does not wait.
            _ => {
                let stdin = std::io::stdin();
                let mut fds = [rustix::event::PollFd::new(&stdin, rustix::event::PollFlags::IN)];
                if rustix::event::poll(&mut fds, None).is_err() {
                    return;
                }
                continue;
            }
        }
        let [byte] = byte;
        match (std::mem::replace(&mut key, false), byte) {
            (false, KEY) => key = true,
            (true, b'x') => return guest.end(End::Reset),
            (_, b'\r' | b'\n') => {
                say("\r\n");
                command(guest, &String::from_utf8_lossy(&line));
                line.clear();
            }
            (_, byte) => {
                say(&char::from(byte).to_string());
                line.push(byte);
            }
        }
    }
}

fn command(guest: &Guest, line: &str) {
    match line {
        "ping" => say("PONG\r\n"),
        "flood" => {
            guest.writing.store(true, Ordering::Release);
            (0..FLOOD_LINES).for_each(|_| say(FLOOD_LINE));
            guest.writing.store(false, Ordering::Release);
        }
        "reset" => guest.end(End::Reset),
        "crash" => guest.end(End::Crash),
        "args" => {
            for (name, value) in &guest.options.all {
                say(&format!("ARG {name} {value}\r\n"));
            }
            say("END\r\n");
        }
        "keys" => {
            let keys = guest.keys.lock().expect("nobody panics").clone();
            say(&format!("KEYS {}\r\n", String::from_utf8_lossy(&keys)));
        }
        "" => {}
        other => say(&format!("? {other}\r\n")),
    }
}

/// The display, where everybody reaches it. The library's name below is what tells a build with it:
/// libvncserver.so
pub(crate) fn display() {
    let Ok(listener) = TcpListener::bind(("0.0.0.0", 5900)) else {
        eprintln!("  Info: 5900: Address already in use");
        return;
    };
    for mut client in listener.incoming().flatten() {
        std::thread::spawn(move || {
            drop(client.write_all(b"RFB 003.008\n"));
            let mut bytes = [0; 64];
            while let Ok(count @ 1..) = client.read(&mut bytes) {
                drop(client.write_all(bytes.get(..count).unwrap_or_default()));
            }
        });
    }
}
