//! Why a command failed: the lines a person reads on standard error.

use virt_error::Error;

use crate::args::Problem;

/// The result of a command.
pub type Done = Result<(), Failure>;

/// Lines to show, each after `error: `. Without any, the command fails in silence. The hint is
/// for a person only: what is at fault, where, and what mends it.
#[derive(Debug, Default)]
pub struct Failure {
    pub lines: Vec<String>,
    pub hint: Option<String>,
}

impl Failure {
    pub fn new(line: impl Into<String>) -> Self {
        Self { lines: vec![line.into()], hint: None }
    }

    pub fn silent() -> Self {
        Self::default()
    }

    /// Says first what was being done.
    #[must_use]
    pub fn during(mut self, what: impl Into<String>) -> Self {
        self.lines.insert(0, what.into());
        self
    }

    /// Says last what came of it.
    #[must_use]
    pub fn then(mut self, what: impl Into<String>) -> Self {
        self.lines.push(what.into());
        self
    }
}

impl From<Problem> for Failure {
    fn from(problem: Problem) -> Self {
        let lines = std::iter::once(problem.message).chain(problem.detail).collect();
        Self { lines, hint: None }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self { lines: vec![error.message().to_owned()], hint: error.hint().map(str::to_owned) }
    }
}

/// Adds what was being done to an error on its way out.
pub trait During<T> {
    fn during<S: Into<String>>(self, what: impl FnOnce() -> S) -> Result<T, Failure>;
}

impl<T, E: Into<Failure>> During<T> for Result<T, E> {
    fn during<S: Into<String>>(self, what: impl FnOnce() -> S) -> Result<T, Failure> {
        self.map_err(|error| error.into().during(what()))
    }
}

/// Fails with one line.
pub fn fail<T>(line: impl Into<String>) -> Result<T, Failure> {
    Err(Failure::new(line))
}
