//! Bringing the driver up, and opening `qemu:///system` and `qemu:///session` on it.

use std::sync::Arc;

use virt_driver::{Driver, Lazy, OpenRequest, Opener, is_own_uri};
use virt_error::Result;

use crate::core::Core;
use crate::{QemuDriver, Settings, recover};

impl QemuDriver {
    /// Takes the directories over, loads the definitions and finds the running guests again.
    pub fn start(settings: Settings) -> Result<Self> {
        let core = Core::new(settings)?;
        recover::load(&core)?;
        recover::autostart(&core);
        Ok(Self(core))
    }
}

/// Opens the URI in `settings`; the driver comes up with [`QemuOpener::up`] or the first connection.
pub fn opener(settings: Settings) -> QemuOpener {
    QemuOpener(Lazy::new(settings, QemuDriver::start))
}

/// What [`opener`] gives. Cloning gives the same one, so that a daemon can bring the driver up
/// before anybody connects.
#[derive(Clone, Debug)]
pub struct QemuOpener(Lazy<Settings, QemuDriver>);

impl QemuOpener {
    /// The driver, brought up if it is not.
    pub fn up(&self) -> Result<QemuDriver> {
        self.0.up()
    }
}

impl Opener for QemuOpener {
    fn open(&self, request: &OpenRequest<'_>) -> Result<Option<Vec<Arc<dyn Driver>>>> {
        match is_own_uri(request.uri, "qemu", &self.0.settings().uri)? {
            true => Ok(Some(vec![Arc::new(self.up()?)])),
            false => Ok(None),
        }
    }

    fn probe(&self) -> Option<String> {
        let emulator = crate::rules::default_emulator(&virt_host::architecture());
        emulator.exists().then(|| self.0.settings().uri.clone())
    }
}
