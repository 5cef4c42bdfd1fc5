//! Volumes: sizes that are taken from their pool.

use std::sync::Arc;

use virt_driver::{Call, Job, Stream, Volumes, unsupported};
use virt_error::{Code, Error, Origin, Result};
use virt_model::storage::{PoolType, Volume, VolumeParse, VolumeType};
use virt_types::{StoragePoolRef, StorageVolInfo, StorageVolRef, api};

use crate::TestDriver;
use crate::bytes::Part;
use crate::error::{check_flags, internal};
use crate::pool::{Pool, State};
use crate::world::World;

fn not_found(by: &str, what: &str) -> Error {
    let detail = format!("no storage vol with matching {by} '{what}'");
    Error::new(Code::NoStorageVol, Origin::Test, detail)
}

fn to_ref(pool: &str, volume: &Volume) -> StorageVolRef {
    StorageVolRef {
        pool: pool.to_owned(),
        name: volume.name.as_str().into(),
        key: volume.key.clone().unwrap_or_default(),
    }
}

/// Adds a volume to a pool that runs, where there is room.
fn add(pool: &mut State, mut volume: Volume) -> Result<StorageVolRef> {
    let bytes = volume.allocation_bytes.unwrap_or(0);
    let taken = pool.volumes.contains_key(volume.name.as_str());
    if bytes > pool.definition.available_bytes && !taken {
        let name = &volume.name;
        return Err(internal(format!("Not enough free space in pool for volume '{name}'")));
    }
    (volume.key, volume.target.path) = (None, None);
    put(pool, volume)
}

fn put(pool: &mut State, mut volume: Volume) -> Result<StorageVolRef> {
    if pool.volumes.contains_key(volume.name.as_str()) {
        let detail = "storage vol already exists";
        return Err(Error::new(Code::OperationFailed, Origin::Test, detail));
    }
    // Compat: how libvirt's C prints a folder that is not there.
    let folder = pool.definition.target_path().unwrap_or("(null)");
    let path = format!("{folder}/{}", volume.name);
    let path = volume.target.path.get_or_insert(path);
    volume.key.get_or_insert_with(|| path.clone());
    pool.account(volume.allocation_bytes.unwrap_or(0), true);
    let reference = to_ref(&pool.definition.name, &volume);
    pool.volumes.insert(reference.name.clone(), volume);
    Ok(reference)
}

/// What a volume of such a pool is said to be. Compat: its own document says something else.
fn kind_in(pool: PoolType) -> VolumeType {
    use PoolType::*;
    match pool {
        Dir | Fs | Netfs | Vstorage => VolumeType::File,
        Rbd | Sheepdog | Gluster | IscsiDirect => VolumeType::Network,
        _ => VolumeType::Block,
    }
}

/// How a new volume's document is to be read.
fn asked(flags: u32, function: &str) -> Result<VolumeParse> {
    check_flags(flags, api::STORAGE_VOL_CREATE_VALIDATE, function)?;
    Ok(VolumeParse { validate: flags != 0, ..VolumeParse::default() })
}

/// Puts a volume of the world's own content in place.
pub(crate) fn preset(pool: &mut State, xml: &str) -> Result<()> {
    let volume = Volume::parse(xml, pool.definition.kind, VolumeParse::default())?;
    // Compat: what the world is made with need not fit, and keeps its path and key.
    put(pool, volume).map(drop)
}

impl World {
    /// Looks at a volume by its pool and name.
    fn look_volume<R>(
        &self,
        vol: &StorageVolRef,
        look: impl FnOnce(&Volume) -> Result<R>,
    ) -> Result<R> {
        self.pool_of(vol)?.read(|state| {
            state.require_active()?;
            match state.volumes.get(&vol.name) {
                Some(volume) => look(volume),
                None => Err(not_found("name", &vol.name)),
            }
        })
    }

    fn pool_of(&self, vol: &StorageVolRef) -> Result<Arc<Pool>> {
        self.pools.by_name(&vol.pool).ok_or_else(|| {
            let detail = format!("no storage pool with matching name '{}'", vol.pool);
            Error::new(Code::NoStoragePool, Origin::Test, detail)
        })
    }

    /// The first volume of a running pool for which `is_meant` says yes.
    fn find_volume(&self, is_meant: impl Fn(&Volume) -> bool) -> Option<StorageVolRef> {
        let found = self.pools.collect(|pool| {
            pool.read(|state| {
                state.require_active().ok()?;
                let volume = state.volumes.values().find(|volume| is_meant(volume))?;
                Some(to_ref(&pool.name, volume))
            })
        });
        found.into_iter().next()
    }
}

impl TestDriver {
    /// What a volume holds, for who asked for that in the URI.
    fn stream(
        &self,
        vol: &StorageVolRef,
        offset: u64,
        length: u64,
        sparse: bool,
    ) -> Result<Arc<dyn Stream>> {
        if !self.streams {
            return unsupported();
        }
        self.world.look_volume(vol, |volume| {
            let capacity = volume.capacity_bytes.unwrap_or(0);
            let path = volume.target.path.as_deref().unwrap_or_default();
            self.world.contents.open(path, Part { offset, length, capacity, sparse })
        })
    }
}

