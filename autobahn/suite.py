"""What `autobahn/run.sh` leaves to Python (2.7 or 3): which cases there are, and what came of them.

    suite.py port                      a free TCP port
    suite.py cases [PATTERN..]         the ids of the cases that match; `-` before a pattern takes cases away
    suite.py spec ROLE PORT [ID..]     what wstest is to do, as JSON, for our server at PORT, or for itself there
    suite.py merge OUT PART..          one report of several that have different cases
    suite.py table IDS ROLE=DIR..      a table of what came of the cases listed in the file IDS; fails unless all are as they
                                       should be
"""

from __future__ import print_function

import collections
import fnmatch
import json
import os
import re
import shutil
import socket
import sys

AGENT = "unsync-websocket"

# How many cases each group has: 517 in all, the same for servers and for clients.
GROUPS = [
    ("1.1", 8), ("1.2", 8), ("2", 11), ("3", 7), ("4.1", 5), ("4.2", 5), ("5", 20), ("6.1", 3), ("6.2", 4), ("6.3", 2),
    ("6.4", 4), ("6.5", 5), ("6.6", 11), ("6.7", 4), ("6.8", 2), ("6.9", 4), ("6.10", 3), ("6.11", 5), ("6.12", 8),
    ("6.13", 5), ("6.14", 10), ("6.15", 1), ("6.16", 3), ("6.17", 5), ("6.18", 5), ("6.19", 5), ("6.20", 7), ("6.21", 8),
    ("6.22", 34), ("6.23", 7), ("7.1", 6), ("7.3", 6), ("7.5", 1), ("7.7", 13), ("7.9", 9), ("7.13", 2), ("9.1", 6),
    ("9.2", 6), ("9.3", 9), ("9.4", 9), ("9.5", 6), ("9.6", 6), ("9.7", 6), ("9.8", 6), ("10.1", 1), ("12.1", 18),
    ("12.2", 18), ("12.3", 18), ("12.4", 18), ("12.5", 18), ("13.1", 18), ("13.2", 18), ("13.3", 18), ("13.4", 18),
    ("13.5", 18), ("13.6", 18), ("13.7", 18),
]

SECTIONS = collections.OrderedDict([
    ("1", "Framing"), ("2", "Pings and Pongs"), ("3", "Reserved bits"), ("4", "Opcodes"), ("5", "Fragmentation"),
    ("6", "UTF-8"), ("7", "Closing"), ("9", "Limits and performance"), ("10", "Automatic fragmentation"),
    ("12", "Compression: payloads"), ("13", "Compression: parameters"),
])

# These ask what the testee does where the RFC leaves it open.
INFORMATIONAL = {"7.1.6", "7.13.1", "7.13.2"}


def all_cases():
    return ["%s.%d" % (group, number + 1) for group, count in GROUPS for number in range(count)]


def port():
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    print(listener.getsockname()[1])


def cases(*patterns):
    chosen = set()
    for pattern in patterns or ["*"]:
        matching = set(fnmatch.filter(all_cases(), pattern.lstrip("-")))
        if not matching:
            sys.exit("no case matches %s" % pattern)
        chosen = chosen - matching if pattern.startswith("-") else chosen | matching
    print("\n".join(id for id in all_cases() if id in chosen))


def spec(role, at, *ids):
    url = "ws://127.0.0.1:" + at
    testee = {"servers": [{"agent": AGENT, "url": url}]} if role == "server" else {"url": url}
    # Ids and not patterns: to wstest `1.*` is not what it seems.
    print(json.dumps(dict(testee, outdir=".", cases=ids)))


def read_index(folder):
    try:
        with open(os.path.join(folder, "index.json")) as file:
            return json.load(file).get(AGENT, {})
    except (IOError, OSError):
        return {}


def merge(out, *parts):
    """The reports of single cases have different names, so they can lie together; the two indices are put together from
    the rows that the parts have."""
    index, pages = {}, []
    for part in parts:
        index.update(read_index(part))
        for name in sorted(os.listdir(part)):
            path = os.path.join(part, name)
            if name == "index.html":
                with open(path) as page:
                    pages.append(page.read())
            elif name.endswith((".html", ".json")) and "_case_" in name:
                shutil.move(path, os.path.join(out, name))
    with open(os.path.join(out, "index.json"), "w") as file:
        json.dump({AGENT: index}, file, indent=1, sort_keys=True)
    if pages:
        with open(os.path.join(out, "index.html"), "w") as page:
            page.write(merge_pages(pages))


def merge_pages(pages):
    """All pages have a row for each case of the suite; where a case did not run, the row says that it is missing."""
    row = re.compile(r'<tr class="agent_case_result_row">.*?</tr>', re.DOTALL)
    rows = zip(*[row.findall(page) for page in pages])
    best = iter([next((one for one in same if "case_missing" not in one), same[0]) for same in rows])
    return row.sub(lambda match: next(best, match.group()), pages[0])


def describe(behaviors):
    """`514 OK, 3 INFORMATIONAL`"""
    return ", ".join("%d %s" % (count, behavior) for behavior, count in behaviors.most_common())


def table(ids, *roles):
    with open(ids) as file:
        expected = file.read().split()
    folders = [role.split("=", 1) for role in roles]
    indices = [read_index(folder) for _, folder in folders]
    behaviors = [
        {id: index[id]["behavior"] if id in index else "MISSING" for id in expected} for index in indices
    ]
    rows = [(number + " " + name, number + ".") for number, name in SECTIONS.items()]
    print("| | cases | %s |" % " | ".join("as " + role for role, _ in folders))
    print("|---|---|%s" % ("---|" * len(folders)))
    for name, prefix in rows + [("all", "")]:
        chosen = [id for id in expected if id.startswith(prefix)]
        if chosen:
            cells = [describe(collections.Counter(behavior[id] for id in chosen)) for behavior in behaviors]
            print("| %s | %d | %s |" % (name, len(chosen), " | ".join(cells)))
    bad = 0
    for (role, folder), index in zip(folders, indices):
        for id in expected:
            problem = judge(id, index.get(id))
            if problem:
                bad += 1
                report = index[id]["reportfile"].replace(".json", ".html") if id in index else "wstest-*.log"
                print("NOT PASSED: %s, case %s: %s; see %s" % (role, id, problem, os.path.join(folder, report)))
    print("%d passed, %d failed" % (len(expected) * len(folders) - bad, bad))
    return bad == 0 and bool(expected)


def judge(id, case):
    """What is wrong with it, if anything."""
    if case is None:
        return "it did not run"
    behavior, closing = case["behavior"], case["behaviorClose"]
    if behavior != "OK" and not (behavior == "INFORMATIONAL" and id in INFORMATIONAL):
        return behavior
    if closing not in ("OK", "INFORMATIONAL"):
        return "closing: " + closing
    return None


if __name__ == "__main__":
    command = {"port": port, "cases": cases, "spec": spec, "merge": merge, "table": table}[sys.argv[1]]
    sys.exit(command(*sys.argv[2:]) is False)
