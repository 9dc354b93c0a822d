"""What is measured: the rows of the table of bars, each with its load, its settings and its bars as data."""
import dataclasses
import re

# What Penstock does to its sockets and waits, which the floor is told to do as well, so that the two differ by the protocol
# alone. Change it here when the engine or a default changes.
WAIT_US_MAX = 1000  # [dataplane] wait_us_max
QUICK_ACK = "off"  # TCP_QUICKACK is cleared on publishers,
QUICK_ACK_EVERY = 32  # and again after so many receives: dataplane/engine/uring/uring_engine.cc, receives_per_lazy_ack
LOW_WATER_BYTES_MAX = 32 * 1024  # dataplane/worker_report.cc, low_water_max
GATHER_MS = 150  # [dataplane] gather_ms, its default
GATHER_SHARE = 5  # of gather_ms, what a poll may wait when nobody watches anything: worker_report.cc, gather_share
GATHER_POLL_MS_MAX = 30  # and no more than this: gather_poll_ms_max there
COALESCE_FROM = 10_000  # [dataplane] coalesce_from, its default
VIDEO_FPS, AUDIO_FPS = 30, 43  # of penstock-load, its defaults
GOP_BYTES = 8 << 20  # [limits] gop_bytes, its default

# What one value is; the functions that compute them are in measure.py.
UNITS = {
    "cpu_per_gb_in": "CPU-s per GB in",
    "cpu_per_gb_out": "CPU-s per GB out",
    "cpu_per_gb_both": "CPU-s per GB in and out",
    "cpu_per_message": "CPU-us per message",
    "cpu_per_connection": "CPU-us per connection",
    "latency_p99": "ms, p99 publish to play",
    "bytes_per_peer": "KB of user memory per connection",
    "idle_percent": "% of a core more than without connections",
}


@dataclasses.dataclass(frozen=True)
class Bar:
    """`against` is a server's name (a ratio to its value), "value" (the value itself), "scenario:NAME" (a ratio to Penstock's
    own value there), "capacity:NAME" (how much more two workers carry than one: twice NAME's cost by this one), "predicted:NAME"
    (a ratio to Penstock's own value there and the cipher's own cost together) or "more:NAME" (the difference to it)."""
    against: str
    limit: float | None  # None: there is an aim alone
    aim: float | None = None

    @property
    def at_least(self):
        return self.against.startswith("capacity:")


@dataclasses.dataclass(frozen=True)
class Load:
    """One run of penstock-load. What is 0 or empty is left to its default."""
    mode: str
    variant: str = "rtmp"
    publishers: int = 0
    players: int = 0
    streams: int = 0
    bitrate: str = ""
    video_fps: int | None = None
    audio_fps: int | None = None
    chunk_bytes: int = 4096
    count: int = 0
    concurrency: int = 0
    digest: bool = False
    # Publishers start over one GOP, or several, so that their keyframes are spread evenly.
    ramp_s: float = 2.0
    # GOP caches are full and marks of low water have settled: twice a GOP, and two looks at the bitrate.
    warmup_s: float = 4.0

    def arguments(self, seconds):
        # A generator that sleeps is woken by the server: a third of the server's CPU in fan-out, which no network card charges.
        found = [self.mode, "--spin"]
        if self.variant != "rtmp":
            found += ["--variant", self.variant]
        for option, value in (("publishers", self.publishers), ("players", self.players), ("streams", self.streams),
                              ("bitrate", self.bitrate), ("count", self.count), ("concurrency", self.concurrency)):
            if value:
                found += [f"--{option}", str(value)]
        for option, value in (("video-fps", self.video_fps), ("audio-fps", self.audio_fps)):
            if value is not None:
                found += [f"--{option}", str(value)]
        if self.digest:
            found.append("--digest")
        if self.mode in ("publish", "mixed", "blast"):
            found += ["--chunk-bytes", str(self.chunk_bytes)]
        if self.mode != "connect":
            found += ["--ramp-s", f"{self.ramp_s:g}", "--warmup-s", f"{self.warmup_s:g}", "--duration-s", f"{seconds:g}"]
        return found

    def seconds_planned(self, seconds):
        return 3.0 if self.mode == "connect" else \
            self.ramp_s * (2 if self.mode == "mixed" else 1) + self.warmup_s + seconds

    def messages_per_s(self):
        fps = VIDEO_FPS if self.video_fps is None else self.video_fps
        return self.publishers * (fps + (AUDIO_FPS if self.audio_fps is None else self.audio_fps))

    def small(self, times):
        """The same shape for a smoke test; `times` keeps the loads of one scenario apart."""
        few = {name: min(getattr(self, name), most * times)
               for name, most in (("publishers", 20), ("players", 40), ("streams", 10), ("count", 100), ("concurrency", 10))}
        return dataclasses.replace(self, ramp_s=0.2, warmup_s=0.3, **few)


