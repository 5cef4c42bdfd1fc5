//! Calls into the guest: its agent, its console, keys, time and file systems.

use std::sync::Arc;

use virt_driver::{Call, DomainGuest, Stream};
use virt_error::Result;
use virt_types::*;

use crate::domain::{State, guest};
use crate::error::check_flags;
use crate::{TestDriver, picture};

impl DomainGuest for TestDriver {
    fn get_hostname(&self, _: &Call<'_>, dom: &DomainRef, flags: u32) -> Result<String> {
        check_flags(flags, 0, "testDomainGetHostname")?;
        self.world.look(dom, State::require_active)?;
        Ok("testhost".to_owned())
    }

    fn inject_nmi(&self, _: &Call<'_>, dom: &DomainRef, flags: u32) -> Result<()> {
        check_flags(flags, 0, "testDomainInjectNMI")?;
        self.world.look(dom, State::require_active)
    }

    fn send_key(
        &self,
        _: &Call<'_>,
        dom: &DomainRef,
        _codeset: u32,
        _holdtime: u32,
        _keycodes: &[u32],
        flags: u32,
    ) -> Result<()> {
        check_flags(flags, 0, "testDomainSendKey")?;
        self.world.look(dom, State::require_active)
    }

    fn send_process_signal(
        &self,
        _: &Call<'_>,
        dom: &DomainRef,
        pid_value: i64,
        signum: u32,
        flags: u32,
    ) -> Result<()> {
        check_flags(flags, 0, "testDomainSendProcessSignal")?;
        self.world.look(dom, |_| guest::signal(pid_value, signum))
    }

    fn set_user_password(
        &self,
        _: &Call<'_>,
        dom: &DomainRef,
        _user: Option<&str>,
        _password: Option<&str>,
        flags: u32,
    ) -> Result<()> {
        check_flags(flags, api::DOMAIN_PASSWORD_ENCRYPTED, "testDomainSetUserPassword")?;
        self.world.look(dom, State::require_active)
    }

    fn get_time(&self, _: &Call<'_>, dom: &DomainRef, flags: u32) -> Result<DomainTime> {
        check_flags(flags, 0, "testDomainGetTime")?;
        self.world.look(dom, guest::time)
    }

    fn set_time(
        &self,
        call: &Call<'_>,
        dom: &DomainRef,
        seconds: i64,
        nseconds: u32,
        flags: u32,
    ) -> Result<()> {
        check_flags(flags, api::DOMAIN_TIME_SYNC, "testDomainSetTime")?;
        let clock = DomainTime { seconds, nseconds };
        self.world.change(call, dom, |state| guest::set_time(state, clock))
    }

    fn fsfreeze(
        &self,
        call: &Call<'_>,
        dom: &DomainRef,
        mountpoints: &[String],
        flags: u32,
    ) -> Result<i32> {
        check_flags(flags, 0, "testDomainFSFreeze")?;
        self.world.change(call, dom, |state| guest::freeze(state, mountpoints, true))
    }

    fn fsthaw(
        &self,
        call: &Call<'_>,
        dom: &DomainRef,
        mountpoints: &[String],
        flags: u32,
    ) -> Result<i32> {
        check_flags(flags, 0, "testDomainFSThaw")?;
        self.world.change(call, dom, |state| guest::freeze(state, mountpoints, false))
    }

    fn fstrim(
        &self,
        _: &Call<'_>,
        dom: &DomainRef,
        mount_point: Option<&str>,
        _minimum: u64,
        flags: u32,
    ) -> Result<()> {
        check_flags(flags, 0, "testDomainFSTrim")?;
        self.world.look(dom, |state| guest::trim(state, mount_point))
    }

    fn get_fsinfo(&self, _: &Call<'_>, dom: &DomainRef, flags: u32) -> Result<DomainGetFsinfo> {
        check_flags(flags, 0, "testDomainGetFSInfo")?;
        self.world.look(dom, guest::file_systems)
    }

    /// Compat: whichever screen is asked for, and whether the domain runs or not.
    fn screenshot(
        &self,
        _: &Call<'_>,
        dom: &DomainRef,
        _screen: u32,
        flags: u32,
    ) -> Result<(Option<String>, Arc<dyn Stream>)> {
        check_flags(flags, 0, "testDomainScreenshot")?;
        self.world.domain(dom).map(|_| picture::screenshot())
    }
}
