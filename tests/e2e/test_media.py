"""What goes in comes out: real encoders and players, compared packet by packet."""
import subprocess

import pytest

from compare_flv import compare, read_packets
from media import ffprobe_streams
from processes import PATIENCE, WORKERS, wait_for
from rtmp_peer import RtmpPeer, VIDEO, read_flv


@pytest.mark.smoke
def test_ffmpeg_to_ffmpeg_is_byte_equal_from_first_to_last_packet(penstock, studio, clip, tmp_path):
    player = studio.play(penstock.url("live/whole"), tmp_path / "got.flv")
    penstock.wait_subscribers("live/whole", 1)
    publisher = studio.publish(clip, penstock.url("live/whole"), realtime=False)
    assert publisher.wait() == 0, publisher.output()
    assert player.wait() == 0, player.output()
    assert compare(clip, tmp_path / "got.flv", least=60, from_start=True, to_end=True) == []


def test_ipv6_listener_serves_the_same(penstock, studio, clip, tmp_path):
    player = studio.play(penstock.url("live/six", penstock.host6), tmp_path / "got.flv")
    penstock.wait_subscribers("live/six", 1)
    assert studio.publish(clip, penstock.url("live/six", penstock.host6), realtime=False).wait() == 0
    assert player.wait() == 0
    assert compare(clip, tmp_path / "got.flv", least=60, from_start=True, to_end=True) == []


def test_ffprobe_finds_codecs_and_size(penstock, studio, clip):
    studio.publish(clip, penstock.url("live/probed"), loop=True)
    penstock.wait_live("live/probed")
    streams = ffprobe_streams(penstock.url("live/probed"))
    assert streams["video"]["codec_name"] == "h264"
    assert (streams["video"]["width"], streams["video"]["height"]) == ("320", "180")
    assert streams["audio"]["codec_name"] == "aac"


def test_stream_row_says_what_is_published(penstock, studio, clip):
    publisher = studio.publish(clip, penstock.url("live/row"), loop=True)
    row = wait_for(lambda: (lambda r: r if r and r["video"]["fps"] > 0 and r["audio"]["bits_per_second"] > 0 else None)(
        penstock.stream("live/row")), what="measured values in the stream's row")
    assert row["video"]["codec"] == "H.264" and row["audio"]["codec"] == "AAC"
    assert (row["video"]["width"], row["video"]["height"]) == (320, 180)
    assert 20 <= row["video"]["fps"] <= 30
    assert row["audio"]["sample_rate"] == 44100
    assert 100_000 < row["video"]["bits_per_second"] < 1_000_000
    assert row["publisher"].startswith("127.0.0.1:")
    assert "Lavf" in row["encoder"] or "FM" in row["encoder"]
    wait_for(lambda: penstock.stream("live/row")["video"]["keyframe_interval_ms"] == 1000, what="the keyframe interval")
    assert abs(penstock.stream("live/row")["av_drift_ms"]) < 500
    publisher.end()
    penstock.wait_gone("live/row")
    wait_for(lambda: any(row["name"] == "live/row" and row["reason"] for row in penstock.get("/history")["streams"]),
             what="its row in the history")


@pytest.mark.smoke
def test_rtmpdump_plays(penstock, studio, clip, tmp_path):
    dump = studio.start(["rtmpdump", "--live", "--quiet", "-r", penstock.url("live/dumped"), "-o", tmp_path / "got.flv"],
                        "rtmpdump")
    penstock.wait_subscribers("live/dumped", 1)
    assert studio.publish(clip, penstock.url("live/dumped"), realtime=False).wait() == 0
    assert dump.wait(10) == 0, dump.output()
    assert compare(clip, tmp_path / "got.flv", least=60, from_start=True, to_end=True) == []


@pytest.mark.smoke
def test_late_joiner_gets_metadata_headers_and_a_keyframe_first(penstock, studio, clip):
    studio.publish(clip, penstock.url("live/late"), loop=True)
    row = penstock.wait_live("live/late")
    wait_for(lambda: penstock.stream("live/late")["frames_received"] > 50, what="two seconds of media")
    assert row["worker"] in range(len(penstock.workers))
    with RtmpPeer(penstock.rtmp_port) as player:
        player.play("live", "late")
        messages = [player.read_media() for _ in range(40)]
    kinds = [message.type for message in messages]
    metadata = next(i for i, m in enumerate(messages) if m.type == 18 and b"onMetaData" in m.body)
    video = [i for i, kind in enumerate(kinds) if kind == VIDEO]
    audio = [i for i, kind in enumerate(kinds) if kind == 8]
    assert b"@setDataFrame" not in messages[metadata].body
    assert metadata < video[0] and metadata < audio[0], kinds
    assert messages[video[0]].body[:2] == b"\x17\x00", "the first video message is the AVC sequence header"
    assert messages[video[1]].body[:2] == b"\x17\x01", "the second is a keyframe"
    assert messages[audio[0]].body[:2] == b"\xaf\x00", "the first audio message is the AAC sequence header"
    timestamps = [m.timestamp for m in messages if m.type in (8, 9) and m.body[1:2] == b"\x01"]
    assert max(a - b for a, b in zip(timestamps, timestamps[1:])) <= 200, "timestamps of both kinds keep together"


