#!/usr/bin/python3
"""Runs Penstock, nginx-rtmp, the floor and any other RTMP server through the same scenarios in turn, and writes what each
costs, with ratios and bars. See README.md beside this file."""
import argparse
import json
import os
import pathlib
import shlex
import signal
import sys
import time

import machine
import measure
import plot
import scenarios
import servers
import table

EXAMPLES = """\
examples:
  bench/compare/compare.py                                             all of it: about 40 minutes
  bench/compare/compare.py --scenarios ingest_unwatched_1000 --rounds 3 --seconds 5 --build build/release
  bench/compare/compare.py --scenarios ingest fanout --servers penstock floor     scenarios by how their names begin
  bench/compare/compare.py --quick --out /tmp/smoke                    does everything still run
  bench/compare/compare.py --peer 'other=/opt/other/server --port {port}' --scenarios fanout

exit codes: 0 done; 1 a bar misses and --check was given; 2 wrong usage; 3 a run failed, or nothing could be run
"""
# A server's start, its end, connecting, and tidying up.
OVERHEAD_S = 3.0


class Setup:
    """What all runs of one comparison share."""

    def __init__(self, options, load_program):
        self.load_program = load_program
        self.seconds = options.seconds
        self.generator_core, self.server_core = options.generator_core, options.server_core
        self.cores = sorted(os.sched_getaffinity(0))
        self.ports_from, self.ports_taken = options.ports_from, 0

    def server_cores(self, scenario):
        """The server's own core, and for a second worker the generator's: there may be no third."""
        others = [core for core in self.cores if core not in (self.server_core, self.generator_core)]
        return [self.server_core, *others, self.generator_core][:scenario.workers]

    def next_port(self):
        """Two ports per run (Penstock's API has the second), going round, so that no run meets the TIME_WAIT of the last."""
        port = self.ports_from + 2 * (self.ports_taken % 50)
        self.ports_taken += 1
        return port


