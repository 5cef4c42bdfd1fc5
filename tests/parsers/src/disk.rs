//! Disk images: whatever a file says of itself, it is refused or read, written and read again.

use test_support::crc32c;
use virt_disk::{Alone, Chain, Format, Image, MemoryStorage, Storage, open, probe, retarget};

/// Limit: what is read of one image; a hostile one may say that it is much larger.
const READ_BYTES_MAX: u64 = 8 << 20;
/// Limit: what a file of the fuzzer's may be long.
const FILE_BYTES_MAX: u64 = 64 << 20;

pub(crate) fn vmdk(bytes: &[u8]) {
    check(Format::Vmdk, bytes);
}

pub(crate) fn vdi(bytes: &[u8]) {
    check(Format::Vdi, bytes);
}

pub(crate) fn vhd(bytes: &[u8]) {
    check(Format::Vhd, bytes);
}

pub(crate) fn qcow2(bytes: &[u8]) {
    check(Format::Qcow2, bytes);
}

pub(crate) fn vhdx(bytes: &[u8]) {
    check(Format::Vhdx, bytes);
}

/// Makes the checksums of a VHDX right, which no fuzzer finds by itself: of its headers, its tables
/// of regions, and the first entries of its log.
fn seal(file: &MemoryStorage) {
    const ENTRIES: u64 = 4;
    const ENTRY_BYTES_MAX: u32 = 65536;
    let number = |at: u64| {
        let mut bytes = [0; 4];
        file.read_at(&mut bytes, at).expect("memory can be read");
        u32::from_le_bytes(bytes)
    };
    let sum = |at: u64, length: u32| {
        let mut bytes = vec![0; length as usize];
        file.read_at(&mut bytes, at).expect("memory can be read");
        bytes[4..8].fill(0);
        file.write_all_at(&crc32c(bytes).to_le_bytes(), at + 4).expect("memory takes everything");
    };
    let log = u64::from(number((64 << 10) + 72)) % FILE_BYTES_MAX;
    for entry in 0..ENTRIES {
        let at = log + entry * 4096;
        if number(at) == u32::from_le_bytes(*b"loge") {
            sum(at, number(at + 8).clamp(4096, ENTRY_BYTES_MAX));
        }
    }
    for (at, length) in [(64, 4096), (128, 4096), (192, 65536), (256, 65536)] {
        if number(at << 10) != 0 {
            sum(at << 10, length);
        }
    }
}

/// A file with holes, so that small inputs make large images: its size in KiB, then pieces, each
/// with offset and length in front. All numbers are little endian.
fn file(bytes: &[u8]) -> Option<MemoryStorage> {
    let (size, mut rest) = bytes.split_first_chunk()?;
    let size_bytes = (u64::from(u32::from_le_bytes(*size)) * 1024) % (FILE_BYTES_MAX + 1);
    let file = MemoryStorage::new();
    while let Some((offset, after)) = rest.split_first_chunk() {
        let Some((length, data)) = after.split_first_chunk() else { break };
        let offset = u64::from(u32::from_le_bytes(*offset)) % FILE_BYTES_MAX;
        let length = usize::from(u16::from_le_bytes(*length)).min(data.len());
        let (piece, later) = data.split_at(length);
        file.write_all_at(piece, offset).expect("memory takes everything");
        rest = later;
    }
    let size_bytes = size_bytes.max(file.size_bytes().expect("memory has a size"));
    file.set_size(size_bytes).expect("memory takes everything");
    Some(file)
}

fn check(format: Format, bytes: &[u8]) {
    let Some(storage) = file(bytes) else { return };
    if format == Format::Vhdx {
        seal(&storage);
    }
    drop(probe(&storage));
    drop(retarget(format, &storage, Some("another"), Some("flat")));
    let Ok(mut image) = open(format, Box::new(storage), &Alone, true) else { return };
    // A difference is no disk by itself, but its own content can be read.
    read(&mut *image);
    let Ok(mut chain) = Chain::new(vec![image]) else { return };
    let size_bytes = chain.size_bytes();
    for offset in [0, 70_000, size_bytes / 2, size_bytes.saturating_sub(700)] {
        let data = [0x5a; 700];
        let length = usize::try_from(size_bytes.saturating_sub(offset)).unwrap_or(700).min(700);
        drop(chain.write(offset, &data[..length]));
        drop(chain.write_zeroes(offset, length as u64));
    }
    for mut image in chain.into_images() {
        read(&mut *image);
    }
}

fn read(image: &mut dyn Image) {
    let size_bytes = image.facts().size_bytes;
    let mut buffer = vec![0; 1 << 16];
    let mut at = 0;
    while at < size_bytes.min(READ_BYTES_MAX) {
        let Ok(extent) = image.map(at, size_bytes - at) else { return };
        assert!(extent.length > 0, "a stretch of nothing");
        let length = extent.length.min(buffer.len() as u64);
        let part = &mut buffer[..length as usize];
        if image.read(at, part).is_err() {
            return;
        }
        at += length;
    }
}
