//! Storage pools: sums of the volumes in them, and no disk behind.

use std::collections::BTreeMap;
use std::sync::Arc;

use virt_driver::{Call, Job, Pools, pick};
use virt_error::{Code, Error, Origin, Result};
use virt_model::storage::{Pool as Definition, PoolType, Volume};
use virt_model::{Document, ParseFlags, PrintFlags};
use virt_types::{Event, Name, StoragePoolInfo, StoragePoolRef, StorageVolRef, Uuid, api};

use crate::TestDriver;
use crate::error::{check_flags, internal, invalid_arg, invalid_operation};
use crate::fault::Plan;
use crate::object::{Change, Family, Object, Running, remove, with_entry};
use crate::world::World;

mod source;

pub(crate) type Pool = Object<State>;

/// What every pool holds.
const CAPACITY_BYTES: u64 = 100 << 30;

/// The changing part of a pool.
#[derive(Clone, Debug)]
pub(crate) struct State {
    pub(crate) definition: Definition,
    pub(crate) volumes: BTreeMap<Name, Volume>,
    active: bool,
    persistent: bool,
    autostart: bool,
}

impl Family for State {
    const WHAT: &'static str = "pool";
    const ORIGIN: Origin = Origin::Storage;

    type Glance = ();

    fn show(&self, (): &()) {}

    fn is_active(&self) -> bool {
        self.active
    }

    fn lost(name: &str) -> Error {
        not_found("name", name)
    }

    fn busy(name: &str) -> String {
        format!("pool is already active as '{name}'")
    }
}

fn not_found(by: &str, what: impl std::fmt::Display) -> Error {
    let detail = format!("no storage pool with matching {by} '{what}'");
    Error::new(Code::NoStoragePool, Origin::Test, detail)
}

impl Pool {
    fn to_ref(&self) -> StoragePoolRef {
        StoragePoolRef { name: self.name.clone(), uuid: self.uuid }
    }
}

impl State {
    fn new(definition: &Definition) -> Self {
        let sized = Definition {
            capacity_bytes: CAPACITY_BYTES,
            allocation_bytes: 0,
            available_bytes: CAPACITY_BYTES,
            ..definition.clone()
        };
        Self {
            definition: sized,
            volumes: BTreeMap::new(),
            active: false,
            persistent: false,
            autostart: false,
        }
    }

    pub(crate) fn require_active(&self) -> Result<()> {
        if self.active {
            return Ok(());
        }
        let name = &self.definition.name;
        Err(invalid_operation(format!("storage pool '{name}' is not active")))
    }

    fn require_inactive(&self) -> Result<()> {
        if !self.active {
            return Ok(());
        }
        Err(invalid_operation(format!("storage pool '{}' is active", self.definition.name)))
    }

    /// Adds or gives back what a volume takes.
    pub(crate) fn account(&mut self, bytes: u64, taken: bool) {
        let pool = &mut self.definition;
        pool.allocation_bytes = if taken {
            pool.allocation_bytes.saturating_add(bytes)
        } else {
            pool.allocation_bytes.saturating_sub(bytes)
        };
        // Compat: what the world is made with need not fit, and the difference has no sign.
        pool.available_bytes = pool.capacity_bytes.wrapping_sub(pool.allocation_bytes);
    }
}

/// How a pool comes.
#[derive(Clone, Copy, PartialEq)]
enum Arrival {
    Defined,
    Created,
    Preset,
}

fn enter(
    world: &World,
    api: &'static str,
    definition: Definition,
    arrival: Arrival,
) -> Result<StoragePoolRef> {
    let plan = world.faults.admit(plan_of(&definition)?);
    let uuid = definition.uuid.unwrap_or_else(Uuid::random);
    let definition = Definition { uuid: Some(uuid), ..definition };
    let running = if arrival == Arrival::Defined { Running::Allowed } else { Running::Refused };
    let fresh = || State::new(&definition);
    let key = (definition.name.as_str(), uuid);
    source::check_conflict(world, &definition)?;
    with_entry(&world.pools, api, key, running, fresh, |pool, change| {
        pool.set_plan(plan.clone());
        change.change(|state| {
            let volumes = std::mem::take(&mut state.volumes);
            let (active, persistent) = (state.active, state.persistent);
            if !active {
                *state = State { volumes, autostart: state.autostart, ..State::new(&definition) };
            } else {
                state.volumes = volumes;
            }
            state.active = active || arrival != Arrival::Defined;
            state.persistent = persistent || arrival != Arrival::Created;
        });
        let event = match arrival {
            Arrival::Defined => api::STORAGE_POOL_EVENT_DEFINED,
            Arrival::Created | Arrival::Preset => api::STORAGE_POOL_EVENT_STARTED,
        };
        publish(world, pool, event);
        Ok(pool.to_ref())
    })
}

