"""A small RTMP peer in plain Python, for what no encoder or player here does: bodies of our own choosing, messages looked at one by
one, and deliberate nonsense. RTMP 1.0; protocol sections in comments refer to it."""
import collections
import os
import socket
import struct
import time

from processes import PATIENCE

Message = collections.namedtuple("Message", "type timestamp stream_id body")
AUDIO, VIDEO, DATA, COMMAND = 8, 9, 18, 20
CHUNK_BYTES_OUT = 65536


def amf_encode(value):
    if value is None:
        return b"\x05"
    if isinstance(value, bool):
        return b"\x01" + bytes([value])
    if isinstance(value, (int, float)):
        return b"\x00" + struct.pack(">d", value)
    if isinstance(value, str):
        text = value.encode()
        return b"\x02" + struct.pack(">H", len(text)) + text
    if isinstance(value, dict):
        out = b"\x03"
        for key, item in value.items():
            out += struct.pack(">H", len(key)) + key.encode() + amf_encode(item)
        return out + b"\x00\x00\x09"
    if isinstance(value, list):
        return b"\x0a" + struct.pack(">I", len(value)) + b"".join(amf_encode(item) for item in value)
    raise TypeError(value)


def amf_decode(body, at=0):
    """(value, where the next one starts)."""
    marker, at = body[at], at + 1
    if marker == 0:
        return struct.unpack(">d", body[at:at + 8])[0], at + 8
    if marker == 1:
        return bool(body[at]), at + 1
    if marker == 2:
        length = struct.unpack(">H", body[at:at + 2])[0]
        return body[at + 2:at + 2 + length].decode(), at + 2 + length
    if marker in (3, 8):
        at += 4 if marker == 8 else 0
        value = {}
        while body[at:at + 3] != b"\x00\x00\x09":
            length = struct.unpack(">H", body[at:at + 2])[0]
            key = body[at + 2:at + 2 + length].decode()
            value[key], at = amf_decode(body, at + 2 + length)
        return value, at + 3
    if marker in (5, 6):
        return None, at
    if marker == 10:
        count, at = struct.unpack(">I", body[at:at + 4])[0], at + 4
        values = []
        for _ in range(count):
            value, at = amf_decode(body, at)
            values.append(value)
        return values, at
    raise ValueError(f"AMF marker {marker}")


def amf_decode_all(body):
    values, at = [], 0
    while at < len(body):
        value, at = amf_decode(body, at)
        values.append(value)
    return values


