#!/usr/bin/python3
"""Builds, runs the suites and counts single tests: what tools/test does once everything is installed."""
import argparse
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import time
import xml.etree.ElementTree

ROOT = pathlib.Path(__file__).resolve().parent.parent
SUITES = ("unit", "conformance", "fuzz", "sim", "compile_fail", "tidy", "bench", "e2e")
# What has threads or shared memory; the thread sanitizer finds nothing in the rest, and costs ten times the time.
THREADED = ("unit_base", "unit_control", "unit_dataplane", "unit_controlplane", "conformance", "sim", "leases")
# The checks of the sources do not depend on the build, and benches under a sanitizer measure nothing.
ONLY_RELEASE = ("compile_fail", "tidy", "bench")
# No suite may hang the run: about three times what the slowest takes on two cores.
MESON_SECONDS_MAX, E2E_SECONDS_MAX = 600, 1000

SANITIZER_OPTIONS = {
    "ASAN_OPTIONS": "abort_on_error=0:detect_stack_use_after_return=1:strict_string_checks=1",
    "UBSAN_OPTIONS": "halt_on_error=1:print_stacktrace=1",
    "TSAN_OPTIONS": "halt_on_error=0:second_deadlock_stack=1",
}


class Counts:
    def __init__(self):
        self.passed = self.failed = self.skipped = 0
        self.failures = []

    def add(self, other):
        self.passed += other.passed
        self.failed += other.failed
        self.skipped += other.skipped
        self.failures += other.failures

    def text(self):
        skipped = f", {self.skipped} skipped" if self.skipped else ""
        return f"{self.passed} passed, {self.failed} failed{skipped}"

    def fail(self, name):
        self.failed += 1
        self.failures.append(name)


def say(text):
    print(text, flush=True)


def suite_of(test):
    """As meson has it ("penstock:sim"); a test that names none there says it with its own name."""
    said = [name.rpartition(":")[2] for name in test["suite"]] + [test["name"]]
    return next((suite for name in said for suite in SUITES if name == suite or name.startswith(suite + "_")), "unit")


def count_meson_test(kind, entry):
    """One line of meson's log. A gtest program counts as its tests; another as one."""
    counts, out = Counts(), entry.get("stdout") or ""
    name = f"{kind}: {entry['name'].split('/')[-1].split(' ')[-1]}"
    result = entry["result"]
    summary = re.search(r"^\[  PASSED  \] (\d+) tests?\.", out, re.M)
    if result == "SKIP" and not summary:
        counts.skipped = 1
        return counts
    skipped = re.search(r"^\[  SKIPPED \] (\d+) tests?", out, re.M)
    counts.skipped = int(skipped.group(1)) if skipped else 0
    good = result in ("OK", "EXPECTEDFAIL", "SKIP")
    if summary:
        counts.passed = int(summary.group(1))
    elif good:
        counts.passed = 1
    else:
        counts.passed = len(re.findall(r"^\[       OK \]", out, re.M))
    if not good:
        # "[  FAILED  ] Suite.name" once more at the end, without a time; a crash or a leak at exit leaves none.
        failed = sorted(set(re.findall(r"^\[  FAILED  \] ([\w./]+)(?:, where.*)?$", out, re.M)))
        for test in failed or [result.lower()]:
            counts.fail(f"{name} {test}")
    return counts


def run_meson(kind, names):
    folder = ROOT / "build" / kind
    log = folder / "meson-logs" / "testlog.json"
    log.unlink(missing_ok=True)
    command = ["meson", "test", "-C", str(folder), "--print-errorlogs", "--num-processes", str(os.cpu_count() or 1),
               *names]
    code = run(command, MESON_SECONDS_MAX, quiet=True)
    counts = Counts()
    if log.exists():
        for line in log.read_text(encoding="utf-8", errors="replace").splitlines():
            counts.add(count_meson_test(kind, json.loads(line)))
    if code != 0 and counts.failed == 0:
        counts.fail(f"{kind}: meson test ended with code {code}")
    return counts


def run_e2e(kind, only_smoke):
    report = ROOT / "build" / kind / "e2e.xml"
    report.unlink(missing_ok=True)
    command = ["/usr/bin/python3", "-m", "pytest", "-q", "-p", "no:cacheprovider", "--tb=short", "-rfEs",
               f"--junitxml={report}", str(ROOT / "tests" / "e2e")]
    command += ["-m", "smoke and not measures" if only_smoke else "not measures"]
    code = run(command, E2E_SECONDS_MAX, PENSTOCK_BIN=str(ROOT / "build" / kind / "bin"), PENSTOCK_KIND=kind)
    counts = Counts()
    if report.exists():
        for case in xml.etree.ElementTree.parse(report).iter("testcase"):
            name = f"{kind}: {case.get('classname')}.{case.get('name')}"
            if case.find("failure") is not None or case.find("error") is not None:
                counts.fail(name)
            elif case.find("skipped") is not None:
                counts.skipped += 1
            else:
                counts.passed += 1
    if code not in (0, 5) and counts.failed == 0:
        counts.fail(f"{kind}: pytest ended with code {code}")
    return counts


