"""The servers that are compared: how each is configured, started, found ready and ended."""
import os
import pathlib
import re
import shlex
import shutil
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request

import child

START_SECONDS_MAX = 10.0
STOP_SECONDS_MAX = 10.0
CONNECTIONS_MAX = 16384
BUILT_IN = ("penstock", "nginx-rtmp", "floor")
# How programs mark what went wrong: spdlog, nginx, and what libraries and sanitizers write.
COMPLAINT = re.compile(r"\b(warn(ing)?|err(or)?|crit(ical)?|alert|emerg|fatal|panic|abort(ed|ing)?|assert(ion)?|failed|"
                       r"cannot)\b", re.I)
COMPLAINTS_QUOTED_MAX = 3


class ServerFailed(Exception):
    """A server did not start, or ended by itself; says what it wrote."""


def find_program(build, name, *folders):
    """`name` where ninja or tools/build puts it below the build folder; None when it is nowhere."""
    for folder in ("bin", *folders):
        path = pathlib.Path(build) / folder / name
        if path.is_file() and os.access(path, os.X_OK):
            return path
    return None


def make_certificate(folder):
    """One for all servers of a run: (certificate, key). ECDSA over P-256, which costs a handshake least."""
    cert, key = folder / "server.pem", folder / "server.key"
    done = subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-noenc", "-days",
                           "1", "-subj", "/CN=compare", "-keyout", key, "-out", cert], stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if done.returncode != 0:
        raise ServerFailed(f"no certificate could be made: {done.stdout.strip()[-300:]}")
    return cert, key


def pinned(cores, command):
    return ["taskset", "-c", ",".join(map(str, cores)), *map(str, command)]


