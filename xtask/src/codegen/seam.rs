//! Emits the seam of `virt-driver`: family traits, the table of public calls, and the façade.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use super::names::{borrowed, camel, owned};
use super::widest;
use protocol::{Call, Field, Form, Program, Ret, Rule, Type, Via, When};

const USES: &str = "use std::sync::Arc;\n\nuse virt_error::Result;\nuse virt_types::*;\n\n";

/// What a trait method gives back: the answer, the stream, or both.
pub(super) fn method_result(call: &Call, form: Form) -> String {
    let value = match (&call.ret, form) {
        (Ret::Nothing, _) => "()".to_owned(),
        (Ret::Fields(fields), _) => owned(&fields[0].kind),
        (Ret::Record(name), _) => name.clone(),
    };
    match (&call.stream, value.as_str()) {
        (None, _) => value,
        (Some(_), "()") => "Arc<dyn Stream>".into(),
        (Some(_), _) => format!("({value}, Arc<dyn Stream>)"),
    }
}

/// What the façade method gives back: as the trait's, or everything the wire answer holds.
pub(super) fn facade_result(call: &Call) -> String {
    match &call.via {
        Via::Method { form, .. } => method_result(call, *form),
        _ => method_result(call, Form::Plain),
    }
}

/// All families in the order they first appear.
pub(super) fn family_names(programs: &[Program]) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for call in programs.iter().flat_map(|program| &program.calls) {
        if let Via::Method { family, .. } = &call.via
            && !names.contains(family)
        {
            names.push(family.clone());
        }
    }
    names
}

/// The methods of one family in order: name and the widest call.
pub(super) fn methods<'a>(
    programs: &'a [Program],
    family: &str,
) -> Result<Vec<(String, &'a Call)>, String> {
    let mut list: Vec<(String, &Call)> = Vec::new();
    for call in programs.iter().flat_map(|program| &program.calls) {
        let Via::Method { family: of, method, .. } = &call.via else { continue };
        if of != family || list.iter().any(|(name, _)| name == method) {
            continue;
        }
        let widest = widest(programs, family, method)
            .ok_or_else(|| format!("{family}.{method} has no form without literals"))?;
        list.push((method.clone(), widest));
    }
    Ok(list)
}

/// The arguments of the trait method, as `(name, type)`.
pub(super) fn method_args(call: &Call) -> Vec<(&str, &Type)> {
    let Via::Method { args, .. } = &call.via else { return Vec::new() };
    args.iter()
        .filter_map(|name| call.args.iter().find(|arg| arg.name == *name))
        .map(|arg| (arg.name.as_str(), &arg.kind))
        .collect()
}

pub(super) fn families(programs: &[Program]) -> Result<String, String> {
    let mut out =
        super::header("The family traits a driver implements; every method can be refused.");
    out.push_str(USES);
    out.push_str("use crate::{Call, Stream, unsupported};\n\n");
    for family in family_names(programs) {
        let _ = writeln!(
            out,
            "/// The {} family of calls.\npub trait {}: Send + Sync {{",
            family.replace('_', " "),
            camel(&family)
        );
        for (method, call) in methods(programs, &family)? {
            let Via::Method { form, .. } = &call.via else { continue };
            for line in &call.doc {
                let _ = writeln!(out, "/// {line}");
            }
            if !call.doc.is_empty() {
                out.push_str("///\n");
            }
            let _ = writeln!(out, "/// Serves `{}`.", call.api);
            let args: String = method_args(call)
                .iter()
                .map(|(name, kind)| format!(", _{name}: {}", borrowed(kind)))
                .collect();
            let result = method_result(call, *form);
            if method_args(call).len() > 5 {
                out.push_str("#[allow(clippy::too_many_arguments)]\n");
            }
            let _ = writeln!(
                out,
                "fn {method}(&self, _call: &Call<'_>{args}) -> Result<{result}> {{ unsupported() }}\n"
            );
        }
        out.push_str("}\n\n");
    }
    Ok(out)
}

/// A permission as the table holds it.
fn access(rule: &Rule) -> String {
    let Rule { object, permission, when } = rule;
    let when = match when {
        When::Always => "When::Always".to_owned(),
        When::AnyOf(mask) => format!("When::AnyOf({mask:#x})"),
        When::NoneOf(mask) => format!("When::NoneOf({mask:#x})"),
    };
    format!("Access {{ object: {object:?}, permission: {permission:?}, when: {when} }},")
}

