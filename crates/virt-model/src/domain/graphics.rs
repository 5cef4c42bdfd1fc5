//! Displays and video cards.

use virt_error::Result;
use virt_xml::Element;

use crate::domain::DeviceInfo;
use crate::domain::misc::VirtioOptions;
use crate::schema::text::{OnOff, YesNo};
use crate::schema::{Body, Out, ParseFlags, Row, Text, error, form, kinds};

words! {
    pub enum GraphicsType {
        Sdl = "sdl",
        Vnc = "vnc",
        Rdp = "rdp",
        Desktop = "desktop",
        Spice = "spice",
        EglHeadless = "egl-headless",
        Dbus = "dbus",
    }
}

words! {
    pub enum SharePolicy {
        AllowExclusive = "allow-exclusive",
        ForceShared = "force-shared",
        Ignore = "ignore",
    }
}

words! {
    pub enum PasswordChange {
        Fail = "fail",
        Disconnect = "disconnect",
        Keep = "keep",
    }
}

element! {
    /// A display. Which fields mean something depends on the type.
    pub struct Graphics {
        kind: GraphicsType = attr_req("type"),
        ports: Ports = flat(),
        socket: Option<String> = attr("socket"),
        websocket: Option<i32> = attr("websocket"),
        websocket_generated: Option<YesNo> = attr("websocketGenerated") when status,
        replace_user: Option<YesNo> = attr("replaceUser"),
        multi_user: Option<YesNo> = attr("multiUser"),
        display: Option<String> = attr("display"),
        xauth: Option<String> = attr("xauth"),
        fullscreen: Option<YesNo> = attr("fullscreen"),
        dbus_address: Option<String> = attr("address"),
        p2p: Option<YesNo> = attr("p2p"),
        /// The old place of the first listen address; printed beside it.
        listen: Option<String> = attr("listen"),
        keymap: Option<String> = attr("keymap"),
        default_mode: Option<String> = attr_not_word("defaultMode", "any"),
        share_policy: Option<SharePolicy> = attr("sharePolicy"),
        power_control: Option<YesNo> = attr("powerControl"),
        username: Option<String> = attr("username") when secure,
        passwd: Option<String> = attr("passwd") when secure,
        passwd_valid_to: Option<String> = attr("passwdValidTo") when secure,
        connected: Option<PasswordChange> = attr("connected"),
                listens: Vec<Listen> = listens("listen"),
        channels: Vec<Element<'static>> = trees("channel"),
        image: Option<Element<'static>> = tree_of("image", &form::IMAGE),
        jpeg: Option<Element<'static>> = tree_of("jpeg", &form::SOMETIMES_COMPRESSED),
        zlib: Option<Element<'static>> = tree_of("zlib", &form::SOMETIMES_COMPRESSED),
        playback: Option<Element<'static>> = tree_of("playback", &form::PLAYBACK),
        streaming: Option<Element<'static>> = tree_of("streaming", &form::STREAMING),
        mouse: Option<Element<'static>> = tree_of("mouse", &form::MOUSE),
        clipboard: Option<Element<'static>> = tree_of("clipboard", &form::CLIPBOARD),
        filetransfer: Option<Element<'static>> = tree_of("filetransfer", &form::FILETRANSFER),
        gl: Option<Gl> = child_some("gl"),
        audio: Option<Element<'static>> = tree("audio"),
    }
}

/// The ports a display listens on. Ports that were assigned are known only while the guest runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ports {
    /// Absent, or -1, to be assigned.
    pub port: Option<i32>,
    pub tls_port: Option<i32>,
    pub autoport: Option<YesNo>,
    /// It is SPICE's, whose definition says nothing of ports that are to be assigned.
    pub is_spice: bool,
}

impl Body for Ports {
    const ROWS: &'static [Row] = &[
        Row { kind: "attr", name: "port" },
        Row { kind: "attr", name: "tlsPort" },
        Row { kind: "attr", name: "autoport" },
    ];

    fn read(element: &Element<'_>, flags: ParseFlags) -> Result<Self> {
        let ports = Self::read_all(element)?;
        Ok(if flags.inactive { ports.of_definition() } else { ports })
    }

    fn attrs(&self, out: &mut Out) {
        let shown = if out.flags.inactive { self.of_definition() } else { *self };
        kinds::attr::attrs(&shown.port, out, "port");
        kinds::attr::attrs(&shown.tls_port, out, "tlsPort");
        kinds::attr::attrs(&shown.autoport, out, "autoport");
    }

    fn children(&self, _: &mut Out) {}
}

