//! VHDX, which is only read: images of qemu's, and what it cannot write, made of them by hand.

use std::fs;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use test_support::{Scratch, crc32c, or_skip};
use virt_disk::{
    Alone, Chain, DiskError, Format, Image, Layout, MemoryStorage, Result, Storage, check_overlaps,
    open, probe, retarget,
};

use crate::disks::{Disk, Random, assert_same, read_all};
use crate::hostile::Shared;
use crate::judges;

const MIB: usize = 1 << 20;
const HEADERS: [usize; 2] = [64 << 10, 128 << 10];
const REGIONS: [usize; 2] = [192 << 10, 256 << 10];

/// The bytes of an image, and where its parts lie.
#[derive(Clone)]
struct Bytes {
    all: Vec<u8>,
    log: Range<usize>,
    blocks: usize,
    metadata: usize,
}

fn number(bytes: &[u8], at: usize, length: usize) -> usize {
    let part = &bytes[at..at + length];
    part.iter().rev().fold(0, |number, byte| number << 8 | usize::from(*byte))
}

/// A GUID in the order in which Windows keeps its bytes.
fn guid(text: &str) -> Vec<u8> {
    let digits: String = text.split('-').collect();
    let mut bytes = u128::from_str_radix(&digits, 16).unwrap().to_be_bytes();
    for range in [0..4, 4..6, 6..8] {
        bytes[range].reverse();
    }
    bytes.to_vec()
}

fn seal(bytes: &mut [u8]) {
    bytes[4..8].fill(0);
    let sum = crc32c(bytes.iter().copied());
    bytes[4..8].copy_from_slice(&sum.to_le_bytes());
}

impl Bytes {
    fn read(path: &Path) -> Self {
        let all = fs::read(path).unwrap();
        let region = |name: &str| {
            let name = guid(name);
            let at = (0..4).map(|entry| REGIONS[0] + 16 + entry * 32);
            let at = at.into_iter().find(|at| all[*at..at + 16] == name).unwrap();
            number(&all, at + 16, 8)
        };
        let (length, start) = (number(&all, HEADERS[0] + 68, 4), number(&all, HEADERS[0] + 72, 8));
        let blocks = region("2dc27766-f623-4200-9d64-115e9bfd4a08");
        let metadata = region("8b7ca206-4790-4b9a-b8fe-575f050f886e");
        Self { log: start..start + length, blocks, metadata, all }
    }

    /// Makes all checksums right again.
    fn seal(&mut self) {
        for at in HEADERS {
            seal(&mut self.all[at..at + 4096]);
        }
        for at in REGIONS {
            seal(&mut self.all[at..at + 65536]);
        }
    }

    fn file(&self) -> Box<dyn Storage> {
        Box::new(MemoryStorage::from_bytes(&self.all))
    }

    fn open(&self) -> Result<Box<dyn Image>> {
        open(Format::Vhdx, self.file(), &Alone, false)
    }

    fn put(&mut self, at: usize, bytes: &[u8]) {
        self.all[at..at + bytes.len()].copy_from_slice(bytes);
    }

    /// The state of a block, and the place it leads to.
    fn entry(&self, entry: usize) -> (usize, usize) {
        let value = number(&self.all, self.blocks + entry * 8, 8);
        (value & 7, value & !(MIB - 1))
    }

    fn set_entry(&mut self, entry: usize, state: usize, place: usize) {
        self.put(self.blocks + entry * 8, &((place | state) as u64).to_le_bytes());
    }

    /// Where an item of the metadata begins in its table.
    fn item(&self, name: &str) -> usize {
        let name = guid(name);
        let mut entries = (1..64).map(|entry| self.metadata + entry * 32);
        entries.find(|at| self.all[*at..at + 16] == name).unwrap()
    }
}

const PARAMETERS: &str = "caa16737-fa36-4d43-b3b6-33f0aa44e76b";

/// A disk in blocks of 1 MiB, as qemu writes it, and what it holds.
fn made_by_qemu(scratch: &Scratch, seed: u64) -> std::result::Result<(Bytes, Vec<u8>), String> {
    let mut disk = Disk::new(scratch.path(), Format::Raw, Layout::Fixed, 6 * MIB, seed);
    disk.scribble(100);
    // One block of nothing.
    disk.content[4 * MIB..5 * MIB].fill(0);
    fs::write(disk.path(), &disk.content).unwrap();
    let path = scratch.join("made.vhdx");
    let _ = fs::remove_file(&path);
    judges::qemu_make(&disk.path(), &path, "vhdx", "block_size=1M")?;
    fs::remove_file(disk.path()).unwrap();
    Ok((Bytes::read(&path), disk.content))
}

