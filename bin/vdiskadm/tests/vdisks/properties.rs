//! Properties and the counts of users.

use std::os::unix::fs::MetadataExt;
use std::process::Child;

use crate::tool::Tool;

#[test]
fn all_properties_come_in_the_order_of_the_guide() {
    let tool = Tool::new();
    tool.ok("create -s 8g -t vmdk:fixed root_disk_fix");
    let all = tool.ok("prop-get -p all root_disk_fix");
    let names: Vec<&str> = all.lines().map(|line| line.split_once(": ").unwrap().0).collect();
    assert_eq!(
        names.join(" "),
        "readonly removable cdrom creation-time-epoch vtype sparse rwcnt rocnt name version parent \
         filename vdfile owner max-size sectors description effective-size creation-time \
         modification-time modification-time-epoch"
    );
    let descriptor = tool.size_bytes("root_disk_fix/vdisk.vmdk");
    assert!(all.contains(&format!("\neffective-size: {}\n", 8_589_934_592 + descriptor)));
    for line in ["readonly: false", "max-size: 8589934592", "sectors: 16777216", "parent: none"] {
        assert!(all.lines().any(|found| found == line), "{line}");
    }
    let flat = std::fs::metadata(tool.path("root_disk_fix/vdisk-flat.vmdk")).unwrap();
    assert!(all.ends_with(&format!("modification-time-epoch: {}\n", flat.mtime())), "{all}");
}

#[test]
fn times_are_shown_as_a_number_and_as_c_libraries_write_them() {
    let tool = Tool::new();
    tool.ok("create -s 1m d");
    let text = tool.text("d/vdisk.xml");
    let created = text.split_once("creation-time-epoch=\"").unwrap().1.split_once('"').unwrap().0;
    let text = text.replace(created, "1241821124");
    std::fs::write(tool.path("d/vdisk.xml"), text).unwrap();
    assert_eq!(tool.ok("prop-get -p creation-time-epoch d"), "creation-time-epoch: 1241821124\n");
    assert_eq!(tool.ok("prop-get -p creation-time d"), "creation-time: Fri May  8 22:18:44 2009\n");
}

#[test]
fn one_property_is_a_bare_value_and_json_is_an_object() {
    let tool = Tool::new();
    tool.ok("create -s 2m d");
    assert_eq!(tool.ok("prop-get -p max-size d"), "2097152\n");
    assert_eq!(tool.ok("prop-get -l -p max-size d"), "2097152\tro\n");
    assert_eq!(tool.ok("prop-get -l -p description d"), "none\trw\n");
    assert_eq!(tool.ok("prop-get --output json -p vtype d"), "{\"vtype\":\"vmdk\"}\n");
    let json = tool.ok("list --output json d");
    assert!(json.contains("\"name\":\"d\"") && json.contains("d/vdisk.vmdk"), "{json}");
    assert!(tool.ok("verify --output json d").contains("\"ok\":true"));
    let outcome = tool.run("verify --output json nosuch");
    assert!(outcome.stdout.contains("\"ok\":false") && outcome.code == Some(255));
    tool.fails("prop-get -p nosuch d");
    tool.fails("prop-get -p all --output yaml d");
}

#[test]
fn the_value_is_what_follows_the_last_equals_sign() {
    let tool = Tool::new();
    tool.ok("create -s 2m d");
    tool.ok("prop-set -p description=words d");
    assert_eq!(tool.ok("prop-get -p description d"), "words\n");
    for line in [
        "prop-set -p description=a=b d",
        "prop-set -p max-size=1 d",
        "prop-set -p nosuch=1 d",
        "prop-set -p rwcnt=1 d",
        "prop-set -p owner=nobody-of-that-name d",
        "prop-set -p description d",
        "prop-add -p colour=green d",
        "prop-del -p description d",
        "prop-del -p user:colour d",
    ] {
        tool.fails(line);
    }
    tool.ok("prop-add -p user:colour=green d");
    tool.fails("prop-add -p user:colour=red d");
    tool.ok("prop-set -p user:colour=blue d");
    assert_eq!(tool.ok("prop-get -p user:colour d"), "blue\n");
    assert!(tool.text("d/vdisk.xml").contains(
        "    <userprop>\n      <name>user:colour</name>\n      <value>blue</value>\n    </userprop>\n"
    ));
    tool.ok("prop-del -p user:colour d");
    tool.fails("prop-get -p user:colour d");
}

