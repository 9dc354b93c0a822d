#!/usr/bin/python3
"""Carries frames between two interfaces of this namespace, later, and not all of them: what a long way does to packets.

Each way has its own loss, and a generator of its own from the seed: the same frames are lost however the ways interleave.
ACKs alone are lost, too, as on a real way. Ends on SIGTERM and prints what it carried."""
import argparse
import collections
import json
import random
import select
import signal
import socket
import sys
import time

ETH_P_ALL = 3
PACKET_OUTGOING = 4
# A window of 200 ms at 100 Mbit/s; beyond it the way is full and drops, as a router would.
HELD_MAX = 2000


class Way:
    def __init__(self, seed, source, target, loss, delay_s):
        self.dice = random.Random(seed)
        self.source, self.target, self.loss, self.delay_s = source, target, loss, delay_s
        self.held = collections.deque()  # in order: every frame waits for the same time
        self.carried = self.lost = self.full = 0

    def take(self):
        """What has come; a loss is by frame, so what was lost does not depend on how frames were batched."""
        while True:
            try:
                frame, address = self.source.recvfrom(65535)
            except BlockingIOError:
                return
            if address[2] == PACKET_OUTGOING:
                continue
            if self.dice.random() < self.loss:
                self.lost += 1
            elif len(self.held) >= HELD_MAX:
                self.full += 1
            else:
                self.held.append((time.monotonic() + self.delay_s, frame))

    def give(self, now):
        while self.held and self.held[0][0] <= now:
            _, frame = self.held.popleft()
            try:
                self.target.send(frame)
                self.carried += 1
            except OSError:
                self.full += 1


def port(interface):
    made = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
    made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)
    made.bind((interface, ETH_P_ALL))
    made.setblocking(False)
    return made


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter,
                                     epilog="example: cable.py a0 b0 --delay-ms 25 --loss-there 0.01")
    parser.add_argument("here")
    parser.add_argument("there")
    parser.add_argument("--delay-ms", type=float, default=0, help="each way: half of what a round trip takes longer")
    parser.add_argument("--loss-there", type=float, default=0, help="of what comes from `here`, 0 to 1")
    parser.add_argument("--loss-back", type=float, default=0, help="of what comes from `there`")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    ended = []
    signal.signal(signal.SIGTERM, lambda *_: ended.append(1))
    here, there = port(options.here), port(options.there)
    ways = [Way(options.seed, here, there, options.loss_there, options.delay_ms / 1000),
            Way(options.seed + 1, there, here, options.loss_back, options.delay_ms / 1000)]
    while not ended:
        due = min((way.held[0][0] for way in ways if way.held), default=None)
        wait = 0.2 if due is None else max(0.0, due - time.monotonic())
        select.select([here, there], [], [], wait)
        for way in ways:
            way.take()
        now = time.monotonic()
        for way in ways:
            way.give(now)
    print(json.dumps({name: {"carried": way.carried, "lost": way.lost, "full": way.full}
                      for name, way in zip(("there", "back"), ways)}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
