#!/usr/bin/python3
"""Runs penstockd and penstock-control in the foreground: what tools/run does once everything is built.

Whichever of the two dies is started again; streams do not notice a restart of penstock-control, and penstockd goes on from
the configuration it applied last. Ctrl-C or SIGTERM stops both.
"""
import argparse
import ctypes
import os
import pathlib
import shlex
import signal
import socket
import subprocess
import sys
import time
import tomllib

ROOT = pathlib.Path(__file__).resolve().parent.parent
PROGRAMS = pathlib.Path(os.environ.get("PENSTOCK_BIN", ROOT / "build" / "release" / "bin"))
DEFAULT_CONFIG = """\
# Made by tools/run. Edit it and type: build/release/bin/penstockctl config reload
# Every key is explained in README.md.
[dataplane]
engine = "uring"
workers = {workers}
state_dir = "{state}"

[listen]
rtmp = ["127.0.0.1:1935"]

[admission]
publish = "open"

[control]
http = "127.0.0.1:8935"
socket = "{state}/control.sock"
"""
READY_SECONDS = 15
STOP_SECONDS = 8
BACKOFF_SECONDS_MIN, BACKOFF_SECONDS_MAX = 0.2, 5.0
# Who has run so long has started well: the next death counts as a first one again.
SETTLED_SECONDS = 10.0
PR_SET_PDEATHSIG = 1


def say(text):
    print(text, flush=True)


def end_with_parent():
    """In the child: a kill -9 of this script must not leave programs behind that hold the ports."""
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


class Program:
    """One child that is kept running."""

    def __init__(self, name, command):
        self.name, self.command = name, command
        self.child, self.started, self.backoff, self.start_at = None, 0.0, BACKOFF_SECONDS_MIN, 0.0

    def start(self):
        # A session of its own: Ctrl-C goes to this script alone, which then stops them in order.
        self.child = subprocess.Popen(self.command, start_new_session=True, preexec_fn=end_with_parent,
                                      stdin=subprocess.DEVNULL)
        self.started = time.monotonic()

    def watch(self):
        """Starts it again when it has ended. Called a few times a second."""
        now = time.monotonic()
        if self.child is None:
            if now >= self.start_at:
                self.start()
            return
        code = self.child.poll()
        if code is None:
            return
        if now - self.started > SETTLED_SECONDS:
            self.backoff = BACKOFF_SECONDS_MIN
        say(f"run: {self.name} ended ({ending(code)}), starting it again in {self.backoff:.1f} s")
        self.child, self.start_at = None, now + self.backoff
        self.backoff = min(self.backoff * 2, BACKOFF_SECONDS_MAX)

    def ended(self):
        return self.child is not None and self.child.poll() is not None


def ending(code):
    return f"signal {-code}, {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"


