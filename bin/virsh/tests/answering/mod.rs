//! A driver that answers what the test driver refuses, in a daemon on a socket of its own: one object of
//! each kind, with facts of every kind that a client can be told.

use std::os::unix::net::UnixListener;
use std::sync::Arc;

use test_support::Scratch;
use virt_driver::{
    Bindings, Call, DomainDevices, DomainGuest, DomainJobs, Domains, Driver, Host, Migration,
    MonitorEvent, MonitorFilter, MonitorSink, MonitorSource, Networks, Nwfilters, OpenRequest,
    Opener, Pools, Ports, Qemu, Registry, Secrets, SubscriptionId,
};
use virt_error::{Code, Error, Origin, Result};
use virt_types::{
    DomainBlockJobInfo, DomainGetJobStats, DomainJobInfo, DomainRef, NetworkDhcpLease,
    NetworkPortRef, NetworkRef, NodeMemoryStat, NwfilterBindingRef, NwfilterRef, SecretRef,
    TypedParam, TypedValue, Uuid, api,
};
use virtd::harness::{Daemon, Entry};

/// What everything is called here but for ports and secrets, which have a UUID only.
pub(crate) const NAME: &str = "a";
#[allow(dead_code, reason = "not every test asks for it by that")]
pub(crate) const UUID: &str = "01010101-0101-0101-0101-010101010101";

const OBJECT: Uuid = Uuid([1; 16]);
const URI: &str = "answering:///";
const DOCUMENT: &str = "<domain type='qemu'>\n  <name>a</name>\n  <devices>\n    \
                        <console type='pty' tty='/dev/pts/7'/>\n  </devices>\n</domain>\n";

/// The daemon; it ends with the process.
pub(crate) struct Answering {
    _daemon: Arc<Daemon>,
    _folder: Scratch,
    uri: String,
}

impl Answering {
    pub(crate) fn start() -> Self {
        let folder = Scratch::new("answering");
        virt_log::set_outputs(Vec::new());
        let daemon = Daemon::start("", Registry::new().with(World)).expect("a daemon");
        let daemon = Arc::new(daemon);
        let socket = folder.join("socket");
        let listener = UnixListener::bind(&socket).expect("a socket of our own");
        let door = Arc::clone(&daemon);
        std::thread::spawn(move || {
            for came in listener.incoming() {
                let welcomed = came.and_then(|socket| door.welcome(socket, Entry::ReadWrite));
                welcomed.expect("the daemon runs");
            }
        });
        let uri = format!("answering+unix:///?socket={}", socket.display());
        Self { _daemon: daemon, _folder: folder, uri }
    }

    pub(crate) fn uri(&self) -> &str {
        &self.uri
    }
}

struct World;

impl Opener for World {
    fn open(&self, request: &OpenRequest<'_>) -> Result<Option<Vec<Arc<dyn Driver>>>> {
        Ok((request.uri == URI).then(|| vec![Arc::new(Self) as Arc<dyn Driver>]))
    }
}

impl Driver for World {
    fn name(&self) -> &str {
        "ANSWERING"
    }

    fn monitors(&self) -> Option<&dyn MonitorSource> {
        Some(self)
    }

    virt_driver::owns! {
        host: Host,
        domains: Domains,
        domain_devices: DomainDevices,
        domain_jobs: DomainJobs,
        domain_guest: DomainGuest,
        migration: Migration,
        networks: Networks,
        ports: Ports,
        pools: Pools,
        secrets: Secrets,
        nwfilters: Nwfilters,
        bindings: Bindings,
        qemu: Qemu,
    }
}

fn domain() -> DomainRef {
    named(NAME)
}

fn named(name: &str) -> DomainRef {
    DomainRef { name: name.into(), uuid: OBJECT, id: 1 }
}

fn network() -> NetworkRef {
    NetworkRef { name: NAME.into(), uuid: OBJECT }
}

fn port() -> NetworkPortRef {
    NetworkPortRef { net: network(), uuid: OBJECT }
}

