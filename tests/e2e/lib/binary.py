"""Which program a script measures or torments; and such a script itself, for tests of its parts."""
import importlib.machinery
import importlib.util
import os
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))


def find_binary(script, wanted=None):
    """The one that is asked for, that of ONWARD_BIN, or what is built; ends the script when there is none."""
    for path in (wanted, os.environ.get("ONWARD_BIN"), os.path.join(ROOT, "build/release/onward"),
                 os.path.join(ROOT, "build/asan/onward"), os.path.join(ROOT, "build/dev/onward")):
        if path and os.access(path, os.X_OK):
            return os.path.abspath(path)
    sys.exit(f"{script}: no program; build it, or use --binary FILE")


def script_path(name):
    return os.path.join(ROOT, "scripts", name)


def load_script(name):
    """scripts/NAME as a module."""
    loader = importlib.machinery.SourceFileLoader(name.replace("-", "_"), script_path(name))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader(loader.name, loader))
    loader.exec_module(module)
    return module


def sanitised(path):
    """Built with a sanitizer: it never gives memory back at once, and is slow."""
    with open(path, "rb") as f:
        octets = f.read()
    return any(name in octets for name in (b"__asan_init", b"__tsan_init"))
