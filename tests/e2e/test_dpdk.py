"""The DPDK engine with its own TCP, over a cable between two namespaces: the kernel's TCP is the other side."""
import contextlib
import json
import os
import random
import re
import signal
import socket
import struct
import subprocess
import threading
import time

import pytest

import conftest
import namespaces
from compare_flv import compare, places, read_packets
from dpdk_penstock import DpdkPenstock
from media import make_clip
from processes import ALARMS, PATIENCE, PROGRAMS, WORKERS, Run, wait_for
from rtmp_peer import RtmpPeer
# What any engine must do, once more over this one.
from test_media import (  # noqa: F401  pylint: disable=unused-import
    test_ffmpeg_to_ffmpeg_is_byte_equal_from_first_to_last_packet, test_ffprobe_finds_codecs_and_size,
    test_gstreamer_plays_what_ffmpeg_publishes, test_gstreamer_publishes_and_plays, test_ipv6_listener_serves_the_same,
    test_late_joiner_gets_metadata_headers_and_a_keyframe_first, test_late_joiners_recording_is_a_run_of_what_was_sent,
    test_players_end_by_themselves_when_the_publisher_goes, test_publisher_reconnects_and_a_waiting_player_goes_on,
    test_publisher_that_vanishes_without_a_word_is_gone_too, test_rtmpdump_plays,
    test_second_publisher_of_a_name_is_refused_and_the_first_goes_on, test_two_racing_publishers_leave_exactly_one)
from test_media import test_ten_players_over_two_workers_all_get_everything as ten_players_over_two_workers


@pytest.fixture(scope="module")
def there():
    """The namespaces; the tests of this file are on the peer's side of them."""
    missing = namespaces.Namespaces.missing()
    if missing:
        pytest.skip(missing)
    made = namespaces.Namespaces(queues=2)
    host, RtmpPeer.HOST = RtmpPeer.HOST, namespaces.DUT4
    try:
        made.up()
        with made.entered(made.peer):
            yield made
    finally:
        RtmpPeer.HOST = host
        made.down()


@pytest.fixture(scope="module")
def penstock(there, tmp_path_factory):
    """One worker, for all tests that do not kill or configure; a device has one user at a time."""
    made = DpdkPenstock(tmp_path_factory.mktemp("dpdk"), there, workers=WORKERS[:1])
    try:
        made.start()
    except BaseException:
        print(made.logs())
        made.abandon()
        raise
    yield made
    conftest.end(made)


@pytest.fixture
def own(there, penstock, tmp_path_factory):
    """Like `penstock`, for one test alone; that one rests meanwhile."""
    conftest.end(penstock)
    all_made = []

    def make(**settings):
        made = DpdkPenstock(tmp_path_factory.mktemp("dpdk"), there, **settings)
        all_made.append(made)
        return made

    yield make
    for made in all_made:
        conftest.end(made)
    penstock.start()


