#!/usr/bin/python3
"""Failpoints (core/failpoint.hpp): the table has all kill points of threats B9, and what is shipped has none of them.

    failpoints_test.py REPOSITORY [--wired] [--binary FILE]

    --wired         every name of the table stands somewhere in the daemon's code
    --binary FILE   a program as it is shipped: no name and no trace of the machinery may be in it
"""
import os
import re
import sys
import tempfile

FOLDERS = ("core", "mail", "srs", "net", "dns", "auth", "policy", "queue", "forwarder", "smtpd", "app")
TABLE = "core/failpoint.hpp"
KILL_POINTS = set(range(1, 27))
TRACES = (b"ONWARD_FAILPOINTS: ", b'"event":"failpoint"')


def table(root):
    """[(name, number)] in the order of the table."""
    with open(os.path.join(root, TABLE), encoding="utf-8") as f:
        return [(name, int(number)) for name, number in re.findall(r'\bX\((\w+), (\d+), "', f.read())]


def uses(root):
    """{name: [file, ...]}"""
    found = {}
    for folder in FOLDERS:
        for path, _, names in os.walk(os.path.join(root, folder)):
            for name in names:
                relative = os.path.relpath(os.path.join(path, name), root)
                if not name.endswith((".hpp", ".cpp")) or relative == TABLE:
                    continue
                with open(os.path.join(path, name), encoding="utf-8") as f:
                    for point in re.findall(r"\bONWARD_FAILPOINT(?:_ERROR)?\(\s*(\w+)\s*\)", f.read()):
                        found.setdefault(point, []).append(relative)
    return found


def check(root, wired=False, binary=None):
    wrong, points = [], table(root)
    missing = KILL_POINTS - {number for _, number in points}
    if missing:
        wrong.append(f"{TABLE}: no kill point {sorted(missing)}")
    if wired:
        used = uses(root)
        wrong += [f"{TABLE}: {name} stands nowhere in the code" for name, _ in points if name not in used]
    if binary:
        with open(binary, "rb") as f:
            program = f.read()
        for trace in [name.encode() for name, _ in points] + list(TRACES):
            if trace in program:
                wrong.append(f"{binary}: has {trace.decode()!r} in it")
    return wrong


def self_test():
    """The check must be able to fail."""
    wrong = []
    with tempfile.TemporaryDirectory() as root:
        os.makedirs(os.path.join(root, "core"))
        os.makedirs(os.path.join(root, "queue"))

        def write(name, text):
            with open(os.path.join(root, name), "w", encoding="utf-8") as f:
                f.write(text)

        rows = "".join(f'X(k{n:02}_point, {n}, "there")\n' for n in sorted(KILL_POINTS))
        write(TABLE, rows)
        write("queue/a.cpp", "".join(f"ONWARD_FAILPOINT(k{n:02}_point);\n" for n in range(1, 26)) +
              "if (const auto e = ONWARD_FAILPOINT_ERROR(k26_point)) return e;\n")
        write("clean", "nothing")
        write("dirty", "xxk07_pointxx")
        if check(root, True, os.path.join(root, "clean")):
            wrong.append("self-test: blames what is right")
        if len(check(root, False, os.path.join(root, "dirty"))) != 1:
            wrong.append("self-test: does not see a name in a program")
        write("queue/a.cpp", "ONWARD_FAILPOINT(k01_point);\n")
        if len(check(root, True)) != 25:
            wrong.append("self-test: does not see what stands nowhere")
        write(TABLE, rows.replace("X(k05_point, 5,", "X(k05_point, 4,"))
        if len(check(root)) != 1:
            wrong.append("self-test: does not see a kill point that is missing")
    return wrong


def main():
    arguments = sys.argv[1:]
    wired = "--wired" in arguments
    binary = arguments[arguments.index("--binary") + 1] if "--binary" in arguments else None
    if not arguments or arguments[0].startswith("--"):
        print(__doc__, file=sys.stderr)
        return 2
    wrong = self_test() + check(arguments[0], wired, binary)
    print("\n".join(wrong + [f"failpoints: {len(table(arguments[0]))} in the table"
                             f"{', all in the code' if wired and not wrong else ''}"
                             f"{', none in ' + binary if binary and not wrong else ''}"]))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
