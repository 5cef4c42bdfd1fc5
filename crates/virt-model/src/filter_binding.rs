//! The filter binding document: which filter holds for one interface of a guest.

use virt_error::{Error, Origin, Result};
use virt_types::Uuid;

use crate::domain::interface::FilterRef;
use crate::schema::text::Mac;
use crate::schema::{Document, ParseFlags};

element! {
    pub struct FilterBinding {
        owner: Option<Owner> = child("owner"),
        portdev: Option<Dev> = child("portdev"),
        /// The device of the host below the port, where it is another.
        linkdev: Option<Dev> = child("linkdev"),
        mac: Option<Mac> = mac_child("mac", virt_error::Origin::Nwfilter),
        filterref: Option<FilterRef> = child("filterref"),
    }
}

element! {
    /// The domain that the interface belongs to.
    pub struct Owner {
        name: Option<String> = text("name"),
        uuid: Option<Uuid> = uuid_named("uuid", virt_error::Origin::Nwfilter),
    }
}

element! {
    /// A network device of the host.
    pub struct Dev {
        name: String = attr_odd("name"),
    }
}

impl Document for FilterBinding {
    const ROOT: &'static str = "filterbinding";
    const ORIGIN: Origin = Origin::Nwfilter;

    fn complete(&mut self, _: ParseFlags) -> Result<()> {
        let owner = self.owner.as_ref();
        let missing = if self.portdev.as_ref().is_none_or(|dev| dev.name.is_empty()) {
            "port dev name"
        } else if owner.is_none_or(|owner| owner.name.is_none()) {
            "owner name"
        } else if owner.is_none_or(|owner| owner.uuid.is_none()) {
            "owner UUID"
        } else if self.mac.is_none() {
            "MAC address"
        } else if self.filterref.as_ref().is_none_or(|filter| filter.filter.is_empty()) {
            "filter reference"
        } else {
            return Ok(());
        };
        Err(Error::internal(Self::ORIGIN, format!("filter binding has no {missing}")))
    }
}
