//! Calls into the guest: its agent, its console, keys, time and file systems.

use std::sync::Arc;

use virt_driver::{Call, DomainGuest, Stream};
use virt_error::{Origin, Result};
use virt_types::{DomainGetFsinfo, DomainRef, DomainTime, TypedParam, api};

use super::check_flags;
use crate::{QemuDriver, agent, control};

impl DomainGuest for QemuDriver {
    fn inject_nmi(&self, call: &Call<'_>, dom: &DomainRef, flags: u32) -> Result<()> {
        check_flags(flags, 0, "qemuDomainInjectNMI")?;
        control::inject_nmi(self.core(), call, dom)
    }

    fn get_hostname(&self, call: &Call<'_>, dom: &DomainRef, flags: u32) -> Result<String> {
        let known = api::DOMAIN_GET_HOSTNAME_LEASE | api::DOMAIN_GET_HOSTNAME_AGENT;
        check_flags(flags, known, "qemuDomainGetHostname")?;
        agent::hostname(self.core(), call, dom, flags)
    }

    fn get_time(&self, call: &Call<'_>, dom: &DomainRef, flags: u32) -> Result<DomainTime> {
        check_flags(flags, 0, "qemuDomainGetTime")?;
        agent::clock(self.core(), call, dom)
    }

    fn set_time(
        &self,
        call: &Call<'_>,
        dom: &DomainRef,
        seconds: i64,
        nseconds: u32,
        flags: u32,
    ) -> Result<()> {
        check_flags(flags, api::DOMAIN_TIME_SYNC, "qemuDomainSetTime")?;
        let given = flags & api::DOMAIN_TIME_SYNC == 0;
        agent::set_clock(self.core(), call, dom, given.then_some(DomainTime { seconds, nseconds }))
    }

    fn get_fsinfo(&self, call: &Call<'_>, dom: &DomainRef, flags: u32) -> Result<DomainGetFsinfo> {
        check_flags(flags, 0, "qemuDomainGetFSInfo")?;
        agent::file_systems(self.core(), call, dom)
    }

    fn fsfreeze(
        &self,
        call: &Call<'_>,
        dom: &DomainRef,
        mountpoints: &[String],
        flags: u32,
    ) -> Result<i32> {
        check_flags(flags, 0, "qemuDomainFSFreeze")?;
        agent::freeze(self.core(), call, dom, mountpoints)
    }

    fn fsthaw(
        &self,
        call: &Call<'_>,
        dom: &DomainRef,
        mountpoints: &[String],
        flags: u32,
    ) -> Result<i32> {
        check_flags(flags, 0, "qemuDomainFSThaw")?;
        agent::thaw(self.core(), call, dom, mountpoints)
    }

    fn get_guest_vcpus(
        &self,
        call: &Call<'_>,
        dom: &DomainRef,
        flags: u32,
    ) -> Result<Vec<TypedParam>> {
        check_flags(flags, 0, "qemuDomainGetGuestVcpus")?;
        agent::summary(self.core(), call, dom)
    }

    fn get_guest_info(
        &self,
        call: &Call<'_>,
        dom: &DomainRef,
        types: u32,
        flags: u32,
    ) -> Result<Vec<TypedParam>> {
        check_flags(flags, 0, "qemuDomainGetGuestInfo")?;
        self.need_active(dom)?;
        agent::info(self.core(), call, dom, types)
    }

    fn pm_suspend_for_duration(
        &self,
        call: &Call<'_>,
        dom: &DomainRef,
        target: u32,
        duration: u64,
        flags: u32,
    ) -> Result<()> {
        check_flags(flags, 0, "qemuDomainPMSuspendForDuration")?;
        self.need_active(dom)?;
        agent::suspend(self.core(), call, dom, target, duration)
    }

    fn pm_wakeup(&self, call: &Call<'_>, dom: &DomainRef, flags: u32) -> Result<()> {
        check_flags(flags, 0, "qemuDomainPMWakeup")?;
        agent::wake(self.core(), call, dom)
    }

    fn set_guest_vcpus(
        &self,
        call: &Call<'_>,
        dom: &DomainRef,
        cpumap: &str,
        state: i32,
        flags: u32,
    ) -> Result<()> {
        check_flags(flags, 0, "qemuDomainSetGuestVcpus")?;
        self.need_active(dom)?;
        agent::set_some(self.core(), call, dom, cpumap, state != 0)
    }

    fn fstrim(
        &self,
        call: &Call<'_>,
        dom: &DomainRef,
        mount_point: Option<&str>,
        minimum: u64,
        flags: u32,
    ) -> Result<()> {
        check_flags(flags, 0, "qemuDomainFSTrim")?;
        self.need_active(dom)?;
        agent::trim(self.core(), call, dom, mount_point, minimum)
    }

    fn set_user_password(
        &self,
        call: &Call<'_>,
        dom: &DomainRef,
        user: Option<&str>,
        password: Option<&str>,
        flags: u32,
    ) -> Result<()> {
        check_flags(flags, api::DOMAIN_PASSWORD_ENCRYPTED, "qemuDomainSetUserPassword")?;
        let encrypted = flags & api::DOMAIN_PASSWORD_ENCRYPTED != 0;
        let (user, password) = (user.unwrap_or_default(), password.unwrap_or_default());
        agent::set_password(self.core(), call, dom, user, password, encrypted)
    }

    fn authorized_ssh_keys_get(
        &self,
        call: &Call<'_>,
        dom: &DomainRef,
        user: &str,
        flags: u32,
    ) -> Result<Vec<String>> {
        check_flags(flags, 0, "qemuDomainAuthorizedSSHKeysGet")?;
        agent::keys(self.core(), call, dom, user)
    }

    fn authorized_ssh_keys_set(
        &self,
        call: &Call<'_>,
        dom: &DomainRef,
        user: &str,
        keys: &[String],
        flags: u32,
    ) -> Result<()> {
        let known =
            api::DOMAIN_AUTHORIZED_SSH_KEYS_SET_APPEND | api::DOMAIN_AUTHORIZED_SSH_KEYS_SET_REMOVE;
        check_flags(flags, known, "qemuDomainAuthorizedSSHKeysSet")?;
        agent::set_keys(self.core(), call, dom, user, keys, flags)
    }

    fn agent_set_response_timeout(
        &self,
        call: &Call<'_>,
        dom: &DomainRef,
        timeout: i32,
        flags: u32,
    ) -> Result<i32> {
        check_flags(flags, 0, "qemuDomainAgentSetResponseTimeout")?;
        agent::set_timeout(self.core(), call, dom, timeout)
    }

    fn open_console(
        &self,
        _: &Call<'_>,
        dom: &DomainRef,
        dev_name: Option<&str>,
        flags: u32,
    ) -> Result<Arc<dyn Stream>> {
        check_flags(flags, 3, "qemuDomainOpenConsole")?;
        let document =
            self.seen(dom, |data| data.running().map(|live| Arc::clone(&live.document)))??;
        let terminal = virt_guests::terminal(&document, dev_name, Origin::Qemu)?;
        self.0.consoles.open(&terminal, flags, Origin::Qemu)
    }
}
