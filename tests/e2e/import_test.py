"""`onward import`: files of other systems become domain files that `onward check` takes, with a report of the rest."""
import json

from lib.case import Case, main

POSTFIX = """# sales people
fwd.test anything
sales@fwd.test alice@inbox.test, bob@inbox.test
root@fwd.test |/usr/bin/program
@fwd.test rest@inbox.test
"""


class Import(Case):
    def setUp(self):
        super().setUp()
        self.daemon = self.onward(start=False, domains={})
        self.daemon.write("virtual", POSTFIX)

    def bring(self, *arguments):
        return self.daemon.run("import", *arguments, config=False)

    def test_printed(self):
        run = self.bring("postfix", self.daemon.path("virtual"))
        self.assertEqual(run.returncode, 1, "something was left out")
        self.assertIn('address = "sales"', run.stdout)
        self.assertIn("virtual:4: left out: root@fwd.test", run.stderr)
        self.assertIn("2 rules of 1 domains carried over, 1 remarks", run.stderr)

    def test_written_and_used(self):
        folder = self.daemon.path("domains")
        run = self.bring("postfix", self.daemon.path("virtual"), "--out", folder)
        self.assertEqual(run.returncode, 1, run.stderr)
        check = self.daemon.run("check")
        self.assertEqual(check.returncode, 0, check.stderr)
        for address, to in (("sales@fwd.test", ["alice@inbox.test", "bob@inbox.test"]), ("other@fwd.test", ["rest@inbox.test"])):
            route = json.loads(self.daemon.run("route", address, "--json").stdout)
            self.assertEqual([d["address"] for d in route["destinations"]], to)
        again = self.bring("postfix", self.daemon.path("virtual"), "--out", folder)
        self.assertEqual(again.returncode, 1)
        self.assertIn("File exists; nothing was written", again.stderr)

    def test_csv_and_cloudflare(self):
        self.daemon.write("list.csv", "alias,destination\nsales@fwd.test,alice@inbox.test\n")
        run = self.bring("csv", self.daemon.path("list.csv"), "--json")
        self.assertEqual(run.returncode, 0, run.stderr)
        told = json.loads(run.stdout)
        self.assertEqual((told["domains"], told["rules"], told["report"]), (1, 1, []))
        self.daemon.write("rules.json", json.dumps({"result": [
            {"name": "s", "enabled": True, "matchers": [{"type": "literal", "field": "to", "value": "sales@fwd.test"}],
             "actions": [{"type": "forward", "value": ["alice@inbox.test"]}]}]}))
        run = self.bring("cloudflare", self.daemon.path("rules.json"), "--out", self.daemon.path("domains"))
        self.assertEqual(run.returncode, 0, run.stderr)
        self.assertEqual(self.daemon.run("check").returncode, 0)

    def test_what_cannot_be_read(self):
        run = self.bring("csv", self.daemon.path("absent"))
        self.assertEqual(run.returncode, 1)
        self.assertIn("No such file", run.stderr)
        self.assertEqual(self.bring("sendmail", "x").returncode, 2)


if __name__ == "__main__":
    main()