class RtmpPeer:
    HOST = "127.0.0.1"  # of tests that name none

    def __init__(self, port, host=None, seconds=8.0, connection=None):
        """`connection`: one that is there already, over TLS for example, instead of a new one to `port`."""
        self.socket = connection or socket.create_connection((host or self.HOST, port), timeout=seconds * PATIENCE)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.chunk_bytes_in = 128
        self.partial, self.headers = {}, {}
        self.transaction = 0
        self.received_bytes = self.acknowledged_bytes = 0
        self.window = 0

    def close(self):
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    # -- bytes --

    def send(self, data):
        self.socket.sendall(data)

    def read(self, count):
        data = b""
        while len(data) < count:
            more = self.socket.recv(count - len(data))
            if not more:
                raise ConnectionError("closed by the other side")
            data += more
        self.received_bytes += count
        return data

    def handshake(self):
        """The simple one (5.2): our C1 says version 0, so no digest is looked for."""
        c1 = struct.pack(">II", 0, 0) + os.urandom(1528)
        self.send(b"\x03" + c1)
        assert self.read(1) == b"\x03"
        s1 = self.read(1536)
        s2 = self.read(1536)
        assert s2[8:] == c1[8:], "S2 does not echo C1"
        self.send(s1)

    # -- messages --

    def send_message(self, kind, body, stream_id=0, timestamp=0, chunk_stream_id=3):
        extended = timestamp >= 0xFFFFFF
        head = struct.pack(">I", 0xFFFFFF if extended else timestamp)[1:] + struct.pack(">I", len(body))[1:]
        tail = struct.pack(">I", timestamp) if extended else b""
        out = bytes([chunk_stream_id]) + head + bytes([kind]) + struct.pack("<I", stream_id) + tail
        for at in range(0, max(len(body), 1), CHUNK_BYTES_OUT):
            if at > 0:
                out += bytes([0xC0 | chunk_stream_id]) + tail
            out += body[at:at + CHUNK_BYTES_OUT]
        self.send(out)

    def read_message(self):
        """The next message; protocol control messages are obeyed and left out."""
        while True:
            message = self._read_chunk()
            if message is None:
                continue
            if message.type == 1:
                self.chunk_bytes_in = struct.unpack(">I", message.body)[0]
            elif message.type == 5:
                self.window = struct.unpack(">I", message.body)[0]
            elif message.type == 4 and message.body[:2] == b"\x00\x06":
                self.send_message(4, b"\x00\x07" + message.body[2:6], chunk_stream_id=2)
            elif message.type not in (3, 6):
                return message

    def _read_chunk(self):
        if self.window and self.received_bytes - self.acknowledged_bytes > self.window // 2:
            self.acknowledged_bytes = self.received_bytes
            self.send_message(3, struct.pack(">I", self.received_bytes & 0xFFFFFFFF), chunk_stream_id=2)
        first = self.read(1)[0]
        form, chunk_stream = first >> 6, first & 63
        if chunk_stream == 0:
            chunk_stream = 64 + self.read(1)[0]
        elif chunk_stream == 1:
            chunk_stream = 64 + struct.unpack("<H", self.read(2))[0]
        state = self.headers.setdefault(chunk_stream, dict(timestamp=0, delta=0, length=0, type=0, stream=0, long=False))
        if form < 3:
            head = self.read({0: 11, 1: 7, 2: 3}[form])
            stamp = int.from_bytes(head[:3], "big")
            state["long"] = stamp == 0xFFFFFF
            if form < 2:
                state["length"], state["type"] = int.from_bytes(head[3:6], "big"), head[6]
            if form == 0:
                state["stream"] = int.from_bytes(head[7:11], "little")
            if state["long"]:
                stamp = struct.unpack(">I", self.read(4))[0]
            state["delta"] = 0 if form == 0 else stamp
            state["timestamp"] = stamp if form == 0 else (state["timestamp"] + stamp) & 0xFFFFFFFF
        else:
            if state["long"]:
                self.read(4)
            if chunk_stream not in self.partial:
                state["timestamp"] = (state["timestamp"] + state["delta"]) & 0xFFFFFFFF
        body = self.partial.pop(chunk_stream, b"")
        body += self.read(min(self.chunk_bytes_in, state["length"] - len(body)))
        if len(body) < state["length"]:
            self.partial[chunk_stream] = body
            return None
        return Message(state["type"], state["timestamp"], state["stream"], body)

    # -- commands --

    def command(self, name, *arguments, stream_id=0):
        self.transaction += 1
        body = amf_encode(name) + amf_encode(self.transaction) + b"".join(amf_encode(a) for a in arguments)
        self.send_message(COMMAND, body, stream_id)
        return self.transaction

    def wait_result(self, transaction):
        while True:
            message = self.read_message()
            if message.type != COMMAND:
                continue
            values = amf_decode_all(message.body)
            if values[0] in ("_result", "_error") and values[1] == transaction:
                return values

    def wait_status(self, *codes):
        """The onStatus whose code is one of these."""
        while True:
            message = self.read_message()
            if message.type != COMMAND:
                continue
            values = amf_decode_all(message.body)
            if values[0] == "onStatus" and (not codes or values[3]["code"] in codes):
                return values[3]

    def ask_connect(self, app, **more):
        """The answer, whichever it is."""
        self.handshake()
        self.send_message(1, struct.pack(">I", CHUNK_BYTES_OUT), chunk_stream_id=2)
        done = self.command("connect", {"app": app, "type": "nonprivate", "flashVer": "penstock e2e",
                                        "tcUrl": f"rtmp://127.0.0.1/{app}", **more})
        return self.wait_result(done)

    def connect(self, app, **more):
        values = self.ask_connect(app, **more)
        assert values[0] == "_result", values
        return values

    def create_stream(self):
        return int(self.wait_result(self.command("createStream", None))[3])

    def publish(self, app, name, **more):
        """The publish's status code and message stream id."""
        self.connect(app, **more)
        stream_id = self.create_stream()
        self.command("publish", None, name, "live", stream_id=stream_id)
        return self.wait_status()["code"], stream_id

    def play(self, app, name):
        self.connect(app)
        stream_id = self.create_stream()
        self.command("play", None, name, -2, stream_id=stream_id)
        return stream_id

    def send_tags(self, tags, stream_id, realtime=False):
        start = time.monotonic()
        for kind, timestamp, body in tags:
            if realtime:
                time.sleep(max(0.0, timestamp / 1000 - (time.monotonic() - start)))
            self.send_message(kind, body, stream_id, timestamp, chunk_stream_id={AUDIO: 4, VIDEO: 6}.get(kind, 5))

    def read_media(self):
        """The next audio, video or metadata message; ConnectionError or TimeoutError when there is none. |RtmpSampleAccess and
        data statuses, which every player gets before media, are left out."""
        while True:
            message = self.read_message()
            if message.type in (AUDIO, VIDEO) or (message.type == DATA and b"onMetaData" in message.body):
                return message


def read_flv(path):
    """[(message type, timestamp, body)] of an FLV file (FLV 10.1, annex E.4)."""
    with open(path, "rb") as file:
        data = file.read()
    tags, at = [], 13
    while at + 11 <= len(data):
        length = int.from_bytes(data[at + 1:at + 4], "big")
        timestamp = int.from_bytes(data[at + 4:at + 7], "big") | data[at + 7] << 24
        tags.append((data[at] & 31, timestamp, data[at + 11:at + 11 + length]))
        at += 15 + length
    return tags
