"""Faults to plant: each breaks one rule of a decision, and a test must notice.

`old` stands exactly once in its file; a list that is no longer true is an error.
"""

from __future__ import annotations

from dataclasses import dataclass

TWINS = ("tests/vswitch/test_twins.py",)
CORNERS = ("tests/vswitch/test_corner_cases.py",)
FDB = ("tests/vswitch/test_fdb.py",)
VMQ = ("tests/nic/test_vmq.py", "tests/nic/test_adapter.py")
FILTERS = ("tests/nic/test_filters.py",)
READERS = ("tests/pcaps/test_capture.py",)
HEADERS = ("tests/pcaps/test_headers.py",)
COUNTERS = ("tests/vswitch/test_stats_kernel.py", "tests/vswitch/test_tally.py")
LOOP_TESTS = ("tests/vswitch/test_replay_kernel.py",)
TABLES = ("tests/vswitch/test_tables.py",)
MEMORY = ("tests/migration/test_memory.py",)
POLICIES = ("tests/migration/test_policies.py",)
WIRE_FRAMES = ("tests/migration/test_wire_frames.py",)
WIRE = ("tests/migration/test_wire.py",)
REPORTS = ("tests/migration/test_replay_report.py",)
PICTURES = ("tests/migration/test_picture.py",)


@dataclass(frozen=True)
class Fault:
    """One planted fault.

    Parameters
    ----------
    rule : str
        The rule that it breaks.
    path : str
        File, from the root of the repository.
    old, new : str
        Text to replace, and by what.
    tests : tuple of str
        Test files that have to notice.
    """

    rule: str
    path: str
    old: str
    new: str
    tests: tuple[str, ...] = TWINS


DECIDE = "vswitch/decide_kernel.py"
LEARN = "vswitch/learning_kernel.py"
COPIES = "vswitch/copies_kernel.py"
FDB_KERNEL = "vswitch/fdb_kernel.py"
VLAN = "vswitch/vlan.py"
IMAGE = "vswitch/tables.py"
LOOPS = "vswitch/replay_kernel.py"
STATS = "vswitch/stats_kernel.py"
ADAPTER = "nic/adapter.py"
FILTER_KERNEL = "nic/filters_kernel.py"
INDEX = "pcaps/index_kernel.py"
HEADER_KERNEL = "pcaps/headers_kernel.py"

