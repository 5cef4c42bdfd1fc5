//! What the default world and the worlds of node files consist of.

mod support;

use support::{NodeFile, open, registry};
use virt_error::Code;
use virt_types::api;

#[test]
fn the_node_is_the_one_that_libvirt_describes() {
    let connection = open();
    assert_eq!(connection.connect_get_type().unwrap(), "TEST");
    assert_eq!(connection.connect_get_version().unwrap(), 2);
    assert_eq!(connection.connect_get_max_vcpus(None).unwrap(), 32);
    let info = connection.node_get_info().unwrap();
    assert_eq!(
        (info.model.as_str(), info.memory, info.cpus, info.mhz),
        ("i686", 3_145_728, 16, 1400)
    );
    assert_eq!(connection.node_get_cells_free_memory(0, 9).unwrap(), [2 << 20, 4 << 20]);
    assert_eq!(connection.node_get_free_memory().unwrap(), 3 << 20);
    assert!(connection.node_get_cells_free_memory(2, 1).unwrap_err().is(Code::InvalidArg));
    assert_eq!(connection.node_get_free_pages(&[4, 2048], 0, 2, 0).unwrap(), [7, 21, 19, 45]);
    let map = connection.node_get_cpu_map(1, 1, 0).unwrap();
    assert_eq!((map.cpumap.as_slice(), map.online, map.ret), (&[0b1_0101][..], 3, 8));
    let names = connection.connect_get_cpu_model_names("x86_64", 0).unwrap();
    assert_eq!(names.len(), 150);
    assert!(names.iter().any(|name| name == "Haswell-noTSX-IBRS"));
    let capabilities = connection.connect_get_capabilities().unwrap();
    let tree = virt_xml::parse(&capabilities).unwrap();
    let cells = tree.child("host").unwrap().child("topology").unwrap().child("cells").unwrap();
    let cpus: Vec<usize> = cells
        .children_named("cell")
        .map(|cell| cell.child("cpus").unwrap().elements().count())
        .collect();
    assert_eq!(cpus, [8, 8]);
    assert_eq!(tree.children_named("guest").count(), 2);
}

#[test]
fn the_default_world_has_one_of_everything() {
    let connection = open();
    let names = |list: Vec<String>| list.join(" ");
    assert_eq!(names(connection.connect_list_networks(9).unwrap()), "default");
    assert_eq!(names(connection.connect_list_storage_pools(9).unwrap()), "default-pool");
    assert_eq!(names(connection.connect_list_interfaces(9).unwrap()), "eth1");
    let devices = connection.node_list_devices(None, 9, 0).unwrap();
    assert_eq!(names(devices), "computer scsi_host1 scsi_host11 scsi_host2");
    let with_ports = connection.node_list_devices(Some("vports"), 9, 0).unwrap();
    assert_eq!(names(with_ports), "scsi_host1 scsi_host2");
    assert!(connection.node_list_devices(Some("nosuch"), 9, 0).unwrap().is_empty());
    let refused = connection.connect_num_of_secrets().unwrap_err();
    assert_eq!(
        refused.message(),
        "this function is not supported by the connection driver: virConnectNumOfSecrets"
    );
}

const NAMESPACE: &str = "xmlns:t='http://libvirt.org/schemas/domain/test/1.0'";

fn domain(name: &str, extra: &str) -> String {
    format!(
        "<domain type='test' {NAMESPACE}><name>{name}</name><memory>1024</memory>\
         <os><type>hvm</type></os>{extra}</domain>"
    )
}

#[test]
fn a_node_file_says_what_there_is_and_how_it_runs() {
    let content = format!(
        "<node><cpu><mhz>6000</mhz><model>i986</model><active>50</active><nodes>4</nodes></cpu>\
         <memory>8192000</memory>{}{}<network file='net.xml'/>\
         <pool type='dir'><name>p</name><target><path>/p</path></target>\
         <volume><name>v</name><capacity>5</capacity></volume></pool></node>",
        domain("paused", "<t:runstate>3</t:runstate><t:transient/>"),
        domain("off", "<t:runstate>5</t:runstate><t:hasmanagedsave/>"),
    );
    let file = NodeFile::new("whole", &content);
    std::fs::write(file.0.join("net.xml"), "<network><name>n</name></network>").unwrap();
    let connection = file.open("").unwrap();
    let info = connection.node_get_info().unwrap();
    assert_eq!((info.model.as_str(), info.cpus, info.memory), ("i986", 50, 8_192_000));
    let paused = connection.domain_lookup_by_name("paused").unwrap();
    assert_eq!(connection.domain_get_state(&paused, 0).unwrap().state, api::DOMAIN_PAUSED);
    assert!(!connection.domain_is_persistent(&paused).unwrap());
    let off = connection.domain_lookup_by_name("off").unwrap();
    assert_eq!(off.id, -1);
    assert!(connection.domain_has_managed_save_image(&off, 0).unwrap());
    assert!(!connection.domain_get_xml_desc(&off, 0).unwrap().contains("runstate"));
    assert!(connection.network_lookup_by_name("n").is_ok());
    let pool = connection.storage_pool_lookup_by_name("p").unwrap();
    assert_eq!(connection.storage_pool_get_info(&pool).unwrap().allocation, 5);
    // Another connection gets a world of its own.
    connection.domain_destroy(&paused).unwrap();
    assert!(file.open("").unwrap().domain_lookup_by_name("paused").is_ok());
}