fn secret() -> SecretRef {
    SecretRef { uuid: OBJECT, usage_type: 1, usage_id: "/vol".into() }
}

fn filter() -> NwfilterRef {
    NwfilterRef { name: NAME.into(), uuid: OBJECT }
}

fn binding() -> NwfilterBindingRef {
    NwfilterBindingRef { portdev: NAME.into(), filtername: "clean-traffic".into() }
}

/// A value of each kind that a parameter can have.
fn params() -> Vec<TypedParam> {
    vec![
        TypedParam::new("int", -1_i32),
        TypedParam::new("uint", 2_u32),
        TypedParam::new("llong", -3_i64),
        TypedParam::new("ullong", 4_u64),
        TypedParam::new("double", 5.5),
        TypedParam::new("boolean", true),
        TypedParam::new("string", "six"),
    ]
}

impl Host for World {
    fn compare_cpu(&self, _: &Call<'_>, _: &str, _: u32) -> Result<i32> {
        Ok(api::CPU_COMPARE_SUPERSET)
    }
    fn compare_hypervisor_cpu(
        &self,
        _: &Call<'_>,
        _: Option<&str>,
        _: Option<&str>,
        _: Option<&str>,
        _: Option<&str>,
        _: &str,
        _: u32,
    ) -> Result<i32> {
        Ok(api::CPU_COMPARE_IDENTICAL)
    }
    fn baseline_hypervisor_cpu(
        &self,
        _: &Call<'_>,
        _: Option<&str>,
        _: Option<&str>,
        _: Option<&str>,
        _: Option<&str>,
        _: &[String],
        _: u32,
    ) -> Result<String> {
        Ok("<cpu><model>qemu64</model></cpu>\n".to_owned())
    }
    fn node_get_memory_stats(&self, _: &Call<'_>, _: i32, _: u32) -> Result<Vec<NodeMemoryStat>> {
        let stat = |(field, value): (&str, u64)| NodeMemoryStat { field: field.to_owned(), value };
        Ok([("total", 1 << 40), ("free", 77)].map(stat).to_vec())
    }
    fn node_get_memory_parameters(&self, _: &Call<'_>, _: u32) -> Result<Vec<TypedParam>> {
        Ok(params())
    }
    fn node_get_sev_info(&self, _: &Call<'_>, _: u32) -> Result<Vec<TypedParam>> {
        Ok(vec![
            TypedParam::new("pdh", "AAAA"),
            TypedParam::new("cert-chain", "BBBB"),
            TypedParam::new("cpu0-id", "CCCC"),
            TypedParam::new("cbitpos", 47_u32),
            TypedParam::new("reduced-phys-bits", 1_u32),
            TypedParam::new("max-guests", 15_u32),
            TypedParam::new("max-es-guests", 16_u32),
        ])
    }
}

impl Domains for World {
    fn lookup_by_id(&self, _: &Call<'_>, _: i32) -> Result<DomainRef> {
        Ok(domain())
    }
    fn lookup_by_name(&self, _: &Call<'_>, name: &str) -> Result<DomainRef> {
        match name.starts_with(NAME) {
            true => Ok(named(name)),
            false => Err(Error::new(Code::NoDomain, Origin::Test, name)),
        }
    }
    fn get_xml_desc(&self, _: &Call<'_>, _: &DomainRef, _: u32) -> Result<String> {
        Ok(DOCUMENT.to_owned())
    }
    fn get_launch_security_info(
        &self,
        _: &Call<'_>,
        _: &DomainRef,
        _: u32,
    ) -> Result<Vec<TypedParam>> {
        Ok(params())
    }
    fn xml_from_native(&self, _: &Call<'_>, _: &str, _: &str, _: u32) -> Result<String> {
        Ok(DOCUMENT.to_owned())
    }
    fn xml_to_native(&self, _: &Call<'_>, _: &str, _: &str, _: u32) -> Result<String> {
        Ok("name = \"a\"\n".to_owned())
    }
}

