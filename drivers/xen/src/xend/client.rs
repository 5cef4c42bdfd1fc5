//! What xend can be asked, in its own words; and what each release wants otherwise.

use std::time::Duration;

use super::XendError;
use super::http::{self, Answer, FORM_BYTES_MAX, Place};
use crate::sexpr::tree::Sexpr;

type Result<T> = std::result::Result<T, XendError>;

/// How long most requests may take: xend does one after the other.
const ASK_WAIT_MAX: Duration = Duration::from_secs(60);
/// How long saving, restoring, dumping and moving may take, all of which wait for a disk or a host.
const MOVE_WAIT_MAX: Duration = Duration::from_secs(3600);
/// The operations that may take so long.
const SLOW: &[&str] = &["save", "restore", "dump", "migrate", "create", "wait_for_devices"];
/// xend's configuration format of Xen 3.0.4, from which on domains are kept that do not run.
const FORMAT_MANAGED: u32 = 3;

/// A connection to xend. Nothing is kept open: each request connects anew.
#[derive(Clone, Debug)]
pub struct Xend {
    place: Place,
    wait_max: Option<Duration>,
}

/// What xend says of its host.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Node {
    pub xen_major: u32,
    pub xen_minor: u32,
    /// The release within it, of `xen_extra`, such as `.2-1`.
    pub xen_micro: u32,
    /// 1 where nothing is said, as before Xen 3.0.3.
    pub config_format: u32,
    pub nr_cpus: u32,
    pub nr_nodes: u32,
    pub cores_per_socket: u32,
    pub threads_per_core: u32,
    pub cpu_mhz: u32,
    pub total_memory_mib: u64,
    pub free_memory_mib: u64,
    /// `xen-3.0-x86_64 hvm-3.0-x86_32 ...`.
    pub xen_caps: String,
    pub scheduler: String,
}

impl Node {
    /// Whether xend keeps domains that do not run.
    pub fn has_managed_domains(&self) -> bool {
        self.config_format >= FORMAT_MANAGED
    }

    fn of(tree: &Sexpr) -> Self {
        fn number<T: std::str::FromStr + Default>(tree: &Sexpr, name: &str) -> T {
            tree.value(name).and_then(|text| text.parse().ok()).unwrap_or_default()
        }
        let text = |name: &str| tree.value(name).unwrap_or_default().to_owned();
        let extra = tree.value("xen_extra").unwrap_or_default().trim_start_matches('.');
        let micro: String = extra.chars().take_while(char::is_ascii_digit).collect();
        Self {
            xen_major: number(tree, "xen_major"),
            xen_minor: number(tree, "xen_minor"),
            xen_micro: micro.parse().unwrap_or(0),
            config_format: number::<u32>(tree, "xend_config_format").max(1),
            nr_cpus: number(tree, "nr_cpus"),
            nr_nodes: number(tree, "nr_nodes"),
            cores_per_socket: number(tree, "cores_per_socket"),
            threads_per_core: number(tree, "threads_per_core"),
            cpu_mhz: number(tree, "cpu_mhz"),
            total_memory_mib: number(tree, "total_memory"),
            free_memory_mib: number(tree, "free_memory"),
            xen_caps: text("xen_caps"),
            scheduler: text("xen_scheduler"),
        }
    }
}

impl Xend {
    pub fn new(place: Place) -> Self {
        Self { place, wait_max: None }
    }

    /// The same with another limit for every request.
    #[must_use]
    pub fn with_wait_max(self, wait_max: Duration) -> Self {
        Self { wait_max: Some(wait_max), ..self }
    }

    /// The host; asking for it is how xend is found.
    pub fn node(&self) -> Result<Node> {
        self.node_tree().map(|tree| Node::of(&tree))
    }

    /// All that xend says of the host.
    pub fn node_tree(&self) -> Result<Sexpr> {
        self.get("/xend/node/", "node")
    }

    /// xend's own log.
    pub fn log(&self) -> Result<String> {
        let answer = http::ask(&self.place, "/xend/node/log", None, self.wait_max("log"))?;
        match answer.status {
            200..=299 => Ok(answer.body),
            _ => Err(XendError::Refused { op: "log".to_owned(), text: answer.body }),
        }
    }

    /// The names of all domains, of those that do not run too where xend keeps any.
    ///
    /// Compat: from 3.0.4 on a plain list leaves out paused domains, and `detail=1` does too.
    pub fn names(&self, node: &Node) -> Result<Vec<String>> {
        let all = if node.has_managed_domains() { "?state=all" } else { "" };
        let tree = self.get(&format!("/xend/domain{all}"), "list")?;
        Ok(tree.items().iter().filter_map(Sexpr::atom).map(str::to_owned).collect())
    }

