//! What a domain's document says: the document itself, its description, displays, disks and NICs.

use virt_cli::{Args, Cell};
use virt_driver::Connection;
use virt_error::Code;
use virt_types::{DomainRef, api};
use virt_xml::Element;

use crate::commands::edit::{edit_metadata, edit_text};
use crate::document::{check_path, print_document};
use crate::failure::{Done, During as _, Failure, fail};
use crate::lookup::domain;
use crate::options::{flags_of, impact};
use crate::report::{cells, record};
use crate::shell::{Shell, extra, say, sayln};
use crate::xml;

pub(crate) fn cmd_dumpxml(shell: &mut Shell, args: &Args) -> Done {
    let flags = flags_of(
        args,
        &[
            ("inactive", api::DOMAIN_XML_INACTIVE),
            ("security-info", api::DOMAIN_XML_SECURE),
            ("update-cpu", api::DOMAIN_XML_UPDATE_CPU),
            ("migratable", api::DOMAIN_XML_MIGRATABLE),
        ],
    );
    let found = domain(shell, args)?;
    check_path(args)?;
    let text = shell.connection()?.domain_get_xml_desc(&found, flags)?;
    print_document(shell, args, &text)
}

/// The new text that the options give, or an editor; without either, `None`. Says so where the
/// editor changed nothing.
pub(crate) fn new_text(
    shell: &mut Shell,
    args: &Args,
    (owner, what): (&str, &str),
    before: &str,
) -> Result<Option<Option<String>>, Failure> {
    let words: Vec<&str> = args.words("new-desc").collect();
    let given = words.join(" ");
    if !args.flag("edit") {
        return Ok(args.flag("new-desc").then_some(Some(given)));
    }
    let edited = edit_text(if given.is_empty() { before } else { &given })?;
    let text = edited.or_else(|| (!given.is_empty()).then_some(given));
    if text.is_none() {
        extra!(shell, "{} {} not changed", owner, what);
    }
    Ok(Some(text))
}

pub(crate) fn cmd_desc(shell: &mut Shell, args: &Args) -> Done {
    let (flags, _) = impact(args)?;
    let (kind, what) = match args.flag("title") {
        true => (api::DOMAIN_METADATA_TITLE, "title"),
        false => (api::DOMAIN_METADATA_DESCRIPTION, "description"),
    };
    let found = domain(shell, args)?;
    let connection = shell.connection()?;
    // Compat: whatever keeps the text from being had, it counts as none.
    let before = connection.domain_get_metadata(&found, kind, None, flags).unwrap_or_default();
    if let Some(text) = new_text(shell, args, ("Domain", what), &before)? {
        let Some(text) = text else { return Ok(()) };
        connection
            .domain_set_metadata(&found, kind, Some(&text), None, None, flags)
            .during(|| format!("Failed to set new domain {what}"))?;
        shell.print_extra(format_args!("Domain {what} updated successfully"));
        return Ok(());
    }
    match before.is_empty() {
        true => shell.print_extra(format_args!("No {what} for domain: {}", found.name)),
        false => say!(shell, "{before}"),
    }
    shell.fact(what, before);
    Ok(())
}

/// What `metadata` and `net-metadata` are asked to do.
pub(crate) enum MetadataChange<'a> {
    Show,
    Remove,
    Set { key: &'a str, text: &'a str },
    Edit { key: &'a str },
}

/// Which of them exclude each other: that is said before anything is looked up.
pub(crate) fn check_metadata_change(args: &Args) -> Done {
    args.exclusive("edit", "set")?;
    args.exclusive("remove", "set")?;
    args.exclusive("remove", "edit")?;
    Ok(())
}

pub(crate) fn metadata_change(args: &Args) -> Result<MetadataChange<'_>, Failure> {
    if args.flag("remove") {
        return Ok(MetadataChange::Remove);
    }
    let (key, text) = (args.text("key")?, args.text("set")?);
    match (text, key) {
        (None, Some(key)) if args.flag("edit") => Ok(MetadataChange::Edit { key }),
        (None, None) if args.flag("edit") => {
            fail("namespace key is required when modifying metadata")
        }
        (None, _) => Ok(MetadataChange::Show),
        (Some(text), Some(key)) => Ok(MetadataChange::Set { key, text }),
        (Some(_), None) => fail("namespace key is required when modifying metadata"),
    }
}

