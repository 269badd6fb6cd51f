"""What is made from the code is fresh: each page is what the program prints now."""
import os

from lib.case import Case, main

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PAGES = {"metrics": "docs/metrics.md", "man": "docs/man/onward.1", "bash": "conf/completion/onward.bash",
         "zsh": "conf/completion/_onward", "fish": "conf/completion/onward.fish"}


class Docs(Case):
    def test_pages_are_fresh(self):
        onward = self.onward(start=False)
        for name, path in PAGES.items():
            run = onward.run("docs", name, config=False)
            self.assertEqual(run.returncode, 0, run.stderr)
            with open(os.path.join(ROOT, path), encoding="utf-8") as f:
                self.assertEqual(run.stdout, f.read(), f"stale: onward docs {name} >{path}")


if __name__ == "__main__":
    main()
