#!/usr/bin/python3
"""The destination of scripts/quickstart: an SMTP server that has nothing to do with Onward (Debian's aiosmtpd).

It stands where Gmail or a company's server stands in real life. Each message becomes two files in the inbox folder:
NAME.eml (the octets as received) and NAME.json (the envelope and how it came). Stops on SIGTERM and SIGINT.

    destination.py INBOX PORT [CERTIFICATE KEY]
"""
import asyncio
import json
import os
import signal
import ssl
import sys
import time

from aiosmtpd.smtp import SMTP


class Inbox:
    """Takes every recipient and writes what arrives; refused@... and later@... show what an unwilling destination does."""

    def __init__(self, folder):
        self.folder = folder
        self.count = 0

    async def handle_RCPT(self, server, session, envelope, address, options):
        local_part = address.split("@")[0].lower()
        if local_part == "refused":
            return "550 5.2.1 This mailbox takes no mail"
        if local_part == "later":
            return "452 4.2.2 This mailbox is full, try again later"
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 Recipient taken"

    async def handle_DATA(self, server, session, envelope):
        self.count += 1
        name = os.path.join(self.folder, f"{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}-{self.count}")
        facts = {
            "mail_from": envelope.mail_from,
            "rcpt_tos": envelope.rcpt_tos,
            "helo": session.host_name,
            "peer": "{0[0]}:{0[1]}".format(session.peer),
            "tls": session.ssl is not None,
        }
        with open(name + ".eml", "wb") as file:
            file.write(envelope.original_content)
        with open(name + ".json.new", "w", encoding="utf-8") as file:
            json.dump(facts, file, indent=2)
        os.rename(name + ".json.new", name + ".json")  # its appearance says that the message is complete
        return "250 2.0.0 Stored"


async def serve(folder, port, tls):
    inbox = Inbox(folder)

    def connection():
        return SMTP(inbox, hostname="mail.inbox.example", ident="aiosmtpd (the quickstart's destination)", tls_context=tls,
                    enable_SMTPUTF8=True, data_size_limit=30_000_000)

    server = await asyncio.get_running_loop().create_server(connection, "127.0.0.1", port)
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    print(f"listening on 127.0.0.1:{port}", flush=True)
    await stop.wait()
    server.close()


def main():
    if len(sys.argv) not in (3, 5):
        sys.exit(__doc__)
    tls = None
    if len(sys.argv) == 5:
        tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        tls.load_cert_chain(sys.argv[3], sys.argv[4])
    os.makedirs(sys.argv[1], exist_ok=True)
    asyncio.run(serve(sys.argv[1], int(sys.argv[2]), tls))


main()