pub(crate) fn cmd_metadata(shell: &mut Shell, args: &Args) -> Done {
    let (flags, _) = impact(args)?;
    check_metadata_change(args)?;
    let found = domain(shell, args)?;
    let uri = Some(args.needed("uri")?);
    let change = metadata_change(args)?;
    let connection = shell.connection()?;
    let kind = api::DOMAIN_METADATA_ELEMENT;
    match change {
        MetadataChange::Set { key, text } => {
            connection.domain_set_metadata(&found, kind, Some(text), Some(key), uri, flags)?;
            extra!(shell, "Metadata modified");
        }
        MetadataChange::Edit { key } => {
            let now = || connection.domain_get_metadata(&found, kind, uri, flags);
            let put = |xml: &str| {
                connection.domain_set_metadata(&found, kind, Some(xml), Some(key), uri, flags)
            };
            edit_metadata(shell, &now, &put)?;
        }
        MetadataChange::Remove => {
            connection.domain_set_metadata(&found, kind, None, None, uri, flags)?;
            extra!(shell, "Metadata removed");
        }
        MetadataChange::Show => match connection.domain_get_metadata(&found, kind, uri, flags) {
            Ok(text) => shell.answer("xml", text),
            // Compat: metadata that is not there is an empty line, not a failure.
            Err(error) if error.is(Code::NoDomainMetadata) => shell.answer("xml", Cell::none("")),
            Err(error) => return Err(error.into()),
        },
    }
    Ok(())
}

/// The document of a domain that must be running.
fn live_document(shell: &mut Shell, found: &DomainRef, flags: u32) -> Result<String, Failure> {
    let connection = shell.connection()?;
    if !connection.domain_is_active(found)? {
        return fail("Domain is not running");
    }
    Ok(connection.domain_get_xml_desc(found, flags)?)
}

fn graphics<'e, 'a>(root: &'e Element<'a>, kind: &str) -> Option<&'e Element<'a>> {
    let devices = root.child("devices")?;
    devices.elements().find(|e| e.name == "graphics" && e.attr("type") == Some(kind))
}

fn port(graphics: &Element<'_>, name: &str) -> Option<i32> {
    graphics.attr(name)?.parse().ok()
}

/// The first port of the VNC protocol, which displays are counted from.
const VNC_PORT_BASE: i32 = 5900;

pub(crate) fn cmd_vncdisplay(shell: &mut Shell, args: &Args) -> Done {
    let found = domain(shell, args)?;
    let text = live_document(shell, &found, 0)?;
    let root = xml::parse(&text)?;
    let vnc = graphics(&root, "vnc");
    let Some(port) = vnc.and_then(|vnc| port(vnc, "port")) else {
        return fail("Failed to get VNC port. Is this domain using VNC?");
    };
    let listen = vnc.and_then(|vnc| vnc.attr("listen")).unwrap_or_default();
    let host = if listen == "0.0.0.0" { "" } else { listen };
    shell.answer("display", format!("{host}:{}", port.saturating_sub(VNC_PORT_BASE)));
    Ok(())
}

pub(crate) fn cmd_ttyconsole(shell: &mut Shell, args: &Args) -> Done {
    let found = domain(shell, args)?;
    let text = shell.connection()?.domain_get_xml_desc(&found, 0)?;
    let root = xml::parse(&text)?;
    match xml::attr_at(&root, &["devices", "console"], "tty") {
        Some(tty) => {
            shell.answer("tty", tty);
            Ok(())
        }
        None => Err(Failure::silent()),
    }
}

/// The protocols a display can speak, in the order in which they are looked for.
const SCHEMES: &[&str] = &["vnc", "spice", "rdp", "dbus"];

pub(crate) fn cmd_domdisplay(shell: &mut Shell, args: &Args) -> Done {
    args.exclusive("all", "type")?;
    let found = domain(shell, args)?;
    let secret = args.flag("include-password");
    let flags = if secret { api::DOMAIN_XML_SECURE } else { 0 };
    let text = live_document(shell, &found, flags)?;
    let root = xml::parse(&text)?;
    let wanted = args.text("type")?;
    let schemes = SCHEMES.iter().filter(|scheme| wanted.is_none_or(|wanted| wanted == **scheme));
    let mut displays = schemes.filter_map(|scheme| {
        graphics(&root, scheme).and_then(|graphics| display_uri(scheme, graphics, secret))
    });
    let shown: Vec<String> = match args.flag("all") {
        true => displays.collect(),
        false => displays.next().into_iter().collect(),
    };
    if shown.is_empty() {
        return match wanted {
            Some(kind) => fail(format!("No graphical display with type '{kind}' found")),
            None => fail("No graphical display found"),
        };
    }
    match args.flag("all") {
        true => shown.iter().for_each(|uri| sayln!(shell, "{}", uri)),
        false => say!(shell, "{}", shown[0]),
    }
    shell.records(shown.into_iter().map(|uri| record([("uri", uri.into())])));
    Ok(())
}

