"""One visit by libvirt's Python bindings.

Arguments: the URI, what to do, and what that needs. What was seen is printed.
"""
import sys
import threading
import time

import libvirt

uri, action, *rest = sys.argv[1:]
libvirt.registerErrorHandler(lambda context, error: None, None)
libvirt.virEventRegisterDefaultImpl()


def loop():
    while True:
        libvirt.virEventRunDefaultImpl()


def answer(_credentials, _opaque):
    """Nobody is asked: a file holds the name and the password."""
    return -1


def connect(flags=0):
    wanted = [libvirt.VIR_CRED_AUTHNAME, libvirt.VIR_CRED_PASSPHRASE]
    return libvirt.openAuth(uri, [wanted, answer, None], flags)


def open_all():
    threading.Thread(target=loop, daemon=True).start()
    return connect()


def visit_list():
    connection = connect()
    print(" ".join(sorted(domain.name() for domain in connection.listAllDomains())))


def visit_define(file, name):
    connection = connect()
    with open(file, encoding="utf-8") as document:
        connection.defineXML(document.read())
    domain = connection.lookupByName(name)
    print("defined", domain.name(), domain.isPersistent())
    domain.undefine()


def visit_event(name):
    connection = open_all()
    heard = threading.Event()

    def callback(_connection, _domain, _event, _detail, _opaque):
        heard.set()

    domain = connection.lookupByName(name)
    connection.domainEventRegisterAny(
        domain, libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE, callback, None)
    assert heard.wait(60), "no event came"
    print("heard an event 'lifecycle'")


def visit_console(name):
    connection = open_all()
    stream = connection.newStream(libvirt.VIR_STREAM_NONBLOCK)
    connection.lookupByName(name).openConsole(None, stream, libvirt.VIR_DOMAIN_CONSOLE_FORCE)
    said = b""
    for _ in range(300):
        stream.send(b"\rping\r")
        time.sleep(0.1)
        while True:
            data = stream.recv(4096)
            if data == -2 or not data:
                break
            said += data
        if b"pong" in said:
            break
    stream.abort()
    print("pong" if b"pong" in said else "silent")


def volume(connection, pool, name):
    return connection.storagePoolLookupByName(pool).storageVolLookupByName(name)


def visit_upload(pool, name, file):
    connection = connect()
    stream = connection.newStream()
    volume(connection, pool, name).upload(stream, 0, 0)
    with open(file, "rb") as source:
        stream.sendAll(lambda _stream, count, _opaque: source.read(count), None)
    stream.finish()
    print("sent")


def visit_download(pool, name, file):
    connection = connect()
    stream = connection.newStream()
    volume(connection, pool, name).download(stream, 0, 0)
    with open(file, "wb") as target:
        stream.recvAll(lambda _stream, data, _opaque: target.write(data), None)
    stream.finish()
    print("received")


def visit_forbidden(name):
    connection = connect(libvirt.VIR_CONNECT_RO)
    connection.lookupByName(name).destroy()


try:
    {"list": visit_list, "define": visit_define, "event": visit_event, "console": visit_console,
     "upload": visit_upload, "download": visit_download, "forbidden": visit_forbidden}[action](*rest)
except libvirt.libvirtError as error:
    print("error:", error, file=sys.stderr)
    sys.exit(1)