FAULTS = (
    Fault(
        "MTU + 14 bytes may leave, not one more",
        DECIDE,
        "        return length > limit + u64(4)\n    return True",
        "        return length > limit + u64(5)\n    return True",
        (*TWINS, *CORNERS),
    ),
    Fault(
        "a vNIC sends with its own address only",
        DECIDE,
        "if flags & u64(F_SPOOF_GUARD) and rare(source != image[port + u64(P_MAC)]):",
        "if flags & u64(F_SPOOF_GUARD) and rare(source == image[port + u64(P_MAC)]):",
    ),
    Fault(
        "a group address never sends",
        DECIDE,
        "rare((source & u64(1) != u64(0)) | (source == u64(0)))",
        "rare(source == u64(0))",
    ),
    Fault(
        "a second tag behind VID 0 is refused on an access port",
        DECIDE,
        "entry & u64(E_CHECK_INNER) and ld16(data, start + u64(16)) == u64(0x0081)",
        "entry & u64(E_CHECK_INNER) and ld16(data, start + u64(16)) == u64(0x0082)",
        (*TWINS, *CORNERS),
    ),
    Fault(
        "01-80-C2-00-00-00 to -0F are never forwarded",
        DECIDE,
        "RESERVED_MASK = 0xF0FFFFFFFFFF",
        "RESERVED_MASK = 0xFFFFFFFFFFFF",
        (*TWINS, *CORNERS),
    ),
    Fault(
        "an isolated group does not reach itself",
        DECIDE,
        "return (image[image[H_GROUPS] + source] & u64(ISOLATED_GROUP)) != u64(0)",
        "return False",
    ),
    Fault(
        "a vNIC that is switched off gets nothing",
        DECIDE,
        "    if target & u64(DISCONNECTED):\n        return u64(R_NOT_CONNECTED)\n",
        "",
    ),
    Fault(
        "unknown unicast from the uplink is dropped",
        DECIDE,
        "    if flags & u64(F_UPLINK):\n        return u64(R_UNKNOWN_FROM_UPLINK)\n",
        "",
    ),
    Fault(
        "a private VLAN shows its secondary VID on a trunk",
        DECIDE,
        "return (tci & u64(0xF000)) | secondary",
        "return tci",
    ),
    Fault(
        "a frame shorter than 14 bytes is a runt",
        DECIDE,
        "        if caplen < u64(14):\n            return short_reason(wirelen, u64(0))",
        "        if caplen < u64(13):\n            return short_reason(wirelen, u64(0))",
    ),
    Fault(
        "PCP and DEI stay with the frame",
        DECIDE,
        "word = (entry & ~u64(E_SPECIAL)) | ((tci & u64(0xF000)) << u64(TCI_SHIFT))",
        "word = (entry & ~u64(E_SPECIAL)) | ((tci & u64(0x7000)) << u64(TCI_SHIFT))",
    ),
    Fault(
        "nothing is learned from a group source",
        LEARN,
        "if source & u64(1) == u64(0):",
        "if source & u64(1) == source & u64(1):",
    ),
    Fault(
        "nothing is learned from a frame to a reserved destination",
        LEARN,
        "is_vendor_reserved(\n        destination\n    ):\n        return u64(R_RESERVED_DESTINATION)\n",
        "is_vendor_reserved(\n        destination\n    ):\n"
        "        learned_put(learned, ((entry & u64(VLAN_BITS)) << u64(24)) | source, in_port, now)\n"
        "        return u64(R_RESERVED_DESTINATION)\n",
    ),
    Fault(
        "CFM addresses end with C7",
        LEARN,
        "last & u64(0xF8) == u64(0xC0)",
        "last & u64(0xF0) == u64(0xC0)",
        (*TWINS, *CORNERS, "tests/vswitch/test_learning_rules.py"),
    ),
    Fault(
        "an address that moves is found at its new port",
        FDB_KERNEL,
        "    learned[entry + u64(E_PORT)] = port\n",
        "    learned[entry + u64(E_PORT)] = port & u64(1)\n",
        (*FDB, *TWINS),
    ),
    Fault(
        "an entry that has aged out is not found",
        FDB_KERNEL,
        ">= learned[L_AGEING]",
        "> learned[L_AGEING] + learned[L_AGEING]",
        FDB,
    ),
    Fault(
        "the fullest port gives up its entry",
        FDB_KERNEL,
        "if learned[port + u64(Q_COUNT)] > most:",
        "if learned[port + u64(Q_COUNT)] > most and number < 1:",
        FDB,
    ),
    Fault(
        "the source of a flooded frame gets no copy",
        DECIDE,
        "    if target & u64(0xFFFF) == in_port:\n        return u64(R_SAME_PORT)\n",
        "",
    ),
    Fault(
        "a flooded frame without any copy is dropped",
        COPIES,
        "        return first_reason if first_reason != u64(0) else u64(R_NO_DESTINATION)\n",
        "        return word\n",
    ),
    Fault(
        "a tunnel port with cvlans emits those only",
        COPIES,
        "return (image[port_field(image, port, P_ROW) + vid] & u64(E_DROP)) == u64(0)",
        "return True",
    ),
    Fault(
        "a mirror does not copy what comes in by the mirror port",
        COPIES,
        "image[H_MIRROR_PORT] == u64(NO_PORT) or image[H_MIRROR_PORT] == in_port",
        "image[H_MIRROR_PORT] == u64(NO_PORT)",
    ),
    Fault(
        "a native port never carries VLAN 0",
        VLAN,
        "return vlan == setting.vid\n    return setting.carries(vlan)",
        "return vlan == setting.vid or setting.carries(vlan)\n    return setting.carries(vlan)",
    ),
    Fault(
        "VID 4095 is reserved",
        VLAN,
        "    row[RESERVED_VID] = drop(DropReason.RESERVED_VID)\n",
        "",
        (*TWINS, *CORNERS),
    ),
    Fault(
        "the adapter tests the VID with the address",
        FILTER_KERNEL,
        "value = find(table, (vid << u64(48)) | mac)",
        "value = find(table, mac)",
        (*FILTERS, *TWINS),
    ),
    Fault(
        "the adapter's limit counts frames of its own length in",
        FILTER_KERNEL,
        "if rare(length > table[T_LONGEST]):",
        "if rare(length >= table[T_LONGEST]):",
        (*FILTERS, *TWINS),
    ),
    Fault(
        "a queue with filters cannot be freed",
        "nic/vmq.py",
        "_E.FREE_QUEUE: {_S.ALLOCATED: _S.STOP_DMA, _S.PAUSED: _S.STOP_DMA},",
        "_E.FREE_QUEUE: {\n"
        "        _S.ALLOCATED: _S.STOP_DMA, _S.PAUSED: _S.STOP_DMA, _S.SET: _S.STOP_DMA\n"
        "    },",
        VMQ,
    ),
    Fault(
        "clearing the last filter pauses a running queue",
        "nic/vmq.py",
        "_E.CLEAR_FILTER_LAST: {_S.SET: _S.ALLOCATED, _S.RUNNING: _S.PAUSED},",
        "_E.CLEAR_FILTER_LAST: {_S.SET: _S.ALLOCATED, _S.RUNNING: _S.RUNNING},",
        VMQ,
    ),
    Fault(
        "DEI is lost where the VID changes",
        LEARN,
        "            keep = u64(0xE000)\n",
        "            keep = u64(0xF000)\n",
    ),
    Fault(
        "a static entry does not move",
        FDB_KERNEL,
        "        if owner & u64(STATIC):\n            return u64(KEPT_STATIC)\n",
        "",
        (*FDB, *TWINS),
    ),
    Fault(
        "the clock of the learned table never goes back",
        FDB_KERNEL,
        "learned[L_CLOCK] = max(learned[L_CLOCK], now)",
        "learned[L_CLOCK] = now",
        FDB,
    ),
    Fault(
        "an entry behind a deleted one is still found",
        FDB_KERNEL,
        "if ((slot - home) & mask) >= ((slot - hole) & mask):",
        "if ((slot - home) & mask) < ((slot - hole) & mask):",
        FDB,
    ),
    Fault(
        "unicast, flooded and dropped are three verdicts",
        "vswitch/words_kernel.py",
        "return (word >> u64(KIND_SHIFT)) & u64(3)",
        "return (word >> u64(KIND_SHIFT)) & u64(1)",
    ),
    Fault(
        "isolation groups are told apart",
        "vswitch/words_kernel.py",
        "GROUP_MASK = 0xFFF\n",
        "GROUP_MASK = 0x1\n",
    ),
    Fault(
        "a key whose slot is taken is found behind it",
        "vswitch/image_kernel.py",
        "        slot = (slot + u64(1)) & ((u64(1) << (u64(64) - shift)) - u64(1))",
        "        return u64(NOT_FOUND)",
        (*TABLES, *TWINS),
    ),
    Fault(
        "the longest frame is MTU and 14 bytes of header",
        IMAGE,
        "else port.mtu + 14",
        "else port.mtu + 18",
        (*TABLES, *TWINS, *CORNERS),
    ),
    Fault(
        "a place for a TPID that is not used matches nothing else",
        IMAGE,
        "return words + [words[0]] * (3 - len(words))",
        "return words + [0] * (3 - len(words))",
        TABLES,
    ),
    Fault(
        "mirroring both copies what leaves, too",
        IMAGE,
        "if port.mirror in (Mirror.EGRESS, Mirror.BOTH):",
        "if port.mirror is Mirror.EGRESS:",
    ),
    Fault(
        "a queue without an owner is looked up as the default queue is",
        IMAGE,
        "NOT_FOUND if own is None else _own_word(*own, groups)",
        "0 if own is None else _own_word(*own, groups)",
        (*TABLES, *TWINS),
    ),
    Fault(
        "an uplink maps a secondary VID to its primary VLAN",
        VLAN,
        "group.primary << TCI_SHIFT | STRIP | number << GROUP_SHIFT",
        "group.secondary << TCI_SHIFT | STRIP | number << GROUP_SHIFT",
    ),
    Fault(
        "the adapter does not count the tag towards its limit",
        LOOPS,
        "return place(filters, destination, vid, wirelen - u64(4) * tagged)",
        "return place(filters, destination, vid, wirelen)",
        LOOP_TESTS,
    ),
    Fault(
        "an untagged frame has VID 0 for the adapter",
        LOOPS,
        " & u64(0xFFF) & (u64(0) - tagged)",
        " & u64(0xFFF)",
        (*LOOP_TESTS, *TWINS),
    ),
    Fault(
        "a frame that is cut in its tag goes to the default queue",
        LOOPS,
        "if rare(caplen < u64(14) + u64(4) * tagged):",
        "if rare(caplen < u64(14)):",
        LOOP_TESTS,
    ),
    Fault(
        "the adapter sees frames from the wire only",
        LOOPS,
        "if port_field(image, in_port, P_FLAGS) & u64(F_UPLINK):",
        "if port_field(image, in_port, P_FLAGS) | u64(F_UPLINK):",
        (*LOOP_TESTS, *TWINS),
    ),
    Fault(
        "counters that are waited for are those of the same frame",
        LOOPS,
        "words, i - u64(FEW), number",
        "words, i, number",
        LOOP_TESTS,
    ),
    Fault(
        "frames are numbered through the walk over a capture",
        LOOPS,
        "                count(stats, word, length, kept, number + i)\n            if columns:",
        "                count(stats, word, length, kept, number)\n            if columns:",
        LOOP_TESTS,
    ),
    Fault(
        "the first frame dropped for a reason keeps its number",
        STATS,
        "        if stats[u64(S_DROPPED) + reason] == u64(0):\n"
        "            stats[u64(S_FIRST) + reason] = number\n",
        "        stats[u64(S_FIRST) + reason] = number\n",
        (*COUNTERS, *TWINS),
    ),
    Fault(
        "bytes on the wire are not those captured",
        STATS,
        "stats[port + u64(SP_WIRE)] += wirelen",
        "stats[port + u64(SP_WIRE)] += caplen",
        (*COUNTERS, *TWINS),
    ),
    Fault(
        "a mirrored frame is copied once, though both its ports are mirrored",
        COPIES,
        "        if is_mirrored(data, at, u64(caplen[i]), u64(wirelen[i]), in_port, word, image):\n",
        "        if image[H_MIRROR_PORT] != u64(NO_PORT):\n",
    ),
    Fault(
        "a copy held back is no copy",
        COPIES,
        "            stats[port + u64(SP_SUPPRESSED)] += u64(1)\n            continue\n",
        "            stats[port + u64(SP_SUPPRESSED)] += u64(1)\n",
    ),
    Fault(
        "of two filters that match, the first in order wins",
        FILTER_KERNEL,
        "other >> u64(16) < value >> u64(16)",
        "other >> u64(16) > value >> u64(16)",
        FILTERS,
    ),
    Fault(
        "a group address is taken by an adapter that is not promiscuous",
        FILTER_KERNEL,
        "or mac & u64(1) or mac == table[T_OWN_MAC]",
        "or mac == table[T_OWN_MAC]",
        FILTERS,
    ),
    Fault(
        "filters run out before queues do",
        ADAPTER,
        "len(self._owners) >= self.num_queues or len(self._tests) >= self.max_filters",
        "len(self._owners) >= self.num_queues",
        VMQ,
    ),
    Fault(
        "who waited longest takes a freed queue",
        ADAPTER,
        "first = self.waiting.popleft()",
        "first = self.waiting.pop()",
        VMQ,
    ),
    Fault(
        "no two queues have the same filter",
        ADAPTER,
        "        if filter_.test in self._tests:\n",
        "        if filter_.test in self._tests and filter_.vlan is None:\n",
        VMQ,
    ),
    Fault(
        "who stops waiting gets no queue later",
        ADAPTER,
        "self.waiting = deque(one for one in self.waiting if one.owner != owner)",
        "self.waiting = deque(self.waiting)",
        VMQ,
    ),
    Fault(
        "a record longer than 256 KiB is damage",
        INDEX,
        "if rare((caplen > u64(MAX_CAPLEN)) | (following > end)):",
        "if following > end:",
        READERS,
    ),
    Fault(
        "microseconds become nanoseconds, nanoseconds stay",
        INDEX,
        "    if not nanosecond:\n",
        "    if nanosecond:\n",
        READERS,
    ),
    Fault(
        "a block's length is a multiple of four",
        INDEX,
        "if total < u64(12) or total & u64(3) != u64(0):",
        "if total < u64(12):",
        READERS,
    ),
    Fault(
        "a packet ends inside its block",
        INDEX,
        "            if kept > room:\n                return n, notes, offset, u64(BAD_PACKET)\n",
        "",
        READERS,
    ),
    Fault(
        "a frame check sequence that was captured is no part of the frame",
        INDEX,
        "                    kept = min(kept, length)\n",
        "",
        READERS,
    ),
    Fault(
        "a time before 1970 is 0",
        INDEX,
        "    if seconds >> u64(63):  # before 1970\n        return u64(0)\n",
        "",
        READERS,
    ),
    Fault(
        "only the first fragment has ports",
        HEADER_KERNEL,
        "    if fragment & u64(0x1FFF) == u64(0):\n",
        "    if fragment & u64(0x3FFF) == u64(0):\n",
        HEADERS,
    ),
    Fault(
        "padding of a short frame is no payload",
        HEADER_KERNEL,
        "columns[C_PAYLOAD_BYTES, i] = columns[C_L3_END, i] - payload",
        "columns[C_PAYLOAD_BYTES, i] = end - payload",
        HEADERS,
    ),
    Fault(
        "a field that the capture cut is absent",
        HEADER_KERNEL,
        "elif protocol == u64(TCP) and at + u64(20) <= end:",
        "elif protocol == u64(TCP) and at + u64(14) <= end:",
        HEADERS,
    ),
    Fault(
        "the second tag is the inner one, not the third",
        HEADER_KERNEL,
        "elif columns[C_TAGS, i] == u64(1):",
        "else:",
        HEADERS,
    ),
    Fault(
        "every page of the target is compared",
        "migration/memory_kernel.py",
        "    for page in range(m.source.size):\n        if m.source[page] != m.target[page]:",
        "    for page in range(m.source.size // 2):\n        if m.source[page] != m.target[page]:",
        MEMORY,
    ),
    Fault(
        "a write to a page that is to be sent is noted all the same",
        "migration/memory_kernel.py",
        "    m.log[word] |= bit\n",
        "    if (m.flagged[word] & bit) == u64(0):\n        m.log[word] |= bit\n",
        MEMORY,
    ),
    Fault(
        "the cap does not bind the last copy",
        "migration/blackout.py",
        "    sender.pace(math.inf)\n",
        "",
        POLICIES,
    ),
    Fault(
        "QEMU reads the log when the rest seems small, and looks again",
        "migration/bursts.py",
        "if pending == 0 or pending * PAGE < sender.threshold_bytes:",
        "if True:",
        POLICIES,
    ),
    Fault(
        "Xen sends a round's pages that are dirty again in the next one",
        "migration/memory_kernel.py",
        "            if skip and (m.log",
        "            if False and (m.log",
        (*MEMORY, *POLICIES),
    ),
    Fault(
        "fifty pages are few enough for Hyper-V, not for Xen",
        "migration/policies.py",
        "    small_counts_equal=True,\n",
        "    small_counts_equal=False,\n",
        POLICIES,
    ),
    Fault(
        "auto-converge waits for the second time",
        "migration/throttle.py",
        "TRIGGERS = 2\n",
        "TRIGGERS = 1\n",
        ("tests/migration/test_throttle.py",),
    ),
    Fault(
        "a page that was asked for goes first",
        "migration/postcopy_kernel.py",
        "                page = state.waits_for\n",
        "",
        ("tests/migration/test_postcopy.py",),
    ),
    Fault(
        "RFC 9293 3.4: sequence numbers are modulo 2**32",
        "migration/wire_kernel.py",
        "return u64((np.int64(first) + np.int64(position)) & np.int64(MASK))",
        "return u64((np.int64(first) + np.int64(position)) & np.int64(MASK >> 1))",
        WIRE_FRAMES,
    ),
    Fault(
        "RFC 7323 3.2: TSecr is 0 where the ACK bit is not set",
        "migration/wire_kernel.py",
        '        echo = u64(0)\n        if np.int64(row["flags"]) & ACK:',
        '        echo = u64(0)\n        if np.int64(row["flags"]) >= 0:',
        WIRE_FRAMES,
    ),
    Fault(
        "RFC 2018 3: the edges of SACK blocks are the peer's sequence numbers",
        "migration/wire_kernel.py",
        "at = put32(out, at, wire_number(peer.isn, row.sack[n, 1]))",
        "at = put32(out, at, wire_number(end.isn, row.sack[n, 1]))",
        WIRE_FRAMES,
    ),
    Fault(
        "a frame keeps the padding that its sender gave it, tag or not",
        "migration/wire_kernel.py",
        "made = INSIDE if end.vm != 0 else OUTSIDE",
        "made = place",
        WIRE_FRAMES,
    ),
    Fault(
        "a frame that ended has its reason where it was seen last",
        "migration/frame_log.py",
        'rows["fate"] = np.where(keys[place] == wanted, fates[place], 0)',
        'rows["fate"] = np.where(keys[place] == wanted, fates[place - 1], 0)',
        WIRE,
    ),
    Fault(
        "an announcement stands between the frames of its time",
        "migration/wire.py",
        'while waiting and len(rows) and waiting[0].at_ns < rows["at"][-1]:',
        'while waiting and len(rows) and waiting[0].at_ns < rows["at"][0]:',
        WIRE,
    ),
    Fault(
        "a RARP request is made by the host: the VM's port has none",
        "migration/wire.py",
        "        if not rarp:\n",
        "        if rarp:\n",
        WIRE,
    ),
    Fault(
        "those that died stand first in the table",
        "migration/replay_tables.py",
        '0 if dead else 2 if row["verdict"] == "finished" else 1,',
        '1 if dead else 2 if row["verdict"] == "finished" else 1,',
        REPORTS,
    ),
    Fault(
        "new data is drawn from its first to its last position",
        "migration/picture_traces.py",
        'np.maximum.at(self.high, place, rows["seq"][new] + rows["size"][new])',
        'np.maximum.at(self.high, place, rows["seq"][new])',
        PICTURES,
    ),
    Fault(
        "segments of a large packet have the sender's MTU",
        "vswitch/send_kernel.py",
        "limit - u64(HEADER_BYTES)",
        "limit + u64(HEADER_BYTES)",
        ("tests/vswitch/test_large_send.py",),
    ),
    Fault(
        "only a vNIC with large send offload may send what is too long",
        "vswitch/send_kernel.py",
        "& u64(F_LSO) == u64(0)",
        "& u64(F_LSO) == u64(1)",
        ("tests/vswitch/test_large_send.py",),
    ),
    Fault(
        "RSS: fragments go by their addresses, the first one too",
        "nic/rss_kernel.py",
        "if columns[C_FRAGMENT, i] == u64(0) and",
        "if",
        ("tests/nic/test_rss.py",),
    ),
    Fault(
        "RSS: source before destination, in network order",
        "nic/rss_kernel.py",
        "        word >>= u64(8)\n    return found\n\n\n@kernel(forceinline=True, _nrt=False)\ndef hash_ports",
        "        word >>= u64(9)\n    return found\n\n\n@kernel(forceinline=True, _nrt=False)\ndef hash_ports",
        ("tests/nic/test_rss.py",),
    ),
    Fault(
        "LSO: FIN and PSH on the last segment only",
        "nic/lso_kernel.py",
        "        flags &= ~u64(FIN | PSH)\n",
        "        flags &= ~u64(FIN)\n",
        ("tests/nic/test_lso.py",),
    ),
    Fault(
        "LSO: CWR on the first segment only",
        "nic/lso_kernel.py",
        "    if not first:\n",
        "    if first:\n",
        ("tests/nic/test_lso.py",),
    ),
    Fault(
        "LSO: version 2 counts ids in 15 bits",
        "nic/lso_kernel.py",
        "IP_ID_HALF = 0x8000\n",
        "IP_ID_HALF = 0x4000\n",
        ("tests/nic/test_lso.py",),
    ),
    Fault(
        "UDP's sum of zero is sent as ones",
        "pcaps/checksums_kernel.py",
        "        return u64(0xFFFF)  # Rule: RFC 768, a sum",
        "        return u64(0)  # Rule: RFC 768, a sum",
        ("tests/nic/test_checksum_offload.py",),
    ),
    Fault(
        "RSC: a duplicate acknowledgment goes up alone",
        "nic/rsc_kernel.py",
        "            return u64(DUPLICATE_ACK)\n",
        "            return u64(MERGED)\n",
        ("tests/nic/test_rsc.py",),
    ),
    Fault(
        "RSC: other ECN bits end a unit",
        "nic/rsc_kernel.py",
        "        return u64(ECN)\n",
        "        return u64(MERGED)\n",
        ("tests/nic/test_rsc.py",),
    ),
    Fault(
        "RSC: a payload at an odd place is added swapped",
        "nic/rsc_kernel.py",
        "swap16(of_payload) if (done - to - head) & u64(1) else of_payload",
        "of_payload",
        ("tests/nic/test_rsc.py",),
    ),
    Fault(
        "RSC: a unit has the smallest TTL",
        "nic/rsc_kernel.py",
        "min(units.ttl[f], ttl_of(data, columns, i))",
        "units.ttl[f]",
        ("tests/nic/test_rsc.py",),
    ),
    Fault(
        "RSC: a wrong checksum ends a unit",
        "nic/rsc_kernel.py",
        "    if fold(total) != u64(0xFFFF):\n        return u64(CHECKSUM)\n",
        "",
        ("tests/nic/test_rsc.py",),
    ),
    Fault(
        "chimney: segments wait while an offload is under way",
        "nic/chimney_rules.py",
        "    Phase.OFFLOADING: Place.QUEUE,\n",
        "    Phase.OFFLOADING: Place.HOST,\n",
        ("tests/nic/test_chimney.py",),
    ),
    Fault(
        "chimney: no request in a half-closed state",
        "nic/tcp_states.py",
        "_S.FIN_WAIT_1, _S.FIN_WAIT_2, _S.CLOSE_WAIT})",
        "_S.CLOSE_WAIT})",
        ("tests/nic/test_tcp_control.py", "tests/nic/test_chimney.py"),
    ),
    Fault(
        "chimney: a FIN is indicated behind all data",
        "nic/tcp_control.py",
        "self.early_fin != tcp.rcv_nxt or ",
        "",
        ("tests/nic/test_tcp_control.py",),
    ),
    Fault(
        "chimney: where segments overlap, the first bytes stay",
        "nic/receive_space.py",
        "            cursor = max(cursor, start + len(piece))\n",
        "            cursor = max(cursor, start)\n",
        ("tests/nic/test_receive_space.py",),
    ),
    Fault(
        "cluster: half of the votes is no majority",
        "migration/cluster/quorum.py",
        "2 * mine > votes",
        "2 * mine >= votes",
        ("tests/migration/cluster/test_quorum.py",),
    ),
    Fault(
        "cluster: dead nodes have no vote",
        "migration/cluster/failover.py",
        "sides[side] -= not node.alive",
        "sides[side] -= 0",
        ("tests/migration/cluster/test_faulted_moves.py",),
    ),
    Fault(
        "cluster: short until below the lower threshold",
        "migration/cluster/monitor.py",
        "(use >= self._low)",
        "(use >= self._high)",
        ("tests/migration/cluster/test_cluster_day.py",),
    ),
    Fault(
        "cluster: a host takes part in one move at a time",
        "migration/cluster/placement.py",
        'refuse(busy, "busy")',
        'refuse(busy & False, "busy")',
        ("tests/migration/cluster/test_cluster_day.py",),
    ),
    Fault(
        "cluster: a VM of a group waits for a busy host",
        "migration/cluster/placement.py",
        ' and "busy" not in refused',
        "",
        ("tests/migration/cluster/test_cluster_day.py",),
    ),
    Fault(
        "cluster: the handover is the commit",
        "migration/cluster/faulted.py",
        "self.committed, self.reservation = True, TARGET",
        "self.committed, self.reservation = False, TARGET",
        ("tests/migration/cluster/test_faulted_moves.py",),
    ),
    Fault(
        "cluster: the disk takes its owner's writes only",
        "migration/cluster/stage.py",
        "if not self.there or node != self.owner:",
        "if not self.there:",
        ("tests/migration/cluster/test_faulted_moves.py",),
    ),
    Fault(
        "cluster: paths that come back are there",
        "migration/cluster/strikes.py",
        "    node.disk = True\n",
        "    node.disk = False\n",
        ("tests/migration/cluster/test_faulted_moves.py",),
    ),
    Fault(
        "cluster: one path at a time by policies that say so",
        "migration/cluster/storage.py",
        "min(left, 1 if one.policy in ONE_AT_A_TIME else left)",
        "left",
        ("tests/migration/cluster/test_cluster_day.py",),
    ),
    Fault(
        "cluster: a LUN without paths is given up after 20 s",
        "migration/cluster/day_faults.py",
        "after = now + PDO_REMOVE_NS",
        "after = now",
        ("tests/migration/cluster/test_cluster_day.py",),
    ),
    Fault(
        "cluster: a VM that starts anew brings no processor state",
        "migration/cluster/placement.py",
        "failed = tuple(name for name in failed if name in COLD)",
        "pass",
        ("tests/migration/cluster/test_cluster_day.py",),
    ),
    Fault(
        "cluster: a move sends the memory that its VM has",
        "migration/cluster/transfer.py",
        "vm.memory_at(of_peak * peak)",
        "vm.memory_at(share * peak)",
        ("tests/migration/cluster/test_cluster_day.py",),
    ),
    Fault(
        "cluster: full frames need the MTU on both sides",
        "migration/cluster/move_checks.py",
        "vm.mtu <= there.mtu",
        "vm.mtu >= there.mtu",
        (
            "tests/migration/cluster/test_single_move.py",
            "tests/migration/cluster/test_cluster_wizard.py",
        ),
    ),
    Fault(
        "cluster: a host that is emptied is left by VMs that arrive",
        "migration/cluster/day.py",
        "        self.usage.place(record.vm, record.target)\n        self.leave(record.vm, now)\n",
        "        self.usage.place(record.vm, record.target)\n",
        ("tests/migration/cluster/test_cluster_day.py",),
    ),
    Fault(
        "cluster: no work at a host that the majority needs",
        "migration/cluster/day.py",
        "        if self.breakage.endures_loss():\n",
        "        if True:\n",
        ("tests/migration/cluster/test_cluster_day.py",),
    ),
)
