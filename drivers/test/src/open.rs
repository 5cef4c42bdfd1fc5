//! Opening `test:///default` and `test:///FILE`.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use virt_driver::{Connection, Driver, OpenRequest, Opener};
use virt_error::Result;

use crate::error::invalid_arg;
use crate::world::World;
use crate::{TestDriver, fault, nodefile};

/// Opens `test:///...` URIs that name neither a transport nor a host.
pub fn opener() -> impl Opener {
    TestOpener
}

/// A connection to a default world of its own, shared with nobody.
pub fn fresh_world() -> Result<Connection> {
    let world = World::default_world()?.share();
    Ok(Connection::new(
        vec![Arc::new(TestDriver { world, streams: false })],
        "test:///default",
        false,
    ))
}

#[derive(Debug)]
struct TestOpener;

/// The default world while somebody has it open, and what most of them share: a daemon's crowd need
/// not have a driver each.
static DEFAULT: Mutex<(Weak<World>, Weak<TestDriver>)> = Mutex::new((Weak::new(), Weak::new()));

impl Opener for TestOpener {
    fn open(&self, request: &OpenRequest<'_>) -> Result<Option<Vec<Arc<dyn Driver>>>> {
        let Some(path) = local_path(request.uri) else { return Ok(None) };
        let streams = parameter(request.uri, "streams").is_some_and(|value| value == "1");
        let driver = match path.as_str() {
            "" | "/" => {
                return Err(invalid_arg("testOpen: supply a path or use test:///default"));
            }
            "/default" => default_driver(streams)?,
            path => {
                let auth_file = parameter(request.uri, "authfile");
                let world = nodefile::load(path, auth_file.as_deref())?.share();
                Arc::new(TestDriver { world, streams })
            }
        };
        fault::meet_open(&driver.world)?;
        Ok(Some(vec![driver]))
    }
}

/// One for the world that all connections to `test:///default` share; made by whoever comes first.
fn default_driver(streams: bool) -> Result<Arc<TestDriver>> {
    let mut shared = DEFAULT.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(driver) = shared.1.upgrade().filter(|_| !streams) {
        return Ok(driver);
    }
    let world = match shared.0.upgrade() {
        Some(world) => world,
        None => World::default_world()?.share(),
    };
    shared.0 = Arc::downgrade(&world);
    let driver = Arc::new(TestDriver { world, streams });
    if !streams {
        shared.1 = Arc::downgrade(&driver);
    }
    Ok(driver)
}

/// The path of a URI with the scheme `test` and no host, or `None` for somebody else's URI.
fn local_path(uri: &str) -> Option<String> {
    let rest = uri.strip_prefix("test:")?;
    let rest = rest.split(['?', '#']).next().unwrap_or_default();
    let Some(rest) = rest.strip_prefix("//") else { return decode(rest) };
    let (authority, path) = rest.find('/').map_or((rest, ""), |at| rest.split_at(at));
    // A user or a port alone names no other host.
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let host = host.split(':').next().unwrap_or_default();
    if host.is_empty() { decode(path) } else { None }
}

/// A parameter of a URI.
fn parameter(uri: &str, name: &str) -> Option<String> {
    let (_, query) = uri.split('#').next()?.split_once('?')?;
    let mut parameters = query.split(['&', ';']).filter_map(|pair| pair.split_once('='));
    decode(parameters.find(|(key, _)| *key == name)?.1)
}

/// Resolves `%XX`; what does not come out as text is for nobody.
fn decode(path: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(path.len());
    let mut rest = path.bytes();
    while let Some(byte) = rest.next() {
        let hex = |digit: Option<u8>| digit.and_then(|digit| char::from(digit).to_digit(16));
        match byte {
            b'%' => {
                let (high, low) = (hex(rest.next())?, hex(rest.next())?);
                bytes.push(u8::try_from(high << 4 | low).ok()?);
            }
            byte => bytes.push(byte),
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::local_path;

    #[test]
    fn only_uris_without_transport_and_host_are_ours() {
        for (uri, path) in [
            ("test:///default", Some("/default")),
            ("test:/default", Some("/default")),
            ("test:///default?x=1", Some("/default")),
            ("test:///default#x", Some("/default")),
            ("test://:80/default", Some("/default")),
            ("test://u@/default", Some("/default")),
            ("test://", Some("")),
            ("test:", Some("")),
            ("test:///a%20b", Some("/a b")),
            ("test:///a%2", None),
            ("test://host/default", None),
            ("test+unix:///default", None),
            ("TEST:///default", None),
            ("qemu:///system", None),
            ("test", None),
        ] {
            assert_eq!(local_path(uri).as_deref(), path, "{uri}");
        }
    }
}
