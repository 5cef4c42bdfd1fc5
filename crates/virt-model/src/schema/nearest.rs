//! The known name that a misspelt one is nearest to.

/// Limit: names longer than this are compared with none.
const NAME_BYTES_MAX: usize = 64;

/// The nearest of the known names, where one is near enough to have been meant.
pub fn nearest<'n>(name: &str, known: impl IntoIterator<Item = &'n str>) -> Option<&'n str> {
    if name.len() > NAME_BYTES_MAX {
        return None;
    }
    // A short name may have one letter wrong, a long one a few.
    let most = 1 + name.len() / 4;
    known
        .into_iter()
        .filter(|known| !known.starts_with('$') && known.len().abs_diff(name.len()) <= most)
        .map(|known| (distance(name, known), known))
        .filter(|(distance, known)| *distance <= most && *distance < known.len())
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, known)| known)
}

/// How many letters are to be changed, added, left out or exchanged with the next; case does not count.
fn distance(left: &str, right: &str) -> usize {
    let (left, right) = (left.to_ascii_lowercase(), right.to_ascii_lowercase());
    let (left, right) = (left.as_bytes(), right.as_bytes());
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=right.len()).collect();
    for (row, a) in left.iter().enumerate() {
        let mut this = vec![row + 1];
        for (column, b) in right.iter().enumerate() {
            let mut best = (last[column] + usize::from(a != b))
                .min(last[column + 1] + 1)
                .min(this[column] + 1);
            let exchanged = row > 0
                && column > 0
                && left.get(row - 1) == Some(b)
                && right.get(column - 1) == Some(a);
            if exchanged {
                best = best.min(before[column - 1] + 1);
            }
            this.push(best);
        }
        (before, last) = (last, this);
    }
    last.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn a_slip_of_the_hand_finds_its_name() {
        let known = ["vcpu", "vcpus", "memory", "currentMemory", "os"];
        assert_eq!(nearest("vpcu", known), Some("vcpu"));
        assert_eq!(nearest("memroy", known), Some("memory"));
        assert_eq!(nearest("currentmemory", known), Some("currentMemory"));
        assert_eq!(nearest("nosuchelement", known), None);
        assert_eq!(nearest("x", known), None);
    }
}
