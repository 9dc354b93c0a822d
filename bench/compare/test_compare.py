#!/usr/bin/python3
"""What compare.py computes: medians, ratios, bars, tables, commands; and what it refuses. No server is started here."""
import contextlib
import io
import json
import os
import pathlib
import signal
import subprocess
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

import child
import compare
import measure
import plot
import scenarios
import servers
import table


def run(value, gaps=0, notes=(), p99=None):
    report = {"gaps": gaps, "seconds": 2.0, "server_usage": {"cpu_s": 1.0}}
    if p99 is not None:
        report["latency_ms"] = {"p50": p99 / 2, "p99": p99}
    return {"value": value, "shares": {"one": 0.75, "other": 0.25}, "notes": list(notes), "commands": [], "reports": [report]}


def results_of(values):
    """Results from {scenario: {server: [value, ...]}}."""
    results = table.Results()
    for scenario, by_server in values.items():
        for server, found in by_server.items():
            for value in found:
                results.add(scenario, server, run(value))
    return results


class Medians(unittest.TestCase):
    def test_a_round_that_failed_is_left_out(self):
        self.assertEqual(table.median([3.0, None, 1.0, 2.0]), 2.0)
        self.assertIsNone(table.median([None]))
        self.assertIsNone(table.median([]))

    def test_ratios_are_taken_within_a_round(self):
        # The machine became three times slower in the last round, for both.
        self.assertEqual(table.paired_ratio([1.0, 1.0, 3.0], [2.0, 2.0, 6.0]), 0.5)
        self.assertEqual(table.paired_ratio([1.0, None, 3.0], [2.0, 2.0, None]), 0.5)
        self.assertIsNone(table.paired_ratio([1.0], [0.0]))
        self.assertIsNone(table.paired_ratio([1.0], []))


