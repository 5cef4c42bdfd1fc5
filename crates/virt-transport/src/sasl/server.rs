//! The daemon's side of an exchange.

use rsasl::callback::{Context, Request, SessionCallback, SessionData};
use rsasl::mechanisms::scram::properties::ScramStoredPassword;
use rsasl::mechname::Mechname;
use rsasl::prelude::{MessageSent, SASLConfig, SASLServer, Session, SessionError, State};
use rsasl::property::{AuthId, AuthzId, Password};
use rsasl::validate::{Validate, Validation, ValidationError};

use super::{GSSAPI, Layer, Passwords, SCRAM, SaslError, Step, Way, gssapi, is_whole};

/// One client's exchange.
pub struct ServerExchange(Proof);

/// What the client shows.
enum Proof {
    Password(Box<ByPassword>),
    Ticket(Box<gssapi::Server>),
}

struct ByPassword {
    session: Session<User>,
    user: Option<String>,
    /// What comes next is the client's first message.
    begins: bool,
}

/// Brings out who it was; nobody where the password was wrong.
struct User;

impl Validation for User {
    type Value = Option<String>;
}

impl ServerExchange {
    pub fn new(passwords: &Passwords, mechanism: &str, way: Way) -> Result<Self, SaslError> {
        let unknown = || SaslError::Mechanism(mechanism.to_owned());
        if !way.allows().contains(&mechanism) {
            return Err(unknown());
        }
        if mechanism == GSSAPI {
            let server = gssapi::Server::new(way.is_private())?;
            return Ok(Self(Proof::Ticket(Box::new(server))));
        }
        let config = SASLConfig::builder()
            .with_defaults()
            .with_callback(Users(passwords.clone()))
            .map_err(|error| SaslError::Exchange(error.to_string()))?;
        let name = Mechname::parse(mechanism.as_bytes()).map_err(|_| unknown())?;
        let server = SASLServer::<User>::new(config);
        let session = server.start_suggested(name).map_err(|_| unknown())?;
        Ok(Self(Proof::Password(Box::new(ByPassword { session, user: None, begins: true }))))
    }

    /// Takes what the client sent. Complete means that it is who it says.
    pub fn step(&mut self, data: Option<&[u8]>) -> Result<Step, SaslError> {
        let data = data.unwrap_or_default();
        match &mut self.0 {
            Proof::Password(exchange) => exchange.step(data),
            Proof::Ticket(exchange) => exchange.step(data),
        }
    }

    /// Who was let in.
    pub fn user(&self) -> Option<&str> {
        match &self.0 {
            Proof::Password(exchange) => exchange.user.as_deref(),
            Proof::Ticket(exchange) => exchange.user.as_deref(),
        }
    }

    /// What seals all that is said after a complete exchange, where it ends in that.
    pub fn take_layer(&mut self) -> Option<Layer> {
        match &mut self.0 {
            Proof::Password(_) => None,
            Proof::Ticket(exchange) => exchange.layer.take(),
        }
    }
}

impl ByPassword {
    fn step(&mut self, data: &[u8]) -> Result<Step, SaslError> {
        let begins = std::mem::take(&mut self.begins);
        let scram = self.session.get_mechname().as_str() == SCRAM;
        if scram && !is_whole(data, begins) {
            return Err(SaslError::Exchange("a message that is none".to_owned()));
        }
        let mut out = Vec::new();
        let state = self
            .session
            .step(Some(data), &mut out)
            .map_err(|error| SaslError::Exchange(error.to_string()))?;
        let sent = !matches!(state, State::Finished(MessageSent::No));
        let complete = state.is_finished();
        if complete {
            self.user = self.session.validation().flatten();
            if self.user.is_none() {
                return Err(SaslError::Refused);
            }
        }
        Ok(Step { data: sent.then_some(out), complete })
    }
}

struct Users(Passwords);

impl SessionCallback for Users {
    fn callback(
        &self,
        _: &SessionData,
        context: &Context<'_>,
        request: &mut Request<'_>,
    ) -> Result<(), SessionError> {
        if let Some(name) = context.get_ref::<AuthId>() {
            let secret = self.0.of(name);
            request.satisfy::<ScramStoredPassword<'_>>(&ScramStoredPassword::new(
                secret.iterations,
                &secret.salt,
                &secret.stored_key,
                &secret.server_key,
            ))?;
        }
        Ok(())
    }

    fn validate(
        &self,
        session: &SessionData,
        context: &Context<'_>,
        validate: &mut Validate<'_>,
    ) -> Result<(), ValidationError> {
        validate.with::<User, _>(|| {
            let name = context.get_ref::<AuthId>().unwrap_or_default();
            // Nobody may act for somebody else.
            let for_whom = context.get_ref::<AuthzId>().filter(|for_whom| !for_whom.is_empty());
            let proved = match context.get_ref::<Password>() {
                Some(password) => self.0.of(name).is_of(password),
                // SCRAM gets here only with the proof.
                None => session.mechanism().mechanism.as_str() == SCRAM,
            };
            let fine = proved && for_whom.is_none_or(|for_whom| for_whom == name);
            Ok(fine.then(|| name.to_owned()))
        })?;
        Ok(())
    }
}
