"""The sample ``office.pcapng``: ten VMs of an office behind one adapter.

Ordinary traffic (TCP sessions with the outside and between VMs, small UDP
frames, ARP, voice with priority) and, among it, one of each kind of frame that a
switch treats in a way of its own. Those carry a comment that says so.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pcaps.addresses import mac_to_key
from pcaps.blueprint import PERIOD, UDP, blueprint, build, ip_word
from pcaps.conversations import TcpSession, converse
from pcaps.copies import NO_COMMENT, Copies, tag_word
from pcaps.draws import Draws
from pcaps.frames import Frames
from pcaps.pcapng_writer import OutInterface, PcapngWriter

if TYPE_CHECKING:
    from pcaps.traffic_kernel import Blueprint

START_NS = 1_256_202_000 * 10**9
"""2009-10-22 09:00 UTC."""

DURATION_NS = 30 * 10**9

_VLAN_TAG = 0x8100
_ROUTER = "02:00:00:00:00:01"


@dataclass(frozen=True, slots=True)
class OfficeVm:
    """One VM of the office.

    Parameters
    ----------
    name, mac, ip : str
        What it is called, and its addresses.
    vlan : int
        0 = untagged.
    weight : int
        How much of the small traffic it gets.
    priority : int
        PCP of the frames to it.
    """

    name: str
    mac: str
    ip: str
    vlan: int
    weight: int
    priority: int = 0

    @property
    def tag(self) -> int:
        """The tag of the frames to it, 0 for none."""
        return tag_word(_VLAN_TAG, self.priority << 13 | self.vlan) if self.vlan else 0


VMS = (
    OfficeVm("files", "00:15:5d:01:0a:00", "10.1.10.10", 10, 40),
    OfficeVm("mail", "00:15:5d:01:0a:01", "10.1.10.11", 10, 20),
    OfficeVm("print", "00:15:5d:01:0a:02", "10.1.10.12", 10, 2),
    OfficeVm("web", "00:15:5d:01:0a:03", "10.1.20.10", 20, 30),
    OfficeVm("shop", "00:15:5d:01:0a:04", "10.1.20.11", 20, 12),
    OfficeVm("database", "00:15:5d:01:0a:05", "10.1.20.12", 20, 16),
    OfficeVm("telephone", "00:15:5d:01:0a:06", "10.1.30.10", 30, 24, priority=5),
    OfficeVm("voicemail", "00:15:5d:01:0a:07", "10.1.30.11", 30, 3, priority=5),
    OfficeVm("directory", "00:15:5d:01:0a:08", "10.1.1.10", 0, 10),
    OfficeVm("monitor", "00:15:5d:01:0a:09", "10.1.1.11", 0, 5),
)


def _small_frames(draws: Draws, n: int) -> Blueprint:
    """UDP of 64 bytes from outside to the VMs, by weight, evenly over the time."""
    edges = np.cumsum([vm.weight for vm in VMS])
    drawn = draws.integers(0, 0, n, int(edges[-1]))
    vm = np.searchsorted(edges, drawn, side="right")
    tag = np.array([entry.tag for entry in VMS])[vm]
    header = np.where(tag == 0, 42, 46)
    return blueprint(
        n,
        ts_ns=START_NS + np.arange(n) * DURATION_NS // n,
        template=UDP,
        length=64,
        payload_bytes=64 - header,
        payload_at=draws.integers(1, 0, n, PERIOD),
        destination=np.array([mac_to_key(entry.mac) for entry in VMS], np.uint64)[vm],
        source=mac_to_key(_ROUTER),
        tag=tag,
        source_ip=ip_word("192.0.2.9"),
        destination_ip=np.array([ip_word(entry.ip) for entry in VMS])[vm],
        source_port=49_152 + draws.integers(2, 0, n, 512),
        destination_port=9,
        ip_id=np.arange(n) & 0xFFFF,
    )


def _sessions(draws: Draws, n: int) -> Blueprint:
    """TCP sessions from outside to the VMs; every tenth one runs between web and database."""
    words = [int(word) for word in draws.words(3, 0, n)]
    sessions = []
    for number, word in enumerate(words):
        server = VMS[word % len(VMS)]
        client_mac, client_ip = _ROUTER, f"198.51.100.{1 + (word >> 8) % 250}"
        if number % 10 == 9:
            server, client_mac, client_ip = VMS[5], VMS[3].mac, VMS[3].ip
        response = 100 + (word >> 16) % 1200
        sessions.append(
            TcpSession(
                client_mac=mac_to_key(client_mac),
                server_mac=mac_to_key(server.mac),
                client_ip=ip_word(client_ip),
                server_ip=ip_word(server.ip),
                client_port=50_000 + number,
                server_port=5001,
                tag=server.tag,
                start_ns=START_NS + 50_000_000 + number * (DURATION_NS - 10**9) // n,
                rtt_ns=2_000_000 + (word >> 32) % 30_000_000,
                request_bytes=80 + (word >> 24) % 120,
                response_bytes=12_000 if number == 20 else response,
                retransmit=3 if number == 20 else None,
                client_isn=word & 0xFFFFFFFF,
                server_isn=word >> 32,
            )
        )
    return converse(sessions)


@dataclass(frozen=True, slots=True)
class _Special:
    """A frame by hand: its bytes, what is special about it, its length on the wire."""

    data: bytes
    comment: str
    wirelen: int = 0


def _ethernet(destination: str, source: str, rest: bytes, least: int = 60) -> bytes:
    raw = bytes.fromhex((destination + source).replace(":", "")) + rest
    return raw.ljust(least, b"\0")


def _tagged(vm: OfficeVm, kind: int, payload: bytes) -> bytes:
    """EtherType and payload behind the VM's tag."""
    return vm.tag.to_bytes(4, "little")[: 4 if vm.tag else 0] + kind.to_bytes(2, "big") + payload