def run(command, seconds_max, quiet=False, **environment):
    """The code it ended with. At the time limit its whole process group is ended, so that nothing holds ports or cores."""
    child = subprocess.Popen(command, cwd=ROOT, start_new_session=True, stdin=subprocess.DEVNULL,
                             stdout=subprocess.PIPE if quiet else None, stderr=subprocess.STDOUT if quiet else None,
                             text=True, errors="replace", env={**SANITIZER_OPTIONS, **os.environ, **environment})
    said = ""
    try:
        said, _ = child.communicate(timeout=seconds_max)
    except subprocess.TimeoutExpired:
        say(f"test: not done within {seconds_max} s: {' '.join(command[:4])} ...")
        os.killpg(child.pid, signal.SIGTERM)
        try:
            said, _ = child.communicate(timeout=10)
        except subprocess.TimeoutExpired:
            os.killpg(child.pid, signal.SIGKILL)
            said, _ = child.communicate()
        return 124
    except KeyboardInterrupt:
        os.killpg(child.pid, signal.SIGTERM)
        raise
    finally:
        if quiet and said and child.returncode != 0:
            print(said, flush=True)
    return child.returncode


def build(kind, targets):
    return subprocess.run([ROOT / "tools" / "build", kind, *targets], cwd=ROOT, check=False).returncode == 0


def introspected_tests(kind):
    listed = subprocess.run(["meson", "introspect", "--tests", str(ROOT / "build" / kind)], stdout=subprocess.PIPE,
                            check=True, text=True).stdout
    return json.loads(listed)


def wanted_names(kind, suites):
    names = []
    for test in introspected_tests(kind):
        name, suite = test["name"], suite_of(test)
        if suite not in suites or suite == "e2e":
            continue
        if kind != "release" and suite in ONLY_RELEASE:
            continue
        if kind == "tsan" and not name.startswith(THREADED):
            continue
        names.append(name)
    return names


def run_kind(kind, suites, quick, say_step):
    counts = Counts()
    # The thread sanitizer's build is of what it runs alone; meson builds the test programs that are asked for.
    targets = ["dataplane/penstockd", "controlplane/penstock-control", "controlplane/cli/penstockctl",
               "bench/load/penstock-load"]
    say_step(f"{kind}: build")
    if not build(kind, targets if kind == "tsan" else []):
        counts.fail(f"{kind}: build")
        return counts
    names = wanted_names(kind, suites)
    if names:
        say_step(f"{kind}: {len(names)} test programs")
        counts.add(run_meson(kind, names))
    if "e2e" in suites:
        only_smoke = quick or kind == "tsan"
        say_step(f"{kind}: e2e" + (", the short selection" if only_smoke else ""))
        counts.add(run_e2e(kind, only_smoke))
    say_step(f"{kind}: {counts.text()}")
    return counts


def main():
    parser = argparse.ArgumentParser(
        prog="tools/test", description="Sets up, builds (release, asan, tsan) and runs every suite.",
        epilog="examples: tools/test   tools/test --quick   tools/test --suite sim --kind asan")
    parser.add_argument("--quick", action="store_true", help="release build only, and the short selection of e2e")
    parser.add_argument("--suite", action="append", choices=SUITES, help="only this suite; may be given again")
    parser.add_argument("--kind", action="append", choices=("release", "asan", "tsan", "debug", "clang"),
                        help="only this build; may be given again")
    options = parser.parse_args()
    suites = options.suite or SUITES
    kinds = options.kind or (["release"] if options.quick else ["release", "asan", "tsan"])
    started = time.monotonic()
    total = Counts()
    for kind in kinds:
        total.add(run_kind(kind, suites, options.quick,
                           lambda text: say(f"test: [{time.monotonic() - started:4.0f} s] {text}")))
    if total.failures:
        say("test: failed:")
        for name in total.failures:
            say(f"  {name}")
    if total.passed + total.failed == 0:
        total.fail("nothing ran")
    say(total.text())
    return 1 if total.failed else 0


if __name__ == "__main__":
    sys.exit(main())
