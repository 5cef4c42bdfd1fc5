"""Clients given to a guest's display, and got from it, as descriptors.

Arguments: the URI and a guest's document. What was refused, and how, is printed.
"""
import socket
import sys
import tempfile

import libvirt

uri, file = sys.argv[1:]
libvirt.registerErrorHandler(lambda context, error: None, None)
connection = libvirt.open(uri)
with open(file, encoding="utf-8") as document:
    guest = connection.defineXML(document.read())
SKIP = libvirt.VIR_DOMAIN_OPEN_GRAPHICS_SKIPAUTH


def talk(client):
    """The beginning of a conversation with a display, both ways."""
    client.settimeout(60)
    version = client.recv(12, socket.MSG_WAITALL)
    assert version.startswith(b"RFB 003."), version
    client.sendall(version)
    count = client.recv(1)[0]
    kinds = client.recv(count, socket.MSG_WAITALL)
    assert 1 in kinds, kinds
    client.close()


def refused(what, call, *arguments):
    try:
        call(*arguments)
        print(what, "is allowed")
    except libvirt.libvirtError as error:
        print(what, error.get_error_code(), error.get_error_domain(), error)


guest.create()
try:
    for flags in (0, SKIP):
        near, far = socket.socketpair()
        guest.openGraphics(0, far.fileno(), flags)
        far.close()
        talk(near)
        talk(socket.socket(fileno=guest.openGraphicsFD(0, flags)))
    near, far = socket.socketpair()
    refused("another display", guest.openGraphics, 7, far.fileno(), 0)
    refused("another display's descriptor", guest.openGraphicsFD, 7, 0)
    refused("an odd flag", guest.openGraphics, 0, far.fileno(), 2)
    refused("an odd flag with a descriptor", guest.openGraphicsFD, 0, 2)
    with tempfile.TemporaryFile() as plain:
        refused("a plain file", guest.openGraphics, 0, plain.fileno(), 0)
    read_only = libvirt.openReadOnly(uri).lookupByName(guest.name())
    refused("to watch only", read_only.openGraphicsFD, 0, 0)
    # None of this has disturbed anything.
    talk(socket.socket(fileno=guest.openGraphicsFD(0, 0)))
finally:
    guest.destroy()
refused("a guest that is off", guest.openGraphics, 0, far.fileno(), 0)
refused("a guest that is off, for a descriptor", guest.openGraphicsFD, 0, 0)
guest.undefine()
print("done")
