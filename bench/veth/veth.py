#!/usr/bin/python3
"""What a GB costs over a virtual cable without offloads: penstockd with the engine "dpdk" (AF_PACKET) and with "uring", under
the same loads in turn; and what share of it is the TCP, the driver, the cable. See README.md beside this file."""
import argparse
import functools
import json
import os
import pathlib
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "compare"))

# pylint: disable=wrong-import-position
import child
import compare
import machine
import measure
import engines
import namespaces
import report
import scenarios
import servers
import shares

EXAMPLES = """\
examples:
  bench/veth/veth.py                                     all of it: about five minutes, into bench/results/DATE-COMMIT-veth
  bench/veth/veth.py cost --rounds 3 --seconds 8 --loads blast
  bench/veth/veth.py shares --engines dpdk               where the cycles go (perf), and what a NIC would change of it
  bench/veth/veth.py --quick --out /tmp/smoke            does everything still run

exit codes: 0 done; 2 wrong usage; 3 a run failed, or the results could not be written; 77 this machine cannot do it (root,
network namespaces, DPDK), and why
"""
SKIPPED = 77

LOADS = {load_name: load for load_name, load in (
    ("ingest_200", scenarios.Load("publish", publishers=200, bitrate="1M", ramp_s=2.0, warmup_s=2.0)),
    ("blast_8", scenarios.Load("blast", publishers=8, ramp_s=0.5, warmup_s=1.0)),
    ("fanout_50x10", scenarios.Load("mixed", publishers=50, players=500, bitrate="1M", ramp_s=1.5, warmup_s=1.0)),
)}


def parse_arguments(arguments):
    parser = argparse.ArgumentParser(prog="veth.py", description=__doc__, epilog=EXAMPLES,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", nargs="?", choices=("all", "cost", "shares"), default="all", help="(all)")
    parser.add_argument("--loads", nargs="+", choices=LOADS, default=list(LOADS), metavar="NAME", help=f"of {', '.join(LOADS)} (all)")
    parser.add_argument("--engines", nargs="+", choices=engines.ENGINES, default=list(engines.ENGINES), metavar="NAME",
                        help="of dpdk, uring (both)")
    parser.add_argument("--rounds", type=compare.number_in(int, 1, 1000), metavar="N", help="how often each is measured (3)")
    parser.add_argument("--seconds", type=compare.number_in(float, 0, 3600, above=True), metavar="S",
                        help="window of each measurement (5)")
    parser.add_argument("--server-core", type=int, default=0, metavar="N", help="(0)")
    parser.add_argument("--generator-core", type=int, default=1, metavar="N", help="(1)")
    parser.add_argument("--build", type=pathlib.Path, default=machine.ROOT / "build" / "release", metavar="DIR",
                        help="where the programs are (build/release)")
    parser.add_argument("--namespace", default=f"penstock{os.getpid()}v", metavar="PREFIX", help="of the two namespaces' names")
    parser.add_argument("--out", type=pathlib.Path, metavar="DIR", help="(bench/results/DATE-COMMIT-veth)")
    parser.add_argument("--quick", action="store_true", help="few connections for a moment: a smoke test")
    parser.add_argument("--json", action="store_true", help="write the results as JSON to stdout, instead of the tables")
    options = parser.parse_args(arguments)
    options.rounds = options.rounds or (1 if options.quick else 3)
    options.seconds = options.seconds or (1.0 if options.quick else 5.0)
    options.build = options.build.resolve()
    options.chosen = {name: LOADS[name].small(1) if options.quick else LOADS[name] for name in options.loads}
    return options


def say(text):
    print(f"veth: {text}", file=sys.stderr, flush=True)


class Window(threading.Thread):
    """Looks at the server at both ends of the generator's window, a little inside of it. What `begin`
    returns has an end()."""

    MARGIN_S = 0.2

    def __init__(self, server, delay_s, seconds, begin=None):
        super().__init__(daemon=True)
        self.server, self.delay_s, self.seconds, self.begin = server, delay_s, max(0.3, seconds - 2 * self.MARGIN_S), begin
        self.found, self.problem = {}, None

    def look(self):
        return {"at": time.monotonic(), "process_s": measure.cpu_ns(self.server.dataplane.pid) / 1e9,
                "core_s": measure.core_busy_s(self.server.core), "engine": self.server.numbers("engine")}

    def run(self):
        try:
            started = time.monotonic()
            begun = self.begin() if self.begin else None
            time.sleep(max(0.0, started + self.delay_s + self.MARGIN_S - time.monotonic()))
            before = self.look()
            time.sleep(self.seconds)
            after = self.look()
            if begun:
                begun.end()
            self.found = {"since": before["at"], "until": after["at"], "seconds": after["at"] - before["at"],
                          **{name: after[name] - before[name] for name in ("process_s", "core_s")},
                          "engine": {name: after["engine"][name] - value for name, value in before["engine"].items()}}
        except Exception as problem:  # pylint: disable=broad-except  # told where the thread is joined
            self.problem = problem


def run_load(program, server, load, options):
    """penstock-load's report; this thread is in its namespace."""
    command = [str(program), *load.arguments(options.seconds), "--server", f"{namespaces.DUT4}:{server.rtmp_port}", "--core",
               str(options.generator_core), "--json", "--server-pid", str(server.dataplane.pid)]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                          timeout=load.seconds_planned(options.seconds) + measure.LOAD_PATIENCE_S, check=False,
                          **child.settings(signal.SIGKILL))
    if done.returncode not in (0, 1):
        raise measure.RunFailed(f"penstock-load ended with {done.returncode}: {measure.last_words(done)}")
    return " ".join([machine.place_of(program), *command[1:]]), json.loads(done.stdout)


