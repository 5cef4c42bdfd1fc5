//! xend's operations, and how it answers them.

mod devices;
mod domain;
mod moves;
mod tuning;

use crate::config::Config;
use crate::http::Request;
use crate::machine::State;
use crate::profile::Unknown;
use crate::sxp::{self, Sxp, list, pair, word};
use crate::xend::{World, Xend};

/// An answer.
pub(crate) enum Reply {
    Tree(u16, Sxp),
    Made(Sxp, String),
    Text(u16, String),
}

/// What an operation says of itself: an expression, or why not.
pub(crate) type Done = Result<Option<Sxp>, String>;

/// Answered with 200 even if they fail.
const THREADED: &[&str] = &["save", "restore", "dump", "migrate"];

pub(crate) fn answer(xend: &Xend, request: &Request) -> Reply {
    let path = request.path.trim_end_matches('/');
    match path.strip_prefix("/xend") {
        Some("") => Reply::Tree(200, list([word("node"), word("domain"), word("vnet")])),
        Some("/node") => node(xend, request),
        Some("/node/log") => Reply::Text(200, xend.world().log.join("\n")),
        Some("/node/dmesg") => Reply::Text(200, "(XEN) simulated\n".to_owned()),
        Some("/domain") if request.is_post || request.form.get("op").is_some() => {
            on_domains(xend, request)
        }
        Some("/domain") => names(xend, request),
        Some(rest) => match rest.strip_prefix("/domain/") {
            Some(key) => one(xend, request, key),
            None => Reply::Text(404, String::new()),
        },
        None => Reply::Text(404, String::new()),
    }
}

fn node(xend: &Xend, request: &Request) -> Reply {
    if !request.is_post {
        return Reply::Tree(200, xend.describe_node(&xend.world()));
    }
    match request.form.get("op") {
        Some("shutdown" | "reboot") => Reply::Text(200, String::new()),
        Some(_) => Reply::Text(501, String::new()),
        None => Reply::Text(406, String::new()),
    }
}

/// The names of all domains, or all of them.
fn names(xend: &Xend, request: &Request) -> Reply {
    let profile = xend.profile();
    let world = xend.world();
    let wanted = request.form.get("state").unwrap_or("running");
    let shown = world.domains.iter().filter(|domain| {
        let state = domain.run.as_ref().map(|run| run.state);
        match wanted {
            _ if !profile.is_managing() => state.is_some(),
            "all" => true,
            "halted" => state.is_none(),
            "paused" => state == Some(State::Paused),
            // Paused domains are left out.
            _ => state.is_some_and(|state| state != State::Paused),
        }
    });
    if request.form.get("detail") == Some("1") {
        let mut all = vec![xend.describe_control(1.5)];
        all.extend(shown.map(|domain| xend.describe(domain)));
        return Reply::Tree(200, Sxp::List(all));
    }
    let mut all = Vec::new();
    if !matches!(wanted, "halted" | "paused") || !profile.is_managing() {
        all.push(word("Domain-0"));
    }
    all.extend(shown.map(|domain| word(&domain.config.name)));
    Reply::Tree(200, Sxp::List(all))
}

fn failure(xend: &Xend, op: &str, why: &str) -> Reply {
    let status = match op {
        "create" if xend.profile().hides_failures() => 200,
        _ if THREADED.contains(&op) => 200,
        _ => 500,
    };
    xend.log(format!("ERROR {op}: {why}"));
    Reply::Tree(status, list([word("xend.err"), word(why)]))
}

