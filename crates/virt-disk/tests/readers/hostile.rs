//! Images that lie: each is refused, or read without harm, in little time and memory.

use virt_disk::{
    Alone, Chain, DiskError, Format, Layout, MemoryStorage, Result, Storage, check_overlaps,
    create, open,
};

use crate::disks::{Random, new_image};

/// The bytes of a small image with something on it.
fn image(format: Format, layout: Layout) -> Vec<u8> {
    let shared = std::sync::Arc::new(MemoryStorage::new());
    let new = new_image(format, layout, 3 << 20, "a");
    let mut image = create(&new, Box::new(Shared(shared.clone())), &Alone).unwrap();
    image.write(70_000, &[3; 5000]).unwrap();
    image.write(2 << 20, &[4; 512]).unwrap();
    image.flush(false).unwrap();
    let mut bytes = vec![0; shared.size_bytes().unwrap() as usize];
    shared.read_at(&mut bytes, 0).unwrap();
    bytes
}

/// Memory that its maker can still look at.
pub(crate) struct Shared(pub(crate) std::sync::Arc<MemoryStorage>);

impl Storage for Shared {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> std::io::Result<usize> {
        self.0.read_at(buffer, offset)
    }
    fn write_all_at(&self, data: &[u8], offset: u64) -> std::io::Result<()> {
        self.0.write_all_at(data, offset)
    }
    fn size_bytes(&self) -> std::io::Result<u64> {
        self.0.size_bytes()
    }
    fn set_size(&self, size_bytes: u64) -> std::io::Result<()> {
        self.0.set_size(size_bytes)
    }
    fn sync(&self) -> std::io::Result<()> {
        Ok(())
    }
    fn next_data(&self, offset: u64) -> std::io::Result<Option<std::ops::Range<u64>>> {
        self.0.next_data(offset)
    }
    fn zero(&self, offset: u64, length: u64) -> std::io::Result<()> {
        self.0.zero(offset, length)
    }
}

fn read_all(format: Format, bytes: &[u8]) -> Result<()> {
    let image = open(format, Box::new(MemoryStorage::from_bytes(bytes)), &Alone, false)?;
    let mut chain = Chain::new(vec![image])?;
    let total = chain.size_bytes().min(16 << 20);
    let mut buffer = vec![0; 1 << 16];
    let mut at = 0;
    while at < total {
        let length = (total - at).min(buffer.len() as u64);
        chain.read(at, &mut buffer[..length as usize])?;
        at += length;
    }
    Ok(())
}

const KINDS: [(Format, Layout); 5] = [
    (Format::Vmdk, Layout::Sparse),
    (Format::Vmdk, Layout::Stream),
    (Format::Vdi, Layout::Sparse),
    (Format::Vhd, Layout::Sparse),
    (Format::Qcow2, Layout::Sparse),
];

#[test]
fn any_byte_of_any_header_may_be_anything() {
    for (format, layout) in KINDS {
        let good = image(format, layout);
        read_all(format, &good).unwrap();
        let mut random = Random(31);
        for at in 0..good.len().min(1600) {
            for value in [0, 0xff, random.below(256) as u8] {
                let mut bad = good.clone();
                bad[at] = value;
                // Refused or not: it ends, and takes no more than it has.
                drop(read_all(format, &bad));
            }
        }
        for _ in 0..100 {
            let mut bad = good.clone();
            let at = random.below(good.len() as u64) as usize;
            let end = (at + 8).min(bad.len());
            bad[at..end].fill(0xff);
            drop(read_all(format, &bad));
            bad.truncate(random.below(good.len() as u64) as usize);
            drop(read_all(format, &bad));
        }
    }
}

#[test]
fn absurd_numbers_are_refused() {
    for (format, layout, at, value) in [
        (Format::Vmdk, Layout::Sparse, 12, &[0xff; 8][..]),
        (Format::Vmdk, Layout::Sparse, 20, &[0xff; 8]),
        (Format::Vmdk, Layout::Sparse, 44, &[0xff; 4]),
        (Format::Vmdk, Layout::Sparse, 56, &[0xfe; 8]),
        (Format::Vdi, Layout::Sparse, 368, &[0xff; 8]),
        (Format::Vdi, Layout::Sparse, 340, &[0xff; 4]),
        (Format::Vdi, Layout::Sparse, 376, &[0xff; 4]),
        (Format::Vhd, Layout::Sparse, 48 + 512, &[0xff; 8]),
        (Format::Qcow2, Layout::Sparse, 24, &[0xff; 8]),
        (Format::Qcow2, Layout::Sparse, 20, &[0, 0, 0, 63]),
        (Format::Qcow2, Layout::Sparse, 40, &[0xff; 8]),
        (Format::Qcow2, Layout::Sparse, 72, &[0xff; 8]),
    ] {
        let mut bytes = image(format, layout);
        bytes[at..at + value.len()].copy_from_slice(value);
        assert!(read_all(format, &bytes).is_err(), "{format} with {value:x?} at {at}");
    }
}

#[test]
fn a_descriptor_leads_to_no_other_file() {
    for name in ["/etc/passwd", "../secret", "beside.vmdk"] {
        let text = format!(
            "# Disk DescriptorFile\nversion=1\nCID=1\nparentCID=ffffffff\n\
             createType=\"monolithicFlat\"\nRW 8 FLAT \"{name}\" 0\n"
        );
        let refused = read_all(Format::Vmdk, text.as_bytes()).unwrap_err();
        assert!(matches!(refused, DiskError::ForeignFile(_)), "{refused}");
    }
}

#[test]
fn an_image_that_is_its_own_parent_is_refused() {
    let mut bytes = image(Format::Vdi, Layout::Sparse);
    bytes[76] = 4;
    bytes.copy_within(392..408, 424);
    let layer = || {
        let storage = Box::new(MemoryStorage::from_bytes(&bytes));
        open(Format::Vdi, storage, &Alone, false).unwrap()
    };
    assert!(Chain::new(vec![layer()]).is_err());
    assert!(Chain::new(vec![layer(), layer()]).is_err());
}

/// Two entries of a table that lead to one place, in every format.
#[test]
fn parts_that_lie_over_one_another_are_refused() {
    for (format, table, entry) in [
        // Behind header, descriptor, one directory and its table comes the second directory.
        (Format::Vmdk, (21 + 1 + 4 + 1) * 512, 4),
        (Format::Vdi, 512, 4),
        (Format::Vhd, 1536, 4),
        (Format::Qcow2, 5 * 65536, 8),
    ] {
        let mut bytes = image(format, Layout::Sparse);
        let check = |bytes: &[u8]| {
            let storage = Box::new(MemoryStorage::from_bytes(bytes));
            check_overlaps(&mut *open(format, storage, &Alone, false).unwrap())
        };
        check(&bytes).unwrap();
        let used = bytes[table..]
            .chunks(entry)
            .position(|found| found.iter().any(|b| *b != 0) && found.iter().any(|b| *b != 0xff));
        let from = table + used.unwrap() * entry;
        let to = if used == Some(0) { from + entry } else { table };
        bytes.copy_within(from..from + entry, to);
        let refused = check(&bytes).unwrap_err();
        assert!(matches!(refused, DiskError::Bad { .. }), "{format}: {refused}");
    }
}
