//! Devices of the host that are handed to the guest.

use crate::domain::DeviceInfo;
use crate::schema::text::YesNo;
use virt_xml::Element;

words! {
    pub enum HostdevMode {
        Subsystem = "subsystem",
        Capabilities = "capabilities",
    }
}

element! {
    pub struct Hostdev {
        mode: HostdevMode = attr_def("mode"),
        kind: String = attr_req("type"),
        managed: Option<YesNo> = hostdev_managed("managed"),
        sgio: Option<String> = attr("sgio"),
        rawio: Option<YesNo> = attr("rawio"),
        model: Option<String> = attr("model"),
        display: Option<String> = attr("display"),
        ramfb: Option<String> = attr("ramfb"),
        driver: Option<Element<'static>> = tree("driver"),
        source: Option<Element<'static>> = tree("source"),
        readonly: bool = flag("readonly"),
        shareable: bool = flag("shareable"),
        teaming: Option<Element<'static>> = tree("teaming"),
        info: DeviceInfo = flat(),
    }
}

element! {
    /// A USB device handed on from a client.
    pub struct Redirdev {
        bus: String = attr_req("bus"),
        source: super::chardev::ChardevSource = flat(),
        info: DeviceInfo = flat(),
    }
}
