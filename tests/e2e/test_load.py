"""penstock-load against real servers: what it reports is what happened, and what it publishes is real."""
import json
import os
import pathlib
import signal
import subprocess
import time

import pytest

from media import ffprobe_streams
from processes import PATIENCE, PROGRAMS, free_port, wait_for

NGINX = pathlib.Path("/usr/sbin/nginx")
NGINX_RTMP = pathlib.Path("/usr/lib/nginx/modules/ngx_rtmp_module.so")


def load(port, *arguments, seconds=30):
    """(exit code, stdout, stderr)"""
    done = subprocess.run([PROGRAMS / "penstock-load", "--server", f"127.0.0.1:{port}", *map(str, arguments)],
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                          timeout=seconds * PATIENCE, check=False)
    return done.returncode, done.stdout, done.stderr


def load_json(port, *arguments, code=0):
    got, out, err = load(port, *arguments, "--json")
    assert got == code, out + err
    return json.loads(out)


def report_of(run):
    """Its log has both streams: on a busy machine a warning stands before the object."""
    text = run.output()
    return json.loads(text[text.index("{"):])


SHORT = ("--ramp-s", 0.2, "--warmup-s", 0.5, "--duration-s", 2)


@pytest.mark.smoke
def test_mixed_has_no_gap_and_a_latency(penstock):
    report = load_json(penstock.rtmp_port, "mixed", "--publishers", 4, "--players", 8, "--name", "mixed", *SHORT,
                       "--server-pid", penstock.dataplane.pid, "--expect", "gaps=0", "--expect", "players_held=8")
    assert report["publishers"] == {"wanted": 4, "held": 4}
    assert report["players"] == {"wanted": 8, "held": 8}
    assert report["gaps"] == 0 and report["streams_without_gap"] == 4
    # Two seconds of 73 messages a second from each publisher, but for what is on its way at the edges.
    assert abs(report["messages_sent"] - 4 * 146) <= 4 * 8 * PATIENCE
    assert abs(report["messages_received"] - 8 * 146) <= 8 * 8 * PATIENCE
    assert report["latency_ms"]["count"] == report["messages_received"]
    assert 0 < report["latency_ms"]["p50"] <= report["latency_ms"]["p99"] <= report["latency_ms"]["max"]
    assert report["server_usage"]["cpu_s"] > 0 and report["server_usage"]["cpu_us_per_message"] > 0
    assert [one["holds"] for one in report["expectations"]] == [True, True]
    assert report["errors"] == {} and report["connections"]["opened"] == 12


@pytest.mark.parametrize("chunk_bytes", [128, 65536])
def test_chunk_sizes_and_the_signed_handshake(penstock, chunk_bytes):
    load_json(penstock.rtmp_port, "mixed", "--publishers", 2, "--players", 2, "--name", f"chunk{chunk_bytes}", "--digest",
              "--chunk-bytes", chunk_bytes, *SHORT, "--expect", "gaps=0", "--expect", "streams_without_gap=2")


def test_an_expectation_that_does_not_hold_exits_with_1(penstock):
    report = load_json(penstock.rtmp_port, "publish", "--publishers", 1, "--name", "expects", *SHORT,
                       "--expect", "bytes_sent>1G", "--expect", "publishers_held=1", code=1)
    assert [one["holds"] for one in report["expectations"]] == [False, True]


def test_nothing_measured_is_no_expectation_that_holds(penstock):
    code, out, _ = load(penstock.rtmp_port, "publish", "--publishers", 1, "--name", "none", *SHORT, "--expect", "p99_ms<1000")
    assert code == 1 and "not measured" in out


def test_refused_connection_exits_with_3_and_says_so():
    port = free_port()
    code, out, err = load(port, "mixed")
    assert (code, out) == (3, "")
    assert f"connection refused: nothing listens at 127.0.0.1:{port}" in err


def test_refused_publish_is_named(make_penstock):
    strict = make_penstock(publish="keys", keys=["live/other"]).start()
    code, _, err = load(strict.rtmp_port, "publish", "--publishers", 2)
    assert code == 3 and "NetStream.Publish" in err


