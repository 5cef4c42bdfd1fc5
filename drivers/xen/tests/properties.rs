//! What a native format can say of a guest survives the way there and back; any text at all is read
//! or refused.

use driver_xen::sexpr::tree::Sexpr;
use driver_xen::{Host, Kind, Toolstack};
use proptest::prelude::*;
use virt_model::domain::address::Pci;
use virt_model::domain::boot::{Boot, BootDevice, OsType};
use virt_model::domain::chardev::{ChardevSource, ChardevType, Serial, SocketMode};
use virt_model::domain::clock::{Basis, Offset};
use virt_model::domain::devices::{Input, InputBus, InputType, Sound, SoundModel};
use virt_model::domain::disk::{Disk, DiskBus, DiskDevice, DiskDriver, DiskTarget, DiskType};
use virt_model::domain::features::{Apic, State};
use virt_model::domain::graphics::{Graphics, GraphicsType, Ports};
use virt_model::domain::hostdev::{HostAddress, Hostdev, HostdevSource};
use virt_model::domain::interface::{
    Bandwidth, Interface, InterfaceModel, InterfaceSource, InterfaceType, MacAddress, Rate, Script,
};
use virt_model::domain::source::StorageSource;
use virt_model::domain::{Device, Domain, LifecycleAction, VirtType};
use virt_model::{Mac, NumberSet, OnOff, ParseFlags, PrintFlags, YesNo};

/// Text that a file or an S-expression may hold: any character but a double quote at the end.
fn text() -> impl Strategy<Value = String> {
    "[ -~ßü\n]{0,12}[a-z]"
        .prop_filter("three quotes end a string", |text| !text.contains("\"\"\""))
        .prop_filter("XML trims it away", |text| text.trim() == text)
}

fn path() -> impl Strategy<Value = String> {
    "/[a-zA-Z0-9,'()#& -]{0,12}[a-z]"
}

fn disk(kind: Kind, format: &'static str) -> impl Strategy<Value = Disk> {
    (path(), 0..4_u8, any::<bool>(), any::<bool>(), 0..3_u8).prop_map(
        move |(path, letter, cdrom, shareable, backend)| {
            let hvm = kind == Kind::Hvm;
            let letter = char::from(b'a' + letter);
            let (dev, bus) = match hvm {
                true => (format!("hd{letter}"), DiskBus::Ide),
                false => (format!("xvd{letter}"), DiskBus::Xen),
            };
            let (name, kind, image) = match (backend, format) {
                (0, _) => ("phy", DiskType::Block, "raw"),
                (1, "xen-xl") => ("qemu", DiskType::File, "qcow2"),
                (1, _) => ("file", DiskType::File, "raw"),
                (_, "xen-xl") => ("tap", DiskType::File, "raw"),
                _ => ("tap", DiskType::File, "qcow"),
            };
            let cdrom = cdrom && hvm;
            let device = if cdrom { DiskDevice::Cdrom } else { DiskDevice::Disk };
            let (name, image) = (Some(name.to_owned()), Some(image.to_owned()));
            Disk {
                kind,
                device,
                driver: Some(DiskDriver { name, format: image, ..DiskDriver::default() }),
                source: Some(StorageSource { kind, path: Some(path), ..StorageSource::default() }),
                target: DiskTarget { dev, bus: Some(bus), ..DiskTarget::default() },
                readonly: cdrom,
                shareable: shareable && !cdrom,
                ..Disk::default()
            }
        },
    )
}

fn interface(hvm: bool) -> impl Strategy<Value = Interface> {
    let model = prop::sample::select(if hvm {
        vec![None, Some("e1000"), Some("netfront")]
    } else {
        vec![None, Some("fakemodel")]
    });
    (any::<[u8; 3]>(), "[a-z]{1,8}[0-9]", any::<bool>(), model, 0..3_u64).prop_map(
        |([a, b, c], bridge, bridged, model, rate)| {
            let kind = if bridged { InterfaceType::Bridge } else { InterfaceType::Ethernet };
            let mac = MacAddress { address: Mac([0, 0x16, 0x3e, a, b, c]), ..Default::default() };
            let rate = Rate { average: Some(rate * 1024), ..Rate::default() };
            let source = InterfaceSource { bridge: Some(bridge), ..InterfaceSource::default() };
            Interface {
                kind,
                mac: Some(mac),
                source: bridged.then_some(source),
                script: bridged.then(|| Script { path: "vif-bridge".to_owned() }),
                model: model.map(|kind| InterfaceModel { kind: Some(kind.to_owned()) }),
                bandwidth: (rate.average != Some(0))
                    .then_some(Bandwidth { inbound: None, outbound: Some(rate) }),
                ..Interface::default()
            }
        },
    )
}

