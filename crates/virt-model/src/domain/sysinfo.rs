//! What firmware tells of a machine: of a host as it is, to a guest as its document says.

use virt_error::{Code, Error, Origin, Result};
use virt_types::Uuid;
use virt_xml::Element;

use crate::schema::{Body, Document, Out, ParseFlags, Row, error, kinds};

words! {
    pub enum SysinfoType {
        Smbios = "smbios",
        Fwcfg = "fwcfg",
    }
}

/// The tables of one kind of firmware; which are there depends on the type.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sysinfo {
    pub kind: SysinfoType,
    pub bios: Option<Bios>,
    pub system: Option<System>,
    pub base_boards: Vec<BaseBoard>,
    pub chassis: Option<Chassis>,
    /// Of a host only, as the memory devices.
    pub processors: Vec<Processor>,
    pub memory_devices: Vec<MemoryModule>,
    pub oem_strings: Vec<String>,
    /// Of `fwcfg`.
    pub entries: Vec<FwcfgEntry>,
}

element! {
    #[derive(Eq)]
    pub struct Bios {
        vendor: Option<String> = entry("vendor"),
        version: Option<String> = entry("version"),
        date: Option<String> = entry("date"),
        release: Option<String> = entry("release"),
    }
}

element! {
    #[derive(Eq)]
    pub struct System {
        manufacturer: Option<String> = entry("manufacturer"),
        product: Option<String> = entry("product"),
        version: Option<String> = entry("version"),
        serial: Option<String> = entry("serial"),
        uuid: Option<Uuid> = entry_said("uuid", |_| plain("malformed <sysinfo> uuid element")),
        sku: Option<String> = entry("sku"),
        family: Option<String> = entry("family"),
    }
}

element! {
    #[derive(Eq)]
    pub struct BaseBoard {
        manufacturer: Option<String> = entry("manufacturer"),
        product: Option<String> = entry("product"),
        version: Option<String> = entry("version"),
        serial: Option<String> = entry("serial"),
        asset: Option<String> = entry("asset"),
        location: Option<String> = entry("location"),
    }
}

element! {
    #[derive(Eq)]
    pub struct Chassis {
        manufacturer: Option<String> = entry("manufacturer"),
        version: Option<String> = entry("version"),
        serial: Option<String> = entry("serial"),
        asset: Option<String> = entry("asset"),
        sku: Option<String> = entry("sku"),
    }
}

element! {
    #[derive(Eq)]
    pub struct Processor {
        socket_destination: Option<String> = entry("socket_destination"),
        kind: Option<String> = entry("type"),
        family: Option<String> = entry("family"),
        manufacturer: Option<String> = entry("manufacturer"),
        signature: Option<String> = entry("signature"),
        version: Option<String> = entry("version"),
        external_clock: Option<String> = entry("external_clock"),
        max_speed: Option<String> = entry("max_speed"),
        status: Option<String> = entry("status"),
        serial_number: Option<String> = entry("serial_number"),
        part_number: Option<String> = entry("part_number"),
    }
}

element! {
    #[derive(Eq)]
    pub struct MemoryModule {
        size: Option<String> = entry("size"),
        form_factor: Option<String> = entry("form_factor"),
        locator: Option<String> = entry("locator"),
        bank_locator: Option<String> = entry("bank_locator"),
        kind: Option<String> = entry("type"),
        type_detail: Option<String> = entry("type_detail"),
        speed: Option<String> = entry("speed"),
        manufacturer: Option<String> = entry("manufacturer"),
        serial_number: Option<String> = entry("serial_number"),
        part_number: Option<String> = entry("part_number"),
    }
}

element! {
    /// One thing that the guest's firmware can ask for by name.
    #[derive(Eq)]
    pub struct FwcfgEntry {
        name: String = attr_req("name"),
        file: Option<String> = attr("file"),
        value: Option<String> = content(),
    }
}

fn plain(what: &str) -> Error {
    Error::new(Code::XmlDetail, Origin::Domain, what)
}

