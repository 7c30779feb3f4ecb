"""Announcements: when they are sent, and their bytes."""

from __future__ import annotations

import pytest
from fidelity_facts import facts_folder
from scapy.all import ARP, Dot1Q, Ether

import pcaps
from migration.announce import (
    ANNOUNCEMENTS,
    announce_frame,
    announce_times,
    announcement,
    rarp_offsets,
)
from migration.policies import POLICIES
from pcaps.addresses import mac_to_key
from pcaps.errors import BadInput

MAC = mac_to_key("52:54:00:12:34:56")
MS = 10**6


def test_rarp_gaps_grow_by_100_ms() -> None:
    assert rarp_offsets() == (0, 50 * MS, 200 * MS, 450 * MS, 800 * MS)


def test_rarp_frame_and_times_are_those_of_a_real_migration() -> None:
    capture = pcaps.open(facts_folder() / "qemu72_rarp_announce.pcap")
    frames = [frame for batch in capture for frame in batch]
    for frame, (offset, kind) in zip(frames, announce_times("rarp5"), strict=True):
        assert kind == "rarp"
        assert bytes(frame.data) == announce_frame("rarp", MAC)
        assert frame.ts_ns - frames[0].ts_ns == pytest.approx(offset, abs=2 * MS)


def test_gratuitous_arp_is_an_announcement() -> None:
    frame = Ether(announce_frame("garp", MAC, "10.0.0.5"))
    arp = frame[ARP]
    assert (frame.dst, frame.src) == ("ff:ff:ff:ff:ff:ff", "52:54:00:12:34:56")
    assert (arp.op, arp.hwsrc, arp.psrc, arp.pdst) == (
        1,
        "52:54:00:12:34:56",
        "10.0.0.5",
        "10.0.0.5",
    )
    assert arp.hwdst == "00:00:00:00:00:00"
    assert len(frame) == 60


@pytest.mark.parametrize("kind", ["rarp", "garp"])
def test_a_tag_is_in_its_place(kind) -> None:
    tagged = announce_frame(kind, MAC, "10.0.0.5", tci=0x6014)
    frame = Ether(tagged)
    assert (frame[Dot1Q].vlan, frame[Dot1Q].prio) == (20, 3)
    assert frame[Dot1Q].type == {"rarp": 0x8035, "garp": 0x0806}[kind]
    plain = announce_frame(kind, MAC, "10.0.0.5")
    assert tagged[18:] == plain[14:].ljust(len(tagged) - 18, b"\0")[: len(tagged) - 18]
    assert len(tagged) == 60


def test_announcements_of_rfc_5227_are_two_seconds_apart() -> None:
    assert announce_times("garp2") == ((0, "garp"), (2000 * MS, "garp"))


def test_a_netvsc_guest_is_silent_for_two_seconds() -> None:
    one = announcement("netvsc")
    assert one.silent_ns == one.frames[0][0] == 2000 * MS


def test_none_sends_nothing() -> None:
    assert announce_times("none") == ()


@pytest.mark.parametrize("name", POLICIES)
def test_every_policy_has_an_announcement(name: str) -> None:
    assert POLICIES[name].announce in ANNOUNCEMENTS


def test_what_cannot_be_announced_is_refused() -> None:
    with pytest.raises(BadInput, match="did you mean 'rarp5'"):
        announcement("rarp")
    with pytest.raises(BadInput, match="group address"):
        announce_frame("rarp", 0xFFFFFFFFFFFF)
    with pytest.raises(BadInput, match="needs the VM's IPv4 address"):
        announce_frame("garp", MAC)
    with pytest.raises(BadInput, match=r"not '10\.0\.0'"):
        announce_frame("garp", MAC, "10.0.0")