def _udp(source: str, destination: str, n_bytes: int, port: int = 9) -> bytes:
    from scapy.layers import inet

    packet = inet.IP(src=source, dst=destination, flags="DF", id=1)
    return bytes(packet / inet.UDP(sport=49_152, dport=port) / (b"vswitch " * 1200)[:n_bytes])


def _arp(operation: int, vm: OfficeVm, asking: bool) -> bytes:
    """Return an ARP packet between a VM and the router of its VLAN."""
    router = bytes.fromhex(_ROUTER.replace(":", "")) + _router_ip(vm)
    own = bytes.fromhex(vm.mac.replace(":", "")) + bytes(map(int, vm.ip.split(".")))
    ends = (own, bytes(6) + _router_ip(vm)) if asking else (router, own)
    return bytes.fromhex("000108000604") + operation.to_bytes(2, "big") + b"".join(ends)


def _router_ip(vm: OfficeVm) -> bytes:
    return bytes(map(int, vm.ip.split(".")[:3])) + b"\x01"


def _address_resolution() -> list[_Special]:
    """Each VM asks for its router by broadcast and is answered by unicast."""
    pairs = []
    for vm in VMS:
        ask = _tagged(vm, 0x0806, _arp(1, vm, asking=True))
        answer = _tagged(vm, 0x0806, _arp(2, vm, asking=False))
        pairs.append(_Special(_ethernet("ff:ff:ff:ff:ff:ff", vm.mac, ask, 64), ""))
        pairs.append(_Special(_ethernet(vm.mac, _ROUTER, answer, 64), ""))
    return pairs


