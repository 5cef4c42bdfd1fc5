//! Small kernel files: read with a limit, and the number lists in them.

use std::fs::File;
use std::io::Read;
use std::path::Path;

/// Limit: above the largest of these files, `/proc/stat` and `/proc/cpuinfo` of a host with 4,096
/// CPUs.
const FILE_BYTES_MAX: u64 = 16 << 20;

/// Limit: the largest CPU or node number that is believed.
const LIST_NUMBER_MAX: usize = 65_535;

/// The text of a kernel file, or nothing where it is not there.
pub(crate) fn read(path: impl AsRef<Path>) -> Option<String> {
    let mut text = String::new();
    File::open(path).ok()?.take(FILE_BYTES_MAX).read_to_string(&mut text).ok()?;
    Some(text)
}

/// The first word of a kernel file, read as a number.
pub(crate) fn number<T: std::str::FromStr>(path: impl AsRef<Path>) -> Option<T> {
    read(path)?.split_whitespace().next()?.parse().ok()
}

/// The numbers of a list such as `0-3,8`; a malformed part ends it.
pub(crate) fn list(text: &str) -> Vec<usize> {
    let mut numbers = Vec::new();
    for part in text.trim().split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (Ok(first), Ok(last)) = (first.parse::<usize>(), last.parse::<usize>()) else { break };
        if last > LIST_NUMBER_MAX {
            break;
        }
        numbers.extend(first..=last);
    }
    numbers
}

#[cfg(test)]
mod tests {
    use super::list;

    #[test]
    fn number_lists() {
        assert_eq!(list("0-3,8\n"), [0, 1, 2, 3, 8]);
        assert_eq!(list("5"), [5]);
        assert!(list("").is_empty());
        assert!(list("0-4000000000").is_empty());
        assert_eq!(list("1,x,3"), [1]);
    }
}
