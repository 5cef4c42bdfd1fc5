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
