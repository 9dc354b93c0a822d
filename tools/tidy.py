#!/usr/bin/python3
"""Checks by machine what a reader would otherwise have to: who may include whom, the words, where atomics, exceptions and
liburing may be, line and file length. Runs as the test `tidy`. Errors fail it; warnings are for a reader to weigh.

usage: tools/tidy.py [--warnings] [ROOT]
"""
import argparse
import os
import re
import sys

SOURCE_FOLDERS = ("include", "src", "dataplane", "controlplane", "tests", "bench")
LINE_COLUMNS_MAX = 100
FILE_LINES_WARN, FILE_LINES_MAX = 600, 900
FUNCTION_LINES_WARN = 70

# Part of the tree -> parts it may include. A part may always include itself; `config` is open to everybody, because what an
# operator wrote is everybody's input.
MAY_INCLUDE = {
    "base": set(),
    "amf": {"base"},
    "rtmp": {"amf", "base"},
    "tunnel": {"base", "rtmp"},  # RTMPE's keys come out of the handshake's digests
    "media": {"base"},
    "control": {"base"},
    "config": {"base", "control"},
    "tls": {"base", "config", "tunnel"},
    "transport": {"base", "control", "engine", "tunnel"},
    "dataplane": {"base", "rtmp", "media", "control", "config", "engine"},
    "engine": {"base"},
    "engine/uring": {"base", "engine"},
    "engine/tcp": {"base"},
    "engine/dpdk": {"base", "engine", "engine/tcp"},
    "controlplane": {"base", "control", "config"},
    "controlplane/cli": {"base", "control", "config", "controlplane"},
}
# Where bytes become events, nothing of the system may be in reach.
PURE = {"base", "amf", "rtmp", "tunnel", "media", "control", "config", "engine/tcp"}
SYSTEM_HEADERS = re.compile(
    r"^(sys|netinet|arpa|linux|net)/|^(unistd|fcntl|poll|signal|pthread|dirent|termios|sched|netdb|csignal|thread|mutex|"
    r"condition_variable|future|chrono|ctime|time|iostream|fstream|cstdio|stdio|filesystem|spdlog.*)(\.h)?$")
# base/assert.h says what failed before it ends the process.
SYSTEM_HEADER_EXCEPTIONS = {("include/penstock/base/assert.h", "cstdio")}
# Library -> the parts that may use it.
LIBRARIES = (
    (re.compile(r"^liburing"), {"engine/uring"}),
    (re.compile(r"^rte_"), {"engine/dpdk"}),
    (re.compile(r"^openssl/"), {"base", "rtmp", "tunnel", "tls", "config", "controlplane"}),
    (re.compile(r"^toml\+\+/"), {"config"}),
    (re.compile(r"^boost/"), {"tunnel"}),
    (re.compile(r"^sqlite3\.h"), {"controlplane"}),
    (re.compile(r"^httplib"), {"controlplane", "controlplane/cli"}),
    (re.compile(r"^(nlohmann|prometheus|CLI)/"), {"controlplane", "controlplane/cli"}),
)
# The writer of log lines is a thread of its own, off the hot path; escaping JSON by hand would be the worse choice.
LIBRARY_EXCEPTIONS = {("dataplane/log_writer.cc", "nlohmann/json.hpp")}
ATOMICS_IN = {"include/penstock/base/spsc_ring.h", "include/penstock/control/layout.h"}

TYPE_NAMES = re.compile(r"\b(?:class|struct|enum class|enum|using|concept)\s+(\w+)")
BAD_TYPE_ENDING = re.compile(r"(Manager|Helpers?|Utils?|Handler|Impl|Base)$")
BAD_WORDS = re.compile(r"\b(conn|client|clients|buf|buffer|producer|consumer|mgr|util|utils|helper|helpers)_?\b")
BAD_FILE = re.compile(r"(^|_)(utils?|helpers?|manager|handler|impl|misc|common)(_|\.|$)")
EXCEPTIONS = re.compile(r"\b(throw|try|catch|dynamic_cast|typeid)\b")


