//! Displays: keys of their own for full guests, a `vfb` list for paravirtual ones.

use virt_error::Result;
use virt_model::YesNo;
use virt_model::domain::graphics::{Graphics, GraphicsType, Ports};

use super::config::{Config, malformed, pairs, word};

/// The port of VNC's display 0.
const VNC_PORT_BASE: i32 = 5900;

/// What native formats say of a display.
#[derive(Debug, Default)]
pub(crate) struct Display {
    pub(crate) sdl: bool,
    pub(crate) unused: Option<bool>,
    pub(crate) number: Option<i64>,
    pub(crate) listen: Option<String>,
    pub(crate) password: Option<String>,
    pub(crate) keymap: Option<String>,
    pub(crate) display: Option<String>,
    pub(crate) xauthority: Option<String>,
}

impl Display {
    /// One display of a `vfb` list; `None` where it is of no known kind.
    pub(crate) fn parse(text: &str) -> Result<Option<Self>> {
        let mut display = Self::default();
        let mut known = false;
        for (key, value) in pairs(text) {
            let number = || value.parse::<i64>().map_err(|_| malformed("vfb"));
            let owned = Some(value.to_owned()).filter(|text| !text.is_empty());
            match key {
                "type" => (known, display.sdl) = (matches!(value, "vnc" | "sdl"), value == "sdl"),
                "vnc" if value == "1" => known = true,
                "sdl" if value == "1" => (known, display.sdl) = (true, true),
                "vncunused" => display.unused = Some(number()? != 0),
                "vncdisplay" => display.number = Some(number()?),
                "vnclisten" => display.listen = owned,
                "vncpasswd" => display.password = owned,
                "keymap" => display.keymap = owned,
                "display" => display.display = owned,
                "xauthority" => display.xauthority = owned,
                _ => {}
            }
        }
        Ok(known.then_some(display))
    }

    /// The display of a full guest, where it has one.
    pub(crate) fn read(config: &Config) -> Result<Option<Self>> {
        let vnc = config.boolean("vnc")?.unwrap_or(false);
        let sdl = config.boolean("sdl")?.unwrap_or(false);
        if !vnc && !sdl {
            return Ok(None);
        }
        Ok(Some(Self {
            sdl: !vnc,
            unused: config.boolean("vncunused")?,
            number: config.signed("vncdisplay")?,
            listen: config.text("vnclisten")?,
            password: config.text("vncpasswd")?,
            keymap: config.text("keymap")?,
            display: config.text("display")?,
            xauthority: config.text("xauthority")?,
        }))
    }

    /// Compat: a display number stands for nothing where any unused one will do, but in a guest that
    /// runs and has got one.
    pub(crate) fn graphics(self, live: bool) -> Graphics {
        if self.sdl {
            return Graphics {
                kind: GraphicsType::Sdl,
                display: self.display,
                xauth: self.xauthority,
                ..Graphics::default()
            };
        }
        let port = self
            .number
            .and_then(|number| i32::try_from(number).ok())
            .and_then(|number| number.checked_add(VNC_PORT_BASE));
        let auto = self.unused.unwrap_or(true) || port.is_none();
        let ports = Ports {
            port: port.filter(|_| live || !auto).or(Some(-1)),
            tls_port: None,
            autoport: Some(auto.into()),
            is_spice: false,
        };
        Graphics {
            kind: GraphicsType::Vnc,
            ports,
            listen: self.listen,
            passwd: self.password,
            keymap: self.keymap,
            ..Graphics::default()
        }
    }
}

/// The keys of a VNC or SDL display with their values, in print order. Numbers are marked.
pub(crate) fn fields(graphics: &Graphics) -> Vec<(&'static str, Field)> {
    let text = |key, value: &Option<String>| Some((key, Field::Text(value.clone()?)));
    let mut fields = Vec::new();
    if graphics.kind == GraphicsType::Sdl {
        fields.extend(text("display", &graphics.display));
        fields.extend(text("xauthority", &graphics.xauth));
        return fields;
    }
    let auto = is_auto(&graphics.ports);
    fields.push(("vncunused", Field::Number(auto.into())));
    if !auto {
        let port = graphics.ports.port.unwrap_or(VNC_PORT_BASE);
        let number = i64::from(port).saturating_sub(i64::from(VNC_PORT_BASE));
        fields.push(("vncdisplay", Field::Number(number)));
    }
    fields.extend(text("vnclisten", &address(graphics)));
    fields.extend(text("vncpasswd", &graphics.passwd));
    fields.extend(text("keymap", &graphics.keymap));
    fields
}

/// A value of a key.
#[derive(Debug)]
pub(crate) enum Field {
    Text(String),
    Number(i64),
}

impl std::fmt::Display for Field {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Text(text) => f.write_str(text),
            Self::Number(number) => write!(f, "{number}"),
        }
    }
}

pub(crate) fn is_auto(ports: &Ports) -> bool {
    ports.autoport == Some(YesNo::Yes) || ports.port.is_none_or(|port| port < 0)
}

/// Where a display listens.
pub(crate) fn address(graphics: &Graphics) -> Option<String> {
    let listen = graphics.listens.first().and_then(|listen| listen.address.clone());
    listen.or_else(|| graphics.listen.clone()).filter(|address| !address.is_empty())
}

/// Prints a display as keys of its own.
pub(crate) fn write(graphics: &Graphics, config: &mut Config) {
    let vnc = match graphics.kind {
        GraphicsType::Vnc => true,
        GraphicsType::Sdl => false,
        _ => return,
    };
    config.set_number("sdl", i64::from(!vnc));
    config.set_number("vnc", i64::from(vnc));
    for (key, value) in fields(graphics) {
        match value {
            Field::Text(text) => config.set(key, text),
            Field::Number(number) => config.set_number(key, number),
        }
    }
}

/// Prints a display as an element of `vfb`.
pub(crate) fn line(graphics: &Graphics) -> Result<Option<String>> {
    let kind = match graphics.kind {
        GraphicsType::Vnc => "vnc",
        GraphicsType::Sdl => "sdl",
        _ => return Ok(None),
    };
    let mut text = format!("type={kind}");
    for (key, value) in fields(graphics) {
        let value = value.to_string();
        word(key, &value)?;
        text.push_str(&format!(",{key}={value}"));
    }
    Ok(Some(text))
}
