//! Sizes of memory as the manager writes them: `2G`, `1.5g`, `2147483648`.

/// Bytes of a size: a number, perhaps with a fraction, and perhaps a unit letter of either case.
///
/// ```
/// assert_eq!(driver_ldoms::message::parse_size("1.5G"), Some(1_610_612_736));
/// assert_eq!(driver_ldoms::message::parse_size("12 MB"), Some(12 << 20));
/// assert_eq!(driver_ldoms::message::parse_size("-1"), None);
/// ```
pub fn parse_size(text: &str) -> Option<u64> {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let shift = match unit.trim().to_ascii_uppercase().as_str() {
        "" | "B" => 0,
        "K" | "KB" | "KIB" => 10,
        "M" | "MB" | "MIB" => 20,
        "G" | "GB" | "GIB" => 30,
        "T" | "TB" | "TIB" => 40,
        _ => return None,
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let whole: u64 = whole.parse().ok()?;
    let mut bytes = whole.checked_mul(1 << shift)?;
    if !fraction.is_empty() {
        // Limit: nine digits tell a byte of a gigabyte.
        let digits = fraction.get(..fraction.len().min(9))?;
        let scale = 10_u128.checked_pow(u32::try_from(digits.len()).ok()?)?;
        let part = u128::from(digits.parse::<u64>().ok()?) << shift;
        bytes = bytes.checked_add(u64::try_from(part / scale).ok()?)?;
    }
    Some(bytes)
}

/// A size with the largest unit letter that tells it exactly.
///
/// ```
/// assert_eq!(driver_ldoms::message::print_size(2 << 30), "2G");
/// assert_eq!(driver_ldoms::message::print_size(1536 << 20), "1536M");
/// ```
pub fn print_size(bytes: u64) -> String {
    for (shift, letter) in [(30, "G"), (20, "M"), (10, "K")] {
        if bytes > 0 && bytes.trailing_zeros() >= shift {
            return format!("{}{letter}", bytes >> shift);
        }
    }
    bytes.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_size_is_refused() {
        for text in ["", "G", ".5G", "1Q", "1..2", "99999999999999999999", "20000000000T", "1 2"] {
            assert_eq!(parse_size(text), None, "{text}");
        }
    }

    #[test]
    fn printed_sizes_are_read_again() {
        for bytes in [0, 1, 1023, 1024, 1 << 20, (1 << 30) + 8192, 7 << 30, u64::MAX] {
            assert_eq!(parse_size(&print_size(bytes)), Some(bytes));
        }
    }
}
