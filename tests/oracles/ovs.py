"""A private Open vSwitch in userspace, asked frame by frame what it does.

Starts ovsdb-server and ovs-vswitchd with a run directory of their own, dummy
datapath and dummy ports; nothing touches the machine's network or a running Open
vSwitch. Frames are put into a port by a unixctl command and read where they
leave from the pcap that each dummy port writes. :meth:`OpenVSwitch.close` ends
the two processes, by their ids, and removes the directory.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path

from vswitch.ports import Mirror, Network, Port, VlanMode

DAEMON = Path("/usr/lib/openvswitch-switch/ovs-vswitchd")
SCHEMA = Path("/usr/share/openvswitch/vswitch.ovsschema")
SENTINEL_TYPE = 0x88B5
SENTINEL = bytes.fromhex("02ffffffff0202ffffffff01") + SENTINEL_TYPE.to_bytes(2, "big") + bytes(46)
RECORD_HEADER, FILE_HEADER = 16, 24
WAIT_S = 10.0


def why_not() -> str:
    """Return what is missing to run it, nothing when all is there."""
    missing = [
        str(path) for path in (DAEMON, SCHEMA, Path("/usr/bin/ovs-vsctl")) if not path.exists()
    ]
    return f"{missing[0]} is absent; install openvswitch-switch" if missing else ""


class Control:
    """A unixctl connection: one command, one answer."""

    def __init__(self, path: Path) -> None:
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(str(path))
        self.number = 0

    def ask(self, method: str, *params: str) -> str:
        """Run a command; raise when the daemon refuses it."""
        self.number += 1
        request = {"id": self.number, "method": method, "params": list(params)}
        self.socket.sendall(json.dumps(request).encode())
        raw = b""
        while True:
            part = self.socket.recv(1 << 20)
            if not part:
                raise RuntimeError(f"Open vSwitch ended during {method} {params}")
            raw += part
            try:
                answer = json.loads(raw)
            except ValueError:
                continue
            if answer["error"] is not None:
                raise RuntimeError(f"{method} {params}: {answer['error']}")
            return str(answer["result"])


class Tap:
    """What leaves by one port: records of a growing pcap."""

    def __init__(self, path: Path) -> None:
        self.file = path.open("rb")
        self.at = FILE_HEADER

    def frames(self) -> list[bytes]:
        """Return the frames that are new since the last call."""
        raw = os.pread(self.file.fileno(), 1 << 20, self.at)
        found, place = [], 0
        while place + RECORD_HEADER <= len(raw):
            size = int.from_bytes(raw[place + 8 : place + 12], "little")
            if place + RECORD_HEADER + size > len(raw):
                break
            found.append(raw[place + RECORD_HEADER : place + RECORD_HEADER + size])
            place += RECORD_HEADER + size
        self.at += place
        return found


class OpenVSwitch:
    """A running daemon; one bridge at a time."""

    def __init__(self) -> None:
        self.home = Path(tempfile.mkdtemp(prefix="ovs-", dir="/tmp"))  # socket paths must be short
        self.taps: dict[str, Tap] = {}
        self.control: Control | None = None
        self.processes: list[subprocess.Popen[bytes]] = []
        self.bridges = 0
        self.environment = os.environ | {
            "OVS_RUNDIR": str(self.home),
            "OVS_DBDIR": str(self.home),
            "OVS_LOGDIR": str(self.home),
        }
        try:
            self._start()
        except BaseException:
            self.close()
            raise

    def _start(self) -> None:
        database = self.home / "conf.db"
        self.database = f"unix:{self.home}/db.sock"
        self._run("ovsdb-tool", "create", str(database), str(SCHEMA))
        self._spawn("ovsdb-server", str(database), f"--remote=p{self.database}", "--no-chdir")
        self._wait_for(self.home / "db.sock")
        self._vsctl("--no-wait", "init")
        # no flow cache: it may answer with what was true before an address moved
        self._vsctl("--no-wait", "set", "Open_vSwitch", ".", "other_config:flow-limit=0")
        control = self.home / "ctl"
        options = ("--enable-dummy=override", "--disable-system", "--no-chdir", "-vconsole:off")
        self._spawn(str(DAEMON), self.database, *options, f"--unixctl={control}")
        self._wait_for(control)
        self.control = Control(control)

    def ask(self, method: str, *params: str) -> str:
        """Run a command of the daemon."""
        if self.control is None:
            raise RuntimeError("Open vSwitch is not running")
        return self.control.ask(method, *params)

    def _spawn(self, *command: str) -> None:
        self.processes.append(
            subprocess.Popen(
                command,
                env=self.environment,
                cwd=self.home,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
        )

    def _wait_for(self, path: Path) -> None:
        end = time.monotonic() + WAIT_S
        while not path.exists():
            if time.monotonic() > end or any(p.poll() is not None for p in self.processes):
                raise RuntimeError(f"Open vSwitch did not start: no {path}")
            time.sleep(0.01)

    def _run(self, *command: str) -> None:
        done = subprocess.run(
            command, check=False, env=self.environment, capture_output=True, text=True
        )
        if done.returncode:
            raise RuntimeError(f"{' '.join(command)}: {done.stderr}")

    def _vsctl(self, *arguments: str) -> None:
        self._run("ovs-vsctl", f"--db={self.database}", "--timeout=20", *arguments)

    def configure(self, network: Network, vlan_limit: int = 1) -> None:
        """Replace the bridge by one with the ports of a learning network.

        Parameters
        ----------
        network : Network
            Ports and settings. An access port of VLAN 4000 is added for the sentinel.
        vlan_limit : int
            How many tags Open vSwitch looks at: 1 is its default, 2 is for tunnels.
        """
        self.bridges += 1
        bridge = f"b{self.bridges}"
        command = ["--", "--if-exists", "del-br", f"b{self.bridges - 1}", "--", "add-br", bridge]
        command += ["--", "set", "Bridge", bridge, "datapath_type=dummy", "fail_mode=standalone"]
        command += [f"other_config:mac-table-size={network.fdb_size}"]
        command += [f"other_config:mac-aging-time={int(network.ageing_s)}"]
        names = {port.name: f"{bridge}{port.name}" for port in network.ports}
        for port in network.ports:
            command += self._port(bridge, names[port.name], port)
        extra = f"{bridge}z"
        command += ["--", "add-port", bridge, extra, "tag=4000"]
        command += [
            "--",
            "set",
            "Interface",
            extra,
            "type=dummy",
            f"options:tx_pcap={self.home}/{extra}.pcap",
        ]
        command += self._mirror(bridge, names, network)
        limit = f"other_config:vlan-limit={vlan_limit}"
        self._vsctl("set", "Open_vSwitch", ".", limit, *command)
        rule = f"priority=1000,dl_type={SENTINEL_TYPE:#x},actions=IN_PORT"
        management = f"unix:{self.home}/{bridge}.mgmt"
        self._run("ovs-ofctl", "add-flow", management, rule)
        for port in network.ports:
            if not port.connected:
                self._run("ovs-ofctl", "mod-port", management, names[port.name], "no-forward")
        for entry in network.static:
            address = entry.mac.to_bytes(6, "little").hex(":")
            self.ask("fdb/add", bridge, names[entry.port], str(entry.vlan), address)
        self._close_taps()
        for old in self.home.glob(f"b{self.bridges - 1}*.pcap"):
            old.unlink()
        self.names = names
        self.taps = {name: Tap(self.home / f"{names[name]}.pcap") for name in names}
        self.taps[""] = self.sentinel = Tap(self.home / f"{extra}.pcap")
        self.sentinel_port = extra
        self._settle()

    def _port(self, bridge: str, name: str, port: Port) -> list[str]:
        setting = port.vlan
        columns = [f"vlan_mode={setting.mode.value}"]
        if setting.mode is not VlanMode.TRUNK:
            columns.append(f"tag={setting.vid}")
        if setting.mode not in (VlanMode.ACCESS, VlanMode.DOT1Q_TUNNEL) and setting.allowed:
            columns.append("trunks=" + ",".join(map(str, sorted(setting.allowed))))
        if setting.cvlans:
            columns.append("cvlans=" + ",".join(map(str, sorted(setting.cvlans))))
        if setting.mode is VlanMode.DOT1Q_TUNNEL:
            kind = {0x8100: "802.1q", 0x88A8: "802.1ad"}[setting.tunnel_tpid]
            columns.append(f"other_config:qinq-ethtype={kind}")
        if port.keep_priority_tag:
            columns.append("other_config:priority-tags=if-nonzero")
        if port.isolated:
            columns.append("protected=true")
        interface = ["type=dummy", f"options:tx_pcap={self.home}/{name}.pcap"]
        if port.mtu is not None:
            interface.append(f"mtu_request={port.mtu}")
        return [
            "--", "add-port", bridge, name, *columns,
            "--", "set", "Interface", name, *interface,
        ]  # fmt: skip

    def _mirror(self, bridge: str, names: dict[str, str], network: Network) -> list[str]:
        if network.mirror_to is None:
            return []
        sets = {
            "select_src_port": (Mirror.INGRESS, Mirror.BOTH),
            "select_dst_port": (Mirror.EGRESS, Mirror.BOTH),
        }
        command = ["--", "--id=@out", "get", "Port", names[network.mirror_to]]
        for number, port in enumerate(network.ports):
            command += ["--", f"--id=@p{number}", "get", "Port", names[port.name]]
        command += ["--", "--id=@m", "create", "Mirror", "name=m", "output_port=@out"]
        for column, kinds in sets.items():
            chosen = [f"@p{n}" for n, port in enumerate(network.ports) if port.mirror in kinds]
            command.append(f"{column}={','.join(chosen) or '[]'}")
        return [*command, "--", "set", "Bridge", bridge, "mirrors=@m"]

    def send(self, port: str, frame: bytes) -> dict[str, bytes]:
        """Put a frame into a port; return what left, by port name."""
        self.ask("netdev-dummy/receive", self.names[port], frame.hex())
        self._settle()
        left = {}
        for name in self.names:
            frames = self.taps[name].frames()
            if len(frames) > 1:
                raise RuntimeError(f"{name} sent {len(frames)} frames for one")
            if frames:
                left[name] = frames[0]
        return left

    def stop_clock(self) -> None:
        """Stop the daemon's clock, for good: from now on it goes by :meth:`advance` only."""
        self.ask("time/stop")

    def advance(self, seconds: int) -> None:
        """Let time pass, and what is too old be forgotten."""
        self.ask("time/warp", str(seconds * 1000))
        self._settle()

    def _settle(self) -> None:
        """Wait until all that was put in has left.

        A frame goes to a port of its own by a flow, twice: ports are flushed in any
        order, so one that shares a batch with the tested frame proves nothing.
        """
        for _ in range(2):
            self.ask("netdev-dummy/receive", self.sentinel_port, SENTINEL.hex())
            end = time.monotonic() + WAIT_S
            while not self.sentinel.frames():
                if time.monotonic() > end:
                    raise RuntimeError("Open vSwitch does not answer")

    def _close_taps(self) -> None:
        for tap in self.taps.values():
            tap.file.close()

    def close(self) -> None:
        """End the processes and remove what they wrote."""
        self._close_taps()
        if self.control is not None:
            self.control.socket.close()
        for process in reversed(self.processes):
            process.terminate()
        for process in reversed(self.processes):
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        shutil.rmtree(self.home, ignore_errors=True)
