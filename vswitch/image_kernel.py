"""A switch compiled to one flat array of uint64, the *image*: its layout and its look-ups.

One array, because a kernel that takes ten pays for it: the pointers do not fit
the processor's registers and are reloaded for every frame. The image is built by
:mod:`vswitch.tables` and never edited in place: a change of ports builds a new
one, and loops take the new one at their next batch.

    head      16 words, the ``H_`` constants
    ports     PORT_WORDS a port, the ``P_`` constants
    rows      ingress entries by VID; index 4096 = no tag; one row for each distinct VLAN setting
    fdb       2 * 2**bits: key (VLAN << 48 | MAC) and port word by turns; all ones = empty
    member_start  4097: first member of each VLAN, as an index into the image
    members   port words by VLAN, then by port number
    groups    isolation groups: secondary VID in the low 12 bits, ISOLATED_GROUP
    queues    port word of each VM queue's vNIC, by queue number

An *ingress entry* already has the bits of the decision word: VLAN at TCI_SHIFT,
STRIP, the source's isolation group; or one of the ``E_`` flags.
"""

from __future__ import annotations

from typing import Any

from pcaps.jit import kernel
from pcaps.memory import u64
from vswitch.words_kernel import HASH_FACTOR, NOT_FOUND

H_FDB, H_FDB_SHIFT, H_TPID0, H_TPID1, H_TPID2, H_UPLINK, H_N_PORTS = range(7)
H_MEMBER_START, H_GROUPS, H_QUEUES, H_MIRROR_PORT, H_N_QUEUES, H_SECONDARY, H_LEARNING = range(
    7, 14
)
HEAD_WORDS = 16
NO_PORT = 0xFFFF

P_FLAGS, P_MAC, P_ROW, P_PVID_ENTRY, P_WORD, P_NATIVE = range(6)
PORT_WORDS = 8
F_UPLINK = 1
F_CHECK_SOURCE = 2
F_SPOOF_GUARD = 4
F_LEARN_SECONDARY = 8
F_MIRROR_INGRESS = 16
F_MIRROR_EGRESS = 32
F_ALWAYS_UNTAGGED = 64
F_TUNNEL = 128
F_ACCESS = 256
F_LSO = 512

ROW_WORDS = 4097
NO_TAG = 4096
E_DROP = 1 << 63
E_CHECK_INNER = 1 << 62
E_PVID = 1 << 61
E_SPECIAL = E_DROP | E_CHECK_INNER | E_PVID
ISOLATED_GROUP = 1 << 31


@kernel(forceinline=True, _nrt=False)
def look_up(image: Any, key: Any) -> Any:
    """Port word beside `key` in the forwarding table, or NOT_FOUND."""
    shift = image[H_FDB_SHIFT]
    fdb = image[H_FDB]
    slot = (key * u64(HASH_FACTOR)) >> shift
    while True:
        place = fdb + u64(2) * slot
        found = image[place]
        if found == key:
            return image[place + u64(1)]
        if found == u64(NOT_FOUND):
            return u64(NOT_FOUND)
        slot = (slot + u64(1)) & ((u64(1) << (u64(64) - shift)) - u64(1))


@kernel(forceinline=True, _nrt=False)
def port_field(image: Any, port: Any, field: Any) -> Any:
    """One word of a port's record."""
    return image[u64(HEAD_WORDS) + port * u64(PORT_WORDS) + u64(field)]
