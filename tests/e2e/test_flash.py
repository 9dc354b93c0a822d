"""What encoders and players of the Flash age do and nothing newer: AMF3 sessions, shared objects, aggregate messages. No client here has
objectEncoding 3, so those sessions are by hand; aggregates go to ffmpeg and rtmpdump."""
import struct

import pytest

from compare_flv import compare
from processes import wait_for
from rtmp_peer import AUDIO, COMMAND, DATA, VIDEO, RtmpPeer, amf_decode_all, amf_encode

DATA_AMF3, SHARED_AMF3, COMMAND_AMF3, SHARED, AGGREGATE = 15, 16, 17, 19, 22


class FlashPeer(RtmpPeer):
    """Calls in messages of type 17 once it is connected; connect itself is always AMF0."""

    def connect(self, app, **more):
        values = super().connect(app, objectEncoding=3, **more)
        assert values[3]["objectEncoding"] == 3, "answered in kind"
        return values

    def call(self, name, *arguments, stream_id=0, raw=b""):
        self.transaction += 1
        body = amf_encode(name) + amf_encode(self.transaction) + b"".join(amf_encode(a) for a in arguments) + raw
        self.send_message(COMMAND_AMF3, b"\0" + body, stream_id)
        return self.transaction

    def wait_amf3(self, what):
        """The next command of type 17 with this name; one of type 20 does not count."""
        while True:
            message = self.read_message()
            if message.type != COMMAND_AMF3:
                continue
            assert message.body[0] == 0, "the format byte"
            values = amf_decode_all(message.body[1:])
            if values[0] == what:
                return values, message

    def begin(self, verb, app, name, *more):
        self.connect(app)
        self.call("createStream", None)
        stream_id = int(self.wait_amf3("_result")[0][3])
        self.call(verb, None, name, *more, stream_id=stream_id)
        values, message = self.wait_amf3("onStatus")
        assert message.stream_id == stream_id
        return stream_id, values[3]["code"]


@pytest.mark.smoke
def test_amf3_session_is_answered_in_kind_and_its_metadata_reaches_everybody(penstock):
    with FlashPeer(penstock.rtmp_port) as publisher:
        stream_id, code = publisher.begin("publish", "flash", "cam", "live")
        assert code == "NetStream.Publish.Start"
        # An AMF3 object, anonymous and dynamic: {"a": 1, "n": "x"}.
        metadata = b"\x11\x0a\x0b\x01\x03a\x04\x01\x03n\x06\x03x\x01"
        publisher.send_message(DATA_AMF3, b"\0" + amf_encode("@setDataFrame") + amf_encode("onMetaData") + metadata, stream_id)
        publisher.send_tags([(VIDEO, 0, b"\x17\x01\0\0\0key")], stream_id)
        wait_for(lambda: (penstock.stream("flash/cam") or {}).get("frames_received", 0) >= 1, what="the picture")
        for player_of in (RtmpPeer, FlashPeer):
            with player_of(penstock.rtmp_port) as player:
                if player_of is FlashPeer:
                    assert player.begin("play", "flash", "cam")[1] == "NetStream.Play.Reset"
                else:
                    player.play("flash", "cam")
                got = player.read_media()
                assert (got.type, amf_decode_all(got.body)) == (DATA, ["onMetaData", {"a": 1, "n": "x"}])
                assert player.read_media().body == b"\x17\x01\0\0\0key"


def test_data_that_only_amf3_can_say_goes_to_those_who_read_it(penstock):
    with FlashPeer(penstock.rtmp_port) as publisher, RtmpPeer(penstock.rtmp_port) as old, FlashPeer(penstock.rtmp_port) as new:
        stream_id, _ = publisher.begin("publish", "flash", "bytes", "live")
        old.play("flash", "bytes")
        new.begin("play", "flash", "bytes")
        penstock.wait_subscribers("flash/bytes", 2)
        key, last = (VIDEO, 0, b"\x17\x01\0\0\0key"), (VIDEO, 80, b"\x27\x01\0\0\0last")
        cue = b"\0" + amf_encode("onCuePoint") + b"\x11\x0c\x05\xca\xfe"  # a byte array of two
        publisher.send_tags([key], stream_id)
        for player in (old, new):
            assert player.read_media().body == key[2]
        publisher.send_message(DATA_AMF3, cue, stream_id, timestamp=40)
        publisher.send_tags([last], stream_id)

        def until_last(player):
            got = []
            while not got or got[-1].body != last[2]:
                message = player.read_message()
                if message.type in (VIDEO, DATA_AMF3) and b"SampleAccess" not in message.body and b"Data.Start" not in message.body:
                    got.append(message)
            return [(m.type, m.body) for m in got]

        assert until_last(new) == [(DATA_AMF3, cue), (VIDEO, last[2])]
        assert until_last(old) == [(VIDEO, last[2])]


