"""Garbage, stalls and floods at the RTMP port: the one who does it loses its connection, nobody else notices."""
import contextlib
import random
import socket
import struct
import time

import pytest

from processes import PATIENCE, wait_for
from rtmp_peer import COMMAND, RtmpPeer, VIDEO, amf_encode


def dies(peer, seconds=8.0):
    """The connection is ended by the other side."""
    peer.socket.settimeout(seconds * PATIENCE)
    try:
        while peer.socket.recv(65536):
            pass
    except ConnectionError:
        pass
    return True


@pytest.fixture(scope="module")
def watched(penstock, clip, tmp_path_factory):
    """A stream that has to stay as it is while the rest of the file misbehaves."""
    import media
    studio = media.Studio(tmp_path_factory.mktemp("watched"))
    studio.publish(clip, penstock.url("live/calm"), loop=True)
    row = penstock.wait_live("live/calm")
    yield penstock
    assert penstock.stream("live/calm")["stream_id"] == row["stream_id"], "the calm stream was disturbed"
    assert penstock.healthy()
    studio.end_all()


@pytest.mark.smoke
def test_random_bytes(watched):
    chance = random.Random(7)
    for _ in range(60):
        with socket.create_connection(("127.0.0.1", watched.rtmp_port), timeout=5) as peer:
            try:
                peer.sendall(chance.randbytes(chance.choice([1, 7, 100, 1537, 5000])))
            except ConnectionError:
                pass
    wait_for(watched.healthy, what="healthy")
    faults = ("transport_unknown", "transport_disabled", "handshake_version")
    wait_for(lambda: sum(watched.counters()[fault] for fault in faults) > 30, what="most of them are counted")


@pytest.mark.smoke
def test_random_bytes_after_the_handshake(watched):
    chance = random.Random(8)
    for _ in range(60):
        with RtmpPeer(watched.rtmp_port) as peer:
            peer.handshake()
            try:
                for _ in range(20):
                    peer.send(chance.randbytes(chance.choice([1, 20, 300, 4000])))
            except (ConnectionError, BrokenPipeError):
                pass
    assert watched.healthy()


def test_random_amf_in_commands(watched):
    chance = random.Random(9)
    for _ in range(100):
        with RtmpPeer(watched.rtmp_port) as peer:
            peer.handshake()
            body = amf_encode("connect") + amf_encode(1) + chance.randbytes(chance.randrange(200))
            if chance.random() < 0.5:
                body = chance.randbytes(chance.randrange(300))
            try:
                peer.send_message(chance.choice([COMMAND, 17, 18, 15, 16, 19, 22, 4, 1, 5, 6, 2]), body)
                peer.send_message(COMMAND, amf_encode("connect") + amf_encode(1) + amf_encode({"app": "live"}))
            except (ConnectionError, BrokenPipeError):
                pass
    assert watched.healthy()


def test_deeply_nested_amf_is_refused(watched):
    with RtmpPeer(watched.rtmp_port) as peer:
        peer.handshake()
        peer.send_message(1, struct.pack(">I", 65536), chunk_stream_id=2)
        peer.send_message(COMMAND, amf_encode("connect") + amf_encode(1) + b"\x03\x00\x01a" * 5000)
        assert dies(peer)


def test_message_larger_than_the_limit_is_refused_before_it_is_sent(watched):
    with RtmpPeer(watched.rtmp_port) as peer:
        peer.connect("live")
        peer.send(b"\x06" + b"\x00\x00\x00" + b"\xff\xff\xff" + bytes([VIDEO]) + b"\x01\x00\x00\x00" + b"x" * 1000)
        assert dies(peer)
    assert watched.counters()["message_too_large"] > 0


def test_silent_peer_is_dropped_after_the_handshake_time(watched):
    with RtmpPeer(watched.rtmp_port) as peer:
        started = time.monotonic()
        assert dies(peer, 10)
        assert 3 <= time.monotonic() - started <= 9 * PATIENCE
    assert watched.counters()["handshake_timeout"] > 0


