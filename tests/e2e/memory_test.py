"""200 clients send 25 MiB each at once (RS-06): the daemon's resident set stays below `limits.memory` + 128 MiB, whoever
does not fit hears 452 4.3.1, and of the others nothing is lost."""
import threading

from lib.case import Case, main, message
from lib.client import Closed
from lib.upstream import Ledger

CLIENTS = 200
MEMORY = 64 << 20
MARGIN = 128 << 20


class Memory(Case):
    def flood(self, spill):
        """The replies to the dots, or to what was refused before, with their numbers."""
        upstream = self.upstream()
        upstream.keep_content = 64 * 1024
        onward = self.onward({"threads": 2, "limits": {"memory": "64 MiB", "spill": spill, "connections_per_ip": 1000},
                              "log": {"level": "info"}}, upstream=upstream)
        ledger = Ledger()
        line = b"0123456789abcdef" * 4 + b"\r\n"
        body = line * ((26214400 - 4096) // len(line))
        barrier, stop = threading.Barrier(CLIENTS + 1), threading.Event()
        highest, codes, lock = [0], {}, threading.Lock()

        def send(number):
            token, code = ledger.token(), None
            head = message(b"", token=token)
            try:
                client = onward.client(source=f"127.{100 + number % 100}.{number // 100}.1", timeout=400)
                barrier.wait()
                reply = client.mail("sender@origin.test", f"SIZE={len(head) + len(body)}")
                if reply.code == 250:
                    reply = client.rcpt("alice@fwd.test")
                if reply.code == 250:
                    reply = client.cmd("DATA")
                if reply.code == 354:
                    client.send(head)
                    client.send(body)
                    client.send(b".\r\n")
                    reply = client.reply()
                code = reply.short
                ledger.tell(token, reply.code)
                client.close()
            except (Closed, OSError) as error:
                code = repr(error)
            with lock:
                codes[code] = codes.get(code, 0) + 1

        def watch():
            while not stop.wait(0.02):
                highest[0] = max(highest[0], onward.rss())
        threads = [threading.Thread(target=send, args=(n,)) for n in range(CLIENTS)]
        watcher = threading.Thread(target=watch)
        for thread in threads:
            thread.start()
        barrier.wait()
        watcher.start()
        for thread in threads:
            thread.join(500)
        stop.set()
        watcher.join()
        print(f"{CLIENTS} x 25 MiB: replies {codes}, resident at most {highest[0] >> 20} MiB")
        self.assertEqual(ledger.count(upstream.accepted), {"lost": [], "kept": [], "dup": []})
        self.assertEqual(sum(codes.values()), CLIENTS)
        self.assertEqual(set(codes) - {"250 2.0.0", "452 4.3.1", "451 4.3.2", "451 4.4.1"}, set(), codes)
        self.assertGreater(codes.get("250 2.0.0", 0), 0)
        self.assertLess(highest[0], MEMORY + MARGIN)
        return codes

    def test_200_clients_of_25_mib(self):
        self.flood("2 GiB")

    def test_200_clients_and_room_for_ten(self):
        self.assertGreater(self.flood("256 MiB").get("452 4.3.1", 0), 0, "there was room for all")


if __name__ == "__main__":
    main()
