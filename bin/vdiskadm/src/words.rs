//! What is typed: options in getopt's style, sizes, types, names of vdisks.

use std::path::{Path, PathBuf};

use virt_disk::{Format, Layout};

use crate::failure::{Failure, Result};

/// Limit: of the whole name as typed; ten bytes are kept for what is put behind it.
const NAME_BYTES_MAX: usize = 1024 - 10;

/// The options and operands of one command.
#[derive(Debug, Default)]
pub(crate) struct Words {
    options: Vec<(char, String)>,
    long: Vec<(String, String)>,
    pub(crate) operands: Vec<String>,
}

impl Words {
    /// Splits words by a getopt string: letters, with a colon behind those that take a value.
    /// Long options, all of them additions of ours, take the next word.
    pub(crate) fn parse(words: &[String], letters: &str, long: &[&str]) -> Result<Self> {
        let mut found = Self::default();
        let mut words = words.iter();
        while let Some(word) = words.next() {
            if word == "--" {
                found.operands.extend(words.cloned());
                break;
            }
            if let Some(name) = word.strip_prefix("--") {
                let (name, value) = match name.split_once('=') {
                    Some((name, value)) => (name, Some(value.to_owned())),
                    None => (name, None),
                };
                if !long.contains(&name) {
                    return Err(Failure::usage(format!("unknown option --{name}")));
                }
                let value = value.or_else(|| words.next().cloned());
                let value = value
                    .ok_or_else(|| Failure::usage(format!("option --{name} wants a value")))?;
                found.long.push((name.to_owned(), value));
                continue;
            }
            let Some(cluster) = word.strip_prefix('-').filter(|letters| !letters.is_empty()) else {
                found.operands.push(word.clone());
                continue;
            };
            found.parse_cluster(cluster, letters, &mut words)?;
        }
        Ok(found)
    }

    /// `-rp`, `-s 8g` or `-s8g`.
    fn parse_cluster(
        &mut self,
        cluster: &str,
        letters: &str,
        words: &mut std::slice::Iter<'_, String>,
    ) -> Result<()> {
        for (at, letter) in cluster.char_indices() {
            let known = letters.find(letter).filter(|_| letter != ':');
            let known = known.ok_or_else(|| Failure::usage(format!("unknown option -{letter}")))?;
            let behind = known + letter.len_utf8();
            if !letters.get(behind..).is_some_and(|rest| rest.starts_with(':')) {
                self.options.push((letter, String::new()));
                continue;
            }
            let attached = cluster.get(at + letter.len_utf8()..).unwrap_or_default();
            let value = match attached {
                "" => words
                    .next()
                    .cloned()
                    .ok_or_else(|| Failure::usage(format!("option -{letter} wants a value")))?,
                attached => attached.to_owned(),
            };
            self.options.push((letter, value));
            return Ok(());
        }
        Ok(())
    }

    pub(crate) fn has(&self, letter: char) -> bool {
        self.options.iter().any(|(held, _)| *held == letter)
    }

    /// The value of an option; the last one counts.
    pub(crate) fn value(&self, letter: char) -> Option<&str> {
        self.options.iter().rev().find(|(held, _)| *held == letter).map(|(_, value)| &**value)
    }

    pub(crate) fn long(&self, name: &str) -> Option<&str> {
        self.long.iter().rev().find(|(held, _)| held == name).map(|(_, value)| &**value)
    }

    /// Whether JSON is wanted.
    pub(crate) fn is_json(&self) -> Result<bool> {
        match self.long("output") {
            None | Some("text") => Ok(false),
            Some("json") => Ok(true),
            Some(other) => Err(Failure::usage(format!("unknown output '{other}'"))),
        }
    }

    pub(crate) fn needed(&self, letter: char, what: &str) -> Result<&str> {
        self.value(letter).ok_or_else(|| Failure::usage(format!("no {what} given (-{letter})")))
    }

    /// Exactly these operands.
    pub(crate) fn operands<const N: usize>(&self, names: [&str; N]) -> Result<[&str; N]> {
        if let Some(extra) = self.operands.get(N) {
            return Err(Failure::usage(format!("unexpected argument '{extra}'")));
        }
        let mut found = [""; N];
        for (at, name) in names.into_iter().enumerate() {
            let word = self.operands.get(at);
            found[at] = word.ok_or_else(|| Failure::usage(format!("no {name} given")))?;
        }
        Ok(found)
    }
}

