//! Whatever the model can hold survives printing and reading; broken documents are refused, never fatal.

use proptest::prelude::*;
use virt_model::domain::address::{Address, Drive, Pci};
use virt_model::domain::chardev::{ChardevSource, ChardevType, Serial, SocketMode};
use virt_model::domain::disk::{Disk, DiskBus, DiskDevice, DiskType};
use virt_model::domain::graphics::{Graphics, GraphicsType, Ports};
use virt_model::domain::interface::{Interface, InterfaceSource, InterfaceType, MacAddress};
use virt_model::domain::source::StorageSource;
use virt_model::domain::{Device, DeviceInfo, Domain, LifecycleAction, VirtType};
use virt_model::network::{Dhcp, DhcpHost, DhcpRange, Network, NetworkIp};
use virt_model::{Document, Mac, NumberSet, ParseFlags, PrintFlags, Text, YesNo};

/// Text that XML can hold and libvirt does not trim away.
fn text() -> impl Strategy<Value = String> {
    "[ -~ßü€]{1,16}".prop_filter("not blank", |text| !text.trim().is_empty())
}

fn address() -> impl Strategy<Value = Address> {
    prop_oneof![
        Just(Address::None),
        (0..4_u32, 0..256_u32, 0..32_u32, 0..8_u32).prop_map(|(domain, bus, slot, function)| {
            Address::Pci(Pci { domain, bus, slot, function, ..Pci::default() })
        }),
        (any::<u32>(), 0..3_u32, 0..9_u32).prop_map(|(controller, bus, unit)| Address::Drive(
            Drive { controller, bus, unit, ..Drive::default() }
        )),
    ]
}

fn info() -> impl Strategy<Value = DeviceInfo> {
    (address(), proptest::option::of("ua-[a-z0-9]{1,8}")).prop_map(|(address, alias)| DeviceInfo {
        address,
        alias,
        ..DeviceInfo::default()
    })
}

fn disk() -> impl Strategy<Value = Disk> {
    let word = prop::sample::select(DiskBus::ALL);
    let device = prop::sample::select(DiskDevice::ALL);
    (
        text(),
        "[a-z]{2}[a-z0-9]{1,3}",
        word,
        device,
        any::<bool>(),
        info(),
        proptest::option::of(text()),
    )
        .prop_map(|(path, dev, bus, device, readonly, info, serial)| {
            let mut disk =
                Disk { kind: DiskType::File, device, readonly, info, serial, ..Disk::default() };
            let kind = DiskType::File;
            disk.source =
                Some(StorageSource { kind, path: Some(path), ..StorageSource::default() });
            disk.target.dev = dev;
            disk.target.bus = Some(bus);
            disk
        })
}

fn interface() -> impl Strategy<Value = Interface> {
    (any::<[u8; 5]>(), text(), info()).prop_map(|([a, b, c, d, e], network, info)| {
        let mac = MacAddress { address: Mac([0x52, a, b, c, d, e]), ..MacAddress::default() };
        let source = InterfaceSource { network: Some(network), ..InterfaceSource::default() };
        let kind = InterfaceType::Network;
        Interface { kind, mac: Some(mac), source: Some(source), info, ..Interface::default() }
    })
}

fn serial() -> impl Strategy<Value = Serial> {
    (prop::sample::select(ChardevType::ALL), text(), any::<bool>()).prop_map(
        |(kind, path, bind)| {
            let mut source = ChardevSource { kind, ..ChardevSource::default() };
            match kind {
                ChardevType::File | ChardevType::Dev | ChardevType::Pipe => {
                    source.path = Some(path)
                }
                ChardevType::Unix => {
                    source.path = Some(path);
                    source.mode = Some(if bind { SocketMode::Bind } else { SocketMode::Connect });
                }
                ChardevType::Tcp => {
                    (source.host, source.service) = (Some(path), Some("1".to_owned()));
                    source.mode = Some(SocketMode::Connect);
                    source.protocol = Some(Default::default());
                }
                ChardevType::Udp => source.service = Some(path),
                ChardevType::SpicePort | ChardevType::Dbus => source.channel = Some(path),
                _ => {}
            }
            Serial { source, ..Serial::default() }
        },
    )
}

prop_compose! {
    fn domain()(
        name in text(), title in proptest::option::of("[a-z ]{1,9}x"), uuid in any::<[u8; 16]>(),
        kib in 1..u64::MAX / 1024, count in 1..9999_u32,
        cpus in proptest::option::of(prop::collection::btree_set(0..64_usize, 1..8)),
        disks in prop::collection::vec(disk(), 0..4),
        interfaces in prop::collection::vec(interface(), 0..3),
        serials in prop::collection::vec(serial(), 0..3),
        action in prop::sample::select(LifecycleAction::ALL),
        passwd in proptest::option::of(text()),
    ) -> Domain {
        let mut domain = Domain { virt_type: VirtType::Kvm, name, title, ..Domain::default() };
        domain.uuid = Some(virt_types::Uuid(uuid));
        domain.memory.kib = kib;
        domain.current_memory_kib = Some(kib / 2);
        domain.vcpu.count = count;
        domain.vcpu.cpuset = cpus.map(NumberSet::from_numbers);
        domain.on_crash = Some(action);
        domain.devices.disks = disks;
        domain.devices.interfaces = interfaces;
        domain.devices.serials = serials;
        let ports = Ports { port: Some(5900), autoport: Some(YesNo::No), ..Ports::default() };
        domain.devices.graphics = vec![Graphics { kind: GraphicsType::Vnc, ports, passwd, ..Graphics::default() }];
        domain
    }
}

