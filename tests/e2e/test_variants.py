"""What carries RTMP: TLS, the HTTP tunnel, RTMPE and their combinations, at their own listeners and at the one that takes all
of them; real encoders and players, compared packet by packet."""
import contextlib
import json
import socket
import ssl
import subprocess
import time

import pytest

from certificates import make_certificate
from compare_flv import compare
from processes import PATIENCE, PROGRAMS, Penstock, wait_for

SECURE = ("rtmps", "rtmpts")
RTMPE = ("rtmpe", "rtmpte")
ALL = ("rtmp", "rtmps", "rtmpt", "rtmpts", "rtmpe", "rtmpte")
# librtmp verifies nobody; any hash will do, for a server that never asks.
SWF = ["--swfhash", "4a" * 32, "--swfsize", "4711"]


def ffmpeg_protocols():
    """What this build of it speaks."""
    done = subprocess.run(["ffmpeg", "-hide_banner", "-protocols"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
                          check=False)
    return set(done.stdout.split())


FFMPEG_SPEAKS = [variant for variant in ALL[1:] if variant in ffmpeg_protocols()]


@pytest.fixture(scope="module")
def penstock(tmp_path_factory):
    """All of it switched on."""
    from conftest import end
    folder = tmp_path_factory.mktemp("variants")
    made = Penstock(folder, variants=("rtmps", "rtmpt", "rtmpts"), listen="sniff = true",
                    certificates=[make_certificate(folder / "tls", "penstock.test")], rtmpe=True)
    made.start()
    yield made
    end(made)


def whole(clip, got):
    return compare(clip, got, least=60, from_start=True, to_end=True)


def dump(penstock, studio, variant, name, got, *more, shared=False):
    return studio.start(["rtmpdump", "--live", "--quiet", "-r", penstock.variant_url(variant, name, shared), "-o", got, *more],
                        f"rtmpdump-{variant}")


def transport_of(penstock, name, role):
    return {row["transport"] for row in penstock.connections(name) if row["role"] == role}


# ffmpeg, both sides
# ----------------------------------------------------------------------------------------------------------------------


def ffmpeg_both_ways(penstock, studio, clip, got, variant, shared):
    name = f"live/ff-{variant}-{shared:d}"
    url = penstock.variant_url(variant, name, shared)
    player = studio.play(url, got)
    penstock.wait_subscribers(name, 1)
    publisher = studio.publish(clip, url, realtime=False)
    assert publisher.wait(15) == 0, publisher.output()
    assert player.wait(15) == 0, player.output()
    assert whole(clip, got) == []


@pytest.mark.smoke
@pytest.mark.parametrize("variant", FFMPEG_SPEAKS)
def test_ffmpeg_publishes_and_plays(penstock, studio, clip, tmp_path, variant):
    ffmpeg_both_ways(penstock, studio, clip, tmp_path / "got.flv", variant, shared=False)


@pytest.mark.parametrize("variant", [variant for variant in FFMPEG_SPEAKS if variant not in RTMPE])
def test_ffmpeg_publishes_and_plays_at_the_port_of_rtmp(penstock, studio, clip, tmp_path, variant):
    ffmpeg_both_ways(penstock, studio, clip, tmp_path / "got.flv", variant, shared=True)


def test_who_speaks_what_is_shown(penstock, studio, clip):
    studio.publish(clip, penstock.variant_url("rtmps", "live/shown"), loop=True)
    penstock.wait_live("live/shown")
    studio.play(penstock.variant_url("rtmpt", "live/shown"), "/dev/null")
    penstock.wait_subscribers("live/shown", 1)
    wait_for(lambda: transport_of(penstock, "live/shown", "publisher") == {"rtmps"}, what="rtmps is shown")
    wait_for(lambda: transport_of(penstock, "live/shown", "subscriber") == {"rtmpt"}, what="rtmpt is shown")


# librtmp: rtmpdump plays, GStreamer's rtmpsink publishes
# ----------------------------------------------------------------------------------------------------------------------


@pytest.mark.smoke
@pytest.mark.parametrize("variant", ["rtmpe", "rtmpt", "rtmpte", "rtmps"])
def test_rtmpdump_plays(penstock, studio, clip, tmp_path, variant):
    name = f"live/dump-{variant}"
    player = dump(penstock, studio, variant, name, tmp_path / "got.flv")
    penstock.wait_subscribers(name, 1)
    assert studio.publish(clip, penstock.url(name), realtime=False).wait() == 0
    assert player.wait(15) == 0, player.output()
    assert whole(clip, tmp_path / "got.flv") == []


@pytest.mark.parametrize("variant", ["rtmpt", "rtmpte", "rtmps"])
def test_rtmpdump_plays_at_the_port_of_rtmp(penstock, studio, clip, tmp_path, variant):
    name = f"live/dump-one-{variant}"
    player = dump(penstock, studio, variant, name, tmp_path / "got.flv", shared=True)
    penstock.wait_subscribers(name, 1)
    assert studio.publish(clip, penstock.url(name), realtime=False).wait() == 0
    assert player.wait(15) == 0, player.output()
    assert whole(clip, tmp_path / "got.flv") == []


@pytest.mark.parametrize("variant", ["rtmp", "rtmpe"])
def test_rtmpdump_with_the_handshake_of_swf_verification(penstock, studio, clip, tmp_path, variant):
    name = f"live/swf-{variant}"
    player = dump(penstock, studio, variant, name, tmp_path / "got.flv", *SWF)
    penstock.wait_subscribers(name, 1)
    assert studio.publish(clip, penstock.url(name), realtime=False).wait() == 0
    assert player.wait(15) == 0, player.output()
    assert whole(clip, tmp_path / "got.flv") == []


@pytest.mark.parametrize("variant", ["rtmpe", "rtmpt", "rtmpte"])
def test_rtmpsink_publishes(penstock, studio, clip, tmp_path, variant):
    name = f"live/sink-{variant}"
    player = studio.play(penstock.url(name), tmp_path / "got.flv")
    penstock.wait_subscribers(name, 1)
    publisher = studio.start(["gst-launch-1.0", "-q", "filesrc", f"location={clip}", "!", "flvdemux", "name=d", "d.video", "!",
                              "queue", "!", "h264parse", "!", "mux.", "d.audio", "!", "queue", "!", "aacparse", "!", "mux.",
                              "flvmux", "name=mux", "streamable=true", "!", "tee", "name=t", "t.", "!", "queue", "!",
                              "filesink", f"location={tmp_path}/sent.flv", "t.", "!", "queue", "!", "rtmpsink",
                              f"sync={json.dumps(variant != 'rtmpe')}",
                              f"location={penstock.variant_url(variant, name)} live=1"], "gst-sink")
    assert publisher.wait(20) == 0, publisher.output()
    # In a tunnel it reads no answers, so that its close is a reset, which takes along what its host or ours still has; and
    # with that the end of the stream, if it was there.
    row = next((row for row in penstock.connections(name) if row["role"] == "publisher"), None)
    if row is not None and variant != "rtmpe":
        time.sleep(0.5 * PATIENCE)
        penstock.cli("connection", "kick", row["connection_id"])
    assert player.wait(15) == 0, player.output()
    assert compare(tmp_path / "sent.flv", tmp_path / "got.flv", least=60, from_start=True, to_end=variant == "rtmpe") == []


def test_gstreamer_publishes_and_plays_rtmps(penstock, studio, clip, tmp_path):
    url = penstock.variant_url("rtmps", "live/gst-rtmps")
    player = studio.start(["gst-launch-1.0", "-q", "rtmp2src", f"location={url}", "tls-validation-flags=0", "!", "filesink",
                           f"location={tmp_path}/got.flv"], "gst-play")
    penstock.wait_subscribers("live/gst-rtmps", 1)
    publisher = studio.start(["gst-launch-1.0", "-q", "filesrc", f"location={clip}", "!", "flvdemux", "name=d", "d.video", "!",
                              "queue", "!", "h264parse", "!", "mux.", "d.audio", "!", "queue", "!", "aacparse", "!", "mux.",
                              "flvmux", "name=mux", "streamable=true", "!", "tee", "name=t", "t.", "!", "queue", "!",
                              "filesink", f"location={tmp_path}/sent.flv", "t.", "!", "queue", "!", "rtmp2sink",
                              "tls-validation-flags=0", "sync=false", f"location={url}"], "gst-sink")
    assert publisher.wait(20) == 0, publisher.output()
    assert player.wait(15) == 0, player.output()
    # rtmp2src drops what it has not handed on when the end of the stream comes right behind it; so it does over plain RTMP.
    assert compare(tmp_path / "sent.flv", tmp_path / "got.flv", least=60, from_start=True) == []


# penstock-load: what no installed encoder can do
# ----------------------------------------------------------------------------------------------------------------------


def load(penstock, variant, *arguments, port=None):
    server = f"127.0.0.1:{port}" if port else penstock.variant_url(variant, "").split("/")[2]
    done = subprocess.run([PROGRAMS / "penstock-load", "--variant", variant, "--server", server, *map(str, arguments), "--json"],
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                          timeout=30 * PATIENCE, check=False)
    return done.returncode, done.stdout, done.stderr


@pytest.mark.smoke
@pytest.mark.parametrize("variant", ALL)
def test_load_has_no_gap(penstock, variant):
    code, out, err = load(penstock, variant, "mixed", "--publishers", 3, "--players", 6, "--name", f"load-{variant}",
                          "--ramp-s", 0.1, "--warmup-s", 0.4, "--duration-s", 1, "--expect", "gaps=0", "--expect",
                          "streams_without_gap=3", "--expect", "players_held=6", "--expect", "errors=0")
    assert code == 0, out + err
    report = json.loads(out)
    assert report["variant"] == variant
    assert report["messages_received"] >= 6 * 60


@pytest.mark.parametrize("variant", RTMPE)
def test_load_publishes_what_rtmpdump_plays(penstock, studio, clip, tmp_path, variant):
    name = f"live/real-{variant}-0"
    player = dump(penstock, studio, variant, name, tmp_path / "got.flv")
    penstock.wait_subscribers(name, 1)
    # Less than the clip has, so that it is not in its second turn.
    code, out, err = load(penstock, variant, "publish", "--flv", clip, "--publishers", 1, "--name", f"real-{variant}", "--ramp-s",
                          0, "--warmup-s", 0, "--duration-s", 2, "--expect", "publishers_held=1")
    assert code == 0, out + err
    # 2: it is not complete, for the publisher was reset in its midst.
    assert player.wait(15) in (0, 2), player.output()
    assert compare(clip, tmp_path / "got.flv", least=30, from_start=True) == []


@pytest.mark.parametrize("variant", ["rtmpt", "rtmps", "rtmpe"])
def test_load_blasts_and_comes_and_goes(penstock, variant):
    code, out, err = load(penstock, variant, "blast", "--publishers", 2, "--name", f"blast-{variant}", "--ramp-s", 0, "--warmup-s",
                          0.2, "--duration-s", 0.5, "--expect", "publishers_held=2", "--expect", "bytes_sent>1M")
    assert code == 0, out + err
    code, out, err = load(penstock, variant, "connect", "--count", 20, "--concurrency", 4, "--name", f"connect-{variant}",
                          "--expect", "opened=20", "--expect", "failed=0")
    assert code == 0, out + err
    # Tunnels were closed, and do not wait for a timeout.
    wait_for(lambda: not any(stream.startswith(f"live/connect-{variant}") for stream in penstock.streams()), 5, "all have gone")


def test_load_says_who_does_not_speak_the_variant(penstock):
    code, _, err = load(penstock, "rtmpt", "publish", "--publishers", 1, "--name", "wrong",
                        port=penstock.variant_ports["rtmps"])
    assert code == 3 and "--variant" in err


# Switches
# ----------------------------------------------------------------------------------------------------------------------


HELLO = {
    "tls": b"\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00",
    "http": b"POST /open/1 HTTP/1.1\r\nHost: penstock\r\nContent-Type: application/x-fcs\r\nContent-Length: 1\r\n\r\n\x00",
    "rtmpe": b"\x06" + bytes(1536),
}


def hung_up(port, hello, through=None):
    """True when the other side closes, whatever it says before."""
    with socket.create_connection(("127.0.0.1", port), timeout=5 * PATIENCE) as raw:
        peer = through(raw) if through else raw
        peer.sendall(hello)
        try:
            while peer.recv(4096):
                pass
        except OSError:
            pass
        return True


@pytest.mark.smoke
@pytest.mark.parametrize("sniff", [True, False])
def test_what_is_switched_off_is_refused_counted_and_noticed_by_nobody_else(make_penstock, studio, clip, tmp_path, sniff):
    """With `sniff` but no certificate the tunnel is there; without it, RTMP alone."""
    plain = make_penstock(listen=f"sniff = {json.dumps(sniff)}").start()
    player = studio.play(plain.url("live/beside"), tmp_path / "got.flv")
    plain.wait_subscribers("live/beside", 1)
    publisher = studio.publish(clip, plain.url("live/beside"))
    plain.wait_live("live/beside")
    refused = ["tls", "rtmpe"] if sniff else ["tls", "http", "rtmpe"]
    faults = ["transport_disabled"] if sniff else ["transport_disabled", "transport_unknown", "handshake_version"]

    def counted():
        counters = plain.counters()
        return sum(counters[fault] for fault in faults)
    before = counted()
    for number, kind in enumerate(refused, 1):
        assert hung_up(plain.rtmp_port, HELLO[kind])
        wait_for(lambda: counted() == before + number, what=f"{kind} is counted: {plain.counters()}")
    assert publisher.wait() == 0 and player.wait() == 0
    assert whole(clip, tmp_path / "got.flv") == []


def test_rtmpe_in_a_tunnel_has_the_same_switch(make_penstock, studio):
    plain = make_penstock(listen="sniff = true", rtmpe=False).start()
    code, _, err = load(plain, "rtmpte", "publish", "--publishers", 1)
    assert code == 3, err
    wait_for(lambda: plain.counters()["transport_disabled"] >= 1, what="it is counted")
    assert load(plain, "rtmpt", "publish", "--publishers", 1, "--ramp-s", 0, "--warmup-s", 0, "--duration-s", 0.2)[0] == 0


def test_listeners_of_one_variant_take_no_other(make_penstock, tmp_path):
    own = make_penstock(variants=("rtmps", "rtmpt", "rtmpts"), listen="sniff = false",
                        certificates=[make_certificate(tmp_path, "penstock.test")], rtmpe=False).start()
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE

    def secure(raw):
        return context.wrap_socket(raw)
    before = own.counters()["transport_disabled"]
    cases = [("rtmps", b"\x03" + bytes(1536), None), ("rtmps", HELLO["http"], None), ("rtmpt", b"\x03" + bytes(1536), None),
             ("rtmpt", HELLO["tls"], None), ("rtmpts", HELLO["http"], None), ("rtmps", HELLO["http"], secure),
             ("rtmpts", b"\x03" + bytes(1536), secure)]
    for number, (variant, hello, through) in enumerate(cases, 1):
        assert hung_up(own.variant_ports[variant], hello, through)
        wait_for(lambda: own.counters()["transport_disabled"] == before + number, what=f"{variant} {hello[:9]}")


def test_garbage_is_counted_and_closed(penstock):
    before = penstock.counters()["transport_unknown"]
    assert hung_up(penstock.rtmp_port, b"SSH-2.0-scanner\r\n")
    wait_for(lambda: penstock.counters()["transport_unknown"] == before + 1, what="it is counted")


def test_unfinished_requests_leave_room_for_others(make_penstock):
    """Each takes a place; who has shown nothing has a quarter of them, for handshake_ms."""
    own = make_penstock(variants=("rtmpt",), limits={"connections_max": 80}, workers=[0],
                        more="[liveness]\nhandshake_ms = 1500").start()
    halves = [socket.create_connection(("127.0.0.1", own.variant_ports["rtmpt"])) for _ in range(60)]
    for half in halves:
        with contextlib.suppress(ConnectionError):  # some may have been told to go already
            half.sendall(b"POST /open/1 HTTP/1.1\r\nHost")
    wait_for(lambda: own.counters()["http_timeout"] >= 30, what="those above a quarter have gone")
    assert own.counters()["carriers"] <= 20
    for variant, port in (("rtmp", own.rtmp_port), ("rtmpt", own.variant_ports["rtmpt"])):
        assert load(own, variant, "mixed", "--publishers", 2, "--players", 2, "--ramp-s", 0, "--warmup-s", 0, "--duration-s", 0.5,
                    "--expect", "gaps=0", port=port)[0] == 0
    wait_for(lambda: own.counters()["http_timeout"] >= 60, what="all of them have gone")
    for half in halves:
        half.close()


def test_rtmpe_is_said_to_be_no_security(penstock):
    assert "rtmpe" in penstock.cli("status").out.lower()
    assert "RTMPE" in penstock.dataplane.output() + penstock.control.output()
