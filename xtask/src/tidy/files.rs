//! What a file of the project must look like.

use std::path::Path;

use crate::source;
use crate::workspace::{self, File};

const FILE_LINES_MAX: usize = 600;
const FUNCTION_LINES_MAX: usize = 70;

/// The places where `unsafe` may stand: the host's system calls, the hypercalls, the C interface.
const UNSAFE_ALLOWED: &[&str] = &["crates/virt-host/", "drivers/xen/src/sys", "abi/"];

/// Markers of unfinished work. Joined here, so that this file does not hold them.
const MARKERS: &[&str] = &[
    concat!("TO", "DO"),
    concat!("FIX", "ME"),
    concat!("XX", "X"),
    concat!("todo", "!("),
    concat!("unimplemented", "!("),
    concat!("#[igno", "re"),
];

/// Data of tests, and what cargo writes.
const KEPT_AS_IT_CAME: &[&str] = &["fixtures/", "corpus/", "tests/cases/", "Cargo.lock"];

/// Parts of a path that a stranger's machine has too, so naming them says nothing.
const COMMON_PARENTS: &[&str] = &["/", "/tmp", "/root", "/home", "/opt", "/srv", "/usr/src"];

/// Everything that is wrong with the project's files.
pub(crate) fn check(files: &[File]) -> Vec<String> {
    let private = private_words();
    let mut problems = Vec::new();
    for file in files {
        problems.extend(any_text(file, &private));
        if file.is_rust() {
            problems.extend(rust(file));
        }
    }
    problems
}

/// Rules for text of every kind.
fn any_text(file: &File, private: &[String]) -> Vec<String> {
    let mut problems = Vec::new();
    if KEPT_AS_IT_CAME.iter().any(|part| file.path.contains(part)) {
        return problems;
    }
    for (at, line) in file.text.lines().enumerate() {
        let mut say = |what: &str| problems.push(format!("{}:{}: {what}", file.path, at + 1));
        if line.ends_with([' ', '\t', '\r']) {
            say("blanks at the end of the line");
        }
        if let Some(marker) = MARKERS.iter().find(|marker| has_word(line, marker)) {
            say(&format!("an unfinished marker, {marker}"));
        }
        if private.iter().any(|word| names(line, word)) {
            say("names a folder or a host of this machine");
        }
    }
    if !file.text.is_empty() && (!file.text.ends_with('\n') || file.text.ends_with("\n\n")) {
        problems.push(format!("{}: does not end with one newline", file.path));
    }
    problems
}

fn rust(file: &File) -> Vec<String> {
    let mut problems = Vec::new();
    let path = &file.path;
    let first = file.text.lines().next().unwrap_or_default();
    if first.strip_prefix("//! ").is_none_or(|sentence| sentence.len() < 10) {
        problems.push(format!("{path}: the first line does not say what the file is"));
    }
    if !UNSAFE_ALLOWED.iter().any(|allowed| path.starts_with(allowed)) {
        let lines = file.text.lines().enumerate().filter(|(_, line)| has_unsafe(line));
        problems.extend(lines.map(|(at, _)| format!("{path}:{}: `unsafe`", at + 1)));
    }
    if file.is_generated() {
        return problems;
    }
    let length = file.text.lines().count();
    if length > FILE_LINES_MAX {
        problems.push(format!("{path}: {length} lines, at most {FILE_LINES_MAX}"));
    }
    for function in source::functions(&file.text) {
        let source::Function { name, line, lines } = function;
        if lines > FUNCTION_LINES_MAX {
            let detail = format!("{name} has {lines} lines, at most {FUNCTION_LINES_MAX}");
            problems.push(format!("{path}:{line}: {detail}"));
        }
    }
    problems
}

/// Whether the code part of a line opens something unsafe, or lifts the lint against it.
fn has_unsafe(line: &str) -> bool {
    let code = line.split("//").next().unwrap_or_default();
    let lifted = ["allow", "expect", "warn"]
        .iter()
        .any(|level| code.contains(&format!("{level}(unsafe_code")));
    lifted
        || ["{", "fn", "impl", "extern", "trait"]
            .iter()
            .any(|next| code.contains(&format!("{} {next}", concat!("un", "safe"))))
}

