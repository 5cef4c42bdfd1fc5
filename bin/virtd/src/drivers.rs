//! The drivers of this daemon, and the folders each works in.

use virt_driver::Registry;

use crate::settings::Settings;

/// All drivers, in the order in which they are asked. Those with guests of their own are brought up
/// before anybody connects: running guests are found again, and those marked for it are started.
pub(crate) fn registry(settings: &Settings) -> Registry {
    let qemu = driver_qemu::opener(qemu(settings));
    if let Err(error) = qemu.up() {
        // The next connection tries again, and is told why it fails.
        virt_log::error!("daemon", "the QEMU driver does not come up: {error}");
    }
    Registry::new().with(driver_test::opener()).with(qemu)
}

/// Compat: libvirt's layout. Other programs read the pid files, the log files and the sockets.
fn qemu(settings: &Settings) -> driver_qemu::Settings {
    let dirs = &settings.dirs;
    let (uri, dirs) = if settings.system {
        let run = dirs.run.join("qemu");
        let dirs = driver_qemu::Dirs {
            config: dirs.config.join("qemu"),
            lib: dirs.state.join("qemu"),
            log: dirs.log.join("qemu"),
            cache: dirs.cache.join("qemu"),
            channel: run.join("channel"),
            run,
        };
        ("qemu:///system", dirs)
    } else {
        let (config, cache) = (dirs.config.join("qemu"), dirs.cache.join("qemu"));
        let run = dirs.run.join("qemu/run");
        let dirs = driver_qemu::Dirs {
            lib: config.join("lib"),
            log: cache.join("log"),
            cache: cache.join("cache"),
            channel: run.join("channel"),
            config,
            run,
        };
        ("qemu:///session", dirs)
    };
    driver_qemu::Settings { uri: uri.to_owned(), dirs, user: None }
}
