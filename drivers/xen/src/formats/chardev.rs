//! Serial and parallel ports as QEMU's short words: `pty`, `tcp:host:port,server`, `/dev/ttyS0`.

use virt_error::{Code, Error, Origin, Result};
use virt_model::domain::chardev::{ChardevSource, ChardevType, Protocol, SocketMode};

/// Reads a port; `None` for `none`.
pub(crate) fn parse(text: &str) -> Result<Option<ChardevSource>> {
    if text == "none" || text.is_empty() {
        return Ok(None);
    }
    if text.starts_with('/') {
        return Ok(Some(with_path(ChardevType::Dev, text)));
    }
    let (kind, rest) = text.split_once(':').unwrap_or((text, ""));
    let source = match kind {
        "null" => of(ChardevType::Null),
        "vc" => of(ChardevType::Vc),
        "pty" => of(ChardevType::Pty),
        "stdio" => of(ChardevType::Stdio),
        "file" => with_path(ChardevType::File, rest),
        "pipe" => with_path(ChardevType::Pipe, rest),
        "tcp" => tcp(rest, None)?,
        "telnet" => tcp(rest, Some(Protocol::Telnet))?,
        "udp" => udp(rest)?,
        "unix" => {
            let (path, options) = rest.split_once(',').unwrap_or((rest, ""));
            let mode = Some(mode(options));
            ChardevSource { mode, ..with_path(ChardevType::Unix, path) }
        }
        other => {
            let detail = format!("unknown chr device type '{other}'");
            return Err(Error::internal(Origin::Xen, detail));
        }
    };
    Ok(Some(source))
}

/// Prints a port.
pub(crate) fn print(source: &ChardevSource) -> Result<String> {
    let path = source.path.as_deref().unwrap_or_default();
    let host = source.host.as_deref().unwrap_or_default();
    let service = source.service.as_deref().unwrap_or_default();
    Ok(match source.kind {
        ChardevType::Null | ChardevType::Vc | ChardevType::Stdio => source.kind.to_string(),
        ChardevType::Pty => "pty".to_owned(),
        ChardevType::Dev => path.to_owned(),
        ChardevType::File | ChardevType::Pipe => format!("{}:{path}", source.kind),
        ChardevType::Tcp => {
            let telnet = source.protocol == Some(Protocol::Telnet);
            let kind = if telnet { "telnet" } else { "tcp" };
            format!("{kind}:{host}:{service}{}", server(source))
        }
        ChardevType::Udp => {
            let bind_host = source.bind_host.as_deref().unwrap_or_default();
            let bind_service = source.bind_service.as_deref().unwrap_or_default();
            format!("udp:{host}:{service}@{bind_host}:{bind_service}")
        }
        ChardevType::Unix => format!("unix:{path}{}", server(source)),
        other => {
            let detail = format!("unexpected chr device type '{other}'");
            return Err(Error::new(Code::ConfigUnsupported, Origin::Xen, detail));
        }
    })
}

fn server(source: &ChardevSource) -> &'static str {
    if source.mode == Some(SocketMode::Bind) { ",server,nowait" } else { "" }
}

fn of(kind: ChardevType) -> ChardevSource {
    ChardevSource { kind, ..ChardevSource::default() }
}

fn with_path(kind: ChardevType, path: &str) -> ChardevSource {
    ChardevSource { path: Some(path.to_owned()), ..of(kind) }
}

fn mode(options: &str) -> SocketMode {
    let server = options.split(',').any(|option| option == "server");
    if server { SocketMode::Bind } else { SocketMode::Connect }
}

fn address(text: &str) -> Result<(Option<String>, Option<String>)> {
    let Some((host, service)) = text.rsplit_once(':') else {
        let detail = format!("malformed char device string '{text}'");
        return Err(Error::internal(Origin::Xen, detail));
    };
    let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    Ok((some(host), some(service)))
}

fn tcp(text: &str, protocol: Option<Protocol>) -> Result<ChardevSource> {
    let (at, options) = text.split_once(',').unwrap_or((text, ""));
    let (host, service) = address(at)?;
    Ok(ChardevSource { mode: Some(mode(options)), host, service, protocol, ..of(ChardevType::Tcp) })
}

fn udp(text: &str) -> Result<ChardevSource> {
    let (remote, local) = text.split_once('@').unwrap_or((text, ""));
    let (host, service) = address(remote)?;
    let (bind_host, bind_service) = if local.is_empty() { (None, None) } else { address(local)? };
    Ok(ChardevSource { host, service, bind_host, bind_service, ..of(ChardevType::Udp) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_printed_as_they_were_read() {
        for text in [
            "null",
            "pty",
            "stdio",
            "vc",
            "/dev/ttyS1",
            "file:/tmp/a,b",
            "pipe:/tmp/p",
            "tcp:127.0.0.1:7777",
            "telnet:[::1]:9,server,nowait",
            "udp:a:1@b:2",
            "unix:/run/s,server,nowait",
            "unix:/run/s",
        ] {
            let source = parse(text).expect(text).expect(text);
            assert_eq!(print(&source).expect(text), text);
        }
        assert_eq!(parse("none").expect("none"), None);
        assert!(parse("tcp:7777").is_err());
        assert!(parse("carrier-pigeon:1").is_err());
    }
}