impl DomainDevices for World {
    fn get_block_job_info(
        &self,
        _: &Call<'_>,
        _: &DomainRef,
        path: &str,
        _: u32,
    ) -> Result<DomainBlockJobInfo> {
        let found = i32::from(path == "vda");
        let kind = api::DOMAIN_BLOCK_JOB_TYPE_COPY;
        Ok(DomainBlockJobInfo { found, kind, bandwidth: 1 << 20, cur: 1, end: 3 })
    }
}

/// Every fact of a job, but for those that the words of the domain's name take out or change:
/// `a kind=2 -memory_total`.
fn job(name: &str) -> DomainGetJobStats {
    let mut number = 1_u64;
    let mut param = |field: &str| {
        number = number.saturating_mul(3);
        TypedParam::new(field, number)
    };
    let mut params = vec![
        TypedParam::new(api::DOMAIN_JOB_OPERATION, api::DOMAIN_JOB_OPERATION_MIGRATION_OUT),
        TypedParam::new(api::DOMAIN_JOB_AUTO_CONVERGE_THROTTLE, 20_i32),
        TypedParam::new(api::DOMAIN_JOB_ERRMSG, "all is well"),
    ];
    params.extend(JOB_AMOUNTS.iter().map(|field| param(field)));
    let mut kind = api::DOMAIN_JOB_BOUNDED;
    for word in name.split(' ') {
        if let Some(field) = word.strip_prefix('-') {
            params.retain(|param| param.field != field);
        } else if let Some((field, number)) = word.split_once('=') {
            let number: u64 = number.parse().unwrap_or_default();
            match params.iter_mut().find(|param| param.field == field) {
                Some(TypedParam { value: TypedValue::Int(value), .. }) => {
                    *value = i32::try_from(number).unwrap_or_default();
                }
                Some(param) => param.value = number.into(),
                None => kind = i32::try_from(number).unwrap_or_default(),
            }
        }
    }
    DomainGetJobStats { kind, params }
}

const JOB_AMOUNTS: &[&str] = &[
    api::DOMAIN_JOB_TIME_ELAPSED,
    api::DOMAIN_JOB_TIME_ELAPSED_NET,
    api::DOMAIN_JOB_TIME_REMAINING,
    api::DOMAIN_JOB_DATA_TOTAL,
    api::DOMAIN_JOB_DATA_PROCESSED,
    api::DOMAIN_JOB_DATA_REMAINING,
    api::DOMAIN_JOB_MEMORY_TOTAL,
    api::DOMAIN_JOB_MEMORY_PROCESSED,
    api::DOMAIN_JOB_MEMORY_REMAINING,
    api::DOMAIN_JOB_MEMORY_BPS,
    api::DOMAIN_JOB_MEMORY_DIRTY_RATE,
    api::DOMAIN_JOB_MEMORY_PAGE_SIZE,
    api::DOMAIN_JOB_MEMORY_ITERATION,
    api::DOMAIN_JOB_MEMORY_POSTCOPY_REQS,
    api::DOMAIN_JOB_MEMORY_CONSTANT,
    api::DOMAIN_JOB_MEMORY_NORMAL,
    api::DOMAIN_JOB_MEMORY_NORMAL_BYTES,
    api::DOMAIN_JOB_DISK_TOTAL,
    api::DOMAIN_JOB_DISK_PROCESSED,
    api::DOMAIN_JOB_DISK_REMAINING,
    api::DOMAIN_JOB_DISK_BPS,
    api::DOMAIN_JOB_DOWNTIME,
    api::DOMAIN_JOB_DOWNTIME_NET,
    api::DOMAIN_JOB_SETUP_TIME,
    api::DOMAIN_JOB_COMPRESSION_CACHE,
    api::DOMAIN_JOB_COMPRESSION_BYTES,
    api::DOMAIN_JOB_COMPRESSION_PAGES,
    api::DOMAIN_JOB_COMPRESSION_CACHE_MISSES,
    api::DOMAIN_JOB_COMPRESSION_OVERFLOW,
    api::DOMAIN_JOB_DISK_TEMP_USED,
    api::DOMAIN_JOB_DISK_TEMP_TOTAL,
    api::DOMAIN_JOB_VFIO_DATA_TRANSFERRED,
];

