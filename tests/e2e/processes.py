"""A real Penstock for a test: both processes, a state folder and ports of its own, and what they wrote."""
import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[2]
PROGRAMS = pathlib.Path(os.environ.get("PENSTOCK_BIN", ROOT / "build" / "release" / "bin"))
KIND = os.environ.get("PENSTOCK_KIND", "release")
# Sanitized programs need two to ten times the processor, and the players beside them do not get faster by it.
PATIENCE = {"asan": 3, "tsan": 6}.get(KIND, 1)
PORT_FIRST, PORT_LAST = 24000, 24999
WORKERS = sorted(os.sched_getaffinity(0))[:2]
# What no log may hold, whatever a test did.
ALARMS = re.compile(r"AddressSanitizer|LeakSanitizer|ThreadSanitizer|runtime error:|assertion failed|terminate called")

_next_port = PORT_FIRST + os.getpid() % 400 * 2


def free_port():
    """A port of the tests' range that nobody listens on, and not the one given before."""
    global _next_port
    for _ in range(PORT_LAST - PORT_FIRST):
        port = _next_port
        _next_port = port + 1 if port < PORT_LAST else PORT_FIRST
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        return port
    raise RuntimeError("no free port between %d and %d" % (PORT_FIRST, PORT_LAST))


def wait_for(condition, seconds=10.0, what="the condition", every=0.02):
    """What `condition` gives as soon as that is true; AssertionError when it is not in time."""
    deadline = time.monotonic() + seconds * PATIENCE
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds * PATIENCE:g} s: {what}")
        time.sleep(every)


class Run:
    """A child with its output in a file."""

    def __init__(self, command, log_path):
        self.log_path = log_path
        with open(log_path, "ab") as log:
            self.child = subprocess.Popen([str(part) for part in command], stdin=subprocess.DEVNULL, stdout=log,
                                          stderr=subprocess.STDOUT)
        self.pid = self.child.pid

    def running(self):
        return self.child.poll() is None

    def output(self):
        return pathlib.Path(self.log_path).read_text(errors="replace")

    def end(self, number=signal.SIGTERM, seconds=8.0):
        """Sends the signal, waits, and gives the exit code. What does not end is killed and fails the test."""
        if self.running():
            self.child.send_signal(number)
        return self.wait(seconds)

    def wait(self, seconds=8.0):
        try:
            return self.child.wait(seconds * PATIENCE)
        except subprocess.TimeoutExpired:
            self.child.kill()
            self.child.wait()
            raise AssertionError(f"{self.child.args[0]} did not end within {seconds * PATIENCE:g} s:\n{self.output()}")

    def kill_if_running(self):
        if self.running():
            self.child.kill()
            self.child.wait()


class CliResult:
    def __init__(self, code, out, err):
        self.code, self.out, self.err = code, out, err

    def json(self):
        return json.loads(self.out)


