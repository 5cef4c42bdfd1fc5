//! What the founding texts name of a guest, asked of hosts: disks, kernels, places of processors, labels, media.

use virt_driver::Connection;
use virt_error::Code;
use virt_types::{DomainRef, TypedParam, api};

use super::sim::{Sim, Way, full, paravirtual};

/// What xend was told of a domain, and tells of it.
fn told(sim: &Sim, name: &str) -> String {
    let xend = crate::xend::Xend::new(crate::xend::Place::Unix(sim.dir.join("xend")));
    xend.domain(name).expect("xend answers").expect("it is there").to_string()
}

fn xml(connection: &Connection, dom: &DomainRef) -> String {
    connection.domain_get_xml_desc(dom, 0).expect("a document")
}

#[test]
fn every_back_end_of_disks_reaches_xend() {
    let back_ends = [
        ("file", "tap", "aio", "tap:aio:/srv/d"),
        ("file", "tap", "qcow", "tap:qcow:/srv/d"),
        ("file", "tap", "vmdk", "tap:vmdk:/srv/d"),
        ("file", "tap", "vdisk", "tap:vdisk:/srv/d"),
        ("file", "file", "", "file:/srv/d"),
        ("block", "phy", "", "phy:/srv/d"),
        // A port of Fibre Channel is a disk to xend, whose script makes it.
        ("file", "npiv", "", "npiv:/srv/d"),
    ];
    for profile in ["3.0.2", "3.1", "4.4"] {
        let sim = Sim::start(profile, &[]);
        let connection = sim.connect(Way::Unix);
        for (at, (kind, driver, format, uname)) in back_ends.into_iter().enumerate() {
            let name = format!("d{at}");
            let format =
                if format.is_empty() { String::new() } else { format!(" type='{format}'") };
            let attribute = if kind == "block" { "dev" } else { "file" };
            let disk = format!(
                "<disk type='{kind}'><driver name='{driver}'{format}/><source {attribute}='/srv/d'/>\
                 <target dev='xvdb'/></disk></devices>"
            );
            let document = paravirtual(&name, "").replace("</devices>", &disk);
            let dom = connection.domain_define_xml(&document);
            let dom = dom.unwrap_or_else(|error| panic!("{profile} {uname}: {error}"));
            connection
                .domain_create(&dom)
                .unwrap_or_else(|error| panic!("{profile} {uname}: {error}"));
            let tree = told(&sim, &name);
            assert!(tree.contains(&format!("(uname {uname})")), "{profile} {uname}: {tree}");
            let shown = xml(&connection, &dom);
            let source = format!("<source {attribute}='/srv/d'/>");
            for part in [&format!("<driver name='{driver}'"), &source] {
                assert!(shown.contains(part), "{profile} {uname}: no {part} in {shown}");
            }
            connection.domain_destroy(&dom).expect("it ends");
        }
    }
}

#[test]
fn a_paravirtual_guest_needs_a_kernel_and_nothing_more() {
    let booted = |parts: &str| {
        format!("<domain type='xen'><name>a</name><memory unit='MiB'>64</memory>{parts}</domain>")
    };
    for profile in ["3.0.1", "3.0.4", "4.4"] {
        let sim = Sim::start(profile, &[]);
        let connection = sim.connect(Way::Unix);
        let nothing = booted("<os><type>linux</type><cmdline>root=/dev/xvda</cmdline></os>");
        let error = connection.domain_create_xml(&nothing, 0).expect_err("there is no kernel");
        assert!(error.is(Code::ConfigUnsupported), "{profile}: {error:?}");
        let told = error.message();
        assert!(told.contains("<kernel>") && told.contains("<bootloader>"), "{profile}: {told}");
        assert_eq!(connection.connect_list_all_domains(0).map(|all| all.len()), Ok(1), "{profile}");
        let kernel = "<os><type>linux</type><kernel>/boot/k</kernel>";
        for parts in [
            format!("{kernel}</os>"),
            format!("{kernel}<initrd>/boot/i</initrd></os>"),
            format!("{kernel}<cmdline>root=/dev/xvda ro single</cmdline></os>"),
            "<bootloader>/usr/bin/pygrub</bootloader><os><type>linux</type></os>".to_owned(),
        ] {
            let dom = connection.domain_create_xml(&booted(&parts), 0);
            let dom = dom.unwrap_or_else(|error| panic!("{profile}: {parts}: {error}"));
            let shown = xml(&connection, &dom);
            for word in ["/boot/i", "root=/dev/xvda ro single", "/boot/k", "pygrub"] {
                assert_eq!(
                    shown.contains(word),
                    parts.contains(word),
                    "{profile}: {word}: {shown}"
                );
            }
            connection.domain_destroy(&dom).expect("it ends");
        }
    }
}

/// Where virtual processors may run, those of the guest and those of its definition.
fn pins(connection: &Connection, dom: &DomainRef, flags: u32) -> Vec<u8> {
    connection.domain_get_vcpu_pin_info(dom, 8, 1, flags).expect("pins").cpumaps
}

