//! The greeting: an XMPP stream, TLS, a new stream, and a password where the manager wants one.
//!
//! ```text
//! stream → features → starttls → proceed → TLS → stream → features ──────────────→ ready
//!                                                            └ auth → success → stream → features ┘
//! ```

use std::time::{Duration, Instant};

use virt_xml::Element;

use super::session::{OPEN_WAIT_MAX, Wire, element_name};
use super::{Credentials, LinkError, Linked, Person, Protocol, Session, Target};
use crate::message::Stanza;

/// Limit: how long a manager may keep silent after an XMPP greeting before it is taken for one that
/// waits for the rest of a document, as LDoms 1.0 would.
const PROBE_WAIT_MAX: Duration = Duration::from_secs(3);
/// Limit: stanzas that may come before the one that is waited for.
const STANZAS_MAX: usize = 32;

/// Compat: what the manager's own local clients say, to the byte.
const STREAM: &str =
    "<?xml version='1.0'?><stream:stream xml:lang=\"en\" version=\"1.0\" id=\"xmpp\">";
const START_TLS: &str = "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>";

/// Finds out what a manager speaks: XMPP unless it answers with something else, or not at all.
pub(super) fn probe(target: &Target, person: &Person, deadline: Instant) -> Linked<Session> {
    let mut session = Session::connect(target, Protocol::Xmpp, deadline)?;
    session.send(STREAM, deadline)?;
    let patience = deadline.min(Instant::now() + PROBE_WAIT_MAX);
    match session.stanza(Some(patience)) {
        Ok(Stanza::Open) => {
            after_stream(&mut session, target, person, deadline)?;
            Ok(session)
        }
        // Only a manager that speaks XMPP can have a reason of its own not to.
        Ok(Stanza::Element(text)) if matches!(element_name(&text), "error" | "failure") => {
            Err(LinkError::Broken("it refused the stream".to_owned()))
        }
        Ok(_) | Err(LinkError::TimedOut | LinkError::Closed | LinkError::Broken(_)) => {
            Session::connect(target, Protocol::Socket, deadline)
        }
        Err(error) => Err(error),
    }
}

/// The greeting of a manager that is known to speak XMPP.
pub(super) fn xmpp(
    session: &mut Session,
    target: &Target,
    person: &Person,
    deadline: Instant,
) -> Linked<()> {
    open_stream(session, deadline)?;
    after_stream(session, target, person, deadline)
}

fn open_stream(session: &mut Session, deadline: Instant) -> Linked<()> {
    session.send(STREAM, deadline)?;
    match session.stanza(Some(deadline))? {
        Stanza::Open => Ok(()),
        other => Err(unexpected(&other)),
    }
}

fn after_stream(
    session: &mut Session,
    target: &Target,
    person: &Person,
    deadline: Instant,
) -> Linked<()> {
    let features = expect(session, "features", deadline)?;
    if !offers(&features, "starttls") {
        return Err(LinkError::Tls("the manager does not offer TLS".to_owned()));
    }
    session.send(START_TLS, deadline)?;
    expect(session, "proceed", deadline).map_err(|error| match error {
        LinkError::Broken(what) => LinkError::Tls(format!("the manager does not start it: {what}")),
        error => error,
    })?;
    session.start_tls(target)?;
    open_stream(session, deadline)?;
    let features = expect(session, "features", deadline)?;
    if offers(&features, "mechanisms") {
        login(session, target, person, &features)?;
    }
    Ok(())
}

/// SASL PLAIN. Order: never before TLS.
fn login(session: &mut Session, target: &Target, person: &Person, features: &str) -> Linked<()> {
    if !matches!(session.wire, Wire::Tls(_)) {
        return Err(LinkError::Tls("the manager wants a password without TLS".to_owned()));
    }
    if !has_plain(features) {
        let why = "the LDoms Manager does not take passwords (no SASL PLAIN)";
        return Err(LinkError::Refused(why.to_owned()));
    }
    let host = if target.local { "localhost" } else { &target.host };
    let credentials = Credentials::find(target, host, target.user.as_deref(), Some(person))?;
    // A person takes the time that it takes to type.
    let deadline = Instant::now() + OPEN_WAIT_MAX;
    let auth = format!(
        "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>{}</auth>",
        credentials.plain()
    );
    session.send(&auth, deadline)?;
    for _ in 0..STANZAS_MAX {
        match session.stanza(Some(deadline))? {
            Stanza::Element(text) => match element_name(&text) {
                "success" => {
                    open_stream(session, deadline)?;
                    return expect(session, "features", deadline).map(drop);
                }
                "failure" => {
                    person.forget();
                    let why = format!("authentication failed for user {}", credentials.user);
                    return Err(LinkError::Refused(why));
                }
                _ => {}
            },
            other => return Err(unexpected(&other)),
        }
    }
    Err(LinkError::Broken("no end of the login".to_owned()))
}

/// Waits for a stanza of that name; unknown ones before it are left alone.
fn expect(session: &mut Session, name: &str, deadline: Instant) -> Linked<String> {
    for _ in 0..STANZAS_MAX {
        match session.stanza(Some(deadline))? {
            Stanza::Element(text) => match element_name(&text) {
                found if found == name => return Ok(text),
                "failure" | "error" => {
                    return Err(LinkError::Broken(format!("a failure instead of {name}")));
                }
                _ => {}
            },
            other => return Err(unexpected(&other)),
        }
    }
    Err(LinkError::Broken(format!("no {name}")))
}

fn unexpected(stanza: &Stanza) -> LinkError {
    match stanza {
        Stanza::Close => LinkError::Closed,
        Stanza::Open => LinkError::Broken("a second stream".to_owned()),
        Stanza::Element(text) => {
            // Limit: a name is shown, not a document.
            let name: String = element_name(text).chars().take(64).collect();
            LinkError::Broken(format!("an unexpected {name}"))
        }
    }
}

fn offers(features: &str, name: &str) -> bool {
    let named = |tree: &Element<'_>| tree.elements().any(|child| child.local_name() == name);
    virt_xml::parse(features).is_ok_and(|tree| named(&tree))
}

fn has_plain(features: &str) -> bool {
    fn plain(element: &Element<'_>) -> bool {
        let is = element.local_name() == "mechanism";
        is && element.text().trim().eq_ignore_ascii_case("PLAIN") || element.elements().any(plain)
    }
    virt_xml::parse(features).is_ok_and(|tree| plain(&tree))
}
