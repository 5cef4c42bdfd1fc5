//! The options before the command.

use virt_cli::{
    Format, GlobalOption, GlobalTyped, Takes, complain, options_overview, scan_globals,
};

use crate::commands::host::VERSION;
use crate::escape::Escape;
use crate::shell::Settings;
use crate::table::TABLE;

const fn option(letter: char, short: bool, long: &'static str, takes: Takes) -> GlobalOption {
    GlobalOption { letter, short, long, takes }
}

/// The long form `--version` has no letter of its own; this one stands for it in what was typed.
const LONG_VERSION: char = 'w';

/// So has `--output`.
const OUTPUT: char = 'o';

const OPTIONS: &[GlobalOption] = &[
    option('c', true, "connect", Takes::Value),
    option('d', true, "debug", Takes::Value),
    option('e', true, "escape", Takes::Value),
    option('h', true, "help", Takes::Nothing),
    option('k', true, "keepalive-interval", Takes::Value),
    option('K', true, "keepalive-count", Takes::Value),
    option('l', true, "log", Takes::Value),
    option(OUTPUT, false, "output", Takes::Value),
    option('q', true, "quiet", Takes::Nothing),
    option('r', true, "readonly", Takes::Nothing),
    option('t', true, "timing", Takes::Nothing),
    option('v', true, "", Takes::Nothing),
    option('V', true, "", Takes::Nothing),
    option(LONG_VERSION, false, "version", Takes::Maybe),
];

/// What the options lead to.
pub(crate) enum Start {
    /// Run the rest of the words.
    Run(Settings, Vec<String>),
    /// Everything is said; whether it was a success.
    Done(bool),
}

pub(crate) fn read(words: &[String]) -> Start {
    let mut settings = from_environment();
    let (typed, end) = scan_globals(OPTIONS, words);
    for option in &typed {
        match obey(&mut settings, option) {
            Ok(Next::Go) => {}
            Ok(Next::Stop) => return Start::Done(true),
            Err(message) => return refuse(&message),
        }
    }
    match end {
        Ok(at) => Start::Run(settings, words.get(at..).unwrap_or_default().to_vec()),
        Err(message) => refuse(&message),
    }
}

fn refuse(message: &str) -> Start {
    complain(format_args!("error: {message}"));
    Start::Done(false)
}

/// Settings before any option: the environment names a connection and a level of messages.
fn from_environment() -> Settings {
    let named = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let mut settings = Settings {
        uri: named("VIRSH_DEFAULT_CONNECT_URI").or_else(|| named("LIBVIRT_DEFAULT_URI")),
        ..Settings::default()
    };
    if let Some(level) = named("VIRSH_DEBUG").and_then(|text| text.parse().ok()) {
        settings.session.debug = level;
    }
    settings
}

enum Next {
    Go,
    Stop,
}

fn obey(settings: &mut Settings, typed: &GlobalTyped) -> Result<Next, String> {
    let value = typed.value.as_deref().unwrap_or_default();
    match typed.option {
        'c' => {
            settings.uri = (!value.is_empty()).then(|| value.to_owned());
            settings.session.connects_first = true;
        }
        'd' => settings.session.set_debug(typed)?,
        'e' => {
            settings.escape = Escape::parse(value)
                .ok_or_else(|| format!("Invalid string '{value}' for escape sequence"))?;
        }
        'h' => {
            print_usage();
            return Ok(Next::Stop);
        }
        'k' => settings.keepalive.0 = Some(count(typed, value)?),
        'K' => settings.keepalive.1 = Some(count(typed, value)?),
        'l' => settings.session.set_log(value)?,
        OUTPUT => settings.output = Some(Format::parse(value)?),
        'q' => settings.session.quiet = true,
        'r' => settings.read_only = true,
        't' => settings.session.timing = true,
        'V' => {
            print_long_version();
            return Ok(Next::Stop);
        }
        _ => {
            match value {
                "long" => print_long_version(),
                _ => print(&format!("{VERSION}\n")),
            }
            return Ok(Next::Stop);
        }
    }
    Ok(Next::Go)
}

fn count(typed: &GlobalTyped, value: &str) -> Result<i32, String> {
    let number: i32 =
        value.parse().map_err(|_| format!("Invalid value for option {}", typed.spelling))?;
    match number {
        0.. => Ok(number),
        _ => Err(format!("option {} requires a positive integer argument", typed.spelling)),
    }
}

fn print(text: &str) {
    use std::io::Write as _;
    let _ = std::io::stdout().write_all(text.as_bytes());
}

fn print_long_version() {
    print(&format!(
        "Virsh command line tool of libvirt {VERSION}\n\
         Ferrovirt's own: see CONTRIBUTING.md beside its sources\n\n\
         Compiled with support for:\n Hypervisors: QEMU/KVM Test\n Networking: Remote\n \
         Storage: Test\n Miscellaneous: Daemon Readline\n"
    ));
}

/// How each option is written, and what it does.
pub(crate) const EXPLAINED: &[(&str, &str)] = &[
    ("-c | --connect=URI", "which hypervisor to connect to"),
    ("-d | --debug=NUM", "show messages from this level on [0-4]"),
    ("-e | --escape <char>", "key that leaves a console"),
    ("-h | --help", "show this"),
    ("-k | --keepalive-interval=NUM", "seconds between keepalive messages, 0 for none"),
    ("-K | --keepalive-count=NUM", "how many keepalive messages may stay unanswered"),
    ("-l | --log=FILE", "also write errors to this file"),
    ("     --output=FORMAT", "print facts for programs: json, yaml, table or name"),
    ("-q | --quiet", "print results only"),
    ("-r | --readonly", "connect without the right to change anything"),
    ("-t | --timing", "print how long each command took"),
    ("-v", "short version"),
    ("-V", "long version"),
    ("     --version[=TYPE]", "version, TYPE is short or long (default short)"),
];

fn print_usage() {
    let line = |(label, help): &(&str, &str)| match label.len() {
        ..24 => format!("    {label:<24}{help}\n"),
        _ => format!("    {label}\n{:28}{help}\n", ""),
    };
    let options: String = EXPLAINED.iter().map(line).collect();
    print(&format!(
        "\nvirsh [options]... [<command_string>]\nvirsh [options]... <command> [args...]\n\n  \
         options:\n{options}  commands (non interactive mode):\n\n{}\n  \
         (help <group> lists the commands of a group)\n\n  \
         (help <command> explains one command)\n\n",
        options_overview(&TABLE, false)
    ));
}
