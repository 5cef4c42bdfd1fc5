"""libvirt's Python bindings and a real guest: its life, its events, its console over a stream.

Arguments: the URI and the file with the guest's document. The last line printed is "done".
"""
import sys
import threading
import time

import libvirt

libvirt.registerErrorHandler(lambda context, error: None, None)
libvirt.virEventRegisterDefaultImpl()


def loop():
    while True:
        libvirt.virEventRunDefaultImpl()


threading.Thread(target=loop, daemon=True).start()

connection = libvirt.open(sys.argv[1])
assert connection.getType() == "QEMU", connection.getType()
heard = []
arrived = threading.Condition()


def callback(connection, domain, event, detail, opaque):
    with arrived:
        heard.append((event, detail))
        arrived.notify_all()


def expect(event, detail):
    with arrived:
        assert arrived.wait_for(lambda: (event, detail) in heard, 20), (event, detail, heard)


connection.domainEventRegisterAny(None, libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE, callback, None)
with open(sys.argv[2]) as document:
    domain = connection.defineXML(document.read())
expect(libvirt.VIR_DOMAIN_EVENT_DEFINED, libvirt.VIR_DOMAIN_EVENT_DEFINED_ADDED)
domain.create()
expect(libvirt.VIR_DOMAIN_EVENT_STARTED, libvirt.VIR_DOMAIN_EVENT_STARTED_BOOTED)
assert domain.ID() > 0
assert domain.UUIDString() in domain.XMLDesc()


def type_in(stream, text):
    while text:
        sent = stream.send(text)
        assert sent > 0
        text = text[sent:]


def answers(stream, command, wanted, seconds):
    """Whether the guest's shell says `wanted` within some seconds of being told `command`."""
    type_in(stream, command)
    seen = b""
    end = time.monotonic() + seconds
    while wanted not in seen:
        if time.monotonic() > end:
            return False
        data = stream.recv(1024)
        if data == -2:
            time.sleep(0.02)
            continue
        assert data, seen
        seen += data
    return True


stream = connection.newStream(libvirt.VIR_STREAM_NONBLOCK)
domain.openConsole(None, stream, libvirt.VIR_DOMAIN_CONSOLE_FORCE)
# What is typed before the guest has set up its port is lost: ask again.
assert any(answers(stream, b"\rping\r", b"pong", 1) for _ in range(30))
assert answers(stream, b"mem\r", b"mem 66", 10)
stream.abort()

domain.suspend()
expect(libvirt.VIR_DOMAIN_EVENT_SUSPENDED, libvirt.VIR_DOMAIN_EVENT_SUSPENDED_PAUSED)
assert domain.state() == [libvirt.VIR_DOMAIN_PAUSED, libvirt.VIR_DOMAIN_PAUSED_USER]
domain.resume()
expect(libvirt.VIR_DOMAIN_EVENT_RESUMED, libvirt.VIR_DOMAIN_EVENT_RESUMED_UNPAUSED)
domain.shutdown()
expect(libvirt.VIR_DOMAIN_EVENT_STOPPED, libvirt.VIR_DOMAIN_EVENT_STOPPED_SHUTDOWN)
assert domain.state() == [libvirt.VIR_DOMAIN_SHUTOFF, libvirt.VIR_DOMAIN_SHUTOFF_SHUTDOWN]
domain.create()
domain.destroy()
expect(libvirt.VIR_DOMAIN_EVENT_STOPPED, libvirt.VIR_DOMAIN_EVENT_STOPPED_DESTROYED)
domain.undefine()
expect(libvirt.VIR_DOMAIN_EVENT_UNDEFINED, libvirt.VIR_DOMAIN_EVENT_UNDEFINED_REMOVED)
assert connection.listAllDomains() == []
print("done")
