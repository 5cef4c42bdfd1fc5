//! Domains under a driver without rules of its own.

use virt_error::Result;
use virt_model::domain::rules::mac_prefix;
use virt_model::domain::{Domain, DomainRules, DriverFeatures, VirtType};
use virt_model::{Mac, ParseFlags, PrintFlags};
use virt_types::Uuid;

use super::verdict;
use crate::{Case, Check, Suite};

/// The driver that generic-xml2xml asks for.
pub(super) struct Plain;

impl DomainRules for Plain {
    fn guest(&self, domain: &mut Domain) -> Result<()> {
        domain.os.kind.arch.get_or_insert_with(|| "x86_64".to_owned());
        Ok(())
    }

    fn random_uuid(&self) -> Uuid {
        Uuid([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15])
    }

    fn random_mac(&self, virt_type: VirtType) -> Mac {
        let [a, b, c] = mac_prefix(virt_type);
        Mac([a, b, c, 0, 0, 0])
    }

    fn features(&self) -> DriverFeatures {
        DriverFeatures {
            individual_vcpus: true,
            user_aliases: true,
            memory_hotplug: true,
            ..DriverFeatures::default()
        }
    }
}

pub(super) fn generic(suite: &Suite, case: &Case) -> Vec<Check> {
    let inactive = case.column("live") == "no";
    let made = suite.input(case, 0).and_then(|text| {
        let flags = ParseFlags { inactive, ..ParseFlags::default() };
        let domain = Domain::load(&text, flags, &Plain).map_err(|e| e.message().to_owned())?;
        Ok(domain.to_xml(PrintFlags { inactive, secure: true, ..PrintFlags::default() }))
    });
    vec![verdict(suite, case, ".xml", made).into()]
}
