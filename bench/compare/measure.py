"""One measurement: a fresh server, one or two runs of penstock-load against it, and the value that comes of them."""
import json
import os
import pathlib
import re
import signal
import subprocess
import tempfile
import time

import child
import machine

# Beyond ramp, warm-up and window: connecting, and what a server that answers slowly takes.
LOAD_PATIENCE_S = 60.0
# From here on the generator, or its core, is what is measured.
LAG_P99_MS_MAX = 50.0
# A server that shares its core finds its caches cold. Softirqs of the generator's traffic are a few per cent.
STRANGERS_MAX = 0.10


# What TLS and RTMPE take at a time in the scenarios that have a cipher: a message of 1 Mbit/s in 73 a second.
CIPHER_BYTES = 1712
# In libcrypto's provider of what nobody should use any more.
LEGACY = ("-provider", "legacy", "-provider", "default")


class RunFailed(Exception):
    """penstock-load could not do its run; says what it wrote."""


def tasks_of(pid):
    return list(pathlib.Path(f"/proc/{pid}/task").glob("*"))


def descendants(pid):
    """`pid` and everything that it started, directly or not."""
    found = [pid]
    for task in tasks_of(pid):
        try:
            children = (task / "children").read_text().split()
        except OSError:
            continue
        for child in children:
            found += descendants(int(child))
    return found


def cpu_ns(pid):
    """What the scheduler has counted for a process and its descendants: nanoseconds, where /proc/PID/stat has ticks of 10 ms."""
    total = 0
    for each in descendants(pid):
        for task in tasks_of(each):
            try:
                total += int((task / "schedstat").read_text().split()[0])
            except (OSError, IndexError, ValueError):
                continue
    return total


def core_busy_s(core):
    """Seconds in which a core was not idle; by ticks, so good for a few per cent over some seconds."""
    for line in pathlib.Path("/proc/stat").read_text().splitlines():
        name, *ticks = line.split()
        if name == f"cpu{core}":
            user, nice, system, _, _, irq, softirq, steal = map(int, ticks[:8])
            return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")
    return 0.0


def wait_until_quiet(cores, seconds_max):
    """Until others leave the cores alone for a second, or the time is up."""
    deadline = time.monotonic() + seconds_max
    while time.monotonic() < deadline:
        before, began = [core_busy_s(core) for core in cores], time.monotonic()
        time.sleep(1)
        passed = time.monotonic() - began
        if all((core_busy_s(core) - busy) / passed < STRANGERS_MAX for core, busy in zip(cores, before)):
            return


def cpu_by_process(server):
    return {name: cpu_ns(pid) for name, pid in server.pids().items()}


def cipher_command(cipher, core):
    """A second of the cipher alone on the server's core: deciphering, with the tag where it has one, as for what publishers send."""
    how = ("-aead", "-decrypt") if cipher.endswith("-gcm") else LEGACY if cipher == "rc4" else ()
    return ["taskset", "-c", str(core), "openssl", "speed", "-mr", "-seconds", "1", "-bytes", str(CIPHER_BYTES), *how, "-evp", cipher]


def cipher_cost(cipher, core):
    """CPU-seconds per GB, or None where the installed openssl does not do it."""
    try:
        done = subprocess.run(cipher_command(cipher, core), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.DEVNULL, text=True, timeout=30, check=False, **child.settings(signal.SIGKILL))
    except (OSError, subprocess.TimeoutExpired):
        return None
    return cost_of_speed(done.stdout)


def cost_of_speed(text):
    """Of what `openssl speed -mr` writes: "+F:25:AES-128-GCM:2156863200.00", bytes per second of user time."""
    found = re.search(r"^\+F:\d+:[^:]+:(\d+(?:\.\d+)?)$", text, re.M)
    speed = float(found.group(1)) if found else 0.0
    return 1e9 / speed if speed > 0 else None


def load_command(setup, server, load, seconds):
    command = [str(setup.load_program), *load.arguments(seconds), "--server", f"127.0.0.1:{server.port}",
               "--core", str(setup.generator_core), "--json"]
    for pid in server.pids().values():
        command += ["--server-pid", str(pid)]
    if server.raw:
        command.append("--raw")
    return command


def run_load(setup, server, load, seconds):
    command = load_command(setup, server, load, seconds)
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                              timeout=load.seconds_planned(seconds) + LOAD_PATIENCE_S, check=False,
                              **child.settings(signal.SIGKILL))
    except subprocess.TimeoutExpired as late:
        raise RunFailed(f"penstock-load did not end within {late.timeout:g} s") from None
    server.check_alive()
    if done.returncode not in (0, 1):
        raise RunFailed(f"penstock-load ended with {done.returncode}: {last_words(done)}")
    try:
        return command, json.loads(done.stdout)
    except json.JSONDecodeError:
        raise RunFailed(f"penstock-load wrote no JSON: {done.stdout.strip()[-300:]!r}") from None


def last_words(done):
    return " ".join((done.stderr.strip() or done.stdout.strip())[-400:].split()) or "it wrote nothing"


