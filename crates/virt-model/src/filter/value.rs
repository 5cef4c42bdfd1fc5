//! The value of a rule's attribute: what it may be, and how libvirt prints it.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::attributes::{Kind, OPERATIONS, Words};
use crate::schema::text::Mac;

/// Limit: the longest comment, which the packet filter keeps; what is beyond is cut off.
const COMMENT_BYTES_MAX: usize = 256;

/// Limit: the longest name of an IP set, and how many of its fields can be told apart.
const IP_SET_BYTES_MAX: usize = 31;
const IP_SET_FIELDS_MAX: usize = 6;

/// What an attribute says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FilterValue {
    Variable(Variable),
    Mac(Mac),
    Ip(IpAddr),
    Number {
        value: u32,
        /// It was written in hexadecimal, and is printed so.
        hex: bool,
    },
    /// A number that has a name in its attribute.
    Named(&'static str, u32),
    Truth(bool),
    /// Words of a closed list, names and comments, as libvirt prints them.
    Text(String),
}

/// A variable of the interface that the filter is used for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Variable {
    pub name: String,
    pub access: Access,
}

/// Which of a variable's values are meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// All in turn; variables of one number go in step.
    Each(u32),
    /// The one of this number.
    At(u32),
}

impl Variable {
    /// Reads `$NAME`, `$NAME[INDEX]` or `$NAME[@ITERATOR]`.
    fn parse(text: &str) -> Option<Self> {
        let text = text.strip_prefix('$')?;
        let end = text.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
        let (name, rest) = text.split_at(end.unwrap_or(text.len()));
        let access = match rest.strip_prefix('[') {
            None if rest.is_empty() => Access::Each(0),
            None => return None,
            Some(inner) => {
                // Compat: what follows the bracket is not looked at.
                let (inner, _) = inner.split_once(']')?;
                match inner.trim().strip_prefix('@') {
                    Some(number) => Access::Each(number.trim().parse().ok()?),
                    None => Access::At(inner.trim().parse().ok()?),
                }
            }
        };
        Some(Self { name: name.to_owned(), access })
    }
}

/// A number, in hexadecimal where it begins so or is none else.
fn number(text: &str) -> Option<(u32, bool)> {
    if let Ok(value) = text.parse() {
        return Some((value, false));
    }
    let digits = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")).unwrap_or(text);
    u32::from_str_radix(digits, 16).ok().map(|value| (value, true))
}

/// An address of the old protocol in any form that the C library reads.
fn ip4(text: &str) -> Option<Ipv4Addr> {
    let part = |text: &str| -> Option<u32> {
        match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
            Some(digits) => u32::from_str_radix(digits, 16).ok(),
            None if text.len() > 1 && text.starts_with('0') => u32::from_str_radix(text, 8).ok(),
            None if text.starts_with('+') => None,
            None => text.parse().ok(),
        }
    };
    let parts: Vec<u32> = text.split('.').map(part).collect::<Option<_>>()?;
    let (last, above) = parts.split_last().filter(|(_, above)| above.len() < 4)?;
    let bits_left = 32 - 8 * u32::try_from(above.len()).ok()?;
    let mut address = u64::from(*last);
    if address >> bits_left != 0 || above.iter().any(|part| *part > 0xff) {
        return None;
    }
    for (part, shift) in above.iter().zip([24, 16, 8]) {
        address |= u64::from(*part) << shift;
    }
    u32::try_from(address).ok().map(Ipv4Addr::from)
}

/// How many bits from the left are set, where no other is.
fn prefix_of(bytes: &[u8]) -> Option<u32> {
    let ones = bytes.iter().map(|byte| byte.count_ones()).sum();
    let leading = bytes.iter().map(|byte| byte.leading_ones()).scan(true, |whole, ones| {
        let counted = if *whole { ones } else { 0 };
        *whole &= ones == 8;
        Some(counted)
    });
    let leading: u32 = leading.sum();
    (leading == ones).then_some(ones)
}

fn mask(text: &str, most: u32, address: impl Fn(&str) -> Option<u32>) -> Option<u32> {
    match text.parse::<u32>() {
        Ok(bits) if bits <= most => Some(bits),
        Ok(_) => None,
        Err(_) => address(text),
    }
}

