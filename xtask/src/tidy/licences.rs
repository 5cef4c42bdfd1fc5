//! The licences of what we build on, and crates that come in more than one version.

use std::collections::BTreeMap;

use crate::workspace::Package;

/// Licences that let others link our library whatever their own is.
const PERMISSIVE: &[&str] = &[
    "0BSD",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    "ISC",
    "MIT",
    "MIT-0",
    "MPL-2.0",
    "NCSA",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
];

/// Every package whose licence leaves no permissive choice, or that names none.
pub(crate) fn check(packages: &[Package]) -> Vec<String> {
    let refused = packages.iter().filter(|package| {
        !package
            .license
            .as_deref()
            .is_some_and(|licence| is_permissive(&licence.replace('/', " OR ")))
    });
    refused
        .map(|package| {
            let licence = package.license.as_deref().unwrap_or("none named");
            format!("{} {}: licence {licence}", package.name, package.version)
        })
        .collect()
}

/// Whether an SPDX expression can be satisfied with permissive licences only.
fn is_permissive(expression: &str) -> bool {
    let expression = expression.trim();
    if let Some(parts) = split_outside(expression, " OR ") {
        return parts.into_iter().any(is_permissive);
    }
    if let Some(parts) = split_outside(expression, " AND ") {
        return parts.into_iter().all(is_permissive);
    }
    match expression.strip_prefix('(').and_then(|inner| inner.strip_suffix(')')) {
        Some(inner) => is_permissive(inner),
        None => PERMISSIVE.contains(&expression),
    }
}

/// Splits at a word that stands outside parentheses; `None` if there is none.
fn split_outside<'a>(text: &'a str, word: &str) -> Option<Vec<&'a str>> {
    let mut parts = Vec::new();
    let mut start = 0;
    for (at, _) in text.match_indices(word) {
        let before = &text[..at];
        if before.matches('(').count() == before.matches(')').count() {
            parts.push(&text[start..at]);
            start = at + word.len();
        }
    }
    parts.push(&text[start..]);
    (parts.len() > 1).then_some(parts)
}

/// Names with more than one version, as `name 1.0.0, 2.0.0`.
pub(crate) fn duplicates(packages: &[Package]) -> Vec<String> {
    let mut versions: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for package in packages {
        versions.entry(&package.name).or_default().push(&package.version);
    }
    let several = versions.into_iter().filter(|(_, versions)| versions.len() > 1);
    several.map(|(name, versions)| format!("{name} {}", versions.join(", "))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_expression_needs_one_permissive_way() {
        for good in ["MIT", "GPL-3.0-only OR MIT", "(MIT OR GPL-2.0-only) AND Unicode-3.0", "(MIT)"]
        {
            assert!(is_permissive(good), "{good}");
        }
        for bad in ["GPL-3.0-only", "MIT AND GPL-2.0-or-later", "(MIT OR ISC) AND LGPL-2.1-only"] {
            assert!(!is_permissive(bad), "{bad}");
        }
    }
}
