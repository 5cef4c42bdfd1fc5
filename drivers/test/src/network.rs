//! Networks: definitions and states; nothing is ever plugged in.

use std::net::Ipv4Addr;
use std::sync::Arc;

use virt_driver::{Call, Job, Networks, pick};
use virt_error::{Code, Error, Level, Origin, Result};
use virt_model::network::Network as Definition;
use virt_model::network::Update;
use virt_model::{Document, ParseFlags, PrintFlags};
use virt_types::{Event, NetworkRef, Uuid, api};

use crate::TestDriver;
use crate::error::{check_flags, internal, invalid_operation};
use crate::fault::Plan;
use crate::object::{Family, Object, Running, remove, with_entry};
use crate::world::World;
use virt_driver::metadata::{self, Parts, Slots, Which};

pub(crate) type Network = Object<State>;

/// The changing part of a network.
#[derive(Clone, Debug)]
pub(crate) struct State {
    current: Arc<Definition>,
    /// What was defined while the network ran.
    later: Option<Arc<Definition>>,
    active: bool,
    persistent: bool,
    autostart: bool,
}

impl Family for State {
    const WHAT: &'static str = "network";
    const ORIGIN: Origin = Origin::Network;

    type Glance = ();

    fn show(&self, (): &()) {}

    fn is_active(&self) -> bool {
        self.active
    }

    fn lost(name: &str) -> Error {
        not_found("name", name)
    }

    fn busy(name: &str) -> String {
        format!("network is already active as '{name}'")
    }
}

fn not_found(by: &str, what: impl std::fmt::Display) -> Error {
    let detail = format!("no network with matching {by} '{what}'");
    Error::new(Code::NoNetwork, Origin::Test, detail)
}

impl Network {
    fn to_ref(&self) -> NetworkRef {
        NetworkRef { name: self.name.clone(), uuid: self.uuid }
    }
}

impl State {
    fn new(definition: Arc<Definition>) -> Self {
        Self {
            current: definition,
            later: None,
            active: false,
            persistent: false,
            autostart: false,
        }
    }

    /// Makes another definition the one that runs.
    fn run(&mut self, definition: Arc<Definition>) {
        if self.persistent && self.later.is_none() {
            self.later = Some(Arc::clone(&self.current));
        }
        self.current = definition;
        self.active = true;
    }

    /// Stores a definition.
    fn store(&mut self, definition: Arc<Definition>) {
        if self.active {
            self.later = Some(definition);
        } else {
            self.current = definition;
        }
        self.persistent = true;
    }

    /// Changes the definitions that the flags are for, all or none.
    fn update(&mut self, update: &Update<'_>, flags: u32) -> Result<()> {
        let flags = self.explicit(flags)?;
        let changed = |definition: &Definition| {
            let mut definition = definition.clone();
            definition.update(update).map(|()| Arc::new(definition))
        };
        let mut stored = None;
        if flags & api::NETWORK_UPDATE_AFFECT_CONFIG != 0 {
            stored = Some(changed(self.later.as_ref().unwrap_or(&self.current))?);
        }
        if flags & api::NETWORK_UPDATE_AFFECT_LIVE != 0 {
            self.current = changed(&self.current)?;
        }
        if let Some(stored) = stored {
            if self.active {
                self.later = Some(stored);
            } else {
                // Compat: what was meant for later stays what the next change starts from.
                self.later.get_or_insert_with(|| Arc::clone(&self.current));
                self.current = stored;
            }
        }
        Ok(())
    }

    /// The flags, with the one that "current" stands for.
    fn explicit(&self, flags: u32) -> Result<u32> {
        let flags = match (flags, self.active) {
            (0, true) => api::NETWORK_UPDATE_AFFECT_LIVE,
            (0, false) => api::NETWORK_UPDATE_AFFECT_CONFIG,
            _ => flags,
        };
        let refused = |detail| Err(Error::new(Code::OperationInvalid, Origin::Network, detail));
        if flags & api::NETWORK_UPDATE_AFFECT_LIVE != 0 && !self.active {
            return refused("network is not running");
        }
        if flags & api::NETWORK_UPDATE_AFFECT_CONFIG != 0 && !self.persistent {
            return refused("cannot change persistent config of a transient network");
        }
        Ok(flags)
    }

