"""Everything that FLV can carry goes through as it came: legacy codecs from ffmpeg, Enhanced RTMP by hand."""
import json

import pytest

from compare_flv import compare
from media import make_clip
from processes import ROOT, wait_for
from rtmp_peer import AUDIO, DATA, VIDEO, RtmpPeer, amf_decode_all, amf_encode

LEGACY = {
    # name: (video arguments, audio arguments, sampling rate, video name, audio name)
    "sorenson_mp3": (("flv", "-b:v", "300k", "-g", "25"), ("libmp3lame", "-b:a", "64k"), 44100, "Sorenson H.263", "MP3"),
    "screen_pcm": (("flashsv",), ("pcm_s16le",), 44100, "Screen video", "PCM"),
    "screen2_adpcm": (("flashsv2",), ("adpcm_swf",), 22050, "Screen video 2", "ADPCM"),
    "avc_nellymoser": (("libx264", "-preset", "veryfast", "-g", "25", "-pix_fmt", "yuv420p"),
                       ("nellymoser", "-ac", "1"), 22050, "H.264", "Nellymoser"),
    "avc_speex": (("libx264", "-preset", "veryfast", "-g", "25", "-pix_fmt", "yuv420p"),
                  ("libspeex", "-ac", "1"), 16000, "H.264", "Speex"),
    "audio_only_aac": (None, ("aac",), 44100, "-", "AAC"),
    "video_only_avc": (("libx264", "-preset", "veryfast", "-g", "25", "-pix_fmt", "yuv420p"), None, 44100, "H.264", "-"),
}


@pytest.mark.parametrize("case", LEGACY)
def test_legacy_codecs_are_byte_equal(penstock, studio, tmp_path, case):
    video, audio, rate, _, _ = LEGACY[case]
    clip = make_clip(tmp_path / "clip.flv", 2, video, audio, rate, size="160x120")
    kinds = (("video",) if video else ()) + (("audio",) if audio else ())
    player = studio.play(penstock.url(f"legacy/{case}"), tmp_path / "got.flv")
    penstock.wait_subscribers(f"legacy/{case}", 1)
    publisher = studio.publish(clip, penstock.url(f"legacy/{case}"), realtime=False)
    assert publisher.wait(20) == 0, publisher.output()
    assert player.wait(20) == 0, player.output()
    assert compare(clip, tmp_path / "got.flv", kinds, least=10, from_start=True, to_end=True) == []


@pytest.mark.parametrize("case", ["sorenson_mp3", "avc_speex"])
def test_codec_names_are_shown(penstock, studio, tmp_path, case):
    video, audio, rate, video_name, audio_name = LEGACY[case]
    clip = make_clip(tmp_path / "clip.flv", 2, video, audio, rate, size="160x120")
    studio.publish(clip, penstock.url(f"named/{case}"), loop=True)
    row = wait_for(lambda: (lambda r: r if r and r["video"]["codec"] != "-" and r["audio"]["codec"] != "-" else None)(
        penstock.stream(f"named/{case}")), what="both codecs known")
    assert video_name.lower() in row["video"]["codec"].lower() or row["video"]["codec"].lower() in video_name.lower()
    assert audio_name.lower() in row["audio"]["codec"].lower()


def vector_tags():
    """Every body of the vectors, legacy and enhanced, as tags 40 ms apart."""
    with open(ROOT / "tests" / "vectors" / "flv_ertmp.json", encoding="utf-8") as file:
        vectors = json.load(file)
    return [(entry["message_type"], 40 * number, bytes.fromhex(entry["hex"]))
            for number, entry in enumerate(vectors["legacy"] + vectors["enhanced"])
            if entry["message_type"] in (AUDIO, VIDEO)]


@pytest.mark.smoke
def test_bodies_of_every_known_form_come_out_as_they_went_in(penstock):
    with RtmpPeer(penstock.rtmp_port) as player, RtmpPeer(penstock.rtmp_port) as publisher:
        player.play("enhanced", "bodies")
        penstock.wait_subscribers("enhanced/bodies", 1)
        code, stream_id = publisher.publish("enhanced", "bodies", fourCcList=["hvc1", "av01", "vp09", "Opus"], capsEx=7)
        assert code == "NetStream.Publish.Start"
        # A player that waited starts with a keyframe: one goes ahead of the rest.
        tags = [(VIDEO, 0, bytes.fromhex("1701000000000000026588"))] + vector_tags()
        publisher.send_tags(tags, stream_id)
        got = [player.read_media() for _ in range(len(tags))]
    assert [(m.type, m.body) for m in got] == [(kind, body) for kind, _, body in tags]
    assert [m.timestamp for m in got] == [timestamp for _, timestamp, _ in tags]


