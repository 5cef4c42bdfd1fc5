//! Calls into the guest: its agent, its console, keys, time and file systems.

use std::sync::Arc;

use virt_driver::{Call, DomainGuest, Stream};
use virt_error::{Origin, Result};
use virt_types::{DomainGetFsinfo, DomainRef, DomainTime, TypedParam};

use super::check_flags;
use crate::{QemuDriver, agent, control};

impl DomainGuest for QemuDriver {
    fn inject_nmi(&self, call: &Call<'_>, dom: &DomainRef, flags: u32) -> Result<()> {
        check_flags(flags, 0, "qemuDomainInjectNMI")?;
        control::inject_nmi(self.core(), call, dom)
    }

    fn get_hostname(&self, _: &Call<'_>, dom: &DomainRef, flags: u32) -> Result<String> {
        let (lease, agent) = (1, 2);
        check_flags(flags, lease | agent, "qemuDomainGetHostname")?;
        agent::refuse(self.core(), dom)
    }

    fn get_time(&self, _: &Call<'_>, dom: &DomainRef, flags: u32) -> Result<DomainTime> {
        check_flags(flags, 0, "qemuDomainGetTime")?;
        agent::refuse(self.core(), dom)
    }

    fn get_fsinfo(&self, _: &Call<'_>, dom: &DomainRef, flags: u32) -> Result<DomainGetFsinfo> {
        check_flags(flags, 0, "qemuDomainGetFSInfo")?;
        agent::refuse(self.core(), dom)
    }

    fn fsfreeze(&self, _: &Call<'_>, dom: &DomainRef, _: &[String], flags: u32) -> Result<i32> {
        check_flags(flags, 0, "qemuDomainFSFreeze")?;
        agent::refuse(self.core(), dom)
    }

    fn fsthaw(&self, _: &Call<'_>, dom: &DomainRef, _: &[String], flags: u32) -> Result<i32> {
        check_flags(flags, 0, "qemuDomainFSThaw")?;
        agent::refuse(self.core(), dom)
    }

    fn get_guest_vcpus(
        &self,
        _: &Call<'_>,
        dom: &DomainRef,
        flags: u32,
    ) -> Result<Vec<TypedParam>> {
        check_flags(flags, 0, "qemuDomainGetGuestVcpus")?;
        agent::refuse(self.core(), dom)
    }

    fn get_guest_info(
        &self,
        _: &Call<'_>,
        dom: &DomainRef,
        _: u32,
        flags: u32,
    ) -> Result<Vec<TypedParam>> {
        check_flags(flags, 0, "qemuDomainGetGuestInfo")?;
        self.need_active(dom)?;
        agent::refuse(self.core(), dom)
    }

    fn pm_suspend_for_duration(
        &self,
        _: &Call<'_>,
        dom: &DomainRef,
        _: u32,
        _: u64,
        flags: u32,
    ) -> Result<()> {
        check_flags(flags, 0, "qemuDomainPMSuspendForDuration")?;
        self.need_active(dom)?;
        agent::refuse(self.core(), dom)
    }

    fn set_guest_vcpus(
        &self,
        _: &Call<'_>,
        dom: &DomainRef,
        _: &str,
        _: i32,
        flags: u32,
    ) -> Result<()> {
        check_flags(flags, 0, "qemuDomainSetGuestVcpus")?;
        self.need_active(dom)?;
        agent::refuse(self.core(), dom)
    }

    fn fstrim(
        &self,
        _: &Call<'_>,
        dom: &DomainRef,
        _: Option<&str>,
        _: u64,
        flags: u32,
    ) -> Result<()> {
        check_flags(flags, 0, "qemuDomainFSTrim")?;
        self.need_active(dom)?;
        agent::refuse(self.core(), dom)
    }

    fn set_user_password(
        &self,
        _: &Call<'_>,
        dom: &DomainRef,
        _: Option<&str>,
        _: Option<&str>,
        flags: u32,
    ) -> Result<()> {
        let encrypted = 1;
        check_flags(flags, encrypted, "qemuDomainSetUserPassword")?;
        agent::refuse(self.core(), dom)
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
