//! `list`: the domains with high-level facts.

use crate::Failure;
use crate::domains::{all, connect, find, letters};
use crate::options::Options;

/// Compat: `xm`'s own columns.
const HEAD: &str =
    "Name                                        ID   Mem VCPUs      State   Time(s)";

/// All domains, those that do not run too, or the one that is named; documents with `--long`.
pub(crate) fn run(options: &Options) -> Result<(), Failure> {
    let connection = connect(options)?;
    let named = options.rest.iter().find(|word| !word.starts_with('-'));
    let wanted = named.map(|word| find(&connection, word)).transpose()?;
    let mut seen = all(&connection, false)?;
    seen.retain(|seen| wanted.as_ref().is_none_or(|dom| dom.uuid == seen.dom.uuid));
    if options.has("-l", "--long") {
        for seen in &seen {
            print!("{}", connection.domain_get_xml_desc(&seen.dom, 0)?);
        }
        return Ok(());
    }
    println!("{HEAD}");
    for seen in &seen {
        let id = if seen.dom.id < 0 { String::new() } else { seen.dom.id.to_string() };
        let seconds = seen.info.cpu_time as f64 / 1e9;
        println!(
            "{:<40} {id:>5} {:>5} {:>5} {:>10} {seconds:>8.1}",
            seen.dom.name.as_str(),
            seen.info.memory / 1024,
            seen.info.nr_virt_cpu,
            letters(seen.info.state),
        );
    }
    Ok(())
}