def measure(setup, server, scenario):
    """One value with all that is known about how it came about, ready for JSON."""
    reports, commands, shares, rests, said, doubts, strangers = [], [], {}, [], [], [], 0.0
    for load in scenario.loads:
        with tempfile.TemporaryDirectory(prefix="penstock-compare-") as folder:
            server.start(scenario, folder, setup.next_port(), setup.server_cores(scenario))
            try:
                rests.append(cpu_at_rest(server, scenario.settle_s))
                before, began, busy = cpu_by_process(server), time.monotonic(), core_busy_s(setup.server_core)
                command, report = run_load(setup, server, load, setup.seconds)
                used = {name: now - before[name] for name, now in cpu_by_process(server).items()}
                others = core_busy_s(setup.server_core) - busy - sum(used.values()) / 1e9
                strangers = max(strangers, others / (time.monotonic() - began))
                for name, ns in used.items():
                    shares[name] = shares.get(name, 0) + ns
            finally:
                server.stop()
            said.append(server.said())
            doubts += server.doubts()
        commands.append(" ".join([machine.place_of(pathlib.Path(command[0])), *command[1:]]))
        reports.append(report)
    total = sum(shares.values())
    notes = notes_on(scenario, reports, strangers) + doubts
    cipher = cipher_cost(scenario.cipher, setup.server_core) if scenario.cipher and server.name == "penstock" else None
    if cipher is not None:
        notes.append(f"{scenario.cipher} alone: {cipher:.2f} CPU-s per GB")
    if scenario.settle_s:
        notes.append(f"{rests[-1]:.2%} of a core with nobody connected")
    return {"value": value_of(scenario.metric, scenario.loads, reports, rests[-1]),
            "shares": {name: used / total if total else 0.0 for name, used in shares.items()},
            "cipher_cpu_s_per_gb": cipher, "notes": notes, "commands": commands, "said": said, "reports": reports}


def cpu_at_rest(server, seconds):
    """CPU-seconds per second of a server that nobody is connected to; 0 when it is not to be looked at."""
    if seconds <= 0:
        return 0.0
    time.sleep(0.5)  # what a start leaves to do is no rest
    before, started = sum(cpu_by_process(server).values()), time.monotonic()
    time.sleep(seconds)
    return (sum(cpu_by_process(server).values()) - before) / 1e9 / (time.monotonic() - started)


def value_of(metric, loads, reports, at_rest=0.0):
    """The number of a scenario; None where the report has nothing to compute it from."""
    report = reports[-1]
    usage = report.get("server_usage") or {}
    moved = report.get("bytes_sent", 0) + report.get("bytes_received", 0)
    if metric == "cpu_per_gb_in":
        return usage.get("cpu_s_per_gb_in")
    if metric == "cpu_per_gb_out":
        return usage.get("cpu_s_per_gb_out")
    if metric == "cpu_per_gb_both":
        return usage["cpu_s"] * 1e9 / moved if moved and "cpu_s" in usage else None
    if metric == "cpu_per_message":
        return usage.get("cpu_us_per_message")
    if metric == "cpu_per_connection":
        return usage.get("cpu_us_per_connection")
    if metric == "latency_p99":
        return (report.get("latency_ms") or {}).get("p99")
    if metric == "idle_percent":
        return max(0.0, usage["cpu_s"] / report["seconds"] - at_rest) * 100 if usage and report.get("seconds") else None
    if metric == "bytes_per_peer":
        return kilobytes_per_connection(loads, reports)
    raise ValueError(f"no metric {metric!r}")


def kilobytes_per_connection(loads, reports):
    """The slope between two runs of different size: neither run's fixed part is in it."""
    taken, held = [], []
    for report in reports:
        usage = report.get("server_usage") or {}
        if "resident_bytes" not in usage:
            return None
        taken.append(usage["resident_bytes"] - usage["resident_bytes_before"])
        held.append(report["publishers"]["held"] + report["players"]["held"])
    if len(loads) != 2 or held[0] == held[1]:
        return None
    return (taken[1] - taken[0]) / (held[1] - held[0]) / 1000


def notes_on(scenario, reports, strangers=0.0):
    """What a reader must know before believing the number. `strangers` is what others used of the server's core."""
    notes = []
    if strangers > STRANGERS_MAX and scenario.workers == 1:
        notes.append(f"others used {strangers:.0%} of the server's core")
    for report in reports:
        for role in ("publishers", "players"):
            counted = report.get(role) or {}
            if report.get("mode") != "connect" and counted.get("held", 0) < counted.get("wanted", 0):
                notes.append(f"{counted['held']} of {counted['wanted']} {role} held")
        if scenario.no_gap and report.get("gaps"):
            notes.append(f"{report['gaps']} gaps at {report.get('players_with_gaps', '?')} players")
        if scenario.no_gap and report.get("gaps") is None:
            notes.append("doubtful: whether there were gaps is not known")
        # Who only plays, in these scenarios, waits for what nobody publishes.
        if report.get("players_stalled") and report.get("mode") != "play":
            notes.append(f"doubtful: {report['players_stalled']} players stalled")
        failed = (report.get("connections") or {}).get("failed", 0)
        if failed:
            notes.append(f"{failed} connections failed")
        errors = {kind: count for kind, count in (report.get("errors") or {}).items() if count}
        if errors:
            notes.append("errors: " + ", ".join(f"{kind} {count}" for kind, count in sorted(errors.items())))
        lag = (report.get("schedule_lag_ms") or {}).get("p99") or 0
        if report.get("mode") in ("publish", "mixed") and lag > LAG_P99_MS_MAX:
            notes.append(f"publishers late by {lag:.0f} ms (p99)")
    return notes
