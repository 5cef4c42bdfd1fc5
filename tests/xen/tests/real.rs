//! A guest's life on a real Xen, led by our daemon in its control domain.

use std::fs;
use std::process::{Child, Stdio};

use real_xen::{Console, Daemon, Xen, release, until};
use test_support::or_skip;

const GUEST: &str = "<domain type='xen'><name>a</name>\
    <uuid>0b6d7c1e-4a52-41f3-9c0d-7e1f5a2b3c4d</uuid>\
    <memory unit='MiB'>112</memory><currentMemory unit='MiB'>96</currentMemory>\
    <vcpu current='1'>2</vcpu>\
    <os><type>linux</type><kernel>/guest/vmlinux</kernel><initrd>/guest/guest.gz</initrd>\
    <cmdline>console=hvc0 quiet mitigations=off</cmdline></os>\
    <on_poweroff>destroy</on_poweroff><on_reboot>restart</on_reboot><on_crash>restart</on_crash>\
    <devices><disk type='block'><driver name='phy'/><source dev='/dev/loop0'/>\
    <target dev='xvda'/></disk>\
    <interface type='bridge'><mac address='00:16:3e:00:00:01'/><source bridge='xenbr0'/>\
    </interface></devices></domain>";

/// What `xl` is told of a guest that is none of ours.
const OUTSIDE: &str = "name=\"x\"\nkernel=\"/guest/vmlinux\"\nramdisk=\"/guest/guest.gz\"\nmemory=128\n\
    type=\"pv\"\nextra=\"console=hvc0 quiet mitigations=off\"\ndisk=[\"phy:/dev/loop1,xvdb,w\"]\n";

/// A shell that listens to events, and what it has heard.
struct Ears {
    shell: Child,
    heard: std::path::PathBuf,
}

impl Ears {
    fn open(xen: &Xen) -> Self {
        let heard = xen.home().join("heard");
        let file = fs::File::create(&heard).expect("the folder is ours");
        let mut command = xen.shell(Daemon::Ours, "event --event lifecycle --loop");
        let shell = command.stdin(Stdio::null()).stdout(file).spawn().expect("the shell starts");
        Self { shell, heard }
    }

    fn until(&self, words: &str) {
        until(words, || fs::read_to_string(&self.heard).is_ok_and(|text| text.contains(words)));
    }
}

impl Drop for Ears {
    fn drop(&mut self) {
        let _ = self.shell.kill();
        let _ = self.shell.wait();
    }
}

fn state(xen: &Xen, words: &str) {
    until(words, || xen.virsh("domstate a").stdout.trim() == words);
}

/// Waits until the guest has another number, and has come up; gives the number.
fn reborn(xen: &Xen, before: &str) -> String {
    let mut id = String::new();
    until("another number", || {
        xen.virsh("domid a").stdout.trim().clone_into(&mut id);
        id.parse::<u32>().is_ok() && id != before
    });
    id
}

/// Waits for the guest's own word, for the `times`th time.
fn is_up(xen: &Xen, times: usize) {
    let said = || xen.sh("cat /var/log/xen/console/guest-a.log").0;
    until("the guest is up", || said().matches("guest is up").count() >= times);
}

fn the_host_is_seen(xen: &Xen) {
    let release = xen.inside("xl info xen_version");
    // Some are on their way to the next.
    let release = release.split('-').next().unwrap_or_default();
    assert!(xen.must("version --daemon").contains(&format!("Xen {release}")), "{release}");
    let list = xen.must("list --all");
    assert!(list.contains("Domain-0") && list.contains("running"), "{list}");
    assert!(xen.must("capabilities").contains("<os_type>xen</os_type>"));
    assert!(xen.must("nodeinfo").contains("x86_64"));
    assert!(xen.must("freecell").contains("KiB"));
    xen.refused("destroy Domain-0", "Domain-0");
}

fn it_starts_and_talks(xen: &Xen, ears: &Ears) {
    xen.inside(
        "dd if=/dev/zero of=/run/a.img bs=1M count=4 2>&-; cp /run/a.img /run/b.img; \
         printf 'mark of b' | dd of=/run/b.img conv=notrunc 2>&-; \
         losetup /dev/loop0 /run/a.img && losetup /dev/loop1 /run/b.img",
    );
    let file = xen.home().write("a.xml", GUEST);
    xen.must(&format!("define {}", file.display()));
    ears.until("Defined Added");
    xen.starts("a");
    ears.until("Started Booted");
    is_up(xen, 1);
    let mut console = Console::open(xen, "a");
    console.ask("echo hello-$((6*7))", "hello-42");
    assert!(xen.must("ttyconsole a").starts_with("/dev/pts/"));
    assert!(xen.must("dominfo a").contains("OS Type:        linux"));
    assert!(xen.must("list").contains('a'));
    // What it reads and sends is counted.
    console.ask(
        "dd if=/dev/xvda of=/dev/null bs=1M count=2 2>/dev/null; echo read-$((1+1))",
        "read-2",
    );
    let counted = xen.must("domblkstat a xvda");
    let bytes =
        counted.lines().find_map(|line| line.split_once("rd_bytes ")?.1.trim().parse().ok());
    assert!(bytes.is_some_and(|bytes: u64| bytes >= 2 << 20), "{counted}");
    assert!(xen.must("domifstat a 00:16:3e:00:00:01").contains("rx_packets"));
    assert!(xen.must("domstats a").contains("balloon.current"));
    console.leave();
}

