"""Enhanced RTMP v2 through the real processes: every track, header and timestamp of a multitrack stream as it was published, to players
that were there from the start and to late ones. No encoder or player here speaks it, so both ends are written by hand; the packets of
the codecs are real ones, from ffmpeg."""
import json
import subprocess

import pytest

from processes import PATIENCE, wait_for
from rtmp_peer import AUDIO, VIDEO, RtmpPeer, amf_encode

KEY, INTER = 1, 2
START, FRAMES, FRAMES_X, METADATA, VIDEO_MULTITRACK, MOD_EX = 0, 1, 3, 4, 6, 7
CHANNELS, AUDIO_MULTITRACK = 4, 5


def video(packet, four_cc, data, frame=KEY, track=None):
    """A body of E-RTMP v2: plain, or of one track of several."""
    if track is None:
        return bytes([0x80 | frame << 4 | packet]) + four_cc + data
    return bytes([0x80 | frame << 4 | VIDEO_MULTITRACK, packet]) + four_cc + bytes([track]) + data


def audio(packet, four_cc, data, track=None):
    if track is None:
        return bytes([0x90 | packet]) + four_cc + data
    return bytes([0x90 | AUDIO_MULTITRACK, packet]) + four_cc + bytes([track]) + data


def many(packet, tracks, frame=KEY, codecs=False, kind=VIDEO):
    """Several tracks in one message; `tracks` is [(FourCC, id, data)]."""
    form = 2 if codecs else 1
    first = 0x80 | frame << 4 | VIDEO_MULTITRACK if kind == VIDEO else 0x90 | AUDIO_MULTITRACK
    out = bytes([first, form << 4 | packet]) + (b"" if codecs else tracks[0][0])
    for four_cc, track, data in tracks:
        out += (four_cc if codecs else b"") + bytes([track]) + len(data).to_bytes(3, "big") + data
    return out


def colour(primaries):
    return amf_encode("colorInfo") + amf_encode({"colorConfig": {"bitDepth": 10.0, "colorPrimaries": float(primaries)}})


def nano(body, nanoseconds):
    """The same message with a presentation time that is later by so much (ModEx)."""
    return bytes([body[0] & 0xF0 | MOD_EX, 2]) + nanoseconds.to_bytes(3, "big") + bytes([body[0] & 0x0F]) + body[1:]


class Stream:
    """What a publisher sends, and what each player is to get of it."""

    def __init__(self, penstock, name):
        self.penstock, self.name = penstock, name
        self.peer = RtmpPeer(penstock.rtmp_port)
        code, self.stream_id = self.peer.publish("ertmp", name, capsEx=14, videoFourCcInfoMap={"*": 7})
        assert code == "NetStream.Publish.Start"
        self.sent = []

    def send(self, tags):
        self.sent += tags
        self.peer.send_tags(tags, self.stream_id)
        wait_for(lambda: (self.penstock.stream(f"ertmp/{self.name}") or {}).get("frames_received", 0) >= len(self.sent),
                 what="all that was sent is received")

    def join(self):
        player = RtmpPeer(self.penstock.rtmp_port)
        player.play("ertmp", self.name)
        return player

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.peer.close()


def take(player, count):
    return [(m.type, m.timestamp, m.body) for m in (player.read_media() for _ in range(count))]


def bodies(tags):
    return [(kind, body) for kind, _, body in tags]


HEADERS = [
    (VIDEO, 0, video(START, b"avc1", b"avcC of track 0")),
    (VIDEO, 0, video(START, b"hvc1", b"hvcC of track 1", track=1)),
    (VIDEO, 0, video(START, b"av01", b"av1C of track 2", track=2)),
    (VIDEO, 0, video(METADATA, b"hvc1", colour(9), frame=0, track=1)),
    (AUDIO, 0, audio(START, b"mp4a", bytes.fromhex("1190"))),
    (AUDIO, 0, audio(START, b"Opus", b"OpusHead of track 1", track=1)),
    (AUDIO, 0, audio(START, b"Opus", b"OpusTags of track 1", track=1)),
    (AUDIO, 0, audio(CHANNELS, b"Opus", bytes([1, 6]) + (0x3F).to_bytes(4, "big"), track=1)),
]


def moment(number, key, order=(0, 1, 2)):
    """One picture of each track and two sounds, all of one timestamp."""
    frame = KEY if key else INTER
    data = b"\x00\x00\x00" + bytes([number]) * 300
    pictures = {0: video(FRAMES, b"avc1", data, frame), 1: video(FRAMES, b"hvc1", data + b"1", frame, 1),
                2: video(FRAMES, b"av01", data + b"2", frame, 2)}
    at = 40 * number
    return [(VIDEO, at, pictures[track]) for track in order] + [
        (AUDIO, at, audio(FRAMES, b"mp4a", bytes([number]) * 40)), (AUDIO, at, audio(FRAMES, b"Opus", bytes([number]) * 30, 1))]