def _groups() -> list[_Special]:
    """Broadcast and multicast that every office has."""
    from scapy.layers import dhcp, dns, inet, inet6

    directory, telephone = VMS[8], VMS[6]
    discover = (
        inet.IP(src="0.0.0.0", dst="255.255.255.255", id=7)
        / inet.UDP(sport=68, dport=67)
        / dhcp.BOOTP(chaddr=bytes.fromhex(VMS[9].mac.replace(":", "")), xid=0x2009)
        / dhcp.DHCP(options=[("message-type", "discover"), "end"])
    )
    question = (
        inet.IP(src=telephone.ip, dst="224.0.0.251", ttl=255, id=8)
        / inet.UDP(sport=5353, dport=5353)
        / dns.DNS(rd=0, qd=dns.DNSQR(qname="_sip._udp.local", qtype="PTR"))
    )
    advert = (
        inet6.IPv6(src="fe80::ff:fe00:1", dst="ff02::1", hlim=255)
        / inet6.ICMPv6ND_RA(routerlifetime=1800)
        / inet6.ICMPv6NDOptSrcLLAddr(lladdr=_ROUTER)
    )
    return [
        _Special(
            _ethernet("ff:ff:ff:ff:ff:ff", VMS[9].mac, b"\x08\x00" + bytes(discover)),
            "broadcast: DHCP discover of monitor, to every untagged port",
        ),
        _Special(
            _ethernet("01:00:5e:00:00:fb", telephone.mac, _tagged(telephone, 0x800, bytes(question))),
            "multicast: mDNS question of telephone, to every port of VLAN 30",
        ),
        _Special(
            _ethernet("33:33:00:00:00:01", _ROUTER, b"\x86\xdd" + bytes(advert)),
            "multicast: IPv6 router advertisement, untagged",
        ),
        _Special(
            _ethernet(
                "01:80:c2:00:00:00", _ROUTER,
                bytes.fromhex("0026 424203 0000000000 8000020000000001 00000000")
                + bytes.fromhex("8000020000000001 8001 0000 1400 0200 0f00"),
            ),
            "reserved destination: a spanning tree BPDU, which bridges never forward",
        ),
        _Special(
            _ethernet(
                "01:80:c2:00:00:0e", _ROUTER,
                bytes.fromhex("88cc 0207 04 020000000001 0403 05 7031 0602 0078 0000"),
            ),
            "reserved destination: LLDP, which bridges never forward",
        ),
        _Special(
            _ethernet(directory.mac, _ROUTER, b"\x81\x00\xa0\x00" + b"\x08\x00"
                      + _udp("192.0.2.9", directory.ip, 40), 64),
            "priority tag: VID 0 with PCP 5 counts as untagged",
        ),
    ]  # fmt: skip


