//! The daemon: sockets, worker pool, and the drivers it serves.
//!
//! One thread runs the I/O loop ([`server`], [`hall`], [`serve`]): it cuts what clients send into messages
//! and answers what waits for nothing. All else goes to workers ([`pool`]), which write their
//! answers straight to the client's socket ([`outbox`]).

mod activation;
mod admin;
mod args;
mod auth;
mod calls;
mod client;
mod crowd;
mod daemonize;
mod drivers;
mod entry;
mod events;
mod hall;
pub mod harness;
mod limits;
mod monitors;
mod outbox;
mod pace;
mod pidfile;
mod polkit;
mod pool;
mod secure;
mod serve;
mod server;
mod session;
mod settings;
mod streams;
mod watched;

use std::io::Write;
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use virt_access::Policy;
use virt_model::schema::explain;
use virt_transport::sasl::Secret;
use virt_transport::{Listen, tcp};

use args::{Args, Asked};
use calls::Server;
use entry::{Auth, Way};
use pidfile::PidFile;
use server::{Door, Socket};
use settings::Settings;

/// The program: reads the command line, serves, and tells how it ended.
pub fn main() -> ExitCode {
    let name = "virtd";
    if let Err(error) = virt_host::run_as_asked() {
        // What it writes here is in the guest's log and explains why it did not start.
        let source = error.source_io().map_or_else(String::new, |source| format!(": {source}"));
        let _ = writeln!(std::io::stderr(), "{name}: {error}{source}");
        return ExitCode::FAILURE;
    }
    match args::parse(std::env::args().skip(1)) {
        Ok(Asked::Help) => print(&args::help(name)),
        Ok(Asked::Version) => print(&format!("{name} (ferrovirt) {}\n", env!("CARGO_PKG_VERSION"))),
        Ok(Asked::SaslPassword(user)) => match password_line(&user) {
            Ok(line) => print(&line),
            Err(message) => {
                let _ = writeln!(std::io::stderr(), "{name}: {message}");
                ExitCode::FAILURE
            }
        },
        Ok(Asked::Run(args)) => match start(&args) {
            Ok(()) => ExitCode::SUCCESS,
            Err(message) => {
                virt_log::error!("daemon", "{message}");
                if daemonize::is_child() {
                    // The log is elsewhere; whoever started us waits for a word.
                    let _ = writeln!(std::io::stderr(), "{name}: {message}");
                }
                ExitCode::FAILURE
            }
        },
        Err(message) => {
            let _ = write!(std::io::stderr(), "{name}: {message}\n{}", args::help(name));
            ExitCode::FAILURE
        }
    }
}

/// What the file of users is to hold for a user whose password is read from standard input.
fn password_line(user: &str) -> Result<String, String> {
    let mut password = String::new();
    std::io::stdin().read_line(&mut password).map_err(|error| error.to_string())?;
    let password = password.trim_end_matches(['\n', '\r']);
    if password.is_empty() || user.is_empty() || user.contains([':', '\n', '#']) {
        return Err("a user needs a name without ':' and '#', and a password".to_owned());
    }
    let secret = Secret::new(password).ok_or("there is no randomness")?;
    Ok(format!("{user}:{secret}\n"))
}

