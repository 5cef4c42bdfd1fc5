//! Sources named as a URI: `PROTOCOL[+TRANSPORT]://[USER@]HOST[:PORT]/NAME[?QUERY]`.

use virt_error::Result;

use super::{Backing, bare, host_and_port, refused, server, socket};

/// Protocols that may be named so.
const PROTOCOLS: &[&str] = &[
    "nbd", "rbd", "sheepdog", "gluster", "iscsi", "http", "https", "ftp", "ftps", "tftp", "ssh",
    "vxhs", "nfs",
];

pub(super) fn read(text: &str) -> Result<Backing> {
    let (scheme, rest) = text.split_once("://").ok_or_else(|| refused(text))?;
    let (protocol, transport) = scheme.split_once('+').unwrap_or((scheme, "tcp"));
    if !PROTOCOLS.contains(&protocol) || !["tcp", "unix", "rdma"].contains(&transport) {
        return Err(refused(text));
    }
    let rest = rest.split('#').next().unwrap_or(rest);
    let (place, query) = match rest.split_once('?') {
        Some((place, query)) => (place, Some(query)),
        None => (rest, None),
    };
    let (authority, path) = match place.find('/') {
        Some(at) => place.split_at(at),
        None => (place, ""),
    };
    let path = decoded(path.strip_prefix('/').unwrap_or(path));
    // Compat: a web server's root is a name without letters, any other server's is none.
    let is_web = protocol.starts_with("http");
    let name = Some(path).filter(|path| is_web || !path.is_empty());
    let (user, place) = match authority.rsplit_once('@') {
        Some((user, place)) => (Some(user), place),
        None => (None, authority),
    };
    let (host, port) = host_and_port(place);
    let port = port.filter(|port| !port.is_empty());
    if port.is_some_and(|port| port.parse::<u16>().is_err()) {
        return Err(refused(text));
    }
    let host = match transport {
        "unix" => socket(&parameter(query, "socket").ok_or_else(|| refused(text))?),
        _ if host.is_empty() => return Err(refused(text)),
        _ => {
            let mut host = server(protocol, &decoded(bare(host)), port);
            host.transport = Some(transport.to_owned()).filter(|transport| transport != "tcp");
            host
        }
    };
    let mut backing = Backing::network(protocol, name, vec![host]);
    if is_web {
        backing.source.query = query.map(str::to_owned);
    }
    backing.ignored = user.is_some_and(|user| !user.is_empty());
    Ok(backing)
}

/// A parameter of the query.
fn parameter(query: Option<&str>, name: &str) -> Option<String> {
    let mut pairs = query?.split(['&', ';']).filter_map(|pair| pair.split_once('='));
    pairs.find(|(key, _)| *key == name).map(|(_, value)| decoded(value))
}

/// The text with its `%XX` resolved; what is none, or makes no text, stays.
fn decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('%') {
        bytes.extend(before.bytes());
        let hex = after.get(..2).filter(|hex| hex.bytes().all(|c| c.is_ascii_hexdigit()));
        match hex.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = after.get(2..).unwrap_or_default();
            }
            None => {
                bytes.push(b'%');
                rest = after;
            }
        }
    }
    bytes.extend(rest.bytes());
    String::from_utf8(bytes).unwrap_or_else(|_| text.to_owned())
}