    /// The stored definition, as metadata is found in it.
    ///
    /// Compat: a network that runs as it was defined has none, and the refusal says nothing.
    fn stored(&self) -> Result<&Arc<Definition>> {
        match (&self.later, self.active) {
            (Some(later), true) => Ok(later),
            (_, false) => Ok(&self.current),
            (None, true) => {
                let message = "An error occurred, but the cause is unknown".to_owned();
                let code = Code::InternalError as i32;
                Err(Error::from_parts(code, 0, Level::Error, message, [None, None, None], [-1, -1]))
            }
        }
    }
}

/// `virNetworkDefineXML`.
fn define(world: &World, api: &'static str, xml: &str, flags: u32) -> Result<NetworkRef> {
    let validate = flags & api::NETWORK_DEFINE_VALIDATE != 0;
    let definition = Definition::parse(xml, ParseFlags { validate, ..ParseFlags::default() })?;
    enter(world, api, definition, Running::Allowed, api::NETWORK_EVENT_DEFINED, |state, new| {
        state.store(new);
    })
}

/// `virNetworkCreateXML`.
fn create(world: &World, api: &'static str, xml: &str, flags: u32) -> Result<NetworkRef> {
    let validate = flags & api::NETWORK_CREATE_VALIDATE != 0;
    let definition = Definition::parse(xml, ParseFlags { validate, ..ParseFlags::default() })?;
    enter(world, api, definition, Running::Refused, api::NETWORK_EVENT_STARTED, |state, new| {
        state.run(new);
    })
}

/// Puts a network of the world's own content in place, running.
pub(crate) fn preset(world: &World, definition: Definition) -> Result<()> {
    let event = api::NETWORK_EVENT_STARTED;
    let run = |state: &mut State, new| {
        state.store(new);
        state.active = true;
    };
    enter(world, "virConnectOpen", definition, Running::Refused, event, run).map(drop)
}

fn enter(
    world: &World,
    api: &'static str,
    definition: Definition,
    running: Running,
    event: i32,
    edit: impl FnOnce(&mut State, Arc<Definition>),
) -> Result<NetworkRef> {
    let plan = world.faults.admit(plan_of(&definition)?);
    let uuid = definition.uuid.unwrap_or_else(Uuid::random);
    let definition = Arc::new(Definition { uuid: Some(uuid), ..definition });
    let key = (definition.name.as_str(), uuid);
    let fresh = || State::new(Arc::clone(&definition));
    with_entry(&world.networks, api, key, running, fresh, |network, change| {
        network.set_plan(plan.clone());
        change.change(|state| edit(state, Arc::clone(&definition)));
        publish(world, network, event);
        Ok(network.to_ref())
    })
}

fn plan_of(definition: &Definition) -> Result<Plan> {
    Plan::of_foreign(&definition.namespaces, &definition.foreign)
}

fn publish(world: &World, network: &Network, event: i32) {
    world.events.publish(&Event::NetworkLifecycle { net: network.to_ref(), event, detail: 0 });
}

impl World {
    fn network(&self, net: &NetworkRef) -> Result<Arc<Network>> {
        self.networks.by_uuid(&net.uuid).ok_or_else(|| not_found("name", &net.name))
    }

    fn look_network<R>(
        &self,
        net: &NetworkRef,
        look: impl FnOnce(&State) -> Result<R>,
    ) -> Result<R> {
        self.network(net)?.read(look)
    }

    /// The first address that a network gives away, and the length of its prefix.
    pub(crate) fn address_range(&self, network: &str) -> Option<(u32, u32)> {
        let network = self.networks.by_name(network)?;
        let definition = network.read(|state| Arc::clone(&state.current));
        let ip = definition.ips.first()?;
        let range = ip.dhcp.as_ref().and_then(|dhcp| dhcp.ranges.first());
        let first = range.map(|range| range.start.as_str()).or(ip.address.as_deref())?;
        let netmask = ip.netmask.as_deref().and_then(|mask| mask.parse::<Ipv4Addr>().ok());
        let prefix = ip.prefix.or(netmask.map(|mask| mask.to_bits().count_ones()));
        Some((first.parse::<Ipv4Addr>().ok()?.to_bits(), prefix.unwrap_or(0)))
    }
}

