//! `<sysinfo>` of the host: what its firmware tells of board, processors and memory.
//!
//! Tables are laid out by the DMTF's System Management BIOS specification; what a number means is said in the
//! words that people know from their tools.

use std::path::Path;

use virt_xml::Writer;

/// Where the kernel shows the tables.
const TABLES: &str = "/sys/firmware/dmi/tables/DMI";
/// Limit: all tables; the largest hosts have some hundred kilobytes of memory modules.
const BYTES_MAX: u64 = 4 << 20;
/// Limit: tables that are looked at.
const TABLES_MAX: usize = 8192;
/// What says that there are no more.
const END: u8 = 127;

/// A part of the document: its name, and entries with theirs.
type Part = (&'static str, Vec<(&'static str, String)>);

/// What firmware tells.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Smbios {
    parts: Vec<Part>,
    strings: Vec<String>,
}

/// One table: its fixed part, and the strings that it names by number.
struct Table<'b> {
    kind: u8,
    fixed: &'b [u8],
    strings: Vec<String>,
}

impl<'b> Table<'b> {
    /// The first table of `bytes`, and what follows it.
    fn split(bytes: &'b [u8]) -> Option<(Self, &'b [u8])> {
        let (kind, length) = (*bytes.first()?, usize::from(*bytes.get(1)?));
        let (fixed, rest) = bytes.split_at_checked(length).filter(|_| length >= 4)?;
        let end = rest.windows(2).position(|two| two == [0, 0])?;
        let texts = rest.get(..end).unwrap_or_default().split(|byte| *byte == 0);
        let texts = texts.filter(|text| !text.is_empty()).map(printable);
        Some((Self { kind, fixed, strings: texts.collect() }, rest.get(end + 2..)?))
    }

    fn byte(&self, at: usize) -> Option<u8> {
        self.fixed.get(at).copied()
    }

    fn word(&self, at: usize) -> Option<u16> {
        self.fixed.get(at..)?.first_chunk::<2>().map(|two| u16::from_le_bytes(*two))
    }

    fn double(&self, at: usize) -> Option<u32> {
        self.fixed.get(at..)?.first_chunk::<4>().map(|four| u32::from_le_bytes(*four))
    }

    /// The string whose number stands there.
    fn text(&self, at: usize) -> Option<String> {
        Some(match usize::from(self.byte(at)?).checked_sub(1) {
            None => "Not Specified".to_owned(),
            Some(number) => {
                self.strings.get(number).cloned().unwrap_or_else(|| "<BAD INDEX>".to_owned())
            }
        })
    }
}

/// Text without what would garble a terminal.
fn printable(bytes: &[u8]) -> String {
    let text: String = bytes
        .iter()
        .map(|byte| if byte.is_ascii_graphic() || *byte == b' ' { char::from(*byte) } else { '.' })
        .collect();
    text.trim().to_owned()
}

/// The word for a number; what the specification leaves open is open here too.
fn word_of(words: &[&str], number: u8) -> String {
    let word = usize::from(number).checked_sub(1).and_then(|at| words.get(at));
    (*word.unwrap_or(&"<OUT OF SPEC>")).to_owned()
}

impl Smbios {
    /// This host's; `None` where its firmware tells nothing, or not this user.
    pub fn host() -> Option<Self> {
        let bytes = virt_store::read(Path::new(TABLES), BYTES_MAX).ok()?;
        let found = Self::parse(&bytes);
        (!found.parts.is_empty()).then_some(found)
    }

    /// Reads tables as firmware lays them out.
    pub fn parse(mut bytes: &[u8]) -> Self {
        let mut found = Self::default();
        for _ in 0..TABLES_MAX {
            let Some((table, rest)) = Table::split(bytes).filter(|(table, _)| table.kind != END)
            else {
                break;
            };
            found.add(&table);
            bytes = rest;
        }
        let order = ["bios", "system", "baseBoard", "chassis", "processor", "memory_device"];
        found.parts.sort_by_key(|(name, _)| order.iter().position(|known| known == name));
        found
    }

