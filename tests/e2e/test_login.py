"""Publishers that log in: the schemes of encoders (authmod adobe and llnw), and user and password in the query."""
import base64
import hashlib
import os
import pty
import re
import socket
import subprocess

import pytest

from certificates import make_certificate
from compare_flv import compare
from processes import PATIENCE, PROGRAMS, WORKERS, Penstock, wait_for
from rtmp_peer import RtmpPeer

PASSWORD = "Correct-horse+battery=staple"
# As LoginAttempts::burst: failures at once, where there is one worker.
BURST = 10


def offer(penstock, scheme):
    """Takes effect by a reload; every worker has it when this returns."""
    penstock.admission = f'login_offer = "{scheme}"'
    penstock.write_config()
    reloaded = penstock.cli("config", "reload")
    assert reloaded.code == 0, reloaded.err
    wait_for(lambda: penstock.get("/status")["epoch"]["applied"] == penstock.get("/status")["epoch"]["wanted"], what="applied")


def add_user(penstock, name, *more, password=PASSWORD):
    added = penstock.cli("user", "add", name, "--password-stdin", *more, typed=password + "\n")
    assert added.code == 0, added.err
    return added


@pytest.fixture(scope="module")
def penstock(tmp_path_factory):
    """Two users: bob may publish below live/, eve everywhere."""
    from conftest import end
    folder = tmp_path_factory.mktemp("login")
    made = Penstock(folder, publish="login", variants=("rtmps",), certificates=[make_certificate(folder / "tls", "penstock.test")])
    made.start()
    add_user(made, "bob", "--allow", "live/*")
    add_user(made, "eve")
    yield made
    end(made)


@pytest.fixture
def make_login(make_penstock):
    """A running one for this test alone, with the user bob."""
    def make(**settings):
        made = make_penstock(**{"publish": "login", **settings}).start()
        add_user(made, "bob")
        return made
    return make


def login_url(penstock, name, user="bob", password=PASSWORD, variant="rtmp"):
    return penstock.variant_url(variant, name).replace("://", f"://{user}:{password}@")


def query_of(user="bob", password=PASSWORD):
    return f"?user={user}&password={password}"


def publishes_whole(penstock, studio, clip, got, name, url):
    player = studio.play(penstock.url(name), got)
    penstock.wait_subscribers(name, 1)
    publisher = studio.publish(clip, url, realtime=False)
    assert publisher.wait(15) == 0, publisher.output()
    assert player.wait(15) == 0, player.output()
    assert compare(clip, got, least=60, from_start=True, to_end=True) == []


def refused(penstock, studio, clip, name, url):
    """What the encoder has said."""
    publisher = studio.publish(clip, url, realtime=False)
    assert publisher.wait(15) != 0, publisher.output()
    assert penstock.stream(name) is None
    return publisher.output()


# ffmpeg
# ----------------------------------------------------------------------------------------------------------------------


@pytest.mark.smoke
@pytest.mark.parametrize("variant", ["rtmp", "rtmps"])
@pytest.mark.parametrize("scheme", ["adobe", "llnw"])
def test_ffmpeg_logs_in_by_what_is_offered(penstock, studio, clip, tmp_path, scheme, variant):
    offer(penstock, scheme)
    name = f"live/{scheme}-{variant}"
    before = penstock.counters()["logins"]
    publishes_whole(penstock, studio, clip, tmp_path / "got.flv", name, login_url(penstock, name, variant=variant))
    assert penstock.counters()["logins"] == before + 1


def test_an_app_of_two_parts_logs_in_by_llnw(penstock, studio, clip, tmp_path):
    """The response is over the app, to which "/_definst_" is added where it has but one part."""
    offer(penstock, "llnw")
    publishes_whole(penstock, studio, clip, tmp_path / "got.flv", "live/room/two",
                    login_url(penstock, "live/room/two"))


@pytest.mark.smoke
@pytest.mark.parametrize("variant", ["rtmp", "rtmps"])
def test_password_behind_the_name(penstock, studio, clip, tmp_path, variant):
    offer(penstock, "query")
    name = f"live/by-name-{variant}"
    publishes_whole(penstock, studio, clip, tmp_path / "got.flv", name, penstock.variant_url(variant, name) + query_of())


