"""Every verb of penstockctl against real processes."""
import json
import os
import pty
import select
import signal
import subprocess
import time

import pytest

from processes import PATIENCE, PROGRAMS, wait_for
from rtmp_peer import RtmpPeer


@pytest.fixture(scope="module")
def live(penstock, clip, tmp_path_factory):
    """A stream with one player, for all the verbs that look."""
    import media
    studio = media.Studio(tmp_path_factory.mktemp("live"))
    studio.publish(clip, penstock.url("live/cam1"), loop=True)
    penstock.wait_live("live/cam1")
    studio.play(penstock.url("live/cam1"), "/dev/null")
    penstock.wait_subscribers("live/cam1", 1)
    wait_for(lambda: penstock.stream("live/cam1")["video"]["fps"] > 0, what="measured")
    yield penstock
    studio.end_all()


def test_status(live):
    text = live.cli("status")
    assert text.code == 0 and "healthy" in text.out and "penstockd" in text.out
    status = live.cli("status", "--json").json()
    assert status["healthy"] and status["dataplane"]["attached"] and status["streams"] >= 1
    assert status["dataplane"]["process_id"] == live.dataplane.pid
    assert status["control"]["process_id"] == live.control.pid


@pytest.mark.smoke
def test_streams_and_stream_show(live):
    text = live.cli("streams")
    assert text.code == 0
    assert "live/cam1" in text.out and "H.264" in text.out and "320x180" in text.out
    assert "\x1b" not in text.out, "no colours into a pipe"
    row = live.cli("--json", "stream", "show", "live/cam1").json()
    assert row["subscribers"] == 1 and row["audio"]["codec"] == "AAC"
    shown = live.cli("stream", "show", "live/cam1")
    assert shown.code == 0 and "H.264 320x180" in shown.out


def test_what_is_not_there_is_code_1_with_a_reason(live):
    for arguments in (["stream", "show", "live/none"], ["stream", "kick", "live/none"], ["connection", "show", "999999999"],
                      ["connection", "kick", "999999999"], ["tune", "get", "no_such_thing"]):
        result = live.cli(*arguments)
        assert result.code == 1, arguments
        assert result.err.startswith("penstockctl: "), result.err
        assert result.out == ""
    failed = live.cli("stream", "show", "live/none", "--json")
    assert failed.code == 1 and "error" in json.loads(failed.err)


def test_wrong_usage_is_code_2(live):
    for arguments in ([], ["bogus"], ["stream"], ["stream", "show"], ["tune", "set", "gop_bytes"], ["status", "--bogus"],
                      ["connection", "kick", "abc"], ["log-level", "loud"], ["top", "--interval", "0"]):
        result = live.cli(*arguments)
        assert result.code == 2, (arguments, result.err)
        assert "--help" in result.err


def test_every_verb_has_help_with_an_example(live):
    verbs = [["status"], ["streams"], ["stream"], ["stream", "show"], ["stream", "kick"], ["connections"], ["connection"],
             ["connection", "show"], ["connection", "kick"], ["connection", "trace"], ["workers"], ["counters"], ["top"],
             ["history"], ["config"], ["config", "check"], ["config", "show"], ["config", "reload"], ["tune"],
             ["tune", "list"], ["tune", "get"], ["tune", "set"], ["tune", "reset"], ["drain"], ["log-level"], ["version"]]
    for verb in verbs:
        result = live.cli(*verb, "--help")
        assert result.code == 0 and "Examples:\n  penstockctl " in result.out, verb


def test_connections_kick_and_trace(live):
    text = live.cli("connections")
    assert text.code == 0 and "publisher" in text.out and "subscriber" in text.out
    rows = live.cli("connections", "--stream", "live/cam1", "--json").json()["connections"]
    assert {row["role"] for row in rows} >= {"publisher", "subscriber"}
    with RtmpPeer(live.rtmp_port) as peer:
        peer.connect("live")
        local = "127.0.0.1:%d" % peer.socket.getsockname()[1]
        row = wait_for(lambda: next((r for r in live.connections() if r["peer"] == local), None), what="the connection's row")
        number = row["connection_id"]
        assert live.cli("connection", "show", number).code == 0
        traced = live.cli("connection", "trace", number)
        assert traced.code == 0, traced.err
        assert live.cli("connection", "trace", number, "--off").code == 0
        kicked = live.cli("connection", "kick", number)
        assert kicked.code == 0 and number in kicked.out
        with pytest.raises((ConnectionError, OSError)):
            while True:
                peer.read_message()
    wait_for(lambda: all(r["connection_id"] != number for r in live.connections()), what="the row is gone")