/// Whether a marker stands there by itself, not as part of a longer word.
fn has_word(line: &str, word: &str) -> bool {
    line.match_indices(word).any(|(at, _)| {
        let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let before = line[..at].chars().next_back().is_some_and(is_part);
        let ends_open = word.ends_with(['(', 'e']) && word.contains(['!', '#']);
        let after = !ends_open && line[at + word.len()..].chars().next().is_some_and(is_part);
        !before && !after
    })
}

/// Whether a private word stands there; a folder only where a path begins, as a checkout below
/// `/src` says nothing against a crate's own folder of that name.
fn names(line: &str, word: &str) -> bool {
    line.match_indices(word).any(|(at, _)| {
        let goes_on = |c: char| c.is_alphanumeric() || "_-.*>})~".contains(c);
        !word.starts_with('/') || !line[..at].ends_with(goes_on)
    })
}

/// The folder the checkout lies in, and the hosts its packages come from.
fn private_words() -> Vec<String> {
    let mut words = Vec::new();
    let root = workspace::root();
    let parent = root.parent().unwrap_or(Path::new("/")).to_string_lossy().into_owned();
    if !COMMON_PARENTS.contains(&parent.as_str()) {
        words.push(format!("{parent}/"));
    }
    words.push(concat!("/tmp/bash_", "jobs").to_owned());
    let cargo_home = std::env::var("CARGO_HOME")
        .or_else(|_| std::env::var("HOME").map(|home| format!("{home}/.cargo")))
        .unwrap_or_default();
    let mut sources = vec![format!("{cargo_home}/config.toml"), "/etc/pip.conf".to_owned()];
    if let Ok(entries) = std::fs::read_dir("/etc/apt/sources.list.d") {
        sources.extend(entries.flatten().map(|entry| entry.path().to_string_lossy().into_owned()));
    }
    sources.push("/etc/apt/sources.list".to_owned());
    for path in sources {
        words.extend(hosts(&std::fs::read_to_string(path).unwrap_or_default()));
    }
    words.sort();
    words.dedup();
    words
}

/// The host names in the URLs of a configuration file.
fn hosts(text: &str) -> Vec<String> {
    let lines = text.lines().filter(|line| !line.trim_start().starts_with('#'));
    let hosts = lines.flat_map(|line| line.split("://").skip(1)).map(|rest| {
        let end = rest.find(['/', ' ', '"', '\'', ':']).unwrap_or(rest.len());
        rest[..end].rsplit('@').next().unwrap_or_default().to_owned()
    });
    hosts.filter(|host| host.len() > 3).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(path: &str, text: &str) -> Vec<String> {
        check(&[File { path: path.to_owned(), text: text.to_owned() }])
    }

    #[test]
    fn a_good_file_passes() {
        assert_eq!(problems("a.rs", "//! Holds nothing much.\n\nfn a() {}\n"), [""; 0]);
    }

    #[test]
    fn each_rule_finds_its_breach() {
        let marker = MARKERS[0];
        for text in [
            "fn a() {}\n".to_owned(),
            "//! Holds nothing much.\nlet a = 1; \n".to_owned(),
            format!("//! Holds nothing much.\n// {marker}: later\n"),
            format!("//! Holds nothing much.\n{} {{ a() }}\n", concat!("un", "safe")),
            "//! Holds nothing much.".to_owned(),
            format!("//! Holds nothing much.\nfn a() {{\n{}}}\n", "    b();\n".repeat(70)),
            format!("//! Holds nothing much.\n{}", "// line\n".repeat(800)),
        ] {
            assert_eq!(problems("a.rs", &text).len(), 1, "{text:.60}");
        }
    }

    #[test]
    fn a_folder_is_named_only_where_a_path_begins() {
        assert!(names("at /place/main, as it was", "/place/"));
        assert!(names("\"/place/main\"", "/place/"));
        assert!(!names("crates/virt-log/place/lib.rs", "/place/"));
        assert!(!names("crates/{name}/place/lib.rs", "/place/"));
        assert!(names("from http://one.example/x", "one.example"));
    }

    #[test]
    fn hosts_are_read_from_urls() {
        let text = "# http://not.this/one\nURIs: http://one.example/debian\nindex = \"sparse+https://user@two.example:8080/\"\n";
        assert_eq!(hosts(text), ["one.example", "two.example"]);
    }
}
