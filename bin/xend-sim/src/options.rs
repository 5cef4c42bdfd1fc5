//! The program's arguments.

use std::net::SocketAddr;
use std::path::PathBuf;

use crate::profile::{PROFILES, Profile};

pub(crate) const HELP: &str = "\
usage: xend-sim [OPTION...]
  --profile RELEASE      3.0.0 3.0.1 3.0.2 3.0.3 3.0.4 3.1 3.2 3.3 3.4 4.0 4.1 4.4 (4.1)
  --unix PATH            xend's socket
  --listen ADDRESS       xend over TCP, such as 127.0.0.1:0
  --relocation ADDRESS   where guests come in from other hosts
  --hosts-allow RULES    regular expressions of hosts that guests may come from
  --xenstore PATH        xenstored's socket
  --domains-dir DIR      where managed domains are kept (/var/lib/xend/domains)
  --host NAME            the host's name
  --memory MIB           of the host (8192)
  --cpus COUNT           of the host (4)
  --no-hvm               its processors cannot run full guests
  --switches LIST        bridges that the host has, commas between them (any)
  --guest-ms COUNT       how long a guest takes to shut down (100)
  --control-file PATH    fault=WORD lines, read at each request
  --log PATH             a line for each request
  --ready-file PATH      written when clients can come: the addresses
";

#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) profile: Profile,
    pub(crate) unix: Option<PathBuf>,
    pub(crate) listen: Option<SocketAddr>,
    pub(crate) relocation: Option<SocketAddr>,
    pub(crate) hosts_allow: String,
    pub(crate) xenstore: Option<PathBuf>,
    pub(crate) domains: Option<PathBuf>,
    pub(crate) host: String,
    pub(crate) memory_mib: u64,
    pub(crate) cpus: u32,
    pub(crate) hvm: bool,
    pub(crate) switches: Option<Vec<String>>,
    pub(crate) guest_ms: u64,
    pub(crate) control: Option<PathBuf>,
    pub(crate) log: Option<PathBuf>,
    pub(crate) ready: Option<PathBuf>,
}

pub(crate) enum Asked {
    Help,
    Version,
    Run(Box<Settings>),
}

pub(crate) fn parse(args: impl IntoIterator<Item = String>) -> Result<Asked, String> {
    let mut settings = Settings {
        profile: Profile::parse("4.1").ok_or("no release")?,
        unix: None,
        listen: None,
        relocation: None,
        hosts_allow: String::new(),
        xenstore: None,
        domains: None,
        host: "xenhost".to_owned(),
        memory_mib: 8192,
        cpus: 4,
        hvm: true,
        switches: None,
        guest_ms: 100,
        control: None,
        log: None,
        ready: None,
    };
    let mut args = args.into_iter();
    while let Some(option) = args.next() {
        match option.as_str() {
            "--help" => return Ok(Asked::Help),
            "--version" => return Ok(Asked::Version),
            "--no-hvm" => settings.hvm = false,
            _ => {
                let value = args.next().ok_or_else(|| format!("{option} needs a value"))?;
                set(&mut settings, &option, value)?;
            }
        }
    }
    Ok(Asked::Run(Box::new(settings)))
}

fn set(settings: &mut Settings, option: &str, value: String) -> Result<(), String> {
    let address = |text: &str| {
        text.parse::<SocketAddr>().map(Some).map_err(|error| format!("{text}: {error}"))
    };
    match option {
        "--profile" => {
            settings.profile = Profile::parse(&value)
                .ok_or_else(|| format!("no release '{value}', but {}", PROFILES.join(" ")))?;
        }
        "--unix" => settings.unix = Some(value.into()),
        "--listen" => settings.listen = address(&value)?,
        "--relocation" => settings.relocation = address(&value)?,
        "--hosts-allow" => settings.hosts_allow = value,
        "--xenstore" => settings.xenstore = Some(value.into()),
        "--domains-dir" => settings.domains = Some(value.into()),
        "--host" => settings.host = value,
        "--memory" => settings.memory_mib = number(&value)?,
        "--cpus" => settings.cpus = u32::try_from(number(&value)?.clamp(1, 256)).unwrap_or(1),
        "--switches" => {
            settings.switches = Some(value.split(',').map(str::to_owned).collect());
        }
        "--guest-ms" => settings.guest_ms = number(&value)?,
        "--control-file" => settings.control = Some(value.into()),
        "--log" => settings.log = Some(value.into()),
        "--ready-file" => settings.ready = Some(value.into()),
        other => return Err(format!("unknown option '{other}'")),
    }
    Ok(())
}

fn number(text: &str) -> Result<u64, String> {
    text.parse().map_err(|_| format!("'{text}' is no number"))
}
