//! Opening a connection: the drivers of a program, asked in turn whether a URI is theirs.

use std::sync::Arc;

use virt_error::{Code, Error, Origin, Result};

use crate::{Connection, Driver};

/// What is asked for.
#[derive(Clone, Debug)]
pub struct OpenRequest<'a> {
    /// The whole URI, as given.
    pub uri: &'a str,
    pub read_only: bool,
}

/// Asks a person; nothing where nobody answers.
pub type Ask = Arc<dyn Fn(&Question<'_>) -> Option<String> + Send + Sync>;

/// What a person is asked.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    pub prompt: &'a str,
    /// Whether the answer may be seen while it is typed.
    pub echo: bool,
}

/// Opens connections of one kind of driver.
pub trait Opener: Send + Sync {
    /// The drivers that serve the URI, in order, or `None` when it is for somebody else.
    fn open(&self, request: &OpenRequest<'_>) -> Result<Option<Vec<Arc<dyn Driver>>>>;

    /// The URI this driver would take on this host when none was given.
    fn probe(&self) -> Option<String> {
        None
    }
}

/// The openers of a program, in the order in which they are asked.
#[derive(Default)]
pub struct Registry {
    openers: Vec<Box<dyn Opener>>,
}

impl Registry {
    pub fn new() -> Self {
        Self::default()
    }

    #[must_use]
    pub fn with(mut self, opener: impl Opener + 'static) -> Self {
        self.openers.push(Box::new(opener));
        self
    }

    /// Opens `uri`; without one, the first driver that finds itself at home on this host.
    pub fn open(&self, uri: Option<&str>, read_only: bool) -> Result<Connection> {
        let probed;
        let uri = match uri.filter(|uri| !uri.is_empty()) {
            Some(uri) => uri,
            None => {
                probed = self.openers.iter().find_map(|opener| opener.probe());
                probed.as_deref().unwrap_or_default()
            }
        };
        let request = OpenRequest { uri, read_only };
        for opener in &self.openers {
            if let Some(drivers) = opener.open(&request)? {
                return Ok(Connection::new(drivers, uri, read_only));
            }
        }
        Err(if uri.is_empty() {
            Error::bare(Code::NoConnect, Origin::None)
        } else {
            Error::new(Code::NoConnect, Origin::None, uri)
        })
    }
}

impl std::fmt::Debug for Registry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Registry").field("openers", &self.openers.len()).finish()
    }
}
