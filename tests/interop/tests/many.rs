//! Lists of many domains in several states: libvirt's shell asks for each state, ours for all at once.

use std::time::Duration;

use test_support::{
    Daemon as _, Outcome, Scratch, Virtd, or_skip, our_program, reference_program, run, virsh,
};

const LIMIT: Duration = Duration::from_secs(60);

/// More than the few for which our shell asks one by one.
const DOMAINS: usize = 14;

#[test]
fn many_domains_are_listed_as_libvirts_shell_lists_them() {
    let theirs = or_skip!(reference_program("virsh"));
    let home = Scratch::new("many");
    let mut line = String::new();
    for number in 0..DOMAINS {
        let file = format!("d{number}.xml");
        let document = format!(
            "<domain type='test'><name>d{number}</name><title>number {number}</title>\
             <memory>65536</memory><os><type>hvm</type></os></domain>"
        );
        let path = home.write(&file, document);
        line += &format!("define {}; ", path.display());
        line += &match number % 5 {
            0 => String::new(),
            1 => format!("start d{number}; suspend d{number}; "),
            2 => format!("start d{number}; autostart d{number}; "),
            3 => format!("start d{number}; destroy d{number}; "),
            _ => format!("start d{number}; "),
        };
    }
    line += "list; list --all; list --inactive --title; list --all --state-paused";
    let virtd = Virtd::start();
    let ask = |shell: &std::path::Path| -> Outcome {
        let uri = virtd.uri("test", "default");
        run(virsh(shell, &uri, home.path()).arg(&line), LIMIT)
    };
    let wanted = ask(&theirs);
    assert_eq!(wanted.code, Some(0), "{wanted:?}");
    for word in ["running", "paused", "shut off", "number 13"] {
        assert!(wanted.stdout.contains(word), "{word}: {wanted:?}");
    }
    assert_eq!(ask(&our_program("virsh")), wanted);
}