/// What is meant by a name: a vdisk, and maybe one of its snapshots.
#[derive(Clone, Debug)]
pub(crate) struct Name {
    /// The vdisk's folder.
    pub(crate) folder: PathBuf,
    pub(crate) snapshot: Option<String>,
}

impl Name {
    pub(crate) fn parse(text: &str) -> Result<Self> {
        if text.is_empty() {
            return Err(Failure::usage("no vdname given"));
        }
        if text.len() > NAME_BYTES_MAX {
            return Err(Failure::new(format!("the name is longer than {NAME_BYTES_MAX} bytes")));
        }
        let text = match text.trim_end_matches('/') {
            "" => "/",
            text => text,
        };
        let (parent, last) = match text.rsplit_once('/') {
            Some((parent, last)) => (Some(parent), last),
            None => (None, text),
        };
        let (base, snapshot) = match last.split_once('@') {
            Some((base, snapshot)) => (base, Some(snapshot)),
            None => (last, None),
        };
        virt_store::check_name(base)?;
        if let Some(snapshot) = snapshot {
            let is_bad = snapshot.is_empty() || snapshot.contains('@') || snapshot.len() > 200;
            if is_bad {
                return Err(Failure::new(format!("'{text}' is not of the form vdname@snapname")));
            }
            virt_store::check_name(snapshot)?;
        }
        let folder = match parent {
            Some("") => Path::new("/").join(base),
            Some(parent) => Path::new(parent).join(base),
            None => PathBuf::from(base),
        };
        Ok(Self { folder, snapshot: snapshot.map(str::to_owned) })
    }

    /// The same, and it has to be a whole vdisk.
    pub(crate) fn vdisk(text: &str) -> Result<PathBuf> {
        let name = Self::parse(text)?;
        match name.snapshot {
            None => Ok(name.folder),
            Some(_) => Err(Failure::new(format!("'{text}' is a snapshot, not a vdisk"))),
        }
    }
}

/// A type with its option.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Kind {
    pub(crate) format: Format,
    pub(crate) layout: Layout,
}

impl Kind {
    pub(crate) const DEFAULT: Self = Self { format: Format::Vmdk, layout: Layout::Sparse };

    /// `TYPE[:OPTION]` of something to be made.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        let kind = Self::parse_source(text)?;
        if kind.is_made() {
            Ok(kind)
        } else {
            Err(Failure::new(format!("type '{text}' cannot be made")))
        }
    }

    /// `TYPE[:OPTION]`. Both kinds of letters do for the type, the option is exact.
    pub(crate) fn parse_source(text: &str) -> Result<Self> {
        let (name, option) = match text.split_once(':') {
            Some((name, option)) => (name, Some(option)),
            None => (text, None),
        };
        let unknown = || {
            let known: Vec<&str> = Format::ALL.iter().map(|format| format.name()).collect();
            Failure::new(format!("unknown type '{text}': there are {}", known.join(", ")))
        };
        let format: Format = name.parse().map_err(|()| unknown())?;
        let layout = match option {
            None if format == Format::Raw => Layout::Fixed,
            None | Some("sparse") => Layout::Sparse,
            Some("fixed") => Layout::Fixed,
            Some("stream") => Layout::Stream,
            Some(option) => {
                return Err(Failure::new(format!(
                    "unknown option '{option}' of type '{name}': there are sparse and fixed"
                )));
            }
        };
        Ok(Self { format, layout })
    }

    /// Whether images of this kind are written here, and not only read.
    pub(crate) fn is_made(self) -> bool {
        match (self.format, self.layout) {
            (Format::Raw, layout) => layout == Layout::Fixed,
            (Format::Vmdk, _) => true,
            (Format::Vdi | Format::Vhd, layout) => layout != Layout::Stream,
            (Format::Qcow2, layout) => layout == Layout::Sparse,
            (Format::Vhdx, _) => false,
        }
    }

    /// A type that a vdisk can have: one that is written in any order.
    pub(crate) fn parse_vdisk(text: Option<&str>) -> Result<Self> {
        let kind = text.map_or(Ok(Self::DEFAULT), Self::parse)?;
        if kind.layout == Layout::Stream {
            return Err(Failure::new("a vdisk cannot be stream-optimised"));
        }
        Ok(kind)
    }
}

