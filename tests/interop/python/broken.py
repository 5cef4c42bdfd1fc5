"""Has libvirt read the broken documents of tests/parsers, and lists where it says something else than they expect."""

import pathlib
import sys

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
        message = error.get_error_message().rstrip("\n").split("\n")
        head = "code %d from %d" % (error.get_error_code(), error.get_error_domain())
        return [head] + [("| " + line).rstrip() for line in message]
    finally:
        conn.close()


def cases(path):
    for part in ("\n" + path.read_text()).split("\n=== ")[1:]:
        head, rest = part.split("\n", 1)
        title, reader = head[:-1].rsplit(" [", 1)
        expected, text = rest.split("\n---", 1)
        text = text[1:].rstrip("\n") + "\n" if text[1:] else ""
        yield title, reader, [line for line in expected.split("\n") if not line.startswith("> ")], text


def main():
    libvirt.registerErrorHandler(lambda context, error: None, None)
    compared = 0
    for path in sorted(pathlib.Path(sys.argv[1]).glob("*.txt")):
        for title, reader, expected, text in cases(path):
            kind, _, how = reader.partition(" ")
            said = read(kind, text, VALIDATE.get(kind, 0) if how else 0)
            if said is None:
                continue
            compared += 1
            # What a schema makes of a document is said in its own words, after the first line.
            lines = 2 if said[0].startswith("code 92 ") else len(said) + 1
            if said[:lines] != expected[:lines]:
                print(f"{path.name}: {title} [{reader}]")
    print(f"{compared} compared")
    print("done")


main()
