//! A domain's life, on every release.

use virt_driver::Connection;
use virt_error::Code;
use virt_types::{DomainRef, TypedParam, api};

use super::sim::{LONG, PROFILES, Sim, Way, full, paravirtual};
use test_support::{or_skip, wait_until};

fn state(connection: &Connection, dom: &DomainRef) -> i32 {
    connection.domain_get_state(dom, 0).map_or(-1, |state| state.state)
}

fn is_up(connection: &Connection, dom: &DomainRef) -> bool {
    [api::DOMAIN_RUNNING, api::DOMAIN_BLOCKED].contains(&state(connection, dom))
}

fn names(connection: &Connection, flags: u32) -> Vec<String> {
    let all = connection.connect_list_all_domains(flags).expect("a list");
    all.iter().map(|dom| dom.name.to_string()).collect()
}

/// Define, look, start, suspend, change, shut down, forget.
fn live(connection: &Connection, profile: &str) {
    let defined = connection.domain_define_xml(&paravirtual("web1", ""));
    let dom = defined.unwrap_or_else(|error| panic!("{profile}: {error}"));
    assert_eq!(names(connection, 0), ["Domain-0", "web1"], "{profile}");
    assert_eq!(names(connection, api::CONNECT_LIST_DOMAINS_INACTIVE), ["web1"], "{profile}");
    let dom = connection.domain_lookup_by_uuid(&dom.uuid).expect("by uuid");
    assert_eq!((dom.id, state(connection, &dom)), (-1, api::DOMAIN_SHUTOFF), "{profile}");

    let started = connection.domain_create_with_flags(&dom, 0);
    let started = started.unwrap_or_else(|error| panic!("{profile}: {error}"));
    assert!(started.id > 0 && is_up(connection, &dom), "{profile}");
    assert_eq!(connection.domain_lookup_by_id(started.id).expect("by id").name, dom.name);
    let again = connection.domain_create_with_flags(&dom, 0).expect_err("it runs");
    assert!(again.is(Code::OperationInvalid), "{profile}: {again:?}");
    let info = connection.domain_get_info(&dom).expect("info");
    assert_eq!((info.max_mem, info.memory), (256 << 10, 128 << 10), "{profile}");

    connection.domain_suspend(&dom).expect("it can be paused");
    assert_eq!(state(connection, &dom), api::DOMAIN_PAUSED, "{profile}");
    // Some releases leave paused domains out of their lists.
    let running = api::CONNECT_LIST_DOMAINS_ACTIVE;
    assert_eq!(names(connection, running), ["Domain-0", "web1"], "{profile}");
    connection.domain_resume(&dom).expect("it goes on");
    assert!(is_up(connection, &dom), "{profile}");

    let xml = connection.domain_get_xml_desc(&dom, 0).expect("a document");
    for part in [
        &format!("id='{}'", started.id),
        "/srv/web1.img",
        "<source bridge='xenbr0'/>",
        "<cmdline>root=/dev/xvda",
        "<on_crash>preserve</on_crash>",
    ] {
        assert!(xml.contains(part), "{profile}: no {part} in {xml}");
    }
    tune(connection, &dom, profile);
    plug(connection, &dom, profile);
    connection.domain_shutdown(&dom).expect("it is asked to go");
    let gone = wait_until(LONG, || state(connection, &dom) == api::DOMAIN_SHUTOFF);
    assert!(gone, "{profile}: {}", state(connection, &dom));
    assert_eq!(names(connection, 0), ["Domain-0", "web1"], "{profile}");
    connection.domain_undefine(&dom).expect("it is forgotten");
    assert_eq!(names(connection, 0), ["Domain-0"], "{profile}");
    let unknown = connection.domain_lookup_by_name("web1").expect_err("it is gone");
    assert!(unknown.is(Code::NoDomain), "{profile}: {unknown:?}");
}

