"""A crowd at a daemon's socket: many who say nothing, one who does not read.

Arguments: the socket, the daemon's process id, how many come, and a program to run beside them.
Prints one JSON object: memory before and with them, in KiB, and what one of them costs; and how long a
call takes that is made beside them. The program's output follows.
"""
import json
import resource
import socket
import struct
import subprocess
import sys
import time

PROGRAM, VERSION = 0x20008086, 1
OPEN, CAPABILITIES, SUPPORTS_FEATURE = 1, 7, 60
# What the one who does not read asks for.
UNREAD_CALLS = 64

path, pid, count, *program = sys.argv[1:]
_, most = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def message(procedure, serial, payload=b""):
    header = struct.pack(">6I", PROGRAM, VERSION, procedure, 0, serial, 0)
    return struct.pack(">I", 4 + len(header) + len(payload)) + header + payload


def receive(client):
    data = b""
    while len(data) < 4 or len(data) < struct.unpack(">I", data[:4])[0]:
        more = client.recv(65536)
        assert more, "the daemon hung up"
        data += more
    assert data[24:28] == b"\0\0\0\0", "the call failed"


def newcomer():
    client = socket.socket(socket.AF_UNIX)
    client.connect(path)
    name = b"test:///default"
    payload = struct.pack(">II", 1, len(name)) + name + b"\0" + struct.pack(">I", 0)
    client.sendall(message(OPEN, 0, payload))
    return client


def visitor():
    client = newcomer()
    receive(client)
    return client


def resident_kib():
    with open(f"/proc/{pid}/status", encoding="ascii") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmRSS"))


caller = visitor()
for serial in range(1, 200):
    caller.sendall(message(SUPPORTS_FEATURE, serial, struct.pack(">i", 1)))
    receive(caller)
# Some at once, so that the daemon's threads are there: they are not what is measured.
for early in [newcomer() for _ in range(40)]:
    receive(early)
    early.close()
time.sleep(1)
before = resident_kib()
crowd = [visitor() for _ in range(int(count))]
with_them = resident_kib()
slow = visitor()
slow.setblocking(False)
try:
    for serial in range(UNREAD_CALLS):
        slow.send(message(CAPABILITIES, serial + 1))
except BlockingIOError:
    pass
times = []
for serial in range(1, 1001):
    start = time.perf_counter()
    caller.sendall(message(SUPPORTS_FEATURE, serial, struct.pack(">i", 1)))
    receive(caller)
    times.append(time.perf_counter() - start)
times.sort()
print(json.dumps({
    "clients": len(crowd) + 2,
    "before_kib": before,
    "with_them_kib": with_them,
    "one_kib": round((with_them - before) / max(len(crowd), 1), 2),
    "call_p50_us": round(times[500] * 1e6),
    "call_p99_us": round(times[990] * 1e6),
}), flush=True)
if program:
    sys.exit(subprocess.call(program))
