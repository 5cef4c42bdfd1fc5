//! Processor models: comparing them and finding what several have in common.

use virt_cli::Args;
use virt_types::api;
use virt_xml::{Element, to_string};

use crate::failure::{Done, During as _, Failure, fail};
use crate::files::read_document;
use crate::options::flags_of;
use crate::report::print_names;
use crate::shell::{Shell, say, sayln};
use crate::xml;

/// Every processor that a file describes, each as a document of its own.
fn read_cpus(file: &str) -> Result<Vec<String>, Failure> {
    let text = read_document(file)?;
    let none = || {
        Failure::new(format!(
            "File '{file}' does not contain any <cpu> element or valid domain XML, host \
             capabilities XML, or domain capabilities XML"
        ))
    };
    // Compat: several documents may follow one another, so all are put under one root.
    let body = match text.trim_start().strip_prefix("<?xml") {
        Some(rest) => rest.split_once("?>").map_or("", |(_, body)| body),
        None => &text,
    };
    let wrapped = format!("<container>{body}</container>");
    let root = virt_xml::parse(&wrapped).map_err(|_| none())?;
    let mut cpus = Vec::new();
    collect(&root, &mut cpus);
    let mut cpus: Vec<String> = cpus.iter().map(|cpu| to_string(cpu)).collect();
    cpus.extend(root.children_named("domainCapabilities").filter_map(host_model));
    if cpus.is_empty() { Err(none()) } else { Ok(cpus) }
}

/// The host's model that domain capabilities give, as a processor of its own.
fn host_model(capabilities: &Element<'_>) -> Option<String> {
    let modes = capabilities.child("cpu")?;
    let mut modes = modes.children_named("mode");
    let mode = modes.find(|mode| mode.attr("name") == Some("host-model"))?;
    let cpu = Element::new("cpu").with_attr("mode", "custom").with_attr("match", "exact");
    let cpu = mode.elements().fold(cpu, |cpu, child| cpu.with_child(child.clone()));
    cpu.child("model")?;
    Some(to_string(&cpu))
}

fn collect<'e, 'a>(element: &'e Element<'a>, found: &mut Vec<&'e Element<'a>>) {
    for child in element.elements() {
        match &*child.name {
            "cpu" => found.push(child),
            "host" | "capabilities" | "domain" => collect(child, found),
            _ => {}
        }
    }
}

const BASELINE_FLAGS: &[(&str, u32)] = &[
    ("features", api::CONNECT_BASELINE_CPU_EXPAND_FEATURES),
    ("migratable", api::CONNECT_BASELINE_CPU_MIGRATABLE),
];

pub(crate) fn cmd_cpu_baseline(shell: &mut Shell, args: &Args) -> Done {
    let flags = flags_of(args, BASELINE_FLAGS);
    let cpus = read_cpus(args.needed("file")?)?;
    let text = shell.connection()?.connect_baseline_cpu(&cpus, flags)?;
    say!(shell, "{text}");
    shell.fact("xml", text);
    Ok(())
}

const COMPARE_FLAGS: &[(&str, u32)] = &[
    ("error", api::CONNECT_COMPARE_CPU_FAIL_INCOMPATIBLE),
    ("validate", api::CONNECT_COMPARE_CPU_VALIDATE_XML),
];

/// What a processor is compared with: in the middle of a sentence and at its start.
type With = (&'static str, &'static str);

const HOST: With = ("host CPU", "Host CPU");
const HYPERVISOR: With =
    ("the CPU provided by hypervisor on the host", "The CPU provided by hypervisor on the host");

/// Says how a processor compares, as both comparing commands do.
fn report(shell: &mut Shell, file: &str, with: With, result: Result<i32, Failure>) -> Done {
    match result? {
        api::CPU_COMPARE_INCOMPATIBLE => {
            sayln!(shell, "CPU described in {} is incompatible with {}", file, with.0);
            shell.fact("result", "incompatible");
            return Err(Failure::silent());
        }
        api::CPU_COMPARE_IDENTICAL => {
            sayln!(shell, "CPU described in {} is identical to {}", file, with.0);
            shell.fact("result", "identical");
        }
        _ => {
            sayln!(shell, "{} is a superset of CPU described in {}", with.1, file);
            shell.fact("result", "superset");
        }
    }
    Ok(())
}

pub(crate) fn cmd_cpu_compare(shell: &mut Shell, args: &Args) -> Done {
    let flags = flags_of(args, COMPARE_FLAGS);
    let file = args.needed("file")?;
    let cpus = read_cpus(file)?;
    let first = cpus.first().map(String::as_str).unwrap_or_default();
    let result = shell.connection()?.connect_compare_cpu(first, flags);
    let result = result.during(|| format!("Failed to compare host CPU with {file}"));
    report(shell, file, HOST, result)
}

pub(crate) fn cmd_hypervisor_cpu_compare(shell: &mut Shell, args: &Args) -> Done {
    let flags = flags_of(args, COMPARE_FLAGS);
    let file = args.needed("file")?;
    let (virttype, emulator) = (args.text("virttype")?, args.text("emulator")?);
    let (arch, machine) = (args.text("arch")?, args.text("machine")?);
    let cpus = read_cpus(file)?;
    let first = cpus.first().map(String::as_str).unwrap_or_default();
    let result = shell
        .connection()?
        .connect_compare_hypervisor_cpu(emulator, arch, machine, virttype, first, flags)
        .during(|| format!("Failed to compare hypervisor CPU with {file}"));
    report(shell, file, HYPERVISOR, result)
}

pub(crate) fn cmd_hypervisor_cpu_baseline(shell: &mut Shell, args: &Args) -> Done {
    args.text("file")?;
    args.exclusive("file", "model")?;
    let flags = flags_of(args, BASELINE_FLAGS);
    let (virttype, emulator) = (args.text("virttype")?, args.text("emulator")?);
    let (arch, machine) = (args.text("arch")?, args.text("machine")?);
    let mut cpus = match args.text("file")? {
        Some(file) => read_cpus(file)?,
        None => Vec::new(),
    };
    if let Some(model) = args.text("model")? {
        let model = Element::new("model").with_text(model.to_owned());
        cpus.push(to_string(&Element::new("cpu").with_child(model)));
    }
    if cpus.is_empty() {
        return fail("Either --file or --model must be provided");
    }
    let text = shell
        .connection()?
        .connect_baseline_hypervisor_cpu(emulator, arch, machine, virttype, &cpus, flags)?;
    say!(shell, "{text}");
    shell.fact("xml", text);
    Ok(())
}

/// The models that the hypervisor can give its guests, from the domain capabilities.
pub(crate) fn cmd_hypervisor_cpu_models(shell: &mut Shell, args: &Args) -> Done {
    let (virttype, emulator) = (args.text("virttype")?, args.text("emulator")?);
    let (arch, machine) = (args.text("arch")?, args.text("machine")?);
    let text = shell
        .connection()?
        .connect_get_domain_capabilities(emulator, arch, machine, virttype, 0)
        .during(|| "failed to get hypervisor CPU model names")?;
    let root = xml::parse(&text)?;
    let all = args.flag("all");
    let modes = root.child("cpu").into_iter().flat_map(|cpu| cpu.children_named("mode"));
    let custom = modes.filter(|mode| mode.attr("name") == Some("custom"));
    let models = custom.flat_map(|mode| mode.children_named("model"));
    let usable = models.filter(|model| all || model.attr("usable") == Some("yes"));
    print_names(shell, usable.map(|model| model.text().into_owned()));
    Ok(())
}
