//! What only `xl` knows: USB, channels, SPICE, grant frames, arguments of the device model.

use virt_error::{Code, Error, Origin, Result};
use virt_model::YesNo;
use virt_model::domain::boot::AcpiTable;
use virt_model::domain::chardev::{Channel, ChannelType, ChardevSource, ChardevType, SocketMode};
use virt_model::domain::controller::{Controller, ControllerType};
use virt_model::domain::graphics::{Graphics, GraphicsType, Ports};
use virt_model::domain::hostdev::{HostAddress, Hostdev, HostdevSource};
use virt_model::domain::{Device, Domain, Namespace};
use virt_xml::Element;

use super::boot::Kind;
use super::config::{Config, malformed, pairs, word};
use super::{cpu, display, label};

/// The namespace of arguments that are handed on to the device model.
pub(crate) const NAMESPACE: &str = "http://libvirt.org/schemas/domain/xen/1.0";

pub(crate) fn read(config: &Config, kind: Kind, domain: &mut Domain) -> Result<()> {
    if kind == Kind::Hvm {
        cpu::read(config, domain)?;
        cpu::read_numa(config, domain)?;
        if config.boolean("spice")?.unwrap_or(false) {
            domain.devices.graphics.push(read_spice(config)?);
        }
        if let Some(path) = config.text("acpi_firmware")? {
            let kind = "slic".to_owned();
            domain.os.acpi_tables.push(AcpiTable { kind, path: Some(path) });
        }
    }
    if let Some(text) = config.text("seclabel")? {
        label::set(domain, text);
    }
    let frames = config.number32("max_grant_frames")?;
    let channels = config.number32("max_event_channels")?;
    if frames.is_some() || channels.is_some() {
        domain.devices.add(Device::Controller(Box::new(Controller {
            kind: ControllerType::Xenbus,
            index: Some(0),
            max_grant_frames: frames,
            max_event_channels: channels,
            ..Controller::default()
        })));
    }
    for line in config.strings("usbctrl")? {
        domain.devices.add(Device::Controller(Box::new(read_usb_controller(line)?)));
    }
    for line in config.strings("usbdev")? {
        domain.devices.hostdevs.push(read_usb_device(line)?);
    }
    for line in config.strings("channel")? {
        domain.devices.channels.push(read_channel(line)?);
    }
    read_arguments(config, domain)
}

/// What stands before the disks.
pub(crate) fn write_before_disks(domain: &Domain, kind: Kind, config: &mut Config) -> Result<()> {
    if kind == Kind::Hvm {
        cpu::write(domain, config)?;
        cpu::write_numa(domain, config);
    }
    config.set_some("seclabel", label::text(domain));
    let controllers = &domain.devices.controllers;
    let xenbus = controllers.iter().filter(|found| found.kind == ControllerType::Xenbus);
    for controller in xenbus.take(1) {
        if let Some(frames) = controller.max_grant_frames {
            config.set_number("max_grant_frames", frames);
        }
        if let Some(channels) = controller.max_event_channels {
            config.set_number("max_event_channels", channels);
        }
    }
    Ok(())
}

/// What stands after them.
pub(crate) fn write_after_disks(domain: &Domain, kind: Kind, config: &mut Config) -> Result<()> {
    let devices = &domain.devices;
    if kind == Kind::Hvm
        && let Some(graphics) = devices.graphics.first()
        && graphics.kind == GraphicsType::Spice
    {
        write_spice(graphics, config);
    }
    let controllers = devices.controllers.iter().filter(|found| found.kind == ControllerType::Usb);
    let controllers = controllers.filter_map(print_usb_controller);
    config.set_list("usbctrl", controllers.collect());
    config.set_list("usbdev", devices.hostdevs.iter().filter_map(print_usb_device).collect());
    let channels = devices.channels.iter().filter(|c| c.target.kind == Some(ChannelType::Xen));
    config.set_list("channel", channels.map(print_channel).collect::<Result<_>>()?);
    config.set_list("device_model_args", arguments(domain));
    Ok(())
}

fn read_spice(config: &Config) -> Result<Graphics> {
    let port = |key: &str| -> Result<Option<i32>> {
        let Some(number) = config.signed(key)? else { return Ok(None) };
        i32::try_from(number).map(Some).map_err(|_| malformed(key))
    };
    let (port, tls_port) = (port("spiceport")?, port("spicetls_port")?);
    let auto = port.is_none() && tls_port.is_none();
    let mut graphics = Graphics {
        kind: GraphicsType::Spice,
        ports: Ports { port, tls_port, autoport: Some(auto.into()), is_spice: true },
        listen: config.text("spicehost")?,
        keymap: config.text("keymap")?,
        ..Graphics::default()
    };
    if !config.boolean("spicedisable_ticketing")?.unwrap_or(false) {
        graphics.passwd = config.text("spicepasswd")?;
    }
    if let Some(agent) = config.boolean("spiceagent_mouse")? {
        let mode = if agent { "client" } else { "server" };
        graphics.mouse = Some(Element::new("mouse").with_attr("mode", mode));
    }
    let copypaste = config.boolean("spice_clipboard_sharing")?.unwrap_or(false);
    let copypaste = YesNo::from(copypaste).as_str();
    graphics.clipboard = Some(Element::new("clipboard").with_attr("copypaste", copypaste));
    Ok(graphics)
}