def measure_once(there, engine, load_name, options, program, begin=None):
    """One fresh server under one load."""
    load = options.chosen[load_name]
    with engines.running(there, engine, options.server_core, options.build) as server:
        window = Window(server, load.seconds_planned(0), options.seconds, begin)
        window.start()
        command, told = run_load(program, server, load, options)
        window.join(60)
        if window.problem or not window.found:
            raise measure.RunFailed(f"the server could not be looked at: {window.problem}")
        pid = server.dataplane.pid
    notes = measure.notes_on(scenarios.Scenario(load_name, "", "", (load,), no_gap=load.mode == "mixed"), [told])
    return {"load": load_name, "engine": engine, "command": command, "pid": pid, "window": window.found, "report": told,
            "machine_load": os.getloadavg()[0], "notes": notes, **report.costs(load.mode, told, window.found)}


def run_cost(there, options, program, results):
    failed, runs = 0, [(number, name, engine) for number in range(options.rounds) for name in options.chosen
                       for engine in (options.engines if number % 2 == 0 else options.engines[::-1])]
    for index, (number, name, engine) in enumerate(runs):
        try:
            run = measure_once(there, engine, name, options, program)
            results["runs"].append({"round": number + 1, **run})
            told = f"{run['process']:.2f} CPU-s per GB of penstockd, {run['core']:.2f} of its core, at {run['mbit_per_s']:.0f} Mbit/s"
            told += f" ({'; '.join(run['notes'])})" if run["notes"] else ""
        except (AssertionError, OSError, RuntimeError, measure.RunFailed, ValueError, subprocess.SubprocessError) as problem:
            failed, told = failed + 1, f"failed: {problem}"
        say(f"[{index + 1}/{len(runs)}] round {number + 1} {name:13} {engine:6} {told}")
    return failed


