//! Events reach exactly those who registered, in both forms of registration.

mod raw;

use raw::{Raw, arguments, domain, event, start};
use test_support::Daemon;
use virt_wire::remote;

/// The messages that bring a domain's changes of state, with and without a callback id.
const LIFECYCLE: u32 = 318;
const LIFECYCLE_LEGACY: u32 = 107;

const SUSPENDED: i32 = 3;
const RESUMED: i32 = 4;

fn lifecycle(callback: Option<i32>, what: i32) -> Vec<u8> {
    let mut payload = callback.map(|id| id.to_be_bytes().to_vec()).unwrap_or_default();
    payload.extend(domain());
    payload.extend(what.to_be_bytes());
    payload.extend(0_i32.to_be_bytes());
    payload
}

/// Class and number of an event, for all objects or the default world's domain.
fn wanted(id: i32, one: bool) -> Vec<u8> {
    arguments(|w| {
        w.i32(id);
        w.flag(one);
        if one {
            w.raw(&domain());
        }
    })
}

#[test]
fn registrations_get_their_events_until_they_end() {
    let virtd = start();
    let mut actor = Raw::open(virtd.socket(), 0);
    let mut listener = Raw::open(virtd.socket(), 0);
    let register = remote::CONNECT_DOMAIN_EVENT_CALLBACK_REGISTER_ANY;
    let all = listener.call(register, &wanted(0, false)).expect("all");
    let one = listener.call(register, &wanted(0, true)).expect("one");
    assert_ne!(all, one);
    let number = |id: &[u8]| i32::from_be_bytes(id.try_into().expect("a word"));
    let (all, one) = (number(&all), number(&one));
    actor.call(remote::DOMAIN_SUSPEND, &domain()).expect("suspend");
    let mut payloads = vec![listener.message().payload, listener.message().payload];
    payloads.sort();
    assert_eq!(payloads, [lifecycle(Some(all), SUSPENDED), lifecycle(Some(one), SUSPENDED)]);

    let deregister = remote::CONNECT_DOMAIN_EVENT_CALLBACK_DEREGISTER_ANY;
    listener.call(deregister, &all.to_be_bytes()).expect("deregister");
    let error = listener.call(deregister, &all.to_be_bytes()).expect_err("again");
    let expected = format!("internal error: domain event callback {all} not registered");
    assert_eq!(error.message(), expected);
    actor.call(remote::DOMAIN_RESUME, &domain()).expect("resume");
    let message = listener.message();
    assert_eq!(message.header, event(LIFECYCLE));
    assert_eq!(message.payload, lifecycle(Some(one), RESUMED));
    assert!(listener.silent());
    assert!(actor.silent());
}

#[test]
fn the_older_form_has_no_callback_ids() {
    let virtd = start();
    let mut actor = Raw::open(virtd.socket(), 0);
    let mut listener = Raw::open(virtd.socket(), 0);
    assert_eq!(listener.call(remote::CONNECT_DOMAIN_EVENT_REGISTER, &[]), Ok(vec![0; 4]));
    let error = listener.call(remote::CONNECT_DOMAIN_EVENT_REGISTER, &[]).expect_err("again");
    assert_eq!(error.message(), "invalid argument: event callback already tracked");
    actor.call(remote::DOMAIN_SUSPEND, &domain()).expect("suspend");
    let message = listener.message();
    assert_eq!(message.header, event(LIFECYCLE_LEGACY));
    assert_eq!(message.payload, lifecycle(None, SUSPENDED));
    assert_eq!(listener.call(remote::CONNECT_DOMAIN_EVENT_DEREGISTER, &[]), Ok(vec![0; 4]));
    actor.call(remote::DOMAIN_RESUME, &domain()).expect("resume");
    assert!(listener.silent());
}

#[test]
fn what_cannot_be_registered_is_refused_in_libvirts_words() {
    let virtd = start();
    let mut raw = Raw::open(virtd.socket(), 0);
    for (procedure, id, message) in [
        (remote::CONNECT_DOMAIN_EVENT_CALLBACK_REGISTER_ANY, -1, "unsupported event ID -1"),
        (remote::CONNECT_DOMAIN_EVENT_CALLBACK_REGISTER_ANY, 28, "unsupported event ID 28"),
        (remote::CONNECT_DOMAIN_EVENT_REGISTER_ANY, 16, "unsupported event ID 16"),
        (remote::CONNECT_NETWORK_EVENT_REGISTER_ANY, 2, "unsupported network event ID 2"),
        (remote::CONNECT_SECRET_EVENT_REGISTER_ANY, 2, "unsupported secret event ID 2"),
    ] {
        let error = raw.call(procedure, &wanted(id, false)).expect_err(message);
        if procedure == remote::CONNECT_NETWORK_EVENT_REGISTER_ANY && error.number() == 3 {
            // A driver without networks refuses before it looks at the number.
            continue;
        }
        assert_eq!(error.message(), format!("internal error: {message}"));
    }
    let error = raw
        .call(remote::CONNECT_DOMAIN_EVENT_CALLBACK_DEREGISTER_ANY, &[0, 0, 0, 77])
        .expect_err("77");
    assert_eq!(error.message(), "internal error: domain event callback 77 not registered");
}

#[test]
fn a_world_ends_with_its_last_connection() {
    let virtd = start();
    let mut raw = Raw::open(virtd.socket(), 0);
    raw.call(remote::DOMAIN_SUSPEND, &domain()).expect("suspend");
    let error = raw.call(remote::DOMAIN_SUSPEND, &domain()).expect_err("paused already");
    assert_eq!(error.message(), "internal error: domain 'test' not running");
    drop(raw);
    let fresh = test_support::wait_until(std::time::Duration::from_secs(10), || {
        Raw::open(virtd.socket(), 0).call(remote::DOMAIN_SUSPEND, &domain()).is_ok()
    });
    assert!(fresh);
}
