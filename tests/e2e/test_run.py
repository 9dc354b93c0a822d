"""What tools/run does once everything is built: start, keep running, stop."""
import os
import signal
import time

import pytest

import processes
from processes import ROOT, Run, wait_for


class Supervised:
    """tools/supervise.py with a Penstock's configuration; the processes are the script's, not the fixture's."""

    def __init__(self, penstock, *arguments):
        self.penstock = penstock
        self.run = Run(["/usr/bin/python3", ROOT / "tools" / "supervise.py", "--config", penstock.config_path, *arguments],
                       penstock.folder / "run.log")

    def wait_ready(self):
        wait_for(lambda: "Stop: Ctrl-C" in self.run.output() or not self.run.running(), 20, "it says what to type next")
        assert self.run.running(), self.run.output()

    def pids(self):
        status = self.penstock.get("/status")
        return status["dataplane"]["process_id"], status["control"]["process_id"]


@pytest.fixture
def supervise(make_penstock):
    started = []

    def start(*arguments, penstock=None):
        made = Supervised(penstock or make_penstock(), *arguments)
        started.append(made)
        return made
    yield start
    for made in started:
        if made.run.running():
            made.run.end(signal.SIGTERM, 15)


def exists(pid):
    try:
        os.kill(pid, 0)
        return True
    except ProcessLookupError:
        return False


def test_it_starts_says_what_to_type_and_stops_both_on_ctrl_c(supervise, studio, clip):
    supervised = supervise()
    supervised.wait_ready()
    penstock, said = supervised.penstock, supervised.run.output()
    assert f"-f flv {penstock.url('live/demo')}" in said
    assert f"ffplay {penstock.url('live/demo')}" in said
    assert "penstockctl" in said and f"--socket {penstock.socket_path}" in said
    studio.publish(clip, penstock.url("live/demo"), loop=True)
    penstock.wait_live("live/demo")
    pids = supervised.pids()
    started = time.monotonic()
    assert supervised.run.end(signal.SIGINT, 15) == 0
    assert time.monotonic() - started < 10 * processes.PATIENCE
    assert not any(map(exists, pids))
    assert not penstock.accepts()


@pytest.mark.smoke
def test_what_is_killed_is_started_again(supervise):
    supervised = supervise()
    supervised.wait_ready()
    penstock = supervised.penstock
    first_dataplane, first_control = supervised.pids()
    os.kill(first_control, signal.SIGKILL)
    wait_for(lambda: penstock.healthy() and supervised.pids()[1] not in (0, first_control), what="another control process")
    assert supervised.pids()[0] == first_dataplane, "the data plane was left alone"
    os.kill(first_dataplane, signal.SIGKILL)
    wait_for(lambda: penstock.healthy() and supervised.pids()[0] not in (0, first_dataplane), what="another data plane")
    said = supervised.run.output()
    assert "run: penstock-control ended (signal 9, SIGKILL), starting it again" in said
    assert "run: penstockd ended (signal 9, SIGKILL), starting it again" in said


def test_a_taken_port_is_said_in_one_line(supervise, own, make_penstock):
    other = make_penstock()
    other.rtmp_port = own.rtmp_port
    other.write_config()
    supervised = supervise(penstock=other)
    assert supervised.run.wait(15) == 1
    said = supervised.run.output().strip()
    assert len(said.splitlines()) == 1 and f":{own.rtmp_port} cannot be used" in said
    assert own.healthy()


def test_a_bad_file_is_said_with_its_line(supervise, make_penstock):
    penstock = make_penstock()
    penstock.config_path.write_text(penstock.config_path.read_text().replace("[limits]\n", "[limits]\nbogus = 1\n"))
    supervised = supervise(penstock=penstock)
    assert supervised.run.wait(15) == 1
    assert f"{penstock.config_path}:" in supervised.run.output() and "bogus" in supervised.run.output()


def test_nothing_is_left_when_the_script_itself_is_killed(supervise):
    supervised = supervise()
    supervised.wait_ready()
    pids = supervised.pids()
    supervised.run.end(signal.SIGKILL)
    wait_for(lambda: not any(map(exists, pids)), what="both processes end")


def test_demo_publishes_a_test_picture(supervise):
    supervised = supervise("--demo")
    supervised.wait_ready()
    row = supervised.penstock.wait_live("live/demo", 15)
    wait_for(lambda: supervised.penstock.stream("live/demo")["video"]["width"] == 1280, what="its size")
    assert row["name"] == "live/demo"
