//! Networks, pools, volumes, interfaces and node devices come, run and go.

mod support;

use support::{Recorder, open};
use virt_error::Code;
use virt_types::{Event, EventClass, api};

fn pool(name: &str, number: u8) -> String {
    format!(
        "<pool type='dir'><name>{name}</name>\
         <uuid>11111111-aaaa-bbbb-cccc-0000000002{number:02x}</uuid>\
         <target><path>/{name}</path></target></pool>"
    )
}

fn volume(name: &str, bytes: u64) -> String {
    format!("<volume><name>{name}</name><capacity>{bytes}</capacity></volume>")
}

#[test]
fn a_network_runs_stops_and_goes_when_it_is_not_stored() {
    let connection = open();
    let events = Recorder::new(&connection, EventClass::Network, 0);
    let xml = "<network><name>n</name><bridge name='b'/></network>";
    let net = connection.network_create_xml(xml).unwrap();
    let running = connection.network_undefine(&net).unwrap_err();
    assert_eq!(running.message(), "Requested operation is not valid: Network 'n' is still running");
    connection.network_destroy(&net).unwrap();
    let gone = connection.network_lookup_by_name("n").unwrap_err();
    assert_eq!(gone.message(), "Network not found: no network with matching name 'n'");
    let net = connection.network_define_xml(xml).unwrap();
    connection.network_create(&net).unwrap();
    connection.network_destroy(&net).unwrap();
    connection.network_undefine(&net).unwrap();
    let seen: Vec<i32> = events
        .all()
        .iter()
        .map(|event| match event {
            Event::NetworkLifecycle { event, .. } => *event,
            _ => -1,
        })
        .collect();
    assert_eq!(seen, [2, 3, 0, 2, 3, 1]);
}

#[test]
fn a_network_changes_one_entry_at_a_time() {
    let connection = open();
    let net = connection.network_lookup_by_name("default").unwrap();
    let (add_last, delete, hosts) = (3, 2, api::NETWORK_SECTION_IP_DHCP_HOST.cast_unsigned());
    let host = "<host mac='52:54:00:00:00:01' ip='192.168.122.50'/>";
    let update = |command, xml| connection.network_update(&net, command, hosts, -1, xml, 1);
    update(add_last, host).unwrap();
    let twice = update(add_last, host).unwrap_err();
    assert!(twice.is(Code::OperationInvalid), "{twice}");
    assert!(connection.network_get_xml_desc(&net, 0).unwrap().contains("192.168.122.50"));
    update(delete, "<host mac='52:54:00:00:00:01'/>").unwrap();
    assert!(!connection.network_get_xml_desc(&net, 0).unwrap().contains("192.168.122.50"));
    let other = connection.network_update(&net, add_last, 1, -1, "<bridge/>", 1).unwrap_err();
    assert_eq!(
        other.message(),
        "Operation not supported: can't update 'bridge' section of network 'default'"
    );
}

#[test]
fn volumes_take_their_room_from_the_pool() {
    let connection = open();
    let pool = connection.storage_pool_lookup_by_name("default-pool").unwrap();
    let create = |xml: &str| connection.storage_vol_create_xml(&pool, xml, 0);
    let vol = create(&volume("v", 1000)).unwrap();
    assert_eq!(vol.key, "/default-pool/v");
    assert_eq!(connection.storage_pool_get_info(&pool).unwrap().allocation, 1000);
    let taken = create(&volume("v", 1)).unwrap_err();
    assert_eq!(taken.message(), "operation failed: storage vol already exists");
    let large = create(&volume("w", 1 << 60)).unwrap_err();
    assert_eq!(large.message(), "internal error: Not enough free space in pool for volume 'w'");
    assert_eq!(connection.storage_vol_lookup_by_path("/default-pool/v").unwrap(), vol);
    connection.storage_pool_destroy(&pool).unwrap();
    let stopped = connection.storage_vol_get_info(&vol).unwrap_err();
    assert_eq!(
        stopped.message(),
        "Requested operation is not valid: storage pool 'default-pool' is not active"
    );
    connection.storage_pool_create(&pool, 0).unwrap();
    connection.storage_vol_delete(&vol, 0).unwrap();
    assert_eq!(connection.storage_pool_get_info(&pool).unwrap().allocation, 0);
}

#[test]
fn two_pools_cannot_have_one_folder() {
    let connection = open();
    connection.storage_pool_define_xml(&pool("a", 1), 0).unwrap();
    let same = pool("b", 2).replace("<path>/b", "<path>/a");
    let conflict = connection.storage_pool_define_xml(&same, 0).unwrap_err();
    assert_eq!(conflict.message(), "operation failed: Storage source conflict with pool: 'a'");
}