fn serial() -> impl Strategy<Value = ChardevSource> {
    let of = |kind| ChardevSource { kind, ..ChardevSource::default() };
    prop_oneof![
        Just(of(ChardevType::Pty)),
        Just(of(ChardevType::Null)),
        path().prop_map(move |path| ChardevSource { path: Some(path), ..of(ChardevType::File) }),
        path().prop_map(move |path| ChardevSource { path: Some(path), ..of(ChardevType::Dev) }),
        (any::<u16>(), any::<bool>()).prop_map(move |(port, bind)| ChardevSource {
            mode: Some(if bind { SocketMode::Bind } else { SocketMode::Connect }),
            host: Some("127.0.0.1".to_owned()),
            service: Some(port.to_string()),
            ..of(ChardevType::Tcp)
        }),
    ]
}

fn graphics() -> impl Strategy<Value = Graphics> {
    (proptest::option::of(0..99_i32), proptest::option::of("[a-z0-9]{1,8}")).prop_map(
        |(display, passwd)| Graphics {
            kind: GraphicsType::Vnc,
            ports: Ports {
                port: Some(display.map_or(-1, |display| 5900 + display)),
                autoport: Some(YesNo::from(display.is_none())),
                ..Ports::default()
            },
            listen: Some("127.0.0.1".to_owned()),
            passwd,
            ..Graphics::default()
        },
    )
}

fn pci() -> impl Strategy<Value = Hostdev> {
    (0..4_u32, 0..256_u32, 0..32_u32, 0..8_u32).prop_map(|(domain, bus, slot, function)| {
        let at = Pci { domain, bus, slot, function, ..Pci::default() };
        Hostdev {
            kind: "pci".to_owned(),
            source: Some(HostdevSource { address: HostAddress::Pci(at), ..Default::default() }),
            ..Hostdev::default()
        }
    })
}

/// What full guests have beyond the others.
fn hardware() -> impl Strategy<Value = Domain> {
    (
        any::<[bool; 4]>(),
        any::<i32>(),
        any::<bool>(),
        proptest::collection::vec(serial(), 0..3),
        prop::sample::subsequence(vec![SoundModel::Sb16, SoundModel::Es1370], 0..=2),
        any::<bool>(),
        prop::sample::subsequence(BootDevice::ALL.to_vec(), 1..=3),
    )
        .prop_map(
            |([acpi, apic, viridian, hap], offset_s, local, serials, sounds, tablet, boot)| {
                let mut domain = Domain::default();
                domain.os.boot = boot.into_iter().map(|dev| Boot { dev }).collect();
                domain.features.acpi = acpi;
                domain.features.apic = apic.then(Apic::default);
                domain.features.viridian = viridian;
                domain.features.hap = hap.then_some(State { state: OnOff::On });
                domain.clock.offset = Offset::Variable;
                domain.clock.adjustment = Some(offset_s.to_string());
                domain.clock.basis = Some(if local { Basis::Localtime } else { Basis::Utc });
                domain.devices.serials = serials
                    .into_iter()
                    .map(|source| Serial { source, ..Serial::default() })
                    .collect();
                domain.devices.sounds =
                    sounds.into_iter().map(|model| Sound { model, ..Sound::default() }).collect();
                if tablet {
                    let (kind, bus) = (InputType::Tablet, Some(InputBus::Usb));
                    domain.devices.inputs.push(Input { kind, bus, ..Input::default() });
                }
                domain.devices.emulator = Some("/usr/lib/xen/bin/qemu-dm".to_owned());
                domain
            },
        )
}

fn action() -> impl Strategy<Value = Option<LifecycleAction>> {
    prop::sample::select(LifecycleAction::ALL).prop_map(Some)
}

fn domain(kind: Kind, format: &'static str) -> impl Strategy<Value = Domain> {
    let hvm = kind == Kind::Hvm;
    let general = (text(), 1..9000_u64, 1..9000_u64, 1..9_u32, 1..9_u32, any::<bool>());
    let actions = (action(), action(), action());
    let devices = (
        proptest::collection::vec(disk(kind, format), 0..4),
        proptest::collection::vec(interface(hvm), 0..3),
        proptest::option::of(graphics()),
        proptest::collection::vec(pci(), 0..3),
    );
    let kernel = (path(), path(), text());
    (general, actions, devices, hardware(), kernel).prop_map(
        move |(general, actions, devices, hardware, kernel)| {
            let (name, a_mib, b_mib, a_cpus, b_cpus, pinned) = general;
            let mut domain = if hvm { hardware } else { Domain::default() };
            domain.virt_type = VirtType::Xen;
            // A name is a file's too.
            domain.name = name.replace(['/', '\n'], "-");
            domain.memory.kib = a_mib.max(b_mib) * 1024;
            domain.current_memory_kib = Some(a_mib.min(b_mib) * 1024);
            domain.vcpu.count = a_cpus.max(b_cpus);
            domain.vcpu.current = (a_cpus != b_cpus).then_some(a_cpus.min(b_cpus));
            domain.vcpu.cpuset = pinned.then(|| NumberSet::from_numbers([0, 1, 2, 7]));
            (domain.on_poweroff, domain.on_reboot, domain.on_crash) = actions;
            domain.os.kind.kind = Some(match kind {
                Kind::Hvm => OsType::Hvm,
                Kind::Pv => OsType::Linux,
                Kind::Pvh => OsType::XenPvh,
            });
            if !hvm {
                let (kernel, initrd, cmdline) = kernel;
                (domain.os.kernel, domain.os.initrd) = (Some(kernel), Some(initrd));
                domain.os.cmdline = Some(cmdline);
                domain.clock.adjustment = Some("reset".to_owned());
            }
            let (disks, interfaces, graphics, hostdevs) = devices;
            for disk in disks {
                let taken = domain.devices.disks.iter().any(|d| d.target.dev == disk.target.dev);
                if !taken {
                    domain.devices.add(Device::Disk(Box::new(disk)));
                }
            }
            domain.devices.interfaces = interfaces;
            domain.devices.graphics.extend(graphics);
            domain.devices.hostdevs = hostdevs;
            domain
        },
    )
}

