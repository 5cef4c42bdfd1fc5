//! The names of models, by architecture.

use virt_error::{Code, Error, Origin, Result};

use crate::tables::Tables;

const POWER: &[&str] =
    &["POWER6", "POWER7", "POWER8", "POWER9", "POWER10", "POWERPC_e5500", "POWERPC_e6500"];

/// Architectures that documents may name.
const ARCHES: &[&str] = &[
    "aarch64",
    "alpha",
    "armv6l",
    "armv7b",
    "armv7l",
    "cris",
    "i686",
    "ia64",
    "lm32",
    "loongarch64",
    "m68k",
    "microblaze",
    "microblazeel",
    "mips",
    "mips64",
    "mips64el",
    "mipsel",
    "openrisc",
    "parisc",
    "parisc64",
    "ppc",
    "ppc64",
    "ppc64le",
    "ppcemb",
    "riscv32",
    "riscv64",
    "s390",
    "s390x",
    "sh4",
    "sh4eb",
    "sparc",
    "sparc64",
    "unicore32",
    "x86_64",
    "xtensa",
    "xtensaeb",
];

/// Whether it is the name of an architecture.
pub fn is_arch(arch: &str) -> bool {
    ARCHES.contains(&arch)
}

/// Which table an architecture's models are in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Family {
    X86,
    Power,
    Arm,
    /// Any name is taken and none is compared.
    Free,
    None,
}

impl Family {
    pub(crate) fn of(arch: &str) -> Self {
        match arch {
            "i686" | "x86_64" => Self::X86,
            "ppc64" | "ppc64le" => Self::Power,
            "aarch64" | "armv6l" | "armv7b" | "armv7l" => Self::Arm,
            "s390" | "s390x" | "riscv32" | "riscv64" | "loongarch64" => Self::Free,
            _ => Self::None,
        }
    }
}

pub(crate) fn unsupported(arch: &str) -> Error {
    let detail = format!("'{arch}' architecture is not supported by CPU driver");
    Error::new(Code::NoSupport, Origin::Cpu, detail)
}

pub(crate) fn is_power_model(name: &str) -> bool {
    POWER.contains(&name)
}

/// The names of an architecture's models; none where every name is taken.
pub fn names(arch: &str, from: Origin) -> Result<Vec<String>> {
    if !is_arch(arch) {
        let detail = format!("cannot find architecture {arch}");
        return Err(Error::new(Code::InvalidArg, from, detail));
    }
    match Family::of(arch) {
        Family::X86 => {
            Ok(Tables::x86().models().iter().map(|model| model.name.to_owned()).collect())
        }
        Family::Power => Ok(POWER.iter().map(|name| (*name).to_owned()).collect()),
        Family::Arm | Family::Free => Ok(Vec::new()),
        Family::None => Err(unsupported(arch)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_architecture_has_names_takes_any_or_is_refused() {
        let of = |arch: &str| names(arch, Origin::Test);
        assert_eq!(of("x86_64").unwrap().len(), 150);
        assert_eq!(of("ppc64").unwrap().first().map(String::as_str), Some("POWER6"));
        assert_eq!(of("s390x").unwrap(), [""; 0]);
        assert!(of("nosuch").unwrap_err().is(Code::InvalidArg));
        assert!(of("sparc").unwrap_err().is(Code::NoSupport));
    }
}