@dataclasses.dataclass(frozen=True)
class Scenario:
    name: str
    title: str
    metric: str
    loads: tuple
    bars: tuple = ()
    servers: tuple = ()  # empty: all; peers given on the command line take part in everything but what needs Penstock alone
    no_gap: bool = False
    gather_ms: int = GATHER_MS
    gop_bytes: int = GOP_BYTES
    keys: bool = False  # admission by key instead of open
    workers: int = 1
    liveness_off: bool = False
    settle_s: float = 0.0  # look at the servers this long before the load comes
    cipher: str = ""  # by openssl's name: its own cost is measured beside Penstock

    @property
    def variant(self):
        return self.loads[0].variant

    def penstock_settings(self):
        return {"gather_ms": self.gather_ms, "gop_bytes": self.gop_bytes, "wait_us_max": WAIT_US_MAX, "keys": self.keys,
                "workers": self.workers, "liveness_off": self.liveness_off}

    def floor_settings(self):
        """What Penstock does in this scenario. Where nobody watches it gathers in the sockets, and longer in its polls."""
        wait_us, low_water, leave_rest = WAIT_US_MAX, 1, False
        load = self.loads[0]
        if self.gather_ms and load.mode in ("publish", "blast"):
            in_polls_ms = min(self.gather_ms // GATHER_SHARE, GATHER_POLL_MS_MAX)
            wait_us = max(wait_us, in_polls_ms * 1000)
            # A blast has no bitrate to go by, only one that is always too high.
            low_water = bits(load.bitrate) * (self.gather_ms - in_polls_ms) // 8000 if load.bitrate else LOW_WATER_BYTES_MAX
            leave_rest = low_water < LOW_WATER_BYTES_MAX
        elif load.mode in ("publish", "mixed") and load.messages_per_s() >= 2 * COALESCE_FROM and load.video_fps is None:
            # Under load sound waits for the picture, in the socket: worker_report.cc, live_mark().
            sound = min(128_000, bits(load.bitrate) // 4) // 8 // AUDIO_FPS
            low_water = sound + sound // 2 + 16
        return {"wait_us": wait_us, "low_water": max(1, min(low_water, LOW_WATER_BYTES_MAX)), "quick_ack": QUICK_ACK,
                "quick_ack_every": QUICK_ACK_EVERY, "leave_rest": leave_rest}

    def small(self):
        return dataclasses.replace(self, loads=tuple(load.small(times) for times, load in enumerate(self.loads, 1)),
                                   settle_s=min(self.settle_s, 0.5))


def bits(text):
    """Bits per second of "1M", "200k"."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([kMG]?)", text)
    if not found:
        raise ValueError(f"not a bitrate: {text!r}")
    return int(float(found.group(1)) * {"": 1, "k": 10**3, "M": 10**6, "G": 10**9}[found.group(2)])


def slow_publishers(count):
    """The same rate per connection at any number of them: 5 messages a second, four of them video."""
    return Load("publish", publishers=count, bitrate="20k", video_fps=4, audio_fps=1, ramp_s=max(2.0, count / 2500))


def carried(variant):
    """500 publishers whose RTMP the variant carries. Handshakes are rationed: six seconds let all of them in."""
    return (Load("publish", variant=variant, publishers=500, bitrate="1M", ramp_s=6.0),)


RTMP_SERVERS = ("penstock", "nginx-rtmp")
NGINX = "nginx-rtmp"

# "watched" as a publisher's share: the same publishers with nobody playing, Penstock told not to gather and to keep GOPs, so
# that each message is received, parsed, copied into a frame and kept exactly as for a player, and sent to nobody.
ALL = (
    Scenario("ingest_watched_1000", "1000 publishers x 1 Mbit/s, chunk 4096, as if watched: ingest's share", "cpu_per_gb_in",
             (Load("publish", publishers=1000, bitrate="1M"),), gather_ms=0,
             bars=(Bar("floor", 1.35, 1.1), Bar(NGINX, 0.6))),
    Scenario("watched_1000_total", "1000 publishers x 1 Mbit/s, each played by one: all of the CPU", "cpu_per_gb_in",
             (Load("mixed", publishers=1000, players=1000, bitrate="1M"),), no_gap=True),
    Scenario("ingest_unwatched_1000", "1000 publishers x 1 Mbit/s, nobody watches, delay bound 150 ms", "cpu_per_gb_in",
             (Load("publish", publishers=1000, bitrate="1M"),), gather_ms=150, bars=(Bar(NGINX, 0.35, 0.2),)),
    Scenario("ingest_unwatched_200", "200 publishers x 1 Mbit/s, nobody watches, delay bound 150 ms", "cpu_per_gb_in",
             (Load("publish", publishers=200, bitrate="1M"),), gather_ms=150, bars=(Bar(NGINX, 0.25, 0.12),)),
    # Neither the floor nor nginx-rtmp keeps a GOP for who comes next.
    Scenario("ingest_unwatched_200_no_gop", "the same, GOP cache off: nobody keeps anything", "cpu_per_gb_in",
             (Load("publish", publishers=200, bitrate="1M"),), gather_ms=150, gop_bytes=0, bars=(Bar(NGINX, 0.25, 0.12),)),
    Scenario("ingest_watched_1000_chunk128", "1000 publishers x 1 Mbit/s, chunk 128, as if watched: ingest's share",
             "cpu_per_gb_in", (Load("publish", publishers=1000, bitrate="1M", chunk_bytes=128),), gather_ms=0,
             bars=(Bar("floor", 1.6, 1.3),)),
    # 50 players are witnesses: 1 % of the streams is looked at for gaps, at 1 % more sends, for the floor too. 73 messages a
    # second each would be 365,000, and one core of the generator sends 140,000 over loopback.
    Scenario("ingest_5000", "5000 publishers x 200 kbit/s, 20 messages/s each, as if watched, 50 of them played",
             "cpu_per_message",
             (Load("mixed", publishers=5000, players=50, bitrate="200k", video_fps=10, audio_fps=10, ramp_s=4.0),),
             gather_ms=0, no_gap=True, bars=(Bar("floor", 1.35, 1.1),)),
    Scenario("fanout_1x500", "1 stream x 500 players x 2 Mbit/s", "cpu_per_gb_out",
             (Load("mixed", publishers=1, players=500, bitrate="2M"),), no_gap=True,
             bars=(Bar("floor", 1.2, 1.0), Bar(NGINX, 0.5))),
    Scenario("fanout_50x10", "50 streams x 10 players x 1 Mbit/s", "cpu_per_gb_out",
             (Load("mixed", publishers=50, players=500, bitrate="1M"),), no_gap=True, bars=(Bar(NGINX, 0.6, 0.4),)),
    Scenario("blast_50", "50 publishers as fast as they can, GOP cache on", "cpu_per_gb_in",
             (Load("blast", publishers=50, warmup_s=1.0),), bars=(Bar("floor", 1.5, 1.2), Bar(NGINX, 0.6))),
    # Neither the floor nor nginx-rtmp keeps what it receives.
    Scenario("blast_50_no_gop", "the same, GOP cache off: nobody keeps anything", "cpu_per_gb_in",
             (Load("blast", publishers=50, warmup_s=1.0),), gop_bytes=0,
             bars=(Bar("floor", 1.5, 1.2), Bar(NGINX, 0.6))),
    # Measured: 3 Gbit/s out are about half of a core for nginx-rtmp.
    Scenario("latency_half_load", "1 stream x 500 players x 6 Mbit/s: publish to play", "latency_p99",
             (Load("mixed", publishers=1, players=500, bitrate="6M"),), no_gap=True,
             bars=(Bar(NGINX, 1.0), Bar("value", None, 3.0))),
    # The slope between two counts: what a server takes once, however many come, is not a price per connection.
    Scenario("memory_publisher", "user memory per publisher, no GOP cache", "bytes_per_peer",
             (Load("publish", publishers=500, bitrate="200k"), Load("publish", publishers=2500, bitrate="200k")),
             gop_bytes=0, servers=RTMP_SERVERS, bars=(Bar("value", 16, 8),)),
    Scenario("memory_player", "user memory per player", "bytes_per_peer",
             (Load("mixed", publishers=1, players=500, bitrate="200k"),
              Load("mixed", publishers=1, players=2500, bitrate="200k")),
             gop_bytes=0, servers=RTMP_SERVERS, bars=(Bar("value", 16, 8),)),
    Scenario("connect", "connect and publish, simple handshake, admission by key", "cpu_per_connection",
             (Load("connect", count=10000, concurrency=50),), keys=True, servers=RTMP_SERVERS, bars=(Bar(NGINX, 1.0, 0.5),)),
    Scenario("connect_digest", "connect and publish, digest handshake, admission by key", "cpu_per_connection",
             (Load("connect", count=10000, concurrency=50, digest=True),), keys=True, servers=RTMP_SERVERS),
    # Players that wait for names nobody publishes are connections that have nothing to do.
    Scenario("idle_10000", "10,000 players wait for streams that nobody publishes", "idle_percent",
             (Load("play", players=10000, streams=100, ramp_s=4.0),), liveness_off=True, settle_s=5.0,
             bars=(Bar("value", 0.1),)),
    Scenario("scale_100", "100 publishers, 5 messages/s each", "cpu_per_message", (slow_publishers(100),), gather_ms=0),
    Scenario("scale_1000", "1000 publishers, 5 messages/s each", "cpu_per_message", (slow_publishers(1000),), gather_ms=0,
             bars=(Bar("scenario:scale_100", 1.1),)),
    Scenario("scale_10000", "10,000 publishers, 5 messages/s each", "cpu_per_message", (slow_publishers(10000),), gather_ms=0,
             bars=(Bar("scenario:scale_1000", 1.1),)),
    # What carries RTMP, and what it adds. A message is a record, or a request, and 1712 bytes on the mean.
    Scenario("plain_500", "500 publishers x 1 Mbit/s as if watched, plain RTMP: for the sums", "cpu_per_gb_in", carried("rtmp"),
             servers=RTMP_SERVERS, gather_ms=0),
    Scenario("rtmps_500", "the same over TLS; nginx: `stream` ends TLS in front of nginx-rtmp", "cpu_per_gb_in", carried("rtmps"),
             servers=RTMP_SERVERS, gather_ms=0, cipher="aes-128-gcm", bars=(Bar(NGINX, 0.5), Bar("predicted:plain_500", 1.25))),
    Scenario("rtmpe_500", "the same over RTMPE", "cpu_per_gb_in", carried("rtmpe"), servers=("penstock",), gather_ms=0,
             cipher="rc4", bars=(Bar("predicted:plain_500", 1.25),)),
    Scenario("plain_500_message", "500 publishers x 1 Mbit/s, plain RTMP: by message", "cpu_per_message", carried("rtmp"),
             servers=("penstock",), gather_ms=0),
    Scenario("rtmpt_500", "the same over RTMPT, a request for each message", "cpu_per_message", carried("rtmpt"),
             servers=("penstock",), gather_ms=0, bars=(Bar("more:plain_500_message", None),)),
    Scenario("workers_1", "200 publishers, 400 players x 1 Mbit/s, one worker", "cpu_per_gb_both",
             (Load("mixed", publishers=200, players=400, bitrate="1M"),), servers=("penstock",), no_gap=True),
    # Twice as many: with half of the load each, the two would coalesce less than the one does.
    Scenario("workers_2", "twice as many over two workers, which share cores with the generator", "cpu_per_gb_both",
             (Load("mixed", publishers=400, players=800, bitrate="1M"),), servers=("penstock",), no_gap=True, workers=2,
             bars=(Bar("capacity:workers_1", 1.7),)),
)
BY_NAME = {scenario.name: scenario for scenario in ALL}


def chosen(names):
    """Scenarios by name, or by the beginning of their names; in the order of ALL."""
    if not names:
        return list(ALL)
    for name in names:
        if not any(scenario.name.startswith(name) for scenario in ALL):
            raise ValueError(f"no scenario {name!r}; there are {', '.join(BY_NAME)}")
    exact = [name for name in names if name in BY_NAME]
    beginnings = tuple(name for name in names if name not in BY_NAME)
    return [scenario for scenario in ALL
            if scenario.name in exact or (beginnings and scenario.name.startswith(beginnings))]
