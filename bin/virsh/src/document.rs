//! Printing documents, whole or the part that `--xpath` selects.

use std::io::Write as _;

use virt_cli::Args;
use virt_xml::dump_foreign;

use crate::failure::{Done, Failure, fail};
use crate::shell::{Shell, say, sayln};
use crate::xml;
use crate::xpath::{Refused, Selected, select};

/// Refuses an empty path before a document is asked for. Compat: without a word.
pub(crate) fn check_path(args: &Args) -> Done {
    match args.knows("xpath") && args.text("xpath").is_err() {
        true => Err(Failure::silent()),
        false => Ok(()),
    }
}

/// Compat: the words are those of libvirt's XML library; and it is no failure.
fn unreadable(path: &str, at: usize) {
    let mut text = "XPath error : Invalid expression\n".to_owned();
    if at < path.len() {
        text += &format!("{path}\n{}^\n", " ".repeat(at));
    }
    let _ = std::io::stderr().write_all(text.as_bytes());
}

/// Prints a document as the options `--xpath` and `--wrap` ask for it.
pub(crate) fn print_document(shell: &mut Shell, args: &Args, text: &str) -> Done {
    let path = if args.knows("xpath") { args.text("xpath")? } else { None };
    let Some(path) = path else {
        say!(shell, "{text}");
        shell.fact("xml", text);
        return Ok(());
    };
    let root = xml::parse(text)?;
    let found = match select(&root, path) {
        Ok(found) => found,
        Err(Refused::NoNodes) => return fail(format!("internal error: Incorrect xpath '{path}'")),
        Err(Refused::Unreadable { at }) => {
            unreadable(path, at);
            if args.flag("wrap") {
                sayln!(shell, "<nodes/>");
            }
            return Ok(());
        }
    };
    let wrap = args.flag("wrap");
    let depth = usize::from(wrap);
    let shown = found.iter().map(|node| match node {
        Selected::Element(element) => dump_foreign(element, depth),
        Selected::Attr(name, value) => {
            format!(" {name}=\"{}\"", xml::escaped(value).replace('"', "&quot;"))
        }
        Selected::Text(text) => xml::escaped(text),
    });
    let shown: Vec<String> = shown.collect();
    shell.fact("nodes", shown.clone());
    match (wrap, shown.is_empty()) {
        (false, true) => {}
        (true, true) => sayln!(shell, "<nodes/>"),
        (false, false) => sayln!(shell, "{}", shown.join("\n")),
        (true, false) => sayln!(shell, "<nodes>\n  {}\n</nodes>", shown.join("\n  ")),
    }
    Ok(())
}
