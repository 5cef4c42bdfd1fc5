//! As much of regular expressions as `xend-relocation-hosts-allow` is written with.

/// Whether one of the expressions (blanks between them) matches the whole or part of a name.
///
/// `^ $ . * \` and plain characters; xend's own search is from any place.
pub(crate) fn allowed(rules: &str, names: &[&str]) -> bool {
    let mut rules = rules.split_whitespace().peekable();
    rules.peek().is_none() || rules.any(|rule| names.iter().any(|name| matches(rule, name)))
}

fn matches(rule: &str, name: &str) -> bool {
    let rule: Vec<char> = rule.chars().collect();
    let name: Vec<char> = name.chars().collect();
    match rule.split_first() {
        Some(('^', rest)) => here(rest, &name),
        _ => (0..=name.len()).any(|from| here(&rule, name.get(from..).unwrap_or_default())),
    }
}

fn here(rule: &[char], name: &[char]) -> bool {
    let (one, rest) = match rule {
        [] => return true,
        ['$'] => return name.is_empty(),
        ['\\', escaped, rest @ ..] => (Some(*escaped), rest),
        ['.', rest @ ..] => (None, rest),
        [plain, rest @ ..] => (Some(*plain), rest),
    };
    let fits = |c: &char| one.is_none_or(|one| one == *c);
    if let ['*', rest @ ..] = rest {
        let most = name.iter().take_while(|c| fits(c)).count();
        return (0..=most).any(|count| here(rest, name.get(count..).unwrap_or_default()));
    }
    name.first().is_some_and(fits) && here(rest, name.get(1..).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_allowed_by_name_and_by_pattern() {
        assert!(allowed("", &["anybody"]));
        assert!(allowed("^localhost$ ^.*\\.example\\.org$", &["a.example.org"]));
        assert!(allowed("^127\\.0\\.0\\.1$", &["127.0.0.1"]));
        assert!(!allowed("^localhost$", &["localhost.example.org", "10.0.0.1"]));
        assert!(!allowed("^a.example\\.org$", &["a.exampleXorg"]));
        assert!(allowed("exam", &["an.example"]));
    }
}