impl Ports {
    fn read_all(element: &Element<'_>) -> Result<Self> {
        let kind = element.attr("type").unwrap_or_default();
        // Compat: only SPICE has a second port, and only it reads these attributes strictly.
        if kind != "vnc" && kind != "rdp" {
            return Ok(Self {
                port: kinds::read_value(element, "port")?,
                tls_port: kinds::read_value(element, "tlsPort")?,
                autoport: kinds::read_value(element, "autoport")?,
                is_spice: kind == "spice",
            });
        }
        let port = match element.attr("port") {
            None => None,
            Some(text) => Some(
                i32::parse(text)
                    .ok_or_else(|| error::internal(format!("cannot parse {kind} port {text}")))?,
            ),
        };
        let tls_port = kinds::read_value(element, "tlsPort").unwrap_or_default();
        let autoport = element.attr("autoport").and_then(YesNo::parse);
        Ok(Self { port, tls_port, autoport, is_spice: false })
    }

    /// What a definition says of ports that are to be assigned.
    fn of_definition(&self) -> Self {
        if self.autoport != Some(YesNo::Yes) {
            return *self;
        }
        // Compat: RDP says 0 where the others say -1; an assigned TLS port leaves nothing.
        let port = self.port.filter(|_| !self.is_spice);
        let port = port.map(|port| if port == 0 { 0 } else { -1 });
        Self { port, tls_port: None, ..*self }
    }
}

words! {
    pub enum ListenType {
        None = "none",
        Address = "address",
        Network = "network",
        Socket = "socket",
    }
}

element! {
    pub struct Listen {
        kind: ListenType = attr_req("type"),
        address: Option<String> = attr("address"),
        network: Option<String> = attr("network"),
        socket: Option<String> = attr("socket"),
        from_config: Option<u32> = attr("fromConfig") when status,
        auto_generated: Option<YesNo> = attr("autoGenerated") when status,
    }
}

element! {
    pub struct Gl {
        enable: Option<YesNo> = attr("enable"),
        rendernode: Option<String> = attr("rendernode"),
    }
}

words! {
    pub enum VideoType {
        Default = "default",
        Vga = "vga",
        Cirrus = "cirrus",
        Vmvga = "vmvga",
        Xen = "xen",
        Vbox = "vbox",
        Qxl = "qxl",
        Parallels = "parallels",
        Virtio = "virtio",
        Gop = "gop",
        None = "none",
        Bochs = "bochs",
        Ramfb = "ramfb",
    }
}

element! {
    pub struct Video {
        driver: Option<VideoDriver> = child_some("driver"),
        model: VideoModel = child_always("model"),
        info: DeviceInfo = flat(),
    }
}

element! {
    pub struct VideoDriver {
        virtio: VirtioOptions = flat(),
        vgaconf: Option<String> = attr("vgaconf"),
        name: Option<String> = attr("name"),
    }
}

element! {
    pub struct VideoModel {
        kind: VideoType = attr_def("type"),
        ram_kib: Option<u32> = attr("ram"),
        vram_kib: Option<u32> = attr("vram"),
        vram64_kib: Option<u32> = attr("vram64"),
        vgamem_kib: Option<u32> = attr("vgamem"),
        heads: Option<u32> = attr("heads"),
        primary: Option<YesNo> = attr("primary"),
        blob: Option<OnOff> = attr("blob"),
        edid: Option<OnOff> = attr("edid"),
        acceleration: Option<Acceleration> = child_some("acceleration"),
        resolution: Option<Element<'static>> = tree_of("resolution", &form::RESOLUTION),
    }
}

element! {
    pub struct Acceleration {
        accel3d: Option<YesNo> = attr("accel3d"),
        accel2d: Option<YesNo> = attr("accel2d"),
        rendernode: Option<String> = attr("rendernode"),
    }
}