def parse_arguments(arguments):
    parser = argparse.ArgumentParser(prog="compare.py", description=__doc__, epilog=EXAMPLES,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenarios", nargs="+", metavar="NAME", default=[], help="by name, or by how names begin (all)")
    parser.add_argument("--servers", nargs="+", metavar="NAME", default=[], help="of penstock, nginx-rtmp, floor, peers (all)")
    parser.add_argument("--peer", action="append", default=[], metavar="NAME=COMMAND",
                        help="another RTMP server, in the foreground, with {port} in its command; may be given again")
    parser.add_argument("--rounds", type=int, metavar="N", help="how often each is measured (3)")
    parser.add_argument("--seconds", type=float, metavar="S", help="window of each measurement (8)")
    parser.add_argument("--quiet-s", type=float, default=0.0, metavar="S",
                        help="before each run, wait so long at most until nobody else uses the two cores (0)")
    parser.add_argument("--server-core", type=int, default=0, metavar="N", help="(0)")
    parser.add_argument("--generator-core", type=int, default=1, metavar="N", help="(1)")
    parser.add_argument("--build", type=pathlib.Path, default=machine.ROOT / "build" / "release", metavar="DIR",
                        help="where the programs are (build/release)")
    parser.add_argument("--load", type=pathlib.Path, metavar="FILE", help="penstock-load, when it is not in the build folder")
    parser.add_argument("--congestion", default="cubic", metavar="NAME",
                        help="TCP congestion control of both ends (cubic); `system` leaves the host's, in the host's network")
    parser.add_argument("--ports-from", type=int, default=22000, metavar="PORT", help="the first of 100 ports (22000)")
    parser.add_argument("--out", type=pathlib.Path, metavar="DIR", help="(bench/results/DATE-COMMIT)")
    parser.add_argument("--quick", action="store_true", help="one round of a second with few connections: a smoke test")
    parser.add_argument("--check", action="store_true", help="exit with 1 when a bar misses")
    parser.add_argument("--json", action="store_true", help="write the results as JSON to stdout, instead of the table")
    parser.add_argument("--list", action="store_true", help="list scenarios and servers, and end")
    options = parser.parse_args(arguments)
    options.rounds = options.rounds or (1 if options.quick else 3)
    options.seconds = options.seconds or (1.0 if options.quick else 8.0)
    if options.rounds < 1 or options.seconds <= 0:
        parser.error("--rounds and --seconds must be above 0")
    try:
        options.chosen = scenarios.chosen(options.scenarios)
        options.peers = [servers.parse_peer(text) for text in options.peer]
    except ValueError as wrong:
        parser.error(str(wrong))
    options.build = options.build.resolve()
    available = {server.name: server for server in (servers.Penstock(options.build), servers.NginxRtmp(),
                                                    servers.Floor(options.build), *options.peers)}
    for name in options.servers:
        if name not in available:
            parser.error(f"no server {name!r}; there are {', '.join(available)}")
    options.available = available
    if options.quick:
        options.chosen = [scenario.small() for scenario in options.chosen]
    cores = os.sched_getaffinity(0)
    for core in (options.server_core, options.generator_core):
        if core not in cores and not options.list:
            parser.error(f"core {core} is not among those that this process may use: {sorted(cores)}")
    return options


def say(text):
    print(text, file=sys.stderr, flush=True)


def print_list(options):
    for scenario in scenarios.ALL:
        bars = ", ".join(f"{bar.against} {'>=' if bar.at_least else '<='} {bar.limit:g}" for bar in scenario.bars
                         if bar.limit is not None)
        print(f"{scenario.name:30} {scenario.title} [{scenarios.UNITS[scenario.metric]}]{': ' + bars if bars else ''}")
    for server in options.available.values():
        print(f"{server.name:30} {server.missing() or 'can run'}")


def usable_servers(options):
    wanted = options.servers or list(options.available)
    usable = []
    for name in wanted:
        reason = options.available[name].missing()
        if reason is None:
            usable.append(options.available[name])
        else:
            say(f"compare: {name} is left out: {reason}")
    return usable


def takes_part(server, scenario, peers):
    """A scenario for RTMP servers by name is for peers too, unless it is Penstock's alone."""
    if not scenario.servers or server.name in scenario.servers:
        return True
    return server in peers and len(scenario.servers) > 1


def plan(options, usable):
    """Every run, in order. All servers meet a scenario close together in time, and who is first changes each round."""
    runs = []
    for number in range(options.rounds):
        for scenario in options.chosen:
            those = [server for server in usable if takes_part(server, scenario, options.peers)]
            shift = number % max(1, len(those))
            runs += [(number, scenario, server) for server in those[shift:] + those[:shift]]
    return runs


def planned_seconds(scenario, seconds):
    return sum(load.seconds_planned(seconds) + OVERHEAD_S + scenario.settle_s for load in scenario.loads)


def run_all(options, setup, runs, results):
    """Measures; returns how many runs failed. An interrupt ends it early, with what there is."""
    failed, spent, planned_so_far = 0, 0.0, 0.0
    planned = [planned_seconds(scenario, setup.seconds) for _, scenario, _ in runs]
    for index, (number, scenario, server) in enumerate(runs):
        pace = spent / planned_so_far if planned_so_far else 1.0
        left = int(sum(planned[index:]) * pace)
        started = time.monotonic()
        try:
            measure.wait_until_quiet((setup.server_core, setup.generator_core), options.quiet_s)
            run = measure.measure(setup, server, scenario)
            failed += run["value"] is None
            outcome = f"{table.number(run['value'])} {scenarios.UNITS[scenario.metric]}"
            outcome += f" ({'; '.join(run['notes'])})" if run["notes"] else ""
        except (servers.ServerFailed, measure.RunFailed) as problem:
            failed += 1
            run = {"value": None, "shares": {}, "notes": [f"failed: {problem}"], "commands": [], "reports": []}
            outcome = run["notes"][0]
        except KeyboardInterrupt:
            say("compare: interrupted; what there is is written")
            return failed + 1
        results.add(scenario.name, server.name, run)
        spent += time.monotonic() - started
        planned_so_far += planned[index]
        say(f"compare: [{index + 1:3}/{len(runs)}, {left // 60}:{left % 60:02} left] round {number + 1} {scenario.name:28} "
            f"{server.name:10} {outcome}")
    return failed


def results_folder(options, facts):
    if options.out:
        options.out.mkdir(parents=True, exist_ok=True)
        return options.out
    base = machine.ROOT / "bench" / "results" / f"{facts['date']}-{facts['commit']}"
    for folder in [base, *(base.with_name(f"{base.name}-{number}") for number in range(2, 1000))]:
        try:
            folder.mkdir(parents=True)
            return folder
        except FileExistsError:
            continue
    raise OSError(f"{base} is there a thousand times")


def write_results(options, facts, results, server_names):
    """results.md, results.json, runs.jsonl and the plot; returns (JSON object, markdown, folder)."""
    folder = results_folder(options, facts)
    no_plot = plot.draw(options.chosen, results, server_names, folder)
    if no_plot:
        say(f"compare: no plot: {no_plot}")
    text = table.markdown(options.chosen, results, server_names, facts, None if no_plot else "plot.svg")
    whole = {"tool": "compare", **facts,
             "settings": {scenario.name: {"penstock": scenario.penstock_settings(), "floor": scenario.floor_settings()}
                          for scenario in options.chosen},
             "bars": table.bar_rows(options.chosen, results),
             "values": table.value_rows(options.chosen, results, server_names)}
    (folder / "results.md").write_text(text)
    (folder / "results.json").write_text(json.dumps(whole, indent=1) + "\n")
    # Apart, and a line each: they are twenty times as long, and read by nobody until a number is doubted.
    with open(folder / "runs.jsonl", "w", encoding="utf-8") as lines:
        for scenario, by_server in results.runs.items():
            for server, runs in by_server.items():
                for number, run in enumerate(runs, 1):
                    lines.write(json.dumps({"scenario": scenario, "server": server, "round": number, **run}) + "\n")
    return whole, text, folder


def main():
    options = parse_arguments(sys.argv[1:])
    if options.list:
        print_list(options)
        return 0
    usable = usable_servers(options)
    load_program = options.load or servers.find_program(options.build, "penstock-load", "bench/load")
    if load_program is None:
        say(f"compare: no penstock-load in {options.build}: build it with tools/build release")
        return 3
    if not usable:
        say("compare: no server can run here")
        return 3
    refused = "wanted so" if options.congestion == "system" else machine.enter_namespace(options.congestion)
    if refused and options.congestion != "system":
        say(f"compare: no network namespace of its own, so both ends have the host's congestion control: {refused}")
    machine.raise_descriptor_limit()
    setup = Setup(options, load_program)
    # SIGTERM ends it as Ctrl-C does: servers are stopped, what there is is written.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    # Beside the generator, never beside the server.
    os.sched_setaffinity(0, {options.generator_core})
    command = shlex.join([os.path.relpath(sys.argv[0], machine.ROOT), *sys.argv[1:]])
    facts = machine.facts(command, options, refused)
    results = table.Results()
    failed = run_all(options, setup, plan(options, usable), results)
    whole, text, folder = write_results(options, facts, results, [server.name for server in usable])
    print(json.dumps(whole) if options.json else text)
    say(f"compare: written to {folder}")
    if failed:
        return 3
    missed = [row for row in whole["bars"] if row["verdict"] == "misses"]
    return 1 if missed and options.check else 0


if __name__ == "__main__":
    sys.exit(main())
