"""Where the cycles go: samples of both cores, sorted by what a call chain passes through."""
import contextlib
import os
import re
import signal
import subprocess
import sys

import child

# A stack of so many bytes is copied with each sample: a leaf of libc and who called it are in it, which is all that is asked.
STACK_BYTES = 2048
SAMPLES_PER_S = 1000

TCP, DRIVER_USER, DRIVER_KERNEL, VETH, WORKER, ENGINE, LOOKING, OTHER, NOT_OURS, GIVEN, GIVEN_WAKE, GIVEN_VETH = (
    "TCP", "driver: copies and rings", "driver: AF_PACKET in the kernel", "veth, and the peer's stack behind it", "worker and session",
    "engine", "looking and waiting", "rest of the kernel", "others on this core", "receiving in the generator's time",
    "waking the server in the generator's time", "veth in the generator's time")
ORDER = (TCP, WORKER, ENGINE, DRIVER_USER, DRIVER_KERNEL, VETH, LOOKING, OTHER, GIVEN, GIVEN_WAKE, GIVEN_VETH)
ON_SERVER_CORE = ORDER[:ORDER.index(GIVEN)]

# The kernel's part of a chain: the first rule that any function of it matches. What a segment of ours sets off at the other end
# runs within our send, so it comes first.
KERNEL = tuple((name, re.compile(pattern)) for name, pattern in (
    (DRIVER_KERNEL, r"^(tpacket_rcv|packet_rcv)"),
    (VETH, r"^(process_backlog|net_rx_action|__netif_receive_skb|veth_xmit|dev_hard_start_xmit|__dev_queue_xmit|"
           r"packet_direct_xmit|__dev_direct_xmit)"),
    (DRIVER_KERNEL, r"^(tpacket_|packet_sendmsg|packet_recvmsg|packet_poll|prb_)"),
    (TCP, r"^(tcp_|__tcp_|inet_|inet6_|ip_|__ip_|sk_stream|sock_sendmsg|sock_recvmsg|io_send|io_recv|skb_copy_datagram)"),
    (LOOKING, r"^(do_epoll_wait|ep_poll|__x64_sys_epoll|io_cqring_wait|schedule|__schedule|clock_gettime|do_nanosleep)"),
    (ENGINE, r"^(io_|__io_|__do_sys_io_uring|__x64_sys_io_uring)"),
    (DRIVER_KERNEL, r"^(__x64_sys_sendto|__sys_sendto|__x64_sys_poll|do_sys_poll)"),
))
# What only asks whether there is something to do: the loop of a turn that finds nothing, the clock, the pauses. The driver's
# receive function copies in libc, so what is its own is looking into its ring.
LOOKS = re.compile(r"^(eth_af_packet_rx|(__)?(vdso_)?clock_gettime|.*DpdkEngine::(poll|wait|sleep)\b|.*Crossings|.*Bell::|"
                   r".*Idle::|rte_pause|.*tsc|read_tsc|.*monotonic_now|.*DpdkEngine::(receive|take_burst|give_back|send_out|report)\b|"
                   r"epoll_pwait2|.*Stack::(take_released|output|events|deadline|expire|take_neighbour_news)\b|.*Transmitter::transmitted)")
# The program's part, from the innermost function outwards.
PROGRAM = tuple((name, re.compile(pattern)) for name, pattern in (
    (TCP, r"penstock::engine::tcp::"),
    (DRIVER_USER, r"^(eth_af_packet|rte_|__rte|.*rte_eth_)"),
    (ENGINE, r"penstock::engine::|^(io_uring|__io_uring|_io_uring)"),
    (WORKER, r"penstock::"),
))


def keep_awake(core):
    """Something that runs on a core when nobody else does. A virtual core that halts between two packets is sampled at moments
    that are not random: of a server that was busy for 30 % of the time 5 % were seen."""
    def in_child():
        settings["preexec_fn"]()
        os.sched_setaffinity(0, {core})
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
        with contextlib.suppress(OSError), open(child.AUTOGROUP, "w", encoding="ascii") as file:
            file.write("19")
    settings = child.settings(signal.SIGKILL)
    return subprocess.Popen([sys.executable, "-c", "while True: pass"], stdin=subprocess.DEVNULL,
                            **{**settings, "preexec_fn": in_child})


class Recorder:
    """perf, from before the window that is wanted until after it: samples have times, and perf takes its own to start."""

    def __init__(self, cores, path):
        self.path = path
        self.awake = keep_awake(cores[0])
        self.child = subprocess.Popen(
            ["taskset", "-c", str(cores[-1]), "perf", "record", "-q", "-a", "-C", ",".join(map(str, cores)), "-e", "cpu-clock",
             "-F", str(SAMPLES_PER_S), "-k", "CLOCK_MONOTONIC", "--call-graph", f"dwarf,{STACK_BYTES}", "-o", str(path)],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, **child.settings(signal.SIGINT))

    def end(self):
        self.child.send_signal(signal.SIGINT)
        said = self.child.communicate(timeout=60)[1]
        self.awake.kill()
        self.awake.wait()
        if not self.path.exists():
            raise RuntimeError(f"perf wrote nothing: {said.strip()[-300:]}")


