//! Images by themselves: ours read by others, those of others read by us.

use std::fs;

use test_support::{Scratch, or_skip};
use virt_disk::{Chain, Content, Format, Layout, Quiet, copy, create, open, probe};

use crate::disks::{Disk, Folder, assert_same, new_image, read_all};
use crate::judges;

/// No multiple of any block; 6 MiB and a bit.
const SIZE_BYTES: usize = (6 << 20) + 7 * 512;

const KINDS: &[(Format, Layout, &str)] = &[
    (Format::Raw, Layout::Fixed, "raw"),
    (Format::Vmdk, Layout::Sparse, "vmdk"),
    (Format::Vmdk, Layout::Fixed, "vmdk"),
    (Format::Vdi, Layout::Sparse, "vdi"),
    (Format::Vdi, Layout::Fixed, "vdi"),
    (Format::Vhd, Layout::Sparse, "vpc"),
    (Format::Vhd, Layout::Fixed, "vpc"),
    (Format::Qcow2, Layout::Sparse, "qcow2"),
];

#[test]
fn what_is_written_is_read_by_us_and_by_qemu() {
    for (number, (format, layout, qemu)) in KINDS.iter().enumerate() {
        let scratch = Scratch::new("disk-one");
        let mut disk = Disk::new(scratch.path(), *format, *layout, SIZE_BYTES, 77 + number as u64);
        for _ in 0..4 {
            disk.scribble(40);
            disk.check_ours();
        }
        let found = probe(&*disk.folder.storage(&disk.names[0], false)).unwrap();
        assert_eq!(found, Some(*format).filter(|format| *format != Format::Raw));
        let read = or_skip!(judges::qemu_img(&disk.path(), qemu));
        assert_same(&read, &disk.content, &format!("{format} {layout:?} read by qemu-img"));
        if matches!(format, Format::Vdi | Format::Qcow2 | Format::Vmdk) && *layout == Layout::Sparse
        {
            judges::qemu_check(&disk.path(), qemu);
        }
    }
}

#[test]
fn seven_zip_reads_the_same() {
    for (format, layout, _) in KINDS.iter().skip(1).filter(|kind| kind.0 != Format::Qcow2) {
        let scratch = Scratch::new("disk-7z");
        let mut disk = Disk::new(scratch.path(), *format, *layout, SIZE_BYTES, 5);
        disk.scribble(100);
        let read = or_skip!(judges::seven_zip(&disk.path(), format.name()));
        assert_same(&read, &disk.content, &format!("{format} {layout:?} read by 7zz"));
    }
}

#[test]
fn libvmdk_and_libvhdi_read_the_same() {
    for (format, module) in [(Format::Vmdk, "pyvmdk"), (Format::Vhd, "pyvhdi")] {
        for layout in [Layout::Sparse, Layout::Fixed] {
            let scratch = Scratch::new("disk-yal");
            let mut disk = Disk::new(scratch.path(), format, layout, SIZE_BYTES, 6);
            disk.scribble(100);
            let read = or_skip!(judges::libyal(module, &[disk.path()]));
            assert_same(&read, &disk.content, &format!("{format} {layout:?} read by {module}"));
        }
    }
}

#[test]
fn dissect_reads_the_same() {
    for (format, layout, _) in KINDS.iter().skip(1) {
        let scratch = Scratch::new("disk-dissect");
        let mut disk = Disk::new(scratch.path(), *format, *layout, SIZE_BYTES, 8);
        disk.scribble(100);
        let read = or_skip!(judges::dissect(format.name(), &[disk.path()]));
        assert_same(&read, &disk.content, &format!("{format} {layout:?} read by dissect"));
    }
}

#[test]
fn images_made_by_qemu_are_read_and_written() {
    for (format, qemu, options) in [
        (Format::Vmdk, "vmdk", ""),
        (Format::Vmdk, "vmdk", "subformat=monolithicFlat"),
        (Format::Vmdk, "vmdk", "subformat=twoGbMaxExtentSparse"),
        (Format::Vmdk, "vmdk", "subformat=twoGbMaxExtentFlat"),
        (Format::Vdi, "vdi", ""),
        (Format::Vdi, "vdi", "static=on"),
        (Format::Vhd, "vpc", "force_size=on"),
        (Format::Vhd, "vpc", "subformat=fixed,force_size=on"),
        (Format::Qcow2, "qcow2", ""),
        (Format::Qcow2, "qcow2", "compat=0.10"),
        (Format::Qcow2, "qcow2", "cluster_size=512"),
        (Format::Qcow2, "qcow2", "cluster_size=2M"),
        (Format::Qcow2, "qcow2", "compressed"),
    ] {
        let scratch = Scratch::new("disk-qemu");
        let mut disk = Disk::new(scratch.path(), Format::Raw, Layout::Fixed, SIZE_BYTES, 9);
        disk.scribble(100);
        let name = format!("made.{format}");
        let path = scratch.join(&name);
        or_skip!(judges::qemu_make(&disk.path(), &path, qemu, options));
        disk.format = format;
        disk.names = vec![name];
        disk.check_ours();
        disk.scribble(60);
        disk.check_ours();
        let read = or_skip!(judges::qemu_img(&path, qemu));
        assert_same(&read, &disk.content, &format!("{format} {options} written by both"));
        if format == Format::Qcow2 && options != "compressed" {
            judges::qemu_check(&path, "qcow2");
        }
    }
}

