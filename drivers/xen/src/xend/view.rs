//! What runs, as xend tells it; and its running or not, as xend does it.

use virt_error::{Error, Origin, Result};
use virt_types::Uuid;

use super::client::{Node, Xend};
use crate::channels::{CPUS_MAX, Hypervisor, VCPUS_MAX};
use crate::operation_failed;
use crate::seen::{Credit, Key, Life, Physical, Running, Vcpu};
use crate::sexpr::tree::Sexpr;
use crate::xend::XendError;

/// Limit: domains that are asked for one by one.
const DOMAINS_MAX: usize = 10_000;
const NS_PER_S: f64 = 1e9;

/// xend's failure as the public error.
pub(crate) fn public(error: &XendError) -> Error {
    let detail = format!("xend: {error}");
    match error {
        XendError::Refused { .. } => Error::new(virt_error::Code::PostFailed, Origin::Xend, detail),
        XendError::Answer(_) => Error::internal(Origin::Xend, detail),
        XendError::Timeout(_) => {
            Error::new(virt_error::Code::OperationTimeout, Origin::Xend, detail)
        }
        _ => Error::new(virt_error::Code::OperationFailed, Origin::Xend, detail),
    }
}

/// xend as the channel to what runs.
#[derive(Clone, Debug)]
pub(crate) struct XendView {
    pub(crate) xend: Xend,
}

fn number<T: std::str::FromStr>(tree: &Sexpr, name: &str) -> Option<T> {
    // xend prints some whole numbers with a fraction.
    tree.value(name)?.split('.').next()?.parse().ok()
}

fn seconds_ns(tree: &Sexpr, name: &str) -> u64 {
    let seconds: f64 = tree.value(name).and_then(|text| text.parse().ok()).unwrap_or(0.0);
    // A number that is none, or beyond all time, is nought or the most there is.
    (seconds * NS_PER_S) as u64
}

/// The letters `rbpscd`; what follows the first dash by dash is how xend says all of them.
fn life(tree: &Sexpr) -> Life {
    let letters = tree.value("state").unwrap_or_default();
    let has = |letter| letters.contains(letter);
    let crashed = tree.value("shutdown_reason") == Some("crash");
    match () {
        () if has('d') => Life::Dying,
        () if has('c') || has('s') && crashed => Life::Crashed,
        () if has('s') => Life::Down,
        () if has('p') => Life::Paused,
        () if has('b') => Life::Blocked,
        () => Life::Running,
    }
}

/// A running domain; `None` for one that has no number.
pub(crate) fn running(tree: &Sexpr) -> Option<Running> {
    let id = number(tree, "domid")?;
    let name = tree.value("name")?;
    let uuid = match tree.value("uuid").and_then(Uuid::parse) {
        Some(uuid) => uuid,
        None if id == 0 => Uuid::default(),
        None => return None,
    };
    let kib = |name: &str| number::<u64>(tree, name).map(|mib| mib.saturating_mul(1024));
    let memory_kib = kib("memory").unwrap_or(0);
    let count = |name: &str| number::<u32>(tree, name).map(|count| count.min(VCPUS_MAX));
    let max_vcpus = count("vcpus").unwrap_or(1);
    Some(Running {
        id,
        uuid,
        name: name.into(),
        life: life(tree),
        // xend itself does what is to be done then.
        ended: None,
        hvm: tree.get("image").is_some_and(|image| image.get("hvm").is_some()),
        memory_kib,
        max_memory_kib: kib("maxmem").unwrap_or(memory_kib).max(memory_kib),
        vcpus: count("online_vcpus").unwrap_or(max_vcpus),
        max_vcpus,
        cpu_time_ns: seconds_ns(tree, "cpu_time"),
    })
}

impl XendView {
    pub(crate) fn node(&self) -> Result<Node> {
        self.xend.node().map_err(|error| public(&error))
    }

    /// What is known of a domain, running or not.
    pub(crate) fn tree(&self, key: &str) -> Result<Option<Sexpr>> {
        self.xend.domain(key).map_err(|error| public(&error))
    }

