//! One request over HTTP: read, answered, and the connection closed.

use std::io::{Read, Write};

use crate::actions::{self, Reply};
use crate::faults;
use crate::form::{Form, decode};
use crate::xend::Xend;

/// Limit: the head of a request.
const HEAD_MAX: usize = 64 * 1024;
/// xend's own: longer forms are refused.
const FORM_MAX: usize = 10_000;

/// A request.
pub(crate) struct Request {
    pub(crate) is_post: bool,
    /// Without percent signs, and without what asks.
    pub(crate) path: String,
    /// What stands behind the question mark, and what is posted.
    pub(crate) form: Form,
}

fn read(stream: &mut dyn Read) -> Result<Option<Request>, u16> {
    let mut bytes = Vec::new();
    let mut chunk = [0; 4096];
    let end = loop {
        if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            break end;
        }
        if bytes.len() > HEAD_MAX {
            return Err(400);
        }
        match stream.read(&mut chunk) {
            Ok(0) | Err(_) => return Ok(None),
            Ok(count) => bytes.extend_from_slice(chunk.get(..count).unwrap_or_default()),
        }
    };
    let head = String::from_utf8_lossy(bytes.get(..end).unwrap_or_default()).into_owned();
    let mut body = bytes.get(end + 4..).unwrap_or_default().to_vec();
    let mut lines = head.split("\r\n");
    let mut first = lines.next().unwrap_or_default().split(' ');
    let (method, target) = (first.next().unwrap_or_default(), first.next().unwrap_or_default());
    let length = lines.find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok())?
    });
    let length = length.unwrap_or(0);
    if length > FORM_MAX {
        return Err(413);
    }
    while body.len() < length {
        match stream.read(&mut chunk) {
            Ok(0) | Err(_) => return Ok(None),
            Ok(count) => body.extend_from_slice(chunk.get(..count).unwrap_or_default()),
        }
    }
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let body = String::from_utf8_lossy(&body).into_owned();
    Ok(Some(Request {
        is_post: method == "POST",
        path: decode(path),
        form: Form::parse(&format!("{query}&{body}")),
    }))
}

/// Serves one connection.
pub(crate) fn serve<S: Read + Write>(xend: &Xend, mut stream: S) {
    let request = match read(&mut stream) {
        Ok(Some(request)) => request,
        Ok(None) => return,
        Err(status) => {
            let _ = write!(stream, "HTTP/1.1 {status} Refused\r\nContent-Length: 0\r\n\r\n");
            return;
        }
    };
    if xend.has_fault("silent") {
        std::thread::sleep(std::time::Duration::from_secs(600));
        return;
    }
    if xend.is_dead() {
        return;
    }
    note(xend, &request);
    let reply = actions::answer(xend, &request);
    if xend.is_dead() {
        return;
    }
    let empty = if xend.profile().prints_empty() { "''" } else { "" };
    let (status, mut body, location) = match reply {
        Reply::Tree(status, tree) => (status, tree.print(empty), None),
        Reply::Made(tree, location) => (201, tree.print(empty), Some(location)),
        Reply::Text(status, text) => (status, text, None),
    };
    if !request.is_post && xend.profile().prints_empty() && status == 200 {
        body.push_str("''");
    }
    body = faults::spoil(xend, body);
    let reason = if status < 300 { "OK" } else { "Error" };
    let mut head = format!(
        "HTTP/1.1 {status} {reason}\r\nContent-Type: application/sxp\r\nContent-Length: {}\r\n",
        body.len()
    );
    if let Some(location) = location {
        head.push_str(&format!("Location: {location}\r\n"));
    }
    let whole = format!("{head}\r\n{body}");
    if !faults::send(xend, &mut stream, &whole) {
        // A client that has gone does not read.
        let _ = stream.write_all(whole.as_bytes());
    }
}

/// A line for each request, for whoever counts them.
fn note(xend: &Xend, request: &Request) {
    let Some(path) = &xend.settings.log else { return };
    let method = if request.is_post { "POST" } else { "GET" };
    let op = request.form.get("op").unwrap_or_default();
    let opened = std::fs::File::options().create(true).append(true).open(path);
    let line = format!("{method} {} {op} store={}\n", request.path, xend.tree.requests());
    let _ = opened.and_then(|mut file| file.write_all(line.as_bytes()));
}
