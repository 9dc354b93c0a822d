"""Either process may die at any moment."""
import signal
import subprocess
import time

import pytest

from compare_flv import compare
from processes import PATIENCE, wait_for
from rtmp_peer import RtmpPeer


def steady(rows):
    """What must not change when a new control process takes over."""
    return {name: (row["stream_id"], row["connection_id"], row["publisher"], row["since_unix_ms"], row["worker"],
                   row["video"]["codec"], row["audio"]["codec"]) for name, row in rows.items()}


@pytest.mark.smoke
def test_kill_9_of_the_control_process_is_not_noticed(own, studio, clip, tmp_path):
    player = studio.play(own.url("live/survives"), tmp_path / "got.flv")
    own.wait_subscribers("live/survives", 1)
    publisher = studio.publish(clip, own.url("live/survives"))
    own.wait_live("live/survives")
    wait_for(lambda: own.stream("live/survives")["audio"]["codec"] != "-", what="codecs known")
    before, counters = own.streams(), own.counters()
    own.kill_control()
    time.sleep(0.5)
    started = time.monotonic()
    own.start_control()
    rows = wait_for(own.streams, 1.0, "the new control process shows the streams within a second")
    assert time.monotonic() - started < 1.5 * PATIENCE
    assert steady(rows) == steady(before)
    after = own.counters()
    for name, value in counters.items():
        if name not in ("connections", "publishers", "subscribers", "frame_bytes", "leases_out"):
            assert after[name] >= value, f"{name} went back from {value} to {after[name]}"
    assert rows["live/survives"]["bytes_received"] > before["live/survives"]["bytes_received"]
    assert publisher.wait(15) == 0, publisher.output()
    assert player.wait(15) == 0, player.output()
    assert compare(clip, tmp_path / "got.flv", least=60, from_start=True, to_end=True) == []


def test_with_the_control_process_dead_publish_and_play_go_on(own, studio, clip, tmp_path):
    own.kill_control()
    player = studio.play(own.url("live/headless"), tmp_path / "got.flv")
    time.sleep(1.0)
    publisher = studio.publish(clip, own.url("live/headless"))
    time.sleep(0.5)
    second = studio.publish(clip, own.url("live/headless"), label="second")
    assert second.wait(8) != 0, "names are decided without the control process"
    assert publisher.wait(15) == 0
    assert player.wait(15) == 0
    assert compare(clip, tmp_path / "got.flv", least=60, to_end=True) == []


def test_static_keys_hold_with_the_control_process_dead(make_penstock, studio, clip):
    penstock = make_penstock(publish="keys", keys=["live/good"]).start()
    wait_for(lambda: penstock.get("/status")["epoch"]["applied"] == penstock.get("/status")["epoch"]["wanted"],
             what="the policy is applied")
    penstock.kill_control()
    with RtmpPeer(penstock.rtmp_port) as bad:
        code, _ = bad.publish("live", "bad")
        assert code != "NetStream.Publish.Start"
    with RtmpPeer(penstock.rtmp_port) as good:
        code, _ = good.publish("live", "good")
        assert code == "NetStream.Publish.Start"


@pytest.mark.smoke
def test_kill_9_of_the_data_plane_starts_from_the_last_applied_configuration(make_penstock, studio, clip):
    penstock = make_penstock(publish="keys", keys=["live/good"]).start()
    assert penstock.cli("tune", "set", "limits.gop_bytes", "0").code == 0
    applied = penstock.folder / "state" / "applied.toml"
    wait_for(lambda: applied.exists() and "live/good" in applied.read_text(), what="the applied configuration is on disk")
    time.sleep(0.3)
    penstock.kill_control()
    penstock.kill_dataplane()
    # The file now says otherwise; what was applied last is what counts, and nobody is there to say anything else.
    penstock.publish = "open"
    penstock.write_config()
    penstock.start_dataplane()
    with RtmpPeer(penstock.rtmp_port) as bad:
        code, _ = bad.publish("live", "bad")
        assert code != "NetStream.Publish.Start", "still only the keys that were applied"
    with RtmpPeer(penstock.rtmp_port) as good:
        code, _ = good.publish("live", "good")
        assert code == "NetStream.Publish.Start"