#[test]
fn a_node_file_has_snapshots_and_volumes_that_need_not_fit() {
    let snapshot = |name: &str, inside: &str| {
        format!(
            "<t:domainsnapshot><name>{name}</name><state>shutoff</state>\
             <creationTime>1</creationTime>{inside}</t:domainsnapshot>"
        )
    };
    let parent = "<parent><name>root</name></parent><active>1</active>";
    let both = format!("{}{}", snapshot("child", parent), snapshot("root", ""));
    let volume = "<volume><name>v</name><key>k</key><capacity>1</capacity>\
                  <allocation>200000000000</allocation><target><path>/x/y</path></target></volume>";
    let content = format!(
        "<node>{}<pool type='dir'><name>p</name><target><path>/p</path></target>{volume}</pool></node>",
        domain("a", &both)
    );
    let file = NodeFile::new("moments", &content);
    let connection = file.open("").unwrap();
    let dom = connection.domain_lookup_by_name("a").unwrap();
    let current = connection.domain_snapshot_current(&dom, 0).unwrap();
    assert_eq!(&*current.name, "child");
    assert_eq!(&*connection.domain_snapshot_get_parent(&current, 0).unwrap().name, "root");
    let pool = connection.storage_pool_lookup_by_name("p").unwrap();
    assert!(connection.storage_pool_get_info(&pool).unwrap().available > 1 << 63);
    assert_eq!(connection.storage_vol_lookup_by_path("/x/y").unwrap().key, "k");
    let orphan =
        NodeFile::new("orphan", &format!("<node>{}</node>", domain("a", &snapshot("s", parent))));
    let message = "internal error: Snapshots have inconsistent relations for domain a";
    assert_eq!(orphan.open("").unwrap_err().message(), message);
}

#[test]
fn what_is_wrong_with_a_node_file_is_said() {
    let cases = [
        ("<zz/>".to_owned(), "XML error: expecting root element of 'node', not 'zz'"),
        (
            "<node><cpu><mhz>x</mhz></cpu></node>".to_owned(),
            "XML error: invalid node cpu mhz value",
        ),
        (
            format!("<node>{}</node>", domain("a", "<t:runstate>99</t:runstate>")),
            "XML error: runstate '99' out of range'",
        ),
        (
            format!("<node>{}</node>", domain("a", "<t:transient/><t:runstate>5</t:runstate>")),
            "XML error: transient domain cannot have runstate 'shutoff'",
        ),
    ];
    for (at, (content, message)) in cases.iter().enumerate() {
        let file = NodeFile::new(&format!("bad{at}"), content);
        assert_eq!(file.open("").unwrap_err().message(), *message, "{content}");
    }
    let error = registry().open(Some("test:///no/such/file"), false).unwrap_err();
    assert_eq!(error.message(), "Failed to open file '/no/such/file': No such file or directory");
    let error = registry().open(Some("test:///"), false).unwrap_err();
    assert_eq!(error.message(), "invalid argument: testOpen: supply a path or use test:///default");
}

#[test]
fn users_of_a_node_file_are_let_in_with_their_password_only() {
    let content = "<node><auth><user password='right'>bob</user></auth></node>";
    let file = NodeFile::new("users", content);
    assert!(file.open("").unwrap_err().is(Code::InvalidArg));
    for (password, admitted) in [("right", true), ("wrong", false)] {
        let path = file.0.join(password);
        let text = format!(
            "[credentials-x]\nusername=bob\npassword={password}\n[auth-test-default]\ncredentials=x\n"
        );
        std::fs::write(&path, text).unwrap();
        let opened = file.open(&format!("?authfile={}", path.display()));
        assert_eq!(opened.is_ok(), admitted, "{password}");
    }
}