/// Puts a pool of the world's own content in place, running.
pub(crate) fn preset(world: &World, definition: Definition) -> Result<StoragePoolRef> {
    enter(world, "virConnectOpen", definition, Arrival::Preset)
}

fn plan_of(definition: &Definition) -> Result<Plan> {
    Plan::of_foreign(&definition.namespaces, &definition.foreign)
}

fn publish(world: &World, pool: &Pool, event: i32) {
    world.events.publish(&Event::StoragePoolLifecycle { pool: pool.to_ref(), event, detail: 0 });
}

impl World {
    pub(crate) fn pool(&self, pool: &StoragePoolRef) -> Result<Arc<Pool>> {
        self.pools.by_uuid(&pool.uuid).ok_or_else(|| not_found("uuid", pool.uuid))
    }

    pub(crate) fn look_pool<R>(
        &self,
        pool: &StoragePoolRef,
        look: impl FnOnce(&State) -> Result<R>,
    ) -> Result<R> {
        self.pool(pool)?.read(look)
    }

    /// Changes a pool in a turn of its own, and tells everybody where there is an event.
    fn change_pool(
        &self,
        call: &Call<'_>,
        pool: &StoragePoolRef,
        event: Option<i32>,
        edit: impl FnOnce(&mut State) -> Result<()>,
    ) -> Result<()> {
        let pool = self.pool(pool)?;
        let mut change = pool.begin(call, Job::Modify)?;
        change.change(edit)?;
        if let Some(event) = event {
            publish(self, &pool, event);
        }
        Ok(())
    }
}

fn parse(xml: &str, validate: bool) -> Result<Definition> {
    Definition::parse(xml, ParseFlags { validate, ..ParseFlags::default() })
}

impl World {
    /// Changes a pool of the world's own content.
    pub(crate) fn preset_pool(
        &self,
        pool: &StoragePoolRef,
        edit: impl FnOnce(&mut State) -> Result<()>,
    ) -> Result<()> {
        let pool = self.pool(pool)?;
        match pool.begin_as(Job::Modify, "virConnectOpen")? {
            Some(mut change) => change.change(edit),
            None => Ok(()),
        }
    }
}

/// The filter of each kind of pool.
fn kind_filter(kind: PoolType) -> u32 {
    use api::*;
    match kind {
        PoolType::Dir => CONNECT_LIST_STORAGE_POOLS_DIR,
        PoolType::Fs => CONNECT_LIST_STORAGE_POOLS_FS,
        PoolType::Netfs => CONNECT_LIST_STORAGE_POOLS_NETFS,
        PoolType::Logical => CONNECT_LIST_STORAGE_POOLS_LOGICAL,
        PoolType::Disk => CONNECT_LIST_STORAGE_POOLS_DISK,
        PoolType::Iscsi => CONNECT_LIST_STORAGE_POOLS_ISCSI,
        PoolType::IscsiDirect => CONNECT_LIST_STORAGE_POOLS_ISCSI_DIRECT,
        PoolType::Scsi => CONNECT_LIST_STORAGE_POOLS_SCSI,
        PoolType::Mpath => CONNECT_LIST_STORAGE_POOLS_MPATH,
        PoolType::Rbd => CONNECT_LIST_STORAGE_POOLS_RBD,
        PoolType::Sheepdog => CONNECT_LIST_STORAGE_POOLS_SHEEPDOG,
        PoolType::Gluster => CONNECT_LIST_STORAGE_POOLS_GLUSTER,
        PoolType::Zfs => CONNECT_LIST_STORAGE_POOLS_ZFS,
        PoolType::Vstorage => CONNECT_LIST_STORAGE_POOLS_VSTORAGE,
    }
}