/// Tables of that name that say something.
fn tables<T: Body + Default + PartialEq>(
    element: &Element<'_>,
    flags: ParseFlags,
    name: &'static str,
) -> Result<Vec<T>> {
    let mut tables: Vec<T> = kinds::list::read(element, flags, name)?;
    tables.retain(|table| *table != T::default());
    Ok(tables)
}

/// `mm/dd/yy` or `mm/dd/yyyy`.
fn is_date(date: &str) -> bool {
    let parts: Vec<&str> = date.split('/').collect();
    let number = |part: &str| part.parse::<u32>().ok();
    match parts.as_slice() {
        [month, day, year] => {
            number(month).is_some_and(|m| (1..=12).contains(&m))
                && number(day).is_some_and(|d| (1..=31).contains(&d))
                && number(year).is_some_and(|y| y < 100 || (1900..=9999).contains(&y))
        }
        _ => false,
    }
}

impl Sysinfo {
    fn read_smbios(&mut self, element: &Element<'_>, flags: ParseFlags) -> Result<()> {
        self.bios = kinds::child_some::read(element, flags, "bios")?;
        let date = self.bios.as_ref().and_then(|bios| bios.date.as_deref());
        if date.is_some_and(|date| !is_date(date)) {
            return Err(plain("Invalid BIOS 'date' format"));
        }
        self.system = kinds::child_some::read(element, flags, "system")?;
        self.base_boards = tables(element, flags, "baseBoard")?;
        self.chassis = kinds::child_some::read(element, flags, "chassis")?;
        self.processors = tables(element, flags, "processor")?;
        self.memory_devices = tables(element, flags, "memory_device")?;
        if let Some(strings) = element.child("oemStrings") {
            self.oem_strings = kinds::texts::read(strings, flags, "entry")?;
        }
        Ok(())
    }

    /// Compat: of an entry with a file the file counts.
    fn read_fwcfg(&mut self, element: &Element<'_>, flags: ParseFlags) -> Result<()> {
        self.entries = kinds::list::read(element, flags, "entry")?;
        for entry in self.entries.iter_mut().filter(|entry| entry.file.is_some()) {
            entry.value = None;
        }
        Ok(())
    }

    /// What a guest may be told; the rest only describes hosts.
    pub(crate) fn of_guest(mut self) -> Self {
        self.processors.clear();
        self.memory_devices.clear();
        self
    }
}

impl Body for Sysinfo {
    const ROWS: &'static [Row] = &[Row { kind: "attr_req", name: "type" }];

    fn read(element: &Element<'_>, flags: ParseFlags) -> Result<Self> {
        let Some(word) = element.attr("type") else {
            return Err(error::missing_attribute(element, "type"));
        };
        let kind = SysinfoType::from_word(word);
        let kind = kind.ok_or_else(|| error::invalid_value(element, "type", word, ""))?;
        let mut info = Self { kind, ..Self::default() };
        match kind {
            SysinfoType::Smbios => info.read_smbios(element, flags)?,
            SysinfoType::Fwcfg => info.read_fwcfg(element, flags)?,
        }
        Ok(info)
    }

    fn attrs(&self, out: &mut Out) {
        out.w.attr("type", self.kind.as_str());
    }

    fn children(&self, out: &mut Out) {
        kinds::child_some::children(&self.bios, out, "bios");
        kinds::child_some::children(&self.system, out, "system");
        kinds::list::children(&self.base_boards, out, "baseBoard");
        kinds::child_some::children(&self.chassis, out, "chassis");
        kinds::list::children(&self.processors, out, "processor");
        kinds::list::children(&self.memory_devices, out, "memory_device");
        if !self.oem_strings.is_empty() {
            out.w.open("oemStrings");
            kinds::texts::children(&self.oem_strings, out, "entry");
            out.w.close("oemStrings");
        }
        kinds::list::children(&self.entries, out, "entry");
    }
}

impl Document for Sysinfo {
    const ROOT: &'static str = "sysinfo";
    const ORIGIN: Origin = Origin::Sysinfo;
}
