//! The client's side of an exchange.

use rsasl::mechname::Mechname;
use rsasl::prelude::{MessageSent, SASLClient, SASLConfig, Session, State};

use super::passwords::ITERATIONS_MAX;
use super::{GSSAPI, Layer, PLAIN, SCRAM, SaslError, Step, gssapi, is_whole};

/// One exchange with a daemon.
pub struct ClientExchange {
    proof: Proof,
    mechanism: &'static str,
    finished: bool,
}

/// What shows who we are.
enum Proof {
    Password(Box<Session>),
    Ticket(gssapi::Client),
}

impl ClientExchange {
    /// The best mechanism of those offered (names with commas between) that we speak; none that
    /// gives the password away where the channel is not private.
    ///
    /// Without a ticket, one is asked for only where nothing else is offered: then it is what is
    /// missed.
    pub fn choose(offered: &str, private: bool) -> Result<&'static str, SaslError> {
        let offers = |name: &str| offered.split([',', ' ']).any(|one| one == name);
        let speaks = |name: &str| match name {
            GSSAPI => super::ENCRYPTS,
            PLAIN => private,
            _ => true,
        };
        let best = [SCRAM, PLAIN, GSSAPI].into_iter().find(|&name| offers(name) && speaks(name));
        match best {
            Some(_) if offers(GSSAPI) && gssapi::has_ticket() => Ok(GSSAPI),
            Some(best) => Ok(best),
            None => Err(SaslError::NoneWorthy(offered.to_owned())),
        }
    }

    /// Whether a mechanism takes a name and a password.
    pub fn takes_password(mechanism: &str) -> bool {
        mechanism != GSSAPI
    }

    /// An exchange by a mechanism that was chosen, and takes a password.
    pub fn new(mechanism: &'static str, user: &str, password: &str) -> Result<Self, SaslError> {
        let failed = |error: String| SaslError::Exchange(error);
        let config = SASLConfig::with_credentials(None, user.to_owned(), password.to_owned())
            .map_err(|error| failed(error.to_string()))?;
        let name =
            Mechname::parse(mechanism.as_bytes()).map_err(|error| failed(error.to_string()))?;
        let session = SASLClient::new(config)
            .start_suggested(&[name])
            .map_err(|error| failed(error.to_string()))?;
        Ok(Self { proof: Proof::Password(Box::new(session)), mechanism, finished: false })
    }

    /// An exchange by a ticket for the daemon of a host, which encrypts what is said after it where
    /// the channel is not private.
    pub fn by_ticket(host: &str, private: bool) -> Result<Self, SaslError> {
        let proof = Proof::Ticket(gssapi::Client::new(host, private)?);
        Ok(Self { proof, mechanism: GSSAPI, finished: false })
    }

    pub fn mechanism(&self) -> &'static str {
        self.mechanism
    }

    /// Takes what the daemon sent, nothing at the beginning. Complete means that the daemon has
    /// shown that it knows the password, or has the service's key, where the mechanism has it do so.
    pub fn step(&mut self, data: Option<&[u8]>) -> Result<Step, SaslError> {
        if self.finished {
            // The daemon has the last word in some mechanisms.
            return Ok(Step { data: None, complete: true });
        }
        let step = match &mut self.proof {
            Proof::Ticket(client) => client.step(data),
            Proof::Password(_) if self.mechanism == SCRAM && data.is_some_and(|d| !is_sound(d)) => {
                Err(SaslError::Exchange("a message that is none".to_owned()))
            }
            Proof::Password(session) => by_password(session, data),
        }?;
        self.finished = step.complete;
        Ok(step)
    }

    /// What seals all that is said after a complete exchange, where it ends in that.
    pub fn take_layer(&mut self) -> Option<Layer> {
        match &mut self.proof {
            Proof::Ticket(client) => client.layer.take(),
            Proof::Password(_) => None,
        }
    }
}

fn by_password(session: &mut Session, data: Option<&[u8]>) -> Result<Step, SaslError> {
    let mut out = Vec::new();
    let state =
        session.step(data, &mut out).map_err(|error| SaslError::Exchange(error.to_string()))?;
    let sent = !matches!(state, State::Finished(MessageSent::No));
    Ok(Step { data: sent.then_some(out), complete: state.is_finished() })
}

/// Whether a daemon's message is one, and does not ask for more rounds than anybody has time for.
fn is_sound(message: &[u8]) -> bool {
    let rounds = message.split(|byte| *byte == b',').find_map(|part| part.strip_prefix(b"i="));
    let rounds = rounds.map(|digits| std::str::from_utf8(digits).ok()?.parse::<u32>().ok());
    is_whole(message, false)
        && rounds.is_none_or(|rounds| rounds.is_some_and(|rounds| rounds <= ITERATIONS_MAX))
}
