//! What the guest says and hears: file systems, clock, addresses, keys, passwords.

use std::sync::Arc;

use virt_error::{Code, Error, Origin, Result};
use virt_model::domain::Domain as Definition;
use virt_model::domain::disk::{Disk, DiskBus};
use virt_types::{
    DomainControlInfo, DomainDiskError, DomainFsInfo, DomainGetDiskErrors, DomainGetFsinfo,
    DomainInterface, DomainIpAddr, DomainRef, DomainTime, api,
};

use super::State;
use crate::error::{invalid_arg, invalid_operation};
use crate::world::World;

/// What every guest's clock shows, in seconds since 1970, until it is set.
pub(crate) const CLOCK_S: i64 = 627_319_920;

/// What a guest was told.
#[derive(Clone, Debug)]
pub(crate) struct Guest {
    frozen: [bool; MOUNTS.len()],
    clock: DomainTime,
}

impl Default for Guest {
    fn default() -> Self {
        let clock = DomainTime { seconds: CLOCK_S, nseconds: 0 };
        Self { frozen: [false; MOUNTS.len()], clock }
    }
}

/// The kinds of message that a domain could have.
pub(crate) const MESSAGE_FLAGS: u32 =
    (api::DOMAIN_MESSAGE_DEPRECATION | api::DOMAIN_MESSAGE_TAINTING | api::DOMAIN_MESSAGE_IOERRORS)
        .cast_unsigned();

/// The file systems of every guest.
const MOUNTS: [&str; 2] = ["/", "/boot"];

/// Freezes or thaws file systems, all or those named; how many changed.
pub(crate) fn freeze(state: &mut State, mounts: &[String], frozen: bool) -> Result<i32> {
    state.require_active()?;
    if let Some(unknown) = mounts.iter().find(|mount| !MOUNTS.contains(&mount.as_str())) {
        return Err(invalid_operation(format!("mount point not found: {unknown}")));
    }
    let mut changed = 0;
    for (name, now) in MOUNTS.iter().zip(&mut state.guest.frozen) {
        let meant = mounts.is_empty() || mounts.iter().any(|mount| mount == name);
        if meant && *now != frozen {
            *now = frozen;
            changed += 1;
        }
    }
    Ok(changed)
}

/// `virDomainFSTrim`: nothing to trim, but the file system must be there.
pub(crate) fn trim(state: &State, mount: Option<&str>) -> Result<()> {
    state.require_active()?;
    match mount.filter(|mount| !MOUNTS.contains(mount)) {
        Some(unknown) => Err(invalid_operation(format!("mount point not found: {unknown}"))),
        None => Ok(()),
    }
}

/// `virDomainGetFSInfo`: two partitions on the first disk.
pub(crate) fn file_systems(state: &State) -> Result<DomainGetFsinfo> {
    state.require_active()?;
    let disks = &state.current.devices.disks;
    let Some(disk) = disks.iter().find(|disk| holds_files(disk)) else {
        return Ok(DomainGetFsinfo { info: Vec::new(), ret: 0 });
    };
    let dev = &disk.target.dev;
    let info: Vec<DomainFsInfo> = MOUNTS
        .iter()
        .enumerate()
        .map(|(at, mount)| DomainFsInfo {
            mountpoint: (*mount).to_owned(),
            name: format!("{dev}{}", at + 1),
            fstype: "ext4".to_owned(),
            dev_aliases: vec![dev.clone()],
        })
        .collect();
    let ret = u32::try_from(info.len()).unwrap_or(u32::MAX);
    Ok(DomainGetFsinfo { info, ret })
}

fn holds_files(disk: &Disk) -> bool {
    disk.device == virt_model::domain::disk::DiskDevice::Disk
        && disk.target.bus != Some(DiskBus::Fdc)
}

/// `virDomainGetDiskErrors`: the disks take the two kinds of error in turn.
pub(crate) fn disk_errors(state: &State, most: u32) -> Result<DomainGetDiskErrors> {
    state.require_active()?;
    let disks = &state.current.devices.disks;
    if most == 0 {
        let nerrors = i32::try_from(disks.len()).unwrap_or(i32::MAX);
        return Ok(DomainGetDiskErrors { errors: Vec::new(), nerrors });
    }
    let kinds = [api::DOMAIN_DISK_ERROR_UNSPEC, api::DOMAIN_DISK_ERROR_NO_SPACE];
    let errors: Vec<DomainDiskError> = disks
        .iter()
        .zip(kinds.into_iter().cycle())
        .take(usize::try_from(most).unwrap_or(usize::MAX))
        .map(|(disk, error)| DomainDiskError { disk: disk.target.dev.clone(), error })
        .collect();
    let nerrors = i32::try_from(errors.len()).unwrap_or(i32::MAX);
    Ok(DomainGetDiskErrors { errors, nerrors })
}