def _oddities() -> list[_Special]:
    """One frame of each kind that a switch refuses or treats in a way of its own."""
    files, mail, web = VMS[0], VMS[1], VMS[3]
    to_files = _udp("192.0.2.9", files.ip, 40)
    plain = b"\x08\x00" + to_files
    full = _ethernet(web.mac, _ROUTER, _tagged(web, 0x800, _udp("192.0.2.9", web.ip, 1472)))
    return [
        _Special(
            _ethernet("00:15:5d:01:0a:77", _ROUTER, _tagged(files, 0x800, to_files), 64),
            "unknown destination: no VM has the address 00-15-5D-01-0A-77",
        ),
        _Special(
            _ethernet(files.mac, _ROUTER, b"\x81\x00\x03\xe7" + plain, 64),
            "unknown VLAN: VID 999 is nobody's",
        ),
        _Special(
            _ethernet(web.mac, _ROUTER, _tagged(files, 0x800, to_files), 64),
            "wrong VLAN: the address of web (VLAN 20) in VLAN 10",
        ),
        _Special(
            _ethernet(files.mac, _ROUTER, b"\x81\x00\x0f\xff" + plain, 64),
            "bad tag: VID 4095 is reserved",
        ),
        _Special(
            _ethernet(files.mac, _ROUTER, b"\x81\x00\x00\x0a", 16),
            "bad tag: the frame ends inside its tag (16 bytes)",
        ),
        _Special(b"\x00\x15\x5d\x01\x0a\x00\x02\x00\x00\x00", "runt: 10 bytes"),
        _Special(
            _ethernet(web.mac, _ROUTER, _tagged(web, 0x800, _udp("192.0.2.9", web.ip, 1954))),
            "oversize: 2000 bytes, more than an MTU of 1500 lets out",
        ),
        _Special(full[:96], "cut: 96 bytes captured of 1518 on the wire", len(full)),
        _Special(full[:12], "cut: the capture ends before the EtherType", len(full)),
        _Special(
            _ethernet(mail.mac, files.mac, _tagged(mail, 0x800, _udp(files.ip, mail.ip, 18)), 64),
            "spoofed or mirrored: from outside, with the source address of files",
        ),
        _Special(
            _ethernet(files.mac, "01:00:5e:00:00:01", _tagged(files, 0x800, to_files), 64),
            "bad source: a group address never sends",
        ),
        _Special(
            _ethernet(files.mac, "00:00:00:00:00:00", _tagged(files, 0x800, to_files), 64),
            "bad source: all zero",
        ),
        _Special(
            _ethernet(mail.mac, _ROUTER, b"\x81\x00\x00\x0a\x81\x00\x00\x14" + plain, 68),
            "two tags: VID 10 outside, VID 20 inside; the outer one decides",
        ),
        _Special(
            _ethernet(mail.mac, _ROUTER, b"\x88\xa8\x00\x0a" + plain, 64),
            "service tag: TPID 0x88a8, VID 10",
        ),
        _Special(
            _ethernet(files.mac, _ROUTER, _tagged(files, 0x88B5, b"\0" * 42), 60),
            "neither IP nor ARP: the local experimental EtherType 0x88b5",
        ),
    ]


def _special_frames() -> tuple[Frames, list[str]]:
    """Return the frames by hand, spread over the time: each ARP pair close together."""
    specials: list[_Special] = []
    times: list[int] = []
    for number, special in enumerate(_address_resolution()):
        specials.append(special)
        times.append(START_NS + 1_000_000 + 7_000_000 * (number // 2) + 300_000 * (number % 2))
    for number, special in enumerate(_groups() + _oddities()):
        specials.append(special)
        times.append(START_NS + 10**9 + 1_300_000_007 * number)
    frames = Frames.from_bytes(
        [special.data for special in specials],
        wirelen=[special.wirelen or len(special.data) for special in specials],
        ts_ns=times,
    )
    return frames, [special.comment for special in specials]


def _merge(plan: Blueprint, specials: Frames) -> tuple[Frames, Any]:
    """Join built frames and those by hand in order of time; also return whence each came."""
    built = build(plan)
    data = np.concatenate([built.data, specials.data])
    moved = replace(specials, data=data, start=specials.start + len(built.data))
    both = Frames.concatenate([replace(built, data=moved.data), moved])
    order = np.argsort(both.ts_ns, kind="stable")
    return both[order], order - len(built)


def make(target: Path) -> None:
    """Write the sample.

    Parameters
    ----------
    target : pathlib.Path
        The file to write.
    """
    from pcaps.blueprint import join

    draws = Draws(2009)
    specials, comments = _special_frames()
    plan = join([_small_frames(draws, 8100), _sessions(draws, 152)])
    frames, whence = _merge(plan, specials)
    numbers = [k for k, comment in enumerate(comments) if comment]
    of_special = np.full(len(comments) + 1, NO_COMMENT)  # the last entry: the built frames'
    of_special[numbers] = np.arange(len(numbers))
    comment = of_special[np.maximum(whence, -1)]
    everything = Copies.of_all(len(frames))
    with PcapngWriter(
        target,
        [OutInterface("uplink", "Ethernet adapter of the Hyper-V host, all VLANs")],
        comments=[comments[k] for k in numbers],
        application="vswitch capture synth",
        comment="Sample: ten VMs of an office in VLANs 10, 20, 30 and untagged.",
    ) as writer:
        writer.write(frames, Copies(everything.frame, everything.interface, comment=comment))
