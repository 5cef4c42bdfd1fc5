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
        hyperv: Option<Hyperv> = child_long_opt("hyperv"),
        kvm: Option<Kvm> = child("kvm"),
        pvspinlock: Option<State> = child("pvspinlock"),
        capabilities: Option<Element<'static>> = tree("capabilities"),
        pmu: Option<State> = child("pmu"),
        vmport: Option<State> = child("vmport"),
        gic: Option<Gic> = child("gic"),
        smm: Option<Smm> = child("smm"),
        ioapic: Option<Driver> = child("ioapic"),
        hpt: Option<Hpt> = child_some("hpt"),
        vmcoreinfo: Option<State> = child("vmcoreinfo"),
        htm: Option<State> = child("htm"),
        nested_hv: Option<State> = child("nested-hv"),
        msrs: Option<Msrs> = child("msrs"),
        ccf_assist: Option<State> = child("ccf-assist"),
        xen: Option<Xen> = child_long_opt("xen"),
        cfpc: Option<Value> = child("cfpc"),
        sbbc: Option<Value> = child("sbbc"),
        ibs: Option<Value> = child("ibs"),
        tcg: Option<Tcg> = child_some("tcg"),
        async_teardown: Option<super::misc::EnabledDefault> = child("async-teardown"),
        ras: Option<State> = child("ras"),
        ps2: Option<State> = child("ps2"),
        aia: Option<Value> = child("aia"),
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
        tseg_bytes: Option<u64> = pretty_size_text("tseg"),
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

words! {
    pub enum HypervMode {
        Custom = "custom",
        Passthrough = "passthrough",
    }
}

element! {
    /// What a Windows guest is told of its hypervisor.
    pub struct Hyperv {
        mode: HypervMode = attr_def("mode"),
        relaxed: Option<State> = child("relaxed"),
        vapic: Option<State> = child("vapic"),
        spinlocks: Option<Spinlocks> = child("spinlocks"),
        vpindex: Option<State> = child("vpindex"),
        runtime: Option<State> = child("runtime"),
        synic: Option<State> = child("synic"),
        stimer: Option<Stimer> = child("stimer"),
        reset: Option<State> = child("reset"),
        vendor_id: Option<VendorId> = child("vendor_id"),
        frequencies: Option<State> = child("frequencies"),
        reenlightenment: Option<State> = child("reenlightenment"),
        tlbflush: Option<TlbFlush> = child("tlbflush"),
        ipi: Option<State> = child("ipi"),
        evmcs: Option<State> = child("evmcs"),
        avic: Option<State> = child("avic"),
        emsr_bitmap: Option<State> = child("emsr_bitmap"),
        xmm_input: Option<State> = child("xmm_input"),
    }
}

element! {
    pub struct Spinlocks {
        state: OnOff = attr_req("state"),
        retries: Option<u32> = attr("retries"),
    }
}

element! {
    pub struct Stimer {
        state: OnOff = attr_req("state"),
        direct: Option<State> = child("direct"),
    }
}

element! {
    pub struct VendorId {
        state: OnOff = attr_req("state"),
        value: Option<String> = attr("value"),
    }
}

element! {
    pub struct TlbFlush {
        state: OnOff = attr_req("state"),
        direct: Option<State> = child("direct"),
        extended: Option<State> = child("extended"),
    }
}

element! {
    pub struct Kvm {
        hidden: Option<State> = child("hidden"),
        hint_dedicated: Option<State> = child("hint-dedicated"),
        poll_control: Option<State> = child("poll-control"),
        pv_ipi: Option<State> = child("pv-ipi"),
        dirty_ring: Option<DirtyRing> = child("dirty-ring"),
    }
}

element! {
    pub struct DirtyRing {
        state: OnOff = attr_req("state"),
        size: Option<u32> = attr("size"),
    }
}

element! {
    pub struct Xen {
        e820_host: Option<State> = child("e820_host"),
        passthrough: Option<XenPassthrough> = child("passthrough"),
    }
}

element! {
    pub struct XenPassthrough {
        state: OnOff = attr_req("state"),
        mode: Option<String> = attr("mode"),
    }
}

element! {
    pub struct Gic {
        version: Option<String> = attr("version"),
    }
}

element! {
    pub struct Hpt {
        resizing: Option<String> = attr("resizing"),
        maxpagesize_kib: Option<u64> = kib_text("maxpagesize"),
    }
}

element! {
    pub struct Msrs {
        unknown: Option<String> = attr("unknown"),
    }
}

element! {
    pub struct Value {
        value: Option<String> = attr("value"),
    }
}

element! {
    pub struct Tcg {
        tb_cache_kib: Option<u64> = kib_text("tb-cache"),
    }
}