/// `virDomainGetTime`. A paused guest does not answer.
pub(crate) fn time(state: &State) -> Result<DomainTime> {
    if state.state != api::DOMAIN_RUNNING {
        return Err(invalid_operation("domain is not running"));
    }
    Ok(state.guest.clock.clone())
}

/// `virDomainSetTime`.
pub(crate) fn set_time(state: &mut State, clock: DomainTime) -> Result<()> {
    state.require_active()?;
    state.guest.clock = clock;
    Ok(())
}

/// `virDomainGetControlInfo`.
///
/// Compat: the guest's clock, where it was set to the first day of 1970, plays the states of the
/// control channel through.
pub(crate) fn control(state: &State) -> Result<DomainControlInfo> {
    state.require_active()?;
    const JOB_S: u64 = 1;
    const OCCUPIED_S: u64 = 10_000;
    const ERROR_S: u64 = 30_000;
    const OVER_S: u64 = 60_000;
    let now = u64::try_from(state.guest.clock.seconds).unwrap_or(0);
    let (state, since) = match now {
        JOB_S..OCCUPIED_S => (api::DOMAIN_CONTROL_JOB, 0),
        OCCUPIED_S..ERROR_S => (api::DOMAIN_CONTROL_OCCUPIED, OCCUPIED_S),
        ERROR_S..OVER_S => (api::DOMAIN_CONTROL_ERROR, ERROR_S),
        _ => (api::DOMAIN_CONTROL_OK, now),
    };
    let details = if state == api::DOMAIN_CONTROL_ERROR { now % 4 } else { 0 };
    Ok(DomainControlInfo {
        state: state.cast_unsigned(),
        details: u32::try_from(details).unwrap_or(0),
        state_time: now - since,
    })
}

/// `virDomainSendProcessSignal`: only init can be signalled, and does not care.
pub(crate) fn signal(pid: i64, signal: u32) -> Result<()> {
    if pid != 1 {
        return Err(invalid_arg("only sending a signal to pid 1 is supported"));
    }
    if signal > api::DOMAIN_PROCESS_SIGNAL_RT32.cast_unsigned() {
        return Err(invalid_arg(format!("signum value {signal} is out of range")));
    }
    Ok(())
}

/// Refuses sources of addresses that there are not.
fn check_address_source(source: u32) -> Result<()> {
    match source.cast_signed() {
        api::DOMAIN_INTERFACE_ADDRESSES_SRC_LEASE
        | api::DOMAIN_INTERFACE_ADDRESSES_SRC_AGENT
        | api::DOMAIN_INTERFACE_ADDRESSES_SRC_ARP => Ok(()),
        _ => {
            let detail = format!("Unknown IP address data source {source}");
            Err(Error::new(Code::ArgumentUnsupported, Origin::Test, detail))
        }
    }
}

/// `virDomainInterfaceAddresses`.
pub(crate) fn addresses(
    world: &World,
    dom: &DomainRef,
    source: u32,
) -> Result<Vec<DomainInterface>> {
    check_address_source(source)?;
    let (definition, id) = world.look(dom, |state| {
        state.require_active()?;
        Ok((Arc::clone(&state.current), state.id.unwrap_or(-1)))
    })?;
    Ok(made_up_addresses(&definition, id, |network| world.address_range(network)))
}

/// Addresses by the domain's id and the interface's place, in the network's range where there is
/// one.
fn made_up_addresses(
    definition: &Definition,
    id: i32,
    range_of: impl Fn(&str) -> Option<(u32, u32)>,
) -> Vec<DomainInterface> {
    const OWN_NET: u32 = u32::from_be_bytes([192, 168, 0, 0]);
    const OWN_PREFIX: u32 = 24;
    const PER_DOMAIN: i64 = 20;
    let interfaces = definition.devices.interfaces.iter().enumerate();
    let answer = interfaces.map(|(at, interface)| {
        let place = u32::try_from(at).unwrap_or(u32::MAX).saturating_add(1);
        let network = interface.source.as_ref().and_then(|source| source.network.as_deref());
        let range = network.and_then(&range_of);
        let (address, prefix) = match range {
            Some((start, prefix)) => {
                let before = PER_DOMAIN * (i64::from(id) - 1);
                let before = u32::try_from(before).unwrap_or(0);
                (start.wrapping_add(before).wrapping_add(place), prefix)
            }
            None => (OWN_NET.wrapping_add(place), OWN_PREFIX),
        };
        DomainInterface {
            name: interface.target_dev().unwrap_or_default().to_owned(),
            hwaddr: interface.mac.as_ref().map(|mac| mac.address.to_string()),
            addrs: vec![DomainIpAddr {
                kind: api::IP_ADDR_TYPE_IPV4,
                addr: std::net::Ipv4Addr::from(address).to_string(),
                prefix,
            }],
        }
    });
    answer.collect()
}