#[test]
fn processors_start_where_the_definition_says() {
    let pinned = "<vcpu>2</vcpu><cputune><vcpupin vcpu='1' cpuset='1,3'/></cputune>\
                  <seclabel type='static' model='xsm' relabel='no'><label>77</label></seclabel>";
    for profile in ["3.0.2", "3.0.4", "3.3", "4.4"] {
        let sim = Sim::start(profile, &[]);
        let connection = sim.connect(Way::Unix);
        let document = paravirtual("a", "").replace("<vcpu current='1'>2</vcpu>", pinned);
        let dom = connection.domain_define_xml(&document).expect("it is defined");
        let flags = [api::DOMAIN_AFFECT_LIVE, api::DOMAIN_AFFECT_CONFIG];
        assert_eq!(pins(&connection, &dom, flags[1]), [0b1111, 0b1010], "{profile}");
        // A definition is changed where nothing runs; one that has fewer processors is told so.
        connection.domain_pin_vcpu_flags(&dom, 0, &[0b0110], flags[1]).expect("it is kept");
        let beyond = connection.domain_pin_vcpu_flags(&dom, 2, &[1], flags[1]);
        assert!(beyond.is_err_and(|error| error.is(Code::InvalidArg)), "{profile}");
        connection.domain_create(&dom).expect("it starts");
        for flags in flags {
            assert_eq!(pins(&connection, &dom, flags), [0b0110, 0b1010], "{profile}");
        }
        let tree = told(&sim, "a");
        assert!(tree.contains("(cpus ((1 2) (1 3)))"), "{profile}: {tree}");
        assert!(tree.contains("(ssidref 77)"), "{profile}: {tree}");
        connection.domain_pin_vcpu_flags(&dom, 1, &[0b0001], flags[0]).expect("it is moved");
        assert_eq!(pins(&connection, &dom, flags[0]), [0b0110, 0b0001], "{profile}");
        assert_eq!(pins(&connection, &dom, flags[1]), [0b0110, 0b1010], "{profile}");
        connection.domain_pin_vcpu_flags(&dom, 1, &[0b1000], flags[0] | flags[1]).expect("both");
        for flags in flags {
            assert_eq!(pins(&connection, &dom, flags), [0b0110, 0b1000], "{profile}");
        }
        connection.domain_destroy(&dom).expect("it ends");
        let kept = xml(&connection, &dom);
        for part in ["<vcpupin vcpu='1' cpuset='3'/>", "<label>77</label>"] {
            assert!(kept.contains(part), "{profile}: no {part} in {kept}");
        }
    }
}

#[test]
fn a_medium_that_the_guest_has_locked_stays_and_that_is_said() {
    let sim = Sim::start("4.1", &[]);
    let connection = sim.connect(Way::Unix);
    let dom = connection.domain_create_xml(&full("win"), 0).expect("it starts");
    let other = "<disk type='file' device='cdrom'><driver name='file'/><source file='/srv/b.iso'/>\
                 <target dev='hdc'/><readonly/></disk>";
    sim.set("fault=locked\n");
    let error = connection.domain_attach_device(&dom, other).expect_err("it is locked");
    let told = error.message();
    assert!(told.contains("locked its medium") && told.contains("let go of the medium"), "{told}");
    let shown = xml(&connection, &dom);
    assert!(shown.contains("/srv/a.iso") && !shown.contains("/srv/b.iso"), "{shown}");
    // The guest has opened its drive.
    sim.set("");
    connection.domain_attach_device(&dom, other).expect("another medium");
    assert!(xml(&connection, &dom).contains("/srv/b.iso"));
}

#[test]
fn what_documents_do_not_say_stays_when_they_change() {
    for profile in ["3.0.4", "3.3", "4.4"] {
        let sim = Sim::start(profile, &[]);
        let connection = sim.connect(Way::Unix);
        let dom = connection.domain_define_xml(&paravirtual("a", "")).expect("it is defined");
        connection.domain_set_autostart(&dom, 1).expect("it is marked");
        let share = [TypedParam::new("weight", 500_u32), TypedParam::new("cap", 50_u32)];
        connection.domain_set_scheduler_parameters(&dom, &share).expect("another share");
        // As `edit` does: what is shown, changed.
        let shown = xml(&connection, &dom);
        assert!(shown.contains("<shares>500</shares>"), "{profile}: {shown}");
        let other = shown.replace("<on_crash>preserve<", "<on_crash>destroy<");
        connection.domain_define_xml(&other).expect("it is defined anew");
        connection.domain_pin_vcpu_flags(&dom, 0, &[1], api::DOMAIN_AFFECT_CONFIG).expect("a pin");
        let all_is_there = |when: &str| {
            assert_eq!(connection.domain_get_autostart(&dom), Ok(true), "{profile} {when}");
            let now = connection.domain_get_scheduler_parameters(&dom);
            assert_eq!(now.as_deref(), Ok(&share[..]), "{profile} {when}");
            assert!(xml(&connection, &dom).contains("<on_crash>destroy<"), "{profile} {when}");
        };
        all_is_there("kept");
        connection.domain_create(&dom).expect("it starts");
        all_is_there("running");
        let none = other.replace("<shares>500</shares>", "");
        connection.domain_destroy(&dom).expect("it ends");
        connection.domain_define_xml(&none).expect("it is defined without");
        let now = connection.domain_get_scheduler_parameters(&dom).expect("a share");
        assert_eq!(now[0], TypedParam::new("weight", 256_u32), "{profile}");
    }
}
