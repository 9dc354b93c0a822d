#!/usr/bin/python3
"""Two network namespaces with a cable between them: `dut` has the DPDK engine and its device, `peer` the kernel's TCP with
encoders and players. Also a program: namespaces.py up|down|show [PREFIX] [--queues N] [--mtu BYTES]"""
import argparse
import contextlib
import ctypes
import os
import pathlib
import shutil
import subprocess
import sys

DUT4, PEER4, BITS4 = "10.99.0.2", "10.99.0.1", 24
DUT6, PEER6, BITS6 = "fd99::2", "fd99::1", 64
CLONE_NEWNET = 0x40000000
HERE = pathlib.Path(__file__).resolve().parent
_libc = ctypes.CDLL(None, use_errno=True)


def run(*command):
    done = subprocess.run(list(map(str, command)), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, check=False)
    if done.returncode != 0:
        raise OSError(f"{' '.join(map(str, command))}: {done.stdout.strip() or done.returncode}")
    return done.stdout


def _enter(descriptor):
    if _libc.setns(descriptor, CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "setns: " + os.strerror(ctypes.get_errno()))


class Namespaces:
    def __init__(self, prefix=None, queues=1, mtu=1500, far=False):
        """`far`: the cable goes through a third namespace, where cable.py is to carry the frames."""
        self.prefix = prefix or f"penstock{os.getpid()}"
        self.queues, self.mtu, self.far = queues, mtu, far
        self.dut, self.peer, self.way = (self.prefix + name for name in ("dut", "peer", "way"))
        # Names of their own namespaces, so they may be the same in all.
        self.dut_interface, self.peer_interface = "dut0", "peer0"

    @staticmethod
    def missing():
        """Why this machine has none; nothing where it has."""
        for program, package in (("ip", "iproute2"), ("ethtool", "ethtool"), ("ping", "iputils-ping")):
            if shutil.which(program) is None:
                return f"{program} is missing: apt-get install {package} (tools/setup does)"
        if os.geteuid() != 0:
            return "network namespaces need root"
        trial = Namespaces(f"penstock{os.getpid()}t")
        try:
            trial.up()
        except OSError as refused:
            return f"network namespaces are forbidden here: {refused}"
        finally:
            trial.down()
        return None

    def up(self):
        run("ip", "netns", "add", self.dut)
        run("ip", "netns", "add", self.peer)
        # Made inside, so that the names never show in the machine's own namespace.
        queues = ("numrxqueues", self.queues, "numtxqueues", self.queues)
        cables = [(self.dut, self.dut_interface, self.peer, self.peer_interface)]
        if self.far:
            run("ip", "netns", "add", self.way)
            cables = [(self.way, "way0", self.dut, self.dut_interface), (self.way, "way1", self.peer, self.peer_interface)]
        for near, interface, other, other_interface in cables:
            run("ip", "-n", near, "link", "add", interface, *queues, "type", "veth", "peer", "name", other_interface,
                *queues, "netns", other)
        for namespace in (self.dut, self.peer):
            run("ip", "-n", namespace, "link", "set", "lo", "up")
        # The kernel must not speak beside the engine: no link-local address, no ARP, no router solicitations.
        self.inside_dut("sysctl", "-qw", f"net.ipv6.conf.{self.dut_interface}.disable_ipv6=1")
        self.inside_peer("sysctl", "-qw", f"net.ipv6.conf.{self.peer_interface}.accept_dad=0")
        ends = [(self.inside_dut, self.dut_interface), (self.inside_peer, self.peer_interface)]
        for interface in ("way0", "way1") if self.far else ():
            self.inside_way("sysctl", "-qw", f"net.ipv6.conf.{interface}.disable_ipv6=1")
            self.inside_way("ip", "link", "set", interface, "promisc", "on", "up")
            ends.append((self.inside_way, interface))
        for inside, interface in ends:
            inside("ip", "link", "set", interface, "mtu", self.mtu)
            # A veth leaves checksums and the cutting of segments to a card that is not there, where every TCP
            # checksum would be wrong and pings still work.
            inside("ethtool", "-K", interface, "tx", "off", "tso", "off", "gso", "off", "gro", "off")
        self.inside_peer("ip", "addr", "add", f"{PEER4}/{BITS4}", "dev", self.peer_interface)
        self.inside_peer("ip", "-6", "addr", "add", f"{PEER6}/{BITS6}", "dev", self.peer_interface, "nodad")
        self.inside_dut("ip", "link", "set", self.dut_interface, "promisc", "on", "up")
        self.inside_peer("ip", "link", "set", self.peer_interface, "up")
        return self

    def down(self):
        """A namespace takes its end of the cable along, and that the other one."""
        for namespace in (self.dut, self.peer, self.way):
            with contextlib.suppress(OSError):
                run("ip", "netns", "del", namespace)

    def inside_dut(self, *command):
        return run("ip", "netns", "exec", self.dut, *command)

    def inside_peer(self, *command):
        return run("ip", "netns", "exec", self.peer, *command)

    def inside_way(self, *command):
        return run("ip", "netns", "exec", self.way, *command)

    @contextlib.contextmanager
    def entered(self, namespace):
        """This thread is there meanwhile, and so are the sockets that it makes and the children that it starts."""
        home = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        there = os.open(f"/run/netns/{namespace}", os.O_RDONLY | os.O_CLOEXEC)
        try:
            _enter(there)
            yield
        finally:
            _enter(home)
            os.close(there)
            os.close(home)


def main():
    parser = argparse.ArgumentParser(
        description="Two network namespaces joined by a cable, as the end-to-end tests of the DPDK engine use them.",
        epilog="example: namespaces.py up && ip netns exec penstockdut penstockd --config penstock.toml",
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("order", choices=("up", "down", "show"))
    parser.add_argument("prefix", nargs="?", default="penstock", help="of both namespaces' names; default penstock")
    parser.add_argument("--queues", type=int, default=1, help="of each end; AF_XDP wants one for each worker")
    parser.add_argument("--mtu", type=int, default=1500)
    options = parser.parse_args()
    made = Namespaces(options.prefix, options.queues, options.mtu)
    try:
        if options.order == "down":
            made.down()
        elif options.order == "up":
            made.up()
            print(f"""\
{made.dut} has {made.dut_interface}; in penstock.toml:
    [dataplane]  engine = "dpdk"
    [dpdk]       devices = ["net_af_packet0,iface={made.dut_interface}"]   hugepages = false   memory_mb = 256
                 address = "{DUT4}/{BITS4}"   address6 = "{DUT6}/{BITS6}"
ip netns exec {made.dut} penstockd --config penstock.toml
ip netns exec {made.peer} ffplay rtmp://{DUT4}/live/cam1     ({made.peer} is {PEER4} and {PEER6})""")
        else:
            print(run("ip", "-n", made.dut, "-br", "link"), run("ip", "-n", made.peer, "-br", "addr"), sep="", end="")
    except OSError as refused:
        print(f"namespaces: {refused}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
