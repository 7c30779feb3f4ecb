"""What each named stack does: every constant with where it comes from.

Status words: *read* in the source that is named; *measured* against a real kernel;
*derived* from what was read; *believed*, where no first-hand source was found;
*chosen* here, where the source leaves it open.
"""

from __future__ import annotations

from typing import NamedTuple

from migration.tcp.stack_keys import Value

READ, MEASURED, DERIVED, BELIEVED, CHOSEN = "read", "measured", "derived", "believed", "chosen"

US, MS, S = 1_000, 1_000_000, 1_000_000_000


class Fact(NamedTuple):
    """The value of one constant, and where it comes from."""

    value: Value
    source: str
    status: str


_TCP_H = "Linux 6.12 include/net/tcp.h"
_TIMER = "Linux 6.12 net/ipv4/tcp_timer.c"
_INPUT = "Linux 6.12 net/ipv4/tcp_input.c"
_OUTPUT = "Linux 6.12 net/ipv4/tcp_output.c"
_SYSCTL = "Linux 6.12 Documentation/networking/ip-sysctl.rst"

LINUX = {
    "initial_rto": Fact(1 * S, f"{_TCP_H} TCP_TIMEOUT_INIT", READ),
    "min_rto": Fact(200 * MS, f"{_TCP_H} TCP_RTO_MIN", READ),
    "max_rto": Fact(120 * S, f"{_TCP_H} TCP_RTO_MAX", READ),
    "syn_lost_rto": Fact(3 * S, f"{_TCP_H} TCP_TIMEOUT_FALLBACK", READ),
    "granularity": Fact(0, f"{_INPUT} tcp_rtt_estimator has none but the tick", READ),
    "timer_tick": Fact(4 * MS, "CONFIG_HZ=250, as in the kernel that was measured", MEASURED),
    "timer_wheel": Fact(True, "Linux kernel/time/timer.c", MEASURED),
    "tcp_retries2": Fact(15, f"{_TIMER} retransmits_timed_out; {_SYSCTL}", MEASURED),
    "max_retransmissions": Fact(None, "time decides, not the count", READ),
    "r1": Fact(1, f"{_TIMER} retransmits_timed_out", READ),
    "r2": Fact(None, "tcp_retries2 stands in for it", READ),
    "user_timeout": Fact(None, "TCP_USER_TIMEOUT is an option of the socket", READ),
    "orphan_retries": Fact(8, f"{_TIMER} tcp_orphan_retries", READ),
    "probe_retries": Fact(15, f"{_TIMER} tcp_probe_timer, as tcp_retries2", READ),
    "syn_retries": Fact(6, f"{_TCP_H} TCP_SYN_RETRIES", READ),
    "syn_linear": Fact(4, f"{_SYSCTL} tcp_syn_linear_timeouts", READ),
    "synack_retries": Fact(5, f"{_TCP_H} TCP_SYNACK_RETRIES", READ),
    "syn_again": Fact(True, "Linux 6.12 net/ipv4/tcp_minisocks.c tcp_check_req", READ),
    "syn_lost_window": Fact(2, f"{_INPUT} tcp_init_transfer", READ),
    "keepalive": Fact(False, "SO_KEEPALIVE is an option of the socket", READ),
    "keepalive_time": Fact(7200 * S, f"{_TCP_H} TCP_KEEPALIVE_TIME", READ),
    "keepalive_interval": Fact(75 * S, f"{_TCP_H} TCP_KEEPALIVE_INTVL", READ),
    "keepalive_probes": Fact(9, f"{_TCP_H} TCP_KEEPALIVE_PROBES", READ),
    "delayed_ack": Fact(200 * MS, f"{_TCP_H} TCP_DELACK_MAX", READ),
    "delayed_ack_min": Fact(40 * MS, f"{_TCP_H} TCP_ATO_MIN", READ),
    "quick_acks": Fact(16, f"{_TCP_H} TCP_MAX_QUICKACKS", READ),
    "initial_cwnd": Fact(10, f"{_TCP_H} TCP_INIT_CWND", READ),
    "cc": Fact("cubic", "CONFIG_DEFAULT_TCP_CONG", READ),
    "slow_start_limit": Fact(None, "Linux 6.12 net/ipv4/tcp_cong.c tcp_slow_start", READ),
    "hystart": Fact(True, "Linux 6.12 net/ipv4/tcp_cubic.c hystart; the test of delay only", READ),
    "idle_restart": Fact(True, f"{_SYSCTL} tcp_slow_start_after_idle", READ),
    "tlp": Fact(True, f"{_SYSCTL} tcp_early_retrans 3", MEASURED),
    "tlp_ack_delay": Fact(None, f"{_OUTPUT} tcp_schedule_loss_probe", MEASURED),
    "rack": Fact(True, f"{_SYSCTL} tcp_recovery 1", READ),
    "frto": Fact(True, f"{_SYSCTL} tcp_frto 2", READ),
    "undo": Fact(True, f"{_INPUT} tcp_may_undo", READ),
    "dupthresh": Fact(3, f"{_SYSCTL} tcp_reordering", READ),
    "sack": Fact(True, f"{_SYSCTL} tcp_sack", READ),
    "dsack": Fact(True, f"{_SYSCTL} tcp_dsack", READ),
    "timestamps": Fact(True, f"{_SYSCTL} tcp_timestamps", READ),
    "timestamps_required": Fact(False, f"{_INPUT} tcp_validate_incoming", READ),
    "scale": Fact(7, "of tcp_rmem's maximum of 6 MiB", DERIVED),
    "buffer": Fact(3 << 20, "half of tcp_rmem's maximum; growth up to it is not modelled", DERIVED),
    "mss": Fact(1460, "MTU 1500", CHOSEN),
    "nagle": Fact("minshall", f"{_OUTPUT} tcp_nagle_check", READ),
    "probe_byte": Fact(False, f"{_OUTPUT} tcp_xmit_probe_skb", READ),
    "ack_interval": Fact(500 * MS, f"{_SYSCTL} tcp_invalid_ratelimit", READ),
    "reset_ack": Fact(True, f"{_OUTPUT} tcp_send_active_reset", READ),
    "time_wait": Fact(60 * S, f"{_TCP_H} TCP_TIMEWAIT_LEN", READ),
    "fin_timeout": Fact(60 * S, f"{_SYSCTL} tcp_fin_timeout; of connections let go", READ),
    "ttl": Fact(64, f"{_SYSCTL} ip_default_ttl", READ),
    "rules": Fact("linux", "Linux 6.12", READ),
}

