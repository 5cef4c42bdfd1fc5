//! Bringing the driver up, and opening `kvmtool:///system` and `kvmtool:///session` on it.

use std::path::PathBuf;
use std::sync::Arc;

use virt_driver::{Driver, Lazy, OpenRequest, Opener, is_own_uri};
use virt_error::Result;
use virt_guests::Accounts;
use virt_host::{Limits, RunAs};

use crate::config::Config;
use crate::core::Core;
use crate::{KvmtoolDriver, Settings, recover};

/// The account whose home is the tool's, where the host has one.
const USUAL: &str = "kvmtool";

/// The group that may use KVM.
const KVM: &str = "kvm";

/// Whom the tool runs as, and its home.
///
/// The tool keeps its sockets in its user's home and nowhere else, and so does this driver: what it
/// lists is what `lkvm list` lists for that user.
pub(crate) fn whom(config: &Config, settings: &Settings) -> Result<(Option<RunAs>, PathBuf)> {
    if !settings.privileged {
        let own = std::env::var_os("HOME").filter(|home| !home.is_empty()).map(PathBuf::from);
        let home = config.home.clone().or(own).unwrap_or_else(|| settings.dirs.lib.clone());
        return Ok((None, home));
    }
    let accounts = Accounts::read();
    let usual = accounts.user_named(USUAL);
    let uid = config.user.as_deref().map(|user| accounts.user(user)).transpose()?.or(usual);
    // Compat: a user that was asked for by name need not have a home that is there.
    let own = uid.filter(|_| config.user.is_none()).and_then(|uid| accounts.home(uid));
    let home = config.home.clone().or(own).unwrap_or_else(|| settings.dirs.lib.clone());
    let Some(uid) = uid.filter(|uid| *uid != 0) else {
        virt_log::warning!("kvmtool", "there is no user '{USUAL}': guests run as root");
        return Ok((None, home));
    };
    let gid = config.group.as_deref().map(|group| accounts.group(group)).transpose()?;
    let gid = gid.or_else(|| accounts.main_group(uid)).unwrap_or(uid);
    let mut groups = accounts.groups(uid, gid);
    groups.extend(accounts.group_named(KVM).filter(|kvm| !groups.contains(kvm)));
    Ok((Some(RunAs { uid, gid, groups, limits: Limits::default() }), home))
}

impl KvmtoolDriver {
    /// Takes the directories over, loads the definitions and finds the running guests again.
    pub fn start(settings: Settings) -> Result<Self> {
        let core = Core::new(settings)?;
        recover::load(&core)?;
        recover::autostart(&core);
        Ok(Self(core))
    }
}

/// Opens the URI in `settings`; the driver comes up with [`KvmtoolOpener::up`] or the first connection.
pub fn opener(settings: Settings) -> KvmtoolOpener {
    KvmtoolOpener(Lazy::new(settings, KvmtoolDriver::start))
}

/// What [`opener`] gives. Cloning gives the same one, so that a daemon can bring the driver up
/// before anybody connects.
#[derive(Clone, Debug)]
pub struct KvmtoolOpener(Lazy<Settings, KvmtoolDriver>);

impl KvmtoolOpener {
    /// The driver, brought up if it is not.
    pub fn up(&self) -> Result<KvmtoolDriver> {
        self.0.up()
    }
}

impl Opener for KvmtoolOpener {
    fn open(&self, request: &OpenRequest<'_>) -> Result<Option<Vec<Arc<dyn Driver>>>> {
        match is_own_uri(request.uri, "kvmtool", &self.0.settings().uri)? {
            true => Ok(Some(vec![Arc::new(self.up()?)])),
            false => Ok(None),
        }
    }
}