def hevc_tags(frames=50):
    """SequenceStart, then CodedFramesX with a keyframe each 25 (E-RTMP v2, "Enhanced Video")."""
    config = bytes.fromhex("0101600000009000000000003ff000fcfdf8f800000f00")
    yield (VIDEO, 0, b"\x90hvc1" + config)
    for number in range(frames):
        lead = b"\x93hvc1" if number % 25 == 0 else b"\xa3hvc1"
        yield (VIDEO, number * 40, lead + bytes([number]) * 200)


@pytest.mark.smoke
def test_enhanced_hevc_is_known_and_a_late_joiner_gets_its_header(penstock):
    tags = list(hevc_tags())
    with RtmpPeer(penstock.rtmp_port) as publisher:
        answer = publisher.connect("enhanced", fourCcList=["hvc1"], capsEx=1)
        assert "hvc1" in str(answer) or "*" in str(answer), f"fourCcList is answered: {answer}"
        stream_id = publisher.create_stream()
        publisher.command("publish", None, "hevc", "live", stream_id=stream_id)
        assert publisher.wait_status()["code"] == "NetStream.Publish.Start"
        publisher.send_tags(tags[:40], stream_id)
        row = wait_for(lambda: (lambda r: r if r and r["video"]["codec"] != "-" else None)(
            penstock.stream("enhanced/hevc")), what="the codec is known")
        assert "HEVC" in row["video"]["codec"] or "265" in row["video"]["codec"]
        wait_for(lambda: penstock.stream("enhanced/hevc")["frames_received"] >= 40, what="all frames counted")
        with RtmpPeer(penstock.rtmp_port) as player:
            player.play("enhanced", "hevc")
            got = [player.read_media() for _ in range(15)]
    assert got[0].body == tags[0][2], "the sequence header comes first"
    assert got[1].body == tags[26][2], "then the newest keyframe"
    assert [m.body for m in got[1:15]] == [body for _, _, body in tags[26:40]]


def test_metadata_reaches_a_late_joiner_without_its_wrapper(penstock):
    info = {"width": 640.0, "height": 360.0, "encoder": "by hand"}
    with RtmpPeer(penstock.rtmp_port) as publisher:
        _, stream_id = publisher.publish("live", "meta")
        publisher.send_message(DATA, amf_encode("@setDataFrame") + amf_encode("onMetaData") + amf_encode(info), stream_id)
        publisher.send_tags([(VIDEO, 0, b"\x17\x00" + b"\0" * 20), (VIDEO, 0, b"\x17\x01\0\0\0" + b"x" * 50)], stream_id)
        wait_for(lambda: (penstock.stream("live/meta") or {}).get("frames_received", 0) >= 2, what="two frames")
        with RtmpPeer(penstock.rtmp_port) as player:
            player.play("live", "meta")
            while True:
                first = player.read_media()
                if first.type == DATA and b"onMetaData" in first.body:
                    break
                assert first.type == DATA, "metadata comes before media"
    name, value = amf_decode_all(first.body)[:2]
    assert name == "onMetaData" and value == info


def test_timestamps_beyond_24_bits_are_kept(penstock):
    start = 0xFFFFFF - 100
    tags = [(VIDEO, start, b"\x17\x01\0\0\0" + b"k" * 70_000)]
    tags += [(VIDEO, start + 40 * n, b"\x27\x01\0\0\0" + bytes([n]) * 300) for n in range(1, 12)]
    with RtmpPeer(penstock.rtmp_port) as player, RtmpPeer(penstock.rtmp_port) as publisher:
        player.play("live", "long")
        penstock.wait_subscribers("live/long", 1)
        _, stream_id = publisher.publish("live", "long")
        publisher.send_tags(tags, stream_id)
        got = [player.read_media() for _ in range(len(tags))]
    assert [(m.timestamp, m.body) for m in got] == [(timestamp, body) for _, timestamp, body in tags]
