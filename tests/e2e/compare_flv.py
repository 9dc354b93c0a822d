#!/usr/bin/python3
"""Whether what a player wrote is what a publisher sent, packet by packet: the same payloads in the same order without a gap,
at the same distances in time, audio and video shifted alike.

usage: compare_flv.py SENT GOT [--from-start] [--to-end] [--tolerance-ms N]
"""
import argparse
import collections
import json
import subprocess
import sys

Packet = collections.namedtuple("Packet", "decode_ms present_ms digest key")


def read_packets(path):
    """{"video": [Packet...], "audio": [...]} in the order of the file, as ffprobe demuxes it."""
    done = subprocess.run(["ffprobe", "-v", "error", "-show_data_hash", "sha256", "-show_entries",
                           "stream=index,codec_type:packet=stream_index,pts_time,dts_time,flags,data_hash", "-of", "json",
                           str(path)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False)
    if done.returncode != 0:
        raise ValueError(f"{path}: {done.stderr.decode(errors='replace')}")
    listed = json.loads(done.stdout)
    kinds = {stream["index"]: stream["codec_type"] for stream in listed.get("streams", [])}
    packets = {}
    for packet in listed.get("packets", []):
        decode = packet.get("dts_time") or packet.get("pts_time") or "0"
        present = packet.get("pts_time") or decode
        packets.setdefault(kinds.get(packet["stream_index"], "?"), []).append(
            Packet(round(float(decode) * 1000), round(float(present) * 1000), packet.get("data_hash", ""),
                   "K" in packet.get("flags", "")))
    return packets


def places(sent, got):
    """Every index at which `got` lies in `sent` as a whole. Equal packets (silence) and looped clips give several."""
    wanted = [packet.digest for packet in got]
    digests = [packet.digest for packet in sent]
    return [at for at in range(len(sent) - len(got) + 1)
            if digests[at] == wanted[0] and digests[at:at + len(got)] == wanted]


def first_difference(sent, got):
    """For the message: the longest start of `got` that lies in `sent` somewhere."""
    digests = [packet.digest for packet in sent]
    best = (0, None)
    for at, digest in enumerate(digests):
        if digest != got[0].digest:
            continue
        length = 0
        while at + length < len(sent) and length < len(got) and digests[at + length] == got[length].digest:
            length += 1
        best = max(best, (length, at))
    length, at = best
    if at is None:
        return "the first packet that came was never sent"
    where = f"packet {length} of {len(got)} that came (sent {at}+{length} of {len(sent)})"
    if length < len(got) and got[length].digest in digests[at + length:]:
        return f"{where}: {digests.index(got[length].digest, at + length) - at - length} packets are missing before it"
    return f"{where} is not what was sent there"


def time_fault(sent, got, at, shift, tolerance_ms):
    for number, packet in enumerate(got):
        original = sent[at + number]
        if abs(packet.decode_ms - original.decode_ms - shift) > tolerance_ms:
            return f"packet {number}: decode time {packet.decode_ms} ms, sent at {original.decode_ms}, shift {shift}"
        offset = packet.present_ms - packet.decode_ms
        if abs(offset - (original.present_ms - original.decode_ms)) > tolerance_ms:
            return f"packet {number}: composition offset {offset} ms"
    return None


def compare(sent_path, got_path, kinds=("video", "audio"), least=1, from_start=False, to_end=False, tolerance_ms=0):
    """What is wrong, one line each; nothing when all is well."""
    sent_all, got_all = read_packets(sent_path), read_packets(got_path)
    problems, found = [], {}
    for kind in kinds:
        sent, got = sent_all.get(kind, []), got_all.get(kind, [])
        if len(got) < least:
            problems.append(f"{kind}: {len(got)} packets came, {least} at least were expected")
            continue
        at = places(sent, got)
        if from_start:
            at = [index for index in at if index == 0]
        if to_end:
            at = [index for index in at if index + len(got) == len(sent)]
        if not at:
            whole = places(sent, got)
            if whole:
                problems.append(f"{kind}: came from packet {whole[0]} to {whole[0] + len(got)} of {len(sent)}")
            else:
                problems.append(f"{kind}: {first_difference(sent, got)}")
            continue
        found[kind] = (sent, got, at)
    if problems:
        return problems
    # Of the places that fit by content, one for each kind has to fit by time with a shift that all kinds have in common.
    sent, got, at = found[kinds[0]]
    shifts = [got[0].decode_ms - sent[index].decode_ms for index in at]
    last = []
    for shift in shifts:
        last = []
        for kind in kinds:
            sent, got, at = found[kind]
            faults = [time_fault(sent, got, index, shift, tolerance_ms) for index in at]
            if None not in faults:
                last.append(f"{kind}: {faults[0]}")
        if not last:
            return []
    return last


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sent")
    parser.add_argument("got")
    parser.add_argument("--from-start", action="store_true")
    parser.add_argument("--to-end", action="store_true")
    parser.add_argument("--tolerance-ms", type=int, default=0)
    options = parser.parse_args()
    kinds = tuple(kind for kind in ("video", "audio") if kind in read_packets(options.sent))
    problems = compare(options.sent, options.got, kinds, 1, options.from_start, options.to_end, options.tolerance_ms)
    for problem in problems:
        print(problem)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
