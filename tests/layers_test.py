#!/usr/bin/python3
"""Who may include whom: holds every #include of the daemon's folders to the arrows of the architecture.

    app -> smtpd -> forwarder -> { queue, auth, policy, srs } -> { dns -> net } -> mail -> core

Also: no C library header in any .hpp, OpenSSL only where keys or TLS live, no Asio in the pure folders, no
`using namespace` in headers, and nothing that starts a shell, runs SQL text or blocks on the system's resolver (RL-05).

    layers_test.py REPOSITORY      checks the tree, after proving on a tree made for it that each rule can fail
"""
import os
import re
import sys
import tempfile

# folder -> what it may include: a whole folder, or one header of it.
ARROWS = {
    "core": [],
    "mail": ["core"],
    "srs": ["mail", "core"],
    "net": ["mail", "core"],
    "dns": ["net", "mail", "core"],
    "auth": ["mail", "core", "dns/answer.hpp"],
    "policy": ["auth/results.hpp", "auth/author.hpp", "mail", "core", "dns/answer.hpp"],
    "queue": ["mail", "core"],
    "forwarder": ["queue", "auth", "policy", "srs", "dns", "net", "mail", "core"],
    "smtpd": ["forwarder/handler.hpp", "policy", "net", "mail", "core"],
    "app": ["smtpd", "forwarder", "queue", "auth", "policy", "srs", "dns", "net", "mail", "core"],
}
PURE = ("core", "mail", "srs", "auth", "policy")  # sans-io

# Libraries with an owner: who may include them. Headers of C libraries are for .cpp files only.
LIBRARIES = [
    (re.compile(r"openssl/(ssl|tls1|ssl2|ssl3|dtls1|srtp)\.h$"), ("net",)),
    (re.compile(r"openssl/"), ("net", "auth", "srs", "core/secret_file.cpp", "core/digest.cpp")),
    (re.compile(r"ldns/"), ("dns",)),
    (re.compile(r"opendkim/"), ("auth",)),
    (re.compile(r"spf2/"), ("auth",)),
    (re.compile(r"opendmarc/"), ("auth",)),
    (re.compile(r"libpsl\.h$"), ("auth",)),
    (re.compile(r"maxminddb\.h$"), ("policy",)),
    (re.compile(r"sqlite3\.h$"), ("queue",)),
    (re.compile(r"toml\+\+/"), ("app",)),
    (re.compile(r"CLI/"), ("app",)),
]
CXX_LIBRARIES = re.compile(r"toml\+\+/|CLI/")

FORBIDDEN = [
    (re.compile(r"(?<![\w.>])(?:std\s*::\s*|::\s*)?(?:system|popen|vfork|posix_spawnp?|exec[lv]p?e?)\s*\("),
     "starts a shell or another program"),
    (re.compile(r"\bsqlite3_exec\b"), "runs SQL text: bind parameters instead"),
    (re.compile(r"(?<![\w.>])(?:::\s*)?(?:getaddrinfo|gethostbyname2?(?:_r)?|getnameinfo)\s*\("), "blocks on the system's resolver"),
]

INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*(?:"([^"]+)"|<([^>]+)>)', re.M)
TOKENS = re.compile(r'//[^\n]*|/\*.*?\*/|R"(\w*)\(.*?\)\1"|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.S)


def blank(text, strings):
    """`text` without comments (and without the contents of strings), every line where it was."""
    def cut(match):
        token = match.group(0)
        if not token.startswith("/") and not strings:
            return token
        return re.sub(r"[^\n]", " ", token)
    return TOKENS.sub(cut, text)


def may_include(folder, header):
    target = header.split("/", 1)[0]
    return target == folder or target in ARROWS[folder] or header in ARROWS[folder]


def check_file(root, name):
    folder, is_header = name.split("/", 1)[0], name.endswith(".hpp")
    with open(os.path.join(root, name), encoding="utf-8") as f:
        text = f.read()
    found = []

    def say(position, what):
        found.append(f"{name}:{text.count(chr(10), 0, position) + 1}: {what}")

    for match in INCLUDE.finditer(blank(text, strings=False)):
        header = match.group(1) or match.group(2)
        target = header.split("/", 1)[0]
        if match.group(1) is not None or target in ARROWS:
            if "/" not in header or target not in ARROWS or ".." in header.split("/"):
                say(match.start(), f'"{header}": own headers are included as "folder/file.hpp" from the repository root')
            elif not may_include(folder, header):
                say(match.start(), f'{folder} may not include "{header}"')
            continue
        if folder in PURE and re.match(r"boost/(asio|beast)\b", header):
            say(match.start(), f"<{header}>: no Asio in {folder}")
        if folder == "queue" and re.match(r"boost/(asio/(ip|ssl|local)\b|beast)", header):
            say(match.start(), f"<{header}>: no sockets in {folder}")
        for library, users in LIBRARIES:
            if library.match(header):
                if is_header and not CXX_LIBRARIES.match(header):
                    say(match.start(), f"<{header}>: a C library's header in a .hpp")
                elif folder not in users and name not in users:
                    say(match.start(), f"<{header}>: not in {folder}")
                break
    code = blank(text, strings=True)
    for rule, why in FORBIDDEN:
        for match in rule.finditer(code):
            say(match.start(), f"{match.group(0).strip()}...: {why}")
    if is_header:
        for match in re.finditer(r"^[ \t]*using[ \t]+namespace\b", code, re.M):
            say(match.start(), "`using namespace` in a header")
        if "#pragma once" not in text:
            say(0, "no #pragma once")
    return found


def check_tree(root):
    """Everything wrong under `root`, and how many files were read."""
    found, files = [], 0
    for folder in ARROWS:
        for path, _, names in os.walk(os.path.join(root, folder)):
            for name in sorted(names):
                if name.endswith((".hpp", ".cpp")):
                    files += 1
                    found += check_file(root, os.path.relpath(os.path.join(path, name), root))
    return found, files


# What the rules are for: (file, text, must the check complain?)
SELF_TEST = [
    ("mail/a.cpp", '#include "core/error.hpp"\n#include "mail/a.hpp"\n#include <vector>\n', False),
    ("mail/a.cpp", '#include "net/stream.hpp"\n', True),
    ("mail/a.cpp", '#include <net/stream.hpp>\n', True),
    ("mail/a.cpp", '#include "error.hpp"\n', True),
    ("mail/a.cpp", '#include "../core/error.hpp"\n', True),
    ("mail/a.cpp", '// #include "net/stream.hpp"\n/*\n#include "net/stream.hpp"\n*/\n', False),
    ("core/a.cpp", '#include "mail/a.hpp"\n', True),
    ("smtpd/a.cpp", '#include "forwarder/handler.hpp"\n', False),
    ("smtpd/a.cpp", '#include "forwarder/engine.hpp"\n', True),
    ("smtpd/a.cpp", '#include "app/config.hpp"\n', True),
    ("auth/a.cpp", '#include "dns/answer.hpp"\n', False),
    ("auth/a.cpp", '#include "dns/resolver.hpp"\n', True),
    ("policy/a.cpp", '#include "srs/rewriter.hpp"\n', True),
    ("policy/a.hpp", '#pragma once\n#include "auth/results.hpp"\n', False),
    ("policy/a.cpp", '#include "auth/spf.hpp"\n', True),
    ("srs/a.cpp", '#  include <boost/asio/awaitable.hpp>\n', True),
    ("net/a.hpp", '#pragma once\n#include <boost/asio/awaitable.hpp>\n', False),
    ("queue/a.hpp", '#pragma once\n#include <boost/asio/awaitable.hpp>\n#include "mail/address.hpp"\n', False),
    ("queue/a.cpp", '#include <boost/asio/ip/tcp.hpp>\n', True),
    ("queue/a.cpp", '#include "net/stream.hpp"\n', True),
    ("queue/a.cpp", '#include <sqlite3.h>\n', False),
    ("forwarder/a.cpp", '#include <sqlite3.h>\n', True),
    ("net/a.hpp", '#pragma once\n#include <openssl/evp.h>\n', True),
    ("net/a.cpp", '#include <openssl/ssl.h>\n', False),
    ("auth/a.cpp", '#include <openssl/evp.h>\n', False),
    ("auth/a.cpp", '#include <openssl/ssl.h>\n', True),
    ("mail/a.cpp", '#include <openssl/sha.h>\n', True),
    ("dns/a.hpp", '#pragma once\n#include <ldns/ldns.h>\n', True),
    ("app/a.hpp", '#pragma once\n#include <toml++/toml.h>\n', False),
    ("policy/a.hpp", '#pragma once\n#include <toml++/toml.h>\n', True),
    ("policy/a.cpp", '#include <toml++/toml.h>\n', True),
    ("app/a.cpp", '#include <toml++/toml.h>\n', False),
    ("net/a.hpp", '#pragma once\nusing namespace std;\n', True),
    ("net/a.hpp", 'int x;\n', True),
    ("net/a.cpp", 'void f() { system("true"); }\n', True),
    ("net/a.cpp", 'void f() { std::system("true"); }\n', True),
    ("net/a.cpp", 'void f() { auto* p = popen("x", "r"); }\n', True),
    ("net/a.cpp", 'void f() { ::execv(a, b); }\n', True),
    ("net/a.cpp", 'void f() { sqlite3_exec(db, q, 0, 0, 0); }\n', True),
    ("net/a.cpp", 'void f() { ::getaddrinfo(a, b, c, d); }\n', True),
    ("net/a.cpp", '// system("true")\nboost::system::error_code e;\nauto s = "popen(";\nlog.system(1);\n', False),
]


def self_test():
    """A check that cannot fail proves nothing: each rule is shown a violation, and what is right stays unblamed."""
    wrong = []
    for name, text, bad in SELF_TEST:
        with tempfile.TemporaryDirectory() as root:
            os.makedirs(os.path.join(root, os.path.dirname(name)))
            with open(os.path.join(root, name), "w", encoding="utf-8") as f:
                f.write(text)
            found, files = check_tree(root)
            if files != 1 or bool(found) != bad:
                wrong.append(f"self-test: {name} {text!r}: {found or 'nothing found'}")
    return wrong


def main():
    if len(sys.argv) != 2:
        print(__doc__, file=sys.stderr)
        return 2
    wrong = self_test()
    found, files = check_tree(sys.argv[1])
    if files == 0:
        wrong.append(f"no sources under {sys.argv[1]}")
    for line in wrong + found:
        print(line)
    print(f"layers: {files} files, {len(found)} violations; self-test: {len(SELF_TEST)} cases, {len(wrong)} wrong")
    return 1 if wrong or found else 0


if __name__ == "__main__":
    sys.exit(main())