@pytest.mark.smoke
@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0)])
def test_late_joiner_gets_every_tracks_headers_and_whole_gop(penstock, order):
    """Whichever track's keyframe comes first."""
    name = "gop" + "".join(map(str, order))
    with Stream(penstock, name) as stream:
        stream.send(HEADERS)
        first = [tag for number in range(10) for tag in moment(number, number % 10 == 0, order)]
        second = [tag for number in range(10, 14) for tag in moment(number, number % 10 == 0, order)]
        stream.send(first + second)
        with stream.join() as player:
            got = take(player, len(HEADERS) + len(second))
            assert bodies(got[:len(HEADERS)]) == bodies(HEADERS), "headers of all tracks, in the order in which they came"
            assert got[len(HEADERS):] == second, "and the GOP from the first keyframe of its moment on"
            more = [tag for number in range(14, 24) for tag in moment(number, number == 20, order)]
            stream.send(more)
            assert take(player, len(more)) == more


def test_without_a_gop_cache_each_track_starts_at_its_own_keyframe(make_penstock):
    own = make_penstock(limits={"gop_bytes": 0}).start()
    with Stream(own, "late") as stream:
        stream.send(HEADERS)
        stream.send([tag for number in range(4) for tag in moment(number, number == 0)])
        with stream.join() as player:
            assert bodies(take(player, len(HEADERS))) == bodies(HEADERS)
            own.wait_subscribers("ertmp/late", 1)
            ahead = moment(4, False)
            pictures = {track: [(VIDEO, 40 * at, video(FRAMES, code, b"\0\0\0" + bytes([at]) * 50, frame, track))
                                for at, frame in frames]
                        for track, code, frames in ((0, b"avc1", ((6, KEY), (8, INTER), (10, INTER))),
                                                    (1, b"hvc1", ((6, INTER), (8, KEY), (10, INTER))),
                                                    (2, b"av01", ((6, INTER), (8, INTER), (10, INTER))))}
            live = [pictures[track][at] for at in range(3) for track in (0, 1, 2)]
            stream.send(ahead + live)
            expected = [pictures[0][0], pictures[0][1], pictures[1][1], pictures[0][2], pictures[1][2]]
            assert take(player, len(expected)) == expected, "nothing of a track before its keyframe"


def test_publisher_without_a_track_0(penstock):
    with Stream(penstock, "high") as stream:
        header = [(VIDEO, 0, video(START, b"hvc1", b"hvcC", track=4)), (VIDEO, 0, video(START, b"hvc1", b"hvcC 7", track=7))]
        pictures = [(VIDEO, 40 * n, video(FRAMES_X, b"hvc1", bytes([n, track]) * 90, KEY if n % 5 == 0 else INTER, track))
                    for n in range(8) for track in (4, 7)]
        stream.send(header + pictures)
        with stream.join() as player:
            got = take(player, 2 + 6)
    assert bodies(got[:2]) == bodies(header)
    assert got[2:] == pictures[10:], "from the newest keyframe of the track that came first"


@pytest.mark.parametrize("codecs", [False, True])
def test_many_tracks_in_one_message(penstock, codecs):
    codes = (b"hvc1", b"av01") if codecs else (b"hvc1", b"hvc1")

    def message(packet, text, frame=KEY):
        prefix = b"\0\0\0" if packet == FRAMES else b""
        return many(packet, [(codes[0], 0, prefix + text), (codes[1], 1, text)], frame, codecs)

    name = "codecs" if codecs else "many"
    tags = [(VIDEO, 0, message(START, b"config")), (VIDEO, 0, message(METADATA, colour(1), 0)),
            (AUDIO, 0, many(START, [(b"Opus", 0, b"OpusHead"), (b"Opus", 1, b"OpusHead")], kind=AUDIO))]
    headers = len(tags)
    for number in range(12):
        tags.append((VIDEO, number * 40, message(FRAMES, bytes([number]) * 200, KEY if number % 5 == 0 else INTER)))
        tags.append((AUDIO, number * 40, many(FRAMES, [(b"Opus", 0, b"a"), (b"Opus", 1, b"b")], kind=AUDIO)))
    with Stream(penstock, name) as stream:
        stream.send(tags)
        with stream.join() as player:
            got = take(player, headers + 4)
    assert bodies(got[:headers]) == bodies(tags[:headers])
    assert got[headers:] == tags[-4:]