RFC = {
    "initial_rto": Fact(1 * S, "RFC 6298 section 2.1", READ),
    "min_rto": Fact(1 * S, "RFC 6298 section 2.4", READ),
    "max_rto": Fact(60 * S, "RFC 6298 section 2.5: the least that is allowed", READ),
    "syn_lost_rto": Fact(3 * S, "RFC 6298 section 5.7", READ),
    "granularity": Fact(100 * MS, "RFC 6298 section 4: this or finer", READ),
    "timer_tick": Fact(0, "exact timers", CHOSEN),
    "timer_wheel": Fact(False, "exact timers", CHOSEN),
    "tcp_retries2": Fact(None, "r2 decides", CHOSEN),
    "max_retransmissions": Fact(None, "r2 decides", CHOSEN),
    "r1": Fact(3, "RFC 9293 section 3.8.3 (SHLD-10)", READ),
    "r2": Fact(100 * S, "RFC 9293 section 3.8.3 (SHLD-11): the least", READ),
    "user_timeout": Fact(None, "RFC 9293 section 3.9.1: optional", READ),
    "orphan_retries": Fact(None, "not in RFC 9293", READ),
    "probe_retries": Fact(None, "r2 of silence", CHOSEN),
    "syn_retries": Fact(7, "RFC 9293 section 3.8.3 (MUST-23): 3 minutes", DERIVED),
    "syn_linear": Fact(0, "RFC 6298 section 5.5", READ),
    "synack_retries": Fact(7, "RFC 9293 section 3.8.3 (MUST-23): 3 minutes", DERIVED),
    "syn_again": Fact(False, "RFC 9293 section 3.10.7.4: an ACK", READ),
    "syn_lost_window": Fact(1, "RFC 5681 section 3.1", READ),
    "keepalive": Fact(False, "RFC 9293 section 3.8.4 (MUST-25)", READ),
    "keepalive_time": Fact(7200 * S, "RFC 9293 section 3.8.4 (MUST-28)", READ),
    "keepalive_interval": Fact(75 * S, "as Linux; RFC 9293 leaves it open", CHOSEN),
    "keepalive_probes": Fact(9, "as Linux; RFC 9293 leaves it open", CHOSEN),
    "delayed_ack": Fact(200 * MS, "RFC 9293 section 3.8.6.3: below 0.5 s", CHOSEN),
    "delayed_ack_min": Fact(200 * MS, "not adapted", CHOSEN),
    "quick_acks": Fact(0, "not in the RFCs", READ),
    "initial_cwnd": Fact(None, "RFC 5681 section 3.1", READ),
    "cc": Fact("reno", "RFC 5681, RFC 6582", READ),
    "slow_start_limit": Fact(1, "RFC 5681 section 3.1", READ),
    "hystart": Fact(False, "not in RFC 5681", READ),
    "idle_restart": Fact(True, "RFC 5681 section 4.1", READ),
    "tlp": Fact(False, "RFC 8985: optional", CHOSEN),
    "tlp_ack_delay": Fact(200 * MS, "RFC 8985 section 7.2: the receiver's delay", CHOSEN),
    "rack": Fact(False, "RFC 8985: optional", CHOSEN),
    "frto": Fact(False, "RFC 5682: optional", CHOSEN),
    "undo": Fact(False, "RFC 3522, RFC 3708: experimental", CHOSEN),
    "dupthresh": Fact(3, "RFC 5681 section 3.2", READ),
    "sack": Fact(True, "RFC 2018, RFC 6675", CHOSEN),
    "dsack": Fact(True, "RFC 2883", CHOSEN),
    "timestamps": Fact(True, "RFC 7323", CHOSEN),
    "timestamps_required": Fact(True, "RFC 7323 section 3.2", READ),
    "scale": Fact(7, "RFC 7323 section 2", CHOSEN),
    "buffer": Fact(1 << 20, "RFC 9293 leaves it open", CHOSEN),
    "mss": Fact(1460, "MTU 1500", CHOSEN),
    "nagle": Fact("on", "RFC 9293 section 3.7.4 (SHLD-7)", READ),
    "probe_byte": Fact(True, "RFC 9293 section 3.8.6.1", READ),
    "ack_interval": Fact(0, "RFC 5961 section 7 leaves the limit open", CHOSEN),
    "reset_ack": Fact(False, "RFC 9293 section 3.10.5", READ),
    "time_wait": Fact(240 * S, "RFC 9293 section 3.4.2: 2 MSL of 2 minutes", READ),
    "fin_timeout": Fact(None, "RFC 9293 knows no limit", READ),
    "ttl": Fact(64, "RFC 1700", READ),
    "rules": Fact("rfc", "RFC 9293", READ),
}