fn tune(connection: &Connection, dom: &DomainRef, profile: &str) {
    connection.domain_set_memory(dom, 192 << 10).expect("more memory");
    assert_eq!(connection.domain_get_info(dom).expect("info").memory, 192 << 10, "{profile}");
    let much = connection.domain_set_memory(dom, 512 << 10).expect_err("more than its maximum");
    assert!(much.is(Code::InvalidArg), "{profile}: {much:?}");
    connection.domain_set_vcpus(dom, 2).expect("another processor");
    assert_eq!(connection.domain_get_vcpus_flags(dom, 0), Ok(2), "{profile}");
    let vcpus = connection.domain_get_vcpus(dom, 8, 1).expect("processors");
    assert_eq!((vcpus.info.len(), vcpus.cpumaps), (2, vec![0b1111; 2]), "{profile}");
    connection.domain_pin_vcpu(dom, 1, &[0b0100]).expect("it is pinned");
    let pinned = connection.domain_get_vcpu_pin_info(dom, 8, 1, 0).expect("pins");
    assert_eq!(pinned.cpumaps, [0b1111, 0b0100], "{profile}");
    if ["3.0.1", "3.0.2"].contains(&profile) {
        let none = connection.domain_get_scheduler_type(dom).expect_err("it has none to tell of");
        assert!(none.is(Code::OperationUnsupported), "{profile}: {none:?}");
        return;
    }
    let kind = connection.domain_get_scheduler_type(dom).expect("a scheduler");
    assert_eq!((kind.kind.as_str(), kind.nparams), ("credit", 2), "{profile}");
    let weight = [TypedParam::new("weight", 500_u32)];
    connection.domain_set_scheduler_parameters(dom, &weight).expect("another share");
    let params = connection.domain_get_scheduler_parameters(dom).expect("its share");
    let wanted = [TypedParam::new("weight", 500_u32), TypedParam::new("cap", 0_u32)];
    assert_eq!(params, wanted, "{profile}");
}

fn plug(connection: &Connection, dom: &DomainRef, profile: &str) {
    let has =
        |part: &str| connection.domain_get_xml_desc(dom, 0).is_ok_and(|xml| xml.contains(part));
    let disk = "<disk type='file'><driver name='file'/><source file='/srv/more.img'/>\
                <target dev='xvdb' bus='xen'/></disk>";
    connection.domain_attach_device(dom, disk).unwrap_or_else(|error| panic!("{profile}: {error}"));
    assert!(has("/srv/more.img"), "{profile}");
    let twice = connection.domain_attach_device(dom, disk).expect_err("it is there");
    assert!(twice.is(Code::InvalidArg), "{profile}: {twice:?}");
    connection.domain_detach_device(dom, disk).expect("it goes");
    assert!(!has("/srv/more.img"), "{profile}");
    let second = "<interface type='bridge'><mac address='00:16:3e:00:00:02'/>\
                  <source bridge='xenbr1'/></interface>";
    connection.domain_attach_device(dom, second).expect("an interface");
    assert!(has("xenbr1"), "{profile}");
    connection.domain_detach_device(dom, second).expect("it goes");
    assert!(!has("xenbr1") && has("xenbr0"), "{profile}");
}

#[test]
fn domains_live_on_every_release() {
    for profile in PROFILES {
        let sim = Sim::start(profile, &[]);
        live(&sim.connect(Way::Unix), profile);
    }
}