class Bars(unittest.TestCase):
    SCENARIO = scenarios.BY_NAME["ingest_watched_1000"]

    def rows(self, values, names=("ingest_watched_1000",)):
        return table.bar_rows([scenarios.BY_NAME[name] for name in names], results_of(values))

    def test_a_ratio_to_each_server_is_held_against_its_bar(self):
        rows = self.rows({"ingest_watched_1000": {"penstock": [1.3, 1.3], "floor": [1.0, 1.0], "nginx-rtmp": [2.0, 2.0]}})
        self.assertEqual([(row["against"], row["verdict"]) for row in rows], [("floor", "holds"), ("nginx-rtmp", "misses")])
        self.assertAlmostEqual(rows[0]["measured"], 1.3)
        self.assertIs(rows[0]["aim_reached"], False)
        self.assertIsNone(rows[1]["aim_reached"])

    def test_the_limit_itself_holds(self):
        self.assertEqual(table.judge(scenarios.Bar("floor", 1.35, 1.35), 1.35), ("holds", True))
        self.assertEqual(table.judge(scenarios.Bar("capacity:x", 1.7), 1.7), ("holds", None))
        self.assertEqual(table.judge(scenarios.Bar("capacity:x", 1.7), 1.6), ("misses", None))

    def test_what_was_not_measured_neither_holds_nor_misses(self):
        rows = self.rows({"ingest_watched_1000": {"penstock": [1.3], "floor": [None]}})
        self.assertEqual([row["verdict"] for row in rows], ["?", "?"])

    def test_without_penstock_there_is_nothing_to_judge(self):
        self.assertEqual(self.rows({"ingest_watched_1000": {"floor": [1.0]}}), [])

    def test_an_aim_may_stand_without_a_bar(self):
        self.assertEqual(table.judge(scenarios.Bar("value", None, 3.0), 2.0), ("", True))

    def test_capacity_of_two_workers_is_twice_the_cost_of_one_by_theirs(self):
        rows = self.rows({"workers_1": {"penstock": [1.0]}, "workers_2": {"penstock": [1.25]}}, ("workers_2",))
        self.assertEqual(rows[0]["against"], "capacity:workers_1")
        self.assertAlmostEqual(rows[0]["measured"], 1.6)
        self.assertEqual(rows[0]["verdict"], "misses")

    def test_cost_at_many_connections_is_held_against_cost_at_few(self):
        rows = self.rows({"scale_100": {"penstock": [5.0]}, "scale_1000": {"penstock": [4.0]}}, ("scale_1000",))
        self.assertEqual([(row["measured"], row["verdict"]) for row in rows], [(0.8, "holds")])

    def test_a_cipher_is_predicted_to_cost_plain_and_itself_within_a_round(self):
        results = results_of({"plain_500": {"penstock": [2.0, 4.0]}})
        for value, cipher in ((3.0, 0.5), (6.0, 1.0)):
            results.add("rtmpe_500", "penstock", {**run(value), "cipher_cpu_s_per_gb": cipher})
        rows = table.bar_rows([scenarios.BY_NAME["rtmpe_500"]], results)
        self.assertEqual([(row["measured"], row["verdict"]) for row in rows], [(1.2, "holds")])
        self.assertEqual(table.against_text(rows[0]), "x (plain_500 + rc4)")
        # Without the cipher's own cost, or plain's, nothing is predicted.
        results.add("rtmpe_500", "penstock", {**run(9.0), "cipher_cpu_s_per_gb": None})
        results.add("plain_500", "penstock", run(None))
        self.assertEqual(table.bar_rows([scenarios.BY_NAME["rtmpe_500"]], results)[0]["measured"], 1.2)

    def test_what_a_tunnel_adds_is_told_and_held_against_nothing(self):
        rows = self.rows({"plain_500_message": {"penstock": [3.0, 5.0]}, "rtmpt_500": {"penstock": [10.0, 13.0]}}, ("rtmpt_500",))
        self.assertEqual([(row["measured"], row["verdict"]) for row in rows], [(7.5, "")])
        self.assertEqual(table.against_text(rows[0]), "more than plain_500_message, CPU-us per message")

    def test_a_gap_in_any_round_misses(self):
        results = table.Results()
        for gaps in (0, 3, 0):
            results.add("fanout_1x500", "penstock", run(0.3, gaps))
        rows = table.bar_rows([scenarios.BY_NAME["fanout_1x500"]], results)
        self.assertEqual([(row["measured"], row["verdict"]) for row in rows if row["against"] == "gaps"], [(3, "misses")])

    def test_gaps_that_were_not_counted_and_players_that_stalled_prove_nothing(self):
        scenario = scenarios.BY_NAME["fanout_1x500"]
        for report, judged in (({"gaps": 0}, ("holds", 0)), ({"gaps": 0, "players_stalled": 0}, ("holds", 0)),
                               ({"gaps": None}, ("misses", None)), ({"gaps": 0, "players_stalled": 2}, ("misses", 0))):
            results = table.Results()
            results.add(scenario.name, "penstock", {**run(1.0), "reports": [report]})
            self.assertEqual(table.judge_gaps(scenario, results), judged)

    def test_a_run_that_failed_proves_no_absence_of_gaps(self):
        results = results_of({"fanout_1x500": {"penstock": [None]}})
        self.assertEqual(table.judge_gaps(scenarios.BY_NAME["fanout_1x500"], results)[0], "?")


