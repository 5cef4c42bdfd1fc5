//! `ldoms-xml`: constraints as the manager's own tool writes them to files and reads them back.

use virt_error::{Code, Error, Result};

use super::{Servers, View, domain, plan};
use crate::link::{ORIGIN, invalid};
use crate::message::{Command, Content, Data, Envelope, Item, Message};
use crate::world::Service;

const FORMAT: &str = "ldoms-xml";

fn check(format: &str) -> Result<()> {
    match format {
        FORMAT => Ok(()),
        other => Err(invalid(format!("unsupported config type {other}"))),
    }
}

/// A domain document as constraints, with the volumes its disks need.
pub(crate) fn to_native(format: &str, xml: &str, servers: &Servers) -> Result<String> {
    check(format)?;
    let plan = plan(xml, false, servers)?;
    let mut envelope = Envelope { contents: vec![plan.content], ..Envelope::default() };
    for volume in plan.volumes {
        envelope.sections.extend(Envelope::object(volume).sections);
    }
    let data = Data { version: "3.0".to_owned(), envelope: Some(envelope), ..Data::default() };
    let command = Command { data: vec![data], ..Command::new("add-domain") };
    Ok(Message::request("1.0", command).print())
}

/// Constraints as a domain document: of either data version, with or without a command around them.
pub(crate) fn from_native(format: &str, text: &str, console_host: &str) -> Result<String> {
    check(format)?;
    let message = Message::parse(text).or_else(|error| bare(text).ok_or(error));
    let message = message.map_err(|error| {
        Error::new(Code::XmlError, ORIGIN, format!("no constraints of a logical domain: {error}"))
    })?;
    let contents: Vec<&Content> =
        message.contents().filter(|content| content.items().next().is_some()).collect();
    let [content] = contents.as_slice() else {
        let count = contents.len();
        let detail = format!("constraints of one logical domain are needed, not of {count}");
        return Err(Error::new(Code::XmlError, ORIGIN, detail));
    };
    let service = |item: &Item| Service { domain: String::new(), item: item.clone() };
    let services: Vec<Service> =
        message.items().filter(|item| item.is("vds_volume")).map(service).collect();
    let info = content.first("ldom_info").and_then(|info| info.uuid.as_deref());
    let uuid = info.and_then(virt_types::Uuid::parse);
    let view = View { uuid, id: None, services: &services, console_host };
    Ok(domain(content, &view).to_xml(virt_model::PrintFlags::default()))
}

/// An envelope or data without the document around it, as guides print them.
fn bare(text: &str) -> Option<Message> {
    let tree = virt_xml::parse(text).ok()?;
    let inside = virt_xml::to_string(&tree);
    let whole = match tree.local_name() {
        "Envelope" => format!("<LDM_interface><data version='3.0'>{inside}</data></LDM_interface>"),
        "data" => format!("<LDM_interface>{inside}</LDM_interface>"),
        _ => return None,
    };
    Message::parse(&whole).ok()
}
