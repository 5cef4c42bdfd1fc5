//! Bringing the driver up, and opening `qemu:///system` and `qemu:///session` on it.

use std::sync::{Arc, Mutex, PoisonError};

use virt_driver::{Driver, OpenRequest, Opener};
use virt_error::{Error, Origin, Result};

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
    QemuOpener(Arc::new(Shared { settings, driver: Mutex::new(None) }))
}

/// What [`opener`] gives. Cloning gives the same one, so that a daemon can bring the driver up
/// before anybody connects.
#[derive(Clone, Debug)]
pub struct QemuOpener(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    settings: Settings,
    driver: Mutex<Option<QemuDriver>>,
}

impl QemuOpener {
    /// The driver, brought up if it is not.
    pub fn up(&self) -> Result<QemuDriver> {
        let mut driver = self.0.driver.lock().unwrap_or_else(PoisonError::into_inner);
        match &*driver {
            Some(driver) => Ok(driver.clone()),
            None => Ok(driver.insert(QemuDriver::start(self.0.settings.clone())?).clone()),
        }
    }
}

impl Opener for QemuOpener {
    fn open(&self, request: &OpenRequest<'_>) -> Result<Option<Vec<Arc<dyn Driver>>>> {
        let Some(path) = local_path(request.uri) else { return Ok(None) };
        let ours = local_path(&self.0.settings.uri).unwrap_or_default();
        // Compat: the system's daemon has no other guests for its own user's session.
        if path != ours && (path, ours) != ("/session", "/system") {
            let detail = format!("unexpected qemu URI path '{path}', try qemu://{ours}");
            return Err(Error::internal(Origin::None, detail));
        }
        Ok(Some(vec![Arc::new(self.up()?)]))
    }

    fn probe(&self) -> Option<String> {
        let emulator = crate::rules::default_emulator(&virt_host::architecture());
        emulator.exists().then(|| self.0.settings.uri.clone())
    }
}

/// The path of a URI with the scheme `qemu` and no host, or `None` for somebody else's URI.
fn local_path(uri: &str) -> Option<&str> {
    let rest = uri.strip_prefix("qemu:")?;
    let rest = rest.split(['?', '#']).next().unwrap_or_default();
    let rest = rest.strip_prefix("//").unwrap_or(rest);
    (rest.is_empty() || rest.starts_with('/')).then_some(rest)
}
