//! Expected against produced text, and how they differ.

use crate::Verdict;

/// Limit: lines of a difference that are shown.
const LINES_MAX: usize = 40;

/// Unchanged lines shown around a change.
const CONTEXT: usize = 2;

/// Limit: lines that are aligned; of longer texts only the first difference is shown.
const ALIGNED_MAX: usize = 2000;

/// Exact text, after a final newline is added to a produced text that has none.
pub fn text(wanted: &str, made: &str) -> Verdict {
    let mut made = made.to_owned();
    if !made.is_empty() && !made.ends_with('\n') {
        made.push('\n');
    }
    if wanted == made { Ok(()) } else { Err(difference(wanted, &made)) }
}

/// The lines that differ: `-` is wanted, `+` was made.
pub fn difference(wanted: &str, made: &str) -> String {
    let (left, right): (Vec<&str>, Vec<&str>) = (wanted.lines().collect(), made.lines().collect());
    if left == right {
        return "the line ends differ\n".to_owned();
    }
    let lines = aligned(&left, &right);
    let near = |at: usize| {
        let from = at.saturating_sub(CONTEXT);
        lines.iter().skip(from).take(at - from + CONTEXT + 1).any(|(sign, _)| *sign != ' ')
    };
    let mut out = String::new();
    let mut shown = 0;
    let mut gap = false;
    for (at, (sign, line)) in lines.iter().enumerate() {
        if !near(at) {
            gap = true;
            continue;
        }
        if shown == LINES_MAX {
            out.push_str("...\n");
            break;
        }
        if std::mem::take(&mut gap) && shown > 0 {
            out.push_str("@@\n");
        }
        out.push(*sign);
        out.push_str(line);
        out.push('\n');
        shown += 1;
    }
    out
}

/// All lines of both, each with `-`, `+` or, where they are the same, a blank.
fn aligned<'t>(left: &[&'t str], right: &[&'t str]) -> Vec<(char, &'t str)> {
    let head = left.iter().zip(right).take_while(|(a, b)| a == b).count();
    let tail = left[head..].iter().rev().zip(right[head..].iter().rev());
    let tail = tail.take_while(|(a, b)| a == b).count();
    let (left_mid, right_mid) = (&left[head..left.len() - tail], &right[head..right.len() - tail]);
    let mut lines: Vec<(char, &str)> = left[..head].iter().map(|line| (' ', *line)).collect();
    lines.extend(changed(left_mid, right_mid));
    lines.extend(left[left.len() - tail..].iter().map(|line| (' ', *line)));
    lines
}

fn changed<'t>(left: &[&'t str], right: &[&'t str]) -> Vec<(char, &'t str)> {
    if left.len() > ALIGNED_MAX || right.len() > ALIGNED_MAX {
        let gone = left.iter().map(|line| ('-', *line));
        return gone.chain(right.iter().map(|line| ('+', *line))).collect();
    }
    // The longest common part of what is left of both, from each pair of places.
    let mut common = vec![vec![0_u32; right.len() + 1]; left.len() + 1];
    for (i, a) in left.iter().enumerate().rev() {
        for (j, b) in right.iter().enumerate().rev() {
            common[i][j] = if a == b {
                common[i + 1][j + 1] + 1
            } else {
                common[i + 1][j].max(common[i][j + 1])
            };
        }
    }
    let (mut i, mut j) = (0, 0);
    let mut lines = Vec::new();
    while i < left.len() || j < right.len() {
        if i < left.len() && j < right.len() && left[i] == right[j] {
            lines.push((' ', left[i]));
            (i, j) = (i + 1, j + 1);
        } else if j == right.len() || i < left.len() && common[i + 1][j] >= common[i][j + 1] {
            lines.push(('-', left[i]));
            i += 1;
        } else {
            lines.push(('+', right[j]));
            j += 1;
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_newline_is_no_difference() {
        assert_eq!(text("a\n", "a"), Ok(()));
        assert_eq!(text("", ""), Ok(()));
        assert!(text("a\n", "").is_err());
    }

    #[test]
    fn only_what_changed_is_shown() {
        let wanted = "1\n2\n3\n4\n5\n6\n7\n8\n9\n";
        let made = "1\n2\n3\n4\nfive\n6\n7\n8\n";
        assert_eq!(difference(wanted, made), " 3\n 4\n-5\n+five\n 6\n 7\n 8\n-9\n");
    }
}
