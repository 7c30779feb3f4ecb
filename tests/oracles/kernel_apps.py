"""Applications over the kernel's TCP that note when they make progress; run inside a namespace.

    python kernel_apps.py echo ADDRESS PORT                  answers what it reads, one connection
    python kernel_apps.py sink ADDRESS PORT                  reads one connection to its end
    python kernel_apps.py web ADDRESS PORT --folder F        Python's http.server, until it is ended
    python kernel_apps.py ask ADDRESS PORT --seconds S       64 bytes, 20 ms after each answer
    python kernel_apps.py push ADDRESS PORT --seconds S      writes without end
    python kernel_apps.py fetch ADDRESS PORT --seconds S --file NAME
                                                             gets a file by HTTP, again and again

``--congestion`` chooses the congestion control of the sockets; as a socket option, since most
kernels let only reno be the default of a namespace.

Servers say ``ready`` when they listen. At its end each prints one JSON object: ``gaps`` lists
[start, end] in ns since 1970 of each time of at least 10 ms without progress (echo, ask: an
answer; sink, fetch: bytes read; push: a write); ``error`` and ``ended_ns`` are set when the
connection broke; ``samples`` has the kernel's TCP_INFO every 100 ms, as
[time, RTO, SRTT, RTTVAR] with the last three in us; ``bytes`` were read or written.
"""

from __future__ import annotations

import argparse
import functools
import http.client
import http.server
import json
import socket
import struct
import time
from dataclasses import asdict, dataclass, field

REQUEST_BYTES, THINK_S, PAUSE_S = 64, 0.020, 0.050
WRITE_BYTES = 1 << 16
GAP_NS, SAMPLE_NS = 10_000_000, 100_000_000


@dataclass
class Progress:
    """What an application reports."""

    gaps: list[tuple[int, int]] = field(default_factory=list)
    samples: list[tuple[int, int, int, int]] = field(default_factory=list)
    bytes: int = 0
    error: str = ""
    ended_ns: int = 0
    last_ns: int = field(default_factory=time.time_ns)

    def made(self, amount: int) -> None:
        """Note progress now."""
        now_ns = time.time_ns()
        if now_ns - self.last_ns >= GAP_NS:
            self.gaps.append((self.last_ns, now_ns))
        self.last_ns = now_ns
        self.bytes += amount

    def sample(self, connection: socket.socket) -> None:
        """Note the kernel's timers, when the last time is long enough ago."""
        now_ns = time.time_ns()
        if self.samples and now_ns - self.samples[-1][0] < SAMPLE_NS:
            return
        info = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 104)
        words = struct.unpack("8B24I", info)
        # struct tcp_info: tcpi_rto, tcpi_rtt, tcpi_rttvar
        self.samples.append((now_ns, words[8], words[23], words[24]))

    def say(self) -> None:
        """Print the report."""
        print(json.dumps(asdict(self)), flush=True)


def prepare(ends: socket.socket, options: argparse.Namespace) -> None:
    ends.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, options.congestion.encode())
    ends.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def accepted(options: argparse.Namespace) -> socket.socket:
    with socket.create_server((options.address, options.port)) as server:
        prepare(server, options)
        print("ready", flush=True)
        return server.accept()[0]


def connected(options: argparse.Namespace) -> socket.socket:
    connection = socket.socket()
    prepare(connection, options)
    connection.connect((options.address, options.port))
    return connection


def echo(progress: Progress, options: argparse.Namespace) -> None:
    with accepted(options) as connection:
        while data := connection.recv(WRITE_BYTES):
            connection.sendall(data)
            progress.made(len(data))


def sink(progress: Progress, options: argparse.Namespace) -> None:
    with accepted(options) as connection:
        while data := connection.recv(WRITE_BYTES):
            progress.made(len(data))


def web(progress: Progress, options: argparse.Namespace) -> None:
    handler = functools.partial(
        http.server.SimpleHTTPRequestHandler, directory=options.folder
    )  # fmt: skip
    with http.server.ThreadingHTTPServer((options.address, options.port), handler) as server:
        prepare(server.socket, options)
        print("ready", flush=True)
        server.serve_forever()


def ask(progress: Progress, options: argparse.Namespace) -> None:
    with connected(options) as connection:
        end = time.monotonic() + options.seconds
        while time.monotonic() < end:
            connection.sendall(bytes(REQUEST_BYTES))
            missing = REQUEST_BYTES
            while missing:
                data = connection.recv(missing)
                if not data:
                    raise ConnectionError("the server closed the connection")
                missing -= len(data)
            progress.made(REQUEST_BYTES)
            progress.sample(connection)
            time.sleep(THINK_S)


def push(progress: Progress, options: argparse.Namespace) -> None:
    block = bytes(WRITE_BYTES)
    with connected(options) as connection:
        end = time.monotonic() + options.seconds
        while time.monotonic() < end:
            progress.made(connection.send(block))
            progress.sample(connection)


def fetch(progress: Progress, options: argparse.Namespace) -> None:
    end = time.monotonic() + options.seconds
    while time.monotonic() < end:
        client = http.client.HTTPConnection(options.address, options.port)
        client.sock = connected(options)
        client.request("GET", f"/{options.file}")
        with client.getresponse() as answer:
            while data := answer.read1(WRITE_BYTES):
                progress.made(len(data))
        client.close()
        time.sleep(PAUSE_S)


ROLES = {"echo": echo, "sink": sink, "web": web, "ask": ask, "push": push, "fetch": fetch}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("role", choices=ROLES)
    parser.add_argument("address")
    parser.add_argument("port", type=int)
    parser.add_argument("--congestion", default="cubic")
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--folder", default=".")
    parser.add_argument("--file", default="")
    options = parser.parse_args()
    progress = Progress()
    try:
        ROLES[options.role](progress, options)
    except OSError as error:
        progress.error, progress.ended_ns = error.strerror or str(error), time.time_ns()
    progress.say()


if __name__ == "__main__":
    main()
