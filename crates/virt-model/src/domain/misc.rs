//! Small elements that several devices and the domain share.

use crate::schema::text::{OnOff, YesNo};

element! {
    pub struct Enabled {
        enabled: YesNo = attr_req("enabled"),
    }
}

element! {
    pub struct EnabledDefault {
        enabled: YesNo = attr_def("enabled"),
    }
}

element! {
    /// Options that all virtio devices share.
    pub struct VirtioOptions {
        iommu: Option<OnOff> = attr("iommu"),
        ats: Option<OnOff> = attr("ats"),
        packed: Option<OnOff> = attr("packed"),
        page_per_vq: Option<OnOff> = attr("page_per_vq"),
    }
}

element! {
    /// A size with its unit as printed.
    pub struct PathText {
        path: String = attr_req("path"),
    }
}
