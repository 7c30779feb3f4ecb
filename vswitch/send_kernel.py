"""What a VM with large send offload sends: packets longer than its MTU, which leave cut to size.

Such a packet is decided as the longest of the segments that it is cut into. It is tried
only where the whole packet is too long, so other frames pay nothing.
"""

from __future__ import annotations

from typing import Any

from nic.lso_kernel import cut_length
from pcaps.jit import kernel
from pcaps.memory import u64
from vswitch.decide_kernel import R_OVER_MTU, decide
from vswitch.image_kernel import F_LSO, P_FLAGS, P_WORD, port_field
from vswitch.words_kernel import LIMIT_MAX, LIMIT_SHIFT, NOT_FOUND

HEADER_BYTES = 14


@kernel(_nrt=False)
def decide_as_cut(
    data: Any, start: Any, caplen: Any, in_port: Any, image: Any, learned: Any
) -> Any:  # fmt: skip
    """Decide an over-long frame again, as what its sender's adapter makes of it.

    Rule: offloading-the-segmentation-of-large-tcp-packets: segments have the sender's MTU.
    """
    if port_field(image, in_port, P_FLAGS) & u64(F_LSO) == u64(0):
        return u64(R_OVER_MTU)
    limit = (port_field(image, in_port, P_WORD) >> u64(LIMIT_SHIFT)) & u64(LIMIT_MAX)
    longest = cut_length(data, start, caplen, limit - u64(HEADER_BYTES))
    if longest == u64(0):
        return u64(R_OVER_MTU)
    return decide(data, start, caplen, longest, in_port, u64(NOT_FOUND), image, learned)
