//! Values as text: numbers, switches, UUIDs, sets of CPUs.

use std::borrow::Cow;

use virt_types::Uuid;
use virt_xml::parse_number;

use crate::schema::shape::Value;

/// A value that an attribute or a text can hold.
pub trait Text: Sized {
    /// What libvirt says it wanted when the text is none; empty for a vocabulary.
    const EXPECTED: &'static str = "";
    /// What the text must be, for those who judge before they read.
    const VALUE: Value = Value::Type(Self::EXPECTED, |text| Self::parse(text).is_some());
    fn parse(text: &str) -> Option<Self>;
    fn print(&self) -> Cow<'_, str>;
}

impl Text for String {
    const VALUE: Value = Value::Any;

    fn parse(text: &str) -> Option<Self> {
        Some(text.to_owned())
    }

    fn print(&self) -> Cow<'_, str> {
        Cow::Borrowed(self)
    }
}

macro_rules! numbers {
    ($($ty:ty, $expected:literal;)*) => { $(
        impl Text for $ty {
            const EXPECTED: &'static str = $expected;

            fn parse(text: &str) -> Option<Self> {
                parse_number(text, 10).and_then(|value| Self::try_from(value).ok())
            }

            fn print(&self) -> Cow<'_, str> {
                Cow::Owned(self.to_string())
            }
        }
    )* };
}

numbers! {
    u8, "non-negative integer value";
    u16, "non-negative integer value";
    u32, "non-negative integer value";
    u64, "non-negative integer value";
    i32, "integer value";
    i64, "integer value";
}

impl Text for Uuid {
    const EXPECTED: &'static str = "UUID";

    fn parse(text: &str) -> Option<Self> {
        Self::parse(text)
    }

    fn print(&self) -> Cow<'_, str> {
        Cow::Owned(self.to_string())
    }
}

words! {
    /// A switch written as yes or no.
    pub enum YesNo {
        Yes = "yes",
        No = "no",
    }
}

words! {
    /// A switch written as on or off.
    pub enum OnOff {
        On = "on",
        Off = "off",
    }
}

impl YesNo {
    pub fn is_yes(self) -> bool {
        self == Self::Yes
    }
}

impl OnOff {
    pub fn is_on(self) -> bool {
        self == Self::On
    }
}

impl From<bool> for YesNo {
    fn from(yes: bool) -> Self {
        if yes { Self::Yes } else { Self::No }
    }
}

impl From<bool> for OnOff {
    fn from(on: bool) -> Self {
        if on { Self::On } else { Self::Off }
    }
}

/// A set of small numbers (CPUs, NUMA nodes), written `0-3,^2,7`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NumberSet(Vec<bool>);

impl NumberSet {
    /// Limit: the largest CPU or node number libvirt's bitmaps take, plus one.
    pub const LEN_MAX: usize = 16 * 1024;

    /// The set of these numbers; those beyond the limit are left out.
    pub fn from_numbers(numbers: impl IntoIterator<Item = usize>) -> Self {
        let mut set = Self::default();
        for number in numbers {
            set.set(number, true);
        }
        set
    }

    fn set(&mut self, number: usize, present: bool) {
        if number >= Self::LEN_MAX {
            return;
        }
        if number >= self.0.len() {
            self.0.resize(number + 1, false);
        }
        self.0[number] = present;
        self.trim();
    }

    /// Two sets of the same numbers are equal: nothing stands behind the last of them.
    fn trim(&mut self) {
        let end = self.last().map_or(0, |last| last + 1);
        self.0.truncate(end);
    }

    pub fn contains(&self, number: usize) -> bool {
        self.0.get(number).copied().unwrap_or(false)
    }

    pub fn iter(&self) -> impl Iterator<Item = usize> {
        self.0.iter().enumerate().filter_map(|(number, present)| present.then_some(number))
    }

    pub fn len(&self) -> usize {
        self.iter().count()
    }

    pub fn is_empty(&self) -> bool {
        self.iter().next().is_none()
    }

    pub fn last(&self) -> Option<usize> {
        self.0.iter().rposition(|present| *present)
    }

    /// The numbers of both.
    #[must_use]
    pub fn union(mut self, other: &Self) -> Self {
        if self.0.len() < other.0.len() {
            self.0.resize(other.0.len(), false);
        }
        self.0.iter_mut().zip(&other.0).for_each(|(ours, theirs)| *ours |= theirs);
        self
    }

