//! Documents: the example as people read it, the command line it becomes, and what is refused.

mod support;

use std::path::Path;

use support::World;

/// The example of the documentation.
fn example() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/examples/kvmtool.xml");
    std::fs::read_to_string(path).expect("it is in the tree")
}

#[test]
fn the_example_is_defined_and_becomes_a_command() {
    let world = World::fake();
    let tool = world.lkvm.program.to_string_lossy().into_owned();
    let xml = example().replace("/usr/bin/lkvm", &tool);
    let file = world.file(&xml);
    let command = world.ok(&["domxml-to-native", "kvmtool-argv", &file]);
    let wanted = format!(
        "{tool} run \\\n--name example \\\n--cpus 2 \\\n--mem 256 \\\n--nodefaults \\\n\
         --kernel /boot/vmlinuz \\\n--initrd /boot/initrd.img \\\n\
         --params 'noapic noacpi pci=conf1 reboot=k panic=1 i8042.direct=1 i8042.dumbkbd=1 \
         i8042.nopnp=1 i8042.noaux=1 console=hvc0 root=/dev/vda rw quiet' \\\n\
         --disk /var/lib/kvmtool/root.img \\\n--disk /dev/vg/data,ro \\\n\
         --9p /srv/share,share \\\n--9p /srv/more,more \\\n\
         --network mode=tap,tapif=vnet0,guest_mac=52:54:00:11:22:33 \\\n\
         --network mode=user,guest_mac=52:54:00:11:22:34 \\\n\
         --console virtio \\\n--balloon \\\n--rng \\\n--vsock 42\n"
    );
    assert_eq!(command.trim_end(), wanted.trim_end());
    world.ok(&["define", &file]);
    let stored = world.ok(&["dumpxml", "--inactive", "example"]);
    for part in [
        "<domain type='kvmtool'>",
        "<on_reboot>restart</on_reboot>",
        "<target dir='share'/>",
        "<interface type='bridge'>",
        "<target type='virtio' port='0'/>",
        "<vcpupin vcpu='1' cpuset='0'/>",
        "<cid auto='no' address='42'/>",
    ] {
        assert!(stored.contains(part), "{part}: {stored}");
    }
    // What was stored is read as it was written.
    world.ok(&["define", &world.file(&stored)]);
    assert_eq!(world.ok(&["dumpxml", "--inactive", "example"]), stored);
}

#[test]
fn what_the_tool_has_not_is_refused_with_its_name() {
    let world = World::fake();
    let with = |device: &str| world.domain("one", device);
    let disk = |format: &str, bus: &str, device: &str, path: &str| {
        with(&format!(
            "<disk type='file' device='{device}'><driver type='{format}'/>\
             <source file='{path}'/><target dev='vda' bus='{bus}'/></disk>"
        ))
    };
    let no_kernel =
        world.plain("one").replace("<kernel>", "<initrd>").replace("</kernel>", "</initrd>");
    for (xml, reason) in [
        (no_kernel, "<kernel> must be specified"),
        (disk("qcow2", "virtio", "disk", "/a"), "the tool would destroy such an image"),
        (disk("raw", "ide", "disk", "/a"), "no bus 'ide'"),
        (disk("raw", "virtio", "cdrom", "/a"), "no device 'cdrom'"),
        (disk("raw", "virtio", "disk", "/a,ro"), "a path with a comma"),
        (
            with("<filesystem type='ram'><source usage='1'/><target dir='/'/></filesystem>"),
            "no type 'ram'",
        ),
        (with("<console type='null'/>"), "no type 'null'"),
        (with("<serial type='pty'/><serial type='pty'/>"), "no second console"),
        (with("<memballoon model='xen'/>"), "no model 'xen'"),
        (with("<graphics type='spice'/>"), "no type 'spice'"),
        (with("<sound model='ac97'/>"), "no sound"),
        (with("<watchdog model='ib700'/>"), "no watchdog"),
        (with("<interface type='user'><model type='e1000'/></interface>"), "no model 'e1000'"),
        (with("<interface type='user'/><interface type='user'/>"), "second network interface"),
        (world.plain("one").replace("kvmtool", "xen"), "no domain type 'xen'"),
        (world.plain("one").replace(">2<", ">256<"), "at most 255 virtual CPUs"),
    ] {
        let error = world.refused(&["define", &world.file(&xml)]);
        assert!(error.contains(reason), "{reason}: {error}");
    }
    let five: String = ["a", "b", "c", "d", "e"]
        .iter()
        .map(|at| {
            format!(
                "<disk type='file'><source file='/{at}'/><target dev='vd{at}' bus='virtio'/></disk>"
            )
        })
        .collect();
    let error = world.refused(&["define", &world.file(&with(&five))]);
    assert!(error.contains("at most 4 disks"), "{error}");
}

#[test]
fn files_are_looked_at_before_the_tool_takes_them() {
    let world = World::fake();
    let image = world.folder.write("disk", b"QFI\xfb\0\0\0\x03 a qcow2 image");
    let device = format!(
        "<disk type='file'><source file='{}'/><target dev='vda' bus='virtio'/></disk>",
        image.display()
    );
    world.ok(&["define", &world.file(&world.domain("one", &device))]);
    let error = world.refused(&["start", "one"]);
    assert!(error.contains("format 'qcow2'"), "{error}");
    std::fs::write(&image, [0_u8; 4096]).unwrap();
    world.ok(&["start", "one"]);
    assert!(world.ok(&["domblkinfo", "one", "vda"]).contains("Capacity:       4096"));
    assert!(world.ok(&["domblklist", "one"]).contains("vda"));
    world.ok(&["destroy", "one"]);
    std::fs::write(&world.kernel, "#!/bin/sh\n").unwrap();
    let error = world.refused(&["start", "one"]);
    assert!(error.contains("is not a Linux kernel"), "{error}");
}

#[test]
fn what_the_host_can_run_is_told() {
    let world = World::fake();
    let tool = world.lkvm.program.to_string_lossy().into_owned();
    let caps = world.ok(&["capabilities"]);
    assert!(caps.contains("<domain type='kvmtool'/>") && caps.contains(&tool), "{caps}");
    let caps = world.ok(&["domcapabilities"]);
    assert!(caps.contains("<memballoon supported='yes'>"), "{caps}");
    assert_eq!(world.ok(&["maxvcpus"]).trim(), "255");
    assert!(world.ok(&["uri"]).starts_with("kvmtool+unix:///"));
    assert!(world.ok(&["version"]).contains("Running hypervisor: kvmtool 3.18.0"));
    assert!(world.ok(&["nodeinfo"]).contains("CPU(s):"));
}