    pub(crate) fn all(&self) -> Result<Vec<Sexpr>> {
        let names = self.xend.names(&self.node()?).map_err(|error| public(&error))?;
        let mut all = Vec::new();
        for name in names.iter().take(DOMAINS_MAX) {
            // One that has gone since it was listed is no failure.
            all.extend(self.tree(name)?);
        }
        Ok(all)
    }

    pub(crate) fn act(
        &self,
        key: &str,
        op: &str,
        fields: &[(&str, &str)],
    ) -> Result<Option<Sexpr>> {
        self.xend.act(key, op, fields).map_err(|error| public(&error))
    }
}

/// How many processors the host has: lists of them are made.
fn processors(node: &Node) -> Result<u32> {
    if node.nr_cpus > CPUS_MAX {
        let count = node.nr_cpus;
        let detail = format!("xend says that there are {count} processors, more than {CPUS_MAX}");
        return Err(Error::internal(Origin::Xend, detail));
    }
    Ok(node.nr_cpus.max(1))
}

fn key_of(running: &Running) -> String {
    match running.is_control() {
        true => running.name.to_string(),
        false => running.uuid.to_string(),
    }
}

fn vcpu(tree: &Sexpr) -> Option<Vcpu> {
    let flag = |name: &str| number::<u32>(tree, name) == Some(1);
    let map = tree.get("cpumap").and_then(|map| map.items().get(1));
    let pins = map.into_iter().flat_map(Sexpr::items).filter_map(Sexpr::atom);
    let pins = pins.filter_map(|cpu| cpu.parse().ok()).filter(|cpu| *cpu < CPUS_MAX as usize);
    Some(Vcpu {
        number: number(tree, "number")?,
        online: flag("online"),
        blocked: flag("blocked"),
        running: flag("running"),
        cpu_time_ns: seconds_ns(tree, "cpu_time"),
        cpu: number(tree, "cpu").unwrap_or(-1),
        pins: pins.collect(),
    })
}

/// Reads `{'cap': 0, 'weight': 256}`, which is how Python prints it.
pub(super) fn credit(text: &str) -> Option<Credit> {
    let field = |name: &str| {
        let rest = text.split_once(&format!("'{name}':"))?.1.trim_start();
        let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
        digits.parse().ok()
    };
    Some(Credit { weight: field("weight")?, cap: field("cap")? })
}

impl Hypervisor for XendView {
    fn running(&self) -> Result<Vec<Running>> {
        Ok(self.all()?.iter().filter_map(running).collect())
    }

    fn look(&self, key: Key<'_>) -> Result<Option<Running>> {
        let text = match key {
            Key::Id(id) => id.to_string(),
            Key::Name(name) => name.to_owned(),
            Key::Uuid(uuid) if uuid.is_nil() => "0".to_owned(),
            Key::Uuid(uuid) => uuid.to_string(),
        };
        let found = self.tree(&text)?.as_ref().and_then(running);
        // A name that looks like a number is not taken for one.
        Ok(found.filter(|running| key.fits(running)))
    }

    fn pause(&self, running: &Running) -> Result<()> {
        self.act(&key_of(running), "pause", &[]).map(drop)
    }

    fn unpause(&self, running: &Running) -> Result<()> {
        self.act(&key_of(running), "unpause", &[]).map(drop)
    }

    fn vcpus(&self, running: &Running) -> Result<Vec<Vcpu>> {
        let tree = self.act(&key_of(running), "vcpuinfo", &[])?;
        let vcpus = tree.iter().flat_map(|tree| tree.all("vcpu")).filter_map(vcpu);
        Ok(vcpus.take(VCPUS_MAX as usize).collect())
    }

    fn pin(&self, running: &Running, vcpu: u32, cpus: &[usize]) -> Result<()> {
        let list: Vec<String> = cpus.iter().map(usize::to_string).collect();
        let fields = [("vcpu", &*vcpu.to_string()), ("cpumap", &*list.join(","))];
        self.act(&key_of(running), "pincpu", &fields).map(drop)
    }