#[test]
fn threads_that_fill_and_empty_a_pool_leave_its_sums_right() {
    const THREADS: usize = 8;
    const ROUNDS: usize = 40;
    let connection = open();
    let pool = connection.storage_pool_lookup_by_name("default-pool").unwrap();
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let (connection, pool) = (connection.clone(), pool.clone());
            scope.spawn(move || {
                for round in 0..ROUNDS {
                    let xml = volume(&format!("{thread}-{round}"), 7);
                    let vol = connection.storage_vol_create_xml(&pool, &xml, 0).unwrap();
                    if round % 2 == 0 {
                        connection.storage_vol_delete(&vol, 0).unwrap();
                    }
                }
            });
        }
    });
    let left = THREADS * ROUNDS / 2;
    let volumes = connection.storage_pool_list_all_volumes(&pool, 0).unwrap();
    assert_eq!(volumes.len(), left);
    let info = connection.storage_pool_get_info(&pool).unwrap();
    assert_eq!(info.allocation, 7 * left as u64);
    assert_eq!(info.available, info.capacity - info.allocation);
}

#[test]
fn changes_of_interfaces_can_be_taken_back() {
    let connection = open();
    let eth1 = connection.interface_lookup_by_name("eth1").unwrap();
    assert_eq!(eth1.mac, "aa:bb:cc:dd:ee:ff");
    connection.interface_change_begin(0).unwrap();
    connection.interface_undefine(&eth1).unwrap();
    let xml = "<interface type='ethernet' name='eth9'/>";
    let eth9 = connection.interface_define_xml(xml, 0).unwrap();
    assert!(!connection.interface_is_active(&eth9).unwrap());
    connection.interface_change_rollback(0).unwrap();
    assert!(connection.interface_is_active(&eth1).unwrap());
    assert!(connection.interface_lookup_by_name("eth9").unwrap_err().is(Code::NoInterface));
    let idle = connection.interface_change_commit(0).unwrap_err();
    assert_eq!(
        idle.message(),
        "Requested operation is not valid: no transaction running, nothing to be committed."
    );
}

#[test]
fn a_virtual_host_needs_a_parent_that_takes_it() {
    let connection = open();
    let events = Recorder::new(&connection, EventClass::NodeDevice, 0);
    let xml = |parent: &str| {
        format!(
            "<device><parent>{parent}</parent><capability type='scsi_host'>\
             <capability type='fc_host'><wwnn>2000000098769876</wwnn>\
             <wwpn>1000000098769876</wwpn></capability></capability></device>"
        )
    };
    let create = |parent| connection.node_device_create_xml(&xml(parent), 0);
    assert_eq!(
        create("computer").unwrap_err().message(),
        "internal error: Parent device computer is not capable of vport operations"
    );
    let device = create("scsi_host1").unwrap();
    assert_eq!(&*device.name, "scsi_host12");
    let text = connection.node_device_get_xml_desc(&device.name, 0).unwrap();
    assert!(text.contains("<wwpn>1000000098769876</wwpn>"), "{text}");
    connection.node_device_destroy(&device.name).unwrap();
    assert!(connection.node_device_lookup_by_name("scsi_host12").is_err());
    assert_eq!(events.all().len(), 2);
}

/// Compat: what a volume's document says does not depend on its pool, its format and its kind do.
#[test]
fn volumes_of_every_kind_of_pool_look_as_libvirts_do() {
    let connection = open();
    let source = "<source><host name='h'/><device path='/dev/x'/><name>vg</name></source>";
    for (kind, format, number) in [
        ("dir", Some("raw"), 0),
        ("disk", Some("none"), 1),
        ("logical", None, 1),
        ("rbd", Some("raw"), 3),
    ] {
        let xml = format!(
            "<pool type='{kind}'><name>{kind}</name>{source}<target><path>/p</path></target></pool>"
        );
        let pool = connection.storage_pool_create_xml(&xml, 0).unwrap();
        let xml = "<volume><name>v</name><capacity>1</capacity></volume>";
        let volume = connection.storage_vol_create_xml(&pool, xml, 0).unwrap();
        let said = connection.storage_vol_get_xml_desc(&volume, 0).unwrap();
        assert!(said.starts_with("<volume type='file'>"), "{said}");
        let wanted = format.map(|format| format!("<format type='{format}'/>"));
        assert_eq!(said.contains("<format"), wanted.is_some(), "{said}");
        assert!(said.contains(&wanted.unwrap_or_default()), "{said}");
        assert_eq!(connection.storage_vol_get_info(&volume).unwrap().kind, number, "{kind}");
    }
}
