//! Patterns of allow lists, access rules and log filters.

/// Whether a text fits a pattern in which `*` stands for anything and `?` for one character.
pub fn glob(pattern: &str, text: &str) -> bool {
    let (mut pattern, mut text) = (pattern.chars(), text.chars());
    // Where to go on when what follows the last star does not fit.
    let mut retry = None;
    loop {
        let rest = (pattern.clone(), text.clone());
        match (pattern.next(), text.next()) {
            (None, None) => return true,
            (Some('*'), _) => {
                text = rest.1;
                retry = Some((pattern.clone(), text.clone()));
            }
            (Some('?'), Some(_)) => {}
            (Some(wanted), Some(found)) if wanted == found => {}
            _ => {
                let Some((after_star, from)) = &mut retry else { return false };
                if from.next().is_none() {
                    return false;
                }
                (pattern, text) = (after_star.clone(), from.clone());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_and_question_marks() {
        for (pattern, text, fits) in [
            ("fred@EXAMPLE.COM", "fred@EXAMPLE.COM", true),
            ("*@EXAMPLE.COM", "joe@EXAMPLE.COM", true),
            ("*@EXAMPLE.COM", "joe@EXAMPLE.COM.evil", false),
            ("C=GB,*,CN=a?", "C=GB,ST=London,CN=ab", true),
            ("C=GB,*,CN=a?", "C=GB,ST=London,CN=a", false),
            ("*a*b*", "xxaxxbxx", true),
            ("*a*b*", "xxbxxaxx", false),
            ("", "", true),
            ("*", "", true),
            ("?", "", false),
        ] {
            assert_eq!(glob(pattern, text), fits, "{pattern} {text}");
        }
    }
}
