"""The HTTP API and the metrics, as scripts and monitoring use them."""
import json
import re


def test_every_described_get_answers_as_described(penstock, studio, clip):
    studio.publish(clip, penstock.url("live/described"), loop=True)
    penstock.wait_live("live/described")
    description = penstock.get("/openapi.json")
    connection = penstock.connections("live/described")[0]["connection_id"]
    checked = 0
    for path, methods in description["paths"].items():
        if "get" not in methods:
            continue
        filled = path.replace("{app}", "live").replace("{name}", "described").replace("{id}", connection)
        status, text = penstock.http(filled.replace("{key}", "gop_bytes"))
        assert status == 200, (path, status, text)
        schema = methods["get"]["responses"]["200"].get("content", {}).get("application/json", {}).get("schema", {})
        if "$ref" in schema:
            answer = json.loads(text)
            for field in description["components"]["schemas"][schema["$ref"].split("/")[-1]]["required"]:
                assert field in answer, (path, field)
        checked += 1
    assert checked >= 10


def test_metrics_are_prometheus_text_with_the_counters_of_the_api(penstock):
    status, text = penstock.http("/metrics")
    assert status == 200
    values = {}
    for line in text.splitlines():
        if line and not line.startswith("#"):
            match = re.fullmatch(r"([a-zA-Z_:][\w:]*)(\{.*\})? (\S+)", line)
            assert match, line
            values.setdefault(match.group(1), []).append(float(match.group(3)))
    assert any("connections" in name for name in values)
    assert any("bytes_received" in name for name in values)
    assert any("fault" in name for name in values)


def test_healthz(penstock):
    assert penstock.http("/healthz")[0] == 200


def test_wrong_method_and_wrong_host_are_refused(penstock):
    assert penstock.http("/api/v1/status", method="DELETE")[0] in (404, 405)
    assert penstock.http("/api/v1/drain", method="POST", headers={"Host": "evil.example"})[0] == 403
    assert not penstock.get("/status")["draining"]