def test_late_joiners_recording_is_a_run_of_what_was_sent(penstock, studio, clip, tmp_path):
    studio.publish(clip, penstock.url("live/joined"), label="first")
    penstock.wait_live("live/joined")
    wait_for(lambda: penstock.stream("live/joined")["frames_received"] > 50, what="some media")
    player = studio.play(penstock.url("live/joined"), tmp_path / "got.flv")
    assert player.wait(15) == 0, player.output()
    assert compare(clip, tmp_path / "got.flv", least=15, to_end=True) == []
    assert read_packets(tmp_path / "got.flv")["video"][0].key


@pytest.mark.smoke
@pytest.mark.skipif(len(WORKERS) < 2, reason="one core only: there are no two workers")
def test_ten_players_over_two_workers_all_get_everything(penstock, studio, clip, tmp_path):
    url = penstock.url("live/ten")
    players = [studio.play(url, tmp_path / f"got{n}.flv", label=f"play{n}") for n in range(10)]
    rows = penstock.wait_subscribers("live/ten", 10, 20)
    # The kernel spreads connections by hash: all ten on one worker is a chance of 1 in 512.
    while len({row["worker"] for row in penstock.subscribers("live/ten")}) < 2 and len(players) < 30:
        players.append(studio.play(url, tmp_path / f"got{len(players)}.flv", label=f"play{len(players)}"))
        penstock.wait_subscribers("live/ten", len(players))
    assert len({row["worker"] for row in penstock.subscribers("live/ten")}) == 2, rows
    publisher = studio.publish(clip, url)
    wait_for(lambda: (penstock.stream("live/ten") or {}).get("subscribers") == len(players), what="the count of subscribers")
    assert publisher.wait(15) == 0, publisher.output()
    for number, player in enumerate(players):
        assert player.wait(15) == 0, player.output()
        assert compare(clip, tmp_path / f"got{number}.flv", least=60, from_start=True, to_end=True) == [], number


@pytest.mark.smoke
def test_players_end_by_themselves_when_the_publisher_goes(penstock, studio, clip, tmp_path):
    publisher = studio.publish(clip, penstock.url("live/goes"), loop=True)
    penstock.wait_live("live/goes")
    players = [studio.play(penstock.url("live/goes"), tmp_path / "a.flv"),
               studio.start(["rtmpdump", "--live", "--quiet", "-r", penstock.url("live/goes"), "-o", tmp_path / "b.flv"],
                            "rtmpdump")]
    penstock.wait_subscribers("live/goes", 2)
    with RtmpPeer(penstock.rtmp_port) as watcher:
        watcher.play("live", "goes")
        watcher.read_media()
        publisher.end()
        status = watcher.wait_status("NetStream.Play.UnpublishNotify")
        assert status["level"] == "status"
    for player in players:
        player.wait(10)
    penstock.wait_gone("live/goes")


def test_publisher_that_vanishes_without_a_word_is_gone_too(penstock, studio, clip, tmp_path):
    publisher = studio.publish(clip, penstock.url("live/vanished"), loop=True)
    penstock.wait_live("live/vanished")
    player = studio.play(penstock.url("live/vanished"), tmp_path / "got.flv")
    penstock.wait_subscribers("live/vanished", 1)
    publisher.end(9)
    penstock.wait_gone("live/vanished")
    assert player.wait(10) == 0, player.output()


@pytest.mark.smoke
def test_publisher_reconnects_and_a_waiting_player_goes_on(penstock, studio, clip, other_clip):
    with RtmpPeer(penstock.rtmp_port) as player:
        player.play("live", "again")
        for source in (clip, other_clip):
            assert studio.publish(source, penstock.url("live/again"), realtime=False).wait() == 0
            sent = [body for kind, _, body in read_flv(source) if kind == VIDEO]
            got = []
            while len(got) < len(sent):
                message = player.read_media()
                if message.type == VIDEO:
                    got.append(message.body)
            assert got == sent
            penstock.wait_gone("live/again")


def test_second_publisher_of_a_name_is_refused_and_the_first_goes_on(penstock, studio, clip, other_clip, tmp_path):
    player = studio.play(penstock.url("live/taken"), tmp_path / "got.flv")
    penstock.wait_subscribers("live/taken", 1)
    first = studio.publish(clip, penstock.url("live/taken"))
    penstock.wait_live("live/taken")
    for _ in range(3):  # connections land on either worker: both have to know the name
        second = studio.publish(other_clip, penstock.url("live/taken"), label="second")
        assert second.wait(8) != 0
    with RtmpPeer(penstock.rtmp_port) as third:
        code, _ = third.publish("live", "taken")
        assert code == "NetStream.Publish.BadName"
    assert first.wait(15) == 0, first.output()
    assert player.wait(15) == 0
    assert compare(clip, tmp_path / "got.flv", least=60, from_start=True, to_end=True) == []
    assert penstock.counters()["publishes_name_taken"] >= 4


