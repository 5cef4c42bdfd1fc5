//! Processors and firmware tables as documents of their own, against what libvirt made of the same.

#![allow(clippy::print_stdout, reason = "counts and skips are what these tests report")]

use std::path::PathBuf;

use virt_model::capabilities::HostCpu;
use virt_model::domain::sysinfo::SysinfoType;
use virt_model::domain::{Cpu, Domain, Sysinfo};
use virt_model::{Document, ParseFlags, PrintFlags};

fn reprinted<T: Document>(text: &str) -> Result<String, String> {
    match T::parse(text, ParseFlags::default()) {
        Ok(document) => Ok(document.to_xml(PrintFlags::default())),
        Err(error) => Err(error.message().to_owned()),
    }
}

/// Tables as no one would write them, but anyone may.
const ODD_TABLES: &str = "\
<sysinfo type='smbios'>
  <system>
    <entry name='family'>F</entry>
    <entry name='manufacturer'>M</entry>
    <entry name='odd'>O</entry>
    <entry name='uuid'>c7a5fdbdedaf9455926ad65c16db1809</entry>
  </system>
  <bios>
    <entry name='date'>1/2/2003</entry>
    <entry name='vendor'>V</entry>
    <entry name='vendor'>V2</entry>
    <entry name='release'></entry>
  </bios>
  <baseBoard><entry name='location'>L</entry></baseBoard>
  <baseBoard/>
  <chassis/>
  <processor><entry name='family'>F</entry></processor>
  <oemStrings><entry>a</entry><entry/></oemStrings>
</sysinfo>
<sysinfo type='fwcfg'>
  <entry name='opt/x' file='/tmp/f'>txt</entry>
  <entry name='opt/y'>z</entry>
  <bios><entry name='vendor'>V</entry></bios>
</sysinfo>
";

/// What libvirt 11.3 printed of a domain with these.
const AS_LIBVIRT_PRINTS: &str = "  \
  <sysinfo type='smbios'>
    <bios>
      <entry name='vendor'>V</entry>
      <entry name='date'>1/2/2003</entry>
    </bios>
    <system>
      <entry name='manufacturer'>M</entry>
      <entry name='uuid'>c7a5fdbd-edaf-9455-926a-d65c16db1809</entry>
      <entry name='family'>F</entry>
    </system>
    <baseBoard>
      <entry name='location'>L</entry>
    </baseBoard>
    <oemStrings>
      <entry>a</entry>
      <entry></entry>
    </oemStrings>
  </sysinfo>
  <sysinfo type='fwcfg'>
    <entry name='opt/x' file='/tmp/f'/>
    <entry name='opt/y'>z</entry>
  </sysinfo>
";

#[test]
fn a_guests_firmware_tables_are_printed_as_libvirt_prints_them() {
    let xml = format!("<domain type='test'><name>x</name>{ODD_TABLES}</domain>");
    let domain = Domain::parse(&xml, ParseFlags::default()).expect("a domain");
    let printed = domain.to_xml(PrintFlags::default());
    assert!(printed.contains(AS_LIBVIRT_PRINTS), "{printed}");
}

#[test]
fn a_hosts_firmware_tables_go_in_and_out() {
    let host = "\
<sysinfo type='smbios'>
  <bios>
    <entry name='vendor'>LENOVO</entry>
    <entry name='date'>05/07/2014</entry>
  </bios>
  <processor>
    <entry name='socket_destination'>CPU Socket - U3E1</entry>
    <entry name='type'>Central Processor</entry>
    <entry name='part_number'>None</entry>
  </processor>
  <memory_device>
    <entry name='size'>8192 MB</entry>
    <entry name='locator'>ChannelA-DIMM0</entry>
    <entry name='type_detail'>Synchronous</entry>
  </memory_device>
  <oemStrings>
    <entry>string of the maker</entry>
  </oemStrings>
</sysinfo>
";
    assert_eq!(reprinted::<Sysinfo>(host).as_deref(), Ok(host));
    let read = Sysinfo::parse(host, ParseFlags::default()).expect("a host's tables");
    assert_eq!(read.kind, SysinfoType::Smbios);
    assert_eq!(read.bios.and_then(|bios| bios.vendor).as_deref(), Some("LENOVO"));
}

#[test]
fn broken_firmware_tables_are_refused() {
    let bios =
        "<sysinfo type='smbios'><bios><entry name='date'>31/12/2003</entry></bios></sysinfo>";
    let system = "<sysinfo type='smbios'><system><entry name='uuid'>x</entry></system></sysinfo>";
    for (text, wanted) in [
        (bios, "Invalid BIOS 'date' format"),
        (system, "malformed <sysinfo> uuid element"),
        ("<sysinfo/>", "Missing required attribute 'type'"),
        ("<sysinfo type='efi'/>", "'efi'"),
    ] {
        let error = Sysinfo::parse(text, ParseFlags::default()).expect_err("refused");
        assert!(error.message().contains(wanted), "{}", error.message());
    }
}

/// The processors of the corpora that libvirt printed itself come out as they went in.
#[test]
fn processors_are_printed_as_libvirt_prints_them() {
    let shared = std::env::var_os("FERROVIRT_SHARED").map_or_else(
        || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared")),
        PathBuf::from,
    );
    let Ok(files) = std::fs::read_dir(shared.join("conformance/cpu")) else {
        println!("skipped: there are no corpora");
        return;
    };
    let made = ["-host.xml", "-guest.xml", "-json.xml", "-result.xml"];
    let (mut hosts, mut guests) = (0, 0);
    for path in files.flatten().map(|file| file.path()) {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let is_made = name.ends_with("-result.xml") || name.contains("-cpuid-");
        if !is_made || !made.iter().any(|end| name.ends_with(end)) {
            continue;
        }
        let text = std::fs::read_to_string(&path).expect("a file of the corpora");
        let printed = if text.contains("<arch>") {
            hosts += 1;
            reprinted::<HostCpu>(&text)
        } else {
            guests += 1;
            reprinted::<Cpu>(&text)
        };
        assert_eq!(printed.as_deref(), Ok(&*text), "{name}");
    }
    println!("{hosts} processors of hosts, {guests} of guests");
    assert!(hosts > 0 && guests > 0, "nothing was compared");
}
