//! The guest's own agent: nobody talks to it yet, and each call that needs it is told why.

use virt_error::{Code, Error, Origin, Result};
use virt_model::domain::Domain as Document;
use virt_model::domain::chardev::{ChannelType, ChardevType};
use virt_types::DomainRef;

use crate::core::Core;

/// The channel by which an agent is found.
const CHANNEL: &str = "org.qemu.guest_agent.0";

/// The refusal of a call that needs the agent of a guest.
pub(crate) fn refuse<T>(core: &Core, dom: &DomainRef) -> Result<T> {
    let guest = core.guests.find(dom)?;
    let configured = guest.read(|data| data.running().map(|live| has_channel(&live.document)))?;
    Err(match configured {
        true => {
            let detail = "QEMU guest agent is not connected";
            Error::new(Code::AgentUnresponsive, Origin::Qemu, detail)
        }
        false => {
            let detail = "QEMU guest agent is not configured";
            Error::new(Code::ArgumentUnsupported, Origin::Qemu, detail)
        }
    })
}

fn has_channel(document: &Document) -> bool {
    document.devices.channels.iter().any(|channel| {
        channel.source.kind == ChardevType::Unix
            && channel.target.kind == Some(ChannelType::Virtio)
            && channel.target.name.as_deref() == Some(CHANNEL)
    })
}