def test_headers_of_sixty_tracks_are_kept(penstock):
    headers = [(VIDEO, 0, video(START, b"hvc1", bytes([track]) * 60, track=track)) for track in range(60)]
    headers += [(AUDIO, 0, audio(START, b"mp4a", bytes([0x11, track]), track=track)) for track in range(60)]
    key = (VIDEO, 0, video(FRAMES, b"hvc1", b"\0\0\0key", track=0))
    with Stream(penstock, "sixty") as stream:
        stream.send(headers + [key])
        with stream.join() as player:
            got = take(player, len(headers) + 1)
    assert got == headers + [key]


def test_newest_colour_and_header_of_each_track_are_what_a_late_joiner_gets(penstock):
    with Stream(penstock, "colour") as stream:
        old = [(VIDEO, 0, video(START, b"hvc1", b"old")), (VIDEO, 0, video(METADATA, b"hvc1", colour(1), 0)),
               (VIDEO, 0, video(METADATA, b"hvc1", colour(1), 0, 1)), (VIDEO, 0, video(FRAMES, b"hvc1", b"\0\0\0old"))]
        new = [(VIDEO, 40, video(START, b"hvc1", b"new")), (VIDEO, 40, video(METADATA, b"hvc1", colour(9), 0, 1)),
               (VIDEO, 40, video(FRAMES, b"hvc1", b"\0\0\0new"))]
        stream.send(old + new)
        with stream.join() as player:
            got = take(player, 4)
    assert bodies(got) == bodies([old[1]] + new), "the colour of track 0 has not changed; the rest is new"


def test_nanosecond_offsets_come_through_and_keyframes_behind_them_are_seen(penstock):
    tags = [(VIDEO, 0, video(START, b"av01", b"av1C"))]
    tags += [(VIDEO, 40 * n, nano(video(FRAMES, b"av01", bytes([n]) * 90, KEY if n % 6 == 0 else INTER), 1000 * n + 1))
             for n in range(10)]
    tags += [(AUDIO, 400, nano(audio(FRAMES, b"Opus", b"sound"), 999_999)),
             (VIDEO, 440, nano(nano(video(FRAMES, b"av01", b"\0" * 9, INTER), 5), 7))]
    with Stream(penstock, "nano") as stream:
        stream.send(tags)
        with stream.join() as player:
            got = take(player, 1 + 6)
    assert got[0][2] == tags[0][2]
    assert got[1:] == tags[7:]


# -- real packets --

CODECS = {
    # name: (FourCC, packet type of frames, bytes before a frame, kind, ffmpeg arguments, what the API calls it)
    "hevc": (b"hvc1", FRAMES, b"\0\0\0", VIDEO, ["-c:v", "libx265", "-preset", "ultrafast", "-x265-params",
                                               "log-level=error:pools=1", "-g", "25"], "H.265"),
    "av1": (b"av01", FRAMES, b"", VIDEO, ["-c:v", "libaom-av1", "-cpu-used", "8", "-g", "10"], "AV1"),
    "vp9": (b"vp09", FRAMES, b"", VIDEO, ["-c:v", "libvpx-vp9", "-deadline", "realtime", "-cpu-used", "8", "-g", "10"], "VP9"),
    "opus": (b"Opus", FRAMES, b"", AUDIO, ["-c:a", "libopus"], "Opus"),
    "flac": (b"fLaC", FRAMES, b"", AUDIO, ["-c:a", "flac"], "FLAC"),
}


def dumped(text):
    """Bytes of ffprobe's hex dump."""
    return b"".join(bytes.fromhex(line.split(":", 1)[1][:41].replace(" ", "")) for line in text.strip().splitlines())


def encoded(case, folder):
    """(decoder configuration, [(ms, key, packet)]) of a second that ffmpeg has encoded."""
    kind, arguments = CODECS[case][3], CODECS[case][4]
    source = ["-f", "lavfi", "-i", "testsrc2=size=128x96:rate=25"] if kind == VIDEO else ["-f", "lavfi", "-i", "sine=sample_rate=48000"]
    path = folder / f"{case}.mkv"
    subprocess.run(["ffmpeg", "-nostdin", "-loglevel", "error", "-y", *source, "-t", "1", *arguments, str(path)], check=True,
                   timeout=60 * PATIENCE)
    done = subprocess.run(["ffprobe", "-v", "error", "-show_packets", "-show_streams", "-show_data", "-of", "json", str(path)],
                          stdout=subprocess.PIPE, check=True, timeout=30 * PATIENCE)
    found = json.loads(done.stdout)
    config = dumped(found["streams"][0].get("extradata", ""))
    packets = [(max(0, round(float(p["pts_time"]) * 1000)), "K" in p["flags"], dumped(p["data"])) for p in found["packets"]]
    return config, packets


