"""Who may publish: open, or a list of keys."""
import os
import stat

import pytest

from compare_flv import compare
from processes import wait_for
from rtmp_peer import RtmpPeer


@pytest.fixture(scope="module")
def keyed(tmp_path_factory):
    from conftest import end
    import processes
    made = processes.Penstock(tmp_path_factory.mktemp("keyed"), publish="keys", keys=["live/good", "live/also"])
    made.start()
    wait_for(lambda: made.get("/status")["epoch"]["applied"] == made.get("/status")["epoch"]["wanted"], what="applied")
    yield made
    end(made)


@pytest.mark.smoke
def test_listed_key_publishes_and_another_is_refused(keyed, studio, clip, tmp_path):
    refused = studio.publish(clip, keyed.url("live/bad"))
    assert refused.wait(8) != 0
    assert keyed.stream("live/bad") is None
    player = studio.play(keyed.url("live/good"), tmp_path / "got.flv")
    keyed.wait_subscribers("live/good", 1)
    assert studio.publish(clip, keyed.url("live/good"), realtime=False).wait() == 0
    assert player.wait(10) == 0
    assert compare(clip, tmp_path / "got.flv", least=60, from_start=True, to_end=True) == []
    assert keyed.counters()["publishes_refused"] >= 1


def test_refused_publisher_is_told_why_and_closed(keyed):
    with RtmpPeer(keyed.rtmp_port) as peer:
        peer.connect("live")
        stream_id = peer.create_stream()
        peer.command("publish", None, "not-a-key", "live", stream_id=stream_id)
        status = peer.wait_status()
        assert status["level"] == "error" and status["code"].startswith("NetStream.Publish.")
        assert status["description"]
        with pytest.raises(OSError):
            while True:
                peer.read_message()


def test_reload_changes_the_list_without_a_restart(keyed):
    keyed.keys.append("live/new")
    keyed.write_config()
    assert keyed.cli("config", "reload").code == 0

    def publishes():
        with RtmpPeer(keyed.rtmp_port) as peer:
            return peer.publish("live", "new")[0] == "NetStream.Publish.Start"
    wait_for(publishes, 5, "the new key is accepted")


def test_no_key_is_in_a_log_or_an_answer(keyed, studio, clip):
    studio.publish(clip, keyed.url("live/also"), loop=True)
    keyed.wait_live("live/also")
    assert "live/also" not in keyed.control.output()
    assert '"keys"' in keyed.http("/api/v1/config")[1]
    assert "live/good" not in keyed.http("/api/v1/config")[1]


def test_socket_and_state_are_for_the_owner_alone(keyed):
    mode = os.stat(keyed.socket_path).st_mode
    assert stat.S_ISSOCK(mode) and mode & 0o077 == 0
    for name in os.listdir(keyed.folder / "state"):
        assert os.stat(keyed.folder / "state" / name).st_mode & 0o077 == 0, name