const AFFECT: u32 = api::NETWORK_UPDATE_AFFECT_LIVE | api::NETWORK_UPDATE_AFFECT_CONFIG;

fn which_metadata<'a>(kind: i32, key: Option<&'a str>, uri: Option<&'a str>) -> Which<'a> {
    Which { kind, key, uri, origin: Origin::Network, missing: Code::NoNetworkMetadata }
}

impl Networks for TestDriver {
    fn list_all(&self, _: &Call<'_>, flags: u32) -> Result<Vec<NetworkRef>> {
        use api::*;
        const KNOWN: u32 = CONNECT_LIST_NETWORKS_INACTIVE
            | CONNECT_LIST_NETWORKS_ACTIVE
            | CONNECT_LIST_NETWORKS_PERSISTENT
            | CONNECT_LIST_NETWORKS_TRANSIENT
            | CONNECT_LIST_NETWORKS_AUTOSTART
            | CONNECT_LIST_NETWORKS_NO_AUTOSTART;
        check_flags(flags, KNOWN, "testConnectListAllNetworks")?;
        Ok(self.world.networks.collect(|network| {
            let state = network.read(Clone::clone);
            let pick = |with, without, fact| pick(flags, with, without, fact);
            let wanted =
                pick(CONNECT_LIST_NETWORKS_ACTIVE, CONNECT_LIST_NETWORKS_INACTIVE, state.active)
                    && pick(
                        CONNECT_LIST_NETWORKS_PERSISTENT,
                        CONNECT_LIST_NETWORKS_TRANSIENT,
                        state.persistent,
                    )
                    && pick(
                        CONNECT_LIST_NETWORKS_AUTOSTART,
                        CONNECT_LIST_NETWORKS_NO_AUTOSTART,
                        state.autostart,
                    );
            wanted.then(|| network.to_ref())
        }))
    }

    fn lookup_by_name(&self, _: &Call<'_>, name: &str) -> Result<NetworkRef> {
        let network = self.world.networks.by_name(name);
        network.map(|network| network.to_ref()).ok_or_else(|| not_found("name", name))
    }

    fn lookup_by_uuid(&self, _: &Call<'_>, uuid: &Uuid) -> Result<NetworkRef> {
        let network = self.world.networks.by_uuid(uuid);
        network.map(|network| network.to_ref()).ok_or_else(|| not_found("uuid", uuid))
    }

    fn define_xml(&self, call: &Call<'_>, xml: &str, flags: u32) -> Result<NetworkRef> {
        check_flags(flags, api::NETWORK_DEFINE_VALIDATE, "testNetworkDefineXMLFlags")?;
        define(&self.world, call.api.name, xml, flags)
    }

    fn create_xml(&self, call: &Call<'_>, xml: &str, flags: u32) -> Result<NetworkRef> {
        check_flags(flags, api::NETWORK_CREATE_VALIDATE, "testNetworkCreateXMLFlags")?;
        create(&self.world, call.api.name, xml, flags)
    }

    fn undefine(&self, call: &Call<'_>, net: &NetworkRef) -> Result<()> {
        let network = self.world.network(net)?;
        let mut change = network.begin(call, Job::Modify)?;
        if change.read(State::is_active) {
            return Err(invalid_operation(format!("Network '{}' is still running", net.name)));
        }
        publish(&self.world, &network, api::NETWORK_EVENT_UNDEFINED);
        remove(&self.world.networks, &network, &mut change);
        Ok(())
    }

    fn create(&self, call: &Call<'_>, net: &NetworkRef) -> Result<()> {
        let network = self.world.network(net)?;
        let mut change = network.begin(call, Job::Modify)?;
        if change.read(State::is_active) {
            return Err(invalid_operation(format!("Network '{}' is already running", net.name)));
        }
        change.change(|state| state.active = true);
        publish(&self.world, &network, api::NETWORK_EVENT_STARTED);
        Ok(())
    }

    /// Compat: one that does not run is stopped as well.
    fn destroy(&self, call: &Call<'_>, net: &NetworkRef) -> Result<()> {
        let network = self.world.network(net)?;
        let mut change = network.begin(call, Job::Destroy)?;
        let persistent = change.change(|state| {
            state.active = false;
            state.persistent
        });
        publish(&self.world, &network, api::NETWORK_EVENT_STOPPED);
        if !persistent {
            remove(&self.world.networks, &network, &mut change);
        }
        Ok(())
    }