#[test]
fn full_guests_live_on_every_release() {
    for profile in PROFILES {
        let sim = Sim::start(profile, &[]);
        let connection = sim.connect(Way::Unix);
        let dom = connection.domain_define_xml(&full("win"));
        let dom = dom.unwrap_or_else(|error| panic!("{profile}: {error}"));
        let started = connection.domain_create_with_flags(&dom, 0);
        let started = started.unwrap_or_else(|error| panic!("{profile}: {error}"));
        assert!(started.id > 0 && is_up(&connection, &dom), "{profile}");
        assert_eq!(connection.domain_get_os_type(&dom).as_deref(), Ok("hvm"), "{profile}");
        let xml = connection.domain_get_xml_desc(&dom, 0).expect("a document");
        for part in
            ["hvmloader", "<boot dev='hd'/>", "/srv/win.img", "/srv/a.iso", "<graphics type='vnc'"]
        {
            assert!(xml.contains(part), "{profile}: no {part} in {xml}");
        }
        connection.domain_suspend(&dom).expect("it can be paused");
        assert_eq!(state(&connection, &dom), api::DOMAIN_PAUSED, "{profile}");
        connection.domain_resume(&dom).expect("it goes on");
        connection.domain_reboot(&dom, 0).expect("it is asked");
        let id = || connection.domain_lookup_by_uuid(&dom.uuid).map_or(-1, |dom| dom.id);
        assert!(wait_until(LONG, || id() > started.id), "{profile}: {}", id());
        connection.domain_shutdown(&dom).expect("it is asked");
        let gone = wait_until(LONG, || state(&connection, &dom) == api::DOMAIN_SHUTOFF);
        assert!(gone, "{profile}: {}", state(&connection, &dom));
        connection.domain_undefine(&dom).expect("it is forgotten");
    }
}

#[test]
fn changes_by_xm_are_kept_as_ours_are() {
    for profile in ["3.0.4", "3.1", "4.4"] {
        let sim = Sim::start(profile, &[]);
        let connection = sim.connect(Way::Unix);
        let dom = connection.domain_define_xml(&paravirtual("a", "")).expect("it is defined");
        connection.domain_create(&dom).expect("it starts");
        let xm = crate::xend::Xend::new(crate::xend::Place::Unix(sim.dir.join("xend")));
        xm.act("a", "mem_target_set", &[("target", "192")]).expect("xm mem-set");
        xm.act("a", "set_vcpus", &[("vcpus", "2")]).expect("xm vcpu-set");
        assert_eq!(connection.domain_get_info(&dom).expect("info").memory, 192 << 10, "{profile}");
        connection.domain_destroy(&dom).expect("it ends");
        connection.domain_create(&dom).expect("it starts again");
        let info = connection.domain_get_info(&dom).expect("info");
        assert_eq!((info.memory, info.nr_virt_cpu), (192 << 10, 2), "{profile}");
        drop(connection);
        let other = sim.connect(Way::Unix);
        assert_eq!(other.domain_get_info(&dom).expect("info").memory, 192 << 10, "{profile}");
    }
}

#[test]
fn many_more_are_defined_than_run() {
    let sim = Sim::start("3.0.2", &[]);
    let connection = sim.connect(Way::Unix);
    for at in 0..1000 {
        let text = format!("name = 'g{at}'\nkernel = '/boot/k'\nmemory = 16\n");
        std::fs::write(sim.xm_dir().join(format!("g{at}")), text).expect("a file");
    }
    let began = std::time::Instant::now();
    assert_eq!(names(&connection, api::CONNECT_LIST_DOMAINS_INACTIVE).len(), 1000);
    let first = began.elapsed();
    for at in [0, 250, 500, 750, 999] {
        let dom = connection.domain_lookup_by_name(&format!("g{at}")).expect("it is there");
        connection.domain_create(&dom).expect("it starts");
    }
    assert_eq!(names(&connection, api::CONNECT_LIST_DOMAINS_ACTIVE).len(), 6);
    let began = std::time::Instant::now();
    assert_eq!(names(&connection, 0).len(), 1001);
    eprintln!("1000 files listed in {first:?}, again in {:?}", began.elapsed());
    assert_eq!(names(&connection, api::CONNECT_LIST_DOMAINS_INACTIVE).len(), 995);
}