def test_players_of_another_generator_measure_too(penstock, studio):
    studio.start([PROGRAMS / "penstock-load", "publish", "--server", f"127.0.0.1:{penstock.rtmp_port}", "--publishers", 2,
                  "--name", "elsewhere", "--ramp-s", 0, "--duration-s", 60], "publish")
    penstock.wait_live("live/elsewhere-1")
    report = load_json(penstock.rtmp_port, "play", "--players", 4, "--streams", 2, "--name", "elsewhere", *SHORT,
                       "--expect", "gaps=0", "--expect", "streams_without_gap=2")
    assert report["latency_ms"]["count"] > 0 and report["publishers"]["wanted"] == 0


def test_a_server_that_dies_is_reported(make_penstock, studio):
    mortal = make_penstock().start()
    run = studio.start([PROGRAMS / "penstock-load", "mixed", "--server", f"127.0.0.1:{mortal.rtmp_port}", "--publishers", 2,
                        "--players", 2, "--ramp-s", 0, "--warmup-s", 0.2, "--duration-s", 4, "--json", "--server-pid",
                        mortal.dataplane.pid, "--expect", "publishers_held=2"], "load")
    mortal.wait_live("live/load-1")
    time.sleep(1.5)
    mortal.kill_dataplane()
    assert run.wait(20) == 1
    report = report_of(run)
    assert report["publishers"]["held"] == 0 and report["connections"]["closed_by_server"] == 4
    assert report["server_usage"] is None


def test_a_pid_that_is_not_there_is_named(penstock):
    code, _, err = load(penstock.rtmp_port, "mixed", "--server-pid", 4_000_000_000)
    assert code == 3 and "4000000000" in err


def test_wrong_usage_exits_with_2():
    code, _, err = load(1, "mixd")
    assert code == 2 and "mixed" in err and "--help" in err


def test_canonical_prints_two_numbers(penstock):
    code, out, _ = load(penstock.rtmp_port, "--publishers", 5, "--players", 5, "--name", "canonical", *SHORT)
    lines = out.splitlines()
    assert code == 0 and len(lines) == 2
    assert lines[0] == "streams held without a gap: 5 of 5"
    assert lines[1].startswith("p99 relay latency: ") and lines[1].endswith(" ms")


def test_percentiles_are_written(penstock, tmp_path):
    code, _, _ = load(penstock.rtmp_port, "mixed", "--publishers", 1, "--players", 1, "--name", "percentiles", *SHORT,
                      "--percentiles", tmp_path / "latency.hgrm")
    lines = (tmp_path / "latency.hgrm").read_text().splitlines()
    assert code == 0 and lines[0].split()[:2] == ["Value", "Percentile"] and lines[-3].startswith("#[Mean")


@pytest.mark.smoke
def test_connect_counts_every_connection(penstock):
    report = load_json(penstock.rtmp_port, "connect", "--count", 200, "--concurrency", 20, "--name", "connect",
                       "--server-pid", penstock.dataplane.pid)
    assert report["connections"]["opened"] == 200 and report["connections"]["failed"] == 0
    assert report["connections"]["per_second"] > 0 and report["server_usage"]["cpu_us_per_connection"] > 0
    wait_for(lambda: not any(name.startswith("live/connect-") for name in penstock.streams()), what="the streams are gone")


def test_churn_comes_back_in_storms(penstock):
    report = load_json(penstock.rtmp_port, "churn", "--publishers", 10, "--players", 10, "--name", "churn", "--ramp-s", 0.2,
                       "--life-s", 1, "--storm-s", 0.8, "--duration-s", 3)
    assert report["connections"]["opened"] >= 10 + 10 + 3 * 10 - 10
    assert report["gaps"] == 0 and report["players"]["held"] == 10


def test_blast_is_faster_than_real_time(penstock):
    report = load_json(penstock.rtmp_port, "blast", "--publishers", 2, "--name", "blast", "--ramp-s", 0, "--warmup-s", 0.2,
                       "--duration-s", 1)
    assert report["bytes_sent"] > 10 * 2 * 125_000 and report["publishers"]["held"] == 2