    fn add(&mut self, table: &Table<'_>) {
        let entries = |rows: &[(&'static str, Option<String>)]| {
            let there = rows.iter().filter_map(|(name, value)| Some((*name, value.clone()?)));
            there.collect::<Vec<_>>()
        };
        let text = |at: usize| table.text(at);
        let part = match table.kind {
            0 => (
                "bios",
                entries(&[
                    ("vendor", text(4)),
                    ("version", text(5)),
                    ("date", text(8)),
                    ("release", release(table)),
                ]),
            ),
            1 => (
                "system",
                entries(&[
                    ("manufacturer", text(4)),
                    ("product", text(5)),
                    ("version", text(6)),
                    ("serial", text(7)),
                    ("uuid", uuid(table)),
                    ("sku", text(0x19)),
                    ("family", text(0x1a)),
                ]),
            ),
            2 => (
                "baseBoard",
                entries(&[
                    ("manufacturer", text(4)),
                    ("product", text(5)),
                    ("version", text(6)),
                    ("serial", text(7)),
                    ("asset", text(8)),
                    ("location", text(0xa)),
                ]),
            ),
            3 => (
                "chassis",
                entries(&[
                    ("manufacturer", text(4)),
                    ("version", text(6)),
                    ("serial", text(7)),
                    ("asset", text(8)),
                    ("sku", sku(table)),
                ]),
            ),
            4 => ("processor", processor(table)),
            17 => match memory(table) {
                Some(entries) => ("memory_device", entries),
                None => return,
            },
            11 => return self.strings.extend(table.strings.iter().cloned()),
            _ => return,
        };
        self.parts.push(part);
    }

    /// Prints the document.
    pub fn to_xml(&self) -> String {
        let mut w = Writer::new();
        w.open("sysinfo");
        w.attr("type", "smbios");
        let entry = |w: &mut Writer, name: Option<&str>, value: &str| {
            w.open("entry");
            if let Some(name) = name {
                w.attr("name", name);
            }
            w.text(value);
            w.close("entry");
        };
        for (name, entries) in &self.parts {
            w.open(name);
            entries.iter().for_each(|(name, value)| entry(&mut w, Some(name), value));
            w.close(name);
        }
        if !self.strings.is_empty() {
            w.open("oemStrings");
            self.strings.iter().for_each(|text| entry(&mut w, None, text));
            w.close("oemStrings");
        }
        w.close("sysinfo");
        w.finish()
    }
}

fn release(table: &Table<'_>) -> Option<String> {
    let (major, minor) = (table.byte(0x14)?, table.byte(0x15)?);
    (major != 0xff || minor != 0xff).then(|| format!("{major}.{minor}"))
}

/// A UUID, whose first three numbers stand as the processor has them.
fn uuid(table: &Table<'_>) -> Option<String> {
    let bytes = table.fixed.get(8..)?.first_chunk::<16>()?;
    if bytes.iter().all(|byte| *byte == 0xff) {
        return Some("Not Present".to_owned());
    }
    if bytes.iter().all(|byte| *byte == 0) {
        return Some("Not Settable".to_owned());
    }
    let mut plain = *bytes;
    for range in [0..4, 4..6, 6..8] {
        plain.get_mut(range).into_iter().for_each(<[u8]>::reverse);
    }
    Some(virt_types::Uuid(plain).to_string())
}

/// It stands behind a list of what the chassis holds.
fn sku(table: &Table<'_>) -> Option<String> {
    let (count, size) = (usize::from(table.byte(0x13)?), usize::from(table.byte(0x14)?));
    table.text(0x15 + count * size)
}

const PROCESSORS: &[&str] = &[
    "Other",
    "Unknown",
    "Central Processor",
    "Math Processor",
    "DSP Processor",
    "Video Processor",
];

/// Families that hosts of virtual machines have; the specification has some two hundred.
const FAMILIES: &[(u16, &str)] = &[
    (0x01, "Other"),
    (0x02, "Unknown"),
    (0x28, "Core Duo"),
    (0x2b, "Atom"),
    (0x6b, "Zen"),
    (0x83, "Athlon 64"),
    (0x84, "Opteron"),
    (0xb3, "Xeon"),
    (0xbf, "Core 2 Duo"),
    (0xc6, "Core i7"),
    (0xc7, "Dual-Core Celeron"),
    (0xcd, "Core i5"),
    (0xce, "Core i3"),
    (0xcf, "Core i9"),
    (0xd6, "Multi-Core Xeon"),
    (0xd7, "Dual-Core Xeon MP"),
    (0xd8, "Quad-Core Xeon MP"),
    (0x100, "ARMv7"),
    (0x101, "ARMv8"),
    (0x102, "ARMv9"),
];
/// What says that the family stands in a word of its own.
const FAMILY_BEYOND: u8 = 0xfe;

fn processor(table: &Table<'_>) -> Vec<(&'static str, String)> {
    let text = |at: usize| table.text(at);
    let mhz = |at: usize| {
        table.word(at).map(|mhz| match mhz {
            0 => "Unknown".to_owned(),
            mhz => format!("{mhz} MHz"),
        })
    };
    let family = match table.byte(6) {
        Some(FAMILY_BEYOND) => table.word(0x28),
        byte => byte.map(u16::from),
    };
    let family = family.map(|number| {
        let known = FAMILIES.iter().find(|(known, _)| *known == number);
        known.map_or("<OUT OF SPEC>", |(_, word)| word).to_owned()
    });
    let status = table.byte(0x18).map(|status| match (status & 0x40, status & 7) {
        (0, _) => "Unpopulated".to_owned(),
        (_, state) => {
            let word = match state {
                0 => "Unknown",
                1 => "Enabled",
                2 => "Disabled By User",
                3 => "Disabled By BIOS",
                4 => "Idle",
                7 => "Other",
                _ => "<OUT OF SPEC>",
            };
            format!("Populated, {word}")
        }
    });
    let rows = [
        ("socket_destination", text(4)),
        ("type", table.byte(5).map(|kind| word_of(PROCESSORS, kind))),
        ("family", family),
        ("manufacturer", text(7)),
        ("version", text(0x10)),
        ("external_clock", mhz(0x12)),
        ("max_speed", mhz(0x14)),
        ("status", status),
        ("serial_number", text(0x20)),
        ("part_number", text(0x22)),
    ];
    rows.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
}

const FORMS: &[&str] = &[
    "Other",
    "Unknown",
    "SIMM",
    "SIP",
    "Chip",
    "DIP",
    "ZIP",
    "Proprietary Card",
    "DIMM",
    "TSOP",
    "Row Of Chips",
    "RIMM",
    "SODIMM",
    "SRIMM",
    "FB-DIMM",
    "Die",
];
const MEMORIES: &[&str] = &[
    "Other",
    "Unknown",
    "DRAM",
    "EDRAM",
    "VRAM",
    "SRAM",
    "RAM",
    "ROM",
    "Flash",
    "EEPROM",
    "FEPROM",
    "EPROM",
    "CDRAM",
    "3DRAM",
    "SDRAM",
    "SGRAM",
    "RDRAM",
    "DDR",
    "DDR2",
    "DDR2 FB-DIMM",
    "Reserved",
    "Reserved",
    "Reserved",
    "DDR3",
    "FBD2",
    "DDR4",
    "LPDDR",
    "LPDDR2",
    "LPDDR3",
    "LPDDR4",
    "Logical non-volatile device",
    "HBM",
    "HBM2",
    "DDR5",
    "LPDDR5",
    "HBM3",
];
/// Of bits from the second on.
const DETAILS: &[&str] = &[
    "Other",
    "Unknown",
    "Fast-paged",
    "Static Column",
    "Pseudo-static",
    "RAMBus",
    "Synchronous",
    "CMOS",
    "EDO",
    "Window DRAM",
    "Cache DRAM",
    "Non-Volatile",
    "Registered (Buffered)",
    "Unbuffered (Unregistered)",
    "LRDIMM",
];
/// What says that a size or a speed stands in a number of its own, and that it is not known.
const SIZE_BEYOND: u16 = 0x7fff;
const UNKNOWN: u16 = 0xffff;

/// Kibibytes in the largest unit that says them whole.
fn size(kib: u64) -> String {
    let units = [("TB", 30), ("GB", 20), ("MB", 10), ("kB", 0)];
    let fits = |(_, shift): &&(&str, u32)| kib >> shift > 0 && kib >> shift << shift == kib;
    let (unit, shift) = units.iter().find(fits).copied().unwrap_or(("kB", 0));
    format!("{} {unit}", kib >> shift)
}

/// A module; `None` of a place without one.
fn memory(table: &Table<'_>) -> Option<Vec<(&'static str, String)>> {
    let size = match table.word(0xc)? {
        0 => return None,
        UNKNOWN => "Unknown".to_owned(),
        SIZE_BEYOND => size(u64::from(table.double(0x1c)? & 0x7fff_ffff) << 10),
        small if small & 0x8000 != 0 => size(u64::from(small & 0x7fff)),
        mib => size(u64::from(mib) << 10),
    };
    let text = |at: usize| table.text(at);
    let details = table.word(0x13).map(|bits| {
        let set = (1_u32..).zip(DETAILS).filter(|(bit, _)| bits >> bit & 1 == 1);
        let words: Vec<&str> = set.map(|(_, word)| *word).collect();
        if words.is_empty() { "None".to_owned() } else { words.join(" ") }
    });
    let speed = table.word(0x15).map(|speed| match speed {
        0 => "Unknown".to_owned(),
        UNKNOWN => table.double(0x54).map_or("Unknown".to_owned(), |speed| format!("{speed} MT/s")),
        speed => format!("{speed} MT/s"),
    });
    let rows = [
        ("size", Some(size)),
        ("form_factor", table.byte(0xe).map(|form| word_of(FORMS, form))),
        ("locator", text(0x10)),
        ("bank_locator", text(0x11)),
        ("type", table.byte(0x12).map(|kind| word_of(MEMORIES, kind))),
        ("type_detail", details),
        ("speed", speed),
        ("manufacturer", text(0x17)),
        ("serial_number", text(0x18)),
        ("part_number", text(0x1a)),
    ];
    Some(rows.into_iter().filter_map(|(name, value)| Some((name, value?))).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(kind: u8, fixed: &[u8], strings: &[&str]) -> Vec<u8> {
        let length = u8::try_from(fixed.len() + 4).expect("a short table");
        let mut bytes = vec![kind, length, 0, 0];
        bytes.extend_from_slice(fixed);
        for text in strings {
            bytes.extend_from_slice(text.as_bytes());
            bytes.push(0);
        }
        bytes.extend_from_slice(if strings.is_empty() { &[0, 0] } else { &[0] });
        bytes
    }

    #[test]
    fn tables_are_told_in_words() {
        let mut bios = [0_u8; 18];
        (bios[0], bios[1], bios[4]) = (1, 2, 3);
        let mut system = [0_u8; 23];
        (system[0], system[1], system[21]) = (1, 2, 1);
        system[4..20].copy_from_slice(&[
            0x33, 0x22, 0x11, 0x00, 0x55, 0x44, 0x77, 0x66, 0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd,
            0xee, 0xff,
        ]);
        let mut processor = [0_u8; 0x26];
        (processor[0], processor[1], processor[2], processor[0x14]) = (1, 3, 0xb3, 0x41);
        processor[0x10..0x12].copy_from_slice(&2000_u16.to_le_bytes());
        let mut module = [0_u8; 0x1e];
        module[8..10].copy_from_slice(&2048_u16.to_le_bytes());
        (module[0xa], module[0xe], module[0xf]) = (9, 0x1a, 0x80);
        let empty = [0_u8; 0x1e];
        let bytes = [
            table(17, &module, &["DIMM 0"]),
            table(17, &empty, &[]),
            table(0, &bios, &["SeaBIOS", "1.16\u{1b}[2J", "04/01/2014"]),
            table(1, &system, &["QEMU", "A & B"]),
            table(4, &processor, &["CPU 0"]),
            table(11, &[1], &["one", "two"]),
            table(END, &[], &[]),
            table(2, &[1, 0, 0, 0], &["behind the end"]),
        ]
        .concat();
        let xml = Smbios::parse(&bytes).to_xml();
        let at = |part: &str| xml.find(part).unwrap_or_else(|| panic!("no {part} in {xml}"));
        assert!(at("<bios>") < at("<system>") && at("<system>") < at("<processor>"));
        assert!(at("<processor>") < at("<memory_device>"));
        for part in [
            "<entry name='version'>1.16.[2J</entry>",
            "<entry name='release'>0.0</entry>",
            "<entry name='product'>A &amp; B</entry>",
            "<entry name='uuid'>00112233-4455-6677-8899-aabbccddeeff</entry>",
            "<entry name='serial'>Not Specified</entry>",
            "<entry name='type'>Central Processor</entry>",
            "<entry name='family'>Xeon</entry>",
            "<entry name='max_speed'>2000 MHz</entry>",
            "<entry name='status'>Populated, Enabled</entry>",
            "<entry name='size'>2 GB</entry>",
            "<entry name='form_factor'>DIMM</entry>",
            "<entry name='type'>DDR4</entry>",
            "<entry name='type_detail'>Synchronous</entry>",
            "<entry>two</entry>",
        ] {
            at(part);
        }
        assert_eq!(xml.matches("<memory_device>").count(), 1, "a place without a module: {xml}");
        assert!(!xml.contains("behind the end"), "{xml}");
    }

    #[test]
    fn tables_that_are_cut_anywhere_are_read_as_far_as_they_are_there() {
        let whole = [
            table(1, &[1; 23], &["x"]),
            table(3, &[0xff; 17], &["y"]),
            table(17, &[0x7f; 40], &["z"]),
            table(4, &[0xfe; 40], &[]),
        ]
        .concat();
        for end in 0..=whole.len() {
            let _ = Smbios::parse(&whole[..end]).to_xml();
        }
        assert_eq!(Smbios::parse(&[0xff; 4096]), Smbios::default());
        assert_eq!(Smbios::parse(&[0; 4096]), Smbios::default());
    }
}
