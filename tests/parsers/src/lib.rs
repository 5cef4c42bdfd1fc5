//! What must hold for any bytes that a reader is fed.
//!
//! Each function here is one fuzz target: it takes any bytes at all, and panics when the reader
//! breaks its word. The fuzzer finds new inputs (`cargo xtask fuzz`); those worth keeping lie in
//! `fuzz/corpus`, and the test beside this crate feeds them again in every run.

mod agent;
mod backing;
mod calls;
mod conf;
mod daemon;
mod disk;
mod documents;
mod frame;
mod json;
mod ldmd;
mod ldoms;
mod qmp;
mod sasl;
mod sexpr;
mod xdr;
mod xenconf;
mod xenshared;
mod xenstore;
mod xml;

/// A target's name, which is also the name of its folder in `fuzz/corpus`, and its check.
pub type Target = (&'static str, fn(&[u8]));

/// All targets.
pub const TARGETS: &[Target] = &[
    ("admin", daemon::admin),
    ("agent", agent::check),
    ("backing", backing::check),
    ("calls", calls::check),
    ("conf", conf::check),
    ("documents", documents::check),
    ("frame", frame::check),
    ("json", json::check),
    ("ldmd", ldmd::check),
    ("ldoms_message", ldoms::message),
    ("ldoms_stanza", ldoms::stanza),
    ("messages", daemon::messages),
    ("qmp", qmp::check),
    ("sasl", sasl::check),
    ("sexpr", sexpr::check),
    ("xdr", xdr::check),
    ("xenconf", xenconf::check),
    ("xenshared", xenshared::check),
    ("xenstore", xenstore::check),
    ("xml", xml::check),
    ("vmdk", disk::vmdk),
    ("vdi", disk::vdi),
    ("vhd", disk::vhd),
    ("qcow2", disk::qcow2),
    ("vhdx", disk::vhdx),
];

/// Feeds one target; the fuzzer's programs call this.
pub fn feed(target: &str, bytes: &[u8]) {
    let found = TARGETS.iter().find(|(name, _)| *name == target);
    let (_, check) = found.expect("a target of this crate");
    check(bytes);
}

/// Splits bytes into portions whose length the first byte chooses, as a socket might.
fn portions(bytes: &[u8]) -> Option<(std::slice::Chunks<'_, u8>, &[u8])> {
    let (length, rest) = bytes.split_first()?;
    Some((rest.chunks(usize::from(*length).max(1)), rest))
}

/// Feeds a reader of guests: what it takes can be written, and what was written is taken.
///
/// Writing may be refused, where a document says what the format cannot hold.
fn native(host: &driver_xen::Host, format: &str, text: &str) {
    let Ok(domain) = host.read(format, text) else { return };
    let Ok(written) = host.write(format, &domain) else { return };
    if let Err(error) = host.read(format, &written) {
        panic!("what was written is not read: {}\n{written}", error.message());
    }
}
