//! The far end of `driver+ssh://`: joins its input and output to a daemon's socket on this host.

use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::process::ExitCode;

use virt_transport::{Target, Transport, Uri, User};

const USAGE: &str = "
Usage:
  virt-ssh-helper [-r] URI

  -r | --readonly  Reach the socket for reading only
  -h | --help      Display program help
  -v | --version   Display version information
";

fn main() -> ExitCode {
    let mut read_only = false;
    let mut uri = None;
    for word in std::env::args().skip(1) {
        match word.as_str() {
            "-r" | "--readonly" => read_only = true,
            "-h" | "--help" => return print(USAGE),
            "-v" | "--version" => {
                return print(&format!(
                    "virt-ssh-helper (ferrovirt) {}\n",
                    env!("CARGO_PKG_VERSION")
                ));
            }
            option if option.starts_with('-') => return fail(&format!("unknown option {option}")),
            other => uri = Some(other.to_owned()),
        }
    }
    let Some(uri) = uri else { return fail("expected a URI") };
    match reach(&uri, read_only).and_then(|socket| join(socket).map_err(|error| error.to_string()))
    {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => fail(&message),
    }
}

fn print(text: &str) -> ExitCode {
    match io::stdout().write_all(text.as_bytes()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

fn fail(message: &str) -> ExitCode {
    let _ = writeln!(io::stderr(), "virt-ssh-helper: {message}");
    ExitCode::FAILURE
}

fn reach(uri: &str, read_only: bool) -> Result<UnixStream, String> {
    let refused = |error: virt_error::Error| error.message().to_owned();
    let uri = Uri::parse(uri).map_err(refused)?;
    let target = Target::of(&uri, &User::current(), read_only).map_err(refused)?;
    if target.transport != Transport::Unix {
        return Err(format!("'{uri}' is not on this host"));
    }
    driver_remote::reach_local(&target).map_err(refused)
}

/// Carries bytes both ways until the daemon hangs up.
fn join(socket: UnixStream) -> io::Result<()> {
    let inward = socket.try_clone()?;
    // It ends with the program at the latest: nobody can end a read of the input from outside.
    std::thread::spawn(move || {
        let _ = carry(&mut io::stdin().lock(), &mut &inward);
        let _ = inward.shutdown(Shutdown::Write);
    });
    carry(&mut &socket, &mut io::stdout().lock())
}

/// Copies what comes as it comes.
fn carry(from: &mut dyn Read, to: &mut dyn Write) -> io::Result<()> {
    let mut bytes = vec![0; 64 << 10];
    loop {
        let count = match from.read(&mut bytes) {
            Ok(0) => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            read => read?,
        };
        to.write_all(bytes.get(..count).unwrap_or_default())?;
        to.flush()?;
    }
}
