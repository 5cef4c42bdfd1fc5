//! Serial and parallel ports, virtio consoles and channels, and what is behind them.

use virt_error::Result;
use virt_model::domain::Domain;
use virt_model::domain::address::Address;
use virt_model::domain::chardev::{
    ChannelType, ChardevSource, ChardevType, ConsoleType, Protocol, SocketMode,
};

use super::other::at_usb;
use super::{Argv, Object, alias, at_pci, escaped, set, unsupported};
use crate::rules::check_serials;

const ISA: &str = "isa-serial";

pub(super) fn chardevs(argv: &mut Argv, domain: &Domain) -> Result<()> {
    check_serials(&domain.devices.serials)?;
    for serial in &domain.devices.serials {
        let name = alias(&serial.info);
        backend(argv, &serial.source, name)?;
        let kind = serial.target.kind.as_deref().unwrap_or(ISA);
        let model = serial.target.model.as_ref().map_or(kind, |model| model.name.as_str());
        let device = Object::new("driver", model).text("chardev", &format!("char{name}"));
        let device = device.text("id", name);
        argv.device(match kind {
            ISA => device.number("index", serial.target.port.unwrap_or(0)),
            "pci-serial" => at_pci(device, &serial.info, domain),
            "usb-serial" => at_usb(device, &serial.info, domain),
            "isa-debug" => match serial.info.address {
                Address::Isa { iobase, .. } => device.maybe_number("iobase", iobase),
                _ => device,
            },
            kind => return unsupported(format!("serial port type '{kind}' is not supported yet")),
        });
    }
    for parallel in &domain.devices.parallels {
        let name = alias(&parallel.info);
        backend(argv, &parallel.source, name)?;
        let device = Object::new("driver", "isa-parallel").text("chardev", &format!("char{name}"));
        argv.device(device.text("id", name));
    }
    channels(argv, domain)?;
    for console in &domain.devices.consoles {
        let name = alias(&console.info);
        match console.target.kind {
            Some(ConsoleType::Serial) | None => {}
            Some(ConsoleType::Virtio) => {
                backend(argv, &console.source, name)?;
                let device = Object::new("driver", "virtconsole");
                let device = on_virtio_serial(device, &console.info.address);
                argv.device(device.text("chardev", &format!("char{name}")).text("id", name));
            }
            Some(kind) => {
                let kind = kind.as_str();
                return unsupported(format!("unsupported console target type {kind}"));
            }
        }
    }
    Ok(())
}

fn channels(argv: &mut Argv, domain: &Domain) -> Result<()> {
    for channel in &domain.devices.channels {
        let name = alias(&channel.info);
        match channel.target.kind {
            Some(ChannelType::Virtio) => {
                backend(argv, &channel.source, name)?;
                let device = on_virtio_serial(
                    Object::new("driver", "virtserialport"),
                    &channel.info.address,
                );
                let device = device.text("chardev", &format!("char{name}")).text("id", name);
                argv.device(device.maybe("name", channel.target.name.as_deref()));
            }
            kind => {
                let kind = kind.map_or("none", |kind| kind.as_str());
                return unsupported(format!("channel type '{kind}' is not supported yet"));
            }
        }
    }
    Ok(())
}

fn on_virtio_serial(device: Object, address: &Address) -> Object {
    match address {
        Address::VirtioSerial(at) => device
            .text("bus", &format!("virtio-serial{}.{}", at.controller, at.bus))
            .number("nr", at.port),
        _ => device,
    }
}

/// `-chardev` for a source.
fn backend(argv: &mut Argv, source: &ChardevSource, name: &str) -> Result<()> {
    let unknown = [
        ("reconnect", set(&source.reconnect)),
        ("tls", source.tls.is_some_and(|tls| tls.is_yes())),
        ("protocol", matches!(source.protocol, Some(Protocol::Telnets | Protocol::Tls))),
    ];
    if let Some((what, _)) = unknown.iter().find(|(_, there)| *there) {
        return unsupported(format!("character device setting '{what}' is not supported yet"));
    }
    let path = escaped(source.path.as_deref().unwrap_or_default());
    let host = escaped(source.host.as_deref().unwrap_or_default());
    let port = source.service.as_deref().unwrap_or_default();
    let id = format!("id=char{name}");
    let listening = source.mode == Some(SocketMode::Bind);
    let server = if listening { ",server=on,wait=off" } else { "" };
    let mut text = match source.kind {
        ChardevType::Pty => format!("pty,{id}"),
        ChardevType::Null => format!("null,{id}"),
        ChardevType::Vc => format!("vc,{id}"),
        ChardevType::Stdio => return unsupported("a guest cannot use the daemon's own stdio"),
        ChardevType::Dev => format!("serial,{id},path={path}"),
        ChardevType::File => {
            let append = source.append.is_some_and(|append| append.is_on());
            format!("file,{id},path={path}{}", if append { ",append=on" } else { "" })
        }
        ChardevType::Pipe => format!("pipe,{id},path={path}"),
        ChardevType::Unix => format!("socket,{id},path={path}{server}"),
        ChardevType::Tcp => {
            let telnet = source.protocol == Some(Protocol::Telnet);
            let telnet = if telnet { ",telnet=on" } else { "" };
            format!("socket,{id},host={host},port={port}{telnet}{server}")
        }
        ChardevType::Udp => {
            let local = escaped(source.bind_host.as_deref().unwrap_or_default());
            let local_port = source.bind_service.as_deref().unwrap_or("0");
            format!("udp,{id},host={host},port={port},localaddr={local},localport={local_port}")
        }
        kind => {
            let kind = kind.as_str();
            return unsupported(format!("character device of type '{kind}' is not supported yet"));
        }
    };
    if let Some(log) = &source.log {
        let append = log.append.is_none_or(|append| append.is_on());
        let append = if append { "on" } else { "off" };
        text.push_str(&format!(",logfile={},logappend={append}", escaped(&log.file)));
    }
    argv.option("-chardev", text);
    Ok(())
}