/// The founding page's documents, as they are printed there.
#[test]
fn the_founding_pages_examples_are_defined_and_start() {
    let page = or_skip!(test_support::shared("founding-documents/002_3c1c7bfdd50aeca4.txt"));
    let page = std::fs::read_to_string(page).expect("the page is text");
    let page = page.replace("&lt;", "<").replace("&gt;", ">");
    for profile in ["3.1", "3.2", "4.1"] {
        let sim = Sim::start(profile, &[]);
        let connection = sim.connect(Way::Unix);
        let mut kinds = Vec::new();
        for text in page.split("<domain type='xen' ").skip(1) {
            let (text, _) = text.split_once("</domain>").expect("an end");
            let xml = format!("<domain type='xen' {text}</domain>");
            let full = xml.contains("hvmloader");
            let installs = xml.contains("<kernel>");
            let dom = match connection.domain_define_xml(&xml) {
                Ok(dom) => dom,
                Err(error) if profile == "3.1" && full && installs => {
                    assert!(error.message().contains("from 3.2 on"), "{error}");
                    continue;
                }
                Err(error) => panic!("{profile}: {error}: {xml}"),
            };
            connection.domain_create(&dom).unwrap_or_else(|error| panic!("{profile}: {error}"));
            assert!(is_up(&connection, &dom), "{profile}");
            let live = connection.domain_get_xml_desc(&dom, 0).expect("a document");
            let script = if full { "vif-bridge" } else { "/etc/xen/scripts/vif-bridge" };
            assert!(live.contains(&format!("<script path='{script}'/>")), "{profile}: {live}");
            assert_eq!(live.contains("<kernel>"), installs, "{profile}: {live}");
            connection.domain_destroy(&dom).expect("it ends");
            connection.domain_undefine(&dom).expect("it is forgotten");
            kinds.push((full, installs));
        }
        kinds.sort_unstable();
        let all = [(false, false), (false, true), (true, false), (true, true)];
        assert_eq!(kinds, all[..if profile == "3.1" { 3 } else { 4 }], "{profile}");
    }
}

#[test]
fn domains_live_over_tcp_without_xenstore() {
    for profile in ["3.0.2", "3.1", "4.1"] {
        let sim = Sim::start(profile, &[]);
        live(&sim.connect(Way::TcpAlone), profile);
    }
}

#[test]
fn guests_are_saved_restored_and_dumped() {
    for profile in PROFILES {
        let sim = Sim::start(profile, &[]);
        let connection = sim.connect(Way::Unix);
        let dom = connection.domain_define_xml(&paravirtual("db", "")).expect("it is defined");
        connection.domain_create(&dom).expect("it starts");
        let file = sim.dir.join("db.save").display().to_string();
        connection.domain_save(&dom, &file).unwrap_or_else(|error| panic!("{profile}: {error}"));
        assert_eq!(state(&connection, &dom), api::DOMAIN_SHUTOFF, "{profile}");
        let saved = connection.domain_save_image_get_xml_desc(&file, 0).expect("what was saved");
        assert!(saved.contains("/srv/db.img"), "{profile}: {saved}");
        connection.domain_restore(&file).expect("it comes back");
        assert!(is_up(&connection, &dom), "{profile}");
        let twice = connection.domain_restore(&file).expect_err("it runs");
        assert!(twice.is(Code::OperationInvalid), "{profile}: {twice:?}");

        connection.domain_managed_save(&dom, 0).expect("it is put aside");
        assert_eq!(connection.domain_has_managed_save_image(&dom, 0), Ok(true), "{profile}");
        let kept = connection.domain_undefine(&dom).expect_err("an image is there");
        assert!(kept.is(Code::OperationInvalid), "{profile}: {kept:?}");
        connection.domain_create(&dom).expect("it comes back");
        assert_eq!(connection.domain_has_managed_save_image(&dom, 0), Ok(false), "{profile}");
        assert!(is_up(&connection, &dom), "{profile}");

        let core = sim.dir.join("core").display().to_string();
        let dumped = connection.domain_core_dump(&dom, &core, api::DUMP_CRASH);
        if ["3.0.1", "3.0.2", "3.0.3"].contains(profile) {
            assert!(dumped.is_err_and(|error| error.is(Code::OperationUnsupported)), "{profile}");
        } else {
            dumped.unwrap_or_else(|error| panic!("{profile}: {error}"));
            assert!(std::fs::read(&core).is_ok_and(|bytes| bytes.starts_with(b"\x7fELF")));
            assert_eq!(state(&connection, &dom), api::DOMAIN_SHUTOFF, "{profile}");
        }
    }
}

