//! The processor this program runs on, by its own instructions.

use crate::tables::{Features, Place, Register, Tables};

/// What the host's processor is and has. Features that stand in model-specific registers are not
/// among them: an unprivileged program cannot read those.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Host {
    /// The vendor by libvirt's name; none where it is none of those known.
    pub vendor: Option<&'static str>,
    pub features: Features,
}

impl Host {
    #[cfg(target_arch = "x86_64")]
    pub fn read() -> Self {
        use std::arch::x86_64::__cpuid_count;
        let highest = |base: u32| __cpuid_count(base, 0).eax;
        let (plain, extended) = (highest(0), highest(0x8000_0000));
        let word = |place: Place| match place {
            Place::Cpuid { leaf, subleaf, register } => {
                if leaf > if leaf < 0x8000_0000 { plain } else { extended } {
                    return 0;
                }
                let answer = __cpuid_count(leaf, subleaf);
                u64::from(match register {
                    Register::Eax => answer.eax,
                    Register::Ebx => answer.ebx,
                    Register::Ecx => answer.ecx,
                    Register::Edx => answer.edx,
                })
            }
            Place::Msr(_) => 0,
        };
        let name = __cpuid_count(0, 0);
        let letters = [name.ebx, name.edx, name.ecx].map(u32::to_le_bytes);
        let vendor = vendor(&String::from_utf8_lossy(letters.as_flattened()));
        Self { vendor, features: Tables::x86().decode(word) }
    }

    #[cfg(not(target_arch = "x86_64"))]
    pub fn read() -> Self {
        Self::default()
    }
}

/// libvirt's name for the vendor that a processor names.
pub fn vendor(signature: &str) -> Option<&'static str> {
    match signature {
        "GenuineIntel" => Some("Intel"),
        "AuthenticAMD" => Some("AMD"),
        "HygonGenuine" => Some("Hygon"),
        _ => None,
    }
}

#[cfg(all(test, target_arch = "x86_64"))]
mod tests {
    use super::*;

    #[test]
    fn the_host_has_what_every_64_bit_processor_has() {
        let host = Host::read();
        for name in ["lm", "sse2", "fpu", "cx8"] {
            let row = Tables::x86().row(name).unwrap();
            assert!(host.features.contains(&row), "{name}");
        }
    }
}
