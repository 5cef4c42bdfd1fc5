//! What can be set: on the command line all of it, in the control file what may change at run time.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use crate::fault::Fault;
use crate::model::Hardware;
use crate::profile::{Profile, RELEASES};
use crate::size;
use crate::style::{Names, Style};

/// How a guest behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Guest {
    Normal,
    /// It does not react to being asked to stop.
    IgnoresStop,
    /// It takes no dynamic reconfiguration.
    NoDrd,
    /// It gives up half of the virtual CPUs that are asked back.
    PartialCpu,
}

const GUESTS: &[(&str, Guest)] = &[
    ("normal", Guest::Normal),
    ("ignores-stop", Guest::IgnoresStop),
    ("no-drd", Guest::NoDrd),
    ("partial-cpu", Guest::PartialCpu),
];

/// What may change while the manager runs.
#[derive(Clone, Debug)]
pub(crate) struct Live {
    pub(crate) style: Style,
    pub(crate) fault: Option<Fault>,
    /// The action that the fault is for; all of them without one.
    pub(crate) fault_action: Option<String>,
    /// How often the fault happens.
    pub(crate) fault_count: u64,
    pub(crate) guest: Guest,
    pub(crate) guests: Vec<(String, Guest)>,
    pub(crate) bind_delay: Duration,
    pub(crate) unbind_delay: Duration,
    pub(crate) start_delay: Duration,
    pub(crate) stop_delay: Duration,
    pub(crate) stop_timeout: Duration,
    pub(crate) boot_delay: Duration,
    pub(crate) migrate_delay: Duration,
    /// Local clients may change things.
    pub(crate) local_may_write: bool,
}

impl Live {
    /// How the guest of that domain behaves.
    pub(crate) fn guest(&self, domain: &str) -> Guest {
        let own = self.guests.iter().rfind(|(name, _)| name == domain);
        own.map_or(self.guest, |(_, guest)| *guest)
    }
}

/// Where console ports come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ConsolePorts {
    /// From the range of the concentrator, which has these bounds at first.
    Range(u16, u16),
    /// Any that the system has free.
    Chosen,
}

/// Everything that was asked for.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) profile: Profile,
    pub(crate) listen: SocketAddr,
    pub(crate) remote_listen: Option<SocketAddr>,
    pub(crate) ready: Option<PathBuf>,
    pub(crate) state: Option<PathBuf>,
    pub(crate) control: Option<PathBuf>,
    pub(crate) journal: Option<PathBuf>,
    pub(crate) users: Option<PathBuf>,
    /// Other managers by the names that migrations give them.
    pub(crate) peers: Vec<(String, SocketAddr)>,
    pub(crate) has_tls: bool,
    pub(crate) certificate: Option<PathBuf>,
    pub(crate) key: Option<PathBuf>,
    pub(crate) hardware: Hardware,
    pub(crate) control_vcpus: u32,
    pub(crate) control_memory_bytes: u64,
    pub(crate) hostname: String,
    pub(crate) console_address: std::net::IpAddr,
    pub(crate) console_ports: ConsolePorts,
    pub(crate) live: Live,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            profile: RELEASES.last().copied().unwrap_or_else(|| unreachable!("there are releases")),
            listen: SocketAddr::from(([127, 0, 0, 1], 6482)),
            remote_listen: None,
            ready: None,
            state: None,
            control: None,
            journal: None,
            users: None,
            peers: Vec::new(),
            has_tls: true,
            certificate: None,
            key: None,
            hardware: Hardware { strands: 128, threads_per_core: 8, memory_bytes: 128 << 30 },
            control_vcpus: 8,
            control_memory_bytes: 8 << 30,
            hostname: rustix::system::uname().nodename().to_string_lossy().into_owned(),
            console_address: std::net::IpAddr::from([127, 0, 0, 1]),
            console_ports: ConsolePorts::Range(5000, 5100),
            live: Live {
                style: Style::default(),
                fault: None,
                fault_action: None,
                fault_count: u64::MAX,
                guest: Guest::Normal,
                guests: Vec::new(),
                bind_delay: Duration::ZERO,
                unbind_delay: Duration::ZERO,
                start_delay: Duration::ZERO,
                stop_delay: Duration::ZERO,
                stop_timeout: Duration::from_millis(500),
                boot_delay: Duration::ZERO,
                migrate_delay: Duration::from_millis(400),
                local_may_write: true,
            },
        }
    }
}

type Set = fn(&mut Settings, &str) -> Result<(), String>;