def test_shared_objects_are_answered_and_never_end_a_stream(penstock):
    def message(*events, name=b"chat", lead=b""):
        body = lead + struct.pack(">H", len(name)) + name + struct.pack(">III", 1, 0, 0)
        return body + b"".join(bytes([kind]) + struct.pack(">I", len(content)) + content for kind, content in events)

    change = b"\0\x01x" + amf_encode(5)
    with RtmpPeer(penstock.rtmp_port) as peer:
        _, stream_id = peer.publish("flash", "shared")
        for kind, lead in ((SHARED, b""), (SHARED_AMF3, b"\0")):
            peer.send_message(kind, message((1, b""), (3, change), lead=lead))
            got = peer.read_message()
            while got.type in (COMMAND, DATA):
                got = peer.read_message()
            assert (got.type, got.body) == (kind, message((11, b""), (8, b""), (5, b"\0\x01x"), lead=lead))
        peer.send_message(SHARED, b"\xff" * 40)
        peer.send_message(SHARED, b"\0" * 100_000)
        peer.send_message(4, struct.pack(">H", 27) + b"\1\1" + b"s" * 40, chunk_stream_id=2)  # an answer to a question we never ask
        peer.send_tags([(VIDEO, 0, b"\x17\x01\0\0\0key")], stream_id)
        wait_for(lambda: (penstock.stream("flash/shared") or {}).get("frames_received", 0) == 1, what="it is still there")


# -- aggregates --

def test_player_that_asks_gets_aggregates_with_the_same_messages(penstock):
    tags = [(VIDEO, 0, b"\x17\x00\0\0\0header")]
    for number in range(20):
        tags.append((VIDEO, 40 * number, (b"\x17" if number == 0 else b"\x27") + b"\x01\0\0\0" + bytes([number]) * 200))
        tags.append((AUDIO, 40 * number + 10, b"\x2f" + bytes([number]) * 60))
    with RtmpPeer(penstock.rtmp_port) as publisher:
        _, stream_id = publisher.publish("flash", "whole")
        publisher.send_tags(tags, stream_id)
        wait_for(lambda: (penstock.stream("flash/whole") or {}).get("frames_received", 0) >= len(tags), what="all frames")
        with RtmpPeer(penstock.rtmp_port) as player:
            player.play("flash", "whole?aggregate=1")
            got, aggregates = [], 0
            while len(got) < len(tags):
                message = player.read_message()
                if message.type in (AUDIO, VIDEO):
                    got.append((message.type, message.timestamp, message.body))
                if message.type != AGGREGATE:
                    continue
                aggregates += 1
                at, first = 0, None
                while at < len(message.body):
                    kind, size = message.body[at], int.from_bytes(message.body[at + 1:at + 4], "big")
                    stamp = int.from_bytes(message.body[at + 4:at + 7], "big") | message.body[at + 7] << 24
                    first = stamp if first is None else first
                    got.append((kind, message.timestamp + stamp - first, message.body[at + 11:at + 11 + size]))
                    assert int.from_bytes(message.body[at + 11 + size:at + 15 + size], "big") == 11 + size
                    at += 15 + size
    assert aggregates >= 1 and got == tags


def test_ffmpeg_plays_aggregates(penstock, studio, clip, tmp_path):
    player = studio.play(penstock.url("flash/ffmpeg?aggregate=1"), tmp_path / "got.flv")
    penstock.wait_subscribers("flash/ffmpeg", 1)
    publisher = studio.publish(clip, penstock.url("flash/ffmpeg"), realtime=False)
    assert publisher.wait(20) == 0, publisher.output()
    assert player.wait(20) == 0, player.output()
    assert compare(clip, tmp_path / "got.flv", least=10, from_start=True, to_end=True) == []


def test_rtmpdump_plays_aggregates(penstock, studio, clip, tmp_path):
    got = tmp_path / "got.flv"
    player = studio.start(["rtmpdump", "-q", "-v", "-r", penstock.url("flash/dump?aggregate=1"), "-o", got], "rtmpdump")
    penstock.wait_subscribers("flash/dump", 1)
    publisher = studio.publish(clip, penstock.url("flash/dump"), realtime=False)
    assert publisher.wait(20) == 0, publisher.output()
    player.wait(20)
    assert compare(clip, got, least=10, from_start=True, to_end=True) == []
