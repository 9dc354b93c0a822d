"""The machine that numbers come from: what to write beside them, and a network namespace in which it can be made alike."""
import datetime
import os
import pathlib
import re
import resource
import shutil
import socket
import subprocess
import sys

import child

ROOT = pathlib.Path(__file__).resolve().parents[2]
INSIDE = "PENSTOCK_COMPARE_NAMESPACE"  # set for the process inside of the namespace, to the congestion control wanted
TCP_CONGESTION = 13


def enter_namespace(congestion):
    """Starts this program again in a network namespace of its own, where routes may say which congestion control connections
    have at both ends. Returns when it already runs there, or when the host does not allow one: then with the reason."""
    if INSIDE in os.environ:
        return prepare_namespace(os.environ[INSIDE])
    unshare = shutil.which("unshare")
    if not unshare or not shutil.which("ip"):
        return "unshare or ip is not installed"
    command = [unshare, "--net"] if os.geteuid() == 0 else [unshare, "--user", "--map-root-user", "--net"]
    tried = subprocess.run([*command, "true"], stderr=subprocess.PIPE, text=True, check=False)
    if tried.returncode != 0:
        return tried.stderr.strip() or "unshare failed"
    sys.stdout.flush()
    os.environ[INSIDE] = congestion
    os.execvp(command[0], [*command, sys.executable, *sys.argv])


def prepare_namespace(congestion):
    """The sysctl takes only what the host allows to everybody, and a route takes all: so the route of loopback says it."""
    commands = [["ip", "link", "set", "lo", "up"]]
    for route in ("127.0.0.0/8", "127.0.0.1"):
        commands.append(["ip", "route", "replace", "local", route, "dev", "lo", "proto", "kernel", "scope", "host",
                         "src", "127.0.0.1", "table", "local", "congctl", congestion])
    for command in commands:
        done = subprocess.run(command, stderr=subprocess.PIPE, text=True, check=False)
        if done.returncode != 0:
            return f"{' '.join(command)}: {done.stderr.strip()}"
    # 10,000 connections per run leave as many ports in TIME_WAIT.
    pathlib.Path("/proc/sys/net/ipv4/ip_local_port_range").write_text("23000 65000\n")
    return None


def congestion_in_use():
    """What a connection over loopback gets at its two ends."""
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.create_connection(listener.getsockname()) as near:
        far, _ = listener.accept()
        with far:
            names = [end.getsockopt(socket.IPPROTO_TCP, TCP_CONGESTION, 16).rstrip(b"\0").decode() for end in (near, far)]
    return names[0] if names[0] == names[1] else " / ".join(names)


def congestion_not_in_effect(wanted):
    """Why connections do not have the congestion control that was asked for, with what there is; None when they have it."""
    found = congestion_in_use()
    if found == wanted:
        return None
    known = pathlib.Path("/proc/sys/net/ipv4/tcp_available_congestion_control").read_text().split()
    return f"connections have {found}; this kernel has {', '.join(known)}; `system` takes the host's"


def raise_descriptor_limit():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def git(*arguments):
    done = subprocess.run(["git", "-c", f"safe.directory={ROOT}", *arguments], cwd=ROOT, stdout=subprocess.PIPE,
                          stderr=subprocess.DEVNULL, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else ""


def cpu_model():
    found = re.search(r"^model name\s*:\s*(.+)$", pathlib.Path("/proc/cpuinfo").read_text(), re.M)
    return found.group(1) if found else "unknown"


def memory_gb():
    found = re.search(r"^MemTotal:\s*(\d+) kB", pathlib.Path("/proc/meminfo").read_text(), re.M)
    return int(found.group(1)) * 1024 / 1e9 if found else 0.0


def version_of(command):
    try:
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, timeout=5)
    except (OSError, subprocess.TimeoutExpired):
        return "unknown"
    return done.stdout.strip().split("\n")[0]


def place_of(folder):
    """Where it lies in the checkout; where that lies is nobody's business."""
    return str(folder.relative_to(ROOT)) if folder.is_relative_to(ROOT) else folder.name


def facts(command, options, namespace_refused):
    """What is kept with the results; `shown` is what a reader of the table sees."""
    commit = git("rev-parse", "--short", "HEAD") or "unknown"
    dirty = bool(git("status", "--porcelain", "--untracked-files=no"))
    system = os.uname()
    namespace = "own network namespace, by route" if namespace_refused is None else f"the host's: {namespace_refused}"
    shown = {
        "commit": commit + (" and changes that are not committed" if dirty else ""),
        "build": place_of(options.build.resolve()),
        "kernel": f"{system.sysname} {system.release}",
        "processor": f"{cpu_model()}, {os.cpu_count()} cores; server on {options.server_core}, generator on "
                     f"{options.generator_core}",
        "memory": f"{memory_gb():.0f} GB",
        "congestion control": f"{congestion_in_use()}, at both ends ({namespace})",
        "scheduling": child.scheduling(),
        "rounds": f"{options.rounds} of {options.seconds:g} s per scenario and server, interleaved",
    }
    if options.quick:
        shown["quick"] = "few connections for a moment: this says that all of it runs, and nothing about cost"
    return {"date": datetime.date.today().isoformat(), "command": command, "commit": commit, "dirty": dirty, "shown": shown,
            "congestion": congestion_in_use(), "load": os.getloadavg()[0]}