/// Who reports a refusal of the call itself: the part of the public API that the function is in.
fn origin(call: &Call) -> &'static str {
    let family = match &call.via {
        Via::Method { family, .. } => family.as_str(),
        _ => "",
    };
    match family {
        "qemu" | "lxc" => "None",
        "snapshots" => "DomainSnapshot",
        "checkpoints" => "DomainCheckpoint",
        _ => [
            ("Snapshot", "DomainSnapshot"),
            ("StorageP", "Storage"),
            ("StorageV", "Storage"),
            ("NodeDevice", "Nodedev"),
            ("NodeNumOfDevices", "Nodedev"),
            ("NodeListDevices", "Nodedev"),
            ("NWFilter", "Nwfilter"),
            ("Secret", "Secret"),
            ("virDomain", "Domain"),
            ("Network", "Network"),
            ("virInterface", "Interface"),
            ("Interfaces", "Interface"),
        ]
        .iter()
        .find(|(part, _)| call.api.contains(part))
        .map_or("Domain", |(_, origin)| origin),
    }
}

pub(super) fn apis(programs: &[Program]) -> Result<String, String> {
    let mut out = super::header("Every public call: its name and what it must be allowed.");
    out.push_str("use virt_error::Origin;\n\nuse crate::access::{Access, Api, When};\n\n");
    for call in programs.iter().filter(|p| p.name != "admin").flat_map(|program| &program.calls) {
        let rules: Result<Vec<String>, String> =
            call.rules().map(|rules| rules.iter().map(access).collect());
        let access_list = rules.map_err(|error| format!("{}: {error}", call.name))?.concat();
        let write = call.refused_read_only()?;
        let filter = match call.filter_rule()? {
            Some(rule) => format!("Some({})", access(&rule).trim_end_matches(',')),
            None => "None".to_owned(),
        };
        let origin = origin(call);
        let _ = writeln!(
            out,
            "pub static {}: Api = Api {{ name: {:?}, origin: Origin::{origin}, write: {write}, \
             access: &[{access_list}], filter: {filter} }};",
            call.name, call.api
        );
    }
    Ok(out)
}

/// Every permission that a call of any program needs, in libvirt's names.
pub(super) fn permissions(programs: &[Program]) -> Result<String, String> {
    let mut names = BTreeSet::new();
    for call in programs.iter().flat_map(|program| &program.calls) {
        for rule in call.rules()?.into_iter().chain(call.filter_rule()?) {
            names.insert(format!("{}.{}", rule.object, rule.permission));
        }
    }
    let mut out = super::header("Every permission there is, as rules name them.");
    let _ = writeln!(out, "pub const PERMISSIONS: &[&str] = &[");
    names.iter().for_each(|name| out.push_str(&format!("{name:?},\n")));
    out.push_str("];\n");
    Ok(out)
}

/// The object whose permissions a call needs, as the façade names it.
fn subject(call: &Call) -> Result<String, String> {
    let rules = call.rules()?;
    let Some(rule) = rules.iter().find(|rule| rule.object != "connect") else {
        return Ok("Object::Connect".into());
    };
    let arg = |name: &str| call.args.iter().find(|arg| arg.name == name);
    let first = call.args.iter().find_map(|arg| match &arg.kind {
        Type::Record(name) => name.strip_suffix("Ref").map(|kind| (kind, arg.name.as_str())),
        _ => None,
    });
    let xml = ["xml", "xml_desc", "dom_xml", "dxml"].iter().find_map(|name| arg(name));
    let text = |arg: Option<&Field>| match arg {
        None => "None".to_owned(),
        Some(arg) if matches!(arg.kind, Type::Optional(_)) => arg.name.clone(),
        Some(arg) => format!("Some({})", arg.name),
    };
    let kind = camel(&rule.object);
    Ok(match (first, xml) {
        _ if call.name.contains("_LOOKUP_") && gives(call, &kind) => "Object::Found".into(),
        (Some(("StoragePool", "pool")), Some(_)) if kind == "StorageVol" => {
            "Object::NewVolume { pool, xml }".into()
        }
        (Some(("Network", "network")), Some(_)) if kind == "NetworkPort" => {
            "Object::NewPort { network, xml }".into()
        }
        (Some((of, name)), _) if of.starts_with(&kind) => format!("Object::{of}({name})"),
        (Some(_), _) => return Err(format!("no argument is the {}", rule.object)),
        _ if kind == "NodeDevice" && arg("name").is_some() => {
            "Object::NodeDeviceNamed(name)".into()
        }
        _ if arg("params").is_some() => "Object::of_params(params)".into(),
        // The document takes the place of one that is known to nobody yet.
        _ if call.name == "DOMAIN_SAVE_IMAGE_DEFINE_XML" => {
            "Object::Described { name: None, xml: None }".into()
        }
        _ => format!("Object::Described {{ name: {}, xml: {} }}", text(arg("dname")), text(xml)),
    })
}