def test_password_behind_the_app_is_taken_whatever_is_offered(penstock, studio, clip, tmp_path):
    offer(penstock, "adobe")
    publishes_whole(penstock, studio, clip, tmp_path / "got.flv", "live/by-app", penstock.url(f"live{query_of()}/by-app"))


@pytest.mark.smoke
@pytest.mark.parametrize("scheme", ["adobe", "llnw"])
def test_who_has_not_the_password_is_refused(penstock, studio, clip, scheme):
    offer(penstock, scheme)
    before = penstock.counters()
    for user, password in (("bob", "wrong"), ("nobody", PASSWORD)):
        said = refused(penstock, studio, clip, "live/no", login_url(penstock, "live/no", user, password))
        assert "?reason=authfailed" in said, "a name that is not there is answered like one that is"
        assert "Incorrect username/password" in said
    assert f"code=403 need auth; authmod={scheme}" in refused(penstock, studio, clip, "live/no", penstock.url("live/no"))
    assert "may not publish this name" in refused(penstock, studio, clip, "studio/no", login_url(penstock, "studio/no"))
    after = penstock.counters()
    assert after["login_failed"] == before["login_failed"] + 2, "being asked for the password is no fault"
    assert after["publishes_refused"] == before["publishes_refused"] + 1


def test_wrong_queries_are_refused(penstock, studio, clip):
    offer(penstock, "query")
    assert "login failed" in refused(penstock, studio, clip, "live/no", penstock.url("live/no") + query_of(password="wrong"))
    assert "login failed" in refused(penstock, studio, clip, "live/no", penstock.url("live/no") + query_of("nobody"))
    assert "login needed" in refused(penstock, studio, clip, "live/no", penstock.url("live/no"))
    assert "may not publish" in refused(penstock, studio, clip, "studio/no", penstock.url("studio/no") + query_of())


# GStreamer
# ----------------------------------------------------------------------------------------------------------------------


def gstreamer(penstock, studio, clip, sent, name, *more, variant="rtmp"):
    return studio.start(["gst-launch-1.0", "-q", "filesrc", f"location={clip}", "!", "flvdemux", "name=d", "d.video", "!",
                         "queue", "!", "h264parse", "!", "mux.", "d.audio", "!", "queue", "!", "aacparse", "!", "mux.",
                         "flvmux", "name=mux", "streamable=true", "!", "tee", "name=t", "t.", "!", "queue", "!", "filesink",
                         f"location={sent}", "t.", "!", "queue", "!", "rtmp2sink", "sync=false", "tls-validation-flags=0",
                         f"location={penstock.variant_url(variant, name)}", *more], "gst-sink")


@pytest.mark.parametrize("variant, more", [("rtmp", ()), ("rtmps", ("authmod=adobe",))])
def test_gstreamer_logs_in(penstock, studio, clip, tmp_path, variant, more):
    offer(penstock, "adobe")
    name = f"live/gst-{variant}"
    player = studio.play(penstock.url(name), tmp_path / "got.flv")
    penstock.wait_subscribers(name, 1)
    publisher = gstreamer(penstock, studio, clip, tmp_path / "sent.flv", name, "username=bob", f"password={PASSWORD}", *more,
                          variant=variant)
    assert publisher.wait(20) == 0, publisher.output()
    assert player.wait(15) == 0, player.output()
    assert compare(tmp_path / "sent.flv", tmp_path / "got.flv", least=60, from_start=True, to_end=True) == []


def test_gstreamer_with_a_wrong_password_is_refused(penstock, studio, clip, tmp_path):
    offer(penstock, "adobe")
    failed = penstock.counters()["login_failed"]
    publisher = gstreamer(penstock, studio, clip, tmp_path / "sent.flv", "live/gst-no", "username=bob", "password=wrong")
    assert publisher.wait(20) != 0
    assert penstock.counters()["login_failed"] == failed + 1 and penstock.stream("live/gst-no") is None


# The deaths of either process
# ----------------------------------------------------------------------------------------------------------------------


