//! Log filters and outputs in libvirt's syntax; no domains.
//!
//! One logger a process, changeable while it runs. A message that nobody wants costs one relaxed
//! load and a comparison: its arguments are not even formatted.
//!
//! ```
//! virt_log::set_level(virt_log::Level::Info);
//! virt_log::info!("demo.greeter", "hello {}", "world");
//! ```

mod filter;
mod line;
mod output;

use std::fmt;
use std::sync::RwLock;
use std::sync::atomic::{AtomicU8, Ordering};

pub use filter::{Filter, parse_filters};
pub use line::timestamp;
pub use output::{Output, parse_outputs};

/// How grave a message is. The numbers are those of libvirt's configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Level {
    Debug = 1,
    Info = 2,
    Warning = 3,
    Error = 4,
}

impl Level {
    pub fn from_number(number: u32) -> Option<Self> {
        Some(match number {
            1 => Self::Debug,
            2 => Self::Info,
            3 => Self::Warning,
            4 => Self::Error,
            _ => return None,
        })
    }

    fn word(self) -> &'static str {
        match self {
            Self::Debug => "debug",
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }

    /// The severity of syslog and of the journal.
    fn syslog(self) -> u8 {
        match self {
            Self::Debug => 7,
            Self::Info => 6,
            Self::Warning => 4,
            Self::Error => 3,
        }
    }
}

/// What is wrong with a setting. The texts are libvirt's: people search for them.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SettingError {
    #[error("Failed to set logging priority, argument '{0}' is invalid")]
    Level(u32),
    #[error("Malformed format for filter '{0}'")]
    FilterFormat(String),
    #[error("Invalid priority '{priority}' for filter '{filter}'")]
    FilterLevel { priority: String, filter: String },
    #[error("Malformed format for log output '{0}'")]
    OutputFormat(String),
    #[error("Invalid priority '{priority}' for output '{output}'")]
    OutputLevel { priority: String, output: String },
    #[error("Invalid log destination '{name}' for log output '{output}'")]
    OutputName { name: String, output: String },
    #[error("'{path}' is not an absolute path")]
    OutputPath { path: String },
    #[error("failed to open {path}: {reason}")]
    OutputOpen { path: String, reason: String },
}

struct Logger {
    level: Level,
    filters: Vec<Filter>,
    outputs: Vec<Output>,
}

static LOGGER: RwLock<Logger> =
    RwLock::new(Logger { level: Level::Warning, filters: Vec::new(), outputs: Vec::new() });

/// The lowest level that any source may pass; what is below it is dropped without a lock.
static LEVEL_MIN: AtomicU8 = AtomicU8::new(Level::Warning as u8);

fn change(edit: impl FnOnce(&mut Logger)) {
    let mut logger = LOGGER.write().unwrap_or_else(std::sync::PoisonError::into_inner);
    edit(&mut logger);
    let least = logger.filters.iter().map(|filter| filter.level).fold(logger.level, Level::min);
    LEVEL_MIN.store(least as u8, Ordering::Relaxed);
}

/// Sets the level for sources that no filter names.
pub fn set_level(level: Level) {
    change(|logger| logger.level = level);
}

/// Replaces all filters.
pub fn set_filters(filters: Vec<Filter>) {
    change(|logger| logger.filters = filters);
}

/// Replaces all outputs; with none, messages go to standard error.
pub fn set_outputs(outputs: Vec<Output>) {
    change(|logger| logger.outputs = outputs);
}

/// The filters in force, as they are matched.
pub fn filters() -> Vec<String> {
    let logger = LOGGER.read().unwrap_or_else(std::sync::PoisonError::into_inner);
    logger.filters.iter().map(Filter::to_string).collect()
}

/// The outputs in force.
pub fn outputs() -> Vec<String> {
    let logger = LOGGER.read().unwrap_or_else(std::sync::PoisonError::into_inner);
    if logger.outputs.is_empty() {
        return vec![format!("{}:stderr", logger.level as u8)];
    }
    logger.outputs.iter().map(Output::to_string).collect()
}

/// Takes level, filters and outputs from `LIBVIRT_DEBUG`, `LIBVIRT_LOG_FILTERS` and
/// `LIBVIRT_LOG_OUTPUTS`. Returns which of the three were set.
pub fn configure_from_env() -> Result<FromEnv, SettingError> {
    let mut set = FromEnv::default();
    let text = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    if let Some(level) = text("LIBVIRT_DEBUG").and_then(|word| level_from_word(&word)) {
        set_level(level);
        set.level = true;
    }
    if let Some(filters) = text("LIBVIRT_LOG_FILTERS") {
        set_filters(parse_filters(&filters)?);
        set.filters = true;
    }
    if let Some(outputs) = text("LIBVIRT_LOG_OUTPUTS") {
        set_outputs(parse_outputs(&outputs)?);
        set.outputs = true;
    }
    Ok(set)
}