#[test]
fn the_six_states_are_seen() {
    let sim = Sim::start("4.1", &["--guest-ms", "1"]);
    let connection = sim.connect(Way::Unix);
    let start = |name: &str, says: &str| {
        connection.domain_create_xml(&paravirtual(name, says), 0).expect("it starts")
    };
    assert_eq!(state(&connection, &start("idle", "")), api::DOMAIN_BLOCKED);
    assert_eq!(state(&connection, &start("busy", "busy")), api::DOMAIN_RUNNING);
    let paused = connection.domain_create_xml(&paravirtual("p", ""), api::DOMAIN_START_PAUSED);
    assert_eq!(state(&connection, &paused.expect("it starts")), api::DOMAIN_PAUSED);
    let kept = paravirtual("kept", "")
        .replace("<on_poweroff>destroy</on_poweroff>", "<on_poweroff>preserve</on_poweroff>");
    let down = connection.domain_create_xml(&kept, 0).expect("it starts");
    connection.domain_shutdown(&down).expect("it is asked");
    assert!(wait_until(LONG, || state(&connection, &down) == api::DOMAIN_SHUTDOWN));
    let crashed = start("crashed", "");
    let node = format!("/local/domain/{}/control/shutdown", crashed.id);
    let (store, _watcher) =
        crate::xenstore::Store::connect(&sim.dir.join("xenstore")).expect("xenstore");
    store.write(&node, "crash").expect("it is told to crash");
    assert!(wait_until(LONG, || state(&connection, &crashed) == api::DOMAIN_CRASHED));
    let off = connection.domain_define_xml(&paravirtual("off", "")).expect("it is defined");
    assert_eq!(state(&connection, &off), api::DOMAIN_SHUTOFF);
}

#[test]
fn a_reboot_gives_a_new_number_and_a_stubborn_guest_stays() {
    for profile in ["3.0.2", "3.0.4", "4.4"] {
        let sim = Sim::start(profile, &[]);
        let connection = sim.connect(Way::Unix);
        let dom = connection.domain_define_xml(&paravirtual("a", "")).expect("it is defined");
        let first = connection.domain_create_with_flags(&dom, 0).expect("it starts").id;
        connection.domain_reboot(&dom, 0).expect("it is asked");
        let id = || connection.domain_lookup_by_uuid(&dom.uuid).map_or(-1, |dom| dom.id);
        assert!(wait_until(LONG, || id() > first), "{profile}");
        connection.domain_destroy(&dom).expect("it ends");
        assert_eq!(id(), -1, "{profile}");
        let dom =
            connection.domain_create_xml(&paravirtual("b", "stubborn"), 0).expect("it starts");
        connection.domain_shutdown(&dom).expect("it is asked");
        std::thread::sleep(std::time::Duration::from_millis(400));
        assert!(is_up(&connection, &dom), "{profile}");
        connection.domain_destroy(&dom).expect("it ends");
        assert!(connection.domain_lookup_by_name("b").is_err(), "{profile}: it was transient");
    }
}

#[test]
fn media_of_full_guests_are_changed_and_drives_are_not_added() {
    let sim = Sim::start("4.1", &[]);
    let connection = sim.connect(Way::Unix);
    let dom = connection.domain_create_xml(&full("win"), 0).expect("it starts");
    let drive = |dev: &str, file: &str| {
        format!(
            "<disk type='file' device='cdrom'><driver name='file'/><source file='{file}'/>\
             <target dev='{dev}'/><readonly/></disk>"
        )
    };
    connection.domain_attach_device(&dom, &drive("hdc", "/srv/b.iso")).expect("another medium");
    let xml = connection.domain_get_xml_desc(&dom, 0).expect("a document");
    assert!(xml.contains("/srv/b.iso") && !xml.contains("/srv/a.iso"), "{xml}");
    let added = connection.domain_attach_device(&dom, &drive("hdd", "/srv/b.iso"));
    let error = added.expect_err("a drive more");
    assert!(error.message().contains("before a full guest boots"), "{error}");
}

