//! What stands for GSSAPI in a program that is built without it: nobody has a ticket, nor a key.

use super::{Layer, SaslError, Step};

pub(super) fn has_ticket() -> bool {
    false
}

pub(super) fn has_key() -> bool {
    false
}

fn missing() -> SaslError {
    SaslError::Mechanism(super::GSSAPI.to_owned())
}

pub(super) struct Server {
    pub(super) user: Option<String>,
    pub(super) layer: Option<Layer>,
}

impl Server {
    pub(super) fn new(_: bool) -> Result<Self, SaslError> {
        Err(missing())
    }

    pub(super) fn step(&mut self, _: &[u8]) -> Result<Step, SaslError> {
        Err(missing())
    }
}

pub(super) struct Client {
    pub(super) layer: Option<Layer>,
}

impl Client {
    pub(super) fn new(_: &str, _: bool) -> Result<Self, SaslError> {
        Err(missing())
    }

    pub(super) fn step(&mut self, _: Option<&[u8]>) -> Result<Step, SaslError> {
        Err(missing())
    }
}
