"""Configuration: what is wrong is said with file, line and what would be accepted, and nothing starts."""
import json
import os
import re

import pytest

from certificates import make_certificate
from processes import ROOT

WRONG = {
    "unknown key": ('engine = "uring"', 'engine = "uring"\nenginee = 1', "enginee"),
    "unknown section": ("[limits]", "[limit]", "limit"),
    "wrong type": ('engine = "uring"', "engine = 5", "engine"),
    "bad range": ("connections_max = 2000", "connections_max = 0", "connections_max"),
    "unknown engine": ('engine = "uring"', 'engine = "magic"', "engine"),
    "bad policy": ('publish = "open"', 'publish = "maybe"', "publish"),
    "bad key": ("keys = []", 'keys = ["no-slash-at-all/"]', "keys"),
    "bad address": ('http = "127.0.0.1', 'http = "127.0.0.999', "http"),
    "not TOML": ("[limits]", "[limits", "expected"),
}


@pytest.mark.parametrize("case", WRONG)
def test_config_check_names_file_line_and_what_is_wrong(make_penstock, case):
    penstock = make_penstock()
    before, after, named = WRONG[case]
    text = penstock.config_path.read_text()
    assert before in text
    penstock.config_path.write_text(text.replace(before, after, 1))
    checked = penstock.cli("config", "check", penstock.config_path)
    assert checked.code == 1
    assert checked.err.startswith(f"{penstock.config_path}:"), checked.err
    assert named in checked.err.lower() or named in checked.err, checked.err
    problems = penstock.cli("config", "check", penstock.config_path, "--json").json()
    assert not problems["ok"] and problems["problems"][0]["line"] > 0


def test_config_check_of_a_good_file_needs_no_process(make_penstock):
    penstock = make_penstock()
    checked = penstock.cli("config", "check", penstock.config_path)
    assert checked.code == 0 and checked.out.strip().endswith(": ok")
    assert penstock.cli("config", "check", penstock.folder / "absent.toml").code == 1


def test_config_check_says_of_certificates_what_a_reload_says(make_penstock, tmp_path):
    good, key, _ = make_certificate(tmp_path / "good", "good.test")
    other_key = make_certificate(tmp_path / "other", "other.test")[1]
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "empty").touch()
    (tmp_path / "random").write_bytes(os.urandom(5000))
    penstock = make_penstock(variants=("rtmps",), certificates=[(good, key, ())]).start()
    assert penstock.cli("config", "check", penstock.config_path).code == 0
    for cert, its_key, said in ((tmp_path / "absent", key, "No such file"), (good, other_key, "the key is not the certificate's"),
                                (tmp_path, key, "directory"), (tmp_path / "pipe", key, "pipe"), ("/dev/zero", key, "device"),
                                (good, "/dev/zero", "device"), (tmp_path / "empty", key, "no certificate in it"),
                                (tmp_path / "random", key, "no certificate in it")):
        penstock.certificates = [(cert, its_key, ())]
        penstock.write_config()
        line = 1 + penstock.config_path.read_text().splitlines().index("[tls]") + 1
        checked, reload = penstock.cli("config", "check", penstock.config_path), penstock.cli("config", "reload", "--json")
        assert checked.code == 1 and reload.code == 1
        assert checked.err.startswith(f"{penstock.config_path}:{line}: tls.certificates: ") and said in checked.err, checked.err
        assert json.loads(reload.err)["problems"][0]["text"] in checked.err
    penstock.certificates = [(good, key, ["good.test", "more.test"])]
    penstock.write_config()
    checked = penstock.cli("config", "check", penstock.config_path)
    assert checked.code == 0 and "warning: tls.certificates: " in checked.out and "is not for more.test" in checked.out


@pytest.mark.parametrize("name", ["penstockd", "penstock-control"])
def test_both_processes_refuse_a_bad_file_with_the_line(make_penstock, name):
    penstock = make_penstock()
    penstock.config_path.write_text(penstock.config_path.read_text().replace("[limits]\n", "[limits]\nbogus = 1\n"))
    run = penstock._start(name)
    penstock.expected_codes[run.pid] = 1
    assert run.wait() == 1
    assert f"{penstock.config_path}:" in run.output() and "bogus" in run.output()


@pytest.mark.parametrize("name", ["penstockd", "penstock-control"])
def test_absent_file_is_said(make_penstock, name):
    penstock = make_penstock()
    penstock.config_path.unlink()
    run = penstock._start(name)
    penstock.expected_codes[run.pid] = 1
    assert run.wait() == 1
    assert str(penstock.config_path) in run.output()


def test_http_beyond_loopback_wants_a_token(make_penstock):
    penstock = make_penstock()
    text = penstock.config_path.read_text().replace(f'http = "127.0.0.1:{penstock.http_port}"',
                                                    f'http = "0.0.0.0:{penstock.http_port}"')
    penstock.config_path.write_text(text)
    refused = penstock.cli("config", "check", penstock.config_path)
    assert refused.code == 1 and "token" in refused.err
    token = penstock.folder / "token"
    token.write_text("open-sesame-0123456789\n")
    token.chmod(0o600)
    penstock.config_path.write_text(text.replace("[control]\n", f'[control]\ntoken_file = "{token}"\n'))
    penstock.start()
    assert penstock.http("/api/v1/status")[0] == 401
    assert penstock.http("/api/v1/status", headers={"Authorization": "Bearer wrong"})[0] == 401
    assert penstock.http("/api/v1/status", headers={"Authorization": "Bearer open-sesame-0123456789"})[0] == 200
    assert penstock.cli("status").code == 0, "the socket needs none"
    for log in penstock.folder.glob("*.log"):
        assert "open-sesame-0123456789" not in log.read_text()


def test_the_example_in_the_readme_is_accepted_and_has_every_key(make_penstock):
    penstock = make_penstock()
    example = re.search(r"```toml\n(.*?)```", (ROOT / "README.md").read_text(), re.S).group(1)
    penstock.config_path.write_text(example)
    checked = penstock.cli("config", "check", penstock.config_path)
    assert checked.code == 0, checked.err
    section, keys = "", set()
    for line in example.splitlines():
        if match := re.match(r"\[(\w+)\]", line):
            section = match.group(1)
        elif match := re.match(r"(?:# )?(\w+) = ", line):
            keys.add(f"{section}.{match.group(1)}")
    source = (ROOT / "include/penstock/control/tunables.h").read_text()
    assert set(re.findall(r'"((?:limits|liveness|admission|dataplane)\.\w+)"', source)) <= keys
    assert set(re.findall(r'\{"(\w+\.\w+)", &Reader', (ROOT / "src/config/parse.cc").read_text())) <= keys