fn is_wanted(flags: u32, state: &State) -> bool {
    use api::*;
    let kinds = PoolType::ALL.iter().fold(0, |all, kind| all | kind_filter(*kind));
    let pick = |with, without, fact| pick(flags, with, without, fact);
    pick(CONNECT_LIST_STORAGE_POOLS_ACTIVE, CONNECT_LIST_STORAGE_POOLS_INACTIVE, state.active)
        && pick(
            CONNECT_LIST_STORAGE_POOLS_PERSISTENT,
            CONNECT_LIST_STORAGE_POOLS_TRANSIENT,
            state.persistent,
        )
        && pick(
            CONNECT_LIST_STORAGE_POOLS_AUTOSTART,
            CONNECT_LIST_STORAGE_POOLS_NO_AUTOSTART,
            state.autostart,
        )
        && (flags & kinds == 0 || flags & kind_filter(state.definition.kind) != 0)
}

impl Pools for TestDriver {
    fn list_all(&self, _: &Call<'_>, flags: u32) -> Result<Vec<StoragePoolRef>> {
        let known = (api::CONNECT_LIST_STORAGE_POOLS_ISCSI_DIRECT << 1) - 1;
        check_flags(flags, known, "testConnectListAllStoragePools")?;
        Ok(self
            .world
            .pools
            .collect(|pool| pool.read(|state| is_wanted(flags, state)).then(|| pool.to_ref())))
    }

    fn lookup_by_name(&self, _: &Call<'_>, name: &str) -> Result<StoragePoolRef> {
        let pool = self.world.pools.by_name(name);
        pool.map(|pool| pool.to_ref()).ok_or_else(|| not_found("name", name))
    }

    fn lookup_by_uuid(&self, _: &Call<'_>, uuid: &Uuid) -> Result<StoragePoolRef> {
        let pool = self.world.pools.by_uuid(uuid);
        pool.map(|pool| pool.to_ref()).ok_or_else(|| not_found("uuid", uuid))
    }

    fn lookup_by_volume(&self, call: &Call<'_>, vol: &StorageVolRef) -> Result<StoragePoolRef> {
        Pools::lookup_by_name(self, call, &vol.pool)
    }

    fn define_xml(&self, call: &Call<'_>, xml: &str, flags: u32) -> Result<StoragePoolRef> {
        check_flags(flags, api::STORAGE_POOL_DEFINE_VALIDATE, "testStoragePoolDefineXML")?;
        enter(&self.world, call.api.name, parse(xml, flags != 0)?, Arrival::Defined)
    }

    fn create_xml(&self, call: &Call<'_>, xml: &str, flags: u32) -> Result<StoragePoolRef> {
        check_flags(flags, 0, "testStoragePoolCreateXML")?;
        enter(&self.world, call.api.name, parse(xml, false)?, Arrival::Created)
    }

    fn create(&self, call: &Call<'_>, pool: &StoragePoolRef, flags: u32) -> Result<()> {
        check_flags(flags, 0, "testStoragePoolCreate")?;
        let event = Some(api::STORAGE_POOL_EVENT_STARTED);
        self.world.change_pool(call, pool, event, |state| {
            state.require_inactive()?;
            state.active = true;
            Ok(())
        })
    }

    fn build(&self, call: &Call<'_>, pool: &StoragePoolRef, flags: u32) -> Result<()> {
        check_flags(flags, 0, "testStoragePoolBuild")?;
        let event = Some(api::STORAGE_POOL_EVENT_CREATED);
        self.world.change_pool(call, pool, event, |state| state.require_inactive())
    }

    fn delete(&self, call: &Call<'_>, pool: &StoragePoolRef, flags: u32) -> Result<()> {
        check_flags(flags, 0, "testStoragePoolDelete")?;
        let event = Some(api::STORAGE_POOL_EVENT_DELETED);
        self.world.change_pool(call, pool, event, |state| state.require_inactive())
    }