def part_of(path):
    """The row of MAY_INCLUDE that a file belongs to, or None for tests and benches, which may include everything."""
    for prefix in ("include/penstock/", "src/"):
        if path.startswith(prefix):
            return path[len(prefix):].split("/")[0]
    if path.startswith("dataplane/engine/"):
        rest = path[len("dataplane/engine/"):].split("/")
        return "engine/" + rest[0] if len(rest) > 1 else "engine"
    for folder in ("tls", "transport"):
        if path.startswith(f"dataplane/{folder}/"):
            return folder
    if path.startswith("dataplane/"):
        return "dataplane"
    if path.startswith("controlplane/cli/"):
        return "controlplane/cli"
    if path.startswith("controlplane/"):
        return "controlplane"
    return None


def part_of_include(target):
    if target.startswith("penstock/"):
        return target.split("/")[1]
    if target.startswith(("src/", "dataplane/", "controlplane/")):
        return part_of(target)
    return None


def without_comments(text):
    """Comments and strings blanked out; lines stay where they are."""
    def blank(match):
        found = match.group(0)
        return '""' + "\n" * found.count("\n") if found[0] == '"' else re.sub(r"[^\n]", " ", found)
    return re.sub(r'//[^\n]*|/\*.*?\*/|R"\((?:.*?)\)"|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])+\'', blank, text,
                  flags=re.S)


class Report:
    def __init__(self):
        self.errors, self.warnings = [], []

    def error(self, path, line, text):
        self.errors.append(f"{path}:{line}: {text}")

    def warn(self, path, line, text):
        self.warnings.append(f"{path}:{line}: {text}")


def check_includes(path, lines, report):
    part = part_of(path)
    main_file = re.search(r"/main(_\w+)?\.(h|cc)$", path) is not None
    for number, line in enumerate(lines, 1):
        match = re.match(r'\s*#\s*include\s*([<"])([^>"]+)[>"]', line)
        if not match:
            continue
        quoted, target = match.group(1) == '"', match.group(2)
        if re.search(r"(^|/)main(_\w+)?\.(h|cc)$", target) and not main_file:
            report.error(path, number, "nobody includes main")
        if quoted and target.startswith("."):
            report.error(path, number, f"include by the path from the root, not {target}")
        if part is None:
            continue
        if quoted:
            other = part_of_include(target)
            if other is None:
                report.error(path, number, f"{target}: include project headers by the path from the root")
            elif target.startswith("src/") and other != part:
                report.error(path, number, f"{target} is {other}'s own; what others may use is in include/penstock")
            elif other != part and other != "config" and other not in MAY_INCLUDE.get(part, set()):
                # A process's main wires everything of its process.
                wires = main_file and part == "dataplane" and other.startswith(("dataplane", "engine", "tls", "transport", "tunnel"))
                if not wires:
                    report.error(path, number, f"{part} may not include {other} ({target})")
        elif part in PURE and SYSTEM_HEADERS.match(target) and (path, target) not in SYSTEM_HEADER_EXCEPTIONS:
            report.error(path, number, f"{part} is pure and may not include <{target}>")
        for pattern, allowed in LIBRARIES:
            if pattern.match(target) and part not in allowed and (path, target) not in LIBRARY_EXCEPTIONS:
                report.error(path, number, f"{part} may not include <{target}>")


def check_words(path, code, report):
    if BAD_FILE.search(os.path.basename(path)):
        report.error(path, 1, "the file's name says nothing: name the thing that lives in it")
    for number, line in enumerate(code, 1):
        for match in TYPE_NAMES.finditer(line):
            if BAD_TYPE_ENDING.search(match.group(1)):
                report.error(path, number, f"type name {match.group(1)}: no Manager, Helper, Util, Handler, Impl, Base")
        if line.lstrip().startswith("#"):
            continue
        for match in BAD_WORDS.finditer(line):
            report.error(path, number, f"'{match.group(1)}' is not one of the project's words")


