"""Free ports for servers that are started by name of port. Tests run in parallel, so a port is held by a lock file for
as long as this process lives or until release(), and ports stay below the range the kernel gives to outgoing
connections."""
import errno
import fcntl
import os
import random
import socket
import tempfile

_held = []
_FOLDER = os.path.join(tempfile.gettempdir(), f"onward-ports.{os.getuid()}")


def _free(port):
    for family, address in ((socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::")):
        for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
            with socket.socket(family, kind) as probe:
                if family == socket.AF_INET6:
                    probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                if kind == socket.SOCK_STREAM:
                    probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                try:
                    probe.bind((address, port))
                except OSError as error:
                    if error.errno == errno.EADDRINUSE:
                        return False
                    raise
    return True


def free_port():
    os.makedirs(_FOLDER, mode=0o700, exist_ok=True)
    for _ in range(2000):
        port = random.randrange(10000, 32000)
        lock = os.open(os.path.join(_FOLDER, str(port)), os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(lock)
            continue
        if _free(port):
            _held.append(lock)
            return port
        os.close(lock)
    raise RuntimeError("no free port found")


def release():
    """Gives all ports back: nothing runs on any of them."""
    while _held:
        os.close(_held.pop())