@pytest.mark.smoke
def test_logins_outlive_the_control_plane_and_a_restart_without_it(make_login, studio, clip, tmp_path):
    own = make_login()
    own.kill_control()

    def decides(name):
        publisher = studio.publish(clip, login_url(own, name), realtime=False)
        assert publisher.wait(8) == 0, publisher.output()
        wrong = studio.publish(clip, login_url(own, name, password="wrong"), realtime=False)
        assert wrong.wait(8) != 0 and "?reason=authfailed" in wrong.output()

    decides("live/headless")
    own.kill_dataplane()
    own.start_dataplane()
    decides("live/again")
    # A clean stop forgets the configuration that was applied; the users are in no file of the operator's.
    assert own.dataplane.end() == 0
    own.start_dataplane()
    decides("live/after-a-stop")
    own.start_control()
    own.kill_dataplane()
    removed = own.cli("user", "remove", "bob")
    assert removed.code == 0, removed.err
    add_user(own, "joe")
    own.start_dataplane()
    wait_for(lambda: own.get("/status")["epoch"]["applied"] == own.get("/status")["epoch"]["wanted"], what="applied")
    assert "?reason=authfailed" in refused(own, studio, clip, "live/late", login_url(own, "live/late"))
    publishes_whole(own, studio, clip, tmp_path / "late.flv", "live/late", login_url(own, "live/late", "joe"))


def test_a_damaged_store_takes_no_login_away(make_login, studio, clip, tmp_path):
    own = make_login(workers=WORKERS[:1])
    own.kill_control()
    (own.folder / "state" / "store.db").write_bytes(b"x" * 8192)
    own.start_control()
    wait_for(lambda: own.get("/status")["dataplane"]["attached"], what="attached")
    assert any("store.db" in line for line in own.get("/status")["warnings"])
    for arguments in (["list"], ["add", "eve"], ["passwd", "bob"], ["remove", "bob"]):
        got = own.cli("user", *arguments)
        assert got.code == 1 and "store.db" in got.err, (arguments, got.err)
    assert own.cli("tune", "set", "gop_bytes", "0").code == 0
    publishes_whole(own, studio, clip, tmp_path / "a.flv", "live/a", login_url(own, "live/a"))
    own.kill_dataplane()
    own.start_dataplane()
    wait_for(lambda: own.get("/status")["dataplane"]["attached"], what="attached")
    publishes_whole(own, studio, clip, tmp_path / "b.flv", "live/b", login_url(own, "live/b"))


# What the operator does
# ----------------------------------------------------------------------------------------------------------------------


def test_admission_changes_by_a_reload(make_penstock, studio, clip):
    own = make_penstock(publish="open").start()
    studio.publish(clip, own.url("live/before"), loop=True)
    before = own.wait_live("live/before")
    own.publish = "login"
    offer(own, "adobe")
    assert "nobody may publish (penstockctl user add)" in own.cli("status").out
    assert "need auth" in refused(own, studio, clip, "live/after", own.url("live/after"))
    add_user(own, "bob")
    assert "nobody may publish" not in own.cli("status").out
    studio.publish(clip, login_url(own, "live/after"), loop=True)
    own.wait_live("live/after")
    own.publish = "open"
    offer(own, "adobe")
    studio.publish(clip, own.url("live/open"), loop=True)
    own.wait_live("live/open")
    assert own.stream("live/before")["connection_id"] == before["connection_id"], "who is live stays"


def test_a_new_password_new_names_and_a_removal_hold_at_once(make_login, studio, clip, tmp_path):
    own = make_login(workers=WORKERS[:1])
    made = re.search(r"password: (\w{20})", own.cli("user", "passwd", "bob").out).group(1)
    assert "?reason=authfailed" in refused(own, studio, clip, "live/a", login_url(own, "live/a"))
    assert own.cli("user", "allow", "bob", "--allow", "studio/*,live/b*").code == 0
    assert "may not publish" in refused(own, studio, clip, "live/a", login_url(own, "live/a", password=made))
    publishes_whole(own, studio, clip, tmp_path / "got.flv", "live/b", login_url(own, "live/b", password=made))
    assert re.search(r"^bob +studio/\*, live/b\*", own.cli("user", "list").out, re.MULTILINE)
    assert own.cli("user", "remove", "bob").code == 0
    assert own.cli("user", "list").out == "no users\n"
    assert "?reason=authfailed" in refused(own, studio, clip, "live/b", login_url(own, "live/b", password=made))


