"""Many at once, as far as a test run may take: fifty publishers and one player that must not notice them."""
import time

from compare_flv import compare
from processes import KIND, wait_for


def test_fifty_publishers_while_one_is_watched(penstock, studio, clip, tmp_path):
    count = 50 if KIND == "release" else 10
    player = studio.play(penstock.url("many/0"), tmp_path / "got.flv")
    penstock.wait_subscribers("many/0", 1)
    publishers = [studio.publish(clip, penstock.url(f"many/{number}"), label=f"publish{number}") for number in range(count)]
    wait_for(lambda: sum(name.startswith("many/") for name in penstock.streams()) >= count - 1 or
             not publishers[0].running(), 20, "all are live")
    started = time.monotonic()
    assert penstock.cli("streams").code == 0
    assert time.monotonic() - started < 2
    for publisher in publishers:
        assert publisher.wait(30) == 0, publisher.output()
    assert player.wait(15) == 0
    assert compare(clip, tmp_path / "got.flv", least=60, from_start=True, to_end=True) == []
    assert penstock.counters()["frames_no_memory"] == 0