def read(path, since, until):
    """The samples between two times; ours have no need of inlined functions, whose look-up takes minutes."""
    done = subprocess.run(["perf", "script", "-i", str(path), "--no-inline", "--time", f"{since:.6f},{until:.6f}",
                           "-F", "comm,pid,cpu,ip,sym,dso"],
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
                          errors="replace", check=True)
    return parse(done.stdout)


FRAME = re.compile(r"^\s+[0-9a-f]+ (.*) \((.*)\)$")
HEAD = re.compile(r"^(.*?)\s+(\d+)\s+\[(\d+)\]")


def parse(text):
    """(command, pid, core, [(function, is the kernel's)]) of each sample, innermost first."""
    samples, frames = [], []
    for line in text.splitlines():
        frame = FRAME.match(line)
        if frame:
            frames.append((frame.group(1), "kernel" in frame.group(2) or frame.group(2).endswith(".ko")))
            continue
        head = HEAD.match(line)
        if head:
            frames = []
            samples.append((head.group(1).strip(), int(head.group(2)), int(head.group(3)), frames))
    return samples


BACKLOG = re.compile(r"^(process_backlog|__netif_receive_skb)")
AF_PACKET = re.compile(r"^(tpacket_rcv|packet_rcv)")
# Of a segment that comes: what is done by who sends the load's bytes (it gets ACKs), and by who gets the bytes.
SENDERS = re.compile(r"^(tcp_ack|tcp_clean_rtx_queue|tcp_data_snd_check|tcp_write_xmit|__tcp_push_pending|tcp_xmit_recovery)")
RECEIVERS = re.compile(r"^(tcp_data_queue|tcp_queue_rcv|__?tcp_send_ack|tcp_send_delayed_ack|tcp_grow_window|tcp_try_coalesce)")

WAKES = re.compile(r"^(sock_def_readable|__wake_up|try_to_wake_up|ttwu_|io_poll_wake|__io_req_task_work|io_req_)")


def kind_of(frames, engine, server_sends=False):
    """On the server's core."""
    looks = engine == "dpdk"  # it polls, so that finding nothing is work of its own kind
    kernel = [name for name, is_kernel in frames if is_kernel]
    # An answer to our segment may come back within our send.
    own = SENDERS if server_sends else RECEIVERS
    inside = next((at for at, name in enumerate(kernel) if BACKLOG.match(name)), 0)
    if not looks and any(own.match(name) for name in kernel[:inside]):
        return TCP
    for kind, pattern in KERNEL:
        if any(pattern.match(name) for name in kernel):
            return kind
    if kernel:
        return OTHER
    names = [name for name, _ in frames]
    if looks and names and LOOKS.match(names[0]):
        return LOOKING
    for name in names:
        for kind, pattern in PROGRAM:
            if pattern.search(name):
                return kind
    return WORKER


def given_kind(names, engine, server_sends):
    """Of what softirqs did in the generator's time: whose it was. None when it was the generator's own."""
    inside = next((at for at, name in enumerate(names) if BACKLOG.match(name)), None)
    if inside is None:
        return None
    names = names[:inside]
    if engine == "dpdk":  # there is no TCP of the kernel's at the server's end
        if any(AF_PACKET.match(name) for name in names):
            return GIVEN
        return None if any(name.startswith(("tcp_", "__tcp_", "__inet_lookup")) for name in names) else GIVEN_VETH
    if any((RECEIVERS if server_sends else SENDERS).match(name) for name in names):
        return None
    if any(WAKES.match(name) for name in names):
        return GIVEN_WAKE
    return GIVEN if any(name.startswith(("tcp_", "__tcp_", "__inet_lookup")) for name in names) else GIVEN_VETH


def sorted_samples(samples, server_pid, server_core, engine, server_sends=False):
    """How many samples are of each kind; on the other core those that softirqs took in the generator's time for the server."""
    counts = dict.fromkeys((*ORDER, NOT_OURS), 0)
    for command, pid, core, frames in samples:
        if core == server_core:
            if pid == server_pid:
                counts[kind_of(frames, engine, server_sends)] += 1
            elif pid != 0 and "swapper" not in command:
                counts[NOT_OURS] += 1
        elif command == "penstock-load":
            kind = given_kind([name for name, is_kernel in frames if is_kernel], engine, server_sends)
            if kind is not None:
                counts[kind] += 1
    return counts


def per_gb(counts, gigabytes_per_s, seconds):
    """CPU-seconds per GB of each kind."""
    return {kind: count / SAMPLES_PER_S / seconds / gigabytes_per_s for kind, count in counts.items()}


# What a NIC would change, as sums of the above. The kernel's TCP is fed by softirqs: with a NIC they come to the server's core,
# where over veth the generator pays for them.
def model(engine, costs):
    goes = costs[VETH] + costs[GIVEN_VETH]
    if engine == "dpdk":
        goes += costs[DRIVER_USER] + costs[DRIVER_KERNEL] + costs[GIVEN] + costs[GIVEN_WAKE]
        stays = costs[TCP] + costs[WORKER] + costs[ENGINE] + costs[OTHER]
        polls = costs[LOOKING]
    else:
        stays = costs[TCP] + costs[WORKER] + costs[ENGINE] + costs[OTHER] + costs[GIVEN]
        polls = costs[LOOKING] + costs[GIVEN_WAKE]
    return {"stays": stays, "goes": goes, "polls": polls}
