//! What can be put on the wire, and the values whose coding is written by hand.

use virt_types::{TypedParam, TypedValue};
use virt_xdr::{Reader, Writer, XdrError};

use crate::limits;

pub type Result<T> = std::result::Result<T, XdrError>;

/// A value with one XDR form.
pub trait Codec: Sized {
    fn encode(&self, w: &mut Writer) -> Result<()>;
    fn decode(r: &mut Reader<'_>) -> Result<Self>;
}

impl Codec for () {
    fn encode(&self, _w: &mut Writer) -> Result<()> {
        Ok(())
    }

    fn decode(_r: &mut Reader<'_>) -> Result<Self> {
        Ok(())
    }
}

impl Codec for TypedParam {
    fn encode(&self, w: &mut Writer) -> Result<()> {
        w.string(&self.field, limits::STRING_MAX)?;
        match &self.value {
            TypedValue::Int(value) => {
                w.i32(1);
                w.i32(*value);
            }
            TypedValue::Uint(value) => {
                w.i32(2);
                w.u32(*value);
            }
            TypedValue::Llong(value) => {
                w.i32(3);
                w.i64(*value);
            }
            TypedValue::Ullong(value) => {
                w.i32(4);
                w.u64(*value);
            }
            TypedValue::Double(value) => {
                w.i32(5);
                w.f64(*value);
            }
            TypedValue::Boolean(value) => {
                w.i32(6);
                w.flag(*value);
            }
            TypedValue::String(value) => {
                w.i32(7);
                w.string(value, limits::STRING_MAX)?;
            }
        }
        Ok(())
    }

    fn decode(r: &mut Reader<'_>) -> Result<Self> {
        let field = r.string(limits::STRING_MAX)?;
        let value = match r.i32()? {
            1 => TypedValue::Int(r.i32()?),
            2 => TypedValue::Uint(r.u32()?),
            3 => TypedValue::Llong(r.i64()?),
            4 => TypedValue::Ullong(r.u64()?),
            5 => TypedValue::Double(r.f64()?),
            6 => TypedValue::Boolean(r.flag()?),
            7 => TypedValue::String(r.string(limits::STRING_MAX)?),
            other => return Err(r.bad_union(other)),
        };
        Ok(Self { field, value })
    }
}