def test_trace_logs_the_messages_of_one_connection_until_it_is_off(live):
    number = live.stream("live/cam1")["connection_id"]
    traced = live.cli("connection", "trace", number)
    assert traced.code == 0 and "on" in traced.out
    log = live.dataplane.output
    lines = lambda: [line for line in log().splitlines() if f"connection={number}" in line and "video" in line]
    wait_for(lambda: len(lines()) > 3, what="traced messages in the log")
    assert live.cli("connection", "trace", number, "--off").code == 0
    time.sleep(0.3)
    count = len(lines())
    time.sleep(0.5)
    assert len(lines()) == count, "it stopped"


def test_workers(live):
    text = live.cli("workers")
    assert text.code == 0 and "alive" in text.out
    rows = live.cli("workers", "--json").json()["workers"]
    assert len(rows) == len(live.workers)
    assert [row["core"] for row in rows] == live.workers
    assert sum(row["publishers"] for row in rows) >= 1


def test_counters(live):
    text = live.cli("counters")
    assert text.code == 0 and "bytes_received" in text.out
    counters = {row["name"]: row for row in live.cli("counters", "--json").json()["counters"]}
    assert counters["messages_video"]["total"] > 0
    assert sum(counters["bytes_received"]["workers"]) == counters["bytes_received"]["total"]
    assert len(live.cli("counters", "--all").out.splitlines()) > len(text.out.splitlines())


def test_top_prints_once_into_a_pipe(live):
    result = live.cli("top")
    assert result.code == 0 and "live/cam1" in result.out and "\x1b" not in result.out
    assert "status" in live.cli("top", "--json").json()


def run_top(live, keys=None, number=None):
    """top on a terminal of its own; what it drew, and its exit code."""
    child, terminal = pty.fork()
    if child == 0:
        os.environ.update(PENSTOCK_SOCKET=str(live.socket_path), TERM="xterm")
        os.execv(PROGRAMS / "penstockctl", ["penstockctl", "top", "--interval", "0.2"])
    drawn, sent, deadline = b"", False, time.monotonic() + 10 * PATIENCE
    while time.monotonic() < deadline:
        if select.select([terminal], [], [], 0.1)[0]:
            try:
                drawn += os.read(terminal, 65536)
            except OSError:
                break  # the other end is closed: it ended
        if not sent and drawn.count(b"\x1b[H") >= 3 and b"live/cam1" in drawn:
            sent = True
            if keys:
                os.write(terminal, keys)
            else:
                os.kill(child, number)
    else:
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    os.close(terminal)
    return drawn, os.waitstatus_to_exitcode(status)


@pytest.mark.parametrize("keys, number", [(b"q", None), (b"\x03", None), (None, signal.SIGTERM)])
def test_top_redraws_and_gives_the_terminal_back(live, keys, number):
    drawn, code = run_top(live, keys, number)
    assert code == 0
    assert drawn.startswith(b"\x1b[?1049h\x1b[?25l"), "alternate screen, no cursor"
    assert drawn.count(b"\x1b[H") >= 3, "redrawn"
    assert drawn.rstrip().endswith(b"\x1b[?25h\x1b[?1049l"), "cursor and screen are back"


def test_config_show_and_reload(live):
    shown = live.cli("config", "show")
    assert shown.code == 0 and f"127.0.0.1:{live.rtmp_port}" in shown.out
    before = live.cli("config", "show", "--json").json()
    assert before["publish"] == "open"
    reloaded = live.cli("config", "reload")
    assert reloaded.code == 0 and "nothing changed" in reloaded.out
    text = live.config_path.read_text()
    try:
        live.config_path.write_text(text.replace("[limits]\n", "[limits]\ngop_bytes = 1048576\n")
                                    .replace("connections_max = 2000", "connections_max = 3000"))
        changed = live.cli("config", "reload")
        assert changed.code == 0
        assert "gop_bytes" in changed.out and "penstockd is restarted: limits.connections_max" in changed.out
        wait_for(lambda: live.cli("tune", "get", "gop_bytes", "--json").json()["value"] == 1048576, what="the new value")
        live.config_path.write_text(text.replace("[limits]\n", "[limits]\nbogus = 1\n"))
        refused = live.cli("config", "reload")
        assert refused.code == 1 and "bogus" in refused.err and f"{live.config_path}:" in refused.err
        assert live.cli("tune", "get", "gop_bytes", "--json").json()["value"] == 1048576, "the running state stays"
    finally:
        live.config_path.write_text(text)
        assert live.cli("config", "reload").code == 0


