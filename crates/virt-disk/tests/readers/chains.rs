//! Chains of five: each layer over the one below, sector by sector.

use std::path::PathBuf;

use test_support::{Scratch, or_skip};
use virt_disk::{Chain, DiskError, Format, Layout, Quiet, create, merge, open, retarget};

use crate::disks::{Disk, assert_same, new_image, read_all};
use crate::judges;

const SIZE_BYTES: usize = (6 << 20) + 3 * 512;

/// A disk with four snapshots.
fn chain_of_five(scratch: &Scratch, format: Format, seed: u64) -> Disk {
    let mut disk = Disk::new(scratch.path(), format, Layout::Sparse, SIZE_BYTES, seed);
    disk.scribble(60);
    for _ in 0..4 {
        disk.snapshot();
        disk.scribble(25);
        disk.check_ours();
    }
    disk
}

fn paths(disk: &Disk) -> Vec<PathBuf> {
    disk.names.iter().map(|name| disk.folder.0.join(name)).collect()
}

#[test]
fn chains_are_read_as_they_were_written() {
    for format in [Format::Vmdk, Format::Vdi, Format::Vhd, Format::Qcow2] {
        for seed in 1..4 {
            let scratch = Scratch::new("disk-chain");
            chain_of_five(&scratch, format, seed).check_ours();
        }
    }
}

#[test]
fn qemu_and_libvmdk_follow_vmdk_deltas() {
    let scratch = Scratch::new("disk-delta");
    let disk = chain_of_five(&scratch, Format::Vmdk, 21);
    let read = or_skip!(judges::qemu_img(&disk.path(), "vmdk"));
    assert_same(&read, &disk.content, "by qemu-img");
    let read = or_skip!(judges::libyal("pyvmdk", &paths(&disk)));
    assert_same(&read, &disk.content, "by libvmdk");
}

#[test]
fn qemu_follows_qcow2_backing_files() {
    let scratch = Scratch::new("disk-backing");
    let disk = chain_of_five(&scratch, Format::Qcow2, 22);
    let read = or_skip!(judges::qemu_img(&disk.path(), "qcow2"));
    assert_same(&read, &disk.content, "by qemu-img");
    judges::qemu_check(&disk.path(), "qcow2");
}

#[test]
fn seven_zip_follows_vhd_differences() {
    let scratch = Scratch::new("disk-differ");
    let disk = chain_of_five(&scratch, Format::Vhd, 23);
    let read = or_skip!(judges::seven_zip(&disk.path(), "vhd"));
    assert_same(&read, &disk.content, "by 7zz");
}

#[test]
fn dissect_follows_the_parents_of_vdi_vmdk_and_qcow2() {
    for format in [Format::Vdi, Format::Vmdk, Format::Qcow2] {
        let scratch = Scratch::new("disk-dissect");
        let disk = chain_of_five(&scratch, format, 28);
        let read = or_skip!(judges::dissect(format.name(), &paths(&disk)));
        assert_same(&read, &disk.content, &format!("{format} by dissect.hypervisor"));
    }
}

/// qemu does not follow a VDI's parents, but each layer can be read as a disk of its own when it is told
/// to be one: then what it does not hold is zeroes.
#[test]
fn qemu_reads_each_layer_of_a_vdi_chain() {
    let scratch = Scratch::new("disk-layer");
    let disk = chain_of_five(&scratch, Format::Vdi, 24);
    for (at, name) in disk.names.iter().enumerate().skip(1) {
        let mut bytes = std::fs::read(scratch.join(name)).unwrap();
        bytes[76] = 1;
        bytes[424..456].fill(0);
        let path = scratch.write(&format!("layer{at}.vdi"), &bytes);
        let read = or_skip!(judges::qemu_img(&path, "vdi"));
        let storage = disk.folder.storage(&format!("layer{at}.vdi"), false);
        let image = open(Format::Vdi, storage, &disk.folder, false).unwrap();
        let ours = read_all(&mut Chain::new(vec![image]).unwrap());
        assert_same(&read, &ours, "a layer by itself");
        assert!(read != disk.content, "a layer is not the whole disk");
    }
}

#[test]
fn a_layer_on_the_wrong_parent_is_refused() {
    for format in [Format::Vmdk, Format::Vdi, Format::Vhd] {
        let scratch = Scratch::new("disk-wrong");
        let mut disk = chain_of_five(&scratch, format, 25);
        disk.names.remove(2);
        let images = disk.names.iter().map(|name| {
            open(format, disk.folder.storage(name, false), &disk.folder, false).unwrap()
        });
        let refused = Chain::new(images.collect()).unwrap_err();
        assert!(matches!(refused, DiskError::NotAChild { .. }), "{format}: {refused}");
    }
}

#[test]
fn two_layers_become_one_and_the_rest_does_not_notice() {
    for format in [Format::Vmdk, Format::Vdi, Format::Vhd, Format::Qcow2] {
        for at in 0..4 {
            let scratch = Scratch::new("disk-merge");
            let mut disk = chain_of_five(&scratch, format, 26);
            let mut images = disk.open(false).into_images();
            let identity = images[at + 1].facts().identity.clone();
            let below = at.checked_sub(1).map(|below| images[below].facts().clone());
            let mut new = new_image(format, Layout::Sparse, SIZE_BYTES as u64, "merged");
            new.identity = Some(identity);
            new.parent = below.as_ref().map(|facts| (facts, disk.names[at - 1].as_str()));
            let mut merged = create(&new, disk.folder.new_file("merged"), &disk.folder).unwrap();
            let [lower, upper] = &mut images[at..at + 2] else { panic!("two layers") };
            merge(&mut **lower, &mut **upper, &mut *merged, &mut Quiet).unwrap();
            disk.names.splice(at..at + 2, ["merged".to_owned()]);
            disk.check_ours();
        }
    }
}

#[test]
fn a_parent_can_be_renamed() {
    for (format, qemu) in [(Format::Vmdk, "vmdk"), (Format::Qcow2, "qcow2"), (Format::Vhd, "")] {
        let scratch = Scratch::new("disk-rename");
        let mut disk = chain_of_five(&scratch, format, 27);
        let name = "a name that is longer than the old one";
        std::fs::rename(scratch.join(&disk.names[2]), scratch.join(name)).unwrap();
        disk.names[2] = name.to_owned();
        let storage = disk.folder.storage(&disk.names[3], true);
        for patch in retarget(format, &*storage, Some(name), None).unwrap() {
            storage.write_all_at(&patch.bytes, patch.offset).unwrap();
        }
        disk.check_ours();
        let read = match format {
            Format::Vhd => or_skip!(judges::seven_zip(&disk.path(), "vhd")),
            _ => or_skip!(judges::qemu_img(&disk.path(), qemu)),
        };
        assert_same(&read, &disk.content, &format!("{format} after a rename"));
    }
}
