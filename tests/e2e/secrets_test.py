"""Secrets stay secret (OP-03, OP-05): keys that others can read are refused, and no key shows up in any log, reply, command
line, environment or status of a run that uses and breaks everything."""
import os
import shutil

from lib.case import Case, main, message
from lib.onward import canaries


class Secrets(Case):
    def test_files_others_can_read(self):
        """OP-03: fstat on what was opened; 0600, 0400 or 0640 with the right group; no symlink."""
        for name in ("keys/srs.secrets", "keys/ow1.rsa.pem"):
            for mode in (0o644, 0o666, 0o604, 0o660):
                with self.subTest(name=name, mode=oct(mode)):
                    onward = self.onward(start=False)
                    os.chmod(onward.path(name), mode)
                    self.refused(onward, name)
            with self.subTest(name=name, link=True):
                onward = self.onward(start=False)
                os.rename(onward.path(name), onward.path("elsewhere"))
                os.symlink(onward.path("elsewhere"), onward.path(name))
                self.refused(onward, name)

    def refused(self, onward, name):
        for command in ("check", "serve"):
            result = onward.run(command)
            self.assertEqual(result.returncode, 1, f"{command}: {result}")
            self.assertIn(os.path.basename(name), result.stdout + result.stderr)

    def test_modes_that_are_fine(self):
        for mode in (0o600, 0o400):
            onward = self.onward(start=False, upstream=self.upstream())
            os.chmod(onward.path("keys/srs.secrets"), mode)
            result = onward.run("check")
            self.assertEqual(result.returncode, 0, result)

    def test_canaries(self):
        """OP-05"""
        upstream = self.upstream()
        onward = self.onward(upstream=upstream, tls=True)
        client = onward.client()
        client.starttls()
        client.ehlo()
        self.assertSent(client, "sender@origin.test", "alice@fwd.test", message())
        client.transaction("", "SRS0=wrong=aa=origin.test=x@srs.test", message())
        seen = client.received.decode("latin-1")
        for arguments in (("check",), ("status",), ("status", "--json"), ("route", "alice@fwd.test"), ("srs", "encode", "a@b.test"),
                          ("reload",), ("srs", "decode", "SRS0=x=y=z=w@srs.test")):
            result = onward.run(*arguments)
            seen += result.stdout + result.stderr
        onward.write("keys/ow1.rsa.pem", "-----BEGIN PRIVATE KEY-----\n" + canaries(onward.keys)[1] + "\n-----END PRIVATE KEY-----\n")
        broken = onward.run("check")
        self.assertEqual(broken.returncode, 1)
        seen += broken.stdout + broken.stderr
        for name in ("cmdline", "environ", "status"):
            try:
                with open(f"/proc/{onward.process.pid}/{name}", "rb") as f:
                    seen += f.read().decode("latin-1")
            except PermissionError:
                pass  # not dumpable: nobody but root sees it
        seen += onward.log_text() + b"".join(m.data for m in upstream.accepted).decode("latin-1")
        for path, _, names in os.walk(onward.path("state")):
            for name in names:
                with open(os.path.join(path, name), "rb") as f:
                    seen += f.read().decode("latin-1")
        for canary in canaries(onward.keys):
            self.assertNotIn(canary, seen)
        shutil.copy(os.path.join(onward.keys, "ow1.rsa.pem"), onward.path("keys/ow1.rsa.pem"))


if __name__ == "__main__":
    main()