/// A size: a number, maybe with decimals, and a unit of 1024 to some power.
pub(crate) fn parse_size(text: &str) -> Result<u64> {
    let bad = || {
        Failure::new(format!(
            "'{text}' is not a size: a number and B, K, M, G, T, P or E, as in 1.5G"
        ))
    };
    let digits_end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, suffix) = text.split_at(digits_end);
    let suffix = suffix.to_ascii_uppercase();
    let unit = match suffix.strip_suffix('B') {
        Some(unit) if !unit.is_empty() => unit,
        _ => &suffix,
    };
    let power = match unit {
        "" | "B" => 0,
        unit => "KMGTPEZ".find(unit).filter(|_| unit.len() == 1).ok_or_else(bad)? as u32 + 1,
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    // Limit: more decimals than this say nothing about bytes.
    if fraction.len() > 18 || whole.is_empty() && fraction.is_empty() {
        return Err(bad());
    }
    let digits: u128 = format!("0{whole}{fraction}").parse().map_err(|_| bad())?;
    let scaled = 1024_u128.checked_pow(power).and_then(|unit| digits.checked_mul(unit));
    let bytes = scaled.ok_or_else(bad)? / 10_u128.pow(fraction.len() as u32);
    let bytes = u64::try_from(bytes).map_err(|_| bad())?;
    // Disks are made of sectors.
    let bytes = bytes.checked_next_multiple_of(512).ok_or_else(bad)?;
    if bytes == 0 {
        return Err(Failure::new("the size must be greater than 0"));
    }
    if bytes > virt_disk::DISK_BYTES_MAX {
        return Err(Failure::new(format!("a disk of {text} is too large")));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_units_of_1024_in_either_case() {
        for (text, bytes) in [
            ("8g", 8 << 30),
            ("8GB", 8 << 30),
            ("1.5m", 1_572_864),
            ("512", 512),
            ("512b", 512),
            ("1", 512),
            (".5K", 512),
            ("2T", 2 << 40),
        ] {
            assert_eq!(parse_size(text).unwrap(), bytes, "{text}");
        }
        for text in
            ["", "g", "8x", "8gbb", "0", "0k", "-1", "1.2.3", "1Z", "9999999999999999999999"]
        {
            assert!(parse_size(text).is_err(), "{text}");
        }
    }

    #[test]
    fn options_stand_alone_together_or_with_their_value_attached() {
        let words: Vec<String> =
            ["-rp", "-s8g", "-t", "vhd", "a", "-c", "x y", "--", "-b"].map(str::to_owned).into();
        let words = Words::parse(&words, "rps:t:c:", &[]).unwrap();
        assert!(words.has('r') && words.has('p') && !words.has('x'));
        assert_eq!(
            [words.value('s'), words.value('t'), words.value('c')],
            [Some("8g"), Some("vhd"), Some("x y")]
        );
        assert_eq!(words.operands, ["a", "-b"]);
        assert!(Words::parse(&["-s".to_owned()], "s:", &[]).unwrap_err().shows_usage);
        assert!(Words::parse(&["-z".to_owned()], "s:", &[]).unwrap_err().shows_usage);
    }

    #[test]
    fn the_seven_types_and_their_defaults() {
        for text in [
            "vmdk:fixed",
            "VMDK:sparse",
            "raw:fixed",
            "vdi:fixed",
            "vdi:sparse",
            "vhd:fixed",
            "vhd",
        ] {
            assert!(Kind::parse(text).is_ok(), "{text}");
        }
        assert_eq!(Kind::parse("raw").unwrap().layout, Layout::Fixed);
        assert_eq!(Kind::parse_vdisk(None).unwrap(), Kind::DEFAULT);
        for text in ["raw:sparse", "vmdk:Sparse", "floppy", "vdi:stream", "vhdx", ""] {
            assert!(Kind::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn names_lead_to_a_folder_and_maybe_a_snapshot() {
        let name = Name::parse("/a/b.c@s/").unwrap();
        assert_eq!((name.folder.to_str(), name.snapshot.as_deref()), (Some("/a/b.c"), Some("s")));
        assert_eq!(Name::parse("x@y/d").unwrap().folder, Path::new("x@y/d"));
        for text in ["", "/", "a@", "a@b@c", "..", "a/..", &"x".repeat(1015)] {
            assert!(Name::parse(text).is_err(), "{text}");
        }
        assert!(Name::vdisk("a@b").is_err());
    }
}
