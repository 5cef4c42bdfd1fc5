//! Title, description and foreign elements of domains.

use virt_driver::metadata::{Parts, Slots, Which, get, set};
use virt_driver::{Call, Job};
use virt_error::Result;
use virt_types::{DomainRef, Event};

use super::State;
use crate::world::World;

/// `virDomainGetMetadata`.
pub(crate) fn of_domain(state: &State, which: &Which<'_>, flags: u32) -> Result<String> {
    let definition = state.affected(flags)?;
    let parts = Parts {
        title: definition.title.as_deref(),
        description: definition.description.as_deref(),
        metadata: definition.metadata.as_ref(),
    };
    get(&parts, which)
}

/// `virDomainSetMetadata`.
pub(crate) fn set_of_domain(
    call: &Call<'_>,
    world: &World,
    dom: &DomainRef,
    which: &Which<'_>,
    (text, flags): (Option<&str>, u32),
) -> Result<()> {
    let domain = world.domain(dom)?;
    let mut change = domain.begin(call, Job::Modify)?;
    let mut result = Ok(());
    change.change(|state| {
        state.change_affected(flags, |definition| {
            let slots = Slots {
                title: &mut definition.title,
                description: &mut definition.description,
                metadata: &mut definition.metadata,
            };
            if let Err(error) = set(slots, which, text) {
                result = Err(error);
            }
        })
    })?;
    result?;
    let (dom, nsuri) = (domain.to_ref(), which.uri.map(str::to_owned));
    world.events.publish(&Event::DomainMetadataChange { dom, kind: which.kind, nsuri });
    Ok(())
}