#[test]
fn the_control_domain_is_listed_and_left_alone() {
    let sim = Sim::start("4.1", &[]);
    let connection = sim.connect(Way::Unix);
    let zero = connection.domain_lookup_by_name("Domain-0").expect("it is there");
    assert!(zero.id == 0 && zero.uuid.is_nil());
    assert_eq!(connection.domain_is_persistent(&zero), Ok(true));
    let xml = connection.domain_get_xml_desc(&zero, 0).expect("a document");
    assert!(xml.contains("<name>Domain-0</name>") && !xml.contains("<disk"), "{xml}");
    for done in [
        connection.domain_destroy(&zero),
        connection.domain_shutdown(&zero),
        connection.domain_suspend(&zero),
        connection.domain_undefine(&zero),
    ] {
        assert!(done.is_err_and(|error| error.is(Code::OperationInvalid)));
    }
}

#[test]
fn definitions_start_with_the_host_and_take_new_names() {
    for profile in ["3.0.2", "3.0.4", "4.1"] {
        let sim = Sim::start(profile, &[]);
        let connection = sim.connect(Way::Unix);
        let dom = connection.domain_define_xml(&paravirtual("a", "")).expect("it is defined");
        assert_eq!(connection.domain_get_autostart(&dom), Ok(false), "{profile}");
        connection.domain_set_autostart(&dom, 1).expect("it is marked");
        assert_eq!(connection.domain_get_autostart(&dom), Ok(true), "{profile}");
        let marked = api::CONNECT_LIST_DOMAINS_AUTOSTART;
        assert_eq!(names(&connection, marked), ["a"], "{profile}");
        connection.domain_set_autostart(&dom, 0).expect("it is not");
        assert_eq!(connection.domain_get_autostart(&dom), Ok(false), "{profile}");
        if profile != "3.0.2" {
            connection.domain_rename(&dom, Some("b"), 0).expect("another name");
            assert_eq!(connection.domain_lookup_by_uuid(&dom.uuid).expect("it").name, "b");
        }
    }
}

#[test]
fn what_happens_is_told() {
    let sim = Sim::start("4.1", &[]);
    let (connection, heard) = sim.watched(Way::Unix);
    let dom = connection.domain_define_xml(&paravirtual("a", "")).expect("it is defined");
    connection.domain_create(&dom).expect("it starts");
    connection.domain_suspend(&dom).expect("it is paused");
    connection.domain_resume(&dom).expect("it goes on");
    connection.domain_shutdown(&dom).expect("it is asked");
    assert!(heard.wait_for("a", 5, api::DOMAIN_EVENT_STOPPED_SHUTDOWN), "{:?}", heard.all());
    connection.domain_create(&dom).expect("it starts");
    connection.domain_destroy(&dom).expect("it ends");
    connection.domain_undefine(&dom).expect("it is forgotten");
    let told: Vec<(i32, i32)> = heard.all().iter().map(|(_, e, d)| (*e, *d)).collect();
    let ended = told.iter().filter(|(event, _)| *event != 6).copied();
    let wanted = [(0, 0), (2, 0), (3, 0), (4, 0), (5, 0), (2, 0), (5, 1), (1, 0)];
    assert_eq!(ended.collect::<Vec<_>>(), wanted);
}