/// There and back, through the text of a document at both ends.
fn round_trip(host: &Host, format: &str, mut domain: Domain) -> Result<(), TestCaseError> {
    let flags = ParseFlags { inactive: true, ..ParseFlags::default() };
    domain.complete(flags, &host.rules()).expect("a valid domain");
    let print = PrintFlags { inactive: true, secure: true, ..PrintFlags::default() };
    let xml = domain.to_xml(print);
    let native = host.to_native(format, &xml).expect(format);
    let back = host.from_native(format, &native);
    prop_assert_eq!(back, Ok(xml), "{}", native);
    Ok(())
}

fn xend() -> Host {
    Host { toolstack: Toolstack::Xend { config_format: 4 }, ..Host::default() }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn files_of_xm_keep_what_paravirtual_guests_are(domain in domain(Kind::Pv, "xen-xm")) {
        round_trip(&Host::default(), "xen-xm", domain.clone())?;
        round_trip(&xend(), "xen-xm", domain)?;
    }

    #[test]
    fn files_of_xm_keep_what_full_guests_are(domain in domain(Kind::Hvm, "xen-xm")) {
        round_trip(&Host::default(), "xen-xm", domain.clone())?;
        round_trip(&xend(), "xen-xm", domain)?;
    }

    #[test]
    fn files_of_xl_keep_what_paravirtual_guests_are(domain in domain(Kind::Pv, "xen-xl")) {
        round_trip(&Host::default(), "xen-xl", domain)?;
    }

    #[test]
    fn files_of_xl_keep_what_pvh_guests_are(domain in domain(Kind::Pvh, "xen-xl")) {
        round_trip(&Host::default(), "xen-xl", domain)?;
    }

    #[test]
    fn files_of_xl_keep_what_full_guests_are(domain in domain(Kind::Hvm, "xen-xl")) {
        round_trip(&Host::default(), "xen-xl", domain)?;
    }

    #[test]
    fn s_expressions_keep_what_paravirtual_guests_are(domain in domain(Kind::Pv, "xen-sxpr")) {
        round_trip(&xend(), "xen-sxpr", domain)?;
    }

    #[test]
    fn s_expressions_keep_what_full_guests_are(domain in domain(Kind::Hvm, "xen-sxpr")) {
        round_trip(&xend(), "xen-sxpr", domain)?;
    }

    #[test]
    fn any_text_is_read_or_refused(text in "\\PC{0,200}") {
        for format in ["xen-xm", "xen-xl", "xen-sxpr"] {
            let _ = Host::default().from_native(format, &text);
        }
        if let Ok(tree) = Sexpr::parse(&text) {
            prop_assert_eq!(Sexpr::parse(&tree.to_string()), Ok(tree));
        }
    }
}

#[test]
fn values_that_would_become_keys_are_refused() {
    for (from, what) in [
        ("<kernel>/k</kernel>", "<kernel>/k\"\"\"\nbuilder='x\"\"\"</kernel>"),
        ("vda1", "xvda,format=qcow2"),
        ("xenbr0", "xenbr0,backend=other"),
    ] {
        let xml = "<domain type='xen'><name>a</name><memory>1024</memory><os><type>linux</type>\
            <kernel>/k</kernel></os><devices><disk type='block'><source dev='/dev/x'/>\
            <target dev='vda1' bus='xen'/></disk><interface type='bridge'>\
            <source bridge='xenbr0'/></interface></devices></domain>";
        assert!(Host::default().to_native("xen-xl", xml).is_ok());
        assert!(Host::default().to_native("xen-xl", &xml.replace(from, what)).is_err(), "{what}");
    }
}