def check_language(path, lines, code, report):
    product = path.startswith(("include/", "src/", "dataplane/", "controlplane/"))
    pure = path.startswith(("include/", "src/", "dataplane/"))
    for number, line in enumerate(code, 1):
        if product and path not in ATOMICS_IN and re.search(r"\bstd::atomic|\bmemory_order|#\s*include\s*<atomic>", line):
            report.error(path, number, "atomics live in base/spsc_ring.h and control/layout.h only")
        if pure and EXCEPTIONS.search(line):
            report.error(path, number, f"no {EXCEPTIONS.search(line).group(1)} here: faults are values")
        if product and re.search(r"\bassert\s*\(", line) and "static_assert" not in line:
            report.error(path, number, "PENSTOCK_ASSERT, which stays on in release")
        if path in ATOMICS_IN and "memory_order_" in line:
            near = lines[max(0, number - 6):number]
            if not any("//" in l for l in near):
                report.error(path, number, "a memory order has its reason on the line above")


def check_shape(path, lines, report):
    if path.endswith(".h") and not any(l.startswith("#pragma once") for l in lines):
        report.error(path, 1, "header without #pragma once")
    for number, line in enumerate(lines, 1):
        # A table row (X-list) may be long: broken in two it would be harder to read, and clang-format leaves macros alone.
        if len(line) > LINE_COLUMNS_MAX and not line.endswith("\\"):
            report.warn(path, number, f"{len(line)} columns, {LINE_COLUMNS_MAX} at most")
        if line.rstrip() != line:
            report.error(path, number, "space at the end of the line")
        if "\t" in line:
            report.error(path, number, "tab")
    if len(lines) > FILE_LINES_MAX:
        report.error(path, 1, f"{len(lines)} lines: split where the subject splits ({FILE_LINES_MAX} at most)")
    elif len(lines) > FILE_LINES_WARN:
        report.warn(path, 1, f"{len(lines)} lines, about {FILE_LINES_WARN} is one sitting")


def check_functions(path, code, report):
    """By layout: clang-format closes a function at the indentation of its first line."""
    start = None
    for number, line in enumerate(code, 1):
        if start is None:
            match = re.match(r"^( {0,2})\S.*\)[^;=]*\{\s*$", line)
            if match and not re.match(r"^\s*(namespace|struct|class|enum|union|extern|if|for|while|switch|else)\b", line):
                start = (number, match.group(1))
        elif re.match("^" + start[1] + r"\}", line):
            if number - start[0] > FUNCTION_LINES_WARN:
                report.warn(path, start[0], f"function of {number - start[0]} lines, about {FUNCTION_LINES_WARN} is a screen")
            start = None


def files_below(root):
    for folder, folders, names in os.walk(root):
        folders[:] = sorted(f for f in folders
                            if f not in ("build", "state", "__pycache__", ".git", ".pytest_cache", "corpus", "vectors"))
        for name in sorted(names):
            yield os.path.relpath(os.path.join(folder, name), root)


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("root", nargs="?", default=os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
    arguments.add_argument("--warnings", action="store_true", help="print the warnings too")
    options = arguments.parse_args()
    root = os.path.abspath(options.root)
    report, count = Report(), 0
    for path in files_below(root):
        with open(os.path.join(root, path), "rb") as file:
            raw = file.read()
        try:
            text = raw.decode()
        except UnicodeDecodeError:
            continue
        lines = text.splitlines()
        if not path.startswith(SOURCE_FOLDERS) or not path.endswith((".h", ".cc")):
            continue
        count += 1
        code = without_comments(text).splitlines()
        check_includes(path, lines, report)
        check_language(path, lines, code, report)
        check_shape(path, lines, report)
        check_functions(path, code, report)
        if not path.startswith(("tests/", "bench/")):
            check_words(path, code, report)
    if options.warnings:
        for line in report.warnings:
            print("warning: " + line)
    for line in report.errors:
        print("error: " + line)
    print(f"tidy: {count} files, {len(report.errors)} errors, {len(report.warnings)} warnings")
    return 1 if report.errors or count == 0 else 0


if __name__ == "__main__":
    sys.exit(main())