def stop_all(programs):
    """The control process first: it would log the other's end as a fault."""
    deadline = time.monotonic() + STOP_SECONDS
    for program in programs:
        child = program.child
        if child is None or child.poll() is not None:
            continue
        child.terminate()
        try:
            child.wait(max(0.1, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            say(f"run: {program.name} did not stop within {STOP_SECONDS} s: killed")
            child.kill()
            child.wait()


def split_address(text):
    """ "127.0.0.1:1935", "[::1]:1935", ":1935" -> (host, port). """
    host, _, port = text.rpartition(":")
    return host.strip("[]"), int(port)


def port_is_taken(host, port):
    """Without SO_REUSEPORT, so that another Penstock on the port is noticed and not shared with."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host or "0.0.0.0", port))
        except OSError as fault:
            return fault.strerror
    return None


def reachable(host):
    """An address that a program on this machine can use for it."""
    host = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    return f"[{host}]" if ":" in host else host


class Setup:
    """What the configuration says, as far as this script needs it."""

    def __init__(self, path):
        self.path = path
        try:
            with open(path, "rb") as file:
                table = tomllib.load(file)
        except OSError as fault:
            sys.exit(f"run: cannot read {path}: {fault.strerror}")
        except tomllib.TOMLDecodeError:
            table = {}  # penstockd says it better: with file, line and what would be accepted
        section = lambda name: table.get(name) if isinstance(table.get(name), dict) else {}
        self.rtmp = section("listen").get("rtmp", ["127.0.0.1:1935"])
        self.http = section("control").get("http", "127.0.0.1:8935")
        state = section("dataplane").get("state_dir", "state")
        self.socket = section("control").get("socket", f"{state}/control.sock")
        keys = section("admission").get("keys") or []
        closed = section("admission").get("publish") == "keys"
        self.stream = keys[0] if closed and keys else "live/demo"

    def taken(self):
        for what, address in [("RTMP", a) for a in self.rtmp] + [("HTTP", self.http)]:
            try:
                host, port = split_address(address)
                fault = port_is_taken(host, port)
            except (ValueError, AttributeError, OSError):
                continue  # not an address: penstockd says it better
            if fault:
                return (f"run: {what} address {address} cannot be used ({fault}); stop what uses it "
                        f"(ss -ltnp 'sport = :{port}'), or give another one in a file: tools/run --config FILE")
        return None

    def url(self):
        host, port = split_address(self.rtmp[0])
        return f"rtmp://{reachable(host)}:{port}/{self.stream}"


def check_config(path):
    done = subprocess.run([PROGRAMS / "penstockctl", "config", "check", path], stdout=subprocess.DEVNULL, check=False)
    if done.returncode != 0:
        sys.exit(1)


def is_healthy(path):
    """penstock-control answers, and has its data plane."""
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            probe.settimeout(1)
            probe.connect(str(path))
            probe.sendall(b"GET /healthz HTTP/1.0\r\nHost: localhost\r\n\r\n")
            return b" 200 " in probe.recv(64)
    except OSError:
        return False


def rtmp_answers(address):
    try:
        host, port = split_address(address)
        socket.create_connection((reachable(host).strip("[]"), port), timeout=1).close()
        return True
    except OSError:
        return False


def wait_until_ready(setup, programs):
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline:
        for program in programs:
            if program.ended():
                return f"run: {program.name} did not start ({ending(program.child.returncode)}); its reason is above"
        if is_healthy(setup.socket) and rtmp_answers(setup.rtmp[0]):
            return None
        time.sleep(0.05)
    return f"run: not ready within {READY_SECONDS} s; see the lines above"


def publish_command(url):
    return ["ffmpeg", "-hide_banner", "-loglevel", "warning", "-re",
            "-f", "lavfi", "-i", "testsrc2=size=1280x720:rate=30",
            "-f", "lavfi", "-i", "sine=frequency=440:sample_rate=44100",
            "-c:v", "libx264", "-preset", "veryfast", "-tune", "zerolatency", "-pix_fmt", "yuv420p", "-g", "60",
            "-b:v", "2500k", "-c:a", "aac", "-b:a", "128k", "-f", "flv", url]


def print_next(setup, demo):
    url = setup.url()
    relative = os.path.relpath(PROGRAMS)
    command = f"{PROGRAMS if relative.startswith('..') else relative}/penstockctl"
    # The CLI finds ./state/control.sock by itself.
    if os.path.abspath(setup.socket) != os.path.abspath("state/control.sock"):
        command += f" --socket {shlex.quote(str(setup.socket))}"
    say("")
    say(f"Penstock runs.  RTMP {', '.join(setup.rtmp)}   HTTP http://{setup.http}   configuration {setup.path}")
    say("")
    if demo:
        say(f"A test picture with tone is published to {url}. To publish another one, use another name:")
        url_to_publish = url + "2"
    else:
        say("Publish:")
        url_to_publish = url
    say("  " + shlex.join(publish_command(url_to_publish)))
    say("Watch:")
    say(f"  ffplay {url}")
    say("or, without a screen, ten seconds into a file:")
    say(f"  ffmpeg -y -i {url} -t 10 -c copy watched.flv")
    say("Look at it from another terminal:")
    say(f"  {command} status")
    say(f"  {command} streams")
    say(f"  {command} top")
    say("Stop: Ctrl-C")
    say("")


def main():
    parser = argparse.ArgumentParser(prog="tools/run", description="Builds and runs Penstock in the foreground.",
                                     epilog="example: tools/run --demo")
    parser.add_argument("--config", metavar="FILE", help="configuration; without it state/penstock.toml is made and used: "
                        "RTMP on 127.0.0.1:1935, HTTP on 127.0.0.1:8935, a worker on every core")
    parser.add_argument("--demo", action="store_true", help="also publish a moving test picture with a tone")
    options = parser.parse_args()

    if options.config is None:
        os.chdir(ROOT)
        config = pathlib.Path("state/penstock.toml")
        if not config.exists():
            config.parent.mkdir(mode=0o700, exist_ok=True)
            config.write_text(DEFAULT_CONFIG.format(workers=sorted(os.sched_getaffinity(0)), state="state"))
    else:
        config = pathlib.Path(options.config)
    setup = Setup(config)
    check_config(config)
    taken = setup.taken()
    if taken:
        sys.exit(taken)

    stopping = []
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, frame: stopping.append(number))

    control = Program("penstock-control", [PROGRAMS / "penstock-control", "--config", config])
    dataplane = Program("penstockd", [PROGRAMS / "penstockd", "--config", config])
    programs = [control, dataplane]
    dataplane.start()
    control.start()
    problem = wait_until_ready(setup, programs) if not stopping else None
    if problem is None and not stopping:
        if options.demo:
            programs.insert(0, Program("the demo's ffmpeg", publish_command(setup.url())))
            programs[0].start()
        print_next(setup, options.demo)
    while problem is None and not stopping:
        for program in programs:
            program.watch()
        time.sleep(0.1)
    if problem is None:
        say("run: stopping")
    stop_all(programs)
    if problem is not None:
        sys.exit(problem)
    say("run: stopped")


if __name__ == "__main__":
    main()