    fn credit(&self, running: &Running) -> Result<Credit> {
        let said = self.act(&key_of(running), "domain_sched_credit_get", &[])?;
        let read = said.as_ref().and_then(Sexpr::atom).and_then(credit);
        read.ok_or_else(|| operation_failed("xend does not say what the scheduler gives"))
    }

    fn set_credit(&self, running: &Running, set: Credit) -> Result<()> {
        set_credit(self, &key_of(running), set)
    }

    fn physical(&self) -> Result<Physical> {
        let node = self.node()?;
        let kib = |mib: u64| mib.saturating_mul(1024);
        Ok(Physical {
            cpus: processors(&node)?,
            nodes: node.nr_nodes.max(1),
            cores: node.cores_per_socket.max(1),
            threads: node.threads_per_core.max(1),
            mhz: node.cpu_mhz,
            total_kib: kib(node.total_memory_mib),
            free_kib: kib(node.free_memory_mib),
            caps: node.xen_caps.clone(),
            directio: false,
            scheduler: node.scheduler.clone(),
            version: (node.xen_major, node.xen_minor, node.xen_micro),
        })
    }

    fn name(&self) -> &'static str {
        "xend"
    }
}

/// Both must be given, or none is taken.
pub(crate) fn set_credit(view: &XendView, key: &str, set: Credit) -> Result<()> {
    let (weight, cap) = (set.weight.to_string(), set.cap.to_string());
    let fields = [("weight", weight.as_str()), ("cap", cap.as_str())];
    view.act(key, "domain_sched_credit_set", &fields).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_python_prints_is_read() {
        let wanted = Some(Credit { weight: 256, cap: 50 });
        assert_eq!(credit("{'cap': 50, 'weight': 256}"), wanted);
        assert_eq!(credit("{'weight':256,'cap':50}"), wanted);
        for text in ["", "{}", "{'cap': x, 'weight': 1}", "{'cap': 99999999999, 'weight': 1}"] {
            assert_eq!(credit(text), None, "{text}");
        }
    }

    #[test]
    fn counts_have_bounds() {
        let node = |nr_cpus| Node { nr_cpus, ..Node::default() };
        assert_eq!((processors(&node(0)), processors(&node(4096))), (Ok(1), Ok(4096)));
        assert!(processors(&node(u32::MAX)).expect_err("too many").message().contains("4096"));
        let text = "(domain (domid 3)(name a)(uuid 4dea22b3-1d52-4a52-a1f3-000000000001)\
                    (vcpus 4294967295)(online_vcpus 4294967295))";
        let found = running(&Sexpr::parse(text).expect("a tree")).expect("it runs");
        assert_eq!((found.vcpus, found.max_vcpus), (VCPUS_MAX, VCPUS_MAX));
    }

    #[test]
    fn the_six_states_are_told_apart() {
        let of = |letters: &str, reason: &str| {
            let text = format!(
                "(domain (domid 3)(name a)(uuid 4dea22b3-1d52-4a52-a1f3-000000000001)(memory 4)\
                 (state {letters})(shutdown_reason {reason}))"
            );
            running(&Sexpr::parse(&text).expect("a tree")).map(|running| running.life)
        };
        assert_eq!(of("r-----", "x"), Some(Life::Running));
        assert_eq!(of("-b----", "x"), Some(Life::Blocked));
        assert_eq!(of("-bp---", "x"), Some(Life::Paused));
        assert_eq!(of("---s--", "poweroff"), Some(Life::Down));
        assert_eq!(of("---s--", "crash"), Some(Life::Crashed));
        assert_eq!(of("----c-", "x"), Some(Life::Crashed));
        assert_eq!(of("---s-d", "x"), Some(Life::Dying));
        assert_eq!(of("------", "x"), Some(Life::Running));
    }
}