const SECURE: PrintFlags =
    PrintFlags { secure: true, inactive: true, update_cpu: false, migratable: false, status: true };
const INACTIVE: ParseFlags = ParseFlags {
    inactive: true,
    validate: false,
    abi_update: false,
    skip_post_parse: true,
    status: true,
};

proptest! {
    #[test]
    fn a_domain_survives(domain in domain()) {
        let printed = domain.to_xml(SECURE);
        let read = Domain::parse(&printed, INACTIVE).expect("what we print can be read");
        prop_assert_eq!(&read, &domain);
        prop_assert_eq!(read.to_xml(SECURE), printed);
    }

    #[test]
    fn passwords_are_printed_only_on_request(domain in domain()) {
        let open = domain.to_xml(PrintFlags { inactive: true, ..PrintFlags::default() });
        prop_assert!(!open.contains("passwd"));
    }

    #[test]
    fn a_network_survives(hosts in prop::collection::vec(("[a-z0-9][ -~ß]{0,9}x", any::<[u8; 4]>()), 0..5), bytes in any::<[u8; 16]>()) {
        let address = |[a, b, c, d]: [u8; 4]| format!("{a}.{b}.{c}.{d}");
        let dhcp = Dhcp {
            ranges: vec![DhcpRange { start: "10.0.0.2".into(), end: "10.0.0.9".into(), lease: None }],
            hosts: hosts.into_iter().map(|(name, ip)| DhcpHost {
                name: Some(name), ip: Some(address(ip)), ..DhcpHost::default()
            }).collect(),
            bootp: None,
        };
        let mut network = Network { name: "n".into(), uuid: Some(virt_types::Uuid(bytes)), ..Network::default() };
        network.bridge = Some(Default::default());
        let ip = NetworkIp { address: Some("10.0.0.1".into()), prefix: Some(8), dhcp: Some(dhcp), ..NetworkIp::default() };
        network.ips = vec![ip];
        let printed = network.to_xml(PrintFlags::default());
        let read = Network::parse(&printed, ParseFlags::default()).expect("what we print can be read");
        prop_assert_eq!(read, network);
    }

    #[test]
    fn sets_of_numbers_survive(numbers in prop::collection::btree_set(0..500_usize, 1..40)) {
        let set = NumberSet::from_numbers(numbers.iter().copied());
        let read = NumberSet::parse(&set.print()).expect("a set");
        prop_assert_eq!(read.iter().collect::<Vec<_>>(), numbers.into_iter().collect::<Vec<_>>());
    }

    #[test]
    fn a_cut_document_is_refused_or_read(domain in domain(), cut in 0.0..1.0_f64, junk in "[<>'/a-z0-9-]{0,6}") {
        let printed = domain.to_xml(SECURE);
        let wanted = (printed.len() as f64 * cut) as usize;
        let at = (0..=wanted).rev().find(|at| printed.is_char_boundary(*at)).unwrap_or(0);
        let (head, tail) = printed.split_at(at);
        let _ = Domain::parse(&format!("{head}{junk}{tail}"), INACTIVE);
        let _ = Domain::parse(head, INACTIVE);
    }
}

#[test]
fn a_device_alone_goes_in_and_out() {
    struct Nothing;
    impl virt_model::domain::DomainRules for Nothing {
        fn guest(&self, _: &mut Domain) -> virt_error::Result<()> {
            Ok(())
        }
    }
    let xml = "<disk><source file='/x'/><target dev='vdb'/><alias name='ua-data'/></disk>";
    let device = Device::parse(xml, VirtType::Test, INACTIVE, &Nothing).expect("a disk");
    assert_eq!(device.tag(), "disk");
    let printed = device.to_xml(SECURE);
    assert!(
        printed.starts_with("<disk type='file' device='disk'>\n  <source file='/x'/>\n"),
        "{printed}"
    );
    let mut domain = Domain::default();
    domain.devices.add(device.clone());
    assert_eq!(domain.devices.disks.len(), 1);
    assert_eq!(domain.devices.remove_alias("ua-data"), Some(device));
    assert_eq!(domain.devices.disks.len(), 0);
    let error =
        Device::parse("<nosuch/>", VirtType::Test, INACTIVE, &Nothing).expect_err("no such device");
    assert_eq!(error.message(), "unsupported configuration: unknown device type 'nosuch'");
}
