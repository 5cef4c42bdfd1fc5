//! Character devices: serial and parallel ports, consoles, channels.

use virt_error::{Error, Result};
use virt_xml::Element;

use crate::domain::DeviceInfo;
use crate::schema::text::{OnOff, YesNo};
use crate::schema::{Body, Out, ParseFlags, error, kinds};

words! {
    /// What stands behind a character device on the host.
    pub enum ChardevType {
        Null = "null",
        Vc = "vc",
        Pty = "pty",
        Dev = "dev",
        File = "file",
        Pipe = "pipe",
        Stdio = "stdio",
        Udp = "udp",
        Tcp = "tcp",
        Unix = "unix",
        SpiceVmc = "spicevmc",
        SpicePort = "spiceport",
        Nmdm = "nmdm",
        QemuVdagent = "qemu-vdagent",
        Dbus = "dbus",
    }
}

words! {
    pub enum SocketMode {
        Connect = "connect",
        Bind = "bind",
    }
}

words! {
    pub enum Protocol {
        Raw = "raw",
        Telnet = "telnet",
        Telnets = "telnets",
        Tls = "tls",
    }
}

/// The host's end of a character device.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ChardevSource {
    pub kind: ChardevType,
    /// Of a file, device, pipe or unix socket; of a pty the one in use.
    pub path: Option<String>,
    pub append: Option<OnOff>,
    /// Of sockets.
    pub mode: Option<SocketMode>,
    pub host: Option<String>,
    pub service: Option<String>,
    /// Of udp: the local end.
    pub bind_host: Option<String>,
    pub bind_service: Option<String>,
    pub tls: Option<YesNo>,
    pub protocol: Option<Protocol>,
    pub reconnect: Option<Reconnect>,
    /// Of spiceport and dbus.
    pub channel: Option<String>,
    pub master: Option<String>,
    pub slave: Option<String>,
    pub clipboard_copypaste: Option<YesNo>,
    pub mouse_mode: Option<String>,
    pub log: Option<Log>,
    pub seclabels: Vec<Element<'static>>,
}

element! {
    pub struct Reconnect {
        enabled: YesNo = attr_req("enabled"),
        timeout_s: Option<u32> = attr("timeout"),
    }
}

element! {
    pub struct Log {
        file: String = attr_req("file"),
        append: Option<OnOff> = attr("append"),
    }
}

element! {
    pub struct Serial {
        source: ChardevSource = flat(),
        target: SerialTarget = child_always("target"),
        info: DeviceInfo = flat(),
    }
}

fn no_port(text: &str) -> Error {
    error::xml(format!("Invalid port number: {text}"))
}

element! {
    pub struct SerialTarget {
        kind: Option<String> = attr("type"),
        port: Option<u32> = attr_said("port", no_port),
        model: Option<Name> = child("model"),
    }
}

element! {
    pub struct Name {
        name: String = attr_req("name"),
    }
}

element! {
    pub struct Parallel {
        source: ChardevSource = flat(),
        target: PortTarget = child_always("target"),
        info: DeviceInfo = flat(),
    }
}

element! {
    pub struct PortTarget {
        port: Option<u32> = attr_said("port", no_port),
    }
}

element! {
    pub struct Console {
        source: ChardevSource = flat(),
        /// Compat: the terminal once more, for old clients.
        tty: Option<String> = attr("tty") when live,
        target: ConsoleTarget = child_always("target"),
        info: DeviceInfo = flat(),
    }
}

words! {
    pub enum ConsoleType {
        Serial = "serial",
        None = "none",
        Xen = "xen",
        Uml = "uml",
        Virtio = "virtio",
        Lxc = "lxc",
        OpenVz = "openvz",
        Sclp = "sclp",
        SclpLm = "sclplm",
    }
}

element! {
    pub struct ConsoleTarget {
        kind: Option<ConsoleType> = attr("type"),
        port: Option<u32> = attr_said("port", no_port),
    }
}

element! {
    pub struct Channel {
        source: ChardevSource = flat(),
        target: ChannelTarget = child_always("target"),
        info: DeviceInfo = flat(),
    }
}

words! {
    pub enum ChannelType {
        None = "none",
        Guestfwd = "guestfwd",
        Virtio = "virtio",
        Xen = "xen",
    }
}

words! {
    pub enum ChannelState {
        Default = "default",
        Connected = "connected",
        Disconnected = "disconnected",
    }
}

element! {
    pub struct ChannelTarget {
        kind: Option<ChannelType> = attr("type"),
        address: Option<String> = attr("address"),
        port: Option<u32> = attr("port"),
        name: Option<String> = attr("name"),
        state: Option<ChannelState> = attr("state") when live,
    }
}