def test_two_racing_publishers_leave_exactly_one(penstock):
    for round_number in range(5):
        name = f"race{round_number}"
        peers = [RtmpPeer(penstock.rtmp_port) for _ in range(6)]
        stream_ids = []
        for peer in peers:
            peer.connect("live")
            stream_ids.append(peer.create_stream())
        for peer, stream_id in zip(peers, stream_ids):
            peer.command("publish", None, name, "live", stream_id=stream_id)
        codes = [peer.wait_status()["code"] for peer in peers]
        assert codes.count("NetStream.Publish.Start") == 1, codes
        assert codes.count("NetStream.Publish.BadName") == len(peers) - 1, codes
        for peer in peers:
            peer.close()


def test_query_is_no_part_of_the_name(penstock, studio, clip):
    publisher = studio.publish(clip, penstock.url("live/query?key=secret-token-1"), loop=True)
    row = penstock.wait_live("live/query")
    assert "secret-token-1" not in str(row)
    publisher.end()
    penstock.wait_gone("live/query")
    for log in penstock.folder.glob("*.log"):
        assert "secret-token-1" not in log.read_text()


def test_gop_cache_switched_off_starts_at_the_next_keyframe(penstock, studio, clip):
    assert penstock.cli("tune", "set", "gop_bytes", "0").code == 0
    try:
        studio.publish(clip, penstock.url("live/nogop"), loop=True)
        penstock.wait_live("live/nogop")
        with RtmpPeer(penstock.rtmp_port) as player:
            player.play("live", "nogop")
            video = [m for m in (player.read_media() for _ in range(60)) if m.type == VIDEO]
        assert video[0].body[:2] == b"\x17\x00" and video[1].body[:2] == b"\x17\x01"
        assert penstock.stream("live/nogop")["gop_bytes"] == 0
    finally:
        assert penstock.cli("tune", "reset", "gop_bytes").code == 0


def test_pause_and_receive_audio_are_obeyed(penstock, studio, clip):
    studio.publish(clip, penstock.url("live/wants"), loop=True)
    penstock.wait_live("live/wants")
    with RtmpPeer(penstock.rtmp_port) as player:
        stream_id = player.play("live", "wants")
        player.read_media()
        player.command("receiveAudio", None, False, stream_id=stream_id)
        # What was already queued may still hold audio; two seconds later nothing does.
        seen = [player.read_media() for _ in range(120)]
        assert all(message.type == VIDEO for message in seen[-25:]), [m.type for m in seen[-25:]]


def test_gstreamer_publishes_and_plays(penstock, studio, clip, tmp_path):
    url = penstock.url("live/gst")
    player = studio.start(["gst-launch-1.0", "-q", "rtmp2src", f"location={url}", "!", "flvdemux", "name=d",
                           "d.video", "!", "queue", "!", "h264parse", "!", "mux.", "d.audio", "!", "queue", "!",
                           "aacparse", "!", "mux.", "flvmux", "name=mux", "streamable=true", "!", "filesink",
                           f"location={tmp_path}/got.flv"], "gst-play")
    penstock.wait_subscribers("live/gst", 1)
    publisher = studio.start(["gst-launch-1.0", "-q", "flvmux", "name=mux", "streamable=true", "!", "rtmp2sink",
                              f"location={url}", "videotestsrc", "is-live=true", "num-buffers=75", "!",
                              "video/x-raw,width=320,height=180,framerate=25/1", "!", "x264enc", "tune=zerolatency",
                              "key-int-max=25", "!", "h264parse", "!", "queue", "!", "mux.", "audiotestsrc",
                              "is-live=true", "num-buffers=130", "!", "avenc_aac", "!", "aacparse", "!", "queue",
                              "!", "mux."], "gst-publish")
    ffmpeg = studio.play(url, tmp_path / "ffmpeg.flv")
    assert publisher.wait(20) == 0, publisher.output()
    ffmpeg.wait(10)
    player.wait(10)
    assert len(read_packets(tmp_path / "ffmpeg.flv")["video"]) >= 25, ffmpeg.output()
    assert len(read_packets(tmp_path / "got.flv")["video"]) >= 50, player.output()


def test_gstreamer_plays_what_ffmpeg_publishes(penstock, studio, clip, tmp_path):
    url = penstock.url("live/gstplay")
    studio.publish(clip, url, loop=True)
    penstock.wait_live("live/gstplay")
    done = subprocess.run(["gst-launch-1.0", "-q", "rtmp2src", f"location={url}", "num-buffers=200", "!", "filesink",
                           f"location={tmp_path}/got.flv"], stdin=subprocess.DEVNULL, timeout=30 * PATIENCE, check=False)
    assert done.returncode == 0
    got = [body for kind, _, body in read_flv(tmp_path / "got.flv") if kind == VIDEO]
    sent = {body for kind, _, body in read_flv(clip) if kind == VIDEO}
    # The last tag may be cut by num-buffers.
    assert len(got) > 20 and all(body in sent for body in got[:-1])