@pytest.mark.smoke
def test_tune_list_get_set_reset(live):
    listed = live.cli("tune", "list")
    assert listed.code == 0
    assert "limits.gop_bytes" in listed.out and "at once" in listed.out and "needs restart" in listed.out
    before = live.cli("tune", "get", "gop_bytes", "--json").json()["value"]
    done = live.cli("tune", "set", "limits.gop_bytes", "4MiB")
    assert done.code == 0 and "4194304" in done.out and "at once" in done.out
    tuned = live.cli("tune", "get", "limits.gop_bytes", "--json").json()
    assert tuned["value"] == 4194304 and tuned["source"] == "live"
    for value in ("-1", "many", "999999999999999", "1.5"):
        refused = live.cli("tune", "set", "limits.gop_bytes", "--", value)
        assert refused.code in (1, 2), value
    restart = live.cli("tune", "set", "limits.connections_max", "10")
    assert restart.code == 1 and "restart" in restart.err
    assert live.cli("tune", "reset", "limits.gop_bytes").code == 0
    assert live.cli("tune", "get", "gop_bytes", "--json").json()["value"] == before


def test_history_after_a_kick(live, studio, clip):
    publisher = studio.publish(clip, live.url("live/kicked"), loop=True)
    live.wait_live("live/kicked")
    kicked = live.cli("stream", "kick", "live/kicked", "--reason", "wrong name")
    assert kicked.code == 0 and "live/kicked" in kicked.out
    publisher.wait(8)
    live.wait_gone("live/kicked")
    row = wait_for(lambda: next((r for r in live.cli("history", "--json").json()["streams"] if r["name"] == "live/kicked"),
                                None), what="its row in the history")
    assert "wrong name" in row["reason"]
    text = live.cli("history")
    assert text.code == 0 and "live/kicked" in text.out


def test_kick_leaves_the_others_alone(live, studio, clip):
    publisher = studio.publish(clip, live.url("live/victim"), loop=True)
    live.wait_live("live/victim")
    before = live.stream("live/cam1")["stream_id"]
    assert live.cli("stream", "kick", "live/victim").code == 0
    live.wait_gone("live/victim")
    publisher.wait(8)
    assert live.stream("live/cam1")["stream_id"] == before


def test_log_level(live):
    assert live.cli("log-level").out.strip() == "info"
    assert live.cli("log-level", "debug").code == 0
    assert live.cli("log-level", "--json").json()["level"] == "debug"
    assert live.cli("log-level", "--reset").code == 0
    assert live.cli("log-level").out.strip() == "info"


def test_version(live):
    versions = live.cli("version", "--json").json()
    assert versions["penstockctl"] == versions["control"] == versions["dataplane"]
    assert live.cli("version").out.count(versions["control"]) == 3


def test_drain_and_back(own, studio, clip):
    publisher = studio.publish(clip, own.url("live/drained"), loop=True)
    own.wait_live("live/drained")
    drained = own.cli("drain")
    assert drained.code == 0 and "draining" in drained.out
    assert own.cli("status", "--json").json()["draining"]
    publisher.wait(15)
    own.wait_gone("live/drained", 15)
    refused = studio.publish(clip, own.url("live/refused"), label="refused")
    assert refused.wait(15) != 0
    assert own.cli("drain", "--off").code == 0
    wait_for(lambda: not own.get("/status")["draining"], what="no longer draining")
    studio.publish(clip, own.url("live/back"), loop=True)
    own.wait_live("live/back")


def test_without_a_control_process_it_says_what_to_do(make_penstock):
    idle = make_penstock()
    result = idle.cli("status")
    assert result.code == 1
    assert "penstock-control is not running at" in result.err and "start it with tools/run" in result.err
    found = idle.cli("status", environment={"PENSTOCK_SOCKET": ""})
    assert found.code == 1 and "state/control.sock" in found.err


def test_socket_is_found_below_the_current_folder(live, tmp_path):
    (tmp_path / "state").mkdir()
    os.symlink(live.socket_path, tmp_path / "state" / "control.sock")
    done = subprocess.run([PROGRAMS / "penstockctl", "version", "--json"], cwd=tmp_path, stdout=subprocess.PIPE, text=True,
                          env={k: v for k, v in os.environ.items() if k != "PENSTOCK_SOCKET"}, check=True)
    assert json.loads(done.stdout)["control"]