    pub fn overlaps(&self, other: &Self) -> bool {
        self.iter().any(|number| other.contains(number))
    }

    /// Keeps only the numbers below `end`.
    pub fn truncate(&mut self, end: usize) {
        self.0.truncate(end);
        self.trim();
    }
}

impl Text for NumberSet {
    const EXPECTED: &'static str = "a set of numbers, as 0-3,^2";

    fn parse(text: &str) -> Option<Self> {
        let mut set = Self::default();
        for part in text.trim().split(',') {
            let part = part.trim();
            if let Some(excluded) = part.strip_prefix('^') {
                let number: usize = excluded.trim().parse().ok()?;
                if set.contains(number) {
                    set.set(number, false);
                }
                continue;
            }
            let (first, last) = match part.split_once('-') {
                Some((first, last)) => (first.trim().parse().ok()?, last.trim().parse().ok()?),
                None => {
                    let number: usize = part.parse().ok()?;
                    (number, number)
                }
            };
            if first > last || last >= Self::LEN_MAX {
                return None;
            }
            for number in first..=last {
                set.set(number, true);
            }
        }
        (!set.is_empty()).then_some(set)
    }

    fn print(&self) -> Cow<'_, str> {
        let mut parts: Vec<String> = Vec::new();
        let mut numbers = self.iter().peekable();
        while let Some(first) = numbers.next() {
            let mut last = first;
            while let Some(next) = numbers.next_if_eq(&(last + 1)) {
                last = next;
            }
            parts.push(if first == last { first.to_string() } else { format!("{first}-{last}") });
        }
        Cow::Owned(parts.join(","))
    }
}

/// An Ethernet address.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Mac(pub [u8; 6]);

impl Mac {
    pub fn is_multicast(self) -> bool {
        self.0[0] & 1 != 0
    }
}

impl Text for Mac {
    const EXPECTED: &'static str = "an Ethernet address";

    /// Compat: one or two hexadecimal digits between the colons.
    fn parse(text: &str) -> Option<Self> {
        let mut bytes = [0_u8; 6];
        let mut parts = text.split(':');
        for byte in &mut bytes {
            let part = parts.next()?;
            let ok = (1..=2).contains(&part.len()) && part.bytes().all(|c| c.is_ascii_hexdigit());
            *byte = ok.then(|| u8::from_str_radix(part, 16).ok()).flatten()?;
        }
        parts.next().is_none().then_some(Self(bytes))
    }

    fn print(&self) -> Cow<'_, str> {
        Cow::Owned(self.to_string())
    }
}

impl std::fmt::Display for Mac {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

/// A size with its unit, in bytes: `unit` is a suffix as libvirt takes it, `default_bytes` what no
/// suffix means. `None` for an unknown suffix or a number too large.
pub fn scale_bytes(number: u64, unit: Option<&str>, default_bytes: u64) -> Option<u64> {
    let factor = match unit.filter(|unit| !unit.is_empty()) {
        None => default_bytes,
        Some(unit) => {
            let lower = unit.to_ascii_lowercase();
            let power = match lower.as_bytes().first() {
                Some(b'b') if lower == "b" || lower == "byte" || lower == "bytes" => 0,
                Some(b'k') => 1,
                Some(b'm') => 2,
                Some(b'g') => 3,
                Some(b't') => 4,
                Some(b'p') => 5,
                Some(b'e') => 6,
                _ => return None,
            };
            let base: u64 = match lower.get(1..).unwrap_or_default() {
                "" | "ib" => 1024,
                "b" => 1000,
                _ if power == 0 => 1,
                _ => return None,
            };
            base.checked_pow(power)?
        }
    };
    number.checked_mul(factor)
}

/// The number and unit that say a size shortest without loss.
pub fn shortest_unit(bytes: u64) -> (u64, &'static str) {
    let units = [(60, "EiB"), (50, "PiB"), (40, "TiB"), (30, "GiB"), (20, "MiB"), (10, "KiB")];
    units
        .into_iter()
        .find(|(bits, _)| bytes > 0 && bytes.trailing_zeros() >= *bits)
        .map_or((bytes, "B"), |(bits, unit)| (bytes >> bits, unit))
}
