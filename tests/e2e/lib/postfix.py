"""A real Postfix in a folder of its own: the destination, or the sender of bounces. Needs root, as Postfix does."""
import os
import pwd
import re
import shutil
import subprocess
import tempfile

from . import child
from .client import Client
from .ports import free_port
from .wait import wait_until

_MASTER = """
{listen} inet n - n - - smtpd
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
proxywrite unix - - n - 1 proxymap
smtp unix - - n - - smtp
relay unix - - n - - smtp
showq unix n - n - - showq
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
local unix - n n - - local
virtual unix - n n - - virtual
lmtp unix - - n - - lmtp
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
postlog unix-dgram n - n - 1 postlogd
"""


def usable():
    """Why Postfix can't run here, or None."""
    if os.geteuid() != 0:
        return "Postfix starts as root only"
    if not os.path.exists("/usr/lib/postfix/sbin/master"):
        return "postfix is not installed (scripts/install-deps test)"
    return None


class Postfix:
    """Takes every address of `domains`. settings: more lines of main.cf."""

    def __init__(self, domains=("inbox.test",), settings=None, address="127.0.0.1"):
        self.folder = tempfile.mkdtemp(prefix="onward-postfix-")
        os.chmod(self.folder, 0o755)
        self.address, self.port = address, free_port()
        self.config = os.path.join(self.folder, "etc")
        self.lmtp = False
        mail_owner = pwd.getpwnam("postfix")
        nobody = pwd.getpwnam("nobody")
        for name in ("etc", "queue", "data", "mail"):
            os.mkdir(os.path.join(self.folder, name), 0o755)
        os.chown(os.path.join(self.folder, "data"), mail_owner.pw_uid, mail_owner.pw_gid)
        os.chown(os.path.join(self.folder, "mail"), nobody.pw_uid, nobody.pw_gid)
        shown = f"[{address}]" if ":" in address else address
        self.via = [f"{shown}:{self.port}"]
        values = {
            "compatibility_level": "3.6",
            "queue_directory": f"{self.folder}/queue", "data_directory": f"{self.folder}/data",
            "command_directory": "/usr/sbin", "daemon_directory": "/usr/lib/postfix/sbin",
            "mail_owner": "postfix", "setgid_group": "postdrop",
            "maillog_file": f"{self.folder}/log", "maillog_file_prefixes": self.folder,
            "myhostname": "mx.inbox.test", "mydestination": "", "mynetworks": "127.0.0.0/8 [::1]/128",
            "inet_interfaces": "loopback-only", "inet_protocols": "all",
            "virtual_mailbox_domains": " ".join(domains), "virtual_mailbox_base": f"{self.folder}/mail",
            "virtual_uid_maps": f"static:{nobody.pw_uid}",
            "virtual_gid_maps": f"static:{nobody.pw_gid}", "virtual_minimum_uid": "1",
            "virtual_mailbox_maps": "static:all/", "virtual_mailbox_limit": "0", "mailbox_size_limit": "0", "message_size_limit": "104857600",
            "smtpd_relay_restrictions": "permit_mynetworks, reject", "biff": "no",
            "alias_maps": "", "alias_database": "", "local_recipient_maps": "",
            "smtpd_peername_lookup": "no", "smtp_host_lookup": "native", "disable_dns_lookups": "yes",
            "import_environment": "MAIL_CONFIG TZ", "smtpd_tls_security_level": "none", "smtp_tls_security_level": "none",
            "notify_classes": "", "smtputf8_enable": "yes", "smtpd_client_connection_count_limit": "0",
        }
        values.update(settings or {})
        with open(os.path.join(self.config, "main.cf"), "w", encoding="utf-8") as f:
            f.writelines(f"{k} = {v}\n" for k, v in values.items())
        with open(os.path.join(self.config, "master.cf"), "w", encoding="utf-8") as f:
            f.write(_MASTER.format(listen=f"{shown}:{self.port}"))
        with open(os.path.join(self.folder, "stderr"), "wb") as stderr:
            subprocess.run(["/usr/sbin/postfix", "-c", self.config, "check"], stdin=subprocess.DEVNULL,
                           stdout=subprocess.DEVNULL, stderr=stderr, timeout=60, check=False)  # makes the queue's folders
            self.process = child.start(["/usr/lib/postfix/sbin/master", "-c", self.config, "-d"],
                                       stdout=subprocess.DEVNULL, stderr=stderr)
        wait_until(self._ready, "Postfix")

    def log(self):
        text = ""
        for name in ("stderr", "log"):
            try:
                with open(os.path.join(self.folder, name), encoding="utf-8", errors="replace") as f:
                    text += f.read()
            except FileNotFoundError:
                pass
        return text

    def _ready(self):
        if self.process.poll() is not None:
            raise AssertionError(f"Postfix ended:\n{self.log()}")
        try:
            with Client(self.address, self.port, timeout=10) as client:
                return client.reply().code == 220
        except OSError:
            return False

    def messages(self, recipient=None):
        """What was delivered (to one address), each in octets with CRLF, without the fields that virtual(8) put on top.
        Postfix adds its own Received above what it was given; that stays."""
        out, folder = [], os.path.join(self.folder, "mail", "all", "new")
        for name in sorted(os.listdir(folder)) if os.path.isdir(folder) else []:
            with open(os.path.join(folder, name), "rb") as f:
                text = f.read().replace(b"\n", b"\r\n")
            match = re.match(rb"Return-Path: <(.*)>\r\nX-Original-To: (.*)\r\nDelivered-To: (.*)\r\n", text)
            if recipient is None or match.group(3).decode() == recipient:
                out.append((match.group(1).decode(), text[match.end():]))
        return out

    def stop(self):
        self.process.terminate()  # master ends its own children
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)