def test_ctrl_c_ends_early_and_still_reports(penstock, studio):
    run = studio.start([PROGRAMS / "penstock-load", "mixed", "--server", f"127.0.0.1:{penstock.rtmp_port}", "--publishers", 2,
                        "--players", 2, "--name", "stopped", "--ramp-s", 0.1, "--warmup-s", 0.2, "--duration-s", 600, "--json"],
                       "load")
    penstock.wait_live("live/stopped-1")
    time.sleep(1.5)
    assert run.end(signal.SIGINT) == 0
    report = report_of(run)
    assert report["seconds"] < 30 and report["messages_received"] > 0


def test_slow_players_are_skipped_and_hurt_nobody(make_penstock, studio):
    small = make_penstock(limits={"subscriber_queue_bytes": 1 << 20}).start()
    server = f"127.0.0.1:{small.rtmp_port}"
    fast = studio.start([PROGRAMS / "penstock-load", "mixed", "--server", server, "--publishers", 1, "--players", 2,
                         "--bitrate", "20M", "--ramp-s", 0.1, "--warmup-s", 0.2, "--duration-s", 12, "--json",
                         "--expect", "gaps=0", "--expect", "players_held=2"], "fast")
    small.wait_live("live/load-0")
    # Memory between the two ends is some 10 MB; at 20 Mbit/s that is 4 s.
    slow = load_json(small.rtmp_port, "slow", "--players", 2, "--read-bitrate", "2M", "--ramp-s", 0.1, "--warmup-s", 0,
                     "--duration-s", 9)
    assert fast.wait(60) == 0, fast.output()
    assert report_of(fast)["gaps"] == 0
    assert small.counters()["frames_skipped"] > 0
    # What a reader of 2 Mbit/s gets in 9 s, and what one receive may bring beyond that.
    assert slow["bytes_received"] < 2 * (9 * 250_000 + 500_000)


def test_published_synthetic_media_is_h264_and_aac(penstock, studio):
    studio.start([PROGRAMS / "penstock-load", "publish", "--server", f"127.0.0.1:{penstock.rtmp_port}", "--publishers", 1,
                  "--name", "probed", "--duration-s", 30], "load")
    penstock.wait_live("live/probed-0")
    streams = ffprobe_streams(penstock.url("live/probed-0"))
    assert streams["video"]["codec_name"] == "h264" and streams["audio"]["codec_name"] == "aac"
    assert (streams["video"]["width"], streams["video"]["height"]) == ("1280", "720")


