//! Consoles through the concentrator.

use std::time::Duration;

use test_support::wait_until;
use virt_driver::{Received, Stream};
use virt_types::api;

use super::sim::{Sim, document};

/// What a console says, up to some text.
fn until(console: &dyn Stream, text: &str) -> String {
    let mut seen = Vec::new();
    let mut buffer = [0; 512];
    wait_until(Duration::from_secs(10), || {
        while let Ok(Received::Data(count)) = console.recv(&mut buffer) {
            seen.extend_from_slice(buffer.get(..count).unwrap_or_default());
        }
        String::from_utf8_lossy(&seen).contains(text)
    });
    String::from_utf8_lossy(&seen).into_owned()
}

#[test]
fn a_console_is_the_guests_and_nothing_else() {
    for profile in ["1.0", "1.3", "3.6"] {
        let sim = Sim::start(profile, &[]);
        let connection = sim.connect();
        let dom = connection.domain_define_xml(&document("web1", 1, 256)).expect("it is defined");
        connection.domain_create_with_flags(&dom, 0).expect("it starts");
        let console = connection.domain_open_console(&dom, None, 0).expect("a console");
        let greeting = until(&*console, "Press ~?");
        assert!(greeting.contains("Connecting to console \"web1\""), "{profile}: {greeting:?}");
        assert_eq!(console.send(b"\r").expect("it takes bytes"), 1);
        let prompt = until(&*console, "login:");
        assert!(prompt.contains("login:"), "{profile}: {prompt:?}");
        assert!(!greeting.contains('\u{fffd}'), "telnet shows through: {greeting:?}");
        assert_eq!(console.send(b"uname\r").expect("it takes bytes"), 6);
        let echo = until(&*console, "uname");
        assert!(echo.contains("uname"), "{profile}: {echo:?}");
        console.finish().expect("it ends");
        assert_eq!(console.recv(&mut [0]), Ok(Received::End));
    }
}

#[test]
fn the_control_domain_has_no_console_here() {
    let sim = Sim::start("3.6", &[]);
    let connection = sim.connect();
    let primary = connection.domain_lookup_by_name("primary").expect("it is there");
    assert!(connection.domain_open_console(&primary, None, 0).is_err());
}

/// The concentrator lets the first client write and all others read.
#[test]
fn a_console_that_another_has_is_taken_over_by_force_only() {
    let sim = Sim::start("3.6", &[]);
    let connection = sim.connect();
    let dom = connection.domain_create_xml(&document("web1", 1, 256), 0).expect("it runs");
    let first = connection.domain_open_console(&dom, None, 0).expect("a console");
    until(&*first, "Press ~?");
    let second = connection.domain_open_console(&dom, None, 0).expect("to look at");
    until(&*second, "Press ~?");
    second.send(b"unheard\r").expect("it takes bytes");
    let refused = until(&*second, "write access");
    assert!(refused.contains("write access"), "{refused:?}");
    let force = api::DOMAIN_CONSOLE_FORCE;
    let third = connection.domain_open_console(&dom, None, force).expect("by force");
    third.send(b"\runame\r").expect("it takes bytes");
    let heard = until(&*third, "uname");
    assert!(heard.contains("uname"), "{heard:?}");
    first.send(b"unheard\r").expect("it takes bytes");
    let refused = until(&*first, "write access");
    assert!(refused.contains("write access"), "{refused:?}");
    assert!(!refused.contains("unheard"), "{refused:?}");
}