def load(penstock, seconds, *arguments):
    done = subprocess.run([PROGRAMS / "penstock-load", *arguments, "--server", f"{penstock.host}:{penstock.rtmp_port}",
                           "--duration-s", str(seconds), "--json"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True, timeout=60 * PATIENCE, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout)


def ping(address, *more):
    return subprocess.run(["ping", "-n", "-c", "3", "-i", "0.2", "-W", "2", *map(str, more), address],
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)


@pytest.mark.smoke
@pytest.mark.parametrize("address", [namespaces.DUT4, namespaces.DUT6])
@pytest.mark.parametrize("payload_bytes", [8, 1400])
def test_pings_are_answered(penstock, address, payload_bytes):
    done = ping(address, "-s", payload_bytes)
    assert "3 received" in done.stdout, done.stdout


def test_what_gstreamer_publishes_from_a_file_comes_packet_by_packet(penstock, studio, clip, tmp_path):
    url = penstock.url("live/gstfile")
    player = studio.play(url, tmp_path / "got.flv")
    penstock.wait_subscribers("live/gstfile", 1)
    publisher = studio.start(["gst-launch-1.0", "-q", "flvmux", "name=mux", "streamable=true", "!", "rtmp2sink",
                              f"location={url}", "filesrc", f"location={clip}", "!", "flvdemux", "name=d", "d.video",
                              "!", "queue", "!", "h264parse", "!", "mux.", "d.audio", "!", "queue", "!", "aacparse",
                              "!", "mux."], "gst-publish")
    assert publisher.wait(20) == 0, publisher.output()
    assert player.wait(10) == 0, player.output()
    # By content alone: GStreamer writes timestamps of its own.
    sent, got = read_packets(clip), read_packets(tmp_path / "got.flv")
    for kind in ("video", "audio"):
        assert len(got[kind]) >= 60 and places(sent[kind], got[kind]) == [0], (kind, len(sent[kind]), len(got[kind]))


def test_workers_counters_and_metrics_show_the_device(penstock, studio, clip):
    studio.publish(clip, penstock.url("live/shown"), loop=True)
    penstock.wait_live("live/shown")
    link = wait_for(lambda: (lambda row: row if row["numbers"]["tcp"].get("packets_in") else None)(penstock.link()),
                    what="numbers of the link")
    assert link["up"] and link["driver"] == "net_af_packet" and link["device"].startswith("net_af_packet0"), link
    assert link["numbers"]["engine"]["packets_received"] > 0
    assert link["numbers"]["device"]["rx_good_packets"] > 0
    text = penstock.cli("workers").out
    assert "net_af_packet0" in text and "PACKETS IN" in text and "SENT AGAIN" in text, text
    assert "tcp.packets_in" in penstock.cli("workers", "--numbers").out
    assert "dpdk.address" in penstock.cli("config", "show").out
    metrics = penstock.http("/metrics")[1]
    for series in ('penstock_link_up{worker="0",device="net_af_packet0', 'penstock_tcp_total{worker="0",counter="packets_in"}',
                   'penstock_engine_total{worker="0",counter="packets_received"}', "penstock_device_total{device="):
        assert series in metrics, series


def test_a_changed_section_waits_for_a_restart_of_penstockd(penstock):
    text = penstock.config_path.read_text()
    try:
        penstock.config_path.write_text(text.replace("memory_mb = 256", "memory_mb = 300"))
        done = penstock.cli("config", "reload")
        assert done.code == 0 and "penstockd is restarted: dpdk.memory_mb" in done.out, done.out + done.err
        penstock.config_path.write_text(text.replace('"10.99.0.2/24"', '"10.99.0.2"'))
        done = penstock.cli("config", "reload")
        assert done.code != 0 and "penstock.toml:" in done.err and "as in \"10.99.0.2/24\"" in done.err, done.err
    finally:
        penstock.config_path.write_text(text)
        assert penstock.cli("config", "reload").code == 0


def nonsense(dice, mac, own_mac, port):
    """A frame that is wrong somewhere: at every layer, and now and then at none."""
    def address6(text):
        return socket.inet_pton(socket.AF_INET6, text)

    source, target = socket.inet_aton(namespaces.PEER4), socket.inet_aton(namespaces.DUT4)
    ethernet = mac + own_mac
    kind = dice.randrange(9)
    noise = dice.randbytes(dice.choice((0, 1, 7, 20, 60, 400, 1400)))
    if kind == 0:
        return dice.randbytes(dice.randrange(14, 1500))
    if kind == 1:
        return ethernet + struct.pack("!H", dice.choice((0x0800, 0x0806, 0x86DD, 0x8100, 0x88A8, 5))) + noise
    if kind == 2:  # ARP with other sizes and orders
        return ethernet + b"\x08\x06" + struct.pack("!HHBBH", 1, dice.choice((0x0800, 0x86DD)), dice.choice((6, 0, 255)), 4,
                                                    dice.randrange(9)) + dice.randbytes(dice.randrange(40))
    segment = struct.pack("!HHIIBBHHH", dice.randrange(1, 65536), port, dice.getrandbits(32), dice.getrandbits(32),
                          dice.randrange(256) & 0xF0, dice.randrange(256), dice.randrange(65536), dice.randrange(65536), 0)
    if kind in (3, 4, 5, 6):  # IPv4
        protocol = dice.choice((6, 6, 6, 1, 17, 2, 255))
        body = (segment if protocol == 6 else b"") + dice.randbytes(dice.randrange(40)) + noise
        length = 20 + len(body) if kind != 4 else dice.randrange(65536)
        header = struct.pack("!BBHHHBBH4s4s", 0x45 if kind != 5 else dice.randrange(256), 0, length, 7,
                             0 if kind != 6 else dice.randrange(65536), 64, protocol, 0, source, target)
        total = sum(struct.unpack(f"!{len(header) // 2}H", header))
        total = (total & 0xFFFF) + (total >> 16)
        total = ~((total & 0xFFFF) + (total >> 16)) & 0xFFFF
        return (ethernet + b"\x08\x00" + header[:10] + struct.pack("!H", total) + header[12:] + body)[:1514]
    following = dice.choice((6, 58, 58, 0, 43, 44, 60, 59, 17))
    body = (segment if following == 6 else dice.randbytes(8)) + noise
    length = len(body) if kind == 7 else dice.randrange(65536)
    header = struct.pack("!IHBB16s16s", 6 << 28, length, following, 255, address6(namespaces.PEER6), address6(namespaces.DUT6))
    return (ethernet + b"\x86\xdd" + header + body)[:1514]


@pytest.mark.smoke
def test_garbage_on_the_cable_disturbs_nobody(there, penstock, studio, clip, tmp_path):
    player = studio.play(penstock.url("live/noise"), tmp_path / "got.flv")
    penstock.wait_subscribers("live/noise", 1)
    assert "3 received" in ping(namespaces.DUT4).stdout
    macs = [bytes.fromhex(json.loads(there_ip("-j", "link", "show", interface))[0]["address"].replace(":", ""))
            for there_ip, interface in ((lambda *a: there.inside_dut("ip", *a), there.dut_interface),
                                        (lambda *a: there.inside_peer("ip", *a), there.peer_interface))]
    publisher = studio.publish(clip, penstock.url("live/noise"))
    penstock.wait_live("live/noise")
    before = penstock.numbers("tcp")
    dice = random.Random(5)
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as raw:
        raw.bind((there.peer_interface, 0))
        sent = 0
        while publisher.running() and sent < 20_000:
            for _ in range(50):
                raw.send(nonsense(dice, *macs, penstock.rtmp_port))
                sent += 1
    assert publisher.wait(15) == 0, publisher.output()
    assert player.wait(15) == 0, player.output()
    assert compare(clip, tmp_path / "got.flv", least=60, from_start=True, to_end=True) == []
    assert "3 received" in ping(namespaces.DUT4).stdout
    assert "3 received" in ping(namespaces.DUT6).stdout
    wait_for(lambda: penstock.numbers("tcp")["malformed"] - before.get("malformed", 0) > sent / 50, what="what was malformed")
    after = penstock.numbers("tcp")
    assert after["tcp_checksum_bad"] > before.get("tcp_checksum_bad", 0), after
    assert after["ip_fragments"] > before.get("ip_fragments", 0), after


@pytest.mark.smoke
def test_a_thousand_connections_without_a_gap(penstock):
    # Ten frames a second each: with the 73 of a usual stream the kernel drops packets in front of the device where a worker
    # has a sixth of a core, and the test is one of the machine. With a tenth of a core these still all arrive.
    report = load(penstock, 5, "mixed", "--publishers", "500", "--players", "500", "--bitrate", "50k", "--video-fps", "5",
                  "--audio-fps", "5", "--ramp-s", "5", "--warmup-s", "2")
    assert report["publishers"]["held"] == 500 and report["players"]["held"] == 500, report
    # On a machine with other work a player may be behind at the end; nobody has missed anything.
    assert report["messages_missing"] == 0 and report["gaps"] == report["players_stalled"], report
    assert report["connections"]["closed_by_server"] == 0, report
    # Half of them come and half go by RST; nobody is left.
    wait_for(lambda: not penstock.streams() and penstock.counters()["connections"] == 0, 20, "all connections are gone")


@pytest.mark.smoke
def test_a_killed_data_plane_comes_back_on_the_same_device(own, studio, clip, tmp_path):
    penstock = own(workers=WORKERS[:1]).start()
    lost = studio.publish(clip, penstock.url("live/lost"), loop=True, label="lost")
    penstock.wait_live("live/lost")
    penstock.kill_dataplane()
    penstock.start_dataplane()
    assert "not stop cleanly" in penstock.dataplane.output()
    wait_for(penstock.healthy, what="control has it again")
    # The segments of its old connection belong to nobody now and are reset: the encoder knows at once.
    assert lost.wait(15) != 0
    player = studio.play(penstock.url("live/back"), tmp_path / "got.flv")
    penstock.wait_subscribers("live/back", 1)
    assert studio.publish(clip, penstock.url("live/back"), realtime=False).wait() == 0
    assert player.wait() == 0, player.output()
    assert compare(clip, tmp_path / "got.flv", least=60, from_start=True, to_end=True) == []


def two_queues(there):
    return [f"net_af_packet0,iface={there.dut_interface},qpairs=2,framesz=2048,framecnt=16384"]


@pytest.mark.skipif(len(WORKERS) < 2, reason="one core only: there are no two workers")
def test_a_stop_resets_nobody_whose_packets_come_in_the_other_workers_queue(own, there):
    penstock = own(devices=two_queues(there)).start()
    peers = {}
    for number in range(20):
        peer = RtmpPeer(penstock.rtmp_port)
        assert peer.publish("live", f"stop-{number}")[0] == "NetStream.Publish.Start"
        peers[peer.socket.getsockname()[1]] = peer
    rows = wait_for(lambda: (lambda rows: rows if len(rows) == len(peers) else None)(penstock.connections()),
                    what="all connections are shown")
    # Those of one worker go: it has nothing left to do at the stop but for the others.
    for row in rows:
        if row["worker"] == 1:
            peers.pop(int(row["peer"].rsplit(":", 1)[1])).close()
    assert 0 < len(peers) < 20, rows
    wait_for(lambda: len(penstock.connections()) == len(peers), what="the others are gone")
    penstock.dataplane.child.send_signal(signal.SIGTERM)
    for peer in peers.values():
        while peer.socket.recv(65536):
            pass
        peer.socket.shutdown(socket.SHUT_WR)
    assert penstock.dataplane.wait() == 0
    errors = [peer.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) for peer in peers.values()]
    for peer in peers.values():
        peer.close()
    assert errors == [0] * len(peers)


