//! What only `xl` knows comes out of a document as it went in.

use driver_xen::Host;

#[test]
fn a_full_guest_of_xl_survives_its_document() {
    let text = r#"name = "fv"
uuid = "c7a5fdb2-cdaf-9455-926a-d65c16db1809"
maxmem = 1024
memory = 1024
vcpus = 4
cpus = "0-3"
pae = 1
acpi = 1
apic = 1
hap = 1
viridian = 0
hpet = 0
tsc_mode = "always_emulate"
rtc_timeoffset = -60
localtime = 0
on_poweroff = "destroy"
on_reboot = "restart"
on_crash = "coredump-destroy"
vif = [ "mac=00:16:3e:00:00:01,bridge=ovs0.7,script=vif-openvswitch,type=vif,vifname=v0,backend=net" ]
parallel = "none"
serial = [ "pty", "none", "telnet:h:23,server,nowait" ]
builder = "hvm"
bios = "ovmf"
acpi_firmware = "/sys/firmware/acpi/tables/SLIC"
kernel = "/boot/vmlinuz"
ramdisk = "/boot/initrd"
cmdline = "quiet"
boot = "cdn"
nestedhvm = 1
cpuid = "host,tm=0,sse3=1,page1gb=x"
vnuma = [ [ "pnode=0", "size=512", "vcpus=0-1", "vdistances=10,20" ], [ "pnode=1", "size=512", "vcpus=2-3", "vdistances=20,10" ] ]
max_grant_frames = 64
max_event_channels = 2047
disk = [ "format=raw,vdev=hda,access=rw,backendtype=phy,backend=disks,target=/dev/vg/a" ]
usb = 1
usbdevice = [ "tablet", "keyboard" ]
sdl = 0
vnc = 0
spice = 1
spicehost = "127.0.0.1"
spiceport = 590
spicedisable_ticketing = 1
spiceagent_mouse = 1
spicevdagent = 1
spice_clipboard_sharing = 1
usbctrl = [ "type=qusb,version=2,ports=6" ]
usbdev = [ "hostbus=1,hostaddr=3" ]
channel = [ "connection=pty,name=a", "connection=socket,path=/run/s,name=b" ]
device_model_args = [ "-debugcon", "file:/tmp/debug.log" ]
"#;
    let host = Host::default();
    let xml = host.from_native("xen-xl", text).expect("a document");
    assert_eq!(host.to_native("xen-xl", &xml).expect("a file"), text, "{xml}");
}