def frame_digests(source, frames, log):
    done = subprocess.run(["ffmpeg", "-nostdin", "-v", "error", "-i", str(source), "-map", "0:v", "-frames:v", str(frames),
                           "-f", "framemd5", "-"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log,
                          text=True, timeout=30 * PATIENCE, check=False)
    return [line.split(",")[-1].strip() for line in done.stdout.splitlines() if not line.startswith("#")]


def test_flv_file_is_played_back_picture_by_picture(penstock, studio, clip, tmp_path):
    player = studio.start(["ffmpeg", "-nostdin", "-v", "error", "-y", "-i", penstock.url("live/file-0"), "-map", "0", "-c", "copy",
                           "-t", "5", "-f", "flv", tmp_path / "got.flv"], "play")
    penstock.wait_subscribers("live/file-0", 1)
    report = load_json(penstock.rtmp_port, "mixed", "--publishers", 1, "--players", 1, "--name", "file", "--flv", clip,
                       "--ramp-s", 0, "--warmup-s", 0.5, "--duration-s", 6)
    assert report["latency_ms"] is None and report["gaps"] == 0 and report["players"]["held"] == 1
    player.wait()
    with open(tmp_path / "ffmpeg.log", "w", encoding="utf-8") as log:
        sent = frame_digests(clip, 75, log)
        got = frame_digests(tmp_path / "got.flv", 120, log)
    assert len(sent) == 75 and got[:75] == sent
    # The second turn is the first again.
    assert len(got) >= 100 and got[75:100] == sent[:25]


@pytest.fixture
def nginx(tmp_path, studio):
    if not NGINX.exists() or not NGINX_RTMP.exists():
        pytest.skip("nginx with libnginx-mod-rtmp is not installed")
    port = free_port()
    (tmp_path / "logs").mkdir()
    (tmp_path / "nginx.conf").write_text(
        f"load_module {NGINX_RTMP};\nuser root;\nworker_processes 1;\ndaemon off;\npid {tmp_path}/nginx.pid;\n"
        f"error_log {tmp_path}/error.log;\nevents {{ worker_connections 1024; }}\n"
        f"rtmp {{ server {{ listen 127.0.0.1:{port}; application live {{ live on; }} }} }}\n")
    run = studio.start([NGINX, "-p", tmp_path, "-c", tmp_path / "nginx.conf"], "nginx")
    wait_for(lambda: load(port, "connect", "--count", 1)[0] == 0, what="nginx answers")
    yield port, run.pid
    run.end()  # kindly: a master that is killed leaves its worker behind


def test_another_server_is_loaded_just_so(nginx):
    port, pid = nginx
    report = load_json(port, "mixed", "--publishers", 3, "--players", 6, *SHORT, "--server-pid", pid,
                       "--expect", "gaps=0", "--expect", "players_held=6")
    # The worker is a child of the process that was named.
    assert len(report["server_usage"]["pids"]) == 2 and report["server_usage"]["cpu_s"] > 0


def test_a_server_that_freezes_in_the_window_is_seen(make_penstock, studio):
    frozen = make_penstock().start()
    run = studio.start([PROGRAMS / "penstock-load", "mixed", "--server", f"127.0.0.1:{frozen.rtmp_port}", "--publishers", 2,
                        "--players", 4, "--ramp-s", 0, "--warmup-s", 0.2, "--duration-s", 6, "--json",
                        "--expect", "gaps=0", "--expect", "p99_ms<500", "--expect", "streams_without_gap=2"], "load")
    frozen.wait_live("live/load-1")
    time.sleep(1)
    os.kill(frozen.dataplane.pid, signal.SIGSTOP)
    try:
        assert run.wait(30) == 1
    finally:
        os.kill(frozen.dataplane.pid, signal.SIGCONT)
    report = report_of(run)
    assert [one["holds"] for one in report["expectations"]] == [False, False, False]
    assert report["players_stalled"] == 4 and report["gaps"] >= 4 and report["latency_ms"]["max"] > 1000


def test_nothing_received_is_no_absence_of_gaps(penstock):
    report = load_json(penstock.rtmp_port, "play", "--players", 2, "--name", "nobody", *SHORT, "--expect", "gaps=0", code=1)
    assert report["gaps"] is None and report["streams_without_gap"] is None and report["latency_ms"] is None
    report = load_json(penstock.rtmp_port, "publish", "--publishers", 1, "--name", "alone", *SHORT, "--expect", "gaps=0", code=1)
    assert report["gaps"] is None


def test_a_report_that_cannot_be_written_exits_with_3(penstock):
    with open("/dev/full", "w", encoding="utf-8") as full:
        done = subprocess.run([PROGRAMS / "penstock-load", "publish", "--server", f"127.0.0.1:{penstock.rtmp_port}",
                               "--publishers", "1", "--name", "full", *map(str, SHORT)],
                              stdin=subprocess.DEVNULL, stdout=full, stderr=subprocess.PIPE, text=True,
                              timeout=30 * PATIENCE, check=False)
    assert done.returncode == 3 and "stdout" in done.stderr


def test_publishers_that_are_refused_are_told_of(make_penstock):
    strict = make_penstock(publish="keys", keys=["live/some-0"]).start()
    code, _, err = load(strict.rtmp_port, "mixed", "--publishers", 2, "--players", 2, "--name", "none", *SHORT)
    assert code == 3 and "NetStream.Publish" in err
    code, _, err = load(strict.rtmp_port, "publish", "--publishers", 2, "--name", "some", *SHORT)
    assert code == 0 and "1 of 2 publishers could not publish: NetStream.Publish" in err