@pytest.mark.skipif(len(WORKERS) < 2, reason="one core only: there are no two workers")
# AF_XDP not in tools/test: on a busy machine its queues sometimes stay deaf from their start on.
@pytest.mark.parametrize("driver", ["af_packet", pytest.param("af_xdp", marks=pytest.mark.measures)])
def test_ten_players_over_two_workers_all_get_everything(own, there, studio, clip, tmp_path, driver):
    devices = {"af_packet": two_queues(there),
               "af_xdp": [f"net_af_xdp{queue},iface={there.dut_interface},start_queue={queue}" for queue in (0, 1)]}[driver]
    penstock = own(devices=devices).start()
    ten_players_over_two_workers(penstock, studio, clip, tmp_path)


def test_other_ports_are_the_kernels_where_there_is_an_exception_interface(own, there):
    penstock = own(workers=WORKERS[:1], dpdk='exception_interface = "penstock0"').start()
    # A card would be the engine's alone. Of this interface the kernel sees all packets, too, and must take them from the
    # exception interface only.
    there.inside_dut("sysctl", "-qw", f"net.ipv4.conf.{there.dut_interface}.rp_filter=1",
                     f"net.ipv4.conf.{there.dut_interface}.arp_ignore=1")
    there.inside_dut("ip", "addr", "add", f"{namespaces.DUT4}/{namespaces.BITS4}", "dev", "penstock0")
    there.inside_dut("ip", "link", "set", "penstock0", "up")
    page = penstock.folder / "page"
    page.mkdir()
    (page / "said").write_text("by the kernel")
    server = Run(["ip", "netns", "exec", there.dut, "/usr/bin/python3", "-m", "http.server", "8080", "--bind",
                  namespaces.DUT4, "--directory", page], penstock.folder / "server.txt")
    try:
        def ask():
            done = subprocess.run(["curl", "-s", "-m", "3", f"http://{namespaces.DUT4}:8080/said"],
                                  stdout=subprocess.PIPE, text=True, check=False)
            return done.stdout == "by the kernel"
        wait_for(ask, 15, "the kernel's answer through the exception interface")
        with RtmpPeer(penstock.rtmp_port) as peer:
            assert peer.publish("live", "beside")[0] == "NetStream.Publish.Start"
        wait_for(lambda: penstock.numbers("engine")["exceptions_sent"] > 0, what="they are counted")
    finally:
        server.kill_if_running()


