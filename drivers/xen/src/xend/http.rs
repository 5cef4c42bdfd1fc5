//! As much HTTP as xend speaks: one request a connection, an answer with a length or until it ends.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::XendError;

type Result<T> = std::result::Result<T, XendError>;

/// Limit: the status line and headers of an answer.
const HEAD_BYTES_MAX: usize = 16 * 1024;
/// Limit: what an answer holds; the log is the longest by far.
pub const BODY_BYTES_MAX: usize = crate::sexpr::tree::BYTES_MAX;
/// Limit: xend's own, of what is posted, percent signs counted.
pub const FORM_BYTES_MAX: usize = 10_000;
/// How long it may take to see whether anybody listens.
const LISTENING_WAIT_MAX: Duration = Duration::from_secs(1);
/// How long a peer may take to accept.
const CONNECT_WAIT_MAX: Duration = Duration::from_secs(10);

/// Where xend listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    Unix(PathBuf),
    Tcp(SocketAddr),
}

impl Place {
    /// Whether anybody listens there; nothing is asked.
    pub(crate) fn is_listening(&self) -> bool {
        match self {
            Self::Unix(path) => UnixStream::connect(path).is_ok(),
            Self::Tcp(address) => TcpStream::connect_timeout(address, LISTENING_WAIT_MAX).is_ok(),
        }
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "{}", path.display()),
            Self::Tcp(address) => write!(f, "{address}"),
        }
    }
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) body: String,
}

trait Stream: Read + Write {
    fn wait(&self, wait: Duration) -> std::io::Result<()>;
}

impl Stream for UnixStream {
    fn wait(&self, wait: Duration) -> std::io::Result<()> {
        self.set_read_timeout(Some(wait))?;
        self.set_write_timeout(Some(wait))
    }
}

impl Stream for TcpStream {
    fn wait(&self, wait: Duration) -> std::io::Result<()> {
        self.set_read_timeout(Some(wait))?;
        self.set_write_timeout(Some(wait))
    }
}

fn connect(place: &Place) -> Result<Box<dyn Stream>> {
    let opened: std::io::Result<Box<dyn Stream>> = match place {
        Place::Unix(path) => UnixStream::connect(path).map(|socket| Box::new(socket) as _),
        Place::Tcp(address) => {
            let socket = TcpStream::connect_timeout(address, CONNECT_WAIT_MAX);
            socket.map(|socket| Box::new(socket) as _)
        }
    };
    opened.map_err(|error| match error.kind() {
        ErrorKind::NotFound => XendError::NoSocket(place.to_string()),
        ErrorKind::PermissionDenied => XendError::NoRight(place.to_string()),
        ErrorKind::ConnectionRefused | ErrorKind::TimedOut => {
            XendError::NobodyThere(place.to_string())
        }
        _ => XendError::Broken(error.to_string()),
    })
}

/// Asks once: `form` is posted where there is one. All of it within `wait_max`.
pub(super) fn ask(
    place: &Place,
    path: &str,
    form: Option<&str>,
    wait_max: Duration,
) -> Result<Answer> {
    let until = Instant::now() + wait_max;
    let mut stream = connect(place)?;
    let broken = |error: std::io::Error| match error.kind() {
        ErrorKind::WouldBlock | ErrorKind::TimedOut => XendError::Timeout(wait_max.as_secs()),
        _ => XendError::Broken(error.to_string()),
    };
    stream.wait(wait_max).map_err(broken)?;
    stream.write_all(request(path, form).as_bytes()).map_err(broken)?;
    let mut bytes: Vec<u8> = Vec::new();
    let mut chunk = [0_u8; 8192];
    loop {
        if let Some(answer) = parse(&bytes, false)? {
            return Ok(answer);
        }
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(XendError::Timeout(wait_max.as_secs()));
        }
        stream.wait(left).map_err(broken)?;
        match stream.read(&mut chunk) {
            Ok(0) => {
                let answer = parse(&bytes, true)?;
                return answer.ok_or_else(|| XendError::Broken("a half answer".to_owned()));
            }
            Ok(count) => bytes.extend_from_slice(chunk.get(..count).unwrap_or_default()),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(broken(error)),
        }
    }
}