    fn destroy(&self, call: &Call<'_>, pool: &StoragePoolRef) -> Result<()> {
        let pool = self.world.pool(pool)?;
        let mut change = pool.begin(call, Job::Destroy)?;
        let persistent = change.change(|state| {
            state.require_active()?;
            state.active = false;
            Ok(state.persistent)
        })?;
        publish(&self.world, &pool, api::STORAGE_POOL_EVENT_STOPPED);
        if !persistent {
            remove(&self.world.pools, &pool, &mut change);
        }
        Ok(())
    }

    fn undefine(&self, call: &Call<'_>, pool: &StoragePoolRef) -> Result<()> {
        let pool = self.world.pool(pool)?;
        let mut change: Change<'_, State> = pool.begin(call, Job::Modify)?;
        change.read(State::require_inactive)?;
        publish(&self.world, &pool, api::STORAGE_POOL_EVENT_UNDEFINED);
        remove(&self.world.pools, &pool, &mut change);
        Ok(())
    }

    fn refresh(&self, call: &Call<'_>, pool: &StoragePoolRef, flags: u32) -> Result<()> {
        check_flags(flags, 0, "testStoragePoolRefresh")?;
        let pool = self.world.pool(pool)?;
        let change = pool.begin(call, Job::Modify)?;
        change.read(State::require_active)?;
        self.world.events.publish(&Event::StoragePoolRefresh { pool: pool.to_ref() });
        Ok(())
    }

    fn get_info(&self, _: &Call<'_>, pool: &StoragePoolRef) -> Result<StoragePoolInfo> {
        self.world.look_pool(pool, |state| {
            let number =
                if state.active { api::STORAGE_POOL_RUNNING } else { api::STORAGE_POOL_INACTIVE };
            Ok(StoragePoolInfo {
                state: u8::try_from(number).unwrap_or_default(),
                capacity: state.definition.capacity_bytes,
                allocation: state.definition.allocation_bytes,
                available: state.definition.available_bytes,
            })
        })
    }

    fn get_xml_desc(&self, _: &Call<'_>, pool: &StoragePoolRef, flags: u32) -> Result<String> {
        check_flags(flags, 0, "testStoragePoolGetXMLDesc")?;
        self.world.look_pool(pool, |state| Ok(state.definition.to_xml(PrintFlags::default())))
    }

    fn get_autostart(&self, _: &Call<'_>, pool: &StoragePoolRef) -> Result<bool> {
        self.world.look_pool(pool, |state| Ok(state.persistent && state.autostart))
    }

    fn set_autostart(&self, call: &Call<'_>, pool: &StoragePoolRef, autostart: i32) -> Result<()> {
        self.world.change_pool(call, pool, None, |state| {
            if !state.persistent {
                return Err(invalid_arg("pool has no config file"));
            }
            state.autostart = autostart != 0;
            Ok(())
        })
    }

    fn is_active(&self, _: &Call<'_>, pool: &StoragePoolRef) -> Result<bool> {
        self.world.look_pool(pool, |state| Ok(state.active))
    }

    fn is_persistent(&self, _: &Call<'_>, pool: &StoragePoolRef) -> Result<bool> {
        self.world.look_pool(pool, |state| Ok(state.persistent))
    }

    fn find_sources(
        &self,
        _: &Call<'_>,
        kind: &str,
        src_spec: Option<&str>,
        flags: u32,
    ) -> Result<String> {
        check_flags(flags, 0, "testConnectFindStoragePoolSources")?;
        let known = PoolType::from_word(kind);
        // Compat: the first of the types is taken for none.
        if known == Some(PoolType::Dir) {
            return Err(internal(format!("unknown storage pool type {kind}")));
        }
        let spec = source::read(known, src_spec)?;
        match known {
            Some(PoolType::Logical) => Ok(source::volume_groups()),
            Some(PoolType::Netfs) => source::shares(spec.as_ref()),
            _ => {
                let detail = format!("pool type '{kind}' does not support source discovery");
                Err(Error::new(Code::NoSupport, Origin::Test, detail))
            }
        }
    }
}