def run_shares(there, options, program, results):
    failed = 0
    cores = (options.server_core, options.generator_core)
    for name in options.chosen:
        for engine in options.engines:
            with tempfile.TemporaryDirectory(prefix="penstock-veth-") as folder:
                path = pathlib.Path(folder) / "perf.data"

                try:
                    run = measure_once(there, engine, name, options, program, functools.partial(shares.Recorder, cores, path))
                    samples = shares.read(path, run["window"]["since"], run["window"]["until"])
                except (AssertionError, OSError, RuntimeError, measure.RunFailed, ValueError,
                        subprocess.SubprocessError) as problem:
                    failed += 1
                    say(f"shares of {name} {engine}: failed: {problem}")
                    continue
            counts = shares.sorted_samples(samples, run["pid"], options.server_core, engine,
                                           options.chosen[name].mode == "mixed")
            seconds = run["window"]["seconds"]
            costs = shares.per_gb(counts, run["gb_per_s"], seconds)
            results["shares"].append({"load": name, "engine": engine, "samples": counts, "cpu_s_per_gb": costs,
                                      "others_busy": counts[shares.NOT_OURS] / shares.SAMPLES_PER_S / seconds,
                                      "mbit_per_s": run["mbit_per_s"], "process": run["process"], "model": shares.model(engine, costs),
                                      "machine_load": run["machine_load"], "notes": run["notes"]})
            say(f"shares of {name:13} {engine:6} {sum(counts.values())} samples, "
                f"{sum(costs[kind] for kind in shares.ORDER):.2f} CPU-s per GB on both cores")
    return failed


def missing(options, program):
    """Why nothing can be measured here."""
    reason = namespaces.Namespaces.missing()
    if reason is None and options.part != "cost" and shutil.which("perf") is None:
        if options.part == "shares":
            reason = "perf is missing: apt-get install linux-perf"
        else:
            say("perf is missing, so there are no shares: apt-get install linux-perf")
            options.part = "cost"
    if reason is None and program is None:
        reason = f"no penstock-load in {options.build}: build it with tools/build release"
    if reason is None:
        cores = os.sched_getaffinity(0)
        if not {options.server_core, options.generator_core} <= cores:
            reason = f"two cores are needed, and {sorted(cores)} are there"
    penstockd = servers.find_program(options.build, "penstockd", "dataplane")
    if reason is None and (penstockd is None or servers.find_program(options.build, "penstock-control", "controlplane") is None):
        reason = f"no penstockd and penstock-control in {options.build}: build them with tools/build release"
    if reason is None and "dpdk" in options.engines:
        needed = subprocess.run(["ldd", penstockd], stdout=subprocess.PIPE, text=True, check=False).stdout
        if "librte_" not in needed:
            reason = "penstockd was built without DPDK: apt-get install libdpdk-dev (tools/setup does), then build again"
    return reason


def facts_of(options, there):
    facts = machine.facts(shlex.join([os.path.relpath(sys.argv[0], machine.ROOT), *sys.argv[1:]]), options, None)
    on = engines.offloads(there)
    facts["shown"]["congestion control"] = "CUBIC at both ends, by route"
    facts["shown"]["offloads"] = f"off, except {on}" if on else "off at both ends (checksums, segmentation, receive)"
    facts["shown"]["machine's load before"] = f"{facts['load']:.1f}"
    return facts


def main():
    options = parse_arguments(sys.argv[1:])
    program = servers.find_program(options.build, "penstock-load", "bench/load")
    reason = missing(options, program)
    if reason:
        say(f"skipped: {reason}")
        return SKIPPED
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    results, failed = {"runs": [], "shares": []}, 0
    os.sched_setaffinity(0, {options.generator_core})
    with engines.cable(options.namespace) as there:
        facts = facts_of(options, there)
        folder = options.out or machine.ROOT / "bench" / "results" / f"{facts['date']}-{facts['commit']}-veth"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            if options.part != "shares":
                failed += run_cost(there, options, program, results)
            if options.part != "cost":
                failed += run_shares(there, options, program, results)
        except OSError as problem:
            say(f"nothing is measured: {problem}")
            return 3
        except KeyboardInterrupt:
            say("interrupted; what there is is written")
            failed += 1
    whole = {"tool": "veth", **facts, "rows": report.rows(results["runs"]), **results}
    text = report.markdown(facts, results)
    print(json.dumps(whole) if options.json else text, flush=True)
    (folder / "results.md").write_text(text)
    (folder / "results.json").write_text(json.dumps(whole, indent=1) + "\n")
    say(f"written to {folder}")
    return 3 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