_KB = "Microsoft KB 170359"

WINDOWS_2008R2 = RFC | {
    "initial_rto": Fact(3 * S, f"{_KB}, TcpInitialRtt", READ),
    "min_rto": Fact(300 * MS, f"TcpInitialRtt begins at 300 ({_KB})", BELIEVED),
    "max_rto": Fact(240 * S, _KB, READ),
    "syn_lost_rto": Fact(3 * S, f"{_KB}, as the initial one", DERIVED),
    "granularity": Fact(10 * MS, "the system's clock tick, 10 or 15.6 ms", BELIEVED),
    "max_retransmissions": Fact(5, f"{_KB}, TcpMaxDataRetransmissions", READ),
    "r1": Fact(0, "the count decides", DERIVED),
    "r2": Fact(None, "the count decides", DERIVED),
    "probe_retries": Fact(5, "as TcpMaxDataRetransmissions", BELIEVED),
    "syn_retries": Fact(2, f"{_KB}, TcpMaxConnectRetransmissions", READ),
    "synack_retries": Fact(2, "TcpMaxConnectResponseRetransmissions", BELIEVED),
    "syn_again": Fact(True, "as other stacks", BELIEVED),
    "keepalive_interval": Fact(1 * S, "KeepAliveInterval", READ),
    "keepalive_probes": Fact(10, "not documented for this release", BELIEVED),
    "delayed_ack": Fact(200 * MS, "2 ticks of 100 ms are documented for Windows 2000", BELIEVED),
    "delayed_ack_min": Fact(200 * MS, "not adapted", BELIEVED),
    "initial_cwnd": Fact(2, "KB 2472264 lets it be raised", BELIEVED),
    "cc": Fact("reno", "CTCP is modelled as NewReno", CHOSEN),
    "sack": Fact(True, "SackOpts", BELIEVED),
    "dsack": Fact(True, "RFC 2883 since Windows Vista", BELIEVED),
    "timestamps": Fact(False, "Tcp1323Opts", BELIEVED),
    "timestamps_required": Fact(False, "timestamps are off", BELIEVED),
    "scale": Fact(8, "autotuning level normal", BELIEVED),
    "buffer": Fact(65535 << 8, "limit of autotuning; growth up to it is not modelled", BELIEVED),
    "reset_ack": Fact(True, "as other stacks", BELIEVED),
    "time_wait": Fact(120 * S, "TcpTimedWaitDelay", BELIEVED),
    "fin_timeout": Fact(240 * S, "TcpFinWait2Delay", BELIEVED),
    "ttl": Fact(128, "DefaultTTL", BELIEVED),
}

WINDOWS_HARDENED = WINDOWS_2008R2 | {
    "max_retransmissions": Fact(3, "CIS benchmark, TcpMaxDataRetransmissions", READ),
    "probe_retries": Fact(3, "as TcpMaxDataRetransmissions", BELIEVED),
}

PROFILES: dict[str, dict[str, Fact]] = {
    "linux": LINUX,
    "windows-2008r2": WINDOWS_2008R2,
    "windows-hardened": WINDOWS_HARDENED,
    "rfc": RFC,
}
"""The named stacks."""

DESCRIPTIONS = {
    "linux": "Linux 6.x with its defaults, timers of CONFIG_HZ=250",
    "windows-2008r2": "Windows Server 2008 R2 and Windows 7 with their defaults",
    "windows-hardened": "the same with the CIS benchmark's three retransmissions",
    "rfc": "what the RFCs ask for, with their least values",
}
"""One line about each."""
