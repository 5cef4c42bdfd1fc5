//! What commands do: one function each, named after its command, in files by subject.

pub(crate) mod attach;
pub(crate) mod checkpoint;
pub(crate) mod cpu;
pub(crate) mod documents;
pub(crate) mod event;
pub(crate) mod event_words;
pub(crate) mod guest;
pub(crate) mod host;
pub(crate) mod info;
pub(crate) mod interface;
pub(crate) mod itself;
pub(crate) mod lifecycle;
pub(crate) mod moment;
pub(crate) mod monitor;
pub(crate) mod network;
pub(crate) mod nodedev;
pub(crate) mod params;
pub(crate) mod pin;
pub(crate) mod plug;
pub(crate) mod pool;
pub(crate) mod save;
pub(crate) mod security;
pub(crate) mod snapshot;
pub(crate) mod tune;
pub(crate) mod undefine;
pub(crate) mod volume;
