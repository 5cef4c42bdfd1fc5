//! The host's processors, from recorded files of another.

use virt_host::{CpuInfo, Topology};

use crate::{Case, Check, Suite, Verdict, compare};

fn verdict(suite: &Suite, case: &Case) -> Verdict {
    let folder = suite.fixture("hostcpu").join(&case.name);
    let info = CpuInfo::parse(&suite.input(case, 0)?);
    let topology = Topology::at(&folder.join("cpu"));
    let nodes = topology.nodes(&folder.join("node"));
    let made = format!(
        "CPUs: {}/{}, MHz: {}, Nodes: {}, Sockets: {}, Cores: {}, Threads: {}\n",
        topology.online.len(),
        topology.present.len(),
        info.mhz,
        nodes.nodes,
        nodes.sockets,
        nodes.cores,
        nodes.threads,
    );
    compare::text(&suite.expected(case, ".expected").ok_or("no expected text")??, &made)?;
    let signature = format!(
        "{}, {}, family: {}, model: {}, stepping: {}\n",
        info.vendor, info.model_name, info.family, info.model, info.stepping
    );
    compare::text(&suite.expected(case, ".signature").ok_or("no signature")??, &signature)
}

pub(super) fn processors(suite: &Suite, case: &Case) -> Vec<Check> {
    vec![verdict(suite, case).into()]
}
