//! The client's side of an exchange.

use rsasl::mechname::Mechname;
use rsasl::prelude::{MessageSent, SASLClient, SASLConfig, Session, State};

use super::passwords::ITERATIONS_MAX;
use super::{PLAIN, SCRAM, SaslError, Step, is_whole};

/// One exchange with a daemon.
pub struct ClientExchange {
    session: Session,
    mechanism: &'static str,
    finished: bool,
}

impl ClientExchange {
    /// The best mechanism of those offered (names with commas between) that we speak; none that
    /// gives the password away where the channel is not private.
    pub fn choose(offered: &str, private: bool) -> Result<&'static str, SaslError> {
        let offers = |name: &str| offered.split([',', ' ']).any(|one| one == name);
        let best =
            [SCRAM, PLAIN].into_iter().find(|&name| offers(name) && (private || name == SCRAM));
        best.ok_or_else(|| SaslError::NoneWorthy(offered.to_owned()))
    }

    /// An exchange by a mechanism that was chosen.
    pub fn new(mechanism: &'static str, user: &str, password: &str) -> Result<Self, SaslError> {
        let failed = |error: String| SaslError::Exchange(error);
        let config = SASLConfig::with_credentials(None, user.to_owned(), password.to_owned())
            .map_err(|error| failed(error.to_string()))?;
        let name =
            Mechname::parse(mechanism.as_bytes()).map_err(|error| failed(error.to_string()))?;
        let session = SASLClient::new(config)
            .start_suggested(&[name])
            .map_err(|error| failed(error.to_string()))?;
        Ok(Self { session, mechanism, finished: false })
    }

    pub fn mechanism(&self) -> &'static str {
        self.mechanism
    }

    /// Takes what the daemon sent, nothing at the beginning. Complete means that the daemon has
    /// shown that it knows the password too, where the mechanism has it do so.
    pub fn step(&mut self, data: Option<&[u8]>) -> Result<Step, SaslError> {
        if self.finished {
            // The daemon has the last word in some mechanisms.
            return Ok(Step { data: None, complete: true });
        }
        if self.mechanism == SCRAM && data.is_some_and(|data| !is_sound(data)) {
            return Err(SaslError::Exchange("a message that is none".to_owned()));
        }
        let mut out = Vec::new();
        let state = self
            .session
            .step(data, &mut out)
            .map_err(|error| SaslError::Exchange(error.to_string()))?;
        self.finished = state.is_finished();
        let sent = !matches!(state, State::Finished(MessageSent::No));
        Ok(Step { data: sent.then_some(out), complete: self.finished })
    }
}

/// Whether a daemon's message is one, and does not ask for more rounds than anybody has time for.
fn is_sound(message: &[u8]) -> bool {
    let rounds = message.split(|byte| *byte == b',').find_map(|part| part.strip_prefix(b"i="));
    let rounds = rounds.map(|digits| std::str::from_utf8(digits).ok()?.parse::<u32>().ok());
    is_whole(message, false)
        && rounds.is_none_or(|rounds| rounds.is_some_and(|rounds| rounds <= ITERATIONS_MAX))
}