#[test]
fn streams_of_qemu_and_of_vmdkstream_are_read_and_ours_by_both() {
    let scratch = Scratch::new("disk-stream");
    let mut disk = Disk::new(scratch.path(), Format::Raw, Layout::Fixed, SIZE_BYTES, 11);
    disk.scribble(60);
    let content = disk.content.clone();

    let theirs = scratch.join("theirs.vmdk");
    or_skip!(judges::qemu_make(&disk.path(), &theirs, "vmdk", "subformat=streamOptimized"));
    let folder = Folder(scratch.path().to_owned());
    let image = open(Format::Vmdk, folder.storage("theirs.vmdk", false), &folder, false).unwrap();
    assert_eq!(image.facts().layout, Layout::Stream);
    assert_same(&read_all(&mut Chain::new(vec![image]).unwrap()), &content, "qemu's stream");

    let new = new_image(Format::Vmdk, Layout::Stream, SIZE_BYTES as u64, "ours.vmdk");
    let mut image = create(&new, folder.new_file("ours.vmdk"), &folder).unwrap();
    copy(&mut disk.open(false), &mut *image, &mut Quiet).unwrap();
    image.flush(true).unwrap();
    let ours = scratch.join("ours.vmdk");
    assert_same(&or_skip!(judges::qemu_img(&ours, "vmdk")), &content, "our stream by qemu");
    let image = open(Format::Vmdk, folder.storage("ours.vmdk", false), &folder, false).unwrap();
    assert_same(&read_all(&mut Chain::new(vec![image]).unwrap()), &content, "our stream by us");
    assert_same(&or_skip!(judges::libyal("pyvmdk", &[ours])), &content, "our stream by libvmdk");

    let name = "call-me-stream.vmdk";
    or_skip!(judges::vmdkstream(&disk.path(), &scratch.join(name)));
    let image = open(Format::Vmdk, folder.storage(name, false), &folder, false).unwrap();
    assert_same(&read_all(&mut Chain::new(vec![image]).unwrap()), &content, "vmdkstream's");
}

#[test]
fn holes_stay_holes_in_every_format() {
    let scratch = Scratch::new("disk-hole");
    let size_bytes: usize = 64 << 20;
    let mut disk = Disk::new(scratch.path(), Format::Raw, Layout::Fixed, size_bytes, 13);
    let mut chain = disk.open(true);
    for at in [0, 20 << 20, size_bytes - 512] {
        chain.write(at as u64, &[7; 512]).unwrap();
        disk.content[at..at + 512].fill(7);
    }
    // Zeroes that are stored are not copied either.
    chain.write(40 << 20, &vec![0; 1 << 20]).unwrap();
    for (format, layout, _) in KINDS {
        let name = format!("copy-{layout:?}.{format}");
        let new = new_image(*format, *layout, size_bytes as u64, &name);
        let mut image = create(&new, disk.folder.new_file(&name), &disk.folder).unwrap();
        copy(&mut chain, &mut *image, &mut Quiet).unwrap();
        image.flush(true).unwrap();
        let mut stored = 0;
        if *layout == Layout::Sparse {
            let mut at = 0;
            while at < size_bytes as u64 {
                let extent = image.map(at, size_bytes as u64 - at).unwrap();
                stored += if extent.content == Content::Data { extent.length } else { 0 };
                at += extent.length;
            }
            assert!(stored <= 3 * (2 << 20), "{format}: {stored} bytes are stored");
        }
        assert_same(&read_all(&mut Chain::new(vec![image]).unwrap()), &disk.content, &name);
    }
}

#[test]
fn empty_images_have_the_sizes_of_the_original() {
    let scratch = Scratch::new("disk-size");
    let folder = Folder(scratch.path().to_owned());
    let made = |format, layout, size_bytes, name: &str| {
        create(&new_image(format, layout, size_bytes, name), folder.new_file(name), &folder)
            .unwrap();
        fs::metadata(scratch.join(name)).unwrap().len()
    };
    assert_eq!(made(Format::Vmdk, Layout::Sparse, 8 << 30, "a.vmdk"), 1_114_112);
    assert_eq!(made(Format::Vhd, Layout::Sparse, 8 << 30, "b.vhd"), 21_504);
    assert_eq!(made(Format::Vhd, Layout::Sparse, 6 << 30, "c.vhd"), 17_408);
    made(Format::Vmdk, Layout::Fixed, 64 << 20, "d.vmdk");
    assert_eq!(fs::metadata(scratch.join("d-flat.vmdk")).unwrap().len(), 64 << 20);
}
