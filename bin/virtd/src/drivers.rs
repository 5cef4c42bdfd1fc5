//! The drivers of this daemon, and the folders each works in.

use std::path::Path;

use driver_qemu::QemuOpener;
use virt_driver::{Connection, Registry};

use crate::settings::{Layout, Settings};

/// The drivers, and whether they need the daemon to stay.
pub(crate) struct Drivers {
    pub(crate) registry: Registry,
    qemu: QemuOpener,
}

impl Drivers {
    /// All drivers, in the order in which they are asked. Those with guests of their own are brought
    /// up while clients may come already: running guests are found again, and those marked for it
    /// are started. Whoever wants such a driver waits for it.
    pub(crate) fn start(settings: &Settings) -> Self {
        let qemu = driver_qemu::opener(qemu(settings));
        let registry = Registry::new().with(driver_test::opener()).with(qemu.clone());
        let rising = qemu.clone();
        let thread = std::thread::Builder::new().name("daemon-init".to_owned());
        let started = thread.spawn(move || {
            if let Err(error) = rising.up() {
                // The next connection tries again, and is told why it fails.
                virt_log::error!("daemon", "the QEMU driver does not come up: {error}");
            }
        });
        if let Err(error) = started {
            virt_log::error!("daemon", "cannot start a thread: {error}");
        }
        Self { registry, qemu }
    }

    /// Whether guests run. Compat: a daemon with a timeout stays for them.
    pub(crate) fn busy(&self) -> bool {
        let Ok(driver) = self.qemu.up() else { return false };
        let connection = Connection::new(vec![std::sync::Arc::new(driver)], "", true);
        connection.connect_num_of_domains().is_ok_and(|count| count > 0)
    }
}

/// Compat: libvirt's layout. Other programs read the pid files, the log files and the sockets.
fn qemu(settings: &Settings) -> driver_qemu::Settings {
    let dirs = &settings.dirs;
    let below = |dir: &Path| dir.join("qemu");
    let dirs = match settings.layout {
        Layout::System => driver_qemu::Dirs {
            config: below(&dirs.config),
            run: below(&dirs.run),
            lib: below(&dirs.state),
            log: below(&dirs.log),
            cache: below(&dirs.cache),
            channel: below(&dirs.run).join("channel"),
            nvram: below(&dirs.state).join("nvram"),
        },
        Layout::Session => driver_qemu::Dirs {
            config: below(&dirs.config),
            run: below(&dirs.run).join("run"),
            lib: below(&dirs.state).join("lib"),
            log: below(&dirs.log).join("log"),
            cache: below(&dirs.cache).join("cache"),
            channel: below(&dirs.run).join("run/channel"),
            nvram: below(&dirs.config).join("nvram"),
        },
    };
    let path = if settings.system { "system" } else { "session" };
    driver_qemu::Settings {
        uri: format!("qemu:///{path}"),
        dirs,
        config: settings.dirs.config.join("qemu.conf"),
        privileged: settings.system,
    }
}