fn content(image: Box<dyn Image>) -> Vec<u8> {
    read_all(&mut Chain::new(vec![image]).unwrap())
}

#[test]
fn images_of_qemu_are_read_and_never_written() {
    for options in [
        "",
        "subformat=fixed",
        "block_size=1M",
        "block_size=256M,log_size=4M",
        "block_state_zero=off",
    ] {
        let scratch = Scratch::new("disk-vhdx");
        let size_bytes = 40 * MIB + 512;
        let mut disk = Disk::new(scratch.path(), Format::Raw, Layout::Fixed, size_bytes, 41);
        disk.scribble(100);
        or_skip!(judges::qemu_make(&disk.path(), &scratch.join("a.vhdx"), "vhdx", options));
        disk.format = Format::Vhdx;
        disk.names = vec!["a.vhdx".to_owned()];
        disk.check_ours();
        let storage = disk.folder.storage("a.vhdx", false);
        assert_eq!(probe(&*storage).unwrap(), Some(Format::Vhdx));
        assert_eq!(retarget(Format::Vhdx, &*storage, Some("x"), Some("y")).unwrap(), []);
        let mut image = disk.open(true).into_images().remove(0);
        let is_fixed = image.facts().layout == Layout::Fixed;
        assert_eq!(is_fixed, options.contains("fixed"), "{options}");
        check_overlaps(&mut *image).unwrap();
        assert!(matches!(image.write(0, &[1]), Err(DiskError::ReadOnly)));
        assert!(matches!(image.write_zeroes(0, 512), Err(DiskError::ReadOnly)));
        disk.check_ours();
    }
}

/// A page that an entry of the log announces; `None` announces zeroes.
type Change<'a> = (usize, Option<&'a [u8]>);

