//! The words of a command line: where the daemon is, the verb, and what belongs to the verb.

use std::path::PathBuf;

use crate::Failure;

/// Where the daemon's driver is configured.
const CONFIG: &str = "/etc/libvirt/xen.conf";
const URI: &str = "xen:///system";

/// A command line.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Options {
    pub(crate) uri: String,
    pub(crate) config: PathBuf,
    pub(crate) verb: String,
    pub(crate) rest: Vec<String>,
}

impl Options {
    pub(crate) fn read(words: Vec<String>) -> Result<Self, Failure> {
        let mut options = Self {
            uri: URI.to_owned(),
            config: CONFIG.into(),
            verb: String::new(),
            rest: Vec::new(),
        };
        let mut words = words.into_iter();
        while let Some(word) = words.next() {
            let mut value = || {
                let missing = || Failure::Usage(format!("{word} needs a value"));
                words.next().ok_or_else(missing)
            };
            match word.as_str() {
                "--connect" => options.uri = value()?,
                "--config" => options.config = value()?.into(),
                _ => {
                    options.verb = word;
                    options.rest = words.collect();
                    break;
                }
            }
        }
        Ok(options)
    }

    /// The value of an option of the verb, `-w 500` or `-w500`.
    pub(crate) fn value(&self, short: &str, long: &str) -> Result<Option<&str>, Failure> {
        let mut words = self.rest.iter().map(String::as_str);
        while let Some(word) = words.next() {
            if word == short || word == long {
                let missing = || Failure::Usage(format!("{word} needs a value"));
                return words.next().ok_or_else(missing).map(Some);
            }
            let joined = word.strip_prefix(long).and_then(|rest| rest.strip_prefix('='));
            let short = word.strip_prefix(short).filter(|_| !word.starts_with("--"));
            if let Some(value) = joined.or(short) {
                return Ok(Some(value));
            }
        }
        Ok(None)
    }

    /// The same as a number.
    pub(crate) fn number(&self, short: &str, long: &str) -> Result<Option<u32>, Failure> {
        let Some(text) = self.value(short, long)? else { return Ok(None) };
        let wrong = |_| Failure::Usage(format!("{long}: '{text}' is no number"));
        text.parse().map(Some).map_err(wrong)
    }

    pub(crate) fn has(&self, short: &str, long: &str) -> bool {
        self.rest.iter().any(|word| word == short || word == long)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Options {
        let words = line.split_whitespace().map(str::to_owned).collect();
        Options::read(words).unwrap_or_else(|_| panic!("{line}"))
    }

    #[test]
    fn values_stand_behind_or_in_the_word() {
        let options = read("--connect test:///default sched-credit -d sol1 -w 500 -c100");
        assert_eq!(
            (options.uri.as_str(), options.verb.as_str()),
            ("test:///default", "sched-credit")
        );
        assert_eq!(options.value("-d", "--domain").ok().flatten(), Some("sol1"));
        assert_eq!(options.number("-w", "--weight").ok().flatten(), Some(500));
        assert_eq!(options.number("-c", "--cap").ok().flatten(), Some(100));
        let options = read("sched-credit --weight=7 -d");
        assert_eq!(options.number("-w", "--weight").ok().flatten(), Some(7));
        assert!(options.value("-d", "--domain").is_err());
        assert!(read("top -i x").number("-i", "--iterations").is_err());
    }
}
