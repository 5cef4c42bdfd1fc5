//! The drivers of this daemon, and the folders each works in.

use std::path::Path;
use std::sync::Arc;

use driver_kvmtool::KvmtoolOpener;
use driver_qemu::QemuOpener;
use driver_xen::XenOpener;
use virt_driver::{Connection, Driver, Registry};

use crate::settings::{Layout, Settings};

/// The drivers, and whether they need the daemon to stay.
pub(crate) struct Drivers {
    pub(crate) registry: Registry,
    /// Those with guests of their own.
    hosts: Option<(QemuOpener, KvmtoolOpener, XenOpener)>,
}

impl Drivers {
    /// Drivers without guests on this host.
    pub(crate) fn only(registry: Registry) -> Self {
        Self { registry, hosts: None }
    }

    /// All drivers, in the order in which they are asked. Those with guests of their own are brought
    /// up while clients may come already: running guests are found again, and those marked for it
    /// are started. Whoever wants such a driver waits for it.
    pub(crate) fn start(settings: &Settings) -> Self {
        let qemu = driver_qemu::opener(qemu(settings));
        let kvmtool = driver_kvmtool::opener(kvmtool(settings));
        let xen = driver_xen::opener(xen(settings));
        let registry = Registry::new()
            .with(driver_test::opener())
            .with(xen.clone())
            .with(qemu.clone())
            .with(kvmtool.clone())
            .with(driver_ldoms::opener(None));
        let (rising, rising_too, rising_where_it_is) = (qemu.clone(), kvmtool.clone(), xen.clone());
        let thread = std::thread::Builder::new().name("daemon-init".to_owned());
        let started = thread.spawn(move || {
            // The next connection tries again, and is told why it fails.
            if let Err(error) = rising.up() {
                virt_log::error!("daemon", "the QEMU driver does not come up: {error}");
            }
            if let Err(error) = rising_too.up() {
                virt_log::error!("daemon", "the kvmtool driver does not come up: {error}");
            }
            if let Err(error) = rising_where_it_is.rise() {
                virt_log::error!("daemon", "the Xen driver does not come up: {error}");
            }
        });
        if let Err(error) = started {
            virt_log::error!("daemon", "cannot start a thread: {error}");
        }
        Self { registry, hosts: Some((qemu, kvmtool, xen)) }
    }

    /// Whether guests run. Compat: a daemon with a timeout stays for them.
    pub(crate) fn busy(&self) -> bool {
        let Some((qemu, kvmtool, xen)) = &self.hosts else { return false };
        let drivers: [Option<Arc<dyn Driver>>; 3] = [
            qemu.up().ok().map(|driver| Arc::new(driver) as _),
            kvmtool.up().ok().map(|driver| Arc::new(driver) as _),
            xen.running().map(|driver| Arc::new(driver) as _),
        ];
        drivers.into_iter().flatten().any(|driver| {
            let connection = Connection::new(vec![driver], "", true);
            connection.connect_num_of_domains().is_ok_and(|count| count > 0)
        })
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
            memory: below(&dirs.state).join("ram"),
        },
        Layout::Session => driver_qemu::Dirs {
            config: below(&dirs.config),
            run: below(&dirs.run).join("run"),
            lib: below(&dirs.state).join("lib"),
            log: below(&dirs.log).join("log"),
            cache: below(&dirs.cache).join("cache"),
            channel: below(&dirs.run).join("run/channel"),
            nvram: below(&dirs.config).join("nvram"),
            memory: below(&dirs.config).join("ram"),
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

/// Folders of its own in the daemon's; where the tool keeps its sockets is the tool's own affair.
fn kvmtool(settings: &Settings) -> driver_kvmtool::Settings {
    let dirs = &settings.dirs;
    let below = |dir: &Path, inside: &str| match settings.layout {
        Layout::System => dir.join("kvmtool"),
        Layout::Session => dir.join("kvmtool").join(inside),
    };
    let path = if settings.system { "system" } else { "session" };
    driver_kvmtool::Settings {
        uri: format!("kvmtool:///{path}"),
        dirs: driver_kvmtool::Dirs {
            config: dirs.config.join("kvmtool"),
            run: below(&dirs.run, "run"),
            lib: below(&dirs.state, "lib"),
            log: below(&dirs.log, "log"),
        },
        config: settings.dirs.config.join("kvmtool.conf"),
        privileged: settings.system,
    }
}

/// Compat: libvirt's layout. One driver for the host, whoever's daemon it is.
fn xen(settings: &Settings) -> driver_xen::Settings {
    let dirs = &settings.dirs;
    let below = |dir: &Path, inside: &str| match settings.layout {
        Layout::System => dir.join("libxl"),
        Layout::Session => dir.join("libxl").join(inside),
    };
    driver_xen::Settings {
        dirs: driver_xen::Dirs {
            config: dirs.config.join("libxl"),
            run: below(&dirs.run, "run"),
            lib: below(&dirs.state, "lib"),
            log: below(&dirs.log, "log"),
        },
        config: dirs.config.join("xen.conf"),
    }
}
