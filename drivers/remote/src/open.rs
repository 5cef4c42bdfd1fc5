//! The way to a daemon: which URIs lead to one, how it is reached and greeted.

use std::path::Path;
use std::sync::Arc;

use virt_client::Client;
use virt_driver::{Ask, Driver, OpenRequest, Opener};
use virt_error::Result;
use virt_transport::{Target, Uri, User};
use virt_types::feature;
use virt_wire::{Header, remote};

use crate::RemoteDriver;
use crate::auth::authenticate;
use crate::driver::ask;
use crate::events::{self, Subscribers};
use crate::monitors::{self, Listeners};
use crate::reach::reach;

/// What a program asks of all its remote connections.
#[derive(Clone, Default)]
pub struct Settings {
    /// Keepalive: seconds between pings (0 for none), and unanswered ones allowed.
    pub keepalive_interval_s: u32,
    pub keepalive_count: u32,
    /// Asks whoever is there for names and passwords.
    pub ask: Option<Ask>,
}

const READ_ONLY: u32 = 1;

/// Takes every URI that nobody in this process serves.
pub fn opener(settings: Settings) -> impl Opener {
    RemoteOpener { settings }
}

struct RemoteOpener {
    settings: Settings,
}

impl Opener for RemoteOpener {
    fn open(&self, request: &OpenRequest<'_>) -> Result<Option<Vec<Arc<dyn Driver>>>> {
        let uri = if request.uri.is_empty() { "remote+unix:///" } else { request.uri };
        let uri = Uri::parse(uri)?;
        let target = Target::of(&uri, &User::current(), request.read_only)?;
        let channel = reach(&target)?;
        let subscribers = Arc::new(Subscribers::default());
        let listeners = Arc::new(Listeners::default());
        let told = (Arc::clone(&subscribers), Arc::clone(&listeners));
        let handler = move |header: Header, payload: &[u8]| {
            events::publish(&told.0, header, payload);
            monitors::publish(&told.1, header, payload);
        };
        let client = Arc::new(Client::new(channel, Box::new(handler)));
        greet(&client, &target, request.read_only, &self.settings)?;
        Ok(Some(vec![Arc::new(RemoteDriver::new(client, subscribers, listeners))]))
    }

    /// Compat: root's own hypervisor is the system's, everybody else's is the session's.
    fn probe(&self) -> Option<String> {
        let system = User::current().root || Path::new("/var/run/libvirt/libvirt-sock").exists();
        Some(if system { "qemu:///system" } else { "qemu:///session" }.into())
    }
}

/// What every client of the C library says first: authentication, keepalive, open.
fn greet(
    client: &Arc<Client>,
    target: &Target,
    read_only: bool,
    settings: &Settings,
) -> Result<()> {
    authenticate(client, target, settings.ask.as_ref())?;
    let arguments = remote::ConnectSupportsFeatureArgs { feature: feature::PROGRAM_KEEPALIVE };
    let keepalive = ask(client, remote::CONNECT_SUPPORTS_FEATURE, &arguments, |r| r.flag())?;
    let name = (!target.name.is_empty()).then(|| target.name.clone());
    let flags = if read_only { READ_ONLY } else { 0 };
    let arguments = remote::ConnectOpenArgs { name, flags };
    ask(client, remote::CONNECT_OPEN, &arguments, |_| Ok(()))?;
    if keepalive && settings.keepalive_interval_s > 0 {
        client.set_keepalive(settings.keepalive_interval_s, settings.keepalive_count)?;
    }
    Ok(())
}