fn print(text: &str) -> ExitCode {
    match std::io::stdout().write_all(text.as_bytes()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

fn start(args: &Args) -> Result<(), String> {
    let env = virt_log::configure_from_env().map_err(|error| error.to_string())?;
    let settings = Settings::load(args)?;
    if args.daemon && !daemonize::is_child() {
        return daemonize::start_child();
    }
    make_dirs(&settings)?;
    configure_log(args, &settings, env).map_err(|error| error.to_string())?;
    log_warnings_of_documents();
    let pid_file = pid_file(args, &settings);
    let held = PidFile::take(&std::path::absolute(&pid_file).unwrap_or(pid_file))?;
    if args.daemon {
        daemonize::detach()?;
    }
    // Order: with rules that cannot be read, nobody is let in.
    let access = settings.access()?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .build()
        .map_err(|error| format!("cannot start the I/O loop: {error}"))?;
    // Order: signals are ours before anybody can knock; what is made here is then taken away.
    let signals =
        server::Signals::take(&runtime).map_err(|error| format!("cannot take signals: {error}"))?;
    let (doors, made) = doors(args, &settings)?;
    let result = serve(args, settings, access, &runtime, signals, doors);
    made.iter().for_each(|path| drop(std::fs::remove_file(path)));
    drop(held);
    result
}

fn serve(
    args: &Args,
    settings: Settings,
    access: Option<Arc<Policy>>,
    runtime: &tokio::runtime::Runtime,
    signals: server::Signals,
    doors: Vec<Door>,
) -> Result<(), String> {
    let tls = match doors.iter().any(|door| door.way == Way::Tls) {
        true => Some(settings.entries.server_tls().map_err(|error| error.to_string())?),
        false => None,
    };
    let drivers = drivers::Drivers::start(&settings);
    let server = Arc::new(Server::new(settings, drivers, tls, access, runtime.handle().clone()));
    let daemon = args.daemon;
    let ready = move || {
        if daemon {
            daemonize::tell_ready();
        }
        if let Err(error) = sd_notify::notify(&[sd_notify::NotifyState::Ready]) {
            virt_log::warning!("daemon", "cannot notify the service manager: {error}");
        }
    };
    let result = server::run(runtime, &server, signals, doors, ready)
        .map_err(|error| format!("the I/O loop failed: {error}"));
    let _ = sd_notify::notify(&[sd_notify::NotifyState::Stopping]);
    result
}

fn make_dirs(settings: &Settings) -> Result<(), String> {
    let mode = if settings.system { 0o755 } else { 0o700 };
    let dirs = &settings.dirs;
    for dir in [&dirs.config, &dirs.state, &dirs.run, &dirs.log, &dirs.cache, &settings.socket_dir]
    {
        let made = std::fs::DirBuilder::new().recursive(true).mode(mode).create(dir);
        made.map_err(|error| format!("unable to create directory '{}': {error}", dir.display()))?;
    }
    Ok(())
}

/// A document that is taken may say what nothing comes of; whoever wrote it finds that in the log.
fn log_warnings_of_documents() {
    explain::listen(|fault| virt_log::warning!("util.xml", "{}", fault.explained()));
}

/// The environment wins over the file, the file over what the daemon would do by itself.
fn configure_log(
    args: &Args,
    settings: &Settings,
    env: virt_log::FromEnv,
) -> Result<(), virt_log::SettingError> {
    if !env.level {
        match settings.log_level {
            Some(number) => virt_log::set_level(
                virt_log::Level::from_number(number)
                    .ok_or(virt_log::SettingError::Level(number))?,
            ),
            None if args.verbose => virt_log::set_level(virt_log::Level::Info),
            None => {}
        }
    }
    if let (false, Some(filters)) = (env.filters, &settings.log_filters) {
        virt_log::set_filters(virt_log::parse_filters(filters)?);
    }
    if !env.outputs {
        match &settings.log_outputs {
            Some(outputs) => virt_log::set_outputs(virt_log::parse_outputs(outputs)?),
            None => virt_log::set_outputs(virt_log::parse_outputs(&settings.log_outputs_usual)?),
        }
    }
    Ok(())
}

/// Compat: the file is that daemon's of libvirt, so that the two never serve the same folders at once.
fn pid_file(args: &Args, settings: &Settings) -> PathBuf {
    match &args.pid_file {
        Some(path) => path.clone(),
        None if settings.system && args.base_dir.is_none() => {
            format!("/run/{}.pid", settings.daemon).into()
        }
        None => settings.dirs.run.join(format!("{}.pid", settings.daemon)),
    }
}

/// The sockets of the service manager, or our own; and the files to remove at the end.
fn doors(args: &Args, settings: &Settings) -> Result<(Vec<Door>, Vec<PathBuf>), String> {
    let passed = activation::doors(&settings.entries)?;
    if !passed.is_empty() {
        return Ok((passed, Vec::new()));
    }
    let group = match &settings.socket_group {
        Some(name) if settings.system => Some(group_id(name)?),
        _ => None,
    };
    let mut doors = Vec::new();
    let mut made = Vec::new();
    let entries = &settings.entries;
    let mut wanted =
        vec![(settings.socket(), settings.socket_mode, group, entries.auth_unix_rw, false, false)];
    if let Some(path) = settings.socket_ro() {
        let (mode, auth) = (settings.socket_mode_ro, entries.auth_unix_ro);
        wanted.push((path, mode, group, auth, true, false));
    }
    // Who administers the daemon owns it.
    wanted.push((settings.socket_admin(), 0o700, None, Auth::None, false, true));
    for (path, mode, group, auth, read_only, admin) in wanted {
        let limits = &settings.limits;
        let queued =
            if admin { limits.admin_clients_queued_max } else { limits.clients_queued_max };
        let backlog = i32::try_from(queued).unwrap_or(i32::MAX);
        let wanted = Listen { path: &path, mode, group, backlog };
        let listener = virt_transport::listen(&wanted).map_err(|error| error.to_string())?;
        doors.push(Door {
            listener: Socket::Unix(listener),
            read_only,
            admin,
            auth,
            way: Way::Unix,
        });
        made.push(path);
    }
    if args.listen {
        doors.extend(network_doors(settings)?);
    }
    Ok((doors, made))
}

/// The ways in over the network: only where the command line and the file both ask for them.
fn network_doors(settings: &Settings) -> Result<Vec<Door>, String> {
    let entries = &settings.entries;
    let backlog = i32::try_from(settings.limits.clients_queued_max).unwrap_or(i32::MAX);
    let mut doors = Vec::new();
    let tcp = (entries.listen_tcp, entries.tcp_port, entries.auth_tcp, Way::Tcp);
    let tls = (entries.listen_tls, entries.tls_port, entries.auth_tls, Way::Tls);
    for (_, port, auth, way) in [tcp, tls].into_iter().filter(|(wanted, ..)| *wanted) {
        let listeners = tcp::listen(entries.listen_addr.as_deref(), port, backlog);
        for listener in listeners.map_err(|error| error.to_string())? {
            doors.push(Door {
                listener: Socket::Tcp(listener),
                read_only: false,
                admin: false,
                auth,
                way,
            });
        }
    }
    Ok(doors)
}

/// A group's number by its name, or the number itself.
fn group_id(name: &str) -> Result<u32, String> {
    let unknown = || format!("Failed to parse group '{name}'");
    let groups = std::fs::read_to_string("/etc/group").map_err(|_| unknown())?;
    let by_name = groups.lines().find_map(|line| {
        let mut fields = line.split(':');
        (fields.next() == Some(name)).then(|| fields.nth(1)?.parse().ok()).flatten()
    });
    by_name.or_else(|| name.parse().ok()).ok_or_else(unknown)
}