fn it_is_tuned(xen: &Xen) {
    assert!(xen.must("vcpucount a").contains("current      live           1"));
    xen.must("setvcpus a 2");
    assert_eq!(
        xen.inside("xenstore-read /local/domain/$(xl domid a)/cpu/1/availability"),
        "online"
    );
    let mut console = Console::open(xen, "a");
    console.ask("echo 1 >/sys/devices/system/cpu/cpu1/online; echo woken-$((1+1))", "woken-2");
    console.leave();
    until("two processors", || xen.must("vcpuinfo a").matches("VCPU:").count() == 2);
    xen.must("setvcpus a 1");
    xen.refused("setvcpus a 3", "greater than max allowable vcpus");
    xen.must("vcpupin a 0 0");
    let pins = xen.must("vcpupin a");
    let first: Vec<&str> = pins.lines().next().unwrap_or_default().split_whitespace().collect();
    assert_eq!(first, ["0", "0"], "{pins}");
    xen.refused("vcpupin a 0 200", "");
    xen.must("schedinfo a --weight 500 --cap 50");
    let shares = xen.inside("xl sched-credit2 -d a");
    assert!(shares.contains("500") && shares.contains("50"), "{shares}");
    xen.must("setmem a 88M");
    until("less memory", || xen.must("dommemstat a").contains("actual 90112"));
    xen.must("setmem a 96M --live --config");
    xen.refused("setmem a 300M", "cannot set memory higher than max memory");
}

fn devices_come_and_go(xen: &Xen) {
    xen.must("attach-disk a /dev/loop1 xvdb --sourcetype block --driver phy --live --config");
    assert!(xen.must("domblklist a").contains("xvdb"));
    assert!(xen.must("dumpxml a --inactive").contains("/dev/loop1"));
    let mut console = Console::open(xen, "a");
    console.ask("dd if=/dev/xvdb bs=9 count=1 2>/dev/null; echo", "mark of b");
    console.leave();
    xen.refused("attach-disk a /dev/loop1 xvdb --sourcetype block --driver phy", "already exists");
    xen.must("detach-disk a xvdb --live --config");
    assert!(!xen.must("domblklist a").contains("xvdb"));
    assert!(!xen.must("dumpxml a --inactive").contains("/dev/loop1"));
    xen.must("attach-interface a bridge xenbr0 --mac 00:16:3e:00:00:02 --outbound 1024");
    let rate = "xenstore-read /local/domain/0/backend/vif/$(xl domid a)/1/rate";
    assert!(xen.inside(rate).contains(','), "how much it may send is told its backend");
    assert!(xen.must("domiflist a").contains("00:16:3e:00:00:02"));
    assert!(xen.inside("xl network-list a").contains("00:16:3e:00:00:02"));
    xen.must("detach-interface a bridge --mac 00:16:3e:00:00:02");
    assert!(!xen.must("domiflist a").contains("00:16:3e:00:00:02"));
}

fn it_is_kept_and_comes_back(xen: &Xen, ears: &Ears) {
    xen.must("suspend a");
    ears.until("Suspended Paused");
    state(xen, "paused");
    xen.must("resume a");
    ears.until("Resumed Unpaused");
    let id = xen.must("domid a");
    xen.must("save a /share/a.save");
    ears.until("Stopped Saved");
    state(xen, "shut off");
    assert!(xen.must("save-image-dumpxml /share/a.save").contains("<name>a</name>"));
    xen.must("restore /share/a.save");
    let restored = reborn(xen, &id);
    let mut console = Console::open(xen, "a");
    console.ask("echo here-$((1+1))", "here-2");
    console.leave();
    assert_ne!(restored, id);
    xen.must("destroy a");
    ears.until("Stopped Destroyed");
    // Scripts that plug devices take most of the time of what follows, and have been seen.
    let file = xen.home().write("plain.xml", plain("rename-restart"));
    xen.must(&format!("define {}", file.display()));
    xen.starts("a");
    is_up(xen, 2);
    xen.must("dump a /run/a.core --live");
    assert_eq!(xen.inside("dd if=/run/a.core bs=1 skip=1 count=3 2>&-; rm /run/a.core"), "ELF");
    let id = xen.must("domid a");
    xen.must("managedsave a");
    assert!(xen.must("list --all --managed-save").contains("saved"));
    xen.refused("undefine a", "managed save image exists");
    xen.starts("a");
    ears.until("Started Restored");
    reborn(xen, &id);
}