def test_control_process_attaches_to_a_restarted_data_plane(own, studio, clip):
    first_run = own.get("/status")["dataplane"]["run_id"]
    own.kill_dataplane()
    wait_for(lambda: not own.healthy(), what="/healthz says that the data plane is gone")
    own.start_dataplane()
    wait_for(own.healthy, what="attached again")
    assert own.get("/status")["dataplane"]["run_id"] != first_run
    studio.publish(clip, own.url("live/new"), loop=True)
    own.wait_live("live/new")


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_restarted_data_plane_runs_with_what_is_wanted_and_nothing_warns(make_penstock, number):
    own = make_penstock().start()
    for order in (("set", "limits.gop_bytes", "4MiB"), ("reset", "limits.gop_bytes")):
        assert own.cli("tune", *order).code == 0
    time.sleep(0.3)  # until it is on disk
    if number == signal.SIGKILL:
        own.kill_dataplane()
    else:
        assert own.dataplane.end(number) == 0
    own.start_dataplane()
    wait_for(own.healthy, what="attached again")
    wait_for(lambda: own.get("/status")["epoch"]["applied"] == own.get("/status")["epoch"]["wanted"],
             what="what is wanted is applied")
    assert own.get("/status")["warnings"] == []
    reload = own.cli("config", "reload")
    assert reload.code == 0 and "not applied" not in reload.out, reload.out


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 256 KiB, and a function that fills it."""
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", disk], capture_output=True, check=False).returncode != 0:
        pytest.skip("no file system can be mounted here")
    filler = disk / "filler"

    def fill():
        with open(filler, "wb", buffering=0) as file:
            try:
                while True:
                    file.write(bytes(512))
            except OSError:
                pass

    yield disk, fill, filler
    subprocess.run(["umount", "-l", disk], check=False)


def test_a_full_disk_is_said_as_long_as_it_is_full(make_penstock, small_disk):
    disk, fill, filler = small_disk
    own = make_penstock()
    own.config_path.write_text(own.config_path.read_text().replace(f"{own.folder}/state", str(disk)))
    own.start()
    wait_for(lambda: (disk / "applied.toml").exists(), what="something is kept")
    assert own.get("/status")["warnings"] == []
    fill()
    said = own.cli("tune", "set", "gop_bytes", "4MiB")
    assert said.code == 0 and "cannot be kept on disk" in said.out and "No space left" in said.out, said.out
    assert "cannot be kept on disk" in own.cli("log-level", "debug").out
    assert any("cannot be kept on disk" in line for line in own.get("/status")["warnings"])
    filler.unlink()
    wait_for(lambda: own.get("/status")["warnings"] == [], what="nothing is to be warned of")
    assert "cannot be kept" not in own.cli("tune", "reset", "gop_bytes").out


def test_a_control_process_without_room_for_its_store_says_what_to_do(make_penstock, small_disk):
    disk, fill, _ = small_disk
    own = make_penstock()
    own.config_path.write_text(own.config_path.read_text().replace(f"{own.folder}/state", str(disk)))
    own.start_dataplane()
    fill()
    own.start_control()
    wait_for(own.healthy, what="it runs all the same")
    said = own.control.output() + own.cli("status").out
    assert f"free space in {disk}" in said and "move it away" not in said, said
    assert own.cli("user", "add", "bob").code != 0


def test_clean_stop_tells_players_and_leaves_in_order(own, studio, clip, tmp_path):
    studio.publish(clip, own.url("live/stopped"), loop=True)
    own.wait_live("live/stopped")
    player = studio.play(own.url("live/stopped"), tmp_path / "got.flv")
    own.wait_subscribers("live/stopped", 1)
    started = time.monotonic()
    assert own.dataplane.end(signal.SIGTERM) == 0
    assert time.monotonic() - started < 5 * PATIENCE
    player.wait(8)


def test_second_data_plane_on_the_same_port_is_refused_with_a_reason(own, make_penstock):
    other = make_penstock()
    other.rtmp_port = own.rtmp_port
    other.write_config()
    run = other._start("penstockd")
    assert run.wait() == 1
    other.expected_codes[run.pid] = 1
    assert str(own.rtmp_port) in run.output()
    assert own.accepts()
