"""A Penstock whose data plane has the DPDK engine, in a namespace. The test itself runs in the other one: encoders, players and
sockets reach it over the cable, and the API over its Unix socket."""
import http.client
import json
import socket

import pytest

import namespaces
import processes


class UnixHttp(http.client.HTTPConnection):
    def __init__(self, path, timeout):
        super().__init__("localhost", timeout=timeout)
        self.path = str(path)

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


class DpdkPenstock(processes.Penstock):
    engine = "dpdk"
    host, host6 = namespaces.DUT4, f"[{namespaces.DUT6}]"

    def __init__(self, folder, there, devices=None, dpdk="", **settings):
        """`there`: the namespaces; `dpdk`: more of that section."""
        self.there = there
        # Its 512 frames are too few for a worker that waits for its core, as on a machine that runs tests: what has no
        # room there the kernel drops. 16384 are half a second of 1000 connections that send what was held up.
        self.devices = devices or [f"net_af_packet0,iface={there.dut_interface},framesz=2048,framecnt=16384"]
        self.dpdk = dpdk
        super().__init__(folder, **settings)

    def engine_section(self):
        # Without hugepages: a machine that runs tests has none to spare.
        return f"""
[dpdk]
devices = {json.dumps(self.devices)}
hugepages = false
memory_mb = 256
file_prefix = "{self.there.prefix}-{self.rtmp_port}"
address = "{namespaces.DUT4}/{namespaces.BITS4}"
address6 = "{namespaces.DUT6}/{namespaces.BITS6}"
{self.dpdk}
"""

    def command(self, name):
        # ip's own way in, and not setns() alone: drivers look for queues below /sys, which is the namespace's only this way.
        return ["ip", "netns", "exec", self.there.dut, *super().command(name)]

    def start_dataplane(self):
        try:
            super().start_dataplane()
        except AssertionError:
            if "was built without DPDK" in self.dataplane.output():
                self.expected_codes[self.dataplane.pid] = 1
                pytest.skip(self.dataplane.output().strip())
            raise

    def http(self, path, method="GET", body=None, headers=None):
        asked = UnixHttp(self.socket_path, 10 * processes.PATIENCE)
        try:
            asked.request(method, path, None if body is None else json.dumps(body).encode(),
                          {"Content-Type": "application/json", **(headers or {})})
            answer = asked.getresponse()
            return answer.status, answer.read().decode(errors="replace")
        except OSError:
            return 0, ""
        finally:
            asked.close()

    def link(self, worker=0):
        return next(row for row in self.get("/workers")["links"] if row["worker"] == worker)

    def numbers(self, kind):
        """Of engine, TCP or device, over all workers."""
        sums = {}
        for row in self.get("/workers")["links"]:
            for name, value in row["numbers"][kind].items():
                sums[name] = sums.get(name, 0) + value
        return sums
