"""Calls the public API method by method on the default world, and prints what each answers.

Argument: the URI. Each call has a connection of its own, so each finds the world as it was made. Two
daemons that print the same text answer the same, refusals included: code, domain and message.
"""
import inspect
import re
import sys
import time

import libvirt

URI = sys.argv[1]
DOMAIN = "<domain type='test'><name>new</name><memory>65536</memory><os><type>hvm</type></os></domain>"
NETWORK = "<network><name>new</name><bridge name='virbr9'/></network>"
POOL = "<pool type='dir'><name>new</name><target><path>/new-pool</path></target></pool>"
VOLUME = "<volume><name>new</name><capacity>1024</capacity></volume>"
INTERFACE = "<interface type='ethernet' name='eth7'/>"
DEVICE = ("<device><name>new</name><parent>scsi_host1</parent><capability type='scsi_host'>"
          "<capability type='fc_host'/></capability></device>")
DISK = ("<disk type='file'><source file='/new/disk'/><target dev='vdz' bus='virtio'/></disk>")

# What is called with something that waits, writes a file of its own, or needs another host.
LEFT_OUT = re.compile(
    "(?i)migrate|save|dump|restore|stream|event|close|screenshot|upload|download|opengraphics|"
    "openconsole|openchannel|createxmlwithfiles|createwithfiles|fdassociate|setkeepalive|"
    "setidentity|virconnect|_dispatch|c_pointer|ref$|lookupbyid|managedsave|suspendforduration")

# A value for each name of a parameter; others are left to their default, or get 0.
VALUES = {
    "name": "test", "id": 1, "uuidstr": "6695eb01-f6a4-8304-79aa-97f2502e193f",
    "uuid": bytes.fromhex("6695eb01f6a4830479aa97f2502e193f"), "xmlDesc": DOMAIN, "xml": DOMAIN,
    "memory": 1048576, "nvcpus": 1, "vcpu": 0, "cpumap": (True,) + (False,) * 15,
    "autostart": 1, "path": "vda", "disk": "vda", "device": "testnet0", "key": "/default-pool/x",
    "params": {}, "arch": "i686", "type": "kvm", "params_in": {}, "uri": None, "metadata": "a title",
    "startCell": 0, "maxCells": 2, "cpuNum": -1, "pages": [4], "startPage": 0, "cellCount": 1,
    "pageSizes": [4], "source": None, "srcSpec": "", "xmlCPU": "<cpu><model>x</model></cpu>",
    "xmlCPUs": ["<cpu><model>x</model></cpu>"], "start_cpu": 0, "new_name": "other", "newName": "other",
    "mountpoints": None, "mountPoint": None, "user": "root", "password": "x", "keycodes": [30],
    "nkeycodes": 1, "holdtime": 1, "pid_value": 1, "signum": 9, "bandwidth": 1, "cap": None,
    "capName": None, "wwnn": "2000000012341234", "wwpn": "1000000023432432", "total": True,
    "interval": 1, "threshold": 1, "size": 16, "buffer": 16, "start": 0, "offset": 0,
    "capability": None, "machine": None, "virttype": None, "emulatorbin": None,
    "domainXml": DOMAIN, "nativeFormat": "xen-xm", "nativeConfig": "x", "iothread_id": 1,
    "macstr": "aa:bb:cc:dd:ee:ff", "mac": "aa:bb:cc:dd:ee:ff", "snapshot": None, "command": 3, "section": 4,
    "parentIndex": -1, "algorithm": 0, "seconds": 1, "keys": [], "alias": "x", "time": {"seconds": 1},
    "base": None, "top": None, "dest": DISK, "destxml": DISK, "dxml": None, "action": 1, "target": 1,
    "lifecycleaction": 0, "state": 1, "vcpumap": "0", "hugepages": None, "conf": None,
}
# Calls whose arguments the names of their parameters do not tell.
ARGUMENTS = {
    "setMemoryParameters": ({"hard_limit": 1024},), "setBlkioParameters": ({"weight": 100},),
    "setNumaParameters": ({"numa_nodeset": "0"},), "setSchedulerParameters": ({"weight": 100},),
    "setSchedulerParametersFlags": ({"weight": 100},), "setInterfaceParameters":
    ("testnet0", {"inbound.average": 1}, 0), "setBlockIoTune": ("vda", {"total_bytes_sec": 1000}),
    "setLifecycleAction": (0, 1, 0), "metadata": (1, None), "setMetadata": (1, "new", None, None),
    "setTime": ({"seconds": 1, "nseconds": 0},), "setBlockThreshold": ("vda", 1),
    "secretLookupByUsage": (1, "x"), "nwfilterBindingLookupByPortDev": ("x",),
    "compareHypervisorCPU": (None, None, None, None, "<cpu/>"), "setGuestVcpus": ("0", 1),
    "baselineHypervisorCPU": (None, None, None, None, ["<cpu/>"]), "interfaceAddresses": (0,),
    "findStoragePoolSources": ("netfs", "<source><host name='x'/></source>"),
    "backupBegin": ("<domainbackup/>", None), "detachFlags": (None,),
}
XMLS = {"network": NETWORK, "storagePool": POOL, "storageVol": VOLUME, "interface": INTERFACE,
        "nodeDevice": DEVICE}
