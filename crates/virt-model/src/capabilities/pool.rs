//! The storage pool capabilities: which types of pools there are, and the formats of each.

use virt_error::Origin;

use super::Choice;
use crate::schema::Document;
use crate::schema::text::YesNo;
use crate::storage::{Format, PoolType};

element! {
    pub struct PoolCapabilities {
        pools: Vec<PoolSupport> = list("pool"),
    }
}

element! {
    pub struct PoolSupport {
        kind: PoolType = attr_req("type"),
        supported: YesNo = attr_req("supported"),
        pool_options: Option<Options> = child("poolOptions"),
        volume_options: Option<Options> = child("volOptions"),
    }
}

element! {
    pub struct Options {
        default_format: Option<Format> = child("defaultFormat"),
        choices: Vec<Choice> = list("enum"),
    }
}

impl Document for PoolCapabilities {
    const ROOT: &'static str = "storagepoolCapabilities";
    const ORIGIN: Origin = Origin::Capabilities;
}