/// One option: its name, what follows it, whether the control file may hold it, what it is for.
struct Rule {
    name: &'static str,
    argument: &'static str,
    is_live: bool,
    help: &'static str,
    set: Set,
}

const fn fixed(name: &'static str, argument: &'static str, help: &'static str, set: Set) -> Rule {
    Rule { name, argument, is_live: false, help, set }
}

const fn live(name: &'static str, argument: &'static str, help: &'static str, set: Set) -> Rule {
    Rule { name, argument, is_live: true, help, set }
}

const RULES: &[Rule] = &[
    fixed("profile", "RELEASE", "release of the manager: 1.0 to 3.6", |all, text| {
        all.profile = Profile::parse(text).ok_or("no such release")?;
        Ok(())
    }),
    fixed("listen", "ADDRESS:PORT", "where local clients connect; port 0 is any", |all, text| {
        all.listen = text.parse().map_err(|_| "not ADDRESS:PORT")?;
        Ok(())
    }),
    fixed("remote-listen", "ADDRESS:PORT", "where clients log in with SASL PLAIN", |all, text| {
        all.remote_listen = Some(text.parse().map_err(|_| "not ADDRESS:PORT")?);
        Ok(())
    }),
    fixed("ready-file", "FILE", "write the addresses there when all is ready", |all, text| {
        all.ready = Some(text.into());
        Ok(())
    }),
    fixed(
        "state-dir",
        "DIR",
        "keep the domains there, so that a restart finds them",
        |all, text| {
            all.state = Some(text.into());
            Ok(())
        },
    ),
    fixed("control-file", "FILE", "read settings from there whenever it changes", |all, text| {
        all.control = Some(text.into());
        Ok(())
    }),
    fixed("request-log", "FILE", "add a line there for each command that is asked", |all, text| {
        all.journal = Some(text.into());
        Ok(())
    }),
    fixed("users-file", "FILE", "lines of NAME:PASSWORD:read or :write", |all, text| {
        all.users = Some(text.into());
        Ok(())
    }),
    fixed("peer", "NAME=ADDRESS:PORT", "another ldmd-sim that takes migrations", |all, text| {
        let (name, address) = text.split_once('=').ok_or("not NAME=ADDRESS:PORT")?;
        let address = address.parse().map_err(|_| "not NAME=ADDRESS:PORT")?;
        all.peers.push((name.to_owned(), address));
        Ok(())
    }),
    fixed("tls", "on|off", "whether streams must be encrypted (on)", |all, text| {
        all.has_tls = switch(text)?;
        Ok(())
    }),
    fixed(
        "certificate",
        "FILE",
        "certificate chain in PEM instead of one made now",
        |all, text| {
            all.certificate = Some(text.into());
            Ok(())
        },
    ),
    fixed("key", "FILE", "private key of the certificate in PEM", |all, text| {
        all.key = Some(text.into());
        Ok(())
    }),
    fixed("strands", "N", "strands of the machine (128)", |all, text| {
        all.hardware.strands = count(text)?;
        Ok(())
    }),
    fixed("threads-per-core", "N", "strands of a core (8)", |all, text| {
        all.hardware.threads_per_core = count(text)?;
        Ok(())
    }),
    fixed("memory", "SIZE", "memory of the machine (128G)", |all, text| {
        all.hardware.memory_bytes = memory(text)?;
        Ok(())
    }),
    fixed("primary-vcpus", "N", "strands of the control domain (8)", |all, text| {
        all.control_vcpus = count(text)?;
        Ok(())
    }),
    fixed("primary-memory", "SIZE", "memory of the control domain (8G)", |all, text| {
        all.control_memory_bytes = memory(text)?;
        Ok(())
    }),
    fixed("hostname", "NAME", "name of the control domain's host", |all, text| {
        text.clone_into(&mut all.hostname);
        Ok(())
    }),
    fixed("console-address", "ADDRESS", "where consoles listen (127.0.0.1)", |all, text| {
        all.console_address = text.parse().map_err(|_| "not an address")?;
        Ok(())
    }),
    fixed(
        "console-ports",
        "MIN-MAX|0",
        "range of console ports (5000-5100); 0 is any",
        |all, text| {
            all.console_ports = match text.split_once('-') {
                None if text == "0" => ConsolePorts::Chosen,
                None => return Err("not MIN-MAX or 0".to_owned()),
                Some((min, max)) => {
                    let port = |text: &str| text.parse::<u16>().map_err(|_| "not MIN-MAX or 0");
                    ConsolePorts::Range(port(min)?, port(max)?)
                }
            };
            Ok(())
        },
    ),
    live("answers", "many|one", "all domains in many data elements or in one", |all, text| {
        all.live.style.one_data = choice(text, &[("many", false), ("one", true)])?;
        Ok(())
    }),
    live("id", "plain|ovf", "attribute with a domain's name: id or ovf:id", |all, text| {
        all.live.style.ovf_id = choice(text, &[("plain", false), ("ovf", true)])?;
        Ok(())
    }),
    live("names", "declared|undeclared|odd", "prefixes and namespaces of answers", |all, text| {
        let names =
            [("declared", Names::Declared), ("undeclared", Names::Undeclared), ("odd", Names::Odd)];
        all.live.style.names = choice(text, &names)?;
        Ok(())
    }),
    live("layout", "compact|pretty", "white space in answers", |all, text| {
        all.live.style.pretty = choice(text, &[("compact", false), ("pretty", true)])?;
        Ok(())
    }),
    live("sizes", "units|bytes", "how sizes of memory are written", |all, text| {
        all.live.style.bytes = choice(text, &[("units", false), ("bytes", true)])?;
        Ok(())
    }),
    live("status", "lower|upper", "spelling of success and failure", |all, text| {
        all.live.style.upper_status = choice(text, &[("lower", false), ("upper", true)])?;
        Ok(())
    }),
    live("declaration", "on|off", "an XML declaration before each answer", |all, text| {
        all.live.style.declaration = switch(text)?;
        Ok(())
    }),
    live("extras", "on|off", "resources and keys that no client knows", |all, text| {
        all.live.style.extras = switch(text)?;
        Ok(())
    }),
    live("warnings", "on|off", "a warning in every answer (releases from 3.6)", |all, text| {
        all.live.style.warnings = switch(text)?;
        Ok(())
    }),
    live("fault", "KIND", "what goes wrong: see docs/ldoms.md for the kinds", |all, text| {
        all.live.fault = Fault::parse(text)?;
        Ok(())
    }),
    live("fault-action", "ACTION", "the action that the fault is for", |all, text| {
        all.live.fault_action = Some(text.to_owned()).filter(|action| !action.is_empty());
        Ok(())
    }),
    live("fault-count", "N", "how often the fault happens", |all, text| {
        all.live.fault_count = text.parse().map_err(|_| "not a number")?;
        Ok(())
    }),
    live("guest", "[NAME=]KIND", "normal, ignores-stop, no-drd or partial-cpu", |all, text| {
        match text.split_once('=') {
            None => all.live.guest = choice(text, GUESTS)?,
            Some((name, kind)) => {
                all.live.guests.push((name.trim().to_owned(), choice(kind.trim(), GUESTS)?));
            }
        }
        Ok(())
    }),
    live("bind-delay", "MS", "how long binding takes", |all, text| {
        milliseconds(text, &mut all.live.bind_delay)
    }),
    live("unbind-delay", "MS", "how long unbinding takes", |all, text| {
        milliseconds(text, &mut all.live.unbind_delay)
    }),
    live("start-delay", "MS", "how long starting takes", |all, text| {
        milliseconds(text, &mut all.live.start_delay)
    }),
    live("stop-delay", "MS", "how long a guest takes to stop", |all, text| {
        milliseconds(text, &mut all.live.stop_delay)
    }),
    live("stop-timeout", "MS", "how long one that ignores it is waited for (500)", |all, text| {
        milliseconds(text, &mut all.live.stop_timeout)
    }),
    live("boot-delay", "MS", "how long a guest stays in OpenBoot", |all, text| {
        milliseconds(text, &mut all.live.boot_delay)
    }),
    live("migrate-delay", "MS", "how long a migration takes (400)", |all, text| {
        milliseconds(text, &mut all.live.migrate_delay)
    }),
    live("local-rights", "read|write", "what local clients may do", |all, text| {
        all.live.local_may_write = choice(text, &[("read", false), ("write", true)])?;
        Ok(())
    }),
];

