//! The words of status files: states, reasons, and the comment at the head of every file.

use virt_types::api;

/// Names of states and reasons in the file, by number.
const STATES: [&str; 8] = [
    "no state",
    "running",
    "blocked",
    "paused",
    "in shutdown",
    "shut off",
    "crashed",
    "pmsuspended",
];
const RUNNING: [&str; 13] = [
    "unknown",
    "booted",
    "migrated",
    "restored",
    "from snapshot",
    "unpaused",
    "migration canceled",
    "save canceled",
    "wakeup",
    "crashed",
    "post-copy",
    "post-copy failed",
    "",
];
const PAUSED: [&str; 15] = [
    "unknown",
    "user",
    "migration",
    "save",
    "dump",
    "ioerror",
    "watchdog",
    "from snapshot",
    "shutdown",
    "snapshot",
    "crashed",
    "starting up",
    "post-copy",
    "post-copy failed",
    "api-error",
];

fn reasons(state: i32) -> &'static [&'static str] {
    match state {
        api::DOMAIN_RUNNING => &RUNNING,
        api::DOMAIN_PAUSED => &PAUSED,
        api::DOMAIN_SHUTDOWN => &["unknown", "user"],
        _ => &["unknown"],
    }
}

fn word(words: &[&'static str], number: i32) -> &'static str {
    usize::try_from(number).ok().and_then(|at| words.get(at)).copied().unwrap_or("unknown")
}

fn number(words: &[&str], word: &str) -> i32 {
    let at = words.iter().position(|known| *known == word);
    at.and_then(|at| i32::try_from(at).ok()).unwrap_or(0)
}

/// A state in a status file.
pub fn state_word(state: i32) -> &'static str {
    word(&STATES, state)
}

/// The state that a word means; "no state" where it is none.
pub fn state_number(text: &str) -> i32 {
    number(&STATES, text)
}

/// A reason for a state.
pub fn reason_word(state: i32, reason: i32) -> &'static str {
    word(reasons(state), reason)
}

pub fn reason_number(state: i32, text: &str) -> i32 {
    number(reasons(state), text)
}

/// The comment at the head of every file that the daemon writes for itself.
///
/// Compat: the name cannot end the comment early; two dashes are written apart.
pub fn header(name: &str) -> String {
    let name = name.replace("--", "- -");
    format!(
        "<!--\nWARNING: THIS IS AN AUTO-GENERATED FILE. CHANGES TO IT ARE LIKELY TO BE\n\
         OVERWRITTEN AND LOST. Changes to this xml configuration should be made using:\n  \
         virsh edit {name}\nor other application using the libvirt API.\n-->\n\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_states_are_read_back() {
        for state in 0..8 {
            assert_eq!(number(&STATES, word(&STATES, state)), state);
        }
        assert_eq!(word(&PAUSED, api::DOMAIN_PAUSED_STARTING_UP), "starting up");
        assert_eq!(word(&RUNNING, api::DOMAIN_RUNNING_UNPAUSED), "unpaused");
        assert_eq!(word(&RUNNING, -1), "unknown");
    }

    #[test]
    fn a_name_cannot_end_the_comment() {
        assert!(!header("a--><x/>").replace("-->\n", "").contains("-->"));
    }
}
