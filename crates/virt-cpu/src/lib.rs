//! Processor models: what they have, what several have in common, whether one can stand in for another.
//!
//! The tables in `data/` are this project's own. Where each feature is comes from the vendors' manuals
//! and from what QEMU says of each of its flags; what each model has comes from QEMU's own answers,
//! less what newer versions added to an old name (`cpu-models` names are older than those additions).

mod baseline;
mod compare;
mod description;
mod host;
mod live;
mod models;
mod tables;

pub use baseline::{Baseline, Wish, baseline, baseline_within};
pub use compare::{Answer, compare};
pub use description::Description;
pub use host::{Host, vendor};
pub use live::{Running, update};
pub use models::{is_arch, names};
pub use tables::{Feature, Features, Model, Place, Register, Tables};