/// Words in the order of the list; `NONE` alone or with others is none of them.
fn words(text: &str, known: &[&'static str]) -> Option<Vec<&'static str>> {
    let given: Vec<&str> = text.split(',').map(str::trim).filter(|word| !word.is_empty()).collect();
    let is = |a: &str, b: &str| a.eq_ignore_ascii_case(b);
    if !given.iter().all(|word| known.iter().any(|name| is(word, name))) {
        return None;
    }
    Some(known.iter().copied().filter(|name| given.iter().any(|word| is(word, name))).collect())
}

fn states(text: &str) -> Option<String> {
    let found = words(text, &["NEW", "ESTABLISHED", "RELATED", "INVALID", "NONE"])?;
    if found.contains(&"NONE") { Some("NONE".to_owned()) } else { Some(found.join(",")) }
}

const TCP_FLAGS: &[&str] = &["FIN", "SYN", "RST", "PSH", "ACK", "URG"];

fn tcp_flags(text: &str) -> Option<String> {
    let side = |text: &str| {
        let known: Vec<&'static str> = TCP_FLAGS.iter().copied().chain(["ALL", "NONE"]).collect();
        let mut found = words(text, &known)?;
        if found.contains(&"ALL") || TCP_FLAGS.iter().all(|flag| found.contains(flag)) {
            return Some("ALL".to_owned());
        }
        found.retain(|word| *word != "NONE");
        Some(if found.is_empty() { "NONE".to_owned() } else { found.join(",") })
    };
    let (mask, flags) = text.split_once('/')?;
    Some(format!("{}/{}", side(mask)?, side(flags)?))
}

fn ip_set_flags(text: &str) -> Option<String> {
    let parts: Vec<String> = text.split(',').map(str::to_ascii_lowercase).collect();
    let known = parts.iter().all(|part| part == "src" || part == "dst");
    (known && parts.len() <= IP_SET_FIELDS_MAX).then(|| parts.join(","))
}

impl FilterValue {
    /// Reads a value of that kind.
    pub(crate) fn parse(kind: Kind, text: &str) -> Option<Self> {
        if text.starts_with('$') {
            return Variable::parse(text).map(Self::Variable);
        }
        let plain = |value: u32| Self::Number { value, hex: false };
        match kind {
            Kind::Mac => mac(text).map(Self::Mac),
            Kind::MacMask => mac(text).filter(|mac| prefix_of(&mac.0).is_some()).map(Self::Mac),
            Kind::Ip4 => ip4(text).map(|ip| Self::Ip(ip.into())),
            Kind::Ip6 => text.parse::<Ipv6Addr>().ok().map(|ip| Self::Ip(ip.into())),
            Kind::Mask4 => mask(text, 32, |text| prefix_of(&ip4(text)?.octets())).map(plain),
            Kind::Mask6 => {
                let address = |text: &str| prefix_of(&text.parse::<Ipv6Addr>().ok()?.octets());
                mask(text, 128, address).map(plain)
            }
            Kind::Number { least, most, words } => named(text, least, most, words),
            // Compat: printed in decimal, however it was written.
            Kind::Operation => match named(text, 0, 0xffff, OPERATIONS)? {
                Self::Number { value, .. } => Some(plain(value)),
                named => Some(named),
            },
            Kind::Decimal { most } => text.parse().ok().filter(|value| *value <= most).map(plain),
            // Compat: what is not yes is no.
            Kind::Truth => Some(Self::Truth(matches!(text, "1" | "yes" | "true"))),
            Kind::States => states(text).map(Self::Text),
            Kind::TcpFlags => tcp_flags(text).map(Self::Text),
            Kind::IpSet => {
                let fits = |c: char| c.is_ascii_alphanumeric() || "_.:-+ ".contains(c);
                let fits = text.len() <= IP_SET_BYTES_MAX && text.chars().all(fits);
                fits.then(|| Self::Text(text.to_owned()))
            }
            Kind::IpSetFlags => ip_set_flags(text).map(Self::Text),
            Kind::Comment => {
                let end = (0..=COMMENT_BYTES_MAX).rev().find(|at| text.is_char_boundary(*at));
                Some(Self::Text(text.get(..end?).unwrap_or(text).to_owned()))
            }
        }
    }

    pub(crate) fn print(&self) -> Cow<'_, str> {
        Cow::Owned(match self {
            Self::Text(text) => return Cow::Borrowed(text),
            Self::Named(word, _) => return Cow::Borrowed(word),
            Self::Variable(variable) => {
                let mut out = format!("${}", variable.name);
                // Writing into a string cannot fail.
                let _ = match variable.access {
                    Access::Each(0) => Ok(()),
                    Access::Each(number) => write!(out, "[@{number}]"),
                    Access::At(index) => write!(out, "[{index}]"),
                };
                out
            }
            Self::Mac(mac) => mac.to_string(),
            Self::Ip(ip) => ip.to_string(),
            Self::Number { value, hex: true } => format!("0x{value:x}"),
            Self::Number { value, hex: false } => value.to_string(),
            Self::Truth(yes) => yes.to_string(),
        })
    }
}

/// A number, or one of the words for numbers, in any case of letters.
fn named(text: &str, least: u32, most: u32, words: Words) -> Option<FilterValue> {
    let (value, hex) = match words.iter().find(|(word, _)| word.eq_ignore_ascii_case(text)) {
        Some((_, value)) => (*value, false),
        None => number(text)?,
    };
    match words.iter().find(|(_, known)| *known == value) {
        Some((word, value)) => Some(FilterValue::Named(word, *value)),
        None => (least..=most).contains(&value).then_some(FilterValue::Number { value, hex }),
    }
}

/// Compat: of an Ethernet address each part may be one digit; only colons stand between.
fn mac(text: &str) -> Option<Mac> {
    let mut bytes = [0_u8; 6];
    let mut parts = text.split(':');
    for byte in &mut bytes {
        let part = parts.next().filter(|part| part.len() <= 2 && !part.starts_with('+'))?;
        *byte = u8::from_str_radix(part, 16).ok()?;
    }
    parts.next().is_none().then_some(Mac(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_as_the_c_library_reads_them() {
        for (text, ip) in [("10.1.2", "10.1.0.2"), ("10", "0.0.0.10"), ("0x0a.010.1.2", "10.8.1.2")]
        {
            assert_eq!(ip4(text).map(|ip| ip.to_string()).as_deref(), Some(ip), "{text}");
        }
        for text in ["300.1.1.1", "10.1.2.3.4", "1.2.65536", "", "a::1", "4294967296"] {
            assert_eq!(ip4(text), None, "{text}");
        }
    }
}