impl ChardevSource {
    /// Reads what a type-less owner says besides the type.
    pub(crate) fn read_as(
        element: &Element<'_>,
        kind: ChardevType,
        flags: ParseFlags,
    ) -> Result<Self> {
        let mut source = Self { kind, ..Self::default() };
        let sources_max = if kind == ChardevType::Udp { 2 } else { 1 };
        if element.children_named("source").count() > sources_max {
            return Err(error::xml(match sources_max {
                1 => "only one source element is allowed for this type of character device",
                _ => "only two source elements are allowed for character device",
            }));
        }
        for from in element.children_named("source") {
            source.read_source(from, flags)?;
        }
        if let Some(protocol) = element.child("protocol") {
            source.protocol = kinds::read_value(protocol, "type")?;
        }
        source.log = kinds::child::read(element, flags, "log")?;
        source.settle();
        Ok(source)
    }

    /// Says what the type means where nothing is said, and drops what the type has no place for.
    fn settle(&mut self) {
        let is_socket = matches!(self.kind, ChardevType::Tcp | ChardevType::Unix);
        let has_place = match self.kind {
            ChardevType::Unix | ChardevType::Pty => self.path.is_some(),
            ChardevType::Nmdm => self.master.is_some(),
            ChardevType::Udp
            | ChardevType::QemuVdagent
            | ChardevType::Null
            | ChardevType::Vc
            | ChardevType::Stdio
            | ChardevType::SpiceVmc => false,
            _ => true,
        };
        if !has_place {
            self.reconnect = None;
            self.seclabels.clear();
        }
        self.mode = (is_socket && has_place).then(|| self.mode.unwrap_or_default());
        if !is_socket {
            self.reconnect = None;
        }
        if let Some(reconnect) = &mut self.reconnect {
            reconnect.timeout_s.take_if(|_| !reconnect.enabled.is_yes());
        }
        let is_tcp = self.kind == ChardevType::Tcp;
        self.protocol = is_tcp.then(|| self.protocol.unwrap_or_default());
    }

    fn read_source(&mut self, from: &Element<'_>, flags: ParseFlags) -> Result<()> {
        let text = |name: &str| from.attr(name).filter(|text| !text.is_empty()).map(str::to_owned);
        match self.kind {
            ChardevType::Udp => {
                if kinds::read_value::<SocketMode>(from, "mode")?
                    .is_none_or(|mode| mode == SocketMode::Connect)
                {
                    (self.host, self.service) = (text("host"), text("service"));
                } else {
                    (self.bind_host, self.bind_service) = (text("host"), text("service"));
                }
            }
            ChardevType::Tcp => {
                self.mode = kinds::read_value(from, "mode")?;
                (self.host, self.service) = (text("host"), text("service"));
                self.tls = kinds::read_value(from, "tls")?;
            }
            ChardevType::Unix => {
                self.mode = kinds::read_value(from, "mode")?;
                self.path = text("path");
            }
            ChardevType::Pty => {
                if !flags.inactive {
                    self.path = text("path");
                }
            }
            ChardevType::Dev | ChardevType::File | ChardevType::Pipe => {
                self.path = text("path");
                self.append = kinds::read_value(from, "append")?;
            }
            ChardevType::SpicePort | ChardevType::Dbus => self.channel = text("channel"),
            ChardevType::Nmdm => (self.master, self.slave) = (text("master"), text("slave")),
            ChardevType::QemuVdagent => {
                if let Some(clipboard) = from.child("clipboard") {
                    self.clipboard_copypaste = kinds::read_value(clipboard, "copypaste")?;
                }
                self.mouse_mode =
                    from.child("mouse").and_then(|mouse| mouse.attr("mode")).map(str::to_owned);
            }
            ChardevType::Null | ChardevType::Vc | ChardevType::Stdio | ChardevType::SpiceVmc => {}
        }
        self.reconnect = kinds::child::read(from, flags, "reconnect")?;
        if let (Some(Reconnect { enabled: YesNo::Yes, timeout_s: None }), Some(reconnect)) =
            (&self.reconnect, from.child("reconnect"))
        {
            return Err(error::missing_attribute(reconnect, "timeout"));
        }
        self.seclabels.extend(from.children_named("seclabel").map(Element::content));
        Ok(())
    }