/// What [`configure_from_env`] found; the environment wins over a configuration file.
#[derive(Clone, Copy, Debug, Default)]
pub struct FromEnv {
    pub level: bool,
    pub filters: bool,
    pub outputs: bool,
}

/// Compat: `LIBVIRT_DEBUG` takes a number or a word.
fn level_from_word(word: &str) -> Option<Level> {
    match word {
        "debug" => Some(Level::Debug),
        "info" => Some(Level::Info),
        "warning" => Some(Level::Warning),
        "error" => Some(Level::Error),
        number => number.parse().ok().and_then(Level::from_number),
    }
}

/// Whether a message could be wanted. One load; the answer may be a too hopeful yes.
#[inline]
pub fn enabled(level: Level) -> bool {
    level as u8 >= LEVEL_MIN.load(Ordering::Relaxed)
}

/// Where in the program a message comes from.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    /// The name that filters match, as `rpc.server` or `qemu.monitor`.
    pub source: &'static str,
    pub module: &'static str,
    pub file: &'static str,
    pub line: u32,
}

/// Writes one message. Use the macros.
pub fn write(level: Level, place: Place, message: fmt::Arguments<'_>) {
    let logger = LOGGER.read().unwrap_or_else(std::sync::PoisonError::into_inner);
    let wanted = logger
        .filters
        .iter()
        .find(|filter| filter.matches(place.source, place.file))
        .map_or(logger.level, |filter| filter.level);
    if level < wanted {
        return;
    }
    let record = line::Record::new(level, place, message.to_string());
    if logger.outputs.is_empty() {
        output::write_stderr(&record);
    }
    for output in logger.outputs.iter().filter(|output| level >= output.level) {
        output.write(&record);
    }
}

/// Logs at a level: `log!(Level::Info, "rpc.server", "client {id} came")`.
#[macro_export]
macro_rules! log {
    ($level:expr, $source:expr, $($message:tt)+) => {{
        let level = $level;
        if $crate::enabled(level) {
            $crate::write(
                level,
                $crate::Place {
                    source: $source,
                    module: module_path!(),
                    file: file!(),
                    line: line!(),
                },
                format_args!($($message)+),
            );
        }
    }};
}

/// Logs for those who debug the program.
#[macro_export]
macro_rules! debug {
    ($source:expr, $($message:tt)+) => { $crate::log!($crate::Level::Debug, $source, $($message)+) };
}

/// Logs what happens in ordinary service.
#[macro_export]
macro_rules! info {
    ($source:expr, $($message:tt)+) => { $crate::log!($crate::Level::Info, $source, $($message)+) };
}

/// Logs what is odd but was dealt with.
#[macro_export]
macro_rules! warning {
    ($source:expr, $($message:tt)+) => { $crate::log!($crate::Level::Warning, $source, $($message)+) };
}

/// Logs what failed.
#[macro_export]
macro_rules! error {
    ($source:expr, $($message:tt)+) => { $crate::log!($crate::Level::Error, $source, $($message)+) };
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One test, because the logger is the process's.
    #[test]
    fn filters_choose_what_a_file_receives() {
        let path = std::env::temp_dir().join(format!("virt-log-{}.log", std::process::id()));
        let spec = format!("1:file:{}", path.display());
        set_outputs(parse_outputs(&spec).expect("outputs"));
        set_filters(parse_filters("1:qemu 4:util.json").expect("filters"));
        debug!("qemu.monitor", "seen {}", 1);
        warning!("util.json", "unseen");
        info!("rpc.server", "unseen");
        assert_eq!(filters(), ["1:*qemu*", "4:*util.json*"]);
        assert_eq!(outputs(), [spec.as_str()]);
        warning!("rpc.server", "seen 2");
        set_outputs(Vec::new());
        set_filters(Vec::new());
        assert_eq!(outputs(), ["3:stderr"]);
        let text = std::fs::read_to_string(&path).expect("log");
        std::fs::remove_file(&path).expect("remove");
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines.len(), 2, "{text}");
        assert!(lines[0].contains(": debug : tests:"), "{text}");
        assert!(lines[0].ends_with(" : seen 1"), "{text}");
        assert!(lines[1].ends_with(" : seen 2"), "{text}");
        assert!(!enabled(Level::Debug));
    }
}
