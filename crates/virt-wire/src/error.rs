//! The error of the public API on the wire (`virNetMessageError`).

use virt_error::{Error, Level};
use virt_types::{DomainRef, NetworkRef};
use virt_xdr::{Reader, Writer};

use crate::{Codec, Result, limits};

/// Writes an error as the payload of an error reply.
///
/// Compat: the domain and network of old protocols are absent.
pub fn encode_error(error: &Error, w: &mut Writer) -> Result<()> {
    let text = |w: &mut Writer, text: Option<&str>| -> Result<()> {
        w.flag(text.is_some());
        match text {
            Some(text) => w.string(text, limits::STRING_MAX),
            None => Ok(()),
        }
    };
    w.i32(error.number());
    w.i32(error.from_number());
    text(w, Some(error.message()))?;
    w.i32(error.level() as i32);
    w.flag(false);
    for part in error.texts() {
        text(w, part.as_deref())?;
    }
    for number in error.numbers() {
        w.i32(number);
    }
    w.flag(false);
    Ok(())
}

/// Reads the payload of an error reply.
pub fn decode_error(r: &mut Reader<'_>) -> Result<Error> {
    let (code, from) = (r.i32()?, r.i32()?);
    let text = |r: &mut Reader<'_>| r.optional(|r| r.string(limits::STRING_MAX));
    let message = text(r)?.unwrap_or_default();
    let level = match r.i32()? {
        0 => Level::None,
        1 => Level::Warning,
        _ => Level::Error,
    };
    r.optional(DomainRef::decode)?;
    let texts = [text(r)?, text(r)?, text(r)?];
    let numbers = [r.i32()?, r.i32()?];
    r.optional(NetworkRef::decode)?;
    Ok(Error::from_parts(code, from, level, message, texts, numbers))
}

#[cfg(test)]
mod tests {
    use super::*;
    use virt_error::{Code, Origin};

    #[test]
    fn an_error_survives_the_wire() {
        let error = Error::new(Code::NoDomain, Origin::Test, "no domain").with_hint("try list");
        let mut w = Writer::new();
        encode_error(&error, &mut w).unwrap();
        assert_eq!(decode_error(&mut Reader::new(w.as_slice())).unwrap(), error);
    }
}
