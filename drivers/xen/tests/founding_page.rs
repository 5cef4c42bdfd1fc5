//! The founding page of libvirt's Xen driver: its conversions come out as printed, its examples load.

use driver_xen::{Era, Host, Toolstack};
use virt_model::domain::disk::DiskDevice;
use virt_model::domain::{Domain, LifecycleAction};
use virt_model::{ParseFlags, YesNo};

/// The page's text, with XML's references resolved; `None` where it is not there.
fn page() -> Option<String> {
    let folder = match test_support::shared("founding-documents") {
        Ok(folder) => folder,
        Err(reason) => {
            test_support::skipped(reason);
            return None;
        }
    };
    let files = std::fs::read_dir(&folder).expect("founding documents").flatten();
    let page = files.map(|file| file.path()).find(|path| {
        path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("002"))
    });
    let text = std::fs::read_to_string(page.expect("document 002")).expect("readable");
    Some(text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&"))
}

/// What stands in the page from `start` to the end of its example.
fn example<'a>(page: &'a str, start: &str) -> &'a str {
    let from = page.find(start).unwrap_or_else(|| panic!("the page has no {start}"));
    let text = &page[from + start.len()..];
    text.split("</pre>").next().expect("an end").trim_start()
}

/// A host of that page's time, with Xen before 3.0.4.
fn host() -> Host {
    Host { toolstack: Toolstack::Xend { config_format: 2 }, era: Era::V0_9, ..Host::default() }
}

/// A guest as `xm` had it in its folder: the page prints only what came out.
const RHEL5_CFG: &str = r#"# Made by virt-install
name = "rhel5pv"
uuid = "8f07fe28-753f-2729-d76d-bdbd892f949a"
maxmem = 2500
memory = 300
vcpus = 4
bootloader = "/usr/bin/pygrub"
on_poweroff = "destroy"
on_reboot = "restart"
on_crash = "restart"
vfb = [ "type=vnc,vncunused=1,vnclisten=0.0.0.0" ]
disk = [ "tap:aio:/var/lib/xen/images/rhel5pv.img,xvda,w",
         "tap:qcow:/root/qcow1-xen.img,xvdd,w" ]
vif = [ "mac=00:16:3e:60:36:ba,bridge=xenbr0" ]
"#;

#[test]
fn a_file_of_xm_becomes_the_document_that_is_printed() {
    let Some(page) = page() else { return };
    let wanted = example(&page, "domxml-from-native xen-xm rhel5.cfg\n");
    let got = host().from_native("xen-xm", RHEL5_CFG).expect("from native");
    assert_eq!(got.trim_end(), wanted);
}

/// A running guest's document, of which the page prints only what came out.
const RHEL5_XML: &str = "<domain type='xen' id='5'>
  <name>rhel5pv</name>
  <uuid>8f07fe28753f2729d76dbdbd892f949a</uuid>
  <memory>2560000</memory>
  <currentMemory>307200</currentMemory>
  <vcpu>4</vcpu>
  <bootloader>/usr/bin/pygrub</bootloader>
  <os>
    <type>linux</type>
    <kernel>/var/lib/xen/boot_kernel.0YK-cS</kernel>
    <initrd>/var/lib/xen/boot_ramdisk.vWgrxK</initrd>
    <cmdline>ro root=/dev/VolGroup00/LogVol00 rhgb quiet</cmdline>
  </os>
  <clock offset='utc'/>
  <on_poweroff>destroy</on_poweroff>
  <on_reboot>restart</on_reboot>
  <on_crash>restart</on_crash>
  <devices>
    <disk type='file' device='disk'>
      <driver name='tap' type='aio'/>
      <source file='/var/lib/xen/images/rhel5pv.img'/>
      <target dev='xvda' bus='xen'/>
    </disk>
    <disk type='file' device='disk'>
      <driver name='tap' type='qcow'/>
      <source file='/root/qcow1-xen.img'/>
      <target dev='xvdd' bus='xen'/>
    </disk>
    <interface type='bridge'>
      <mac address='00:16:3e:60:36:ba'/>
      <source bridge='virbr0'/>
      <script path='vif-bridge'/>
      <target dev='vif5.0'/>
    </interface>
    <input type='mouse' bus='xen'/>
    <graphics type='vnc' port='-1' autoport='yes' listen='0.0.0.0'/>
  </devices>
</domain>
";

#[test]
fn a_document_becomes_the_file_of_xm_that_is_printed() {
    let Some(page) = page() else { return };
    let wanted = example(&page, "domxml-to-native xen-xm rhel5pv.xml\n");
    let got = host().to_native("xen-xm", RHEL5_XML).expect("to native");
    assert_eq!(got.trim_end(), wanted);
}

#[test]
fn the_example_documents_load_with_their_old_forms() {
    let Some(page) = page() else { return };
    let mut loaded = 0;
    for text in page.split("<pre><domain type='xen' ").skip(1) {
        let xml = text.split("</pre>").next().expect("an end");
        let xml = format!("<domain type='xen' {xml}");
        let flags = ParseFlags { inactive: true, ..ParseFlags::default() };
        let domain = Domain::load(&xml, flags, &Host::default().rules()).expect("an example");
        let devices = &domain.devices;
        let script = devices.interfaces[0].script.as_ref().map(|script| script.path.as_str());
        match domain.name.as_str() {
            "fc8" => {
                assert_eq!(devices.disks[0].target.dev, "sda1");
                assert_eq!(devices.disks[0].device, DiskDevice::Disk);
                assert_eq!(script, Some("/etc/xen/scripts/vif-bridge"));
                assert_eq!(devices.consoles.len(), 1);
                let installs = domain.os.kernel.is_some();
                let cmdline = installs.then_some(" kickstart=http://example.com/myguest.ks ");
                assert_eq!(domain.os.cmdline.as_deref(), cmdline);
                assert_eq!(domain.bootloader.is_some(), !installs);
            }
            "fv0" => {
                let uuid = domain.uuid.expect("a UUID").to_string();
                assert_eq!(uuid, "4dea22b3-1d52-d8f3-2516-782e98ab3fa0");
                assert_eq!(script, Some("vif-bridge"));
                assert_eq!(domain.on_crash, Some(LifecycleAction::Restart));
                assert_eq!(devices.graphics[0].ports.port, Some(5904));
                assert_eq!(devices.graphics[0].ports.autoport, Some(YesNo::No));
                assert!(devices.disks.iter().any(|disk| disk.device == DiskDevice::Floppy));
            }
            other => panic!("unknown example {other}"),
        }
        // Whatever can be loaded can be given to every tool stack.
        for format in ["xen-xm", "xen-xl", "xen-sxpr"] {
            let native = Host::default().write(format, &domain).expect(format);
            Host::default().read(format, &native).expect(format);
        }
        loaded += 1;
    }
    assert_eq!(loaded, 4);
}
