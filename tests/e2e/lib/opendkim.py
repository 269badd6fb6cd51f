"""A real opendkim as a signing milter, for Postfix in front of Onward."""
import os
import shutil
import socket
import subprocess
import tempfile

from . import child, keys
from .ports import free_port
from .wait import wait_until


class OpenDkim:
    def __init__(self, domain, selector, canonicalization="relaxed/simple"):
        self.folder = tempfile.mkdtemp(prefix="onward-opendkim-")
        self.port = free_port()
        self.milter = f"inet:127.0.0.1:{self.port}"
        key = os.path.join(self.folder, "key.pem")
        shutil.copy(os.path.join(keys.folder(), "ow1.rsa.pem"), key)
        os.chmod(key, 0o600)
        config = os.path.join(self.folder, "opendkim.conf")
        with open(config, "w", encoding="utf-8") as f:
            f.write(f"Socket inet:{self.port}@127.0.0.1\nMode s\nDomain {domain}\nSelector {selector}\nKeyFile {key}\n"
                    f"Canonicalization {canonicalization}\nSignatureAlgorithm rsa-sha256\nOversignHeaders From\n"
                    f"InternalHosts 0.0.0.0/0\nSyslog no\nBackground no\nPidFile {self.folder}/pid\nRequireSafeKeys no\n")
        self.process = child.start(["/usr/sbin/opendkim", "-f", "-x", config], stdout=subprocess.DEVNULL,
                                   stderr=subprocess.DEVNULL)
        wait_until(self._ready, "opendkim")

    def _ready(self):
        if self.process.poll() is not None:
            raise AssertionError(f"opendkim ended ({self.process.returncode})")
        try:
            socket.create_connection(("127.0.0.1", self.port), 5).close()
            return True
        except OSError:
            return False

    def stop(self):
        child.stop(self.process)
        shutil.rmtree(self.folder, ignore_errors=True)
