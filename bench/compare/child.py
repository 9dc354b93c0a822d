"""Processes that are started to be measured: they end with compare.py however that ends, and stand before the desktop."""
import ctypes
import os
import signal
import subprocess

PR_SET_PDEATHSIG = 1
AUTOGROUP = "/proc/self/autogroup"
# Below -18 would be -19 and -20: some room is left for who has to end this by hand.
AUTOGROUP_NICE = -18
LIBC = ctypes.CDLL(None, use_errno=True)  # not between fork and exec: loading takes locks


def settings(end_with):
    """For subprocess: a session of its own, which ends by signal `end_with` when compare.py is gone, SIGKILL included.

    With sched_autogroup the cores are shared out between sessions, and nice counts within one alone: so each session, being
    new, says for itself what it is worth. The operator's own session is left as it is."""
    parent = os.getpid()

    def in_child():
        LIBC.prctl(PR_SET_PDEATHSIG, end_with, 0, 0, 0)
        if os.getppid() != parent:
            os._exit(1)  # it died before it was asked for
        prefer_session()

    return {"start_new_session": True, "preexec_fn": in_child}


def prefer_session():
    """Where the kernel has no autogroups, or allows no priority, all goes on as it was."""
    try:
        with open(AUTOGROUP, "w", encoding="ascii") as file:
            file.write(str(AUTOGROUP_NICE))
    except OSError:
        pass


def scheduling():
    """What `settings` brought about, for the results: looked up in a process that is started so."""
    try:
        with open("/proc/sys/kernel/sched_autogroup_enabled", encoding="ascii") as file:
            if file.read().strip() == "0":
                return "no autogroups"
    except OSError:
        return "no autogroups"
    done = subprocess.run(["cat", AUTOGROUP], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=False,
                          **settings(signal.SIGKILL))
    _, found, nice = done.stdout.strip().rpartition(" nice ")
    if not found:
        return "no autogroups"
    return f"autogroups of servers and generator at nice {nice}" + \
        ("" if nice == str(AUTOGROUP_NICE) else ": a higher priority was refused")
