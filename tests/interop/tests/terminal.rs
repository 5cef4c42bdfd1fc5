//! Both shells at a terminal, on the same daemon: consoles, the edit loop, completion and history.
//!
//! Each scene is played with our shell and, where it is installed, with libvirt's; what a person sees
//! must be the same.

use std::path::Path;

use interop::{CTRL_C, Person, World, same, shells};
use test_support::{Daemon as _, Reference, Scratch, Virtd, guests_path, or_skip};

/// What a person sees of a guest's console, with keys that go to the guest and keys that do not.
fn console_scenes(world: &World) {
    let scene = |shell: &Path, args: &[&str], keys: &str| {
        let mut person = world.person(shell, args);
        person.sees("Escape character is ");
        person.is_raw();
        person.asks("\rping\r", "pong");
        // It is a letter like others for the guest, which says it back.
        person.types(CTRL_C);
        person.sees(CTRL_C);
        person.asks("\rping\r", "pong");
        person.types(keys);
        let (text, code) = person.leaves();
        // What the guest said depends on how often it was asked.
        let head: Vec<String> = text.lines().take(2).map(str::to_owned).collect();
        (head, code)
    };
    let said = same(|shell| scene(shell, &["console", "guest"], "\u{1d}"));
    let head = ["Connected to domain 'guest'", "Escape character is ^] (Ctrl + ])"];
    assert_eq!(said, (head.map(str::to_owned).to_vec(), Some(0)));
    for (escape, key) in [("^A", "\u{1}"), ("^x", "\u{18}")] {
        let args = ["-e", escape, "console", "guest"];
        let (head, code) = same(|shell| scene(shell, &args, key));
        assert!(head[1].starts_with("Escape character is ^"), "{head:?}");
        assert_eq!(code, Some(0));
    }
}

/// Two people want one console.
fn force_scenes(world: &World) {
    let said = same(|shell| {
        let mut first = world.person(shell, &["console", "guest"]);
        first.sees("Escape character is ");
        first.is_raw();
        first.asks("\rping\r", "pong");
        // Nobody gets it who only asks.
        let refused = world.person(shell, &["console", "guest"]).leaves();
        let safely = world.person(shell, &["console", "guest", "--safe"]).leaves();
        let mut second = world.person(shell, &["console", "guest", "--force"]);
        second.sees("Escape character is ");
        second.is_raw();
        second.asks("\rping\r", "pong");
        let (text, code) = first.leaves();
        // How much of the guest's words came before is chance.
        let last = text.rfind("error: ").map_or(text.as_str(), |at| &text[at..]).to_owned();
        second.types("\u{1d}");
        (refused, safely, (last, code), second.leaves().1)
    });
    let (refused, safely, first, second) = said;
    assert!(refused.0.contains("Active console session exists for this domain"), "{refused:?}");
    assert_eq!(refused.1, Some(1));
    assert_eq!(safely, refused);
    assert_eq!(first.1, Some(1), "who lost the console saw: {first:?}");
    assert_eq!(second, Some(0));
}

#[test]
fn a_console_on_our_daemon_takes_ctrl_c_and_can_be_taken_over() {
    let virtd = Virtd::start();
    let world = or_skip!(World::new(virtd.uri("qemu", guests_path())));
    world.start();
    console_scenes(&world);
    force_scenes(&world);
    world.end();
}

#[test]
fn a_console_on_libvirt_s_daemon_takes_ctrl_c_and_can_be_taken_over() {
    let reference = or_skip!(Reference::start());
    let world = or_skip!(World::new(reference.uri("qemu", "session")));
    world.start();
    console_scenes(&world);
    force_scenes(&world);
    world.end();
}

/// Consoles that there are not.
#[test]
fn a_console_that_is_not_there_is_refused_by_name() {
    let home = Scratch::new("terminal");
    for (args, want) in [
        (&["console", "test"][..], "virDomainOpenConsole"),
        (&["console", "test", "--safe"], "virDomainOpenConsole"),
        (&["console", "test", "--force"], "virDomainOpenConsole"),
        (&["console", "nosuch"], "nosuch"),
        (&["destroy test; console test"], "The domain is not running"),
        (&["start", "test", "--console"], "already active"),
    ] {
        let (text, code) =
            same(|shell| Person::new(shell, "test:///default", home.path(), args).leaves());
        assert!(text.contains(want), "{args:?}: {text}");
        assert_eq!(code, Some(1), "{args:?}");
    }
}