BAD_STARTS = {
    "no such interface": ("iface=dut0", "iface=nothing0", "no network interface 'nothing0'"),
    "no interface": ("iface=dut0,", "", "which interface?"),
    "no such driver": ("net_af_packet0", "net_warp0", "librte-net-warp"),
    "no such card": ("net_af_packet0,iface=dut0,framesz=2048,framecnt=16384", "0000:fe:1f.7", "no such PCI device"),
    "more than there is": ("hugepages = false\nmemory_mb = 256", "hugepages = true\nmemory_mb = 1000000", "vm.nr_hugepages="),
}


@pytest.mark.parametrize("case", BAD_STARTS)
def test_what_cannot_be_started_is_one_line_with_a_way_out(own, case):
    penstock = own(workers=WORKERS[:1])
    before, after, said = BAD_STARTS[case]
    text = penstock.config_path.read_text()
    assert before in text
    penstock.config_path.write_text(text.replace(before, after))
    done = subprocess.run(penstock.command("penstockd"), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, timeout=20 * PATIENCE, check=False)
    assert done.returncode == 1 and not ALARMS.search(done.stdout), done.stdout
    assert said in done.stdout.splitlines()[-1], done.stdout
    assert len(done.stdout.splitlines()) == 1, done.stdout


# -- a long way --