/// An entry of the log, as the format wants it.
fn log_entry(
    id: &[u8],
    sequence: u64,
    tail: usize,
    file: usize,
    changes: &[Change<'_>],
) -> Vec<u8> {
    let head = (64 + changes.len() * 32).next_multiple_of(4096);
    let data = changes.iter().filter(|change| change.1.is_some()).count();
    let mut entry = vec![0; head + data * 4096];
    let length = entry.len() as u32;
    let mut put = |at: usize, bytes: &[u8]| entry[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, b"loge");
    put(8, &length.to_le_bytes());
    put(12, &(tail as u32).to_le_bytes());
    put(16, &sequence.to_le_bytes());
    put(24, &(changes.len() as u32).to_le_bytes());
    put(32, id);
    put(48, &(file as u64).to_le_bytes());
    put(56, &(file as u64).to_le_bytes());
    let mut next = head;
    for (number, (offset, content)) in changes.iter().enumerate() {
        let at = 64 + number * 32;
        put(at + 16, &(*offset as u64).to_le_bytes());
        put(at + 24, &sequence.to_le_bytes());
        let Some(content) = content else {
            put(at, b"zero");
            put(at + 8, &4096_u64.to_le_bytes());
            continue;
        };
        put(at, b"desc");
        put(at + 4, &content[4092..]);
        put(at + 8, &content[..8]);
        put(next, b"data");
        put(next + 4, &((sequence >> 32) as u32).to_le_bytes());
        put(next + 8, &content[8..4092]);
        put(next + 4092, &(sequence as u32).to_le_bytes());
        next += 4096;
    }
    seal(&mut entry);
    entry
}

/// Makes entries of the log count, as if the writer had been killed behind the last.
fn announce(image: &mut Bytes, first: usize, entries: &[Vec<u8>], id: &[u8]) {
    let room = image.log.len();
    for (at, byte) in (first..).zip(entries.concat()) {
        image.all[image.log.start + at % room] = byte;
    }
    for header in HEADERS {
        image.put(header + 48, id);
    }
    image.seal();
}

#[test]
fn what_was_only_announced_is_read_as_qemu_mends_it() {
    let scratch = Scratch::new("disk-vhdx-log");
    let (made, _) = or_skip!(made_by_qemu(&scratch, 42));
    let (id, room, file) = ([7; 16], made.log.len(), made.all.len());
    let (table, block) = (made.blocks, made.entry(2).1);
    // The first two blocks change places, and three pages of the third change.
    let mut swapped = made.all[table..table + 4096].to_vec();
    swapped[..16].rotate_left(8);
    let fresh = vec![0x55; 4096];
    // Once the second entry goes round the end of the log; qemu then begins with that one.
    for (first, by_qemu) in [(0, true), (room - 3 * 4096, false)] {
        let entry = |number: u64, changes: &[Change<'_>]| {
            log_entry(&id, (1 << 32) + number, first, file, changes)
        };
        let entries = [
            entry(0, &[(table, Some(&swapped)), (block, Some(&fresh))]),
            entry(1, &[(block + 4096, Some(&fresh)), (block, None)]),
            entry(2, &[(block + 8192, Some(&fresh))]),
        ];
        let last = first + entries.concat().len() - 1;
        let mut wanted = made.clone();
        wanted.put(table, &swapped);
        wanted.put(block, &[0; 4096]);
        wanted.put(block + 4096, &fresh);
        for name in ["cut.vhdx", "whole.vhdx"] {
            let mut image = made.clone();
            announce(&mut image, first, &entries, &id);
            match name {
                "cut.vhdx" => image.all[image.log.start + last % room] ^= 1,
                _ => wanted.put(block + 8192, &fresh),
            }
            let found = content(image.open().unwrap());
            assert_same(&found, &content(wanted.open().unwrap()), name);
            if by_qemu {
                let path = scratch.write(name, &image.all);
                assert_same(&or_skip!(judges::qemu_mended(&path)), &found, "as qemu mends it");
            }
        }
    }
    // Without one whole entry nothing was announced.
    let mut image = made.clone();
    let entry = log_entry(&id, 1, 0, file, &[(block, Some(&fresh))]);
    announce(&mut image, 0, &[entry], &id);
    image.all[made.log.start + 4096] ^= 1;
    assert_same(&content(image.open().unwrap()), &content(made.open().unwrap()), "no entry");
}

/// Makes a difference of an image: block 0 is wholly in it, block 1 is not, of block 2 every third
/// sector is, and block 3 was made zero.
fn difference(image: &mut Bytes, parent: &str) {
    let parameters = image.metadata + number(&image.all, image.item(PARAMETERS) + 16, 4);
    image.all[parameters + 4] |= 2;
    // A locator behind the other items.
    let wide = |text: &str| -> Vec<u8> { text.encode_utf16().flat_map(u16::to_le_bytes).collect() };
    let mut locator = guid("b04aefb7-d19e-4a81-b789-25b8e9445913");
    let pairs = [("relative_path", ".\\base.vhdx"), ("parent_linkage", parent)];
    locator.extend([0, 0, pairs.len() as u8, 0]);
    let mut texts = Vec::new();
    let begin = 20 + pairs.len() * 12;
    for (key, value) in pairs {
        let (key, value) = (wide(key), wide(value));
        let at = begin + texts.len();
        locator.extend((at as u32).to_le_bytes());
        locator.extend(((at + key.len()) as u32).to_le_bytes());
        locator.extend((key.len() as u16).to_le_bytes());
        locator.extend((value.len() as u16).to_le_bytes());
        texts.extend([key, value].concat());
    }
    locator.extend(texts);
    let count = number(&image.all, image.metadata + 10, 2);
    let (entry, offset) = (image.metadata + 32 + count * 32, 0x4_0000);
    image.put(entry, &guid("a8d35f2d-b30b-454d-abf7-d3d84834ab0c"));
    image.put(entry + 16, &(offset as u32).to_le_bytes());
    image.put(entry + 20, &(locator.len() as u32).to_le_bytes());
    image.put(entry + 24, &4_u32.to_le_bytes());
    image.put(image.metadata + 10, &((count + 1) as u16).to_le_bytes());
    image.put(image.metadata + offset, &locator);
    // The bitmap of the sectors behind all else.
    let bitmap = image.all.len().next_multiple_of(MIB);
    image.all.resize(bitmap + MIB, 0);
    for sector in (2 * 2048..3 * 2048).step_by(3) {
        image.all[bitmap + sector / 8] |= 1 << (sector % 8);
    }
    image.set_entry(4096, 6, bitmap);
    image.set_entry(1, 0, 0);
    let place = image.entry(2).1;
    image.set_entry(2, 7, place);
    image.set_entry(3, 2, 0);
}

/// The GUID of an image's content, as it is written.
fn content_guid(image: &Bytes) -> String {
    let newer = HEADERS.into_iter().max_by_key(|at| number(&image.all, at + 8, 8)).unwrap();
    let mut bytes: [u8; 16] = image.all[newer + 32..newer + 48].try_into().unwrap();
    for range in [0..4, 4..6, 6..8] {
        bytes[range].reverse();
    }
    let text = format!("{:032x}", u128::from_be_bytes(bytes));
    let parts = [&text[..8], &text[8..12], &text[12..16], &text[16..20], &text[20..]];
    format!("{{{}}}", parts.join("-"))
}

#[test]
fn a_difference_is_read_over_its_parent() {
    let scratch = Scratch::new("disk-vhdx-child");
    let (base, below) = or_skip!(made_by_qemu(&scratch, 43));
    let (mut child, above) = or_skip!(made_by_qemu(&scratch, 44));
    difference(&mut child, &content_guid(&base));
    child.seal();
    let mut wanted = above;
    wanted[MIB..2 * MIB].copy_from_slice(&below[MIB..2 * MIB]);
    for sector in (2 * 2048..3 * 2048).filter(|sector| sector % 3 != 1) {
        let range = sector * 512..(sector + 1) * 512;
        wanted[range.clone()].copy_from_slice(&below[range]);
    }
    wanted[3 * MIB..4 * MIB].fill(0);
    wanted[4 * MIB..5 * MIB].fill(0);
    let images = || vec![base.open().unwrap(), child.open().unwrap()];
    assert_same(&read_all(&mut Chain::new(images()).unwrap()), &wanted, "by ourselves");
    let facts = child.open().unwrap().facts().clone();
    assert_eq!(facts.parent.unwrap().name, "base.vhdx");
    assert!(Chain::new(vec![child.open().unwrap()]).is_err(), "a child alone");
    let (other, _) = or_skip!(made_by_qemu(&scratch, 45));
    let refused = Chain::new(vec![other.open().unwrap(), child.open().unwrap()]).unwrap_err();
    assert!(matches!(refused, DiskError::NotAChild { .. }), "{refused}");
    let paths = [scratch.write("base.vhdx", &base.all), scratch.write("child.vhdx", &child.all)];
    let read = or_skip!(judges::dissect("vhdx", &paths));
    assert_same(&read, &wanted, "by dissect.hypervisor");
    let read = or_skip!(judges::seven_zip(&paths[1], "vhdx"));
    assert_same(&read, &wanted, "by 7zz");
}

/// Reads something of every block that an image holds, whatever it is.
fn read_some(file: Box<dyn Storage>) -> Result<()> {
    let mut image = open(Format::Vhdx, file, &Alone, false)?;
    let size_bytes = image.facts().size_bytes.min(16 << 20);
    let mut buffer = [0; 8192];
    for at in (0..size_bytes).step_by(MIB) {
        let length = (size_bytes - at).min(buffer.len() as u64);
        image.read(at, &mut buffer[..length as usize])?;
    }
    Ok(())
}

#[test]
fn any_byte_of_its_tables_may_be_anything() {
    let scratch = Scratch::new("disk-vhdx-bytes");
    let (made, _) = or_skip!(made_by_qemu(&scratch, 46));
    let mut child = made.clone();
    difference(&mut child, "{12345678-1234-1234-1234-123456789abc}");
    let page = [9; 4096];
    let id = [7; 16];
    let entry = log_entry(&id, 5, 0, made.all.len(), &[(made.blocks, Some(&page)), (0, None)]);
    let mut logged = made.clone();
    announce(&mut logged, 0, &[entry], &id);
    let mut random = Random(47);
    for mut image in [made, child, logged] {
        image.seal();
        // The other copies would hide what the first ones say.
        image.all[HEADERS[1]] = 0;
        image.all[REGIONS[1]] = 0;
        let good = image.all.clone();
        let file = Arc::new(MemoryStorage::from_bytes(&good));
        let (log, meta, blocks) = (image.log.start, image.metadata, image.blocks);
        let entry = number(&good, log + 8, 4).clamp(4096, 8192);
        for (start, length, sealed) in [
            (HEADERS[0], 80, 4096),
            (REGIONS[0], 80, 65536),
            (meta, 32 * 8, 0),
            (meta + 0x1_0000, 64, 0),
            (meta + 0x4_0000, 120, 0),
            (blocks, 64, 0),
            (blocks + 4096 * 8, 8, 0),
            (log, 160, entry),
        ] {
            for at in start..start + length {
                let end = start + sealed.max(length);
                let mut part = good[start..end].to_vec();
                part[at - start] = [0, 0xff, random.below(256) as u8][at % 3];
                if sealed > 0 {
                    seal(&mut part);
                }
                file.write_all_at(&part, start as u64).unwrap();
                // Refused or not: it ends, and takes no more than it has.
                drop(read_some(Box::new(Shared(file.clone()))));
                file.write_all_at(&good[start..end], start as u64).unwrap();
            }
        }
        read_some(Box::new(Shared(file.clone()))).unwrap();
        for _ in 0..20 {
            file.set_size(random.below(good.len() as u64)).unwrap();
            drop(read_some(Box::new(Shared(file.clone()))));
            file.write_all_at(&good, 0).unwrap();
        }
    }
}

#[test]
fn absurd_numbers_are_refused() {
    let scratch = Scratch::new("disk-vhdx-absurd");
    let (made, _) = or_skip!(made_by_qemu(&scratch, 48));
    let item = |name| made.metadata + number(&made.all, made.item(name) + 16, 4);
    let parameters = item(PARAMETERS);
    let size = item("2fa54224-cd1b-4876-b211-5dbed83bf4b8");
    let sector = item("8141bf1d-a96f-4709-ba47-f233a8faab5f");
    for (at, value) in [
        (parameters, &[0xff; 4][..]),
        (parameters, &[0, 0, 1, 0]),
        (parameters + 4, &[2]),
        (size, &[0xff; 8]),
        (size, &[0; 8]),
        (size, &[0, 0, 0, 0, 0, 64]),
        (sector, &[0, 4]),
        (made.item(PARAMETERS) + 16, &[0; 4]),
        (made.item(PARAMETERS) + 20, &[0xff; 4]),
        (made.metadata + 10, &[0xff; 2]),
        (REGIONS[0] + 8, &[0xff; 4]),
        (REGIONS[0] + 16 + 16, &[0xff; 8]),
        (REGIONS[0] + 16 + 24, &[0xff; 4]),
        (made.blocks, &[5]),
        (made.blocks, &[7]),
        (made.blocks, &[6, 0, 0, 0, 0, 0, 0, 0]),
        (made.blocks, &[6, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff]),
        (0, b"vhdxfilx"),
    ] {
        let mut bad = made.clone();
        bad.put(at, value);
        bad.all.copy_within(REGIONS[0]..REGIONS[0] + 65536, REGIONS[1]);
        bad.seal();
        assert!(read_some(bad.file()).is_err(), "{value:x?} at {at:#x}");
    }
    let mut bad = made.clone();
    let second = bad.entry(0).1;
    bad.set_entry(2, 6, second);
    assert!(check_overlaps(&mut *bad.open().unwrap()).is_err(), "two blocks in one place");
}

/// Logs whose entries lie over one another, or that write without end.
#[test]
fn a_log_without_sense_costs_nothing() {
    let scratch = Scratch::new("disk-vhdx-logs");
    let (made, _) = or_skip!(made_by_qemu(&scratch, 49));
    let id = [7; 16];
    let room = made.log.len();
    let mut long = log_entry(&id, 5, 0, made.all.len(), &[(0, None)]);
    long[8..12].copy_from_slice(&(room as u32).to_le_bytes());
    let mut bad = made.clone();
    announce(&mut bad, 0, &vec![long; room / 4096], &id);
    assert!(read_some(bad.file()).is_err(), "each entry is as long as the log");

    let mut endless = log_entry(&id, 5, 0, made.all.len(), &[(0, None)]);
    endless[64 + 8..64 + 16].fill(0xff);
    seal(&mut endless);
    let mut bad = made.clone();
    announce(&mut bad, 0, &[endless], &id);
    let refused = read_some(bad.file()).unwrap_err();
    assert!(matches!(refused, DiskError::Unsupported { .. }), "{refused}");

    let mut bad = made.clone();
    announce(&mut bad, 0, &[log_entry(&id, 5, 0, made.all.len() + 1, &[(0, None)])], &id);
    assert!(read_some(bad.file()).is_err(), "the file was longer");
    for (at, value) in [(68, [0xff; 8]), (72, [0xff; 8])] {
        let mut bad = made.clone();
        announce(&mut bad, 0, &[], &id);
        for header in HEADERS {
            bad.put(header + at, &value);
        }
        bad.seal();
        assert!(read_some(bad.file()).is_err(), "a log outside of the file");
    }
}
