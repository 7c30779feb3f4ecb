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
VLAN = "vswitch/vlan.py"

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
        "if flags & u64(F_SPOOF_GUARD) and source != image[port + u64(P_MAC)]:",
        "if flags & u64(F_SPOOF_GUARD) and source == image[port + u64(P_MAC)]:",
    ),
    Fault(
        "a group address never sends",
        DECIDE,
        "(source & u64(1) != u64(0) or source == u64(0))",
        "(source == u64(0))",
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
        "is_vendor_reserved(destination):\n        return u64(R_RESERVED_DESTINATION)\n",
        "is_vendor_reserved(destination):\n"
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
        "vswitch/fdb_kernel.py",
        "    learned[entry + u64(E_PORT)] = port\n",
        "    learned[entry + u64(E_PORT)] = port & u64(1)\n",
        (*FDB, *TWINS),
    ),
    Fault(
        "an entry that has aged out is not found",
        "vswitch/fdb_kernel.py",
        ">= learned[L_AGEING]",
        "> learned[L_AGEING] + learned[L_AGEING]",
        FDB,
    ),
    Fault(
        "the fullest port gives up its entry",
        "vswitch/fdb_kernel.py",
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
        "nic/filters_kernel.py",
        "value = find(table, (vid << u64(48)) | mac)",
        "value = find(table, mac)",
        (*FILTERS, *TWINS),
    ),
    Fault(
        "the adapter's limit counts frames of its own length in",
        "nic/filters_kernel.py",
        "if length > table[T_LONGEST]:",
        "if length >= table[T_LONGEST]:",
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
)