CONNECTIONS, LONG_S = 8, 15


@pytest.fixture
def far(tmp_path_factory):
    """Starts cable.py with its arguments in a way of its own; the test is at the peer's end."""
    missing = namespaces.Namespaces.missing()
    if missing:
        pytest.skip(missing)
    made = namespaces.Namespaces(f"penstock{os.getpid()}f", far=True)
    cables = []

    def lay(*arguments):
        cables.append(Run(["ip", "netns", "exec", made.way, namespaces.HERE / "cable.py", "way0", "way1", *arguments],
                          tmp_path_factory.mktemp("cable") / "cable.txt"))
        return made

    try:
        made.up()
        with made.entered(made.peer):
            yield lay
    finally:
        for cable in cables:
            cable.kill_if_running()
        made.down()


def kernel_bits_per_second(there):
    """What the kernel's TCP sends over the same way with the same congestion control, by CONNECTIONS at once."""
    def feed(connection):
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, b"cubic")
        block = bytes(1 << 16)
        with contextlib.suppress(OSError):
            while True:
                connection.sendall(block)

    got = [0] * CONNECTIONS

    def drain(number, connection, until):
        connection.settimeout(2)
        with contextlib.suppress(OSError):
            while time.monotonic() < until:
                got[number] += len(connection.recv(1 << 16))
        connection.close()

    there.inside_dut("ip", "addr", "add", f"{namespaces.DUT4}/{namespaces.BITS4}", "dev", there.dut_interface)
    with there.entered(there.dut):
        listener = socket.create_server((namespaces.DUT4, 5000), backlog=CONNECTIONS)
    with listener:
        receivers = [socket.create_connection((namespaces.DUT4, 5000), timeout=10) for _ in range(CONNECTIONS)]
        until = time.monotonic() + LONG_S
        for _ in receivers:
            threading.Thread(target=feed, args=(listener.accept()[0],), daemon=True).start()
        drains = [threading.Thread(target=drain, args=(number, connection, until))
                  for number, connection in enumerate(receivers)]
        for one in drains:
            one.start()
        for one in drains:
            one.join()
    there.inside_dut("ip", "addr", "del", f"{namespaces.DUT4}/{namespaces.BITS4}", "dev", there.dut_interface)
    return sum(got) * 8 / LONG_S


@pytest.fixture
def far_penstock(far, tmp_path_factory):
    all_made = []

    def make(there):
        made = DpdkPenstock(tmp_path_factory.mktemp("dpdk"), there, workers=WORKERS[:1])
        all_made.append(made)
        return made.start()

    host, RtmpPeer.HOST = RtmpPeer.HOST, namespaces.DUT4
    yield make
    RtmpPeer.HOST = host
    for made in all_made:
        conftest.end(made)


