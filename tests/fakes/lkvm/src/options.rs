//! The options of `run`: those the driver uses, refused where the tool would refuse them.

/// Limit: the tool ends at the fifth disk.
const DISKS_MAX: usize = 4;

/// The long names; those with a value first.
const VALUED: [&str; 13] = [
    "name",
    "cpus",
    "mem",
    "kernel",
    "initrd",
    "params",
    "disk",
    "9p",
    "network",
    "console",
    "vsock",
    "loglevel",
    "virtio-transport",
];
const PLAIN: [&str; 4] = ["balloon", "rng", "vnc", "nodefaults"];

/// What is run.
#[derive(Clone, Debug, Default)]
pub(crate) struct Options {
    pub(crate) all: Vec<(String, String)>,
}

impl Options {
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.all.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn each<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.all.iter().filter(move |(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    pub(crate) fn number(&self, name: &str, otherwise: u64) -> u64 {
        self.get(name).and_then(|text| text.parse().ok()).unwrap_or(otherwise)
    }
}

pub(crate) fn usage() -> String {
    let missing = crate::faults::text("without");
    let lines = VALUED.iter().chain(&PLAIN).filter(|name| Some(**name) != missing.as_deref());
    let lines: String = lines.map(|name| format!("        --{name} <x>   words\n")).collect();
    format!("\n usage: lkvm run [<options>] [<kernel image>]\n\n{lines}")
}

/// Reads the options, or says what the tool would say.
pub(crate) fn read(args: &[&str]) -> Result<Options, String> {
    let mut options = Options::default();
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        let name = arg.strip_prefix("--").ok_or_else(|| format!("unknown argument '{arg}'"))?;
        if PLAIN.contains(&name) {
            options.all.push((name.to_owned(), String::new()));
        } else if VALUED.contains(&name) {
            let value = args.next().ok_or_else(|| format!("option '{name}' requires a value"))?;
            options.all.push((name.to_owned(), (*value).to_owned()));
        } else {
            return Err(format!("unknown option '{name}'"));
        }
    }
    Ok(options)
}

/// What the tool finds out while it sets a guest up: a message, where it ends there.
pub(crate) fn check(options: &Options) -> Result<(), String> {
    if options.each("disk").count() > DISKS_MAX {
        return Err("Currently only 4 images are supported".into());
    }
    for disk in options.each("disk") {
        let path = disk.split(',').next().unwrap_or_default();
        std::fs::File::options()
            .read(true)
            .write(!disk.ends_with(",ro"))
            .open(path)
            .map_err(|error| format!("could not open disk image '{path}': {error}"))?;
    }
    let kernel = options.get("kernel").unwrap_or_default();
    std::fs::File::open(kernel)
        .map_err(|error| format!("Unable to open kernel {kernel}: {error}"))?;
    for network in options.each("network") {
        for pair in network.split(',') {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            match key {
                "tapif" if !std::path::Path::new("/sys/class/net").join(value).exists() => {
                    return Err(format!("Unable to open tap device '{value}'"));
                }
                "mode" | "guest_mac" | "tapif" => {}
                _ => return Err(format!("Unknown network parameter {key}")),
            }
        }
    }
    Ok(())
}
