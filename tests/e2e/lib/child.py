"""Processes that end with us, even when the test itself is killed: a watchdog holds the other end of a pipe and, when we
are gone, ends those that still run. A process is known by its id and its start time, never by its name."""
import subprocess
import sys

_WATCHDOG = """
import os, signal, sys
known = {}
for line in sys.stdin:
    pid, start = line.split()
    known[pid] = start
for pid, start in known.items():
    try:
        with open(f"/proc/{pid}/stat") as f:
            if f.read().rsplit(")", 1)[1].split()[19] == start:
                os.kill(int(pid), signal.SIGTERM)
    except (OSError, IndexError):
        pass
"""
_watchdog = None


def start(command, **arguments):
    global _watchdog
    if _watchdog is None:
        _watchdog = subprocess.Popen([sys.executable, "-c", _WATCHDOG], stdin=subprocess.PIPE, text=True,
                                     stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, **arguments)
    with open(f"/proc/{process.pid}/stat", encoding="ascii", errors="replace") as f:
        began = f.read().rsplit(")", 1)[1].split()[19]
    _watchdog.stdin.write(f"{process.pid} {began}\n")
    _watchdog.stdin.flush()
    return process


def stop(process, limit=10):
    """SIGTERM, and SIGKILL when that takes too long."""
    if process.poll() is not None:
        return
    process.terminate()
    try:
        process.wait(limit)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