class Values(unittest.TestCase):
    REPORT = {"seconds": 10.0, "bytes_sent": 10**9, "bytes_received": 3 * 10**9, "latency_ms": {"p50": 1.0, "p99": 2.5},
              "server_usage": {"cpu_s": 2.5, "cpu_s_per_gb_in": 2.0, "cpu_s_per_gb_out": 0.66, "cpu_us_per_message": 3.0,
                               "cpu_us_per_connection": 40.0}}

    def test_each_metric_finds_its_number(self):
        found = {metric: measure.value_of(metric, (), [self.REPORT], 0.125) for metric in scenarios.UNITS
                 if metric != "bytes_per_peer"}
        self.assertEqual(found, {"cpu_per_gb_in": 2.0, "cpu_per_gb_out": 0.66, "cpu_per_gb_both": 0.625, "cpu_per_message": 3.0,
                                 "cpu_per_connection": 40.0, "latency_p99": 2.5, "idle_percent": 12.5})

    def test_a_report_without_the_number_has_no_value(self):
        empty = {"seconds": 1.0, "server_usage": None, "latency_ms": None}
        for metric in scenarios.UNITS:
            self.assertIsNone(measure.value_of(metric, (1, 2), [empty, empty]), metric)

    def test_memory_per_peer_is_the_slope_between_two_sizes(self):
        def report(held, taken):
            return {"publishers": {"held": held}, "players": {"held": 0},
                    "server_usage": {"resident_bytes": 5_000_000 + taken, "resident_bytes_before": 5_000_000}}
        # 16 MB that any number of peers needs once, and 8 KB for each.
        reports = [report(500, 16_000_000 + 500 * 8000), report(2500, 16_000_000 + 2500 * 8000)]
        self.assertEqual(measure.value_of("bytes_per_peer", (1, 2), reports), 8.0)

    def test_the_speed_of_a_cipher_is_read_from_what_openssl_writes(self):
        text = "+DT:AES-128-GCM:1:1712\n+R:1:x:1.0\n+H:1712\n+F:25:AES-128-GCM:2000000000.00\n"
        self.assertEqual(measure.cost_of_speed(text), 0.5)
        for wrong in ("", "+F:25:RC4:0.00\n", "speed: unknown algorithm\n"):
            self.assertIsNone(measure.cost_of_speed(wrong))

    def test_a_cipher_is_measured_on_the_servers_core_and_as_the_server_uses_it(self):
        command = measure.cipher_command("aes-128-gcm", 3)
        self.assertEqual(command[:3], ["taskset", "-c", "3"])
        self.assertIn("-decrypt", command)
        self.assertEqual(command[-2:], ["-evp", "aes-128-gcm"])
        self.assertIn("legacy", measure.cipher_command("rc4", 0))

    def test_what_makes_a_number_doubtful_is_noted(self):
        report = {"mode": "publish", "publishers": {"wanted": 10, "held": 9}, "players": {"wanted": 0, "held": 0},
                  "errors": {"reset": 2, "refused": 0}, "schedule_lag_ms": {"p99": 80.0}, "generator": {"busy": 0.99},
                  "connections": {"failed": 1}}
        notes = measure.notes_on(scenarios.BY_NAME["ingest_watched_1000"], [report])
        self.assertEqual(notes, ["9 of 10 publishers held", "1 connections failed", "errors: reset 2",
                                 "publishers late by 80 ms (p99)"])

    def test_gaps_unknown_and_players_stalled_are_noted(self):
        report = {"mode": "mixed", "gaps": None, "players_stalled": 3}
        self.assertEqual(measure.notes_on(scenarios.BY_NAME["fanout_1x500"], [report]),
                         ["doubtful: whether there were gaps is not known", "doubtful: 3 players stalled"])
        self.assertEqual(measure.notes_on(scenarios.BY_NAME["idle_10000"], [{"mode": "play", "players_stalled": 9}]), [])

    def test_a_floor_without_memory_is_doubtful(self):
        said = "penstock-floor: 9 enters, 8 receives of 7 bytes, 0 sends of 0 bytes, 99 times no slab, {} waits for one, " \
               "0 players cut off"
        self.assertEqual(servers.floor_doubts(said.format(12)), ["doubtful: 12 waits for a slab"])
        self.assertEqual(servers.floor_doubts(said.format(0)), [])


class Tables(unittest.TestCase):
    FACTS = {"date": "2026-01-02", "command": "compare.py", "shown": {"kernel": "Linux"}}

    def test_markdown_has_a_row_per_bar_and_per_server(self):
        chosen = [scenarios.BY_NAME["ingest_watched_1000"]]
        results = results_of({"ingest_watched_1000": {"penstock": [1.0, 1.2], "floor": [1.0, 1.0]}})
        text = table.markdown(chosen, results, ["penstock", "floor"], self.FACTS)
        self.assertIn("| ingest_watched_1000 | 1.10 CPU-s per GB in | x floor | 1.10 | <= 1.35 | holds | 1.1 reached |", text)
        self.assertIn("| ingest_watched_1000 | penstock | 1.10 | CPU-s per GB in | 1.00 - 1.20 | 1.10 |", text)
        self.assertIn("one 75%, other 25%", text)

    def test_every_row_has_as_many_cells_as_the_head(self):
        results = table.Results()
        results.add("connect", "penstock", run(None, notes=["failed: a | b"]))
        lines = table.markdown_of_values(table.value_rows([scenarios.BY_NAME["connect"]], results, ["penstock"]))
        self.assertEqual({line.count("|") for line in lines}, {lines[0].count("|")})

    def test_numbers_keep_three_digits(self):
        self.assertEqual([table.number(value) for value in (None, 0, 0.0123, 1.234, 12.34, 1234.5)],
                         ["?", "0", "0.012", "1.23", "12.3", "1234"])

    def test_rows_are_json(self):
        results = results_of({"latency_half_load": {"penstock": [1.0]}})
        json.loads(json.dumps(table.bar_rows(list(scenarios.ALL), results)))

    def test_a_note_of_some_rounds_says_of_how_many(self):
        results = table.Results()
        for notes in (["a", "a", "b"], ["a"]):
            results.add("connect", "penstock", run(1.0, notes=notes))
        self.assertEqual(results.notes("connect", "penstock"), ["a", "b (1 of 2 rounds)"])

    def test_plot_divides_by_nginx_or_else_by_the_floor(self):
        chosen = [scenarios.BY_NAME["connect"], scenarios.BY_NAME["idle_10000"]]
        results = results_of({"connect": {"penstock": [1.0], "nginx-rtmp": [2.0]}, "idle_10000": {"penstock": [1.0]}})
        names = ["penstock", "nginx-rtmp"]
        self.assertEqual(plot.multiples(chosen, results, names), ("nginx-rtmp", [("connect", [0.5, 1.0])]))
        results = results_of({"connect": {"penstock": [1.0], "nginx-rtmp": [None], "floor": [4.0]}})
        self.assertEqual(plot.multiples(chosen, results, names + ["floor"]), ("floor", [("connect", [0.25, None, 1.0])]))