def test_unknown_calls_are_answered_and_never_fatal(watched):
    with RtmpPeer(watched.rtmp_port) as peer:
        peer.connect("live")
        values = peer.wait_result(peer.command("noSuchThing", None, "x"))
        assert values[0] == "_error"
        assert peer.create_stream() >= 1, "the connection lives on"


def test_names_that_are_no_names_are_refused(watched):
    for name in ("../../etc/passwd", "a\x00b", "x" * 400, "a\nb"):
        with RtmpPeer(watched.rtmp_port) as peer:
            peer.connect("live")
            stream_id = peer.create_stream()
            peer.command("publish", None, name, "live", stream_id=stream_id)
            try:
                assert peer.wait_status()["level"] == "error", name
            except ConnectionError:
                pass
    assert all("passwd" not in name for name in watched.streams())


def test_command_flood_ends_the_flooder(watched):
    with RtmpPeer(watched.rtmp_port) as peer:
        peer.connect("live")
        try:
            for _ in range(2000):
                peer.command("noSuchThing", None)
        except (ConnectionError, BrokenPipeError):
            pass
        assert dies(peer)


def test_reader_that_reads_nothing_hurts_nobody(watched):
    """It is skipped from keyframe to keyframe, and its queue stays within its bound."""
    with RtmpPeer(watched.rtmp_port) as lazy, RtmpPeer(watched.rtmp_port) as quick, RtmpPeer(watched.rtmp_port) as loud:
        lazy.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        lazy.play("live", "heavy")
        quick.play("live", "heavy")
        watched.wait_subscribers("live/heavy", 2)
        _, stream_id = loud.publish("live", "heavy")
        count = 0
        for number in range(300):
            lead = b"\x17\x01\0\0\0" if number % 10 == 0 else b"\x27\x01\0\0\0"
            loud.send_message(VIDEO, lead + struct.pack(">I", number) + b"x" * 60_000, stream_id, number * 40, 6)
            count += 1
            while quick.read_media().type != VIDEO:
                pass
        rows = watched.subscribers("live/heavy")
        assert max(row["queued_bytes"] for row in rows) <= 4_194_304 + 200_000
        wait_for(lambda: max(row["frames_skipped"] for row in watched.subscribers("live/heavy")) > 0, what="skipped frames")
    assert count == 300


def test_connections_beyond_the_limit_are_refused(make_penstock):
    penstock = make_penstock(limits={"connections_max": 20}).start()
    peers = []
    try:
        for _ in range(60):
            # A refusal is a reset, which on a slow machine may arrive while connect() still waits.
            with contextlib.suppress(ConnectionResetError):
                peers.append(socket.create_connection(("127.0.0.1", penstock.rtmp_port), timeout=2))
        wait_for(lambda: penstock.counters()["connections_refused"] > 0, what="refused connections")
        # Each worker sees the others' number a moment late.
        assert penstock.get("/status")["connections"] <= 20 + len(penstock.workers)
    finally:
        for peer in peers:
            peer.close()
    wait_for(lambda: penstock.get("/status")["connections"] == 0, what="all closed")

    def connects():
        """What waited in the backlog may still be on its way in and out."""
        try:
            with RtmpPeer(penstock.rtmp_port) as peer:
                peer.connect("live")
        except ConnectionError:
            return False
        return True
    wait_for(connects, what="there is room again")


def test_http_garbage_leaves_the_control_process_alive(watched):
    chance = random.Random(10)
    for _ in range(30):
        with socket.create_connection(("127.0.0.1", watched.http_port), timeout=5) as peer:
            try:
                peer.sendall(chance.choice([b"GET / HTTP/9.9\r\n\r\n", chance.randbytes(500), b"A" * 70_000,
                                            b"POST /api/v1/drain HTTP/1.1\r\nContent-Length: -1\r\n\r\n"]))
            except ConnectionError:
                pass
    for path in ("/api/v1/streams/../../x", "/api/v1/connections/99999999999999999999", "/api/v1/connections/-1",
                 "/api/v1/streams?limit=x", "/nothing"):
        status, text = watched.http(path)
        assert 400 <= status < 500, (path, status, text)
    assert watched.healthy() and not watched.get("/status")["draining"]
