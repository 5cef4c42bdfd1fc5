//! What the thread on persistent configurations wants of a configuration, whichever format it is in.

use driver_xen::{Host, Toolstack};
use virt_model::ParseFlags;
use virt_model::domain::{Domain, LifecycleAction};

const XML: &str = "<domain type='xen'><name>a</name>\
    <uuid>0b6d7c1e-4a52-41f3-9c0d-7e1f5a2b3c4d</uuid><memory>524288</memory>\
    <currentMemory>262144</currentMemory><vcpu cpuset='1-3'>2</vcpu>\
    <os><type>linux</type><kernel>/boot/k</kernel><initrd>/boot/i</initrd>\
    <cmdline>root=/dev/xvda ro</cmdline></os>\
    <on_poweroff>destroy</on_poweroff><on_reboot>restart</on_reboot><on_crash>preserve</on_crash>\
    <devices><disk type='file'><driver name='file'/><source file='/srv/a.img'/>\
    <target dev='xvda'/></disk></devices></domain>";

const XM: &str = "name = 'a'\nuuid = '0b6d7c1e-4a52-41f3-9c0d-7e1f5a2b3c4d'\nmaxmem = 512\nmemory = 256\n\
    vcpus = 2\ncpus = '1-3'\nkernel = '/boot/k'\nramdisk = '/boot/i'\nextra = 'root=/dev/xvda ro'\n\
    on_poweroff = 'destroy'\non_reboot = 'restart'\non_crash = 'preserve'\n\
    disk = [ 'file:/srv/a.img,xvda,w' ]\n";

const SXP: &str = "(vm (name a)(uuid 0b6d7c1e-4a52-41f3-9c0d-7e1f5a2b3c4d)(maxmem 512)(memory 256)\
    (vcpus 2)(cpus 1-3)(on_poweroff destroy)(on_reboot restart)(on_crash preserve)\
    (image (linux (kernel /boot/k)(ramdisk /boot/i)(args 'root=/dev/xvda ro')))\
    (device (vbd (dev xvda:disk)(uname file:/srv/a.img)(mode w))))";

fn xend() -> Host {
    Host { toolstack: Toolstack::Xend { config_format: 4 }, ..Host::default() }
}

fn load(xml: &str) -> Result<Domain, String> {
    let flags = ParseFlags { inactive: true, ..ParseFlags::default() };
    Domain::load(xml, flags, &xend().rules()).map_err(|error| error.message().to_owned())
}

/// The thread's fields, as one text.
fn fields(domain: &Domain) -> String {
    let disk = &domain.devices.disks[0];
    format!(
        "{} {:?} {} {} {} {:?} {:?} {:?} {:?} {:?} {:?} {:?} {:?} {:?} {} {:?}",
        domain.name,
        domain.uuid,
        domain.memory.kib,
        domain.current_memory_kib(),
        domain.vcpu.count,
        domain.vcpu.cpuset.as_ref().map(|set| set.iter().collect::<Vec<_>>()),
        domain.cputune.vcpupins,
        domain.seclabels,
        domain.os.kernel,
        domain.os.initrd,
        domain.os.cmdline,
        domain.on_poweroff,
        domain.on_reboot,
        domain.on_crash,
        disk.target.dev,
        disk.path(),
    )
}

#[test]
fn one_domain_comes_of_every_format() {
    let host = xend();
    let of_xml = load(XML).expect("a document");
    assert_eq!(of_xml.on_crash, Some(LifecycleAction::Preserve));
    for (format, text) in [("xen-xm", XM), ("xen-sxpr", SXP)] {
        let read = host.read(format, text).unwrap_or_else(|error| panic!("{format}: {error}"));
        assert_eq!(fields(&read), fields(&of_xml), "{format}");
        // And back: what is written says the same.
        let text = host.write(format, &of_xml).expect("it is written");
        let again = host.read(format, &text).unwrap_or_else(|error| panic!("{format}: {error}"));
        assert_eq!(fields(&again), fields(&of_xml), "{format}: {text}");
    }
}

#[test]
fn what_is_required_is_named_where_it_is_missing() {
    let host = xend();
    let message = |format: &str, text: &str| {
        let error = host.read(format, text).expect_err("something is missing");
        format!("{} {}", error.message(), error.hint().unwrap_or_default())
    };
    assert!(message("xen-xm", "memory = 256\nkernel = '/k'\n").contains("name"));
    let nameless = SXP.replace("(name a)", "");
    assert!(message("xen-sxpr", &nameless).contains("name"));
    let small = SXP.replace("(maxmem 512)(memory 256)", "");
    assert!(message("xen-sxpr", &small).contains("memory"));
    let error = load(&XML.replace("<name>a</name>", "")).expect_err("it has no name");
    assert!(error.contains("name"), "{error}");
    let sizes = "<memory>524288</memory><currentMemory>262144</currentMemory>";
    let error = load(&XML.replace(sizes, "")).expect_err("it has no memory");
    assert!(error.contains("memory"), "{error}");
}

