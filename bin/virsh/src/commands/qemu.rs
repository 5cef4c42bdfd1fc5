//! Commands for QEMU itself and for other native tools: its monitor, its agent, configurations.

use virt_cli::Args;
use virt_types::{TypedParam, api};

use crate::failure::{Done, During as _, Failure, fail};
use crate::files::{passing, read_document};
use crate::json;
use crate::lookup::domain;
use crate::options::flags_of;
use crate::shell::{Shell, extra, say, sayln};

/// The words of a command as one text.
fn joined(args: &Args) -> String {
    args.words("cmd").collect::<Vec<_>>().join(" ")
}

/// A command of QMP: as typed, or wrapped where only its name and arguments were typed.
fn qmp_command(args: &Args) -> Result<String, Failure> {
    let mut words = args.words("cmd");
    let first = words.next().unwrap_or_default();
    if first.trim_start().starts_with('{') {
        return Ok(joined(args));
    }
    let rest = words.collect::<Vec<_>>().join(" ");
    let name = json::quoted(first);
    if rest.is_empty() {
        return Ok(format!("{{\"execute\":{name}}}"));
    }
    let wrapped = format!("{{\"execute\":{name},\"arguments\":{{{rest}}}}}");
    match json::parse(&wrapped) {
        Some(_) => Ok(wrapped),
        None => fail(format!("failed to wrap arguments '{rest}' into a QMP command wrapper"))
            .map_err(|failure: Failure| {
                failure.then(
                    "internal error: failed to parse JSON: quoted object property name expected",
                )
            }),
    }
}

pub(crate) fn cmd_qemu_monitor_command(shell: &mut Shell, args: &Args) -> Done {
    args.exclusive("hmp", "pretty")?;
    args.exclusive("hmp", "return-value")?;
    let found = domain(shell, args)?;
    let hmp = args.flag("hmp");
    let (command, flags) = match hmp {
        true => (joined(args), api::DOMAIN_QEMU_MONITOR_COMMAND_HMP),
        false => (qmp_command(args)?, api::DOMAIN_QEMU_MONITOR_COMMAND_DEFAULT),
    };
    let connection = shell.connection()?;
    // Compat: an empty list of files is none.
    let answer = match args.raw_text("pass-fds").filter(|numbers| !numbers.is_empty()) {
        Some(numbers) => passing(&connection, numbers)?
            .domain_monitor_command_with_files(&found, &command, flags)?,
        None => connection.domain_monitor_command(&found, &command, flags)?,
    };
    if !args.flag("return-value") && !args.flag("pretty") {
        sayln!(shell, "{}", answer);
        answered(shell, &answer);
        return Ok(());
    }
    answered(shell, &answer);
    let parsed = json::parse(&answer).ok_or_else(|| Failure::new("the answer is no JSON"))?;
    let shown = match args.flag("return-value") {
        true => parsed.member("return").ok_or_else(|| Failure::new("'return' member missing"))?,
        false => &parsed,
    };
    match args.flag("pretty") {
        true => say!(shell, "{}", shown.pretty()),
        false => say!(shell, "{}", shown.compact()),
    }
    Ok(())
}

/// What a monitor or an agent said, as it said it; text of a monitor for people stays text.
fn answered(shell: &mut Shell, answer: &str) {
    match virt_json::parse(answer) {
        Ok(virt_json::Value::Object(members)) => {
            shell.facts(members.iter().map(|(key, value)| (key.as_str(), value.clone())));
        }
        _ => shell.fact("text", answer),
    }
}

pub(crate) fn cmd_qemu_agent_command(shell: &mut Shell, args: &Args) -> Done {
    let found = domain(shell, args)?;
    let timeout = args.number::<i32>("timeout")?;
    if timeout.is_some_and(|timeout| timeout < 1) {
        return fail("timeout must be positive");
    }
    let (asynchronous, block) = (args.flag("async"), args.flag("block"));
    let ways = [timeout.is_some(), asynchronous, block];
    if ways.into_iter().filter(|way| *way).count() > 1 {
        return fail("timeout, async and block options are exclusive");
    }
    let timeout = match (timeout, asynchronous, block) {
        (Some(seconds), ..) => seconds,
        (None, true, _) => api::DOMAIN_QEMU_AGENT_COMMAND_NOWAIT,
        (None, false, true) => api::DOMAIN_QEMU_AGENT_COMMAND_BLOCK,
        (None, false, false) => api::DOMAIN_QEMU_AGENT_COMMAND_DEFAULT,
    };
    let answer = shell.connection()?.domain_agent_command(&found, &joined(args), timeout, 0)?;
    let Some(answer) = answer else { return Ok(()) };
    answered(shell, &answer);
    match json::parse(&answer).filter(|_| args.flag("pretty")) {
        // Compat: with an empty line behind it.
        Some(parsed) => sayln!(shell, "{}\n", parsed.pretty()),
        None => sayln!(shell, "{}", answer),
    }
    Ok(())
}

