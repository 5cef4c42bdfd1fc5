"""Has libvirt read the broken documents of tests/parsers, and lists where it says something else than they expect."""

import pathlib
import sys
import tempfile

import libvirt

VALIDATE = {"domain": 1, "network": 1, "pool": 1, "volume": 4, "device": 1, "interface": 1, "snapshot": 512}


def read(kind, text, flags):
    """Hands a text to the test driver, or says that it has no such objects."""
    conn = libvirt.open("test:///default")
    calls = {
        "domain": lambda: conn.defineXMLFlags(text, flags),
        "network": lambda: conn.networkDefineXMLFlags(text, flags),
        "pool": lambda: conn.storagePoolDefineXML(text, flags),
        "volume": lambda: conn.storagePoolLookupByName("default-pool").createXML(text, flags),
        "device": lambda: conn.nodeDeviceCreateXML(text, flags),
        "interface": lambda: conn.interfaceDefineXML(text, flags),
        "snapshot": lambda: conn.lookupByName("test").snapshotCreateXML(text, flags),
        "checkpoint": lambda: conn.lookupByName("test").checkpointCreateXML(text, flags),
    }
    if kind not in calls:
        return None
    try:
        calls[kind]()
        return ["taken"]
    except libvirt.libvirtError as error:
        return said(error)
    finally:
        conn.close()


class Embedded:
    """libvirt's QEMU driver in this process, for documents that its test driver does not read."""

    # Whoever backs up must run a guest; the document is read first.
    READ = "cannot perform disk backup for inactive domain"
    DOMAIN = "<domain type='qemu'><name>d</name><memory>1024</memory><os><type>hvm</type></os></domain>"

    def __init__(self, root):
        self.conn = self.domain = None
        try:
            libvirt.virEventRegisterDefaultImpl()
            self.conn = libvirt.open(f"qemu:///embed?root={root}")
            self.domain = self.conn.defineXML(self.DOMAIN)
        except libvirt.libvirtError:
            pass

    def read(self, text):
        """What is said of a backup's document, or nothing where there is no such driver."""
        if not self.domain:
            return None
        try:
            self.domain.backupBegin(text, None)
        except libvirt.libvirtError as error:
            return ["taken"] if self.READ in error.get_error_message() else said(error)

    def close(self):
        if self.conn:
            self.conn.close()


def said(error):
    message = error.get_error_message().rstrip("\n").split("\n")
    head = "code %d from %d" % (error.get_error_code(), error.get_error_domain())
    return [head] + [("| " + line).rstrip() for line in message]


def cases(path):
    for part in ("\n" + path.read_text()).split("\n=== ")[1:]:
        head, rest = part.split("\n", 1)
        title, reader = head[:-1].rsplit(" [", 1)
        expected, text = rest.split("\n---", 1)
        text = text[1:].rstrip("\n") + "\n" if text[1:] else ""
        yield title, reader, [line for line in expected.split("\n") if not line.startswith("> ")], text


def main():
    libvirt.registerErrorHandler(lambda context, error: None, None)
    with tempfile.TemporaryDirectory() as root:
        embedded = Embedded(root)
        print(f"{compare(embedded)} compared")
        embedded.close()
    print("done")


def compare(embedded):
    compared = 0
    for path in sorted(pathlib.Path(sys.argv[1]).glob("*.txt")):
        for title, reader, expected, text in cases(path):
            kind, _, how = reader.partition(" ")
            if kind == "backup":
                heard = embedded.read(text)
            else:
                heard = read(kind, text, VALIDATE.get(kind, 0) if how else 0)
            if heard is None:
                continue
            compared += 1
            # What a schema makes of a document is said in its own words, after the first line.
            lines = 2 if heard[0].startswith("code 92 ") else len(heard) + 1
            if heard[:lines] != expected[:lines]:
                print(f"{path.name}: {title} [{reader}]")
    return compared


main()