def test_what_is_wrong_is_told_in_one_line(penstock):
    cases = [(["add", "bob"], "", 1, "passwd changes the password"), (["add", "b b"], "", 2, "1 to 64 letters"),
             (["add", "joe", "--password-stdin"], "\n", 1, "1 to 128 bytes"),
             (["add", "joe", "--password-stdin"], "a&b\n", 1, "without '&'"),
             (["add", "joe", "--allow", "*/x"], "", 2, "live/*"), (["add", "joe", "--allow", "a/b,live"], "", 2, "names: live: app/name"),
             (["allow", "bob", "--allow", "live"], "", 2, "live/*"), (["passwd", "nobody"], "", 1, "user list"),
             (["remove", "nobody"], "", 1, "user list"), (["remove", "../status"], "", 2, "not a user name"),
             (["allow", "bob"], "", 2, "--any")]
    for arguments, typed, code, said in cases:
        got = penstock.cli("user", *arguments, typed=typed)
        assert got.code == code and said in got.err and got.out == "", (arguments, got.out, got.err)
        assert len([line for line in got.err.splitlines() if not line.startswith("Try: ")]) == 1, got.err


def test_a_password_is_typed_twice_and_does_not_show(penstock):
    def typed(*words):
        ours, theirs = pty.openpty()
        with subprocess.Popen([PROGRAMS / "penstockctl", "user", "passwd", "eve", "--password-stdin"], stdin=theirs, stdout=theirs,
                              stderr=theirs, env={**os.environ, "PENSTOCK_SOCKET": str(penstock.socket_path)}) as child:
            os.close(theirs)
            seen = b""
            for prompt, word in zip((b"password: ", b"once more: "), words):
                while not seen.endswith(prompt):
                    seen += os.read(ours, 1000)
                os.write(ours, word.encode() + b"\n")
            try:
                while more := os.read(ours, 1000):
                    seen += more
            except OSError:
                pass  # a terminal whose other end is gone
            os.close(ours)
            return child.wait(10 * PATIENCE), seen.decode()

    code, seen = typed("one thing", "another")
    assert code == 2 and "the two passwords differ" in seen
    code, seen = typed(PASSWORD, PASSWORD)
    assert code == 0 and "changed user eve" in seen and PASSWORD not in seen
    code, seen = typed(PASSWORD + "\n" + PASSWORD)
    assert code == 0 and "changed user eve" in seen and PASSWORD not in seen, "pasted in one go, before the second question"


def test_nothing_secret_is_in_a_log_or_an_answer(penstock, studio, clip):
    """Of what the state folder keeps for itself, nothing is in what others see; and of what a peer sends, neither."""
    offer(penstock, "query")
    assert penstock.cli("log-level", "trace").code == 0
    studio.publish(clip, penstock.url("live/secret") + query_of(), loop=True)
    penstock.wait_live("live/secret")
    offer(penstock, "adobe")
    studio.publish(clip, login_url(penstock, "live/secret-too"), loop=True)
    penstock.wait_live("live/secret-too")
    # An encoder that leaves its login in the URL.
    raw = socket.create_connection(("127.0.0.1", penstock.rtmp_port), timeout=8 * PATIENCE)
    with RtmpPeer(0, connection=raw) as peer:
        url = f"rtmp://bob:{PASSWORD}@127.0.0.1/live{query_of()}"
        assert peer.publish(f"live{query_of()}", "secret-url", tcUrl=url)[0] == "NetStream.Publish.Start"
        seen = [penstock.http(path)[1] for path in ("/metrics", "/api/v1/users", "/api/v1/config", "/api/v1/streams", "/api/v1/status",
                                                    "/api/v1/connections", "/api/v1/history", "/api/v1/openapi.json")]
        seen += [penstock.http(f"/api/v1/connections/{row['connection_id']}")[1] for row in penstock.connections()]
    penstock.wait_gone("live/secret-url")
    assert penstock.cli("log-level", "info").code == 0
    for name in ("applied_users", "store.db"):
        assert os.stat(penstock.folder / "state" / name).st_mode & 0o077 == 0, name
    kept = (penstock.folder / "state" / "applied_users").read_text()
    bob = next(line for line in kept.splitlines() if line.startswith("bob\t")).split("\t")
    assert PASSWORD not in kept and PASSWORD.encode() not in (penstock.folder / "state" / "store.db").read_bytes()
    told = "\n".join([*seen, penstock.dataplane.output(), penstock.control.output()])
    assert "publisher logged in: bob" in told
    for secret in (PASSWORD, *bob[1:4]):
        assert secret not in told
    assert not re.search(r"password=|response=|challenge=|nonce=", told)


