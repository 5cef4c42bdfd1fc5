//! Labels of Xen's security modules: xend has a number (`ssidref`), `xl` a text (`seclabel`).

use virt_error::{Code, Error, Origin, Result};
use virt_model::YesNo;
use virt_model::domain::{Domain, Seclabel, SeclabelType};

/// What documents call the hypervisor's own modules, whichever is loaded there.
const MODEL: &str = "xsm";

/// Takes a label as the tool stack has it.
pub(crate) fn set(domain: &mut Domain, label: impl Into<String>) {
    domain.seclabels.push(Seclabel {
        kind: Some(SeclabelType::Static),
        model: Some(MODEL.to_owned()),
        relabel: Some(YesNo::No),
        label: Some(label.into()),
        ..Seclabel::default()
    });
}

/// The label as `xl` takes it.
pub(crate) fn text(domain: &Domain) -> Option<&str> {
    let found = domain.seclabels.iter().find(|label| label.model.as_deref() == Some(MODEL));
    found.and_then(|label| label.label.as_deref())
}

/// The label as xend takes it.
pub(crate) fn number(domain: &Domain) -> Result<Option<u32>> {
    let Some(text) = text(domain) else { return Ok(None) };
    text.parse().map(Some).map_err(|_| {
        let detail = format!("security label '{text}' is no number, and xend knows others by none");
        Error::new(Code::ConfigUnsupported, Origin::Xen, detail)
    })
}
