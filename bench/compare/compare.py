#!/usr/bin/python3
"""Runs Penstock, nginx-rtmp, the floor and any other RTMP server through the same scenarios in turn, and writes what each
costs, with ratios and bars. See README.md beside this file."""
import argparse
import json
import math
import os
import pathlib
import shlex
import signal
import sys
import tempfile
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

exit codes: 0 done; 1 a bar misses and --check was given; 2 wrong usage; 3 a run failed, nothing could be run, or the results
could not be written (the table is on stdout all the same)
"""
# A server's start, its end, connecting, and tidying up.
OVERHEAD_S = 3.0
PORTS = 100


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
        port = self.ports_from + 2 * (self.ports_taken % (PORTS // 2))
        self.ports_taken += 1
        return port


def number_in(kind, low, high, above=False):
    """An argparse type that says what it takes. `above`: `low` itself is too low."""
    def read(text):
        try:
            value = kind(text)
        except ValueError:
            value = math.nan
        # No comparison holds for nan.
        if low <= value <= high and not (above and value == low):
            return value
        raise argparse.ArgumentTypeError(f"{text!r}: a{' whole' if kind is int else ''} number {'above' if above else 'from'} "
                                         f"{low} {'and up to' if above else 'to'} {high} is wanted")
    return read


def parse_arguments(arguments):
    parser = argparse.ArgumentParser(prog="compare.py", description=__doc__, epilog=EXAMPLES,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenarios", nargs="+", metavar="NAME", default=[], help="by name, or by how names begin (all)")
    parser.add_argument("--servers", nargs="+", metavar="NAME", default=[], help="of penstock, nginx-rtmp, floor, peers (all)")
    parser.add_argument("--peer", action="append", default=[], metavar="NAME=COMMAND",
                        help="another RTMP server, in the foreground, with {port} in its command; may be given again")
    parser.add_argument("--rounds", type=number_in(int, 1, 1000), metavar="N", help="how often each is measured (3)")
    parser.add_argument("--seconds", type=number_in(float, 0, 3600, above=True), metavar="S",
                        help="window of each measurement (8)")
    parser.add_argument("--quiet-s", type=number_in(float, 0, 3600), default=0.0, metavar="S",
                        help="before each run, wait so long at most until nobody else uses the two cores (0)")
    parser.add_argument("--server-core", type=int, default=0, metavar="N", help="(0)")
    parser.add_argument("--generator-core", type=int, default=1, metavar="N", help="(1)")
    parser.add_argument("--build", type=pathlib.Path, default=machine.ROOT / "build" / "release", metavar="DIR",
                        help="where the programs are (build/release)")
    parser.add_argument("--load", type=pathlib.Path, metavar="FILE", help="penstock-load, when it is not in the build folder")
    parser.add_argument("--congestion", metavar="NAME",
                        help="TCP congestion control of both ends (cubic); `system` leaves the host's, in the host's network")
    parser.add_argument("--ports-from", type=number_in(int, 1, 65536 - PORTS), default=22000, metavar="PORT",
                        help="the first of 100 ports (22000)")
    parser.add_argument("--out", type=pathlib.Path, metavar="DIR", help="(bench/results/DATE-COMMIT)")
    parser.add_argument("--quick", action="store_true", help="one round of a second with few connections: a smoke test")
    parser.add_argument("--check", action="store_true", help="exit with 1 when a bar misses")
    parser.add_argument("--json", action="store_true", help="write the results as JSON to stdout, instead of the table")
    parser.add_argument("--list", action="store_true", help="list scenarios and servers, and end")
    options = parser.parse_args(arguments)
    options.rounds = options.rounds or (1 if options.quick else 3)
    options.seconds = options.seconds or (1.0 if options.quick else 8.0)
    # What was asked for must take effect; the default may be out of reach, and is noted then.
    options.congestion_asked = options.congestion not in (None, "system")
    options.congestion = options.congestion or "cubic"
    try:
        options.chosen = scenarios.chosen(options.scenarios)
        options.peers = servers.parse_peers(options.peer)
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
    """A scenario for RTMP servers by name is for peers too, unless it is Penstock's alone, or not plain RTMP: how they are to be
    told of another listener and its certificate is not known."""
    if not scenario.servers or server.name in scenario.servers:
        return True
    return server in peers and len(scenario.servers) > 1 and scenario.variant == "rtmp"


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
        except (servers.ServerFailed, measure.RunFailed, OSError) as problem:
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
    """Made before anything is measured, with a file written to try it: forty minutes must not end at a missing right."""
    folder = options.out or new_folder(facts)
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=folder) as trial:
        trial.write(b"results\n")
    return folder


def new_folder(facts):
    base = machine.ROOT / "bench" / "results" / f"{facts['date']}-{facts['commit']}"
    for folder in [base, *(base.with_name(f"{base.name}-{number}") for number in range(2, 1000))]:
        try:
            folder.mkdir(parents=True)
            return folder
        except FileExistsError:
            continue
    raise OSError(f"{base} is there a thousand times")


def put_together(options, facts, results, server_names, folder):
    """(JSON object, markdown); the plot is drawn, because the markdown shows it when it is there."""
    no_plot = plot.draw(options.chosen, results, server_names, folder)
    if no_plot:
        say(f"compare: no plot: {no_plot}")
    text = table.markdown(options.chosen, results, server_names, facts, None if no_plot else "plot.svg")
    whole = {"tool": "compare", **facts,
             "settings": {scenario.name: {"penstock": scenario.penstock_settings(), "floor": scenario.floor_settings()}
                          for scenario in options.chosen},
             "bars": table.bar_rows(options.chosen, results),
             "values": table.value_rows(options.chosen, results, server_names)}
    return whole, text


def write_results(folder, whole, text, results):
    """results.md, results.json and runs.jsonl."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "results.md").write_text(text)
    (folder / "results.json").write_text(json.dumps(whole, indent=1) + "\n")
    # Apart, and a line each: they are twenty times as long, and read by nobody until a number is doubted.
    with open(folder / "runs.jsonl", "w", encoding="utf-8") as lines:
        for scenario, by_server in results.runs.items():
            for server, runs in by_server.items():
                for number, run in enumerate(runs, 1):
                    lines.write(json.dumps({"scenario": scenario, "server": server, "round": number, **run}) + "\n")


