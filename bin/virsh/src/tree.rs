//! Trees of names, drawn with lines.

use std::fmt::Write as _;

/// Draws every tree of a forest. `parents[n]` is the index of the n-th name's parent.
///
/// Limit: a cycle, which only a faulty daemon could send, is never entered: it has no root.
pub(crate) fn draw(names: &[String], parents: &[Option<usize>]) -> String {
    let mut out = String::new();
    for root in children(parents, None) {
        // Writing to a String cannot fail, here and below.
        let _ = writeln!(out, "{}", names[root]);
        draw_below(&mut out, names, parents, root, "", true);
    }
    out
}

fn children(parents: &[Option<usize>], of: Option<usize>) -> impl Iterator<Item = usize> {
    parents.iter().enumerate().filter(move |(_, parent)| **parent == of).map(|(at, _)| at)
}

/// Draws what hangs below a name; `indent` is what stands before its lines. The last leaf of a
/// branch is followed by an empty line.
fn draw_below(
    out: &mut String,
    names: &[String],
    parents: &[Option<usize>],
    at: usize,
    indent: &str,
    is_last: bool,
) {
    let below: Vec<usize> = children(parents, Some(at)).collect();
    let Some(last) = below.last().copied() else {
        if is_last {
            let _ = writeln!(out, "{indent}");
        }
        return;
    };
    let _ = writeln!(out, "{indent}  |");
    for child in below {
        let _ = writeln!(out, "{indent}  +- {}", names[child]);
        let deeper = format!("{indent}  {}", if child == last { "  " } else { "| " });
        draw_below(out, names, parents, child, &deeper, child == last);
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_default_world_s_devices() {
        let names = ["computer", "host1", "host11", "host2"].map(str::to_owned);
        let parents = [None, Some(0), Some(1), Some(0)];
        assert_eq!(
            super::draw(&names, &parents),
            "computer\n  |\n  +- host1\n  |   |\n  |   +- host11\n  |     \n  +- host2\n    \n"
        );
    }
}