# Who tries
# ----------------------------------------------------------------------------------------------------------------------


def connect(penstock, app, source="127.0.0.1"):
    """What the publisher is told at connect; "" when it is let in."""
    raw = socket.create_connection(("127.0.0.1", penstock.rtmp_port), timeout=8 * PATIENCE, source_address=(source, 0))
    with RtmpPeer(0, connection=raw) as peer:
        values = peer.ask_connect(app)
        return values[3]["description"] if values[0] == "_error" else ""


def adobe_answer(told, password, user="bob"):
    """The app of the third round."""
    given = dict(pair.split("=", 1) for pair in told.split("?", 1)[1].split("&"))

    def digest(*parts):
        return base64.b64encode(hashlib.md5("".join(parts).encode()).digest()).decode()
    response = digest(digest(user, given["salt"], password), given["opaque"], "12ab34cd")
    return f"live?authmod=adobe&user={user}&challenge=12ab34cd&response={response}&opaque={given['opaque']}"


def test_a_challenge_is_for_one_user_and_taken_once(make_login):
    own = make_login(workers=WORKERS[:1])
    asked = "live?authmod=adobe&user=bob"
    answer = adobe_answer(connect(own, asked), PASSWORD)
    assert "authfailed" in connect(own, answer.replace("user=bob", "user=eve"), "127.0.0.2")
    assert connect(own, answer, "127.0.0.2") == "", "an encoder with two uplinks"
    assert "authfailed" in connect(own, answer), "what was listened to is of no use"
    assert connect(own, adobe_answer(connect(own, asked), PASSWORD)) == ""
    # One who guesses is told to wait; the others at the door are not.
    for attempt in range(BURST):
        told = connect(own, adobe_answer(connect(own, asked, "127.0.0.3"), f"guess {attempt}"), "127.0.0.3")
        assert "authfailed" in told, attempt
    right = adobe_answer(connect(own, asked, "127.0.0.3"), PASSWORD)
    assert "wait some minutes" in connect(own, right, "127.0.0.3")
    assert connect(own, adobe_answer(connect(own, asked), PASSWORD)) == ""
    counters = own.counters()
    assert counters["login_failed"] == BURST + 2 and counters["login_flood"] == 1 and counters["logins"] == 3
    metrics = own.http("/metrics")[1]
    assert 'penstock_logins_total{worker="0"} 3' in metrics
    assert 'fault="login_flood"} 1' in metrics and f'fault="login_failed"}} {BURST + 2}' in metrics


def test_guesses_behind_a_name_are_limited_too(make_login):
    own = make_login(workers=WORKERS[:1], admission='login_offer = "query"')

    def told(password, source):
        raw = socket.create_connection(("127.0.0.1", own.rtmp_port), timeout=8 * PATIENCE, source_address=(source, 0))
        with RtmpPeer(0, connection=raw) as peer:
            peer.connect("live")
            stream_id = peer.create_stream()
            peer.command("publish", None, "x" + query_of(password=password), "live", stream_id=stream_id)
            return peer.wait_status()

    for _ in range(BURST):
        assert "login failed" in told("guess", "127.0.0.4")["description"]
    assert "wait some minutes" in told(PASSWORD, "127.0.0.4")["description"]
    assert told(PASSWORD, "127.0.0.5")["code"] == "NetStream.Publish.Start"