@pytest.mark.parametrize("case", CODECS)
def test_real_packets_are_byte_equal_live_and_late(penstock, tmp_path, case):
    four_cc, packet_type, before, kind, _, name = CODECS[case]
    config, packets = encoded(case, tmp_path)
    assert len(packets) >= 10
    if kind == VIDEO:
        tags = [(VIDEO, 0, video(START, four_cc, config))] if config else []
        tags += [(VIDEO, at, video(packet_type, four_cc, before + data, KEY if key else INTER)) for at, key, data in packets]
    else:
        tags = [(AUDIO, 0, audio(START, four_cc, config))]
        tags += [(AUDIO, at, audio(packet_type, four_cc, data)) for at, _, data in packets]
    headers = len(tags) - len(packets)
    with Stream(penstock, case) as stream, stream.join() as player:
        penstock.wait_subscribers(f"ertmp/{case}", 1)
        # Sound has no past: whoever is to get all of it has to be there, on whichever worker, before it begins.
        stream.send(tags[:headers])
        assert take(player, headers) == tags[:headers]
        stream.send(tags[headers:])
        assert take(player, len(packets)) == tags[headers:]
        shown = penstock.stream(f"ertmp/{case}")["video" if kind == VIDEO else "audio"]["codec"]
        assert shown == name
        with stream.join() as late:
            got = take(late, headers)
            assert bodies(got) == bodies(tags[:headers])
            if kind == VIDEO:
                start = max(number for number, tag in enumerate(packets) if tag[1]) + headers
                assert take(late, len(tags) - start) == tags[start:]


# -- what is said in connect --

def test_capabilities_are_answered_to_those_who_have_some(penstock):
    with RtmpPeer(penstock.rtmp_port) as peer:
        info = peer.connect("ertmp", videoFourCcInfoMap={"*": 7}, audioFourCcInfoMap={"Opus": 3}, capsEx=15,
                            fourCcList=["*"])[3]
    assert info["videoFourCcInfoMap"] == {"*": 4} and info["audioFourCcInfoMap"] == {"*": 4}, "everything is forwarded"
    assert info["capsEx"] == 15 and info["fourCcList"] == ["*"]
    with RtmpPeer(penstock.rtmp_port) as peer:
        info = peer.connect("ertmp")[3]
    assert not {"videoFourCcInfoMap", "audioFourCcInfoMap", "capsEx", "fourCcList"} & set(info)


@pytest.mark.smoke
def test_drain_asks_those_who_can_reconnect_and_closes_the_others(own):
    def publish(name, **more):
        peer = RtmpPeer(own.rtmp_port, seconds=12)
        code, stream_id = peer.publish("ertmp", name, **more)
        assert code == "NetStream.Publish.Start"
        peer.send_tags([(VIDEO, 0, b"\x17\x01\0\0\0key")], stream_id)
        return peer, stream_id

    able, stream_id = publish("able", capsEx=1)
    unable, _ = publish("unable", capsEx=14)
    player = RtmpPeer(own.rtmp_port, seconds=12)
    player.play("ertmp", "able")
    assert player.read_media().body == b"\x17\x01\0\0\0key"
    asked = own.cli("drain", "--to", "rtmp://other.example:1936")
    assert asked.code == 0, asked.err
    status = able.wait_status()
    assert status["code"] == "NetConnection.Connect.ReconnectRequest" and status["level"] == "status"
    assert status["tcUrl"] == "rtmp://other.example:1936/ertmp" and status["description"]
    assert unable.wait_status()["code"] == "NetStream.Publish.Denied"
    able.send_tags([(VIDEO, 40, b"\x27\x01\0\0\0next")], stream_id)
    assert player.read_media().body == b"\x27\x01\0\0\0next", "who was asked goes on until it leaves"
    assert own.counters()["reconnects_asked"] == 1
    for peer in (able, unable, player):
        peer.close()


def test_drain_without_a_target_sends_back_to_the_same_address(own):
    with RtmpPeer(own.rtmp_port) as peer:
        peer.publish("ertmp", "same", capsEx=15)
        assert own.cli("drain").code == 0
        status = peer.wait_status()
        assert status["code"] == "NetConnection.Connect.ReconnectRequest" and "tcUrl" not in status


def test_drain_refuses_what_is_no_url(own):
    for wrong in ("http://x", "other.example", "rtmp://a b"):
        refused = own.cli("drain", "--to", wrong)
        assert refused.code != 0 and "URL" in refused.err
    assert own.get("/status")["draining"] is False