/// Operations that are about no domain that is there.
fn on_domains(xend: &Xend, request: &Request) -> Reply {
    let Some(op) = request.form.get("op") else { return Reply::Text(406, String::new()) };
    let profile = xend.profile();
    let done = match op {
        "create" | "new" if op == "new" && !profile.is_managing() => {
            return Reply::Text(501, String::new());
        }
        "create" | "new" => request.form.need("config").and_then(|text| {
            let tree = sxp::parse(text)?;
            let config = Config::of(&tree, &xend.settings)?;
            let mut world = xend.world();
            let managed = op == "new";
            if managed
                && let Some(old) = world.domains.iter().find(|d| d.config.uuid == config.uuid)
                && old.run.is_some()
                && !old.managed
            {
                return Err(format!("Domain '{}' is already running", old.config.name));
            }
            let at = xend.add(&mut world, config, managed)?;
            if managed {
                return Ok(None);
            }
            if let Err(why) = xend.boot(&mut world, at) {
                if world.domains.get(at).is_some_and(|domain| !domain.managed) {
                    world.domains.remove(at);
                }
                return Err(why);
            }
            Ok(world.domains.get(at).map(|domain| xend.describe(domain)))
        }),
        "restore" => request.form.need("file").and_then(|file| moves::restore(xend, file)),
        "list" => return names(xend, request),
        _ => return Reply::Text(501, String::new()),
    };
    match done {
        Ok(Some(tree)) => {
            let name = tree.value("name").unwrap_or_default().to_owned();
            Reply::Made(tree, format!("/xend/domain/{name}"))
        }
        Ok(None) => Reply::Text(200, String::new()),
        Err(why) => failure(xend, op, &why),
    }
}

/// Where a domain is that is named by name, number or UUID.
pub(crate) fn find(world: &World, key: &str) -> Option<usize> {
    let number = key.parse::<u32>().ok();
    world.domains.iter().position(|domain| {
        domain.config.name == key
            || domain.config.uuid == key
            || number.is_some() && domain.run.as_ref().map(|run| run.id) == number
    })
}

fn unknown(xend: &Xend, key: &str) -> Reply {
    let error = |text: String| list([word("xend.err"), word(text)]);
    match xend.profile().unknown() {
        Unknown::Such => Reply::Tree(404, error(format!("No such domain {key}"))),
        Unknown::Named => Reply::Tree(404, error(format!("No domain named '{key}'."))),
        Unknown::Nothing => Reply::Text(500, String::new()),
        Unknown::Fault => Reply::Tree(500, error(format!("<Fault 3: '{key}'>"))),
    }
}

fn one(xend: &Xend, request: &Request, key: &str) -> Reply {
    let control = matches!(key, "Domain-0" | "0" | "00000000-0000-0000-0000-000000000000");
    let op = request.form.get("op");
    if control {
        return match op {
            None => Reply::Tree(200, xend.describe_control(1.5)),
            Some("vcpuinfo") => {
                let vcpus = (0..xend.settings.cpus).map(|number| {
                    list([
                        word("vcpu"),
                        pair("number", number),
                        pair("online", 1),
                        pair("blocked", 0),
                        pair("running", 1),
                        pair("cpu_time", "0.5"),
                        pair("cpu", number),
                        list([word("cpumap"), list((0..xend.settings.cpus).map(word))]),
                    ])
                });
                Reply::Tree(200, list([word("domain")].into_iter().chain(vcpus)))
            }
            Some("domain_sched_credit_get") if xend.profile().has_credit() => {
                Reply::Text(200, "\"{'cap': 0, 'weight': 256}\"".to_owned())
            }
            Some(op) => failure(xend, op, "Cannot be done to privileged domain 0"),
        };
    }
    if find(&xend.world(), key).is_none() {
        return unknown(xend, key);
    }
    let Some(op) = op else {
        if request.is_post {
            return Reply::Text(406, String::new());
        }
        let world = xend.world();
        let found = find(&world, key).and_then(|at| world.domains.get(at));
        return match found {
            Some(domain) => Reply::Tree(200, xend.describe(domain)),
            None => unknown(xend, key),
        };
    };
    let done = domain::act(xend, key, op, &request.form)
        .or_else(|| tuning::act(xend, key, op, &request.form))
        .or_else(|| devices::act(xend, key, op, &request.form))
        .or_else(|| moves::act(xend, key, op, &request.form));
    match done {
        None => Reply::Text(501, String::new()),
        Some(Ok(Some(tree))) => Reply::Tree(200, tree),
        Some(Ok(None)) => {
            Reply::Text(if THREADED.contains(&op) { 202 } else { 200 }, String::new())
        }
        Some(Err(why)) => failure(xend, op, &why),
    }
}