    /// A domain by name, number or UUID; `None` where there is none.
    pub fn domain(&self, key: &str) -> Result<Option<Sexpr>> {
        match self.get(&path(key), key) {
            Ok(tree) => Ok(Some(tree)),
            Err(XendError::NotFound(_)) => Ok(None),
            // Compat: 3.1 to 3.3 say nothing but 500, 3.4 and later name Python's own fault.
            Err(XendError::Refused { text, .. }) if text.is_empty() || text.contains("Fault 3") => {
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Makes a domain of `(vm ...)` and leaves it paused.
    pub fn create(&self, config: &str) -> Result<Option<Sexpr>> {
        self.post("/xend/domain", "create", &[("config", config)])
    }

    /// Keeps a domain without starting it; from Xen 3.0.4 on.
    pub fn define(&self, config: &str) -> Result<Option<Sexpr>> {
        self.post("/xend/domain", "new", &[("config", config)])
    }

    pub fn restore(&self, file: &str) -> Result<Option<Sexpr>> {
        self.post("/xend/domain", "restore", &[("file", file)])
    }

    /// Anything that is done to one domain: `pause`, `destroy`, `set_vcpus` with `vcpus`, ...
    pub fn act(&self, key: &str, op: &str, fields: &[(&str, &str)]) -> Result<Option<Sexpr>> {
        self.post(&path(key), op, fields)
    }

    /// Moves a domain to another host.
    ///
    /// Compat: a release that misses a field it knows fails; those that it does not know it passes over.
    pub fn migrate(&self, key: &str, destination: &str, live: bool, port: u16) -> Result<()> {
        let (live, port) = (if live { "1" } else { "0" }, port.to_string());
        let fields = [
            ("destination", destination),
            ("live", live),
            ("port", &port),
            ("resource", "0"),
            ("node", "-1"),
            ("ssl", ""),
            ("change_home_server", "0"),
        ];
        self.act(key, "migrate", &fields).map(drop)
    }

    fn wait_max(&self, op: &str) -> Duration {
        let usual = if SLOW.contains(&op) { MOVE_WAIT_MAX } else { ASK_WAIT_MAX };
        self.wait_max.unwrap_or(usual)
    }

    fn get(&self, path: &str, what: &str) -> Result<Sexpr> {
        let answer = http::ask(&self.place, path, None, self.wait_max(what))?;
        read(what, &answer)?.ok_or_else(|| XendError::Answer("it is empty".to_owned()))
    }

    fn post(&self, path: &str, op: &str, fields: &[(&str, &str)]) -> Result<Option<Sexpr>> {
        let all: Vec<(&str, &str)> =
            [("op", op)].into_iter().chain(fields.iter().copied()).collect();
        let form = http::form(&all);
        if form.len() > FORM_BYTES_MAX {
            return Err(XendError::TooLong { op: op.to_owned(), bytes: form.len() });
        }
        read(op, &http::ask(&self.place, path, Some(&form), self.wait_max(op))?)
    }
}

fn path(key: &str) -> String {
    let mut path = "/xend/domain/".to_owned();
    http::encode(key, &mut path);
    path
}

/// What an answer says, which its status does not always tell.
///
/// Compat: 3.0.0 to 3.0.2 answer 200 to a creation that failed, and every release does to a save,
/// restore, dump or migration that did; the body has the truth.
fn read(op: &str, answer: &Answer) -> Result<Option<Sexpr>> {
    let text = answer.body.trim();
    let refused = |text: &str| Err(XendError::Refused { op: op.to_owned(), text: text.to_owned() });
    let tree = if text.is_empty() { None } else { Sexpr::parse(text).ok() };
    if let Some(found) = tree.as_ref().and_then(find_error) {
        return if answer.status == 404 { not_found(op) } else { refused(found) };
    }
    match answer.status {
        200..=299 if text.is_empty() => Ok(None),
        200..=299 => match tree {
            Some(tree) => Ok(Some(tree)),
            None => Err(XendError::Answer("it is no S-expression".to_owned())),
        },
        404 => not_found(op),
        _ => refused(text),
    }
}

fn not_found<T>(op: &str) -> Result<T> {
    Err(XendError::NotFound(op.to_owned()))
}

/// The text of `(xend.err 'text')`, wherever it stands at the top.
fn find_error(tree: &Sexpr) -> Option<&str> {
    if tree.name() == Some("xend.err") {
        return tree.items().get(1).and_then(Sexpr::atom).or(Some(""));
    }
    tree.items().iter().find(|item| item.name() == Some("xend.err")).and_then(find_error)
}