class Plans(unittest.TestCase):
    def test_scenarios_are_chosen_by_name_or_by_how_it_begins(self):
        self.assertEqual([scenario.name for scenario in scenarios.chosen(["scale_100"])], ["scale_100"])
        self.assertEqual([scenario.name for scenario in scenarios.chosen(["fanout", "workers_1"])],
                         ["fanout_1x500", "fanout_50x10", "workers_1"])
        self.assertEqual(len(scenarios.chosen([])), len(scenarios.ALL))
        with self.assertRaises(ValueError):
            scenarios.chosen(["nothing"])

    def test_names_are_unique_and_bars_name_what_exists(self):
        self.assertEqual(len(scenarios.BY_NAME), len(scenarios.ALL))
        for scenario in scenarios.ALL:
            self.assertIn(scenario.metric, scenarios.UNITS)
            for bar in scenario.bars:
                name = bar.against.rpartition(":")[2]
                self.assertIn(name, {*scenarios.BY_NAME, "floor", "nginx-rtmp", "value"})
                if bar.against.startswith("predicted:"):
                    self.assertTrue(scenario.cipher)

    def test_the_floor_gathers_where_penstock_does(self):
        found = {}
        for name in ("ingest_watched_1000", "ingest_unwatched_1000", "fanout_1x500", "blast_50"):
            settings = scenarios.BY_NAME[name].floor_settings()
            found[name] = settings["low_water"], settings["wait_us"], settings["leave_rest"]
        # 1 Mbit/s for 120 ms are 15,000 bytes; the other 30 of the 150 ms are waited in polls.
        self.assertEqual(found, {"ingest_watched_1000": (574, 1000, False), "ingest_unwatched_1000": (15000, 30000, True),
                                 "fanout_1x500": (1, 1000, False), "blast_50": (32768, 30000, False)})

    def test_servers_take_turns_in_being_first(self):
        options = compare.parse_arguments(["--scenarios", "fanout_1x500", "--rounds", "2"])
        usable = [servers.Server("a"), servers.Server("b")]
        self.assertEqual([(number, server.name) for number, _, server in compare.plan(options, usable)],
                         [(0, "a"), (0, "b"), (1, "b"), (1, "a")])

    def test_a_peer_is_in_what_rtmp_servers_do_and_not_in_what_is_penstocks_alone(self):
        peer = servers.parse_peer("other=server --port {port}")
        self.assertTrue(compare.takes_part(peer, scenarios.BY_NAME["memory_player"], [peer]))
        self.assertFalse(compare.takes_part(peer, scenarios.BY_NAME["workers_2"], [peer]))
        self.assertTrue(compare.takes_part(peer, scenarios.BY_NAME["plain_500"], [peer]))
        self.assertFalse(compare.takes_part(peer, scenarios.BY_NAME["rtmps_500"], [peer]))
        self.assertFalse(compare.takes_part(servers.Server("floor"), scenarios.BY_NAME["connect"], [peer]))
        for wrong in ("noname", "a=no port", "=x {port}", "floor=x {port}", "../a=x {port}", "a=x '{port}"):
            with self.assertRaises(ValueError):
                servers.parse_peer(wrong)

    def test_a_small_run_keeps_the_shape(self):
        small = scenarios.BY_NAME["memory_publisher"].small()
        self.assertEqual([load.publishers for load in small.loads], [20, 40])
        self.assertEqual(scenarios.BY_NAME["fanout_1x500"].small().loads[0].publishers, 1)

    def test_arguments_of_the_generator(self):
        load = scenarios.Load("publish", publishers=5, bitrate="20k", audio_fps=0)
        self.assertEqual(" ".join(load.arguments(2)), "publish --spin --publishers 5 --bitrate 20k --audio-fps 0 --chunk-bytes 4096 "
                                                      "--ramp-s 2 --warmup-s 4 --duration-s 2")
        self.assertEqual(" ".join(scenarios.Load("connect", count=10, digest=True).arguments(2)), "connect --spin --count 10 --digest")

    def test_a_variant_is_asked_of_the_generator_and_given_a_listener(self):
        self.assertEqual(scenarios.BY_NAME["rtmps_500"].loads[0].arguments(2)[:4], ["publish", "--spin", "--variant", "rtmps"])
        penstock = servers.Penstock(pathlib.Path("/nowhere"))
        penstock.folder, penstock.port, penstock.http_port = pathlib.Path("/nowhere"), 1000, 1001
        found = {name: penstock.config(scenarios.BY_NAME[name], [0]) for name in ("plain_500", "rtmpe_500", "rtmpt_500")}
        self.assertIn('[listen]\nrtmp = ["127.0.0.1:1000"]\n', found["plain_500"])
        self.assertIn('[listen]\nrtmp = ["127.0.0.1:1000"]\n\n[rtmpe]\nenabled = true\n', found["rtmpe_500"])
        self.assertIn('[listen]\nrtmp = []\nrtmpt = ["127.0.0.1:1000"]\n', found["rtmpt_500"])

    def test_bitrates(self):
        self.assertEqual([scenarios.bits(text) for text in ("20k", "1M", "1.5M", "7")], [20000, 10**6, 1500000, 7])
        with self.assertRaises(ValueError):
            scenarios.bits("fast")


