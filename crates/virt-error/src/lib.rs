//! The one error of the public API, with libvirt's codes, domains and words.
//!
//! Scripts match on the code, the domain and the message, so all three are libvirt's. An error says
//! what was being done and to what; the chain of causes is for the log and never repeats itself in
//! the message. Leaf crates keep small enums of their own; a code is chosen at the driver seam.
//! This crate knows nothing of drivers, documents or the wire.

mod generated;

use std::fmt;

pub use generated::{Code, Origin};

/// The result of every call across the driver seam.
pub type Result<T> = std::result::Result<T, Error>;

/// Limit: the longest help that travels with an error.
pub const HINT_BYTES_MAX: usize = 4096;

/// How grave an error is. The numbers are `virErrorLevel`'s.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(i32)]
pub enum Level {
    None = 0,
    Warning = 1,
    #[default]
    Error = 2,
}

/// An error as clients of the public API see it. One word wide: it travels in every `Result`.
///
/// ```
/// use virt_error::{Code, Error, Origin};
/// let error = Error::new(Code::NoDomain, Origin::Test, "no domain with matching name 'vm'");
/// assert_eq!(error.message(), "Domain not found: no domain with matching name 'vm'");
/// ```
#[derive(Clone, PartialEq)]
pub struct Error(Box<Inner>);

#[derive(Clone, PartialEq)]
struct Inner {
    code: i32,
    from: i32,
    level: Level,
    message: String,
    /// `str1` to `str3` of `virError`: the template, the detail, and help of our own.
    texts: [Option<String>; 3],
    /// `int1` and `int2` of `virError`; `int1` is errno for [`Code::SystemError`].
    numbers: [i32; 2],
}

impl Error {
    /// An error with a detail: the message is the code's template with `detail` filled in.
    pub fn new(code: Code, from: Origin, detail: impl Into<String>) -> Self {
        let detail = detail.into();
        let template = code.with_detail();
        Self(Box::new(Inner {
            code: code as i32,
            from: from as i32,
            level: Level::Error,
            message: template.replacen("%s", &detail, 1),
            texts: [Some(positional(template)), Some(detail), None],
            numbers: [-1, -1],
        }))
    }

    /// An error without a detail.
    pub fn bare(code: Code, from: Origin) -> Self {
        let message = code.bare().to_owned();
        Self(Box::new(Inner {
            code: code as i32,
            from: from as i32,
            level: Level::Error,
            texts: [Some(message.clone()), None, None],
            message,
            numbers: [-1, -1],
        }))
    }

    /// `VIR_ERR_SYSTEM_ERROR`: `what` failed with this `errno`; the system's own text is appended.
    pub fn system(from: Origin, errno: i32, what: impl fmt::Display) -> Self {
        let detail = format!("{what}: {}", errno_text(errno));
        let mut error = Self::new(Code::SystemError, from, detail);
        error.0.numbers[0] = errno;
        error
    }

    /// [`Error::system`] for an I/O error; one without a number is reported as `EIO`.
    pub fn io(from: Origin, error: &std::io::Error, what: impl fmt::Display) -> Self {
        const EIO: i32 = 5;
        Self::system(from, error.raw_os_error().unwrap_or(EIO), what)
    }

    /// `VIR_ERR_INTERNAL_ERROR` with a detail.
    pub fn internal(from: Origin, detail: impl Into<String>) -> Self {
        Self::new(Code::InternalError, from, detail)
    }

    /// `VIR_ERR_INVALID_ARG` in the form in which libvirt's functions report their own arguments.
    ///
    /// Compat: the message is no template; the texts are the function and the argument.
    pub fn argument(from: Origin, function: &str, argument: &str, message: String) -> Self {
        Self(Box::new(Inner {
            code: Code::InvalidArg as i32,
            from: from as i32,
            level: Level::Error,
            message,
            texts: [Some(function.to_owned()), Some(argument.to_owned()), None],
            numbers: [0, 0],
        }))
    }

