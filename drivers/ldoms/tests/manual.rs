//! The manual page: whole, and printed without a complaint.

use std::process::Command;

use test_support::{debian_program, or_skip};

const PAGE: &str = include_str!("../../../docs/man/ldoms.7");

/// The commands of the founding document.
const COMMANDS: &str = "help console create start destroy define domid domuuid dominfo domname \
                        domstate dumpxml hostname list nodeinfo quit shutdown setmem setvcpus \
                        undefine vcpuinfo version";

/// The page as it is read.
fn printed() -> Result<String, String> {
    let groff = debian_program("groff")?;
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/man/ldoms.7");
    let output = Command::new(groff).args(["-man", "-Tutf8", "-P-cbou", "-ww", path]).output();
    let output = output.map_err(|error| error.to_string())?;
    assert_eq!(String::from_utf8_lossy(&output.stderr), "", "groff complains");
    Ok(String::from_utf8_lossy(&output.stdout).replace('\u{2010}', "-"))
}

#[test]
fn the_page_has_every_command_and_every_parameter() {
    let text = or_skip!(printed());
    let words: Vec<&str> = text.split(|c: char| !c.is_alphanumeric() && c != '_').collect();
    for command in COMMANDS.split_whitespace() {
        assert!(words.contains(&command), "{command}: {text}");
    }
    for parameter in driver_ldoms::PARAMETERS {
        assert!(text.contains(&format!("{parameter}=")), "{parameter}: {text}");
    }
    for heading in ["NAME", "SYNOPSIS", "DESCRIPTION", "FILES", "EXAMPLES", "SEE ALSO"] {
        assert!(PAGE.contains(&format!(".SH {heading}\n")), "{heading}");
    }
}
