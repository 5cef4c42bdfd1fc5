//! `lkvm list`: every socket in the folder asked for its process and its state.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use crate::FATAL;

/// The folder that `HOME` names, if it is there.
pub(crate) fn home() -> Option<PathBuf> {
    std::env::var_os("HOME").map(PathBuf::from).filter(|home| home.is_dir())
}

pub(crate) fn print() -> ExitCode {
    let Some(home) = home() else { return ExitCode::from(FATAL) };
    println!("   PID NAME                 STATE\n------------------------------------");
    let entries = std::fs::read_dir(home.join(".lkvm")).into_iter().flatten().flatten();
    for path in entries.map(|entry| entry.path()) {
        let Some(name) = path.file_name().and_then(|name| name.to_str()) else { continue };
        let Some(name) = name.strip_suffix(".sock") else { continue };
        match ask(&path) {
            Some((pid, paused)) => {
                let state = if paused { "paused" } else { "running" };
                println!("{pid:5} {name:<20} {state}");
            }
            None => {
                eprintln!("Removing ghost socket file {}", path.display());
                drop(std::fs::remove_file(&path));
            }
        }
    }
    ExitCode::SUCCESS
}

fn ask(path: &Path) -> Option<(i32, bool)> {
    let mut client = UnixStream::connect(path).ok()?;
    let mut one = |kind: u32| {
        // In one piece: half a head would be taken for a client that parks.
        client.write_all(&[kind.to_ne_bytes(), 0_u32.to_ne_bytes()].concat()).ok()?;
        let mut reply = [0; 4];
        client.read_exact(&mut reply).ok()?;
        Some(i32::from_ne_bytes(reply))
    };
    let pid = one(7)?;
    Some((pid, one(8)? != 0))
}