class Usage(unittest.TestCase):
    def test_what_cannot_be_meant_is_refused_with_what_would_be_taken(self):
        for arguments, said in ((["--seconds", "nan"], "above 0"), (["--seconds", "0"], "above 0"), (["--rounds", "0"], "from 1"),
                                (["--ports-from", "70000"], "from 1 to 65436"), (["--peer", "penstock=x {port}"], "other than"),
                                (["--peer", "a=x {port}", "--peer", "a=y {port}"], "no other --peer"),
                                (["--peer", "a=x '{port}"], "quotes")):
            with contextlib.redirect_stderr(io.StringIO()) as stderr, self.assertRaises(SystemExit) as ended:
                compare.parse_arguments(arguments)
            self.assertEqual(ended.exception.code, 2)
            self.assertIn(said, stderr.getvalue())

    def test_built_in_names_are_those_of_the_servers(self):
        options = compare.parse_arguments([])
        self.assertEqual(tuple(options.available), servers.BUILT_IN)


class Processes(unittest.TestCase):
    def test_a_process_ends_with_the_one_that_started_it(self):
        # Standard output is the grandchild's too: it is at its end when that one has ended.
        script = ("import signal, subprocess, sys, time; sys.path.insert(0, sys.argv[1]); import child; "
                  "subprocess.Popen(['sleep', '60'], **child.settings(signal.SIGTERM)); print('started', flush=True); "
                  "time.sleep(60)")
        with subprocess.Popen([sys.executable, "-c", script, os.path.dirname(child.__file__)],
                              stdout=subprocess.PIPE) as parent:
            parent.stdout.readline()
            parent.send_signal(signal.SIGKILL)
            self.assertEqual(parent.communicate(timeout=10)[0], b"")

    def test_of_a_log_what_is_wrong_is_quoted(self):
        self.assertEqual(servers.complaints("[info] a\n[warning] b\n[error] c\n[info] d\n"), "[warning] b / [error] c")
        self.assertEqual(servers.complaints("one\ntwo\n"), "two")
        self.assertEqual(servers.complaints(""), "it wrote nothing")


if __name__ == "__main__":
    unittest.main()
