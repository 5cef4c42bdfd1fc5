//! Sizes as the manager writes them: a number with a unit letter, or plain bytes.

/// Sizes are taken and given in powers of 1024.
const UNITS: &[(char, u64)] = &[('T', 1 << 40), ('G', 1 << 30), ('M', 1 << 20), ('K', 1 << 10)];

/// Reads `4G`, `1.5G`, `512MB` or a number of bytes.
pub(crate) fn parse(text: &str) -> Option<u64> {
    let text = text.trim().to_ascii_uppercase();
    let text = match text.strip_suffix('B') {
        Some(rest) => rest,
        None => text.as_str(),
    };
    let unit = UNITS.iter().find(|(letter, _)| text.ends_with(*letter));
    let (digits, factor) = match unit {
        Some((letter, factor)) => (text.trim_end_matches(*letter).trim(), *factor),
        None => (text.trim(), 1),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let number = |part: &str| match part {
        "" => Some(0),
        _ if part.len() > 15 || !part.bytes().all(|byte| byte.is_ascii_digit()) => None,
        _ => part.parse::<u64>().ok(),
    };
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let scale = 10u128.checked_pow(u32::try_from(fraction.len()).ok()?)?;
    let part = u128::from(number(fraction)?) * u128::from(factor) / scale;
    let whole = number(whole)?.checked_mul(factor)?;
    whole.checked_add(u64::try_from(part).ok()?)
}

/// The shortest exact form: `4G`, `1968M`, or bytes.
pub(crate) fn with_unit(bytes: u64) -> String {
    let unit = UNITS.iter().find(|(_, factor)| bytes >= *factor && bytes.is_multiple_of(*factor));
    match unit {
        Some((letter, factor)) => format!("{}{letter}", bytes / factor),
        None => bytes.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_in_every_spelling() {
        for (text, bytes) in [
            ("4G", 4 << 30),
            (" 1.5g ", 3 << 29),
            ("512MB", 512 << 20),
            ("8K", 8192),
            ("8192", 8192),
            ("1T", 1 << 40),
            ("12B", 12),
        ] {
            assert_eq!(parse(text), Some(bytes), "{text}");
        }
        for text in ["", "G", "-1G", "1e3", "4 G x", "99999999999999999999", "20000000T", "."] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    #[test]
    fn sizes_are_given_in_the_largest_unit_that_is_exact() {
        assert_eq!(with_unit(4 << 30), "4G");
        assert_eq!(with_unit(1968 << 20), "1968M");
        assert_eq!(with_unit(1000), "1000");
        assert_eq!(with_unit(0), "0");
    }
}