def enter_network(options):
    """Why the network is the host's; None when it is one of our own. Ends the program when what --congestion names has no
    effect."""
    if options.congestion == "system":
        return "wanted so"
    refused = machine.enter_namespace(options.congestion)
    problem = machine.congestion_not_in_effect(options.congestion) if options.congestion_asked else None
    if problem:
        say(f"compare: --congestion {options.congestion} has no effect: {problem}{f' ({refused})' if refused else ''}")
        sys.exit(2)
    if refused:
        say(f"compare: no network namespace of its own, so both ends have the host's congestion control: {refused}")
    return refused


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
    refused = enter_network(options)
    machine.raise_descriptor_limit()
    setup = Setup(options, load_program)
    # SIGTERM ends it as Ctrl-C does: servers are stopped, what there is is written.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    # Beside the generator, never beside the server.
    os.sched_setaffinity(0, {options.generator_core})
    command = shlex.join([os.path.relpath(sys.argv[0], machine.ROOT), *sys.argv[1:]])
    facts = machine.facts(command, options, refused)
    try:
        folder = results_folder(options, facts)
    except OSError as problem:
        say(f"compare: nothing is measured, for the results could not be written: {problem}")
        return 3
    results = table.Results()
    failed = run_all(options, setup, plan(options, usable), results)
    whole, text = put_together(options, facts, results, [server.name for server in usable], folder)
    print(json.dumps(whole) if options.json else text, flush=True)
    try:
        write_results(folder, whole, text, results)
    except OSError as problem:
        say(f"compare: the results are on stdout alone, and could not be written: {problem}")
        return 3
    say(f"compare: written to {folder}")
    if failed:
        return 3
    missed = [row for row in whole["bars"] if row["verdict"] == "misses"]
    return 1 if missed and options.check else 0


if __name__ == "__main__":
    sys.exit(main())