    /// `VIR_ERR_NO_SUPPORT` whose function is not known yet; see [`Error::in_call`].
    pub fn unsupported() -> Self {
        Self::bare(Code::NoSupport, Origin::None)
    }

    /// An error exactly as it came over the wire.
    pub fn from_parts(
        code: i32,
        from: i32,
        level: Level,
        message: String,
        texts: [Option<String>; 3],
        numbers: [i32; 2],
    ) -> Self {
        Self(Box::new(Inner { code, from, level, message, texts, numbers }))
    }

    /// Names the public function that was called and its part of the API, where the error is a
    /// refusal that has neither.
    ///
    /// Compat: a refusal carries the function's name as its detail ("... by the connection driver:
    /// virDomainSave").
    #[must_use]
    pub fn in_call(self, api: &str, origin: Origin) -> Self {
        let unnamed = self.0.code == Code::NoSupport as i32 && self.0.texts[1].is_none();
        if unnamed { Self::new(Code::NoSupport, origin, api) } else { self }
    }

    /// The same error reported by another part of the system, where it has none yet.
    #[must_use]
    pub fn or_from(mut self, from: Origin) -> Self {
        if self.0.from == Origin::None as i32 {
            self.0.from = from as i32;
        }
        self
    }

    /// Help beside the message (`str3`): shown only where a person reads it, never to scripts.
    ///
    /// Limit: it may quote what came from outside, so it is cut where nobody reads on.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        let mut hint: String = hint.into();
        hint.truncate(hint.floor_char_boundary(HINT_BYTES_MAX));
        self.0.texts[2] = Some(hint);
        self
    }

    /// Sets the level, as for a warning.
    #[must_use]
    pub fn with_level(mut self, level: Level) -> Self {
        self.0.level = level;
        self
    }

    /// The code's number; it may be one that this version has no name for.
    pub fn number(&self) -> i32 {
        self.0.code
    }

    /// The code, if this version knows it.
    pub fn code(&self) -> Option<Code> {
        Code::from_number(self.0.code)
    }

    /// Whether the error has this code.
    pub fn is(&self, code: Code) -> bool {
        self.0.code == code as i32
    }

    /// The number of the part of the system that reports the error.
    pub fn from_number(&self) -> i32 {
        self.0.from
    }

    pub fn level(&self) -> Level {
        self.0.level
    }

    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// `str1` to `str3`: template, detail, hint.
    pub fn texts(&self) -> &[Option<String>; 3] {
        &self.0.texts
    }

    pub fn hint(&self) -> Option<&str> {
        self.0.texts[2].as_deref()
    }

    /// `int1` and `int2`.
    pub fn numbers(&self) -> [i32; 2] {
        self.0.numbers
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.message())
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Error({}, {}: {})", self.0.code, self.0.from, self.0.message)
    }
}

impl std::error::Error for Error {}

/// Compat: `str1` is the template with its argument numbered, where there is text around it.
fn positional(template: &str) -> String {
    if template == "%s" { template.to_owned() } else { template.replacen("%s", "%1$s", 1) }
}

/// The system's text for an error number, without Rust's "(os error N)".
pub fn errno_text(errno: i32) -> String {
    let text = std::io::Error::from_raw_os_error(errno).to_string();
    match text.rfind(" (os error ") {
        Some(at) => text[..at].to_owned(),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_named_after_the_call_once() {
        let error = Error::unsupported().in_call("virDomainSave", Origin::Dom);
        assert_eq!(
            error.message(),
            "this function is not supported by the connection driver: virDomainSave"
        );
        assert_eq!(error.clone().in_call("virOther", Origin::None), error);
    }

    #[test]
    fn a_system_error_carries_its_number_and_text() {
        let error = Error::system(Origin::Qemu, 2, "cannot open file 'x'");
        assert_eq!(error.message(), "cannot open file 'x': No such file or directory");
        assert_eq!(error.numbers(), [2, -1]);
    }
}