/// An editor that does one thing to the document each time it is called, as its script's lines say.
fn editor(home: &Scratch, steps: &[&str]) -> String {
    home.write("steps", steps.join("\n") + "\n");
    home.write(
        "editor",
        "step=$(head -n 1 steps); sed -i 1d steps; [ -n \"$step\" ] && sed -i \"$step\" \"$1\"; true\n",
    );
    format!("sh {}", home.join("editor").display())
}

const BREAK: &str = "s/<vcpu/<vcpx/; s/vcpu>/vcpx>/";
const SPOIL: &str = "s/<vcpu [^<]*</<vcpu>many</";
const MEND: &str = "s/<vcpu>many</<vcpu>2</; s/8388608/8388609/";

/// A document that is refused is asked about again, with the keys that libvirt's shell knows.
#[test]
fn a_refused_document_is_asked_about_until_it_is_taken_or_given_up() {
    const ASKED: &str = "Failed. Try again? [y,n,i,f,?]: ";
    const ASKED_AGAIN: &str = "Failed. Try again? [y,n,f,?]: ";
    for (steps, keys, want) in [
        (&[SPOIL, MEND][..], &[(ASKED, "y")][..], "XML configuration edited."),
        (&[SPOIL][..], &[(ASKED, "n")][..], "Failed."),
        (&[SPOIL][..], &[(ASKED, "?"), (ASKED, "n")][..], "print this help"),
        // Checked no more, and refused for what it says; then by force, and given up.
        (&[SPOIL][..], &[(ASKED, "i"), (ASKED_AGAIN, "f"), (ASKED_AGAIN, "n")][..], "Failed."),
        (&[SPOIL, "", MEND][..], &[(ASKED, "y"), (ASKED, "y")][..], "edited."),
        // What only the schema does not know goes without the check.
        (&[BREAK][..], &[(ASKED, "i")][..], "edited."),
    ] {
        let (text, ended) = same(|shell| {
            let home = Scratch::new("terminal");
            let variables = [("EDITOR", editor(&home, steps))];
            let line = &["edit test; dumpxml test --inactive --xpath /domain/memory"];
            let mut person = Person::with(shell, "test:///default", home.path(), line, &variables);
            for (question, key) in keys {
                person.sees(question);
                person.types(key);
            }
            let (text, ended) = person.leaves();
            let left = std::fs::read_dir(home.path()).expect("our folder").flatten();
            let drafts = left.filter(|e| e.path().extension().is_some_and(|end| end == "xml"));
            assert_eq!(drafts.count(), 0, "a draft was left behind");
            // Why the schema refused it is said in words of its reader.
            const OWN: [&str; 4] =
                ["error: XML document failed", "Invalid sequence", "Element ", "Extra element"];
            let lines = text.lines().filter(|line| !OWN.iter().any(|own| line.starts_with(own)));
            (lines.collect::<Vec<_>>().join("\n"), ended)
        });
        assert!(text.contains(want), "{steps:?} {keys:?}: {text}");
        // The last line of the two is what counts.
        assert_eq!(ended, Some(0), "{steps:?} {keys:?}: {text}");
    }
}

/// Lines are completed, found again, and broken off, in both shells by the same keys.
#[test]
fn the_same_keys_complete_find_again_and_break_off() {
    for shell in shells() {
        let home = Scratch::new("terminal");
        let variables = [("TERM", "xterm".to_owned())];
        let sit = || Person::with(&shell, "test:///default", home.path(), &[], &variables);
        let mut person = sit();
        person.sees("virsh # ");
        person.types("domstat\t");
        person.types("e tes\t\r");
        person.sees("running");
        person.sees("virsh # ");
        person.types("dominfo --dom\ttes\t\r");
        person.sees("Max memory:");
        person.sees("virsh # ");
        // Back to the line before the last.
        person.types("\u{1b}[A\u{1b}[A\r");
        person.sees("running");
        person.sees("virsh # ");
        person.types("quit\r");
        assert_eq!(person.leaves().1, Some(0), "{}", shell.display());
        // The next session knows the lines of this one.
        let mut person = sit();
        person.sees("virsh # ");
        person.types("\u{1b}[A\u{1b}[A\u{1b}[A\r");
        person.sees("Max memory:");
        person.sees("virsh # ");
        person.types("quit\r");
        assert_eq!(person.leaves().1, Some(0), "{}", shell.display());
    }
}