class Server:
    """One server for one run: its processes, their folder and port. Subclasses say how it is started."""

    raw = False  # it speaks no RTMP: penstock-load is told to leave the protocol out

    def __init__(self, name):
        self.name = name
        self.children = {}
        self.folder = None
        self.port = None

    def missing(self):
        """Why it cannot run here, for the operator; None when it can."""
        return None

    def start(self, scenario, folder, port, cores):
        self.folder, self.port = pathlib.Path(folder), port
        self.children = {}
        try:
            self.launch(scenario, cores)
            self.wait_until(lambda: accepts(port), "accepts connections")
            self.after_launch()
        except BaseException:
            self.stop()
            raise

    def launch(self, scenario, cores):
        raise NotImplementedError

    def after_launch(self):
        pass

    def spawn(self, name, command):
        with open(self.folder / f"{name}.log", "ab") as log:
            # A session of its own, so that what a server starts in turn ends with it.
            self.children[name] = subprocess.Popen(list(map(str, command)), stdin=subprocess.DEVNULL, stdout=log,
                                                   stderr=subprocess.STDOUT, cwd=self.folder,
                                                   **child.settings(signal.SIGTERM))

    def pids(self):
        return {name: process.pid for name, process in self.children.items()}

    def check_alive(self):
        for name, process in self.children.items():
            if process.poll() is not None:
                raise ServerFailed(f"{name} ended with {process.returncode}: {complaints(self.log(name))}")

    def log(self, name):
        return (self.folder / f"{name}.log").read_text(errors="replace").strip()

    def said(self):
        """The end of what each of its processes wrote, where it wrote something."""
        ends = {name: " ".join(self.log(name)[-400:].split()) for name in self.children}
        return {name: end for name, end in ends.items() if end}

    def doubts(self):
        """After its end: why it may not have been measured as it was meant to be."""
        return []

    def wait_until(self, condition, what):
        deadline = time.monotonic() + START_SECONDS_MAX
        while not condition():
            self.check_alive()
            if time.monotonic() > deadline:
                said = "; ".join(f"{name}: {complaints(self.log(name))}" for name in self.children)
                raise ServerFailed(f"{self.name} is not so far within {START_SECONDS_MAX:g} s that it {what}; {said}")
            time.sleep(0.02)
        self.check_alive()

    def stop(self):
        for process in self.children.values():
            signal_group(process, signal.SIGTERM)
        deadline = time.monotonic() + STOP_SECONDS_MAX
        for process in self.children.values():
            try:
                process.wait(max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                pass
            signal_group(process, signal.SIGKILL)  # a child that was left behind holds the port
            process.wait()


def complaints(text):
    """Of a log the last lines that are warnings or errors; the last line where none is."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    wrong = [line for line in lines if COMPLAINT.search(line)]
    return " / ".join(line[:400] for line in wrong[-COMPLAINTS_QUOTED_MAX:] or lines[-1:]) or "it wrote nothing"


def signal_group(process, number):
    try:
        os.killpg(process.pid, number)
    except ProcessLookupError:
        pass


def accepts(port):
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
        return True
    except OSError:
        return False


class Penstock(Server):
    def __init__(self, build):
        super().__init__("penstock")
        self.dataplane = find_program(build, "penstockd", "dataplane")
        self.control = find_program(build, "penstock-control", "controlplane")
        self.build = build
        self.http_port = None

    def missing(self):
        if self.dataplane and self.control:
            return None
        return f"no penstockd and penstock-control in {self.build}: build them with tools/build release"

    def config(self, scenario, workers):
        settings = scenario.penstock_settings()
        count = max((load.count or load.publishers) for load in scenario.loads)
        keys = ", ".join(f'"live/load-{index}"' for index in range(count)) if settings["keys"] else ""
        # Ten minutes are the most that the timers take: nothing of a run ends by time.
        liveness = "" if not settings["liveness_off"] else "\n".join(
            f"{key} = 600000" for key in ("handshake_ms", "connect_to_publish_ms", "first_media_ms", "silent_publisher_ms",
                                          "write_stalled_ms"))
        sections = ""
        if scenario.variant == "rtmps":
            cert, key = make_certificate(self.folder)
            sections = f'[tls]\ncertificates = [{{cert = "{cert}", key = "{key}"}}]\n'
        elif scenario.variant == "rtmpe":
            sections = "[rtmpe]\nenabled = true\n"
        elif scenario.variant == "rtmpt":
            sections = f"[rtmpt]\nsessions_per_address = {CONNECTIONS_MAX}\n"  # all of them come from here
        # RTMPE has no listener of its own.
        listener = {"rtmpe": "rtmp"}.get(scenario.variant, scenario.variant)
        listen = "" if listener == "rtmp" else "rtmp = []\n"
        return f"""\
[dataplane]
workers = [{", ".join(map(str, workers))}]
state_dir = "{self.folder}/state"
gather_ms = {settings["gather_ms"]}
wait_us_max = {settings["wait_us_max"]}

[listen]
{listen}{listener} = ["127.0.0.1:{self.port}"]

{sections}
[admission]
publish = "{"keys" if settings["keys"] else "open"}"
keys = [{keys}]

[limits]
connections_max = {CONNECTIONS_MAX}
streams_max = {CONNECTIONS_MAX}
gop_bytes = {settings["gop_bytes"]}

[liveness]
{liveness}

[control]
http = "127.0.0.1:{self.http_port}"
socket = "{self.folder}/control.sock"

[log]
level = "warning"
"""

    def launch(self, scenario, cores):
        self.http_port = self.port + 1
        path = self.folder / "penstock.toml"
        path.write_text(self.config(scenario, cores))
        for program in (self.dataplane, self.control):
            self.spawn(program.name, pinned(cores, [program, "--config", path]))

    def after_launch(self):
        # Its first second is a busy one: attaching, reading the rows, the first verdict policy.
        self.wait_until(self.healthy, "answers /healthz")

    def healthy(self):
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.http_port}/healthz", timeout=2) as answer:
                return answer.status == 200
        except (OSError, urllib.error.URLError):
            return False


class NginxRtmp(Server):
    MODULES = ("/usr/lib/nginx/modules/ngx_rtmp_module.so", "/usr/lib64/nginx/modules/ngx_rtmp_module.so")
    STREAM_MODULES = ("/usr/lib/nginx/modules/ngx_stream_module.so", "/usr/lib64/nginx/modules/ngx_stream_module.so")

    def __init__(self):
        super().__init__("nginx-rtmp")
        self.program = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")
        self.module = next((path for path in self.MODULES if os.path.exists(path)), None)
        self.stream_module = next((path for path in self.STREAM_MODULES if os.path.exists(path)), None)

    def missing(self):
        if self.program and self.module:
            return None
        return "nginx with libnginx-mod-rtmp is not installed: run tools/setup"

    def stream(self):
        """TLS ends in nginx's own `stream`, which the same worker passes on to its RTMP: the way that its users have. As cheap as
        it gets: one certificate of the cheap kind, the cipher that the other side has, too, and large buffers."""
        cert, key = make_certificate(self.folder)
        return f"""\
stream {{
  server {{
    listen 127.0.0.1:{self.port} ssl;
    ssl_certificate {cert};
    ssl_certificate_key {key};
    ssl_protocols TLSv1.2 TLSv1.3;
    ssl_ciphers ECDHE-ECDSA-AES128-GCM-SHA256;
    ssl_conf_command Ciphersuites TLS_AES_128_GCM_SHA256;
    proxy_buffer_size 16k;
    tcp_nodelay on;
    proxy_pass 127.0.0.1:{self.port + 1};
  }}
}}
"""

    def config(self, scenario):
        # What helps it: no access log, many accepts per wake, epoll (its default), chunks as large as the module's default in
        # both directions, no wait for a keyframe. Its `buffer` (merging what is sent) is left off: it adds seconds.
        user = "user root;" if os.geteuid() == 0 else ""  # the folder of a run is its owner's alone
        secure = scenario.variant == "rtmps"
        if secure and not self.stream_module:
            raise ServerFailed("libnginx-mod-stream is not installed: run tools/setup")
        module = f"load_module {self.stream_module};" if secure else ""
        stream, rtmp_port = (self.stream(), self.port + 1) if secure else ("", self.port)
        return f"""\
load_module {self.module};
{module}
{user}
daemon off;
worker_processes 1;
worker_rlimit_nofile {2 * CONNECTIONS_MAX};
pid {self.folder}/nginx.pid;
error_log {self.folder}/nginx-rtmp.log error;
events {{
  worker_connections {2 * CONNECTIONS_MAX};
  multi_accept on;
}}
{stream}
rtmp {{
  access_log off;
  max_streams 32;
  server {{
    listen 127.0.0.1:{rtmp_port};
    chunk_size 4096;
    max_message 8M;
    application live {{
      live on;
    }}
  }}
}}
"""

    def launch(self, scenario, cores):
        path = self.folder / "nginx.conf"
        path.write_text(self.config(scenario))
        self.spawn(self.name, pinned(cores, [self.program, "-p", self.folder, "-c", path,
                                             "-e", f"{self.folder}/nginx-rtmp.log"]))


class Floor(Server):
    raw = True

    def __init__(self, build):
        super().__init__("floor")
        self.program = find_program(build, "penstock-floor", "bench/compare")
        self.build = build

    def missing(self):
        return None if self.program else f"no penstock-floor in {self.build}: build it with tools/build release"

    def launch(self, scenario, cores):
        settings = scenario.floor_settings()
        self.spawn(self.name, pinned(cores, [self.program, "--listen", f"127.0.0.1:{self.port}",
                                             "--wait-us", settings["wait_us"], "--low-water", settings["low_water"],
                                             *(["--leave-rest"] if settings["leave_rest"] else []),
                                             "--quick-ack", settings["quick_ack"],
                                             "--quick-ack-every", settings["quick_ack_every"]]))

    def doubts(self):
        return floor_doubts(self.log(self.name))


def floor_doubts(said):
    """A floor that is held up by its own memory is no floor. Finding no slab alone does not: in a blast it does so thousands of
    times a second, arms again and goes on."""
    waits = re.search(r"(\d+) waits for one", said)
    return [f"doubtful: {waits[1]} waits for a slab"] if waits and int(waits[1]) else []


class Peer(Server):
    """Any other RTMP server, as a command line with {port} and, if it wants one, {folder}."""

    def __init__(self, name, command):
        super().__init__(name)
        self.command = command

    def missing(self):
        program = shlex.split(self.command)[0]
        return None if shutil.which(program) else f"{program} is not a program"

    def launch(self, scenario, cores):
        text = self.command.replace("{port}", str(self.port)).replace("{folder}", str(self.folder))
        self.spawn(self.name, pinned(cores, shlex.split(text)))


def parse_peer(text):
    name, found, command = text.partition("=")
    if not found or not name or "{port}" not in command:
        raise ValueError(f"--peer {text!r}: NAME=COMMAND is wanted, with {{port}} in the command")
    if name in BUILT_IN or not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name):
        raise ValueError(f"--peer {text!r}: wanted is a name of letters, digits and . _ - other than {', '.join(BUILT_IN)}")
    try:
        shlex.split(command)
    except ValueError as wrong:
        raise ValueError(f"--peer {text!r}: a command with quotes as in a shell is wanted: {wrong}") from None
    return Peer(name, command)


def parse_peers(texts):
    peers = {}
    for text in texts:
        peer = parse_peer(text)
        if peer.name in peers:
            raise ValueError(f"--peer {text!r}: wanted is a name that no other --peer has")
        peers[peer.name] = peer
    return list(peers.values())
