"""Tests with addresses of their own: the process starts itself again in a network namespace whose loopback has them, so that
clients come from where the test wants, IPv6 included, and nothing of it is seen outside."""
import os
import shutil
import sys

_MARK = "ONWARD_E2E_NETNS"


def missing():
    """Why there can be no namespace; "" when there can."""
    if os.geteuid() != 0:
        return "a network namespace needs root"
    if not shutil.which("unshare") or not shutil.which("ip"):
        return "unshare or ip is missing"
    return ""


def enter(*addresses):
    """Call first thing in main. Returns inside the namespace (or at once, when there can be none)."""
    if missing() or os.environ.get(_MARK):
        return
    setup = "ip link set lo up" + "".join(f" && ip address add {a} dev lo nodad" if ":" in a else f" && ip address add {a} dev lo"
                                          for a in addresses)
    os.environ[_MARK] = "1"
    os.execvp("unshare", ["unshare", "--net", "sh", "-c", setup + ' && exec "$@"', "sh", sys.executable, *sys.argv])
