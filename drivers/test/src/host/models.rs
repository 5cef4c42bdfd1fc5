//! Names of CPU models, by architecture.

use virt_error::{Code, Error, Origin, Result};

use crate::domain::rules::is_arch;
use crate::error::invalid_arg;

/// A model: its name, the endings of its variants, and how many versions follow them.
type Model = (&'static str, &'static [&'static str], u32);

const PLAIN: &[&str] = &[""];
const IBRS: &[&str] = &["", "-IBRS"];
const NO_TSX_FIRST: &[&str] = &["-noTSX", "-noTSX-IBRS", "", "-IBRS"];
const NO_TSX_LAST: &[&str] = &["", "-IBRS", "-noTSX-IBRS"];
const NO_TSX: &[&str] = &["", "-noTSX"];

const X86: &[Model] = &[
    ("486", PLAIN, 1),
    ("pentium", PLAIN, 1),
    ("pentium2", PLAIN, 1),
    ("pentium3", PLAIN, 1),
    ("pentiumpro", PLAIN, 0),
    ("coreduo", PLAIN, 1),
    ("n270", PLAIN, 1),
    ("core2duo", PLAIN, 1),
    ("qemu32", PLAIN, 1),
    ("kvm32", PLAIN, 1),
    ("cpu64", &["-rhel5", "-rhel6"], 0),
    ("qemu64", PLAIN, 1),
    ("kvm64", PLAIN, 1),
    ("Conroe", PLAIN, 1),
    ("Penryn", PLAIN, 1),
    ("Nehalem", IBRS, 2),
    ("Westmere", IBRS, 2),
    ("SandyBridge", IBRS, 2),
    ("IvyBridge", IBRS, 2),
    ("Haswell", NO_TSX_FIRST, 4),
    ("Broadwell", NO_TSX_FIRST, 4),
    ("Skylake-Client", NO_TSX_LAST, 4),
    ("Skylake-Server", NO_TSX_LAST, 5),
    ("Cascadelake-Server", NO_TSX, 5),
    ("Icelake-Client", NO_TSX, 0),
    ("Icelake-Server", NO_TSX, 7),
    ("Cooperlake", PLAIN, 2),
    ("Snowridge", PLAIN, 4),
    ("SapphireRapids", PLAIN, 3),
    ("GraniteRapids", PLAIN, 2),
    ("SierraForest", PLAIN, 1),
    ("Denverton", PLAIN, 3),
    ("KnightsMill", PLAIN, 1),
    ("athlon", PLAIN, 1),
    ("phenom", PLAIN, 1),
    ("Opteron_G1", PLAIN, 1),
    ("Opteron_G2", PLAIN, 1),
    ("Opteron_G3", PLAIN, 1),
    ("Opteron_G4", PLAIN, 1),
    ("Opteron_G5", PLAIN, 1),
    ("EPYC", &["", "-IBPB"], 4),
    ("EPYC-Rome", PLAIN, 4),
    ("EPYC-Milan", PLAIN, 2),
    ("EPYC-Genoa", PLAIN, 1),
    ("Dhyana", PLAIN, 2),
];

const POWER: &[Model] = &[
    ("POWER6", PLAIN, 0),
    ("POWER7", PLAIN, 0),
    ("POWER8", PLAIN, 0),
    ("POWER9", PLAIN, 0),
    ("POWER10", PLAIN, 0),
    ("POWERPC_e5500", PLAIN, 0),
    ("POWERPC_e6500", PLAIN, 0),
];

/// The names of an architecture's models; none where every name is taken.
pub(super) fn names(arch: &str) -> Result<Vec<String>> {
    if !is_arch(arch) {
        return Err(invalid_arg(format!("cannot find architecture {arch}")));
    }
    let models: &[Model] = match arch {
        "i686" | "x86_64" => X86,
        "ppc64" | "ppc64le" => POWER,
        "aarch64" | "armv6l" | "armv7b" | "armv7l" | "s390" | "s390x" | "riscv32" | "riscv64"
        | "loongarch64" => &[],
        _ => {
            let detail = format!("'{arch}' architecture is not supported by CPU driver");
            return Err(Error::new(Code::NoSupport, Origin::Cpu, detail));
        }
    };
    let with_versions = |(name, endings, versions): &Model| {
        let variants = endings.iter().map(move |ending| format!("{name}{ending}"));
        let numbered = (1..=*versions).map(move |version| format!("{name}-v{version}"));
        variants.chain(numbered).collect::<Vec<_>>()
    };
    Ok(models.iter().flat_map(with_versions).collect())
}