fn choice<T: Copy>(text: &str, from: &[(&str, T)]) -> Result<T, String> {
    let found = from.iter().find(|(name, _)| *name == text);
    found.map(|(_, value)| *value).ok_or_else(|| {
        let names: Vec<&str> = from.iter().map(|(name, _)| *name).collect();
        format!("not one of {}", names.join(", "))
    })
}

fn switch(text: &str) -> Result<bool, String> {
    choice(text, &[("on", true), ("off", false)])
}

/// Limit: strands and cores; what a list of them all takes stays small.
const COUNT_MAX: u32 = 65_536;

fn count(text: &str) -> Result<u32, String> {
    let number = text.parse().ok().filter(|number| (1..=COUNT_MAX).contains(number));
    number.ok_or_else(|| format!("not a number from 1 to {COUNT_MAX}"))
}

fn memory(text: &str) -> Result<u64, String> {
    const MAX: u64 = 1 << 50;
    size::parse(text).filter(|bytes| *bytes <= MAX).ok_or_else(|| "not a size".to_owned())
}

fn milliseconds(text: &str, into: &mut Duration) -> Result<(), String> {
    const MAX: u64 = 3_600_000;
    let number = text.parse().ok().filter(|number| *number <= MAX);
    *into = Duration::from_millis(number.ok_or("not a number of milliseconds")?);
    Ok(())
}

