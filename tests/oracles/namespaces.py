"""Network namespaces without names, each with one tap device: a machine of its own to the kernel.

Guarantees
----------
* A namespace lives as long as :class:`Namespace` holds it open. It has no name, no file and
  no process, so that nothing stays behind, also when this process is killed.
* A tap has no offloads: what is read from it are frames of at most MTU + 14 bytes with their
  checksums computed, and what is written to it is checked by the kernel.
* Nothing outside the namespace is touched.

Left to others: what joins two taps (:mod:`dark_path`), and which programs run inside.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import shutil
import signal
import socket
import struct
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

_CLONE_NEWNET = 0x4000_0000
_TUNSETIFF, _IFF_TAP, _IFF_NO_PI = 0x4004_54CA, 0x0002, 0x1000
_PR_SET_PDEATHSIG = 1
_ETH_P_ALL, _SO_RCVBUFFORCE, _SO_TIMESTAMPNS = 3, 33, 35
DEVICE = "eth0"

_libc = ctypes.CDLL(None, use_errno=True)


def _checked(result: int, what: str) -> None:
    if result:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def why_not() -> str:
    """Return what is missing to make a namespace, nothing when all is there."""
    if os.geteuid() != 0:
        return "network namespaces need root"
    if shutil.which("ip") is None:
        return "the command ip is absent; install iproute2"
    if not Path("/dev/net/tun").exists():
        return "/dev/net/tun is absent"
    try:
        Namespace("02:00:00:00:00:01", "192.0.2.1/24").close()
    except (OSError, subprocess.CalledProcessError) as error:
        return f"network namespaces cannot be made here: {error}"
    return ""


@dataclass
class Namespace:
    """A network namespace with loopback and one tap, both up, IPv6 off.

    Parameters
    ----------
    mac : str
        Address of the tap.
    address : str
        IPv4 address with its prefix length, such as ``192.0.2.1/24``.
    sysctls : mapping of str to str
        Below ``net/``, such as ``{"ipv4/tcp_retries2": "5"}``.
    mtu : int
        Of the tap, in bytes.

    Attributes
    ----------
    tap : int
        File descriptor, non-blocking: one read is a frame that the namespace sent, one
        write a frame that it receives.
    """

    mac: str
    address: str
    sysctls: Mapping[str, str] = field(default_factory=dict)
    mtu: int = 1500
    tap: int = field(init=False, default=-1)
    _home: int = field(init=False, default=-1)
    _inside: int = field(init=False, default=-1)

    def __post_init__(self) -> None:
        try:
            self._make()
        except BaseException:
            self.close()
            raise

    def _make(self) -> None:
        self._home = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        _checked(_libc.unshare(_CLONE_NEWNET), "unshare")
        try:
            self._inside = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
            self.tap = os.open("/dev/net/tun", os.O_RDWR | os.O_CLOEXEC | os.O_NONBLOCK)
            asked = struct.pack("16sH22x", DEVICE.encode(), _IFF_TAP | _IFF_NO_PI)
            fcntl.ioctl(self.tap, _TUNSETIFF, asked)
            settings = {"ipv6/conf/all/disable_ipv6": "1", **self.sysctls}
            for name, value in settings.items():
                entry = Path("/proc/sys/net", name)
                if entry.exists() or name in self.sysctls:
                    entry.write_text(value)
            commands = (
                f"link set dev {DEVICE} address {self.mac} mtu {self.mtu}\n"
                f"address add {self.address} dev {DEVICE}\n"
                f"link set dev {DEVICE} up\nlink set dev lo up\n"
            )
            subprocess.run(
                ["ip", "-batch", "-"], input=commands, text=True, check=True, capture_output=True
            )
        finally:
            _checked(_libc.setns(self._home, _CLONE_NEWNET), "setns")

    @property
    def ip(self) -> str:
        """The IPv4 address alone."""
        return self.address.partition("/")[0]

    @contextmanager
    def entered(self) -> Iterator[None]:
        """Be inside: sockets made and programs started in the block stay there."""
        _checked(_libc.setns(self._inside, _CLONE_NEWNET), "setns")
        try:
            yield
        finally:
            _checked(_libc.setns(self._home, _CLONE_NEWNET), "setns")

    def start(self, *command: str) -> subprocess.Popen[str]:
        """Start a program inside; it is killed when this process dies.

        Parameters
        ----------
        *command : str
            Program and arguments.

        Returns
        -------
        subprocess.Popen
            Its output is to be read from ``stdout`` and ``stderr``.
        """
        with self.entered():
            return subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                # returns an int to nobody; a lambda would keep nothing else from being inherited
                preexec_fn=lambda: _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL),  # noqa: PLW1509
            )

    def recorder(self) -> Recorder:
        """Return what records the frames of the tap from now on."""
        with self.entered():
            return Recorder()

    def lost(self) -> int:
        """Return how many frames the kernel dropped because nobody read the tap in time."""
        with self.entered():
            lines = Path("/proc/thread-self/net/dev").read_text().splitlines()
        counts = next(line.split() for line in lines if line.strip().startswith(f"{DEVICE}:"))
        return int(counts[12])  # receive has eight columns, then bytes, packets, errors, drops

    def close(self) -> None:
        """Give up the tap and the namespace; programs inside are the caller's to end."""
        for descriptor in (self.tap, self._inside, self._home):
            if descriptor >= 0:
                os.close(descriptor)
        self.tap = self._inside = self._home = -1


@dataclass(frozen=True, slots=True)
class Recorded:
    """A frame, the kernel's time of it in ns since 1970, and whether the namespace sent it."""

    ts_ns: int
    sent: bool
    data: bytes


class Recorder:
    """Frames that pass the tap of the namespace it is made in, with the kernel's own times.

    Attributes
    ----------
    frames : list of Recorded
        What :meth:`take` has read so far.
    """

    def __init__(self) -> None:
        self.frames: list[Recorded] = []
        self.socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ETH_P_ALL))
        self.socket.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, 64 << 20)
        self.socket.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
        self.socket.bind((DEVICE, 0))
        self.socket.setblocking(False)

    def fileno(self) -> int:
        """Return the descriptor to wait for."""
        return self.socket.fileno()

    def take(self) -> None:
        """Read what has come since the last call."""
        while True:
            try:
                data, extra, _, where = self.socket.recvmsg(1 << 17, 64)
            except BlockingIOError:
                return
            times = [body for _, kind, body in extra if kind == _SO_TIMESTAMPNS]
            seconds, rest_ns = struct.unpack("qq", times[0])
            sent = where[2] == socket.PACKET_OUTGOING
            self.frames.append(Recorded(seconds * 1_000_000_000 + rest_ns, sent, data))

    def close(self) -> None:
        """Stop recording; raise when the kernel could not hand over every frame."""
        SOL_PACKET, PACKET_STATISTICS = 263, 6
        _, dropped = struct.unpack("II", self.socket.getsockopt(SOL_PACKET, PACKET_STATISTICS, 8))
        self.socket.close()
        if dropped:
            raise RuntimeError(f"the recording lacks {dropped} frames")
        self.frames.sort(key=lambda frame: frame.ts_ns)