class Penstock:
    engine = "uring"
    host, host6 = "127.0.0.1", "[::1]"  # where it listens for RTMP

    def __init__(self, folder, publish="open", keys=(), limits=None, more="", workers=None, variants=(), listen="",
                 certificates=(), rtmpe=None, admission=""):
        """`variants` of rtmps, rtmpt and rtmpts get a listener each; `listen` and `admission` are more of those sections,
        `certificates` are (file, key file, names)."""
        self.folder = pathlib.Path(folder)
        self.rtmp_port, self.http_port = free_port(), free_port()
        self.variant_ports = {variant: free_port() for variant in variants}
        self.listen, self.certificates, self.rtmpe = listen, list(certificates), rtmpe
        self.workers = WORKERS if workers is None else workers
        self.config_path = self.folder / "penstock.toml"
        self.socket_path = self.folder / "control.sock"
        self.publish, self.keys, self.admission, self.more = publish, list(keys), admission, more
        # The defaults size for a whole machine; tests run several of these beside their players.
        self.limits = {"connections_max": 2000, "streams_max": 2000, "frame_memory_bytes": 256 << 20,
                       "subscriber_queue_bytes": 4 << 20, **(limits or {})}
        self.dataplane = self.control = None
        self.runs = []
        self.expected_codes = {}
        self.write_config()

    def write_transports(self):
        """The lines of [listen] for variants, and the sections [tls] and [rtmpe]."""
        lines = [f'{variant} = ["127.0.0.1:{port}"]' for variant, port in self.variant_ports.items()]
        listed = ", ".join(f'{{cert = "{cert}", key = "{key}", names = {json.dumps(list(names))}}}'
                           for cert, key, names in self.certificates)
        sections = f"[tls]\ncertificates = [{listed}]\n" if listed else ""
        if self.rtmpe is not None:
            sections += f"\n[rtmpe]\nenabled = {json.dumps(self.rtmpe)}\n"
        return "\n".join([*lines, self.listen]), sections

    def engine_section(self):
        """A section of its own, for engines that have one."""
        return ""

    def write_config(self):
        listen, sections = self.write_transports()
        limits = "\n".join(f"{key} = {value}" for key, value in self.limits.items())
        self.config_path.write_text(f"""\
[dataplane]
engine = "{self.engine}"
workers = {self.workers}
state_dir = "{self.folder}/state"
{self.engine_section()}
[listen]
rtmp = ["{self.host}:{self.rtmp_port}", "{self.host6}:{self.rtmp_port}"]
{listen}

[admission]
publish = "{self.publish}"
keys = {json.dumps(self.keys)}
{self.admission}

[limits]
{limits}

[control]
http = "127.0.0.1:{self.http_port}"
socket = "{self.socket_path}"

{sections}
{self.more}
""")

    # -- processes --

    def command(self, name):
        return [PROGRAMS / name, "--config", self.config_path]

    def _start(self, name):
        run = Run(self.command(name), self.folder / f"{name}.log")
        self.runs.append(run)
        return run

    def start_dataplane(self):
        self.dataplane = self._start("penstockd")
        wait_for(lambda: self.accepts() or not self.dataplane.running(), what="penstockd accepts connections")
        assert self.dataplane.running(), "penstockd ended:\n" + self.dataplane.output()

    def start_control(self):
        self.control = self._start("penstock-control")
        wait_for(lambda: self.healthy() or not self.control.running(), what="/healthz is 200")
        assert self.control.running(), "penstock-control ended:\n" + self.control.output()

    def start(self):
        self.start_dataplane()
        self.start_control()
        return self

    def kill_dataplane(self):
        self.expected_codes[self.dataplane.pid] = -signal.SIGKILL
        self.dataplane.end(signal.SIGKILL)
        # The kernel takes io_uring's listeners down a moment after the process: nobody may take them for the next one.
        wait_for(lambda: not self.accepts(), what="the port is free")

    def kill_control(self):
        self.expected_codes[self.control.pid] = -signal.SIGKILL
        self.control.end(signal.SIGKILL)

    def stop(self):
        """Ends both and checks how they ended and what they wrote."""
        problems = []
        for run in (self.control, self.dataplane):
            if run is not None and run.running():
                run.end()
        for run in self.runs:
            expected = self.expected_codes.get(run.pid, 0)
            if run.child.returncode != expected:
                problems.append(f"{run.child.args[0]} ended with {run.child.returncode}, not {expected}")
        for log in sorted(self.folder.glob("*.log")):
            found = ALARMS.search(log.read_text(errors="replace"))
            if found:
                problems.append(f"{log.name} says: {found.group(0)}")
        return problems

    def abandon(self):
        for run in self.runs:
            run.kill_if_running()

    def logs(self):
        parts = []
        for log in sorted(self.folder.glob("*.log")):
            text = log.read_text(errors="replace")
            parts.append(f"--- {log.name}\n" + text[-6000:])
        return "\n".join(parts)

    # -- what is asked of it --

    def accepts(self):
        try:
            socket.create_connection((self.host, self.rtmp_port), timeout=1).close()
            return True
        except OSError:
            return False

    def healthy(self):
        return self.http("/healthz")[0] == 200

    def http(self, path, method="GET", body=None, headers=None):
        """(status, text); status 0 when nobody answers."""
        request = urllib.request.Request(f"http://127.0.0.1:{self.http_port}{path}", method=method,
                                         data=None if body is None else json.dumps(body).encode(),
                                         headers={"Content-Type": "application/json", **(headers or {})})
        try:
            with urllib.request.urlopen(request, timeout=10 * PATIENCE) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as refused:
            return refused.code, refused.read().decode(errors="replace")
        except OSError:
            return 0, ""

    def get(self, path):
        status, text = self.http("/api/v1" + path)
        assert status == 200, f"GET {path}: {status} {text}"
        return json.loads(text)

    def streams(self):
        return {row["name"]: row for row in self.get("/streams")["streams"]}

    def stream(self, name):
        return self.streams().get(name)

    def connections(self, stream=None):
        return self.get("/connections" + (f"?stream={stream}" if stream else ""))["connections"]

    def subscribers(self, name):
        return [row for row in self.connections(name) if row["role"] in ("subscriber", "waiting")]

    def counters(self):
        answer = self.get("/counters")
        return {row["name"]: row["total"] for row in answer["counters"] + answer["faults"]}

    def wait_live(self, name, seconds=8.0):
        return wait_for(lambda: self.stream(name), seconds, f"{name} is live")

    def wait_gone(self, name, seconds=8.0):
        wait_for(lambda: self.stream(name) is None, seconds, f"{name} is gone")

    def wait_subscribers(self, name, count, seconds=8.0):
        return wait_for(lambda: len(self.subscribers(name)) >= count, seconds, f"{count} subscribers of {name}")

    def url(self, name, host=None):
        return f"rtmp://{host or self.host}:{self.rtmp_port}/{name}"

    def variant_url(self, variant, name, shared=False, host="127.0.0.1"):
        """At the variant's own listener, or at the one of rtmp, which rtmpe and rtmpte have no other than."""
        own = {"rtmpte": "rtmpt"}.get(variant, variant)
        port = self.rtmp_port if shared else self.variant_ports.get(own, self.rtmp_port)
        return f"{variant}://{host}:{port}/{name}"

    def cli(self, *arguments, seconds=10.0, environment=None, typed=""):
        """penstockctl as an operator would start it, with the socket in the environment."""
        done = subprocess.run([PROGRAMS / "penstockctl", *map(str, arguments)], input=typed, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, text=True, timeout=seconds * PATIENCE,
                              cwd=self.folder, check=False,
                              env={**os.environ, "PENSTOCK_SOCKET": str(self.socket_path), **(environment or {})})
        return CliResult(done.returncode, done.stdout, done.stderr)
