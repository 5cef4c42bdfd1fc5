"""libvirt's Python bindings on the default world of a daemon's test driver.

Argument: the URI. Every step asserts; the last line printed is "done".
"""
import sys
import threading

import libvirt

GUEST = """<domain type='test'><name>guest</name><memory>65536</memory><vcpu>1</vcpu>
<os><type>hvm</type></os></domain>"""

libvirt.registerErrorHandler(lambda context, error: None, None)
libvirt.virEventRegisterDefaultImpl()


def loop():
    while True:
        libvirt.virEventRunDefaultImpl()


threading.Thread(target=loop, daemon=True).start()

connection = libvirt.open(sys.argv[1])
assert connection.getType() == "TEST", connection.getType()
assert connection.isAlive()
assert [domain.name() for domain in connection.listAllDomains()] == ["test"]

heard = []
arrived = threading.Condition()


def callback(connection, domain, event, detail, opaque):
    with arrived:
        heard.append((domain.name(), event, detail, opaque))
        arrived.notify_all()


def expect(event):
    with arrived:
        assert arrived.wait_for(lambda: event in [h[:2] for h in heard], 10), (event, heard)


number = connection.domainEventRegisterAny(
    None, libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE, callback, "mark")

domain = connection.defineXML(GUEST)
expect(("guest", libvirt.VIR_DOMAIN_EVENT_DEFINED))
assert not domain.isActive() and domain.isPersistent()
assert domain.ID() == -1
assert "<name>guest</name>" in domain.XMLDesc()

assert domain.create() == 0
expect(("guest", libvirt.VIR_DOMAIN_EVENT_STARTED))
assert domain.isActive()
assert domain.state()[0] == libvirt.VIR_DOMAIN_RUNNING
assert domain.info()[1] == 65536

domain.suspend()
expect(("guest", libvirt.VIR_DOMAIN_EVENT_SUSPENDED))
assert domain.state()[0] == libvirt.VIR_DOMAIN_PAUSED
domain.resume()
expect(("guest", libvirt.VIR_DOMAIN_EVENT_RESUMED))
domain.destroy()
expect(("guest", libvirt.VIR_DOMAIN_EVENT_STOPPED))
domain.undefine()
expect(("guest", libvirt.VIR_DOMAIN_EVENT_UNDEFINED))
assert all(entry[3] == "mark" for entry in heard)

try:
    connection.lookupByName("guest")
    raise AssertionError("an undefined domain was found")
except libvirt.libvirtError as error:
    assert error.get_error_code() == libvirt.VIR_ERR_NO_DOMAIN, error
    assert error.get_error_domain() == libvirt.VIR_FROM_TEST, error

connection.domainEventDeregisterAny(number)
stats = connection.getAllDomainStats(libvirt.VIR_DOMAIN_STATS_STATE)
assert stats[0][1]["state.state"] == libvirt.VIR_DOMAIN_RUNNING, stats
assert [network.name() for network in connection.listAllNetworks()] == ["default"]
assert [pool.name() for pool in connection.listAllStoragePools()] == ["default-pool"]
connection.close()
print("done")
