//! Options that many commands share, and what their combinations mean.

use virt_cli::{Args, Opt, Problem, Values};
use virt_types::api;

pub(crate) const DOMAIN: Opt =
    Opt::string("domain", "the domain: name, id or UUID").needed().of(Values::Object("domain"));
pub(crate) const ACTIVE_DOMAIN: Opt = DOMAIN.of(Values::Object("active domain"));
pub(crate) const INACTIVE_DOMAIN: Opt = DOMAIN.of(Values::Object("inactive domain"));
pub(crate) const NETWORK: Opt =
    Opt::string("network", "the network: name or UUID").needed().of(Values::Object("network"));
pub(crate) const POOL: Opt =
    Opt::string("pool", "the pool: name or UUID").needed().of(Values::Object("pool"));
pub(crate) const POOL_AT: Opt =
    Opt::string("pool", "the pool to look in: name or UUID").at().of(Values::Object("pool"));
pub(crate) const VOL: Opt =
    Opt::string("vol", "the volume: name, key or path").needed().of(Values::Object("volume"));
pub(crate) const INTERFACE: Opt = Opt::string("interface", "the interface: name or MAC address")
    .needed()
    .of(Values::Object("interface"));
pub(crate) const DEVICE: Opt =
    Opt::string("device", "the device: name or WWNN,WWPN").needed().of(Values::Object("device"));
pub(crate) const SECRET: Opt =
    Opt::string("secret", "the secret's UUID").needed().of(Values::Object("secret"));
pub(crate) const NWFILTER: Opt =
    Opt::string("nwfilter", "the filter: name or UUID").needed().of(Values::Object("nwfilter"));
pub(crate) const FILE: Opt =
    Opt::string("file", "file with the XML document").needed().of(Values::File);

pub(crate) const PASS_FDS: Opt =
    Opt::string("pass-fds", "numbers of open files to hand over, with commas").unwanted();

pub(crate) const CONFIG: Opt = Opt::flag("config", "change what the next start will use");
pub(crate) const LIVE: Opt = Opt::flag("live", "change what runs now");
pub(crate) const CURRENT: Opt = Opt::flag("current", "change whichever of the two is in force");
pub(crate) const VALIDATE: Opt = Opt::flag("validate", "check the document against its schema");
pub(crate) const XPATH: Opt = Opt::string("xpath", "print only what this XPath selects");
pub(crate) const WRAP: Opt = Opt::flag("wrap", "put the selected nodes under one root");
pub(crate) const PRINT_XML: Opt = Opt::flag("print-xml", "print the document, change nothing");

/// The words of a table of words and flags, for completion.
pub(crate) const fn words_of<const N: usize>(
    pairs: &[(&'static str, u32); N],
) -> [&'static str; N] {
    let mut words = [""; N];
    let mut at = 0;
    while at < N {
        words[at] = pairs[at].0;
        at += 1;
    }
    words
}

/// The flags whose options were given.
pub(crate) fn flags_of(args: &Args, flags: &[(&str, u32)]) -> u32 {
    let given = flags.iter().filter(|(name, _)| args.flag(name));
    given.fold(0, |all, (_, flag)| all | flag)
}

/// What `--config`, `--live` and `--current` say, and whether any of them was given.
pub(crate) fn impact(args: &Args) -> Result<(u32, bool), Problem> {
    args.exclusive("current", "live")?;
    args.exclusive("current", "config")?;
    let flags =
        flags_of(args, &[("live", api::DOMAIN_AFFECT_LIVE), ("config", api::DOMAIN_AFFECT_CONFIG)]);
    Ok((flags, flags != 0 || args.flag("current")))
}
