"""Certificates from an ACME server (pebble) by dehydrated with DNS-01: read through the links it leaves, and a renewed
one used without anybody saying so."""
import json
import os
import shutil
import subprocess
import tempfile
import urllib.request
import ssl
import unittest

from lib import child
from lib.case import Case, main
from lib.certs import Certificates
from lib.ports import free_port
from lib.wait import wait_until


class Acme(Case):
    def setUp(self):
        super().setUp()
        self.folder = tempfile.mkdtemp(prefix="onward-acme-")
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        certificates = self.keep(Certificates())
        pair = certificates.issued("localhost")
        self.port, management = free_port(), free_port()
        with open(self.path("pebble.json"), "w", encoding="ascii") as f:
            json.dump({"pebble": {"listenAddress": f"127.0.0.1:{self.port}", "managementListenAddress": f"127.0.0.1:{management}",
                                  "certificate": pair[0], "privateKey": pair[1], "httpPort": 5002, "tlsPort": 5001,
                                  "ocspResponderURL": "", "externalAccountBindingRequired": False}}, f)
        environment = dict(os.environ, PEBBLE_VA_ALWAYS_VALID="1", PEBBLE_VA_NOSLEEP="1", PEBBLE_WFE_NONCEREJECT="0")
        self.pebble = child.start(["pebble", "-config", self.path("pebble.json")], env=environment,
                                  stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.addCleanup(self.end_pebble)
        self.trust = certificates.authority
        context = ssl.create_default_context(cafile=self.trust)

        def ready():
            if self.pebble.poll() is not None:
                raise AssertionError(f"pebble ended: {self.pebble.returncode}")
            try:
                return urllib.request.urlopen(f"https://localhost:{self.port}/dir", context=context, timeout=5).status == 200
            except OSError:
                return False
        wait_until(ready, "pebble")
        with open(self.path("hook"), "w", encoding="ascii") as f:
            f.write("#!/bin/sh\nexit 0\n")  # a real one publishes the TXT record
        os.chmod(self.path("hook"), 0o700)
        with open(self.path("config"), "w", encoding="ascii") as f:
            f.write(f'CA="https://localhost:{self.port}/dir"\nBASEDIR="{self.folder}"\nCHALLENGETYPE="dns-01"\n'
                    f'HOOK="{self.path("hook")}"\nKEY_ALGO=prime256v1\nCURL_OPTS="--cacert {self.trust}"\n')

    def path(self, name):
        return os.path.join(self.folder, name)

    def end_pebble(self):
        self.pebble.terminate()
        self.pebble.wait(10)

    def dehydrated(self, *arguments):
        done = subprocess.run(["dehydrated", "--config", self.path("config"), *arguments], capture_output=True, text=True,
                              timeout=60)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

    def test_first_and_renewed(self):
        self.dehydrated("--register", "--accept-terms")
        self.dehydrated("--cron", "--domain", "mx.forward.test")
        made = self.path("certs/mx.forward.test")
        onward = self.onward({"tls": {"certificate": f"{made}/fullchain.pem", "key": f"{made}/privkey.pem"}}, tls=True, start=False)
        self.assertTrue(os.path.islink(f"{made}/fullchain.pem"))
        self.give(onward)
        onward.start()
        first = self.shown(onward)
        self.assertEqual(first, self.leaf(made))
        self.dehydrated("--cron", "--force", "--domain", "mx.forward.test")
        self.give(onward)
        self.assertNotEqual(self.leaf(made), first)
        wait_until(lambda: self.shown(onward) == self.leaf(made), "the renewed certificate", 40, step=0.5)

    def give(self, onward):
        """What certbot's and dehydrated's hooks do: the daemon's user may read it."""
        for path, folders, names in os.walk(self.folder):
            for name in [""] + names:
                if os.geteuid() == 0 and not os.path.islink(os.path.join(path, name)):
                    shutil.chown(os.path.join(path, name), onward.user)

    def shown(self, onward):
        client = onward.client()
        client.starttls()
        der = client.socket.getpeercert(binary_form=True)
        client.quit()
        return ssl.DER_cert_to_PEM_cert(der).split()

    def leaf(self, made):
        with open(f"{made}/cert.pem", encoding="ascii") as f:
            return f.read().split()


if __name__ == "__main__":
    main()
