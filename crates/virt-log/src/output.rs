//! Where messages go: `1:file:PATH`, `3:stderr`, `3:syslog:ID`, `1:journald`.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::UnixDatagram;
use std::path::Path;

use crate::line::Record;
use crate::{Level, SettingError};

const SYSLOG_SOCKET: &str = "/dev/log";
const JOURNAL_SOCKET: &str = "/run/systemd/journal/socket";
/// The `daemon` facility, shifted as in a syslog priority.
const SYSLOG_FACILITY: u8 = 3 << 3;

/// One `LEVEL:DESTINATION`.
#[derive(Debug)]
pub struct Output {
    pub level: Level,
    /// As it was written, without the level.
    name: String,
    destination: Destination,
}

#[derive(Debug)]
enum Destination {
    Stderr,
    File(File),
    /// Connected lazily by the kernel: sent to by name each time, so that a restarted syslog is
    /// found again.
    Syslog {
        socket: UnixDatagram,
        id: String,
    },
    Journal(UnixDatagram),
}

/// Outputs as in `log_outputs`, separated by spaces. Files are opened at once.
pub fn parse_outputs(text: &str) -> Result<Vec<Output>, SettingError> {
    text.split_whitespace().map(parse_output).collect()
}

fn parse_output(text: &str) -> Result<Output, SettingError> {
    let malformed = || SettingError::OutputFormat(text.to_owned());
    let (priority, rest) = text.split_once(':').ok_or_else(malformed)?;
    let level = priority.parse().ok().and_then(Level::from_number).ok_or_else(|| {
        SettingError::OutputLevel { priority: priority.to_owned(), output: text.to_owned() }
    })?;
    let (name, argument) = match rest.split_once(':') {
        Some((name, argument)) => (name, Some(argument)),
        None => (rest, None),
    };
    let destination = match (name, argument) {
        ("stderr", None) => Destination::Stderr,
        ("journald", None) => Destination::Journal(datagram(JOURNAL_SOCKET)?),
        ("syslog", Some(id)) if !id.is_empty() => {
            Destination::Syslog { socket: datagram(SYSLOG_SOCKET)?, id: id.to_owned() }
        }
        ("file", Some(path)) if !path.is_empty() => Destination::File(open(path)?),
        ("stderr" | "journald" | "syslog" | "file", _) => return Err(malformed()),
        _ => {
            return Err(SettingError::OutputName {
                name: name.to_owned(),
                output: text.to_owned(),
            });
        }
    };
    Ok(Output { level, name: rest.to_owned(), destination })
}

fn open(path: &str) -> Result<File, SettingError> {
    if !Path::new(path).is_absolute() {
        return Err(SettingError::OutputPath { path: path.to_owned() });
    }
    let opened = OpenOptions::new().append(true).create(true).mode(0o600).open(path);
    opened.map_err(|error| open_error(path, &error))
}

fn datagram(path: &str) -> Result<UnixDatagram, SettingError> {
    let socket = UnixDatagram::unbound().map_err(|error| open_error(path, &error))?;
    // A log that nobody drains must not hold up the program.
    socket.set_nonblocking(true).map_err(|error| open_error(path, &error))?;
    Ok(socket)
}

fn open_error(path: &str, error: &std::io::Error) -> SettingError {
    SettingError::OutputOpen { path: path.to_owned(), reason: error.to_string() }
}

impl fmt::Display for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.level as u8, self.name)
    }
}

impl Output {
    /// Failures are dropped: there is nobody left to tell.
    pub(crate) fn write(&self, record: &Record) {
        match &self.destination {
            Destination::Stderr => write_stderr(record),
            Destination::File(file) => {
                let _ = (&*file).write_all(format!("{}\n", record.text).as_bytes());
            }
            Destination::Syslog { socket, id } => {
                let priority = SYSLOG_FACILITY | record.level.syslog();
                let pid = std::process::id();
                let text = format!("<{priority}>{id}[{pid}]: {}", record.message);
                let _ = socket.send_to(text.as_bytes(), SYSLOG_SOCKET);
            }
            Destination::Journal(socket) => {
                let _ = socket.send_to(&journal_fields(record), JOURNAL_SOCKET);
            }
        }
    }
}

pub(crate) fn write_stderr(record: &Record) {
    let _ = std::io::stderr().write_all(format!("{}\n", record.text).as_bytes());
}

/// The journal's native protocol. A value with a newline is preceded by its length.
fn journal_fields(record: &Record) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(record.message.len() + 256);
    let line = record.place.line.to_string();
    let priority = record.level.syslog().to_string();
    for (name, value) in [
        ("MESSAGE", record.message.as_str()),
        ("PRIORITY", priority.as_str()),
        ("LIBVIRT_SOURCE", record.place.source),
        ("CODE_FILE", record.place.file),
        ("CODE_LINE", line.as_str()),
        ("CODE_FUNC", record.place.module),
    ] {
        bytes.extend_from_slice(name.as_bytes());
        if value.contains('\n') {
            bytes.push(b'\n');
            bytes.extend_from_slice(&(value.len() as u64).to_le_bytes());
        } else {
            bytes.push(b'=');
        }
        bytes.extend_from_slice(value.as_bytes());
        bytes.push(b'\n');
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Place;

    #[test]
    fn destinations_are_checked() {
        let text = |outputs: &str| parse_outputs(outputs).map_err(|error| error.to_string());
        assert_eq!(
            text("1:bogus").map(|_| ()),
            Err("Invalid log destination 'bogus' for log output '1:bogus'".to_owned())
        );
        assert_eq!(
            text("1:stderr:x").map(|_| ()),
            Err("Malformed format for log output '1:stderr:x'".to_owned())
        );
        assert_eq!(text("1:file:log").map(|_| ()), Err("'log' is not an absolute path".to_owned()));
        assert_eq!(text("1:stderr 3:syslog:virtd 4:journald").map(|all| all.len()), Ok(3));
    }

    #[test]
    fn a_journal_value_of_two_lines_is_counted() {
        let place = Place { source: "rpc", module: "virtd::rpc", file: "rpc.rs", line: 7 };
        let record = Record::new(Level::Error, place, "a\nb".to_owned());
        let bytes = journal_fields(&record);
        assert!(bytes.starts_with(b"MESSAGE\n\x03\0\0\0\0\0\0\0a\nb\nPRIORITY=3\n"));
    }
}
