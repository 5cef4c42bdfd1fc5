"""A plugin of pytest's: what opens test:/// goes to the daemon behind FERROVIRT_TEST_SOCKET.

virt-manager's tests know nothing of sockets; they get the address they asked for back from getURI. Their
comparison of long documents by difflib takes minutes where they differ, so it is made short.
"""

import os
import sys
import types

import libvirt

SOCKET = os.environ.get("FERROVIRT_TEST_SOCKET")
LINES_SHOWN = 40


def through(uri):
    if uri is None or not uri.startswith("test:"):
        return uri
    joint = "&" if "?" in uri else "?"
    return f"test+unix:{uri[len('test:'):]}{joint}socket={SOCKET}"


def original(uri):
    if not uri.startswith("test+unix:"):
        return uri
    head, _, query = uri[len("test+unix:"):].partition("?")
    kept = [part for part in query.split("&") if part and not part.startswith("socket=")]
    return "test:" + head + ("?" + "&".join(kept) if kept else "")


def differences(old, new, old_name="", new_name=""):
    old, new = old.splitlines(), new.splitlines()
    if old == new:
        return ""
    gone = [f"-{line}" for line in old if line not in set(new)]
    come = [f"+{line}" for line in new if line not in set(old)]
    return "\n".join([old_name, new_name] + gone[:LINES_SHOWN] + come[:LINES_SHOWN])


def prompt(message):
    """Theirs asks for ever where its input has ended."""
    while True:
        sys.stdout.write(f"{message} (y/n): ")
        line = sys.stdin.readline()
        if not line:
            raise EOFError(message)
        if line.lower().strip() in ("y", "yes", "n", "no"):
            return line.lower().startswith("y")
        sys.stdout.write("Please enter 'yes' or 'no'.\n")


def pytest_collection_finish(session):
    import tests.utils
    from virtinst import virtxml

    tests.utils.xmlutil = types.SimpleNamespace(diff=differences)
    virtxml.prompt_yes_or_no = prompt


if SOCKET:
    for name in ("open", "openReadOnly", "openAuth"):
        plain = getattr(libvirt, name)
        setattr(libvirt, name, lambda uri=None, *rest, _plain=plain: _plain(through(uri), *rest))
    get_uri = libvirt.virConnect.getURI
    libvirt.virConnect.getURI = lambda self: original(get_uri(self))
