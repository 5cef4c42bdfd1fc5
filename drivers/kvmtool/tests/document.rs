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
        (
            with(
                "<rng model='virtio'><backend model='egd' type='unix'><source path='/s'/></backend></rng>",
            ),
            "but the host's own",
        ),
        (with("<vsock model='vmci'/>"), "no model 'vmci'"),
        (with("<vsock><cid auto='no'/></vsock>"), "no vsock without an address"),
        (with("<vsock><cid address='2'/></vsock>"), "guest CIDs must be >= 3"),
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

#[test]
fn devices_come_and_go_with_the_definition_and_not_with_the_guest() {
    let world = World::fake();
    world.ok(&["define", &world.file(&world.plain("one"))]);
    let device = |xml: &str| world.folder.write("device.xml", xml).to_string_lossy().into_owned();
    let stored = || world.ok(&["dumpxml", "--inactive", "one"]);
    let plain = stored();
    let with = |more: &str| {
        format!("<disk type='file'><source file='/{more}'/><target dev='vda' bus='virtio'/></disk>")
    };
    let folder = |dir: &str| {
        format!("<filesystem type='mount'><source dir='{dir}'/><target dir='tag'/></filesystem>")
    };
    let nic = |bridge: &str| {
        format!(
            "<interface type='bridge'><mac address='52:54:00:00:00:0b'/>\
             <source bridge='{bridge}'/></interface>"
        )
    };
    for (first, second, seen, again) in [
        (with("a"), with("b"), "file='/b'", "target vda already exists"),
        (folder("/x"), folder("/y"), "dir='/y'", "Target already exists"),
        (nic("br0"), nic("br1"), "bridge='br1'", "52:54:00:00:00:0b already exists"),
    ] {
        world.ok(&["attach-device", "one", &device(&first), "--config"]);
        let error = world.refused(&["attach-device", "one", &device(&first), "--config"]);
        assert!(error.contains(again), "{error}");
        world.ok(&["update-device", "one", &device(&second), "--config"]);
        assert!(stored().contains(seen), "{}", stored());
        // The guest that runs keeps what it was started with.
        if seen.starts_with("dir") {
            world.ok(&["start", "one"]);
            for verb in ["attach-device", "update-device", "detach-device"] {
                let error = world.refused(&[verb, "one", &device(&first), "--live"]);
                assert!(error.contains("those of a running guest cannot be changed"), "{error}");
            }
            world.ok(&["detach-device", "one", &device(&first), "--config"]);
            assert!(world.ok(&["dumpxml", "one"]).contains(seen));
            world.ok(&["destroy", "one"]);
        } else {
            world.ok(&["detach-device", "one", &device(&first), "--config"]);
        }
        assert_eq!(stored(), plain);
        let error = world.refused(&["detach-device", "one", &device(&first), "--config"]);
        assert!(error.starts_with("error: Failed to detach device"), "{error}");
    }
    // What comes must be what the tool can run, alone and with the rest.
    let qcow = with("a").replace("<source", "<driver type='qcow2'/><source");
    let error = world.refused(&["attach-device", "one", &device(&qcow), "--config"]);
    assert!(error.contains("the tool would destroy such an image"), "{error}");
    for name in ["vda", "vdb", "vdc", "vdd"] {
        let disk = with(name).replace("'vda'", &format!("'{name}'"));
        world.ok(&["attach-device", "one", &device(&disk), "--config"]);
    }
    let fifth = with("e").replace("'vda'", "'vde'");
    let error = world.refused(&["attach-device", "one", &device(&fifth), "--config"]);
    assert!(error.contains("at most 4 disks"), "{error}");
    let error = world.refused(&[
        "attach-device",
        "one",
        &device("<rng model='virtio'><backend model='random'/></rng>"),
        "--config",
    ]);
    assert!(error.contains("persistent attach of device 'rng' is not supported"), "{error}");
    let named =
        with("z").replace("'vda'", "'vdd'").replace("<source", "<alias name='ua-z'/><source");
    world.ok(&["update-device", "one", &device(&named), "--config"]);
    world.ok(&["detach-device-alias", "one", "ua-z", "--config"]);
    assert!(!stored().contains("vdd"), "{}", stored());
}