fn write_spice(graphics: &Graphics, config: &mut Config) {
    config.set_number("sdl", 0);
    config.set_number("vnc", 0);
    config.set_number("spice", 1);
    config.set_some("spicehost", display::address(graphics).as_deref());
    if let Some(port) = graphics.ports.port.filter(|port| *port > 0) {
        config.set_number("spiceport", port);
    }
    if let Some(port) = graphics.ports.tls_port.filter(|port| *port > 0) {
        config.set_number("spicetls_port", port);
    }
    config.set_number("spicedisable_ticketing", graphics.passwd.is_none());
    config.set_some("spicepasswd", graphics.passwd.as_deref());
    let said = |tree: &Option<Element<'static>>, name: &str| {
        tree.as_ref().and_then(|tree| tree.attr(name)).map(str::to_owned)
    };
    let client = said(&graphics.mouse, "mode").map(|mode| mode == "client");
    if let Some(client) = client {
        config.set_number("spiceagent_mouse", client);
    }
    let clipboard = said(&graphics.clipboard, "copypaste").as_deref() == Some("yes");
    if clipboard || client == Some(true) {
        // Both work through the guest's agent.
        config.set_number("spicevdagent", 1);
    }
    if clipboard {
        config.set_number("spice_clipboard_sharing", 1);
    }
    config.set_some("keymap", graphics.keymap.as_deref());
}

fn read_usb_controller(line: &str) -> Result<Controller> {
    let mut controller = Controller { kind: ControllerType::Usb, ..Controller::default() };
    for (key, value) in pairs(line) {
        match key {
            "type" if !matches!(value, "auto" | "pv" | "qusb") => {
                let detail = format!("type '{value}' not supported");
                return Err(Error::new(Code::ConfigUnsupported, Origin::Xenxl, detail));
            }
            "version" => controller.model = Some(format!("qusb{value}")),
            "ports" => {
                controller.ports = Some(value.parse().map_err(|_| malformed("usbctrl"))?);
            }
            _ => {}
        }
    }
    controller.model.get_or_insert_with(|| "qusb2".to_owned());
    Ok(controller)
}

fn print_usb_controller(controller: &Controller) -> Option<String> {
    let version = controller.model.as_deref()?.strip_prefix("qusb")?;
    let mut text = format!("type=qusb,version={version}");
    if let Some(ports) = controller.ports {
        text.push_str(&format!(",ports={ports}"));
    }
    Some(text)
}

fn read_usb_device(line: &str) -> Result<Hostdev> {
    let (mut bus, mut device) = (None, None);
    for (key, value) in pairs(line) {
        let field = match key {
            "hostbus" => &mut bus,
            "hostaddr" => &mut device,
            _ => continue,
        };
        *field = Some(value.parse::<u32>().map_err(|_| malformed("usbdev"))?);
    }
    let (Some(bus), Some(_)) = (bus, device) else { return Err(malformed("usbdev")) };
    let address = HostAddress::Usb { bus, device, port: None };
    Ok(Hostdev {
        kind: "usb".to_owned(),
        managed: Some(YesNo::No),
        source: Some(HostdevSource { address, ..HostdevSource::default() }),
        ..Hostdev::default()
    })
}

fn print_usb_device(hostdev: &Hostdev) -> Option<String> {
    match &hostdev.source.as_ref()?.address {
        HostAddress::Usb { bus, device: Some(device), .. } => {
            Some(format!("hostbus={bus},hostaddr={device}"))
        }
        _ => None,
    }
}

fn read_channel(line: &str) -> Result<Channel> {
    let mut channel = Channel::default();
    channel.target.kind = Some(ChannelType::Xen);
    for (key, value) in pairs(line) {
        let owned = Some(value.to_owned());
        match (key, value) {
            ("connection", "socket") => {
                let kind = ChardevType::Unix;
                let path = channel.source.path.take();
                channel.source = ChardevSource {
                    kind,
                    path,
                    mode: Some(SocketMode::Bind),
                    ..Default::default()
                };
            }
            ("connection", "pty") => channel.source.kind = ChardevType::Pty,
            ("connection", _) => return Err(malformed("channel")),
            ("path", _) => channel.source.path = owned,
            ("name", _) => channel.target.name = owned,
            _ => {}
        }
    }
    Ok(channel)
}

fn print_channel(channel: &Channel) -> Result<String> {
    let mut text = match channel.source.kind {
        ChardevType::Pty => "connection=pty".to_owned(),
        ChardevType::Unix => "connection=socket".to_owned(),
        other => {
            let detail = format!("unsupported channel type '{other}'");
            return Err(Error::new(Code::ConfigUnsupported, Origin::Xenxl, detail));
        }
    };
    if let Some(path) =
        channel.source.path.as_ref().filter(|_| channel.source.kind == ChardevType::Unix)
    {
        word("path", path)?;
        text.push_str(&format!(",path={path}"));
    }
    if let Some(name) = &channel.target.name {
        word("name", name)?;
        text.push_str(&format!(",name={name}"));
    }
    Ok(text)
}

fn read_arguments(config: &Config, domain: &mut Domain) -> Result<()> {
    let arguments = config.strings("device_model_args")?;
    if arguments.is_empty() {
        return Ok(());
    }
    domain.namespaces.push(Namespace { prefix: "xen".to_owned(), uri: NAMESPACE.to_owned() });
    let mut line = Element::new("xen:commandline");
    for argument in arguments {
        line = line.with_child(Element::new("xen:arg").with_attr("value", argument.to_owned()));
    }
    domain.foreign.push(line.to_static());
    Ok(())
}

/// Arguments that are handed on to the device model.
pub(crate) fn arguments(domain: &Domain) -> Vec<String> {
    let lines = domain.foreign.iter().filter(|tree| tree.local_name() == "commandline");
    let all = lines.flat_map(|line| line.elements().filter(|child| child.local_name() == "arg"));
    all.filter_map(|child| child.attr("value").map(str::to_owned)).collect()
}