/// Whether the answer is an object of this kind.
fn gives(call: &Call, kind: &str) -> bool {
    let Ret::Fields(fields) = &call.ret else { return false };
    let record = fields.first().map(|field| &field.kind);
    matches!(record, Some(Type::Record(name)) if name.strip_suffix("Ref") == Some(kind))
}

/// Calls that give typed parameters as they are counted.
///
/// Compat: the public functions add `VIR_TYPED_PARAM_STRING_OKAY` to these themselves.
fn takes_strings(call: &Call) -> bool {
    let params = match &call.ret {
        Ret::Fields(fields) => fields.first().map(|field| &field.kind),
        _ => None,
    };
    let typed = matches!(params, Some(Type::List(inner, _)) if **inner == Type::TypedParam);
    let counted = matches!(&call.via, Via::Method { form: Form::Params | Form::Whole, .. });
    typed && counted
        || matches!(
            call.name.as_str(),
            "DOMAIN_GET_CPU_STATS" | "DOMAIN_GET_PERF_EVENTS" | "DOMAIN_GET_LAUNCH_SECURITY_INFO"
        )
}

pub(super) fn facade(programs: &[Program]) -> Result<String, String> {
    let mut out = super::header(
        "The public calls as methods of a connection: access is checked, refusals get their name.",
    );
    out.push_str(USES);
    out.push_str("use virt_types::api::TYPED_PARAM_STRING_OKAY;\n\nuse crate::access::Object;\nuse crate::{Connection, Stream};\nuse super::api;\n\nimpl Connection {\n");
    for call in programs.iter().flat_map(|program| &program.calls) {
        let Via::Method { form, family, method, args } = &call.via else { continue };
        let dropped = |name: &str| match form {
            Form::List => name == "need_results",
            Form::Params | Form::Whole => name == "nparams",
            Form::Plain => false,
        };
        let params: Vec<_> = call.args.iter().filter(|arg| !dropped(&arg.name)).collect();
        let list: String =
            params.iter().map(|arg| format!(", {}: {}", arg.name, borrowed(&arg.kind))).collect();
        let flags = match params.iter().find(|arg| arg.name == "flags").map(|arg| &arg.kind) {
            Some(Type::Int("u32")) => "u64::from(flags)",
            Some(Type::Int("u64")) => "flags",
            _ => "0",
        };
        let object = subject(call).map_err(|error| format!("{}: {error}", call.name))?;
        let passed: String = args
            .iter()
            .map(|arg| match arg.as_str() {
                "flags" if takes_strings(call) => ", flags | TYPED_PARAM_STRING_OKAY".into(),
                arg => format!(", {arg}"),
            })
            .collect();
        let wide = widest(programs, family, method).ok_or("no widest form")?;
        let drop_value =
            if call.ret == Ret::Nothing && wide.ret != Ret::Nothing { ".map(drop)" } else { "" };
        let served = format!("self.{family}()?.{method}(call{passed}){drop_value}");
        let served = match (object.as_str(), &call.filter) {
            ("Object::Found", _) => format!("call.seen({served}?)"),
            (_, Some(_)) => format!("Ok(call.visible({served}?))"),
            _ => served,
        };
        let body = match &call.nonzero {
            Some(arg) => format!("{{ call.nonzero({arg} != 0, {arg:?})?; {served} }}"),
            None => served,
        };
        if params.len() > 6 {
            out.push_str("#[allow(clippy::too_many_arguments)]\n");
        }
        let _ = writeln!(
            out,
            "/// `{}`.\npub fn {}(&self{list}) -> Result<{}> {{\n\
             self.run(&api::{}, {object}, {flags}, |call| {body})\n}}\n",
            call.api,
            call.name.to_lowercase(),
            facade_result(call),
            call.name
        );
    }
    out.push_str("}\n");
    Ok(out)
}
