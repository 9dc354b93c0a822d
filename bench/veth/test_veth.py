#!/usr/bin/python3
"""Tests of what veth.py computes; runs no server."""
import contextlib
import io
import unittest

import veth  # first: it says where the others are
import report
import shares

SCRIPT = """\
penstockd  500 [000]:
\tffffffff81000010 tcp_v4_rcv ([kernel.kallsyms])
\tffffffff81000020 process_backlog ([kernel.kallsyms])
\tffffffff81000030 tpacket_snd ([kernel.kallsyms])
\t    7f0000000040 __send (/usr/lib/libc.so.6)
\t    7f0000000050 eth_af_packet_tx (/usr/lib/librte_net_af_packet.so.23)

penstockd  500 [000]:
\t    7f0000000010 __memmove_avx512 (/usr/lib/libc.so.6)
\t    7f0000000020 eth_af_packet_rx (/usr/lib/librte_net_af_packet.so.23)
\t    550000000030 penstock::engine::DpdkEngine::take_burst() (/bin/penstockd)

penstockd  500 [000]:
\t    7f0000000020 eth_af_packet_rx (/usr/lib/librte_net_af_packet.so.23)

penstockd  500 [000]:
\t    550000000010 penstock::engine::tcp::Connection::input(int) (/bin/penstockd)
\t    550000000030 penstock::engine::DpdkEngine::receive(unsigned long) (/bin/penstockd)
\t    550000000040 penstock::dataplane::Worker::tick() (/bin/penstockd)

penstockd  500 [000]:
\t    550000000040 penstock::dataplane::Worker::tick() (/bin/penstockd)

penstock-load  600 [001]:
\tffffffff81000010 tpacket_rcv ([kernel.kallsyms])
\tffffffff81000020 process_backlog ([kernel.kallsyms])
\tffffffff81000030 tcp_sendmsg ([kernel.kallsyms])

penstock-load  600 [001]:
\tffffffff81000030 tcp_sendmsg ([kernel.kallsyms])

cc1plus  700 [000]:
\t    550000000040 something (/bin/cc1plus)
"""


class Shares(unittest.TestCase):
    def test_a_sample_is_of_what_its_chain_passes_through(self):
        counts = shares.sorted_samples(shares.parse(SCRIPT), 500, 0, "dpdk")
        self.assertEqual({kind: count for kind, count in counts.items() if count},
                         {shares.VETH: 1, shares.DRIVER_USER: 1, shares.LOOKING: 1, shares.TCP: 1, shares.WORKER: 1,
                          shares.GIVEN: 1, shares.NOT_OURS: 1})

    def test_the_kernels_tcp_is_tcp_and_who_does_not_poll_does_not_look(self):
        frames = [("tcp_sendmsg", True), ("io_send", True), ("penstock::engine::UringEngine::poll()", False)]
        self.assertEqual(shares.kind_of(frames, "uring"), shares.TCP)
        self.assertEqual(shares.kind_of([("penstock::engine::UringEngine::poll()", False)], "uring"), shares.ENGINE)

    def test_in_the_generators_time_each_end_has_its_own(self):
        def kind(engine, server_sends, *inner):
            return shares.given_kind([*inner, "tcp_v4_rcv", "ip_rcv", "process_backlog", "tcp_sendmsg"], engine, server_sends)
        self.assertEqual(kind("uring", False, "tcp_data_queue"), shares.GIVEN)
        self.assertIsNone(kind("uring", False, "tcp_ack"))
        self.assertEqual(kind("uring", True, "tcp_ack"), shares.GIVEN)
        self.assertIsNone(kind("dpdk", False, "tcp_ack"))
        self.assertEqual(kind("uring", False, "ttwu_queue", "sock_def_readable", "tcp_v4_do_rcv"), shares.GIVEN_WAKE)
        self.assertIsNone(shares.given_kind(["tcp_sendmsg"], "uring", False))
        self.assertEqual(shares.given_kind(["ip_rcv", "process_backlog"], "dpdk", False), shares.GIVEN_VETH)

    def test_costs_are_seconds_per_gigabyte(self):
        # 500 of 1000 samples a second for two seconds are a quarter of a core; at 0.5 GB/s half a second per GB.
        self.assertEqual(shares.per_gb({"TCP": 500}, 0.5, 2.0), {"TCP": 0.5})

    def test_a_nic_takes_the_cable_and_af_packet_from_one_and_brings_softirqs_to_the_other(self):
        costs = dict.fromkeys((*shares.ORDER, shares.NOT_OURS), 1.0)
        self.assertEqual(shares.model("dpdk", costs), {"stays": 4.0, "goes": 6.0, "polls": 1.0})
        self.assertEqual(shares.model("uring", costs), {"stays": 5.0, "goes": 2.0, "polls": 2.0})


class Reports(unittest.TestCase):
    TOLD = {"bytes_sent": 10**9, "bytes_received": 4 * 10**9, "seconds": 2.0}
    WINDOW = {"seconds": 1.0, "process_s": 0.5, "core_s": 0.75, "engine": {}}

    def test_cost_is_by_what_the_load_is_about(self):
        self.assertEqual(report.costs("publish", self.TOLD, self.WINDOW)["process"], 1.0)
        self.assertEqual(report.costs("mixed", self.TOLD, self.WINDOW)["core"], 0.375)

    def test_ratios_are_of_one_round(self):
        runs = [{"load": "blast_8", "engine": engine, "round": number, "process": cost, "core": cost, "notes": []}
                for engine, costs in (("dpdk", (2.0, 6.0, 9.0)), ("uring", (1.0, 2.0))) for number, cost in enumerate(costs)]
        row = report.rows(runs)[0]
        self.assertEqual((row["ratio_process"], row["dpdk_process"]), (2.5, 6.0))

    def test_nothing_moved_has_no_cost(self):
        with self.assertRaises(ValueError):
            report.costs("publish", {**self.TOLD, "bytes_sent": 0}, self.WINDOW)


class Usage(unittest.TestCase):
    def test_what_cannot_be_meant_is_refused(self):
        for arguments in (["--seconds", "0"], ["--loads", "nothing"], ["--engines", "epoll"], ["everything"]):
            with contextlib.redirect_stderr(io.StringIO()), self.assertRaises(SystemExit) as ended:
                veth.parse_arguments(arguments)
            self.assertEqual(ended.exception.code, 2)

    def test_a_quick_run_keeps_the_shape(self):
        options = veth.parse_arguments(["--quick"])
        self.assertEqual((options.rounds, options.chosen["blast_8"].publishers, options.chosen["fanout_50x10"].players), (1, 8, 40))


if __name__ == "__main__":
    unittest.main()
