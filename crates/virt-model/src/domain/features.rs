//! Features of the machine that can be switched.

use crate::schema::text::{OnOff, YesNo};
use virt_xml::Element;

element! {
    pub struct Features {
        acpi: bool = flag("acpi"),
        apic: Option<Apic> = child("apic"),
        pae: bool = flag("pae"),
        hap: Option<State> = child("hap"),
        viridian: bool = flag("viridian"),
        privnet: bool = flag("privnet"),
        hyperv: Option<Element<'static>> = tree("hyperv"),
        kvm: Option<Element<'static>> = tree("kvm"),
        pvspinlock: Option<State> = child("pvspinlock"),
        capabilities: Option<Element<'static>> = tree("capabilities"),
        pmu: Option<State> = child("pmu"),
        vmport: Option<State> = child("vmport"),
        gic: Option<Element<'static>> = tree("gic"),
        smm: Option<Smm> = child("smm"),
        ioapic: Option<Driver> = child("ioapic"),
        hpt: Option<Element<'static>> = tree("hpt"),
        vmcoreinfo: Option<State> = child("vmcoreinfo"),
        htm: Option<State> = child("htm"),
        nested_hv: Option<State> = child("nested-hv"),
        msrs: Option<Element<'static>> = tree("msrs"),
        ccf_assist: Option<State> = child("ccf-assist"),
        xen: Option<Element<'static>> = tree("xen"),
        cfpc: Option<Element<'static>> = tree("cfpc"),
        sbbc: Option<Element<'static>> = tree("sbbc"),
        ibs: Option<Element<'static>> = tree("ibs"),
        tcg: Option<Element<'static>> = tree("tcg"),
        async_teardown: Option<super::misc::EnabledDefault> = child("async-teardown"),
        ras: Option<State> = child("ras"),
        ps2: Option<State> = child("ps2"),
        aia: Option<Element<'static>> = tree("aia"),
    }
}

element! {
    pub struct Apic {
        eoi: Option<OnOff> = attr("eoi"),
    }
}

element! {
    /// A feature that is on unless it says otherwise.
    pub struct State {
        state: OnOff = attr_def("state"),
    }
}

element! {
    pub struct Smm {
        state: OnOff = attr_def("state"),
        tseg: Option<Element<'static>> = tree("tseg"),
    }
}

element! {
    pub struct Driver {
        driver: String = attr_req("driver"),
    }
}

impl State {
    pub fn is_on(&self) -> bool {
        self.state.is_on()
    }
}

impl From<YesNo> for State {
    fn from(value: YesNo) -> Self {
        Self { state: value.is_yes().into() }
    }
}