pub(crate) fn cmd_qemu_attach(shell: &mut Shell, args: &Args) -> Done {
    let pid = args.number::<u32>("pid")?.unwrap_or_default();
    let attached = shell.connection()?.domain_attach(pid, 0);
    let attached = attached.during(|| format!("Failed to attach to pid {pid}"))?;
    extra!(shell, "Domain '{}' attached to pid {}", attached.name, pid);
    Ok(())
}

pub(crate) fn cmd_domxml_from_native(shell: &mut Shell, args: &Args) -> Done {
    let format = args.needed("format")?;
    let config = read_document(args.needed("config")?)?;
    let text = shell.connection()?.connect_domain_xml_from_native(format, &config, 0)?;
    say!(shell, "{text}");
    shell.fact("xml", text);
    Ok(())
}

pub(crate) fn cmd_domxml_to_native(shell: &mut Shell, args: &Args) -> Done {
    let format = args.needed("format")?;
    args.text("xml")?;
    args.exclusive("domain", "xml")?;
    let connection = shell.connection()?;
    let xml = if args.flag("domain") {
        let found = domain(shell, args)?;
        let flags = api::DOMAIN_XML_SECURE | api::DOMAIN_XML_MIGRATABLE;
        connection.domain_get_xml_desc(&found, flags)?
    } else if let Some(file) = args.text("xml")? {
        read_document(file)?
    } else {
        return fail("need either domain or domain XML");
    };
    let text = connection.connect_domain_xml_to_native(format, &xml, 0)?;
    say!(shell, "{text}");
    shell.fact("config", text);
    Ok(())
}

pub(crate) fn cmd_lxc_enter_namespace(shell: &mut Shell, args: &Args) -> Done {
    let found = domain(shell, args)?;
    shell.connection()?.domain_open_namespace(&found, 0)?;
    // The wire hands the namespaces over as descriptors, which safe code cannot enter.
    fail("entering a container's namespaces is not supported by this shell")
}

pub(crate) fn cmd_dom_fd_associate(shell: &mut Shell, args: &Args) -> Done {
    let found = domain(shell, args)?;
    let name = args.needed("name")?;
    let flags = flags_of(
        args,
        &[
            ("seclabel-writable", api::DOMAIN_FD_ASSOCIATE_SECLABEL_WRITABLE),
            ("seclabel-restore", api::DOMAIN_FD_ASSOCIATE_SECLABEL_RESTORE),
        ],
    );
    let connection = passing(&shell.connection()?, args.raw_text("pass-fds").unwrap_or_default())?;
    if args.raw_text("pass-fds").is_none_or(str::is_empty) {
        return fail("nfds in virDomainFDAssociate must not be zero");
    }
    Ok(connection.domain_fd_associate(&found, name, flags)?)
}

pub(crate) fn cmd_domdisplay_reload(shell: &mut Shell, args: &Args) -> Done {
    let found = domain(shell, args)?;
    let kind = args.number::<u32>("type")?.unwrap_or_default();
    Ok(shell.connection()?.domain_graphics_reload(&found, kind, 0)?)
}

pub(crate) fn cmd_domsetlaunchsecstate(shell: &mut Shell, args: &Args) -> Done {
    let found = domain(shell, args)?;
    let (Some(header), Some(secret)) = (args.text("secrethdr")?, args.text("secret")?) else {
        return fail("Both secret and the secret header are required");
    };
    let mut params = vec![
        TypedParam::new(api::DOMAIN_LAUNCH_SECURITY_SEV_SECRET_HEADER, read_document(header)?),
        TypedParam::new(api::DOMAIN_LAUNCH_SECURITY_SEV_SECRET, read_document(secret)?),
    ];
    if let Some(address) = args.number::<u64>("set-address")? {
        let field = api::DOMAIN_LAUNCH_SECURITY_SEV_SECRET_SET_ADDRESS;
        params.push(TypedParam::new(field, address));
    }
    let set = shell.connection()?.domain_set_launch_security_state(&found, &params, 0);
    set.during(|| "Unable to set launch security state")
}
