"""TLS as peers see it: versions, names, resumption, renewal of certificates while streams run; and PROXY headers in front of it."""
import ipaddress
import re
import socket
import ssl
import struct
import subprocess
import time

import pytest

from certificates import make_certificate
from compare_flv import compare
from media import make_clip
from processes import PATIENCE, Penstock, wait_for
from rtmp_peer import RtmpPeer

BALANCER = "127.0.0.2"  # all of 127.0.0.0/8 is this host: a peer of another address without another host
RELOAD_SECONDS = 8  # a change of a file is looked for, not told


@pytest.fixture(scope="module")
def penstock(tmp_path_factory):
    from conftest import end
    folder = tmp_path_factory.mktemp("tls")
    made = Penstock(folder, variants=("rtmps", "rtmpts"), listen=f'sniff = true\nproxy_from = ["{BALANCER}/32"]',
                    certificates=[make_certificate(folder / "first", "first.test"),
                                  make_certificate(folder / "second", "second.test", "*.wild.test", kind="rsa")])
    made.start()
    yield made
    end(made)


def s_client(port, *arguments, typed=b"", seconds=0.3):
    """What `openssl s_client` writes. It stays for a while, so that it is told what comes after the handshake."""
    with subprocess.Popen(["openssl", "s_client", "-connect", f"127.0.0.1:{port}", *map(str, arguments)], stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as child:
        time.sleep(seconds)
        try:
            out, _ = child.communicate(typed, timeout=10 * PATIENCE)
        except subprocess.TimeoutExpired:
            child.kill()
            raise
        return out.decode(errors="replace")


def subject(port, *arguments):
    found = re.search(r"subject=\s*CN\s*=\s*(\S+)", s_client(port, *arguments, seconds=0.1))
    return found.group(1) if found else None


def context_for(version=None):
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    if version:
        context.minimum_version = context.maximum_version = version
    return context


class Peer(RtmpPeer):
    """Over a connection that is there already."""

    def __init__(self, connection):
        super().__init__(None, connection=connection)


# Versions, ciphers, names
# ----------------------------------------------------------------------------------------------------------------------


@pytest.mark.smoke
@pytest.mark.parametrize("option, protocol", [("-tls1_2", "TLSv1.2"), ("-tls1_3", "TLSv1.3")])
def test_versions_that_are_spoken(penstock, option, protocol):
    out = s_client(penstock.variant_ports["rtmps"], option)
    assert re.search(rf"New, {re.escape(protocol)}|Protocol\s*:\s*{re.escape(protocol)}", out), out
    assert "-GCM-" in out or "_GCM_" in out or "CHACHA20" in out, out


@pytest.mark.parametrize("option", ["-tls1", "-tls1_1"])
def test_versions_that_are_too_old(penstock, option):
    before = penstock.counters()["tls_handshake"]
    out = s_client(penstock.variant_ports["rtmps"], option, "-cipher", "DEFAULT:@SECLEVEL=0", seconds=0.1)
    assert "Cipher is (NONE)" in out and "protocol version" in out, out
    wait_for(lambda: penstock.counters()["tls_handshake"] == before + 1, what="it is counted")


def test_certificate_by_name_and_the_first_for_everybody_else(penstock):
    port = penstock.variant_ports["rtmps"]
    for asked, shown in (("first.test", "first.test"), ("second.test", "second.test"), ("SECOND.test", "second.test"),
                         ("a.wild.test", "second.test"), ("unknown.test", "first.test")):
        assert subject(port, "-servername", asked) == shown, asked
    assert subject(port, "-noservername") == "first.test"
    assert subject(penstock.rtmp_port, "-servername", "second.test") == "second.test", "at the port of rtmp, too"


@pytest.mark.parametrize("offered", ["rtmp", "h2,http/1.1"])
def test_alpn_is_no_reason_to_fail(penstock, offered):
    out = s_client(penstock.variant_ports["rtmps"], "-alpn", offered, seconds=0.1)
    assert "Cipher is (NONE)" not in out and "New, TLSv1.3" in out, out


def test_resumption_under_1_2(penstock, tmp_path):
    port, saved = penstock.variant_ports["rtmps"], tmp_path / "session"
    assert "New, " in s_client(port, "-tls1_2", "-sess_out", saved)
    assert "Reused, " in s_client(port, "-tls1_2", "-sess_in", saved)


def test_no_tickets_under_1_3(penstock):
    # librtmp takes what comes after the handshake for RTMP.
    assert "New Session Ticket" not in s_client(penstock.variant_ports["rtmps"], "-tls1_3", "-msg")


def test_renegotiation_is_refused(penstock):
    out = s_client(penstock.variant_ports["rtmps"], "-tls1_2", typed=b"R\n", seconds=0.5)
    assert "RENEGOTIATING" in out and "no renegotiation" in out, out


def test_a_handshake_that_is_none_is_counted(penstock):
    before = penstock.counters()["tls_handshake"]
    with socket.create_connection(("127.0.0.1", penstock.variant_ports["rtmps"]), timeout=5) as peer:
        peer.sendall(b"\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00")
        assert peer.recv(100)[:1] in (b"\x15", b""), "an alert, or the end"
    wait_for(lambda: penstock.counters()["tls_handshake"] == before + 1, what="it is counted")


@pytest.mark.smoke
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_rtmp_is_the_same_over_both_versions(penstock, version):
    raw = socket.create_connection(("127.0.0.1", penstock.variant_ports["rtmps"]), timeout=8 * PATIENCE)
    with Peer(context_for(version).wrap_socket(raw)) as peer:
        code, _ = peer.publish("live", f"tls-{version.name}")
        assert code == "NetStream.Publish.Start"
        penstock.wait_live(f"live/tls-{version.name}")
    penstock.wait_gone(f"live/tls-{version.name}")


def test_an_alert_in_mid_stream_ends_that_stream_alone(penstock, studio, clip, tmp_path):
    player = studio.play(penstock.url("live/beside"), tmp_path / "got.flv")
    penstock.wait_subscribers("live/beside", 1)
    beside = studio.publish(clip, penstock.variant_url("rtmps", "live/beside"))
    raw = socket.create_connection(("127.0.0.1", penstock.variant_ports["rtmps"]), timeout=8 * PATIENCE)
    # The socket itself is kept, to write what is no record of this session.
    under = socket.socket(fileno=socket.dup(raw.fileno()))
    before = penstock.counters()["tls_record"]
    with Peer(context_for().wrap_socket(raw)) as peer:
        peer.publish("live", "alerted")
        penstock.wait_live("live/alerted")
        under.sendall(b"\x17\x03\x03\x00\x20" + bytes(32))
        penstock.wait_gone("live/alerted")
    under.close()
    assert penstock.counters()["tls_record"] == before + 1
    assert beside.wait(10) == 0 and player.wait(10) == 0
    assert compare(clip, tmp_path / "got.flv", least=60, from_start=True, to_end=True) == []


# Renewal
# ----------------------------------------------------------------------------------------------------------------------


def complaints(penstock, path):
    lines = penstock.dataplane.output().splitlines() + penstock.control.output().splitlines()
    return [line for line in lines if str(path) in line and re.search(r" (error|warning) ", line)]


@pytest.mark.smoke
def test_certificates_are_renewed_while_a_stream_runs(make_penstock, studio, tmp_path):
    cert, key, _ = make_certificate(tmp_path / "live", "old.test")
    # As renewals come: the new file takes the name of the old one.
    own = make_penstock(variants=("rtmps",), certificates=[(cert, key, ())]).start()
    port, clip = own.variant_ports["rtmps"], make_clip(tmp_path / "long.flv", seconds=7)
    player = studio.play(own.variant_url("rtmps", "live/long"), tmp_path / "got.flv")
    own.wait_subscribers("live/long", 1)
    publisher = studio.publish(clip, own.variant_url("rtmps", "live/long"))
    own.wait_live("live/long")
    assert subject(port) == "old.test"

    new_cert, new_key, _ = make_certificate(tmp_path / "renewed", "new.test", "old.test")
    new_key.replace(key)
    new_cert.replace(cert)
    reload = own.cli("config", "reload")
    assert reload.code == 0 and f"certificate read again: {cert} for new.test, old.test, EC 256, ends 20" in reload.out, reload.out
    wait_for(lambda: subject(port) == "new.test", RELOAD_SECONDS, "new connections get the new certificate")

    good = cert.read_text()
    cert.write_text("-----BEGIN CERTIFICATE-----\nnone\n-----END CERTIFICATE-----\n")
    own.cli("config", "reload")
    wait_for(lambda: complaints(own, cert), RELOAD_SECONDS, "the broken file is named in a log line")
    time.sleep(1.5 * PATIENCE)  # it is looked at again and again
    said = complaints(own, cert)
    by_reload = [line for line in said if line in own.control.output()]
    assert len(by_reload) <= 1 and len(said) - len(by_reload) <= 1, said  # whoever finds it says so once
    assert subject(port) == "new.test", "the one that serves goes on"
    cert.write_text(good)

    assert publisher.wait(15) == 0, publisher.output()
    assert player.wait(15) == 0, player.output()
    assert compare(clip, tmp_path / "got.flv", least=60, from_start=True, to_end=True) == []


def test_a_changed_file_is_noticed_without_a_word(make_penstock, tmp_path):
    cert, key, _ = make_certificate(tmp_path / "live", "old.test")
    own = make_penstock(variants=("rtmps",), certificates=[(cert, key, ())]).start()
    new_cert, new_key, _ = make_certificate(tmp_path / "renewed", "new.test")
    new_key.replace(key)
    new_cert.replace(cert)
    wait_for(lambda: subject(own.variant_ports["rtmps"]) == "new.test", RELOAD_SECONDS, "the new certificate")


def test_a_replacement_for_other_names_is_a_warning(make_penstock, tmp_path):
    cert, key, _ = make_certificate(tmp_path / "live", "old.test")
    own = make_penstock(variants=("rtmps",), certificates=[(cert, key, ())]).start()
    assert own.get("/status")["warnings"] == []
    new_cert, new_key, _ = make_certificate(tmp_path / "renewed", "new.test")
    new_key.replace(key)
    new_cert.replace(cert)
    assert own.cli("config", "reload").code == 0
    wait_for(lambda: [f"certificates: {cert}: is not for old.test, as the one before it was: encoders that check refuse it"]
             == own.get("/status")["warnings"], RELOAD_SECONDS, "status warns")
    assert len(complaints(own, cert)) == 1, complaints(own, cert)


def test_paths_begin_where_the_configuration_lies(make_penstock):
    own = make_penstock(variants=("rtmps",), certificates=[("tls/a.pem", "tls/a.key", ())])
    cert, key, _ = make_certificate(own.folder / "tls", "here.test")
    cert.rename(own.folder / "tls" / "a.pem")
    key.rename(own.folder / "tls" / "a.key")
    assert own.cli("config", "check", own.config_path).code == 0
    own.start()
    assert subject(own.variant_ports["rtmps"]) == "here.test"
    assert own.get("/status")["tls"]["certificates"] == 1 and own.get("/status")["warnings"] == []


def test_health_is_not_well_while_nobody_can_connect_over_tls(make_penstock, tmp_path):
    cert, key, _ = make_certificate(tmp_path / "late", "late.test")
    hidden = cert.rename(tmp_path / "hidden.pem")
    own = make_penstock(variants=("rtmps",), certificates=[(cert, key, ())]).start()
    status = own.get("/status")
    assert not status["healthy"]
    assert "nobody can connect to listen.rtmps: no certificate can be used" in status["warnings"]
    said = [line for line in status["warnings"] if str(cert) in line]
    assert len(said) == 1 and "serve" not in said[0], status["warnings"]
    hidden.rename(cert)
    wait_for(lambda: own.get("/status")["healthy"], RELOAD_SECONDS, "it is well")


def test_a_certificate_that_cannot_be_used_is_named_and_costs_nothing_else(make_penstock, tmp_path):
    good = make_certificate(tmp_path / "good", "good.test")
    cert, _, _ = make_certificate(tmp_path / "one", "one.test")
    _, other_key, _ = make_certificate(tmp_path / "two", "two.test")
    for wrong in ((tmp_path / "absent.pem", good[1], ()), (cert, other_key, ())):
        own = make_penstock(variants=("rtmps",), certificates=[wrong]).start()
        said = complaints(own, wrong[0]) + complaints(own, wrong[1])
        assert said, own.logs()
        before = own.counters()["transport_disabled"]
        assert "Cipher is (NONE)" in s_client(own.variant_ports["rtmps"], seconds=0.1)
        wait_for(lambda: own.counters()["transport_disabled"] == before + 1, what="it is counted")
        with RtmpPeer(own.rtmp_port) as peer:
            assert peer.publish("live", "plain")[0] == "NetStream.Publish.Start"


# PROXY headers
# ----------------------------------------------------------------------------------------------------------------------


V2_SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"


def proxy_v1(address, port):
    family = "TCP6" if ":" in address else "TCP4"
    other = "::1" if ":" in address else "127.0.0.1"
    return f"PROXY {family} {address} {other} {port} 1935\r\n".encode()


def proxy_v2(address, port):
    packed = ipaddress.ip_address(address).packed
    other = ipaddress.ip_address("::1" if len(packed) == 16 else "127.0.0.1").packed
    body = packed + other + struct.pack(">HH", port, 1935)
    return V2_SIGNATURE + bytes([0x21, 0x21 if len(packed) == 16 else 0x11]) + struct.pack(">H", len(body)) + body


def connect_from(source, port):
    return socket.create_connection(("127.0.0.1", port), timeout=8 * PATIENCE, source_address=(source, 0))


def shown_as(penstock, address):
    """Whether the operator sees a connection of this address."""
    return address in penstock.cli("connections").out


@pytest.mark.smoke
@pytest.mark.parametrize("header, shown", [
    (proxy_v1("192.0.2.7", 4711), "192.0.2.7:4711"), (proxy_v1("2001:db8::7", 4712), "[2001:db8::7]:4712"),
    (proxy_v2("192.0.2.8", 4713), "192.0.2.8:4713"), (proxy_v2("2001:db8::8", 4714), "[2001:db8::8]:4714")])
@pytest.mark.parametrize("secure", [False, True])
def test_a_balancer_says_for_whom_it_speaks(penstock, header, shown, secure):
    raw = connect_from(BALANCER, penstock.variant_ports["rtmps"] if secure else penstock.rtmp_port)
    raw.sendall(header)
    with Peer(context_for().wrap_socket(raw) if secure else raw) as peer:
        peer.connect("live")
        wait_for(lambda: shown_as(penstock, shown), what=f"{shown} is shown")
        assert not shown_as(penstock, BALANCER + ":")


def test_a_balancer_may_speak_for_itself_and_needs_no_header(penstock):
    local = V2_SIGNATURE + bytes([0x20, 0x00, 0x00, 0x00])
    for header in (local, b"PROXY UNKNOWN\r\n", b""):
        raw = connect_from(BALANCER, penstock.rtmp_port)
        raw.sendall(header)
        with Peer(raw) as peer:
            peer.connect("live")
            own = "%s:%d" % peer.socket.getsockname()
            wait_for(lambda: shown_as(penstock, own), what=f"{own} is shown for {header!r}")


def test_a_header_in_pieces_is_one_header(penstock):
    raw = connect_from(BALANCER, penstock.rtmp_port)
    raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for byte in proxy_v2("192.0.2.9", 4715):
        raw.sendall(bytes([byte]))
        time.sleep(0.002)
    with Peer(raw) as peer:
        peer.connect("live")
        wait_for(lambda: shown_as(penstock, "192.0.2.9:4715"), what="the address is shown")


def refused(raw):
    try:
        while raw.recv(4096):
            pass
    except OSError:
        pass
    raw.close()


@pytest.mark.parametrize("header", [proxy_v1("192.0.2.10", 4716), proxy_v2("192.0.2.10", 4716)])
def test_who_is_no_balancer_is_not_believed(penstock, header):
    before = penstock.counters()["proxy_unexpected"]
    raw = connect_from("127.0.0.1", penstock.rtmp_port)
    raw.sendall(header + b"\x03" + bytes(1536))
    refused(raw)
    wait_for(lambda: penstock.counters()["proxy_unexpected"] == before + 1, what="it is counted")
    assert not shown_as(penstock, "192.0.2.10")


def test_a_header_that_is_malformed_is_counted(penstock):
    before = penstock.counters()["proxy_header_malformed"]
    for number, header in enumerate((b"PROXY TCP4 999.0.2.1 127.0.0.1 1 2\r\n", b"PROXY " + b"x" * 200,
                                     V2_SIGNATURE + b"\x31\x11\x00\x0c" + bytes(12)), 1):
        raw = connect_from(BALANCER, penstock.rtmp_port)
        raw.sendall(header)
        refused(raw)
        wait_for(lambda: penstock.counters()["proxy_header_malformed"] == before + number, what=f"{header!r} is counted")
