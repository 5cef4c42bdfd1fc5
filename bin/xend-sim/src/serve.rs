//! The program's main loop: listeners with a thread each, the clock, and signals.

use std::fs;
use std::io;
use std::net::TcpListener;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use signal_hook::consts::{SIGINT, SIGTERM};

use crate::options::Settings;
use crate::xend::Xend;
use crate::{http, relocate, store};

/// How often guests are looked after.
const TICK: Duration = Duration::from_millis(10);
/// How long a client may be silent.
const SILENCE_MAX: Duration = Duration::from_secs(60);

fn bind(path: &Path) -> Result<UnixListener, String> {
    // What an earlier run has left is in the way.
    let _ = fs::remove_file(path);
    UnixListener::bind(path).map_err(|error| format!("{}: {error}", path.display()))
}

/// Serves until the process is told to end.
pub(crate) fn run(settings: Settings) -> Result<(), String> {
    let ends = Arc::new(AtomicBool::new(false));
    for signal in [SIGTERM, SIGINT] {
        signal_hook::flag::register(signal, Arc::clone(&ends)).map_err(|e| e.to_string())?;
    }
    let text = |error: io::Error| error.to_string();
    let xend = Arc::new(Xend::new(settings));
    let settings = &xend.settings;
    let mut ready = format!("host={}\n", settings.host);
    if let Some(path) = &settings.unix {
        let listener = bind(path)?;
        let xend = Arc::clone(&xend);
        each(
            move || listener.accept(),
            move |(socket, _)| {
                let _ = socket.set_read_timeout(Some(SILENCE_MAX));
                http::serve(&xend, socket);
            },
        );
    }
    if let Some(address) = settings.listen {
        let listener = TcpListener::bind(address).map_err(text)?;
        ready.push_str(&format!("listen={}\n", listener.local_addr().map_err(text)?));
        let xend = Arc::clone(&xend);
        each(
            move || listener.accept(),
            move |(socket, _)| {
                let _ = socket.set_read_timeout(Some(SILENCE_MAX));
                http::serve(&xend, socket);
            },
        );
    }
    if let Some(address) = settings.relocation {
        let listener = TcpListener::bind(address).map_err(text)?;
        ready.push_str(&format!("relocation={}\n", listener.local_addr().map_err(text)?));
        let xend = Arc::clone(&xend);
        each(move || listener.accept(), move |(socket, _)| relocate::receive(&xend, socket));
    }
    if let Some(path) = &settings.xenstore {
        let listener = bind(path)?;
        let xend = Arc::clone(&xend);
        each(
            move || listener.accept(),
            move |(socket, _)| {
                let heard = Arc::clone(&xend);
                let wrote = Arc::new(move |path: &str| heard.wrote(path));
                store::serve(&xend.tree, socket, wrote, &|fault| xend.has_fault(fault));
            },
        );
    }
    if let Some(path) = &settings.ready {
        fs::write(path.with_extension("new"), &ready)
            .and_then(|()| fs::rename(path.with_extension("new"), path))
            .map_err(text)?;
    }
    while !ends.load(Ordering::Relaxed) {
        xend.tick();
        std::thread::sleep(TICK);
    }
    Ok(())
}

/// Takes clients on a thread, each of which gets one of its own.
fn each<C: Send + 'static>(
    accept: impl Fn() -> io::Result<C> + Send + 'static,
    serve: impl Fn(C) + Send + Sync + 'static,
) {
    let serve = Arc::new(serve);
    std::thread::spawn(move || {
        loop {
            match accept() {
                Ok(client) => {
                    let serve = Arc::clone(&serve);
                    std::thread::spawn(move || serve(client));
                }
                Err(_) => std::thread::sleep(TICK),
            }
        }
    });
}