/// The guest without devices, and what becomes of it when it crashes.
fn plain(on_crash: &str) -> String {
    let (head, rest) = GUEST.split_once("<disk").expect("it has a disk");
    let (_, tail) = rest.split_once("</interface>").expect("it has an interface");
    format!("{head}{tail}").replace("<on_crash>restart", &format!("<on_crash>{on_crash}"))
}

/// What a guest is to do when it ends is the daemon's to carry out, though it may be away then.
fn its_ends_are_tended(xen: &mut Xen) {
    let id = xen.must("domid a");
    xen.must("reboot a");
    let id = reborn(xen, &id);
    is_up(xen, 3);
    let mut console = Console::open(xen, "a");
    console.send("echo c >/proc/sysrq-trigger\r");
    let crashed = format!("a-{id}");
    let id = reborn(xen, &id);
    is_up(xen, 4);
    drop(console);
    // What has crashed is kept under another name, and is somebody else to everybody.
    assert_eq!(xen.must(&format!("domstate {crashed}")), "crashed");
    assert_ne!(xen.must(&format!("domuuid {crashed}")), xen.must("domuuid a"));
    xen.must(&format!("destroy {crashed}"));
    assert!(!xen.must("list --all").contains(&crashed));
    xen.kill_daemon();
    xen.inside(&format!("xenstore-write /local/domain/{id}/control/shutdown reboot"));
    xen.restart_daemon();
    let id = reborn(xen, &id);
    is_up(xen, 5);
    xen.kill_daemon();
    xen.inside(&format!("xenstore-write /local/domain/{id}/control/shutdown poweroff"));
    xen.restart_daemon();
    state(xen, "shut off");
    let file = xen.home().write("preserve.xml", plain("preserve"));
    xen.must(&format!("define {}", file.display()));
    xen.must("autostart a");
    xen.kill_daemon();
    // As at the host's start.
    xen.inside("rm -rf /run/v/run/libvirt/*/autostarted; true");
    xen.restart_daemon();
    state_in(xen, &["running", "idle"]);
    is_up(xen, 6);
    xen.must("autostart a --disable");
    let mut console = Console::open(xen, "a");
    console.send("echo c >/proc/sysrq-trigger\r");
    state(xen, "crashed");
    drop(console);
    xen.must("destroy a");
    state(xen, "shut off");
}

fn state_in(xen: &Xen, words: &[&str]) {
    until(words[0], || words.contains(&xen.virsh("domstate a").stdout.trim()));
}

/// A guest that `xl` made is seen, named and controlled, and is left alone when it ends.
fn guests_of_others_are_seen(xen: &Xen) {
    fs::write(xen.share().join("x.cfg"), OUTSIDE).expect("the folder is ours");
    xen.inside("xl create -q /share/x.cfg");
    let document = xen.must("dumpxml x");
    for words in ["<name>x</name>", "<source dev='/dev/loop1'/>", "<target dev='xvdb'"] {
        assert!(document.contains(words), "{words}: {document}");
    }
    assert!(xen.must("list").contains('x'));
    xen.must("suspend x");
    assert_eq!(xen.must("domstate x"), "paused");
    xen.must("resume x");
    xen.must("schedinfo x --weight 300");
    xen.must("vcpuinfo x");
    xen.must("destroy x");
    assert!(!xen.must("list --all").contains(" x "));
}

/// A guest with nothing emulated, on processors that can have such: releases before 4.20 cannot run one here.
fn a_guest_without_emulation_boots(xen: &Xen) {
    if release() != "4.20" {
        return;
    }
    let document = plain("destroy")
        .replace("<type>linux<", "<type>xenpvh<")
        .replace("<name>a<", "<name>p<")
        .replace("2b3c4d<", "2b3c4e<");
    let file = xen.home().write("p.xml", document);
    assert!(xen.must("capabilities").contains("<os_type>xenpvh</os_type>"));
    xen.must(&format!("define {}", file.display()));
    xen.starts("p");
    let said = || xen.sh("cat /var/log/xen/console/guest-p.log").0;
    until("the guest is up", || said().contains("guest is up"));
    assert!(xen.must("dominfo p").contains("OS Type:        xenpvh"));
    assert!(xen.must("dumpxml p").contains("machine='xenpvh'>xenpvh<"));
    xen.must("destroy p");
    xen.must("undefine p");
}

#[test]
fn a_guest_lives_on_a_real_xen() {
    let mut xen = or_skip!(Xen::start(&release()));
    let ears = Ears::open(&xen);
    the_host_is_seen(&xen);
    it_starts_and_talks(&xen, &ears);
    it_is_tuned(&xen);
    devices_come_and_go(&xen);
    it_is_kept_and_comes_back(&xen, &ears);
    guests_of_others_are_seen(&xen);
    drop(ears);
    a_guest_without_emulation_boots(&xen);
    its_ends_are_tended(&mut xen);
    xen.must("undefine a");
    assert!(!xen.must("list --all").contains(" a "));
    assert_eq!(xen.inside("xl list | wc -l"), "2", "something is left");
}