#[test]
fn disks_are_read_written_and_shared_as_their_mode_says() {
    let host = xend();
    for (mode, readonly, shareable) in
        [("r", true, false), ("w", false, false), ("w!", false, true)]
    {
        let text = XM.replace("xvda,w'", &format!("xvda,{mode}'"));
        let disk = host.read("xen-xm", &text).expect("a file").devices.disks.remove(0);
        assert_eq!((disk.readonly, disk.shareable), (readonly, shareable), "{mode}");
        let text = SXP.replace("(mode w)", &format!("(mode '{mode}')"));
        let domain = host.read("xen-sxpr", &text).expect("a list");
        let disk = &domain.devices.disks[0];
        assert_eq!((disk.readonly, disk.shareable), (readonly, shareable), "{mode}");
        let written = host.write("xen-sxpr", &domain).expect("it is written");
        assert!(written.contains(&format!("(mode '{mode}')")), "{mode}: {written}");
    }
}

#[test]
fn interfaces_have_all_that_the_thread_names() {
    let host = xend();
    let vif = "vif = [ 'mac=00:16:3e:00:00:01,bridge=br0,ip=10.0.0.2,script=vif-bridge,\
               vifname=web0,backend=driver' ]\n";
    let domain = host.read("xen-xm", &format!("{XM}{vif}")).expect("a file");
    let interface = &domain.devices.interfaces[0];
    assert_eq!(
        interface.mac.as_ref().map(|mac| mac.address.to_string()).as_deref(),
        Some("00:16:3e:00:00:01")
    );
    assert_eq!(interface.ips[0].address, "10.0.0.2");
    assert_eq!(interface.script.as_ref().map(|script| script.path.as_str()), Some("vif-bridge"));
    assert_eq!(interface.target_dev(), Some("web0"));
    assert_eq!(interface.backenddomain.as_ref().map(|name| name.name.as_str()), Some("driver"));
    let written = host.write("xen-sxpr", &domain).expect("it is written");
    for part in ["00:16:3e:00:00:01", "br0", "10.0.0.2", "vif-bridge", "web0", "driver"] {
        assert!(written.contains(part), "{part}: {written}");
    }
}

/// A word of few letters is a range of thousands: a list of many words takes no more room than one.
#[test]
fn processors_that_are_named_again_and_again_are_named_once() {
    let many: Vec<String> = (0..60_000).map(|at| format!("{}-16383", at % 50)).collect();
    let text =
        SXP.replace("(cpus 1-3)", &format!("(cpus (({}) (1 x 99999999999)))", many.join(" ")));
    let domain = xend().read("xen-sxpr", &text).expect("a domain");
    let pins = domain.cputune.vcpupins;
    assert_eq!(pins.iter().map(|pin| pin.cpuset.len()).collect::<Vec<_>>(), [16_384, 1]);
}

/// A virtual processor may have a place of its own, and a guest a label, in every format.
#[test]
fn each_processor_may_have_its_own_place_and_a_guest_its_label() {
    let host = xend();
    let label = |text: &str| {
        format!("<seclabel type='static' model='xsm' relabel='no'><label>{text}</label></seclabel>")
    };
    let pins = "<vcpu>2</vcpu><cputune><vcpupin vcpu='0' cpuset='0'/><vcpupin vcpu='1' cpuset='1-2'/></cputune>";
    let xml = XML.replace("<vcpu cpuset='1-3'>2</vcpu>", &format!("{pins}{}", label("77")));
    let of_xml = load(&xml).expect("a document");
    let xm = XM.replace("cpus = '1-3'", "cpus = [ '0', '1-2' ]\nssidref = 77");
    let sxp = SXP.replace("(cpus 1-3)", "(cpus ((0)(1 2)))(ssidref 77)");
    for (format, text) in [("xen-xm", xm.as_str()), ("xen-sxpr", sxp.as_str())] {
        let read = host.read(format, text).unwrap_or_else(|error| panic!("{format}: {error}"));
        assert_eq!(fields(&read), fields(&of_xml), "{format}");
        let written = host.write(format, &of_xml).expect("it is written");
        let again = host.read(format, &written).unwrap_or_else(|error| panic!("{format}: {error}"));
        assert_eq!(fields(&again), fields(&of_xml), "{format}: {written}");
    }
    // Today's tool stack has texts for labels.
    let xl = "name = 'a'\nkernel = '/k'\nmemory = 64\nvcpus = 3\ncpus = [ '1', 'all' ]\n\
              seclabel = 'system_u:system_r:domU_t'\n";
    let today = Host::default();
    let written = today.write("xen-xl", &today.read("xen-xl", xl).expect("a file"));
    let written = written.expect("it is written");
    for line in ["cpus = [ \"1\", \"all\", \"all\" ]", "seclabel = \"system_u:system_r:domU_t\""] {
        assert!(written.contains(line), "no {line} in {written}");
    }
    // xend has numbers alone; no label is as none.
    let named = load(&xml.replace("77", "system_u")).expect("a document");
    for format in ["xen-xm", "xen-sxpr"] {
        let error = host.write(format, &named).expect_err("no number");
        assert!(error.message().contains("'system_u' is no number"), "{error}");
    }
    let none = host.read("xen-sxpr", &sxp.replace("77", "0")).expect("a list");
    assert_eq!(none.seclabels, Vec::new());
}