#[test]
fn one_writer_or_many_readers() {
    let tool = Tool::new();
    tool.ok("create -s 1m d");
    let counts = || {
        let get = |name| tool.ok(&format!("prop-get -p {name} d")).trim().to_owned();
        format!("{} {}", get("rwcnt"), get("rocnt"))
    };
    tool.fails("ref-dec d");
    tool.ok("ref-inc d");
    assert_eq!(counts(), "1 0");
    tool.fails("ref-inc d");
    tool.fails("ref-inc -r d");
    tool.ok("prop-set -p rwcnt=0 d");
    tool.ok("ref-inc -r d");
    tool.ok("ref-inc -r d");
    assert_eq!(counts(), "0 2");
    tool.fails("ref-inc -w d");
    tool.ok("ref-dec d");
    assert_eq!(counts(), "0 1");
}

#[test]
fn of_many_writers_at_once_one_wins_and_no_reader_is_lost() {
    let tool = Tool::new();
    tool.ok("create -s 1m d");
    let all = |line: &str| -> usize {
        let children: Vec<Child> = (0..16)
            .map(|_| {
                let mut command = tool.command(line);
                command.stderr(std::process::Stdio::null()).spawn().unwrap()
            })
            .collect();
        children
            .into_iter()
            .filter_map(|mut child| child.wait().ok())
            .filter(|s| s.success())
            .count()
    };
    assert_eq!(all("ref-inc d"), 1);
    tool.ok("ref-dec d");
    assert_eq!(all("ref-inc -r d"), 16);
    assert_eq!(tool.ok("prop-get -p rocnt d"), "16\n");
    assert_eq!(all("ref-dec d"), 16);
}

#[test]
fn a_lock_left_by_a_killed_process_holds_nobody_up() {
    let tool = Tool::new();
    tool.ok("create -s 1m d");
    tool.scratch.write("d/vdisk.lock", "");
    tool.ok("ref-inc d");
    assert_eq!(tool.names("d"), ["vdisk.vmdk", "vdisk.xml"]);
}

#[test]
fn an_owner_is_given_everything() {
    let tool = Tool::new();
    tool.ok("create -s 1m -t vmdk:fixed d");
    tool.ok("snapshot d@s");
    if std::fs::metadata(tool.path("d")).unwrap().uid() != 0 {
        test_support::skipped("only root gives files away");
        return;
    }
    tool.ok("prop-set -p owner=nobody d");
    let uid = std::fs::metadata(tool.path("d")).unwrap().uid();
    assert_ne!(uid, 0);
    let all_are = |uid: u32| {
        for name in tool.names("d") {
            assert_eq!(std::fs::metadata(tool.path(&format!("d/{name}"))).unwrap().uid(), uid);
        }
    };
    all_are(uid);
    // What root does to it later stays with its owner.
    tool.ok("snapshot d@t");
    tool.ok("destroy d@s");
    all_are(uid);
    tool.ok("clone d mine");
    assert_eq!(tool.ok("prop-get -p owner mine"), "root\n");
    std::fs::set_permissions(
        tool.scratch.path(),
        std::os::unix::fs::PermissionsExt::from_mode(0o777),
    )
    .unwrap();
    tool.ok("-u nobody create -s 1m theirs");
    assert_eq!(tool.ok("prop-get -p owner theirs"), "nobody\n");
    assert_eq!(std::fs::metadata(tool.path("theirs")).unwrap().uid(), uid);
}