/// What the command line comes to.
pub(crate) enum Asked {
    Run(Box<Settings>),
    Help,
    Version,
}

/// Reads the arguments after the program's name.
pub(crate) fn parse(args: impl IntoIterator<Item = String>) -> Result<Asked, String> {
    let mut settings = Settings::default();
    let mut words = args.into_iter();
    while let Some(word) = words.next() {
        let (name, value) = match word.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (word.as_str(), None),
        };
        match name {
            "--help" | "-h" => return Ok(Asked::Help),
            "--version" | "-V" => return Ok(Asked::Version),
            _ => {}
        }
        let rule = name.strip_prefix("--").and_then(rule);
        let rule = rule.ok_or_else(|| format!("unrecognized option '{name}'"))?;
        let value = value.or_else(|| words.next());
        let value = value.ok_or_else(|| format!("option '{name}' requires an argument"))?;
        (rule.set)(&mut settings, &value).map_err(|why| format!("{name} {value}: {why}"))?;
    }
    if settings.hardware.threads_per_core > settings.hardware.strands {
        return Err("there are fewer strands than a core has".to_owned());
    }
    Ok(Asked::Run(Box::new(settings)))
}

fn rule(name: &str) -> Option<&'static Rule> {
    RULES.iter().find(|rule| rule.name == name)
}

/// The settings with what a control file says: lines of `name = value`, `#` begins a remark.
pub(crate) fn with_control(settings: &Settings, text: &str) -> Result<Live, String> {
    let mut all = settings.clone();
    for (at, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let fail = |why: &str| format!("line {}: {why}", at + 1);
        let (name, value) = line.split_once('=').ok_or_else(|| fail("not name = value"))?;
        let rule = rule(name.trim()).filter(|rule| rule.is_live);
        let rule = rule.ok_or_else(|| fail("no setting that can change at run time"))?;
        (rule.set)(&mut all, value.trim()).map_err(|why| fail(&why))?;
    }
    Ok(all.live)
}

/// What `--help` prints.
pub(crate) fn help() -> String {
    let mut text =
        "Usage:\n  ldmd-sim [options]\n\nA simulator of the Logical Domains manager.\n".to_owned();
    for (title, is_live) in [("Options", false), ("Options that the control file may hold", true)] {
        text.push_str(&format!("\n{title}:\n"));
        for rule in RULES.iter().filter(|rule| rule.is_live == is_live) {
            let left = format!("--{} {}", rule.name, rule.argument);
            text.push_str(&format!("  {left:<34} {}\n", rule.help));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(line: &str) -> Result<Settings, String> {
        match parse(line.split_whitespace().map(str::to_owned))? {
            Asked::Run(settings) => Ok(*settings),
            Asked::Help | Asked::Version => Err("no settings".to_owned()),
        }
    }

    #[test]
    fn options_are_taken_in_both_spellings_and_refused_with_a_reason() {
        let found = settings("--profile=1.2 --listen 127.0.0.1:0 --guest web1=no-drd").unwrap();
        assert_eq!(found.profile.to_string(), "1.2");
        assert_eq!(found.live.guest("web1"), Guest::NoDrd);
        assert_eq!(found.live.guest("web2"), Guest::Normal);
        for bad in ["--none x", "--strands 0", "--memory x", "--profile", "--layout wide", "x"] {
            assert!(settings(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_control_file_changes_what_may_change_and_starts_from_the_command_line() {
        let all = settings("--layout pretty").unwrap();
        let live = with_control(&all, "# remark\n\nids = x\n");
        assert_eq!(live.err().as_deref(), Some("line 3: no setting that can change at run time"));
        let live = with_control(&all, "id = ovf\nstop-delay = 20\n").unwrap();
        assert!(live.style.ovf_id && live.style.pretty);
        assert_eq!(live.stop_delay, Duration::from_millis(20));
        assert!(with_control(&all, "strands = 8").is_err());
    }
}