impl DomainJobs for World {
    fn get_job_info(&self, _: &Call<'_>, _: &DomainRef) -> Result<DomainJobInfo> {
        virt_driver::unsupported()
    }
    fn get_job_stats(&self, _: &Call<'_>, dom: &DomainRef, _: u32) -> Result<DomainGetJobStats> {
        Ok(job(&dom.name))
    }
    fn backup_get_xml_desc(&self, _: &Call<'_>, _: &DomainRef, _: u32) -> Result<String> {
        Ok("<domainbackup mode='push'/>\n".to_owned())
    }
    fn managed_save_get_xml_desc(&self, _: &Call<'_>, _: &DomainRef, _: u32) -> Result<String> {
        Ok(DOCUMENT.to_owned())
    }
}

impl DomainGuest for World {
    fn authorized_ssh_keys_get(
        &self,
        _: &Call<'_>,
        _: &DomainRef,
        _: &str,
        _: u32,
    ) -> Result<Vec<String>> {
        Ok(["ssh-ed25519 AAAA a@b", "ssh-rsa BBBB"].map(str::to_owned).to_vec())
    }
    fn agent_set_response_timeout(
        &self,
        _: &Call<'_>,
        _: &DomainRef,
        _: i32,
        _: u32,
    ) -> Result<i32> {
        Ok(60)
    }
    fn get_guest_info(
        &self,
        _: &Call<'_>,
        _: &DomainRef,
        _: u32,
        _: u32,
    ) -> Result<Vec<TypedParam>> {
        Ok(params())
    }
    fn get_guest_vcpus(&self, _: &Call<'_>, _: &DomainRef, _: u32) -> Result<Vec<TypedParam>> {
        Ok(params())
    }
}

impl Migration for World {
    fn get_max_speed(&self, _: &Call<'_>, _: &DomainRef, _: u32) -> Result<u64> {
        Ok(8_796_093_022_207)
    }
    fn get_compression_cache(&self, _: &Call<'_>, _: &DomainRef, _: u32) -> Result<u64> {
        Ok(64 << 20)
    }
    fn get_max_downtime(&self, _: &Call<'_>, _: &DomainRef, _: u32) -> Result<u64> {
        Ok(300)
    }
}

impl Networks for World {
    fn lookup_by_name(&self, _: &Call<'_>, _: &str) -> Result<NetworkRef> {
        Ok(network())
    }
    fn get_dhcp_leases(
        &self,
        _: &Call<'_>,
        _: &NetworkRef,
        _: Option<&str>,
        _: u32,
    ) -> Result<Vec<NetworkDhcpLease>> {
        let whole = NetworkDhcpLease {
            iface: "virbr0".to_owned(),
            expirytime: 1_700_000_000,
            kind: api::IP_ADDR_TYPE_IPV4,
            mac: Some("52:54:00:11:22:33".to_owned()),
            iaid: Some("1".to_owned()),
            ipaddr: "192.0.2.7".to_owned(),
            prefix: 24,
            hostname: Some("guest".to_owned()),
            clientid: Some("01:52".to_owned()),
        };
        let bare = NetworkDhcpLease {
            kind: api::IP_ADDR_TYPE_IPV6,
            iaid: None,
            ipaddr: "2001:db8::7".to_owned(),
            prefix: 64,
            hostname: None,
            clientid: None,
            ..whole.clone()
        };
        Ok(vec![whole, bare])
    }
}

