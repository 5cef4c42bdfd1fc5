//! What xend says about domains and about the host.

use crate::machine::State;
use crate::sxp::{Sxp, list, pair, word};
use crate::xend::{Domain, World, Xend};

impl Xend {
    /// `(domain ...)`.
    pub(crate) fn describe(&self, domain: &Domain) -> Sxp {
        let profile = self.profile();
        let config = &domain.config;
        let mut items = vec![word("domain")];
        if let Some(run) = &domain.run {
            items.push(pair("domid", run.id));
        }
        items.push(pair("name", &config.name));
        items.push(pair("uuid", &config.uuid));
        if profile.is_managing() {
            let status = match domain.run.as_ref().map(|run| run.state) {
                None => 0,
                Some(State::Paused) => 1,
                Some(State::Up) => 2,
                Some(State::Down | State::Dying) => 4,
                Some(State::Crashed) => 5,
            };
            items.push(pair("status", status));
        }
        let skipped = ["memory", "vcpus"];
        for item in config.body.items().iter().skip(1) {
            if !item.head().is_some_and(|name| skipped.contains(&name)) {
                items.push(item.clone());
            }
        }
        items.push(pair("vcpus", config.number("vcpus")));
        let memory = domain.run.as_ref().map_or(config.number("memory"), |run| run.target_mib);
        items.push(pair("memory", memory));
        match &domain.run {
            Some(run) => {
                items.push(pair("state", run.letters()));
                items.push(pair("start_time", format!("{}.25", run.start_s)));
                items.push(pair("cpu_time", format!("{:.9}", run.cpu_s())));
                items.push(pair("online_vcpus", run.vcpus));
                items.push(pair("store_mfn", 1000 + run.id));
                items.push(pair("console_mfn", 2000 + run.id));
                if run.state == State::Down {
                    items.push(pair("shutdown_reason", "poweroff"));
                }
            }
            None => items.push(pair("state", "------")),
        }
        let devices = domain.run.as_ref().map_or(&config.devices, |run| &run.devices);
        for device in devices {
            let mut body = device.body.clone();
            if let (Some(run), "vfb") = (&domain.run, device.kind())
                && let Some(port) = run.vnc_port
            {
                body.set("location", format!("127.0.0.1:{port}"));
            }
            items.push(list([word("device"), body]));
        }
        if let (4, Some(run)) = (profile.config_format().unwrap_or(1), &domain.run) {
            let tty = run.console.as_ref().map_or(String::new(), |console| console.path.clone());
            let console = list([
                word("console"),
                pair("protocol", "vt100"),
                pair("location", 2),
                pair("tty", tty),
            ]);
            items.push(list([word("device"), console]));
        }
        Sxp::List(items)
    }

    pub(crate) fn describe_control(&self, cpu_s: f64) -> Sxp {
        let cpus = self.settings.cpus;
        let mut items = vec![
            word("domain"),
            pair("domid", 0),
            pair("name", "Domain-0"),
            pair("uuid", "00000000-0000-0000-0000-000000000000"),
        ];
        if self.profile().is_managing() {
            items.push(pair("status", 2));
        }
        items.extend([
            pair("vcpus", cpus),
            pair("memory", self.control_mib()),
            pair("maxmem", 16_777_215),
            pair("on_poweroff", "destroy"),
            pair("on_reboot", "restart"),
            pair("on_crash", "restart"),
            pair("bootloader", ""),
            pair("features", ""),
            pair("state", "r-----"),
            pair("cpu_time", format!("{cpu_s:.9}")),
            pair("online_vcpus", cpus),
        ]);
        Sxp::List(items)
    }

    /// `(node ...)`.
    pub(crate) fn describe_node(&self, world: &World) -> Sxp {
        let settings = &self.settings;
        let profile = self.profile();
        let mut caps = "xen-3.0-x86_64 xen-3.0-x86_32p ".to_owned();
        if settings.hvm {
            caps.push_str("hvm-3.0-x86_32 hvm-3.0-x86_32p hvm-3.0-x86_64 ");
        }
        let mut items = vec![
            word("node"),
            pair("system", "Linux"),
            pair("host", &settings.host),
            pair("release", "2.6.18-xen"),
            pair("version", "#1 SMP"),
            pair("machine", "x86_64"),
            pair("nr_cpus", settings.cpus),
            pair("nr_nodes", 1),
        ];
        if (profile.major, profile.minor) < (4, 0) {
            items.push(pair("sockets_per_node", 1));
        }
        items.extend([
            pair("cores_per_socket", settings.cpus),
            pair("threads_per_core", 1),
            pair("cpu_mhz", 2394),
            pair("hw_caps", "178bfbff:e7d3fbff:00000000:00000010"),
            pair("total_memory", settings.memory_mib),
            pair("free_memory", self.free_mib(world)),
        ]);
        if (profile.major, profile.minor) >= (4, 0) {
            items.push(pair("node_to_cpu", format!("node0:0-{}", settings.cpus - 1)));
        }
        items.extend([
            pair("xen_major", profile.major),
            pair("xen_minor", profile.minor),
            pair("xen_extra", profile.extra()),
            pair("xen_caps", caps.trim_end()),
        ]);
        if profile.has_credit() {
            items.push(pair("xen_scheduler", "credit"));
        }
        items.extend([
            pair("xen_pagesize", 4096),
            pair("platform_params", "virt_start=0xffff800000000000"),
            pair("xen_changeset", "unavailable"),
            pair("cc_compiler", "gcc version 4.1.2"),
            pair("cc_compile_by", "build"),
            pair("cc_compile_domain", "example.org"),
            pair("cc_compile_date", "Thu Jan  1 00:00:00 UTC 2009"),
        ]);
        if let Some(format) = profile.config_format() {
            items.push(pair("xend_config_format", format));
        }
        Sxp::List(items)
    }

    /// `(domain (domid 1) ... (vcpu (number 0) (online 1) ...))`.
    pub(crate) fn describe_vcpus(&self, domain: &Domain) -> Sxp {
        let config = &domain.config;
        let mut items = vec![word("domain")];
        items.push(pair("domid", domain.run.as_ref().map_or(0, |run| run.id)));
        items.push(pair("name", &config.name));
        items.push(pair("vcpu_count", config.number("vcpus")));
        for number in 0..config.number("vcpus") {
            let mut vcpu = vec![word("vcpu"), pair("number", number)];
            if let Some(run) = &domain.run {
                let online = number < u64::from(run.vcpus);
                let flag = |on: bool| u8::from(on);
                let at = usize::try_from(number).unwrap_or(0);
                let pins = run.pins.get(at).cloned().unwrap_or_default();
                let cpu = if online { i64::from(pins.first().copied().unwrap_or(0)) } else { -1 };
                vcpu.push(pair("online", flag(online)));
                vcpu.push(pair("blocked", flag(online && !run.busy)));
                vcpu.push(pair("running", flag(online && run.busy)));
                vcpu.push(pair("cpu_time", format!("{:.9}", run.cpu_s() / f64::from(run.vcpus))));
                vcpu.push(pair("cpu", cpu));
                vcpu.push(Sxp::List(vec![word("cpumap"), list(pins.iter().map(word))]));
            }
            items.push(Sxp::List(vcpu));
        }
        Sxp::List(items)
    }
}