fn request(path: &str, form: Option<&str>) -> String {
    let method = if form.is_some() { "POST" } else { "GET" };
    let mut text = format!(
        "{method} {path} HTTP/1.1\r\nHost: localhost:8000\r\nAccept: application/sxp\r\n\
         Accept-Encoding: identity\r\nConnection: close\r\n"
    );
    if let Some(form) = form {
        let len = form.len();
        text.push_str(&format!(
            "Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {len}\r\n"
        ));
    }
    text.push_str("\r\n");
    text.push_str(form.unwrap_or_default());
    text
}

fn bad<T>(what: &str) -> Result<T> {
    Err(XendError::Answer(what.to_owned()))
}

/// Reads what is there of an answer; `None` where more must come. `ended` says that none will.
fn parse(bytes: &[u8], ended: bool) -> Result<Option<Answer>> {
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n");
    let Some(end) = end else {
        return if bytes.len() > HEAD_BYTES_MAX { bad("its head does not end") } else { Ok(None) };
    };
    if end > HEAD_BYTES_MAX {
        return bad("its head is too long");
    }
    let head = String::from_utf8_lossy(bytes.get(..end).unwrap_or_default()).into_owned();
    let body = bytes.get(end + 4..).unwrap_or_default();
    let mut lines = head.split("\r\n");
    let mut first = lines.next().unwrap_or_default().split_whitespace();
    let version = first.next().is_some_and(|version| version.starts_with("HTTP/1."));
    let status = first.next().and_then(|status| status.parse().ok());
    let (true, Some(status)) = (version, status) else { return bad("it is no HTTP") };
    let length = lines.find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.trim().eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>())
    });
    let body = match length {
        Some(Err(_)) => return bad("its length is no number"),
        Some(Ok(length)) if length > BODY_BYTES_MAX => return bad("it is too long"),
        None if body.len() > BODY_BYTES_MAX => return bad("it is too long"),
        Some(Ok(length)) => match body.get(..length) {
            Some(body) => body,
            None => return Ok(None),
        },
        None if ended => body,
        None => return Ok(None),
    };
    Ok(Some(Answer { status, body: String::from_utf8_lossy(body).into_owned() }))
}

/// A form of these fields.
pub(super) fn form(fields: &[(&str, &str)]) -> String {
    let mut text = String::new();
    for (at, (name, value)) in fields.iter().enumerate() {
        if at > 0 {
            text.push('&');
        }
        encode(name, &mut text);
        text.push('=');
        encode(value, &mut text);
    }
    text
}

/// A name as part of a path or form.
pub(super) fn encode(text: &str, out: &mut String) {
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02x}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_whole_or_waited_for() {
        let text = b"HTTP/1.1 200 OK\r\nServer: x\r\nContent-Length: 4\r\n\r\n(a)\nrest";
        let whole = Some(Answer { status: 200, body: "(a)\n".to_owned() });
        assert_eq!(parse(text, false), Ok(whole.clone()));
        for end in 0..text.len() - 4 {
            assert_eq!(parse(&text[..end], false), Ok(None), "{end}");
        }
        let endless = b"HTTP/1.0 500 Oops\r\n\r\nbody";
        assert_eq!(parse(endless, false), Ok(None));
        assert_eq!(parse(endless, true).map(|answer| answer.map(|a| a.status)), Ok(Some(500)));
    }

    #[test]
    fn answers_that_are_none_are_refused() {
        for text in [
            "\r\n\r\n",
            "SMTP 200\r\n\r\n",
            "HTTP/1.1 OK\r\n\r\n",
            "HTTP/1.1 200\r\nContent-Length: -1\r\n\r\n",
            "HTTP/1.1 200\r\nContent-Length: 99999999999\r\n\r\n",
        ] {
            assert!(parse(text.as_bytes(), true).is_err(), "{text:?}");
        }
        assert!(parse(&vec![b'a'; HEAD_BYTES_MAX + 1], false).is_err());
    }

    #[test]
    fn forms_hold_anything() {
        assert_eq!(
            form(&[("op", "set_vcpus"), ("x y", "a&b=%")]),
            "op=set_vcpus&x%20y=a%26b%3d%25"
        );
    }
}