    fn get_xml_desc(&self, _: &Call<'_>, net: &NetworkRef, flags: u32) -> Result<String> {
        check_flags(flags, 0, "testNetworkGetXMLDesc")?;
        let definition = self.world.look_network(net, |state| Ok(Arc::clone(&state.current)))?;
        Ok(definition.to_xml(PrintFlags::default()))
    }

    fn get_bridge_name(&self, _: &Call<'_>, net: &NetworkRef) -> Result<String> {
        self.world.look_network(net, |state| {
            let bridge = state.current.bridge.as_ref().and_then(|bridge| bridge.name.clone());
            let none = || internal(format!("network '{}' does not have a bridge name.", net.name));
            bridge.ok_or_else(none)
        })
    }

    fn get_autostart(&self, _: &Call<'_>, net: &NetworkRef) -> Result<bool> {
        self.world.look_network(net, |state| Ok(state.autostart))
    }

    fn set_autostart(&self, call: &Call<'_>, net: &NetworkRef, autostart: i32) -> Result<()> {
        let network = self.world.network(net)?;
        network.begin(call, Job::Modify)?.change(|state| state.autostart = autostart != 0);
        Ok(())
    }

    fn is_active(&self, _: &Call<'_>, net: &NetworkRef) -> Result<bool> {
        self.world.look_network(net, |state| Ok(state.active))
    }

    fn is_persistent(&self, _: &Call<'_>, net: &NetworkRef) -> Result<bool> {
        self.world.look_network(net, |state| Ok(state.persistent))
    }

    fn update(
        &self,
        call: &Call<'_>,
        net: &NetworkRef,
        command: u32,
        section: u32,
        parent_index: i32,
        xml: &str,
        flags: u32,
    ) -> Result<()> {
        check_flags(flags, AFFECT, "testNetworkUpdate")?;
        let network = self.world.network(net)?;
        let mut change = network.begin(call, Job::Modify)?;
        let edit = Update { command, section, parent_index, xml };
        change.change(|state| state.update(&edit, flags))
    }

    fn get_metadata(
        &self,
        _: &Call<'_>,
        network: &NetworkRef,
        kind: i32,
        uri: Option<&str>,
        flags: u32,
    ) -> Result<String> {
        check_flags(flags, AFFECT, "testNetworkGetMetadata")?;
        self.world.look_network(network, |state| {
            let stored = state.explicit(flags)? & api::NETWORK_UPDATE_AFFECT_CONFIG != 0;
            let definition = if stored { state.stored()? } else { &state.current };
            let parts = Parts {
                title: definition.title.as_deref(),
                description: definition.description.as_deref(),
                metadata: definition.metadata.as_ref(),
            };
            metadata::get(&parts, &which_metadata(kind, None, uri))
        })
    }

    fn set_metadata(
        &self,
        call: &Call<'_>,
        network: &NetworkRef,
        kind: i32,
        metadata: Option<&str>,
        key: Option<&str>,
        uri: Option<&str>,
        flags: u32,
    ) -> Result<()> {
        check_flags(flags, AFFECT, "testNetworkSetMetadata")?;
        let found = self.world.network(network)?;
        let mut change = found.begin(call, Job::Modify)?;
        let set = |definition: &mut Arc<Definition>| {
            let definition = Arc::make_mut(definition);
            let slots = Slots {
                title: &mut definition.title,
                description: &mut definition.description,
                metadata: &mut definition.metadata,
            };
            metadata::set(slots, &which_metadata(kind, key, uri), metadata)
        };
        change.change(|state| {
            let flags = state.explicit(flags)?;
            if flags & api::NETWORK_UPDATE_AFFECT_CONFIG != 0 {
                set(if state.active {
                    state.later.as_mut().unwrap_or(&mut state.current)
                } else {
                    &mut state.current
                })?;
            }
            if flags & api::NETWORK_UPDATE_AFFECT_LIVE != 0 {
                set(&mut state.current)?;
            }
            Ok(())
        })?;
        let (net, nsuri) = (found.to_ref(), uri.map(str::to_owned));
        self.world.events.publish(&Event::NetworkMetadataChange { net, kind, nsuri });
        Ok(())
    }
}
