"""The servers that are measured: penstockd at the far end of a virtual cable, over either engine, on a core of its own."""
import contextlib
import pathlib
import signal
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path += [str(ROOT / "bench" / "compare"), str(ROOT / "tests" / "e2e")]

# pylint: disable=wrong-import-position
import child
import dpdk_penstock
import namespaces
import processes

ENGINES = ("dpdk", "uring")


class Measured(processes.Run):
    """As all that is measured: ends with the program that started it, and stands before other work of the machine."""

    def __init__(self, command, log_path):  # pylint: disable=super-init-not-called
        self.log_path = log_path
        with open(log_path, "ab") as log:
            self.child = subprocess.Popen([str(part) for part in command], stdin=subprocess.DEVNULL, stdout=log,
                                          stderr=subprocess.STDOUT, **child.settings(signal.SIGTERM))
        self.pid = self.child.pid


class VethPenstock(dpdk_penstock.DpdkPenstock):
    """With `engine` "uring" the kernel has the address, and its TCP is what is measured."""

    def __init__(self, folder, there, engine, core, build):
        self.engine, self.core, self.build = engine, core, build
        if engine != "dpdk":
            self.host6 = "[::1]"  # nobody speaks IPv6 here, and the kernel has not the other one's address
        super().__init__(folder, there, workers=[core])

    def engine_section(self):
        return super().engine_section() if self.engine == "dpdk" else ""

    def command(self, name):
        program = self.build / "bin" / name
        if not program.exists():  # ninja alone makes no links
            folder = {"penstockd": "dataplane", "penstock-control": "controlplane"}[name]
            program = self.build / folder / name
        return ["ip", "netns", "exec", self.there.dut, "taskset", "-c", str(self.core), program, "--config", self.config_path]

    def _start(self, name):
        run = Measured(self.command(name), self.folder / f"{name}.log")
        self.runs.append(run)
        return run


def address(there, order):
    """The kernel's own, which it must not have beside the DPDK engine: it would reset every connection."""
    there.inside_dut("ip", "addr", order, f"{namespaces.DUT4}/{namespaces.BITS4}", "dev", there.dut_interface)
    if order == "add":
        set_congestion(there.inside_dut, there.dut_interface, namespaces.DUT4)


def set_congestion(inside, interface, own):
    """CUBIC at both ends by route, whatever the machine's default is: it is what our own TCP has."""
    network = namespaces.DUT4.rpartition(".")[0] + f".0/{namespaces.BITS4}"
    inside("ip", "route", "replace", network, "dev", interface, "proto", "kernel", "scope", "link", "src", own,
           "congctl", "cubic")


@contextlib.contextmanager
def cable(prefix):
    """The two namespaces, while this thread is at the generator's end."""
    there = namespaces.Namespaces(prefix)
    try:
        there.up()
        set_congestion(there.inside_peer, there.peer_interface, namespaces.PEER4)
        with there.entered(there.peer):
            yield there
    finally:
        there.down()


def offloads(there):
    """What is on of each end's that matters; "" where all is off."""
    wanted = ("rx-checksumming", "tx-checksumming", "tcp-segmentation-offload", "generic-segmentation-offload",
              "generic-receive-offload")
    found = []
    for inside, interface in ((there.inside_dut, there.dut_interface), (there.inside_peer, there.peer_interface)):
        with contextlib.suppress(OSError):
            inside("ethtool", "-K", interface, "rx", "off")
        for line in inside("ethtool", "-k", interface).splitlines():
            name, _, state = line.strip().partition(": ")
            if name in wanted and state.startswith("on"):
                found.append(f"{interface} {name}")
    return ", ".join(found)


@contextlib.contextmanager
def running(there, engine, core, build):
    """A fresh one, ready; ended and looked over afterwards."""
    with tempfile.TemporaryDirectory(prefix="penstock-veth-") as folder:
        made = VethPenstock(folder, there, engine, core, build)
        if engine == "uring":
            address(there, "add")
        try:
            made.start()
            yield made
            problems = made.stop()
            if problems:
                raise RuntimeError("; ".join(problems))
        finally:
            made.abandon()
            if engine == "uring":
                address(there, "del")
