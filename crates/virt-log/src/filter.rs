//! Which source may log from which level on: `1:qemu 3:util.json`.

use std::fmt;

use virt_types::glob;

use crate::{Level, SettingError};

/// One `LEVEL:PATTERN`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filter {
    pub level: Level,
    /// Compat: a shell pattern that may match anywhere, so `qemu` means `*qemu*`.
    pub pattern: String,
}

impl Filter {
    pub fn matches(&self, source: &str, file: &str) -> bool {
        let pattern = format!("*{}*", self.pattern);
        [source, file].iter().any(|text| glob(&pattern, text))
    }
}

impl fmt::Display for Filter {
    /// Compat: as it is matched, which is more than was written.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:*{}*", self.level as u8, self.pattern)
    }
}

/// Filters as in `log_filters`, separated by spaces.
pub fn parse_filters(text: &str) -> Result<Vec<Filter>, SettingError> {
    text.split_whitespace().map(parse_filter).collect()
}

fn parse_filter(text: &str) -> Result<Filter, SettingError> {
    let malformed = || SettingError::FilterFormat(text.to_owned());
    let (priority, pattern) = text.split_once(':').ok_or_else(malformed)?;
    let level = priority.parse().ok().and_then(Level::from_number).ok_or_else(|| {
        SettingError::FilterLevel { priority: priority.to_owned(), filter: text.to_owned() }
    })?;
    // Compat: a plus sign once asked for stack traces; it is still accepted.
    let pattern = pattern.strip_prefix('+').unwrap_or(pattern);
    if pattern.is_empty() {
        return Err(malformed());
    }
    Ok(Filter { level, pattern: pattern.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_may_match_anywhere() {
        for (pattern, source, expected) in [
            ("qemu", "qemu.qemu_monitor", true),
            ("monitor", "qemu.qemu_monitor", true),
            ("util.*son", "util.json", true),
            ("util.j?on", "util.json", true),
            ("*", "rpc", true),
            ("qemu", "rpc.server", false),
            ("a*b*c", "aXbX", false),
        ] {
            let filter = Filter { level: Level::Debug, pattern: pattern.to_owned() };
            assert_eq!(filter.matches(source, ""), expected, "{pattern} on {source}");
        }
    }

    #[test]
    fn errors_are_libvirts() {
        let text = |filters: &str| parse_filters(filters).map_err(|error| error.to_string());
        assert_eq!(text("9:x"), Err("Invalid priority '9' for filter '9:x'".to_owned()));
        assert_eq!(text("qemu"), Err("Malformed format for filter 'qemu'".to_owned()));
        assert_eq!(text("1:qemu  3:util").map(|filters| filters.len()), Ok(2));
    }
}