DEVICES = {"attachDevice", "attachDeviceFlags", "detachDevice", "detachDeviceFlags",
           "updateDeviceFlags"}

# Answers made from the clock.
COUNTED = {"blockStats", "info", "vcpus", "interfaceStats"}

KINDS = {
    "virConnect": lambda conn: conn,
    "virDomain": lambda conn: conn.lookupByName("test"),
    "virNetwork": lambda conn: conn.networkLookupByName("default"),
    "virStoragePool": lambda conn: conn.storagePoolLookupByName("default-pool"),
    "virStorageVol": lambda conn: conn.storagePoolLookupByName("default-pool").createXML(VOLUME, 0),
    "virInterface": lambda conn: conn.interfaceLookupByName("eth1"),
    "virNodeDevice": lambda conn: conn.nodeDeviceLookupByName("scsi_host1"),
    "virDomainSnapshot": lambda conn: conn.lookupByName("test").snapshotCreateXML(
        "<domainsnapshot><name>one</name></domainsnapshot>", 0),
    "virDomainCheckpoint": lambda conn: conn.lookupByName("test").checkpointCreateXML(
        "<domaincheckpoint><name>one</name></domaincheckpoint>", 0),
}


def value(kind, method, parameter):
    name = parameter.name
    if name in ("xmlDesc", "xml", "xmldesc"):
        if kind == "virDomain" and method in DEVICES:
            return DISK
        for start, xml in XMLS.items():
            if method.startswith(start) or kind == "vir" + start[0].upper() + start[1:]:
                return VOLUME if kind == "virStoragePool" else xml
    if kind == "virConnect" and method.startswith("networkLookup") and name == "name":
        return "default"
    if kind == "virConnect" and method.startswith("storagePoolLookup") and name == "name":
        return "default-pool"
    if kind == "virConnect" and method.startswith("interfaceLookup") and name == "name":
        return "eth1"
    return VALUES.get(name, 0)


def text(answer):
    """An answer without what names this process, and names in an order that means something."""
    if isinstance(answer, (list, tuple)):
        items = [text(item) for item in answer]
        is_names = all(isinstance(item, str) or hasattr(item, "name") for item in answer)
        return "[%s]" % ", ".join(sorted(items) if is_names else items)
    if isinstance(answer, dict):
        return "{%s}" % ", ".join("%s: %s" % (key, text(answer[key])) for key in sorted(answer))
    if hasattr(answer, "name") and callable(answer.name):
        return "%s(%s)" % (type(answer).__name__, answer.name())
    return re.sub(r" object at 0x[0-9a-f]+", "", repr(answer))


libvirt.registerErrorHandler(lambda context, error: None, None)
for kind, make in KINDS.items():
    for method in sorted(dir(getattr(libvirt, kind))):
        function = getattr(getattr(libvirt, kind), method)
        if method.startswith("_") or not callable(function) or LEFT_OUT.search(method):
            continue
        parameters = list(inspect.signature(function).parameters.values())[1:]
        wanted = [p for p in parameters if p.default is inspect.Parameter.empty
                  and p.kind is not inspect.Parameter.VAR_POSITIONAL]
        connection = libvirt.open(URI)
        try:
            target = make(connection)
            arguments = ARGUMENTS.get(method) or [value(kind, method, p) for p in wanted]
            answer = text(function(target, *arguments))
        except libvirt.libvirtError as error:
            answer = "error %s %s: %s" % (
                error.get_error_code(), error.get_error_domain(), error.get_error_message())
        except Exception as error:
            # The bindings refused the argument themselves: nothing was asked of the daemon.
            answer = "not called: %s" % type(error).__name__
        if method in COUNTED:
            answer = re.sub(r"[0-9]{9,}", "N", answer)
        answer = re.sub(r"<creationTime>[0-9]+", "<creationTime>N", answer)
        print("%s.%s: %s" % (kind, method, answer.replace("\n", " ")))
        target = None
        connection.close()
        connection = None
        # The world is gone when the daemon has let go of the connection, which nobody is told.
        time.sleep(0.02)
print("done")
