//! The commands, one function each.

mod image;
mod look;
mod make;
mod moment;
mod place;
mod property;
mod serve;
mod source;
mod transfer;
mod users;
mod whole;

pub(crate) use look::{list, verify};
pub(crate) use make::create;
pub(crate) use moment::{destroy, rollback, snapshot};
pub(crate) use place::{move_vdisk, rename};
pub(crate) use property::{prop_add, prop_del, prop_get, prop_set};
pub(crate) use serve::serve;
pub(crate) use transfer::{clone, convert, export, import, translate};
pub(crate) use users::{ref_dec, ref_inc};