fn display_uri(scheme: &str, graphics: &Element<'_>, secret: bool) -> Option<String> {
    let plain = port(graphics, "port");
    let tls = port(graphics, "tlsPort");
    let listening = graphics.child("listen");
    if let Some(socket) = listening.filter(|l| l.attr("type") == Some("socket")) {
        return Some(format!("{scheme}+unix://{}", socket.attr("socket")?));
    }
    if plain.is_none() && tls.is_none() {
        return None;
    }
    let listen = graphics
        .attr("listen")
        .or_else(|| listening.and_then(|listening| listening.attr("address")))
        .unwrap_or_default();
    let host = match listen {
        "" | "0.0.0.0" | "::" => "localhost".to_owned(),
        v6 if v6.contains(':') => format!("[{v6}]"),
        other => other.to_owned(),
    };
    let password = graphics.attr("passwd").filter(|_| secret);
    let mut uri = format!("{scheme}://");
    if let Some(password) = password.filter(|_| scheme != "spice") {
        uri.push_str(&format!(":{password}@"));
    }
    uri.push_str(&host);
    if let Some(port) = plain {
        let shown = if scheme == "vnc" { port.saturating_sub(VNC_PORT_BASE) } else { port };
        uri.push_str(&format!(":{shown}"));
    }
    let mut separator = '?';
    if let Some(tls) = tls {
        uri.push_str(&format!("{separator}tls-port={tls}"));
        separator = '&';
    }
    if let Some(password) = password.filter(|_| scheme == "spice") {
        uri.push_str(&format!("{separator}password={password}"));
    }
    Some(uri)
}

fn document(connection: &Connection, found: &DomainRef, inactive: bool) -> Result<String, Failure> {
    let flags = if inactive { api::DOMAIN_XML_INACTIVE } else { 0 };
    Ok(connection.domain_get_xml_desc(found, flags)?)
}

pub(crate) fn cmd_domblklist(shell: &mut Shell, args: &Args) -> Done {
    let found = domain(shell, args)?;
    let text = document(&shell.connection()?, &found, args.flag("inactive"))?;
    let root = xml::parse(&text)?;
    let details = args.flag("details") || shell.reports();
    let mut list = match details {
        true => shell.listing(&[
            ("Type", "type"),
            ("Device", "device"),
            ("Target", "target"),
            ("Source", "source"),
        ]),
        false => shell.listing(&[("Target", "target"), ("Source", "source")]),
    };
    for disk in xml::disks(&root) {
        let place = [disk.target.into(), cells::or_dash(disk.source)];
        let kind = details.then(|| [disk.kind.into(), disk.device.into()]);
        list.row(kind.into_iter().flatten().chain(place));
    }
    shell.print_listing(list);
    Ok(())
}

pub(crate) fn cmd_domiflist(shell: &mut Shell, args: &Args) -> Done {
    let found = domain(shell, args)?;
    let text = document(&shell.connection()?, &found, args.flag("inactive"))?;
    let root = xml::parse(&text)?;
    let mut list = shell.listing(&[
        ("Interface", "interface"),
        ("Type", "type"),
        ("Source", "source"),
        ("Model", "model"),
        ("MAC", "mac"),
    ]);
    for nic in xml::nics(&root) {
        let (target, source) = (cells::or_dash(nic.target), cells::or_dash(nic.source));
        let (model, mac) = (cells::or_dash(nic.model), cells::or_dash(nic.mac));
        list.row([target, nic.kind.into(), source, model, mac]);
    }
    shell.print_listing(list);
    Ok(())
}

pub(crate) fn cmd_domif_getlink(shell: &mut Shell, args: &Args) -> Done {
    let wanted = args.needed("interface")?;
    let found = domain(shell, args)?;
    let text = document(&shell.connection()?, &found, args.flag("config"))
        .during(|| "Failed to get domain description xml")?;
    let root = xml::parse(&text)?;
    let is_mac = wanted.len() == 17 && wanted.split(':').count() == 6;
    let fits = |nic: &&xml::Nic| match is_mac {
        true => nic.mac.as_deref().is_some_and(|mac| mac.eq_ignore_ascii_case(wanted)),
        false => nic.target.as_deref() == Some(wanted),
    };
    let nics = xml::nics(&root);
    let Some(nic) = nics.iter().find(fits) else {
        let kind = if is_mac { "mac" } else { "dev" };
        return fail(format!("Interface ({kind}: {wanted}) not found."));
    };
    let link = nic.link.as_deref().unwrap_or("up");
    say!(shell, "{} {}", wanted, link);
    shell.facts([("interface", wanted.into()), ("link", link.into())]);
    Ok(())
}
