//! Printing documents, whole or the part that `--xpath` selects.

use virt_cli::Args;
use virt_xml::dump_foreign;

use crate::failure::{Done, Failure};
use crate::shell::{Shell, say, sayln};
use crate::xml;
use crate::xpath::{Selected, select};

/// Prints a document as the options `--xpath` and `--wrap` ask for it.
pub(crate) fn print_document(shell: &mut Shell, args: &Args, text: &str) -> Done {
    let path = if args.knows("xpath") { args.text("xpath")? } else { None };
    let Some(path) = path else {
        say!(shell, "{text}");
        shell.fact("xml", text);
        return Ok(());
    };
    let root = xml::parse(text)?;
    let found = select(&root, path)
        .ok_or_else(|| Failure::new(format!("internal error: Incorrect xpath '{path}'")))?;
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