impl Volumes for TestDriver {
    fn list_all(
        &self,
        _: &Call<'_>,
        pool: &StoragePoolRef,
        flags: u32,
    ) -> Result<Vec<StorageVolRef>> {
        check_flags(flags, 0, "testStoragePoolListAllVolumes")?;
        self.world.look_pool(pool, |state| {
            state.require_active()?;
            Ok(state
                .volumes
                .values()
                .map(|volume| to_ref(&state.definition.name, volume))
                .collect())
        })
    }

    fn lookup_by_name(
        &self,
        _: &Call<'_>,
        pool: &StoragePoolRef,
        name: &str,
    ) -> Result<StorageVolRef> {
        self.world.look_pool(pool, |state| {
            state.require_active()?;
            let volume = state.volumes.get(name).ok_or_else(|| not_found("name", name))?;
            Ok(to_ref(&state.definition.name, volume))
        })
    }

    fn lookup_by_key(&self, _: &Call<'_>, key: &str) -> Result<StorageVolRef> {
        let found = self.world.find_volume(|volume| volume.key.as_deref() == Some(key));
        found.ok_or_else(|| not_found("key", key))
    }

    fn lookup_by_path(&self, _: &Call<'_>, path: &str) -> Result<StorageVolRef> {
        let found = self.world.find_volume(|volume| volume.target.path.as_deref() == Some(path));
        found.ok_or_else(|| not_found("path", path))
    }

    fn create_xml(
        &self,
        call: &Call<'_>,
        pool: &StoragePoolRef,
        xml: &str,
        flags: u32,
    ) -> Result<StorageVolRef> {
        let what = asked(flags, "testStorageVolCreateXML")?;
        let pool = self.world.pool(pool)?;
        let mut change = pool.begin(call, Job::Modify)?;
        change.read(State::require_active)?;
        let kind = change.read(|state| state.definition.kind);
        let volume = Volume::parse(xml, kind, what)?;
        change.change(|state| add(state, volume))
    }

    fn create_xml_from(
        &self,
        call: &Call<'_>,
        pool: &StoragePoolRef,
        xml: &str,
        clonevol: &StorageVolRef,
        flags: u32,
    ) -> Result<StorageVolRef> {
        let what = asked(flags, "testStorageVolCreateXMLFrom")?;
        let pool = self.world.pool(pool)?;
        let mut change = pool.begin(call, Job::Modify)?;
        change.read(State::require_active)?;
        let kind = change.read(|state| state.definition.kind);
        let volume = Volume::parse(xml, kind, what)?;
        change.change(|state| {
            if !state.volumes.contains_key(&clonevol.name) {
                return Err(not_found("name", &clonevol.name));
            }
            add(state, volume)
        })
    }

    fn delete(&self, call: &Call<'_>, vol: &StorageVolRef, flags: u32) -> Result<()> {
        check_flags(flags, 0, "testStorageVolDelete")?;
        let pool = self.world.pool_of(vol)?;
        pool.begin(call, Job::Modify)?.change(|state| {
            state.require_active()?;
            match state.volumes.remove(&vol.name) {
                Some(volume) => {
                    self.world.contents.remove(&volume.target.path.unwrap_or_default());
                    state.account(volume.allocation_bytes.unwrap_or(0), false);
                    Ok(())
                }
                None => Err(not_found("name", &vol.name)),
            }
        })
    }

    fn upload(
        &self,
        _: &Call<'_>,
        vol: &StorageVolRef,
        offset: u64,
        length: u64,
        flags: u32,
    ) -> Result<Arc<dyn Stream>> {
        let sparse = api::STORAGE_VOL_UPLOAD_SPARSE_STREAM;
        check_flags(flags, sparse, "testStorageVolUpload")?;
        self.stream(vol, offset, length, flags & sparse != 0)
    }

    fn download(
        &self,
        _: &Call<'_>,
        vol: &StorageVolRef,
        offset: u64,
        length: u64,
        flags: u32,
    ) -> Result<Arc<dyn Stream>> {
        let sparse = api::STORAGE_VOL_DOWNLOAD_SPARSE_STREAM;
        check_flags(flags, sparse, "testStorageVolDownload")?;
        self.stream(vol, offset, length, flags & sparse != 0)
    }

    fn get_info(&self, _: &Call<'_>, vol: &StorageVolRef) -> Result<StorageVolInfo> {
        let pool = self.world.pool_of(vol)?.read(|state| state.definition.kind);
        self.world.look_volume(vol, |volume| {
            Ok(StorageVolInfo {
                kind: kind_in(pool) as i8,
                capacity: volume.capacity_bytes.unwrap_or(0),
                allocation: volume.allocation_bytes.unwrap_or(0),
            })
        })
    }

    fn get_xml_desc(&self, _: &Call<'_>, vol: &StorageVolRef, flags: u32) -> Result<String> {
        check_flags(flags, 0, "testStorageVolGetXMLDesc")?;
        self.world.look_volume(vol, |volume| Ok(volume.to_xml()))
    }

    fn get_path(&self, _: &Call<'_>, vol: &StorageVolRef) -> Result<String> {
        self.world.look_volume(vol, |volume| Ok(volume.target.path.clone().unwrap_or_default()))
    }
}