def test_media_comes_unchanged_over_a_long_and_lossy_way(far, far_penstock, studio, clip, tmp_path):
    penstock = far_penstock(far("--delay-ms", "25", "--loss-there", "0.01", "--loss-back", "0.01"))
    player = studio.play(penstock.url("live/far"), tmp_path / "got.flv")
    penstock.wait_subscribers("live/far", 1)
    assert studio.publish(clip, penstock.url("live/far")).wait(60) == 0
    assert player.wait(60) == 0, player.output()
    assert compare(clip, tmp_path / "got.flv", least=60, from_start=True, to_end=True) == []


@pytest.mark.measures
def test_players_behind_50_ms_and_1_percent_of_loss_get_what_the_kernel_would_send(far, far_penstock):
    there = far("--delay-ms", "25", "--loss-there", "0.01")
    kernel = kernel_bits_per_second(there)
    penstock = far_penstock(there)
    # More than such a way lets through: what comes is what our TCP sends.
    report = load(penstock, LONG_S, "mixed", "--publishers", str(CONNECTIONS), "--players", str(CONNECTIONS), "--bitrate", "6M",
                  "--ramp-s", "2", "--warmup-s", "4")
    ours = report["bytes_received"] * 8 / LONG_S
    numbers = penstock.numbers("tcp")
    print(f"goodput of {CONNECTIONS}: kernel {kernel / 1e6:.1f} Mbit/s, ours {ours / 1e6:.1f} Mbit/s")
    assert ours >= 0.7 * kernel, (ours, kernel, numbers)
    assert numbers["segments_retransmitted"] > 0 and numbers["timeouts"] < numbers["segments_retransmitted"] / 5, numbers


@pytest.mark.measures
def test_a_publisher_of_6_mbit_behind_200_ms_does_not_fall_behind(far, far_penstock):
    penstock = far_penstock(far("--delay-ms", "100"))
    report = load(penstock, LONG_S, "publish", "--publishers", "1", "--bitrate", "6M", "--warmup-s", "4")
    assert report["publishers"] == {"wanted": 1, "held": 1}
    assert report["bytes_sent"] * 8 / LONG_S > 0.97 * 6e6, report
    # A keyframe is more than the way holds: it takes a round trip or two, over the kernel's TCP as well (190 ms).
    assert report["schedule_lag_ms"]["max"] < 600 * PATIENCE, report


# -- a link that goes --


# Not in tools/test: of three runs one publisher was not heard again within the 10 s after which it counts as gone. Not understood yet.
@pytest.mark.measures
def test_a_link_that_goes_and_comes_back_loses_nothing(there, penstock, studio, tmp_path):
    def link_of_the_peer(state):
        there.inside_peer("ip", "link", "set", there.peer_interface, state)

    # Else the kernel forgets them with the link, and other tests need them.
    there.inside_peer("sysctl", "-qw", f"net.ipv6.conf.{there.peer_interface}.keep_addr_on_down=1")
    clip = make_clip(tmp_path / "clip.flv", seconds=8)
    player = studio.play(penstock.url("live/unplugged"), tmp_path / "got.flv")
    penstock.wait_subscribers("live/unplugged", 1)
    publisher = studio.publish(clip, penstock.url("live/unplugged"))
    penstock.wait_live("live/unplugged")
    assert penstock.link()["up"]
    try:
        link_of_the_peer("down")
        wait_for(lambda: not penstock.link()["up"], what="the link is shown as down")
        text = penstock.cli("workers").out
        assert re.search(r"net_af_packet0\S*\s+down\s", text), text
        assert re.search(r'penstock_link_up\{worker="0",device="net_af_packet0[^}]*\} 0\b', penstock.http("/metrics")[1])
        # So long that the publisher times out and sends again into nothing; the streams are held meanwhile.
        time.sleep(2)
        assert len(penstock.connections("live/unplugged")) == 2 and penstock.stream("live/unplugged")
    finally:
        link_of_the_peer("up")
    wait_for(lambda: penstock.link()["up"], what="the link is shown as up")
    # No byte was missing for good, and no connection was a second one: the recording is the clip.
    assert publisher.wait(20) == 0, publisher.output()
    assert player.wait(20) == 0, player.output()
    assert compare(clip, tmp_path / "got.flv", least=180, from_start=True, to_end=True) == []