#[test]
fn domains_made_by_others_are_seen_and_controlled() {
    let sim = Sim::start("4.1", &[]);
    let (connection, heard) = sim.watched(Way::Unix);
    let other = crate::xend::Xend::new(crate::xend::Place::Unix(sim.dir.join("xend")));
    let config = "(vm (name xm1)(memory 64)(vcpus 1)(image (linux (kernel /boot/k))))";
    other.create(config).expect("another tool makes a guest");
    assert!(heard.wait_for("xm1", 2, 0), "{:?}", heard.all());
    let dom = connection.domain_lookup_by_name("xm1").expect("it is seen");
    connection.domain_resume(&dom).expect("it runs");
    assert!(is_up(&connection, &dom));
    connection.domain_destroy(&dom).expect("it ends");
    assert!(heard.wait_for("xm1", 5, 1), "{:?}", heard.all());
}

#[test]
fn a_list_asks_xend_once_for_each_domain_and_the_folder_for_the_others() {
    let sim = Sim::start("4.1", &[]);
    let connection = sim.connect(Way::Unix);
    for name in ["a", "b", "c"] {
        let document = paravirtual(name, "").replace("00:16:3e:00:00:01", "00:16:3e:00:00:0a");
        connection.domain_define_xml(&document).expect("it is defined");
    }
    let before = sim.requests().len();
    assert_eq!(names(&connection, 0), ["Domain-0", "a", "b", "c"]);
    // The node, the names, and each of them.
    assert_eq!(sim.requests().len() - before, 6, "{:?}", sim.requests());
}

#[test]
fn files_of_xm_are_told_of_when_they_come_and_go() {
    let sim = Sim::start("3.0.2", &[]);
    let (_connection, heard) = sim.watched(Way::Unix);
    let file = sim.xm_dir().join("guest");
    std::fs::write(&file, "name = 'rhel'\nkernel = '/boot/k'\nmemory = 64\n").expect("a file");
    let defined = (api::DOMAIN_EVENT_DEFINED, api::DOMAIN_EVENT_DEFINED_ADDED);
    assert!(heard.wait_for("rhel", defined.0, defined.1), "{:?}", heard.all());
    std::fs::remove_file(&file).expect("it goes");
    let forgotten = (api::DOMAIN_EVENT_UNDEFINED, api::DOMAIN_EVENT_UNDEFINED_REMOVED);
    assert!(heard.wait_for("rhel", forgotten.0, forgotten.1), "{:?}", heard.all());
}

#[test]
fn files_of_xm_are_found_among_others() {
    let sim = Sim::start("3.0.2", &[]);
    let connection = sim.connect(Way::Unix);
    let dir = sim.xm_dir();
    std::fs::create_dir_all(dir.join("scripts")).expect("a folder");
    let put = |name: &str, text: &str| std::fs::write(dir.join(name), text).expect("a file");
    put("guest", "name = 'rhel'\nkernel = \"/boot/k\"\nmemory = 64\ndisk = ['file:/a,xvda,w']\n");
    put("unnamed", "memory = 64\nkernel = '/boot/k'\n");
    put("xmexample1", "name = 'example'\nmemory = 64\n");
    put("xend-config.sxp", "(xend-unix-server yes)\n");
    put("README", "memory = 1, and so on\n");
    put("notes", "buy memory\n");
    put("broken", "name = [[[\nmemory = \"\n");
    put("guest~", "name = 'old'\nmemory = 64\n");
    put("binary", "memory = \u{0}\u{1}\n");
    assert_eq!(names(&connection, api::CONNECT_LIST_DOMAINS_INACTIVE), ["rhel", "unnamed"]);
    let dom = connection.domain_lookup_by_name("rhel").expect("it is there");
    assert_eq!(connection.domain_lookup_by_uuid(&dom.uuid).expect("and stays so").uuid, dom.uuid);
    connection.domain_create(&dom).expect("it starts");
    assert!(is_up(&connection, &dom));
    connection.domain_destroy(&dom).expect("it ends");
    put("guest", "name = 'rhel'\nkernel = \"/boot/k\"\nmemory = 96\n");
    assert_eq!(connection.domain_get_info(&dom).map(|info| info.memory), Ok(96 << 10));
    connection.domain_undefine(&dom).expect("it is forgotten");
    assert!(!dir.join("guest").exists() && dir.join("notes").exists());
}