impl Ports for World {
    fn lookup_by_uuid(&self, _: &Call<'_>, _: &NetworkRef, _: &Uuid) -> Result<NetworkPortRef> {
        Ok(port())
    }
    fn list_all(&self, _: &Call<'_>, _: &NetworkRef, _: u32) -> Result<Vec<NetworkPortRef>> {
        Ok(vec![port()])
    }
    fn get_xml_desc(&self, _: &Call<'_>, _: &NetworkPortRef, _: u32) -> Result<String> {
        Ok(format!("<networkport>\n  <uuid>{UUID}</uuid>\n</networkport>\n"))
    }
}

impl Pools for World {
    fn get_capabilities(&self, _: &Call<'_>, _: u32) -> Result<String> {
        Ok("<storagepoolCapabilities/>\n".to_owned())
    }
}

impl Secrets for World {
    fn lookup_by_uuid(&self, _: &Call<'_>, _: &Uuid) -> Result<SecretRef> {
        Ok(secret())
    }
    fn list_all(&self, _: &Call<'_>, _: u32) -> Result<Vec<SecretRef>> {
        let unused = SecretRef { uuid: Uuid([2; 16]), usage_type: 0, usage_id: String::new() };
        Ok(vec![secret(), unused])
    }
    fn get_xml_desc(&self, _: &Call<'_>, _: &SecretRef, _: u32) -> Result<String> {
        Ok(format!("<secret>\n  <uuid>{UUID}</uuid>\n</secret>\n"))
    }
    fn get_value(&self, _: &Call<'_>, _: &SecretRef, _: u32) -> Result<Vec<u8>> {
        Ok(b"secret".to_vec())
    }
}

impl Nwfilters for World {
    fn lookup_by_name(&self, _: &Call<'_>, _: &str) -> Result<NwfilterRef> {
        Ok(filter())
    }
    fn list_all(&self, _: &Call<'_>, _: u32) -> Result<Vec<NwfilterRef>> {
        Ok(vec![filter()])
    }
    fn get_xml_desc(&self, _: &Call<'_>, _: &NwfilterRef, _: u32) -> Result<String> {
        Ok("<filter name='a'/>\n".to_owned())
    }
}

impl Bindings for World {
    fn lookup_by_port_dev(&self, _: &Call<'_>, _: &str) -> Result<NwfilterBindingRef> {
        Ok(binding())
    }
    fn list_all(&self, _: &Call<'_>, _: u32) -> Result<Vec<NwfilterBindingRef>> {
        Ok(vec![binding()])
    }
    fn get_xml_desc(&self, _: &Call<'_>, _: &NwfilterBindingRef, _: u32) -> Result<String> {
        Ok("<filterbinding/>\n".to_owned())
    }
}

impl Qemu for World {
    fn monitor_command(&self, _: &Call<'_>, _: &DomainRef, _: &str, flags: u32) -> Result<String> {
        match flags & api::DOMAIN_QEMU_MONITOR_COMMAND_HMP {
            0 => Ok("{\"return\":{\"running\":true},\"id\":\"libvirt-1\"}".to_owned()),
            _ => Ok("VM status: running\r\n".to_owned()),
        }
    }
    fn agent_command(
        &self,
        _: &Call<'_>,
        _: &DomainRef,
        _: &str,
        _: i32,
        _: u32,
    ) -> Result<Option<String>> {
        Ok(Some("{\"return\":{}}".to_owned()))
    }
}

/// Whoever listens hears something at once, and nothing after it.
impl MonitorSource for World {
    fn subscribe(&self, _: MonitorFilter, sink: MonitorSink) -> Result<SubscriptionId> {
        let event = MonitorEvent {
            dom: domain(),
            name: "STOP".to_owned(),
            at_us: 1_700_000_000_000_007,
            details: Some("{\"why\":\"asked\"}".to_owned()),
        };
        std::thread::spawn(move || {
            // Order: who listens hears of nothing before it knows that it does.
            std::thread::sleep(std::time::Duration::from_millis(100));
            sink(&event);
        });
        Ok(SubscriptionId(1))
    }
    fn unsubscribe(&self, _: SubscriptionId) -> Result<()> {
        Ok(())
    }
}
