//! Title, description and elements of others in a domain's document: looked at, and changed.

use virt_driver::metadata::{Parts, Slots, Which, get, set};
use virt_driver::{Call, Job};
use virt_error::Result;
use virt_model::domain::Domain as Document;
use virt_types::{DomainRef, Event};

use crate::core::{Core, Impact};

fn put(document: &mut Document, which: &Which<'_>, text: Option<&str>) -> Result<()> {
    let slots = Slots {
        title: &mut document.title,
        description: &mut document.description,
        metadata: &mut document.metadata,
    };
    set(slots, which, text)
}

/// Sets or, without a text, removes.
pub(crate) fn change(
    core: &Core,
    call: &Call<'_>,
    dom: &DomainRef,
    which: &Which<'_>,
    text: Option<&str>,
    flags: u32,
) -> Result<()> {
    core.work(call, dom.uuid, Job::Modify, || {
        let subject = core.find(dom)?;
        if let Some(running) = &subject.running {
            crate::core::not_control(running)?;
        }
        let Impact { live, config } = core.impact(&subject, flags)?;
        if core.notes().is_some() {
            // One note is of the guest and of its definition.
            let mut document = core.document(&subject)?;
            put(&mut document, which, text)?;
            core.note(&document)?;
        } else {
            if config {
                let mut document = core.kept_document(&subject)?;
                put(&mut document, which, text)?;
                core.definitions().keep(&document)?;
            }
            if live {
                let mut document = core.document(&subject)?;
                put(&mut document, which, text)?;
                core.toolstack().annotate(&subject, &|known| {
                    known.title.clone_from(&document.title);
                    known.description.clone_from(&document.description);
                    known.metadata.clone_from(&document.metadata);
                })?;
            }
        }
        let (dom, nsuri) = (subject.to_ref(), which.uri.map(str::to_owned));
        core.watch.publish(&Event::DomainMetadataChange { dom, kind: which.kind, nsuri });
        Ok(())
    })
}

/// The text of one part, of the running guest or of its definition.
pub(crate) fn find(core: &Core, dom: &DomainRef, which: &Which<'_>, flags: u32) -> Result<String> {
    let subject = core.find(dom)?;
    let Impact { live, .. } = core.impact(&subject, flags)?;
    let document = if live { core.document(&subject)? } else { core.kept_document(&subject)? };
    let parts = Parts {
        title: document.title.as_deref(),
        description: document.description.as_deref(),
        metadata: document.metadata.as_ref(),
    };
    get(&parts, which)
}
