//! Numbers as people read them: sizes, times, yes and no.

use std::collections::BTreeSet;

/// A size in bytes with two decimals and the unit that keeps it below 1024.
pub(crate) fn pretty_size(bytes: u64) -> String {
    let (value, unit) = scale(bytes);
    format!("{value:.2} {unit}")
}

/// The value in the largest unit that it reaches, and that unit.
pub(crate) fn scale(bytes: u64) -> (f64, &'static str) {
    const UNITS: [&str; 7] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    let mut rest = bytes;
    let mut unit = 0;
    while rest >= 1024 && unit + 1 < UNITS.len() {
        rest >>= 10;
        unit += 1;
    }
    #[expect(clippy::cast_precision_loss, reason = "shown with a few decimals only")]
    let value = bytes as f64 / (1_u64 << (10 * unit)) as f64;
    (value, UNITS[unit])
}

pub(crate) fn yes_no(value: bool) -> &'static str {
    if value { "yes" } else { "no" }
}

/// Nanoseconds as seconds with one decimal, cut and not rounded from the tenth on.
pub(crate) fn tenths(nanoseconds: u64) -> String {
    #[expect(clippy::cast_precision_loss, reason = "shown with one decimal only")]
    let seconds = nanoseconds as f64 / 1_000_000_000.0;
    format!("{seconds:.1}s")
}

/// Whether bit `at` of a CPU map is set.
pub(crate) fn bit(map: &[u8], at: usize) -> bool {
    map.get(at / 8).is_some_and(|byte| byte & (1 << (at % 8)) != 0)
}

/// A CPU map as ranges: `0-3,7`.
pub(crate) fn ranges(map: &[u8], cpus: usize) -> String {
    let mut found: Vec<String> = Vec::new();
    let mut at = 0;
    while at < cpus {
        if bit(map, at) {
            let start = at;
            while at + 1 < cpus && bit(map, at + 1) {
                at += 1;
            }
            found.push(if start == at { start.to_string() } else { format!("{start}-{at}") });
        }
        at += 1;
    }
    found.join(",")
}

/// Limit: no host has CPUs with numbers this high.
const CPUS_MAX: usize = 1 << 16;

/// Reads a list of CPUs: numbers and ranges with commas, `^` before a number that is left out.
pub(crate) fn parse_cpus(text: &str) -> Option<BTreeSet<usize>> {
    let number = |text: &str| {
        let digits = text.trim_matches([' ', '\t']);
        let plain = digits.bytes().all(|byte| byte.is_ascii_digit());
        digits.parse::<usize>().ok().filter(|cpu| plain && *cpu < CPUS_MAX)
    };
    let mut cpus = BTreeSet::new();
    for part in text.split(',') {
        match part.split_once('-') {
            Some((first, last)) => {
                let (first, last) = (number(first)?, number(last)?);
                (first <= last).then(|| cpus.extend(first..=last))?;
            }
            None => match part.trim_start_matches(' ').strip_prefix('^') {
                Some(out) => drop(cpus.remove(&number(out)?)),
                None => drop(cpus.insert(number(part)?)),
            },
        }
    }
    Some(cpus)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        for (bytes, want) in [
            (0, "0.00 B"),
            (1023, "1023.00 B"),
            (50_000, "48.83 KiB"),
            (1_572_864_000, "1.46 GiB"),
            (100 << 30, "100.00 GiB"),
        ] {
            assert_eq!(pretty_size(bytes), want);
        }
    }

    #[test]
    fn cpu_lists() {
        for (text, want) in [
            ("0-3,^2", Some(vec![0, 1, 3])),
            ("1, 2", Some(vec![1, 2])),
            ("7", Some(vec![7])),
            ("3-", None),
            ("9-4", None),
            ("", None),
            ("+1", None),
            ("0-99999999999", None),
        ] {
            let read = parse_cpus(text).map(|cpus| cpus.into_iter().collect::<Vec<_>>());
            assert_eq!(read, want, "{text}");
        }
    }

    #[test]
    fn cpu_maps() {
        assert_eq!(ranges(&[0b1000_1111], 8), "0-3,7");
        assert_eq!(ranges(&[0b0001_0101], 8), "0,2,4");
        assert_eq!(ranges(&[], 8), "");
    }
}
