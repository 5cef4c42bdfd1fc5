//! How much of the shell works with this driver: each command once, on a guest with everything.
#![allow(clippy::unwrap_used, clippy::print_stdout)] // a test fails, or says what it measured

mod support;

use support::{SOON, World};
use test_support::wait_until;

/// Limit, from below: what the driver was asked for.
const COMMANDS_MIN: usize = 60;

/// Up to the start of the guest.
const BEFORE: &[&str] = &[
    "version",
    "uri",
    "hostname",
    "nodeinfo",
    "nodecpumap",
    "nodecpustats",
    "nodememstats",
    "freecell",
    "freepages --all",
    "capabilities",
    "domcapabilities",
    "maxvcpus",
    "define FILE",
    "domxml-to-native kvmtool-argv FILE",
    "list --all",
    "setvcpus one 1 --config",
    "setmaxmem one 128M --config",
    "setvcpus one 2 --config",
    "dumpxml one",
    "start one",
];

/// While it runs.
const RUNNING: &[&str] = &[
    "domid one",
    "domname 1",
    "domuuid one",
    "dominfo one",
    "domstate one",
    "domcontrol one",
    "dommemstat one",
    "domstats",
    "domblklist one",
    "domblkinfo one vda",
    "domblkerror one",
    "domiflist one",
    "domifaddr one",
    "domif-getlink one 52:54:00:00:00:09",
    "ttyconsole one",
    "vcpucount one",
    "vcpuinfo one",
    "vcpupin one 0 0",
    "emulatorpin one 0",
    "setmem one 32M",
    "desc one --title A-title",
    "desc one",
    "memtune one",
    "blkiotune one",
    "schedinfo one",
    "metadata one http://a.example/ --key a --set <a/>",
    "cpu-stats one --total",
    "domjobinfo one",
    "suspend one",
    "resume one",
    "inject-nmi one",
    "autostart one",
    "send-key one KEY_LEFTALT KEY_SYSRQ KEY_H",
    "event --list",
    "reset one",
];

/// After it has ended.
const DEVICES: &[&str] = &[
    "attach-disk one DISK vdb --config",
    "detach-disk one vdb --config",
    "attach-interface one bridge br0 --mac 52:54:00:00:00:0a --config",
    "detach-interface one bridge --mac 52:54:00:00:00:0a --config",
    "attach-device one DEVICE --config",
    "update-device one DEVICE --config",
    "detach-device one DEVICE --config",
];

#[test]
fn sixty_commands_work() {
    let world = World::fake();
    let disk = world.folder.write("disk", [0_u8; 8192]);
    let devices = format!(
        "<console type='pty'/><memballoon model='virtio'/>\
         <disk type='file'><source file='{}'/><target dev='vda' bus='virtio'/></disk>\
         <interface type='user'><mac address='52:54:00:00:00:09'/></interface>",
        disk.display()
    );
    let file = world.file(&world.domain("one", &devices));
    let other = world.folder.write("other.xml", world.plain("two"));
    let other = other.to_string_lossy().into_owned();
    let more = disk.to_string_lossy().replace("disk", "more");
    let device = world.folder.write(
        "device.xml",
        format!("<disk type='file'><source file='{more}'/><target dev='vdc' bus='virtio'/></disk>"),
    );
    let device = device.to_string_lossy().into_owned();
    let mut done: Vec<String> = Vec::new();
    let mut each = |all: &[&str]| {
        for line in all {
            let words: Vec<&str> = line.split(' ').collect();
            let words: Vec<&str> = words
                .iter()
                .map(|word| match *word {
                    "FILE" => file.as_str(),
                    "OTHER" => other.as_str(),
                    "DISK" => more.as_str(),
                    "DEVICE" => device.as_str(),
                    word => word,
                })
                .collect();
            world.ok(&words);
            let name = words[0].to_owned();
            if !done.contains(&name) {
                done.push(name);
            }
        }
    };
    each(BEFORE);
    each(RUNNING);
    let before = world.pid("one");
    each(&["reboot one"]);
    // The guest ends and is started over after the call.
    assert!(wait_until(SOON, || world.pid("one").is_some_and(|pid| Some(pid) != before)));
    assert!(world.becomes("one", "running (booted)"));
    each(&["set-lifecycle-action one crash restart --config"]);
    let edited = world.shell().edited(&["edit", "one"]).code == Some(0);
    let opened = world.console("one").send("ping\r").is_ok();
    each(&["create OTHER", "destroy two", "destroy one"]);
    each(DEVICES);
    each(&["undefine one"]);
    for (name, works) in [("edit", edited), ("console", opened)] {
        assert!(works, "{name}");
        done.push(name.to_owned());
    }
    println!("{} commands: {}", done.len(), done.join(" "));
    assert!(done.len() >= COMMANDS_MIN, "{}: {done:?}", done.len());
}