    /// Whether everything is there that the type needs.
    pub(crate) fn validate(&self) -> Result<()> {
        let missing = match self.kind {
            ChardevType::File | ChardevType::Dev | ChardevType::Pipe | ChardevType::Unix
                if self.path.is_none() =>
            {
                "path"
            }
            ChardevType::Tcp if self.host.is_none() => "host",
            ChardevType::Tcp | ChardevType::Udp if self.service.is_none() => "service",
            ChardevType::Nmdm if self.master.is_some() != self.slave.is_some() => {
                let what = "Should define both master and slave path attributes for nmdm device";
                return Err(error::internal(what));
            }
            ChardevType::SpicePort | ChardevType::Dbus if self.channel.is_none() => {
                return Err(error::unsupported("Missing source channel attribute for char device"));
            }
            _ => return Ok(()),
        };
        Err(error::internal(format!("Missing source {missing} attribute for char device")))
    }

    fn socket(out: &mut Out, mode: SocketMode, host: &Option<String>, service: &Option<String>) {
        out.w.open("source");
        out.w.attr("mode", mode.as_str());
        kinds::attr::attrs(host, out, "host");
        kinds::attr::attrs(service, out, "service");
    }

    fn write_source(&self, out: &mut Out) {
        match self.kind {
            ChardevType::Udp => {
                if self.bind_host.is_some() || self.bind_service.is_some() {
                    Self::socket(out, SocketMode::Bind, &self.bind_host, &self.bind_service);
                    out.w.close("source");
                }
                Self::socket(out, SocketMode::Connect, &self.host, &self.service);
                out.w.close("source");
                return;
            }
            ChardevType::Tcp => {
                Self::socket(out, self.mode.unwrap_or_default(), &self.host, &self.service);
                kinds::attr::attrs(&self.tls, out, "tls");
            }
            ChardevType::Unix => {
                if self.path.is_none() {
                    return;
                }
                out.w.open("source");
                out.w.attr("mode", self.mode.unwrap_or_default().as_str());
                kinds::attr::attrs(&self.path, out, "path");
            }
            ChardevType::Pty => {
                if out.flags.inactive || self.path.is_none() {
                    return;
                }
                out.w.open("source");
                kinds::attr::attrs(&self.path, out, "path");
            }
            ChardevType::Dev | ChardevType::File | ChardevType::Pipe => {
                out.w.open("source");
                kinds::attr::attrs(&self.path, out, "path");
                kinds::attr::attrs(&self.append, out, "append");
            }
            ChardevType::SpicePort | ChardevType::Dbus => {
                out.w.open("source");
                kinds::attr::attrs(&self.channel, out, "channel");
            }
            ChardevType::Nmdm => {
                if self.master.is_none() {
                    return;
                }
                out.w.open("source");
                kinds::attr::attrs(&self.master, out, "master");
                kinds::attr::attrs(&self.slave, out, "slave");
            }
            ChardevType::QemuVdagent => return self.write_vdagent(out),
            ChardevType::Null | ChardevType::Vc | ChardevType::Stdio | ChardevType::SpiceVmc => {
                return;
            }
        }
        for seclabel in &self.seclabels {
            out.w.element(seclabel);
        }
        kinds::child::children(&self.reconnect, out, "reconnect");
        out.w.close("source");
    }

    fn write_vdagent(&self, out: &mut Out) {
        if self.clipboard_copypaste.is_none() && self.mouse_mode.is_none() {
            return;
        }
        out.w.open("source");
        if let Some(copypaste) = self.clipboard_copypaste {
            out.w.open("clipboard");
            out.w.attr("copypaste", copypaste.as_str());
            out.w.close("clipboard");
        }
        if let Some(mode) = &self.mouse_mode {
            out.w.open("mouse");
            out.w.attr("mode", mode);
            out.w.close("mouse");
        }
        out.w.close("source");
    }
}

impl Body for ChardevSource {
    fn read(element: &Element<'_>, flags: ParseFlags) -> Result<Self> {
        let kind = match element.attr("type") {
            None => ChardevType::Pty,
            Some(word) => ChardevType::from_word(word).ok_or_else(|| {
                error::unsupported(format!(
                    "unknown type presented to host for character device: {word}"
                ))
            })?,
        };
        Self::read_as(element, kind, flags)
    }

    fn attrs(&self, out: &mut Out) {
        out.w.attr("type", self.kind.as_str());
    }

    fn children(&self, out: &mut Out) {
        self.write_source(out);
        kinds::child::children(&self.log, out, "log");
        if self.kind == ChardevType::Tcp {
            out.w.open("protocol");
            out.w.attr("type", self.protocol.unwrap_or_default().as_str());
            out.w.close("protocol");
        }
    }
}
