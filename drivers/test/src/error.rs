//! The driver's errors, each with the code and origin that libvirt's test driver gives it.

use virt_error::{Code, Error, Origin, Result};

pub(crate) fn invalid_arg(detail: impl Into<String>) -> Error {
    Error::new(Code::InvalidArg, Origin::Test, detail)
}

pub(crate) fn invalid_operation(detail: impl Into<String>) -> Error {
    Error::new(Code::OperationInvalid, Origin::Test, detail)
}

pub(crate) fn internal(detail: impl Into<String>) -> Error {
    Error::internal(Origin::Test, detail)
}

/// Refuses flags that `function` does not know.
pub(crate) fn check_flags(flags: u32, known: u32, function: &str) -> Result<()> {
    virt_driver::check_flags(flags, known, function).map_err(|error| error.or_from(Origin::Test))
}

/// Refuses two flags that exclude each other, in the name of the function that is called.
pub(crate) fn exclusive(
    flags: u32,
    one: (u32, &str),
    other: (u32, &str),
    function: &str,
) -> Result<()> {
    if flags & one.0 == 0 || flags & other.0 == 0 {
        return Ok(());
    }
    let message = format!("Flags '{}' and '{}' are mutually exclusive", one.1, other.1);
    Err(Error::argument(Origin::Domain, function, "ctl", message))
}
