#!/usr/bin/env python3
"""What the tests would not notice: runs the mutants that cargo-mutants has listed, all of them from one build. Called by mutants.sh.

Built one by one, a thousand mutants take hours. So each function that has some becomes a choice between its bodies,

    fn f() -> u8 { match crate::mutants::chosen(17, 18) { 0 => { the body as it is } 17 => { 0 } 18 => { 1 } _ => unreachable!() } }

and the environment says which of them is meant. What the compiler refuses it names by its line: that mutant is unviable, and left out.
Then each test is run once, which tells how long it takes and which functions it comes by; and each mutant with the tests
that come by its function, the quick ones first, until one fails. What was found is kept: a run that was stopped goes on where it was, and
the shards of a slice add up.

A test counts as hung when it has used eight times its time of the processor and a second more, or sleeps for ten seconds.
"""
import hashlib
import json
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

SLICES = {
    "ring": r"src/ring\.rs",
    "close": r"src/(protocol|connection)/close\.rs",
    "hub": r"src/connection/hub\.rs",
    "framing": r"src/protocol/(header|inbound|mask|utf8|outbound|spare|error)\.rs",
    "client": r"src/handshake/(answer|client|offer|url)\.rs",
    "deflate": r"src/(handshake/extensions|protocol/deflate|protocol/deflate/\w+)\.rs",
    "server": r"src/handshake/(error|head|headers|key|link|origin|refusal|request|responding|response|server)\.rs",
}
TESTS = os.environ.get(
    "TESTS",
    "bad_input cancel_receive cancel_send client closing deflate errors faults handshake lengths limits moved polled reentry"
    " regressions review rfc rules shown splits waking",
).split()
# Seconds of the processor: a test that takes more is not asked at all, and one that takes more than the first only when no other noticed.
QUICK, SLOWEST = 0.3, 1.5
WORKERS = int(os.environ.get("WORKERS", 4))

RUNTIME = '''
#[doc(hidden)]
pub mod mutants {
    use std::io::Write;
    use std::sync::LazyLock;
    use std::sync::atomic::{AtomicBool, Ordering};

    static CHOSEN: LazyLock<u32> =
        LazyLock::new(|| std::env::var("MUTANT").ok().and_then(|text| text.parse().ok()).unwrap_or(0));
    static REACHED: LazyLock<Option<std::path::PathBuf>> =
        LazyLock::new(|| std::env::var_os("REACHED").map(Into::into));
    static SEEN: [AtomicBool; 4096] = [const { AtomicBool::new(false) }; 4096];

    /// The mutant that was asked for, if it is one of this function's. Notes that the function was reached.
    pub fn chosen(first: u32, last: u32) -> u32 {
        if let Some(path) = &*REACHED
            && !SEEN[first as usize].swap(true, Ordering::Relaxed)
        {
            let mut file = std::fs::OpenOptions::new().append(true).create(true).open(path).unwrap();
            file.write_all(format!("{first}\\n").as_bytes()).unwrap();
        }
        if (first..=last).contains(&*CHOSEN) { *CHOSEN } else { 0 }
    }
}
'''


# --- one build -----------------------------------------------------------------------------------------------------


class Mutants:
    """All that were listed; which the compiler refuses; and which cannot be chosen when a program runs."""

    def __init__(self, listed):
        self.all = listed
        for number, mutant in enumerate(listed, 1):
            mutant["id"] = number
        self.unviable, self.fixed, self.constant = {}, {}, {"new"}
        # The first mutant of the function that each is in, as tests tell where they have been.
        self.group = {}

    def chosen(self):
        return [m for m in self.all if m["id"] not in self.unviable and m["id"] not in self.fixed]

    def name(self, number):
        return self.all[number - 1]["name"]


def body_at(text, at):
    """Where the brace is that opens the body of the function at `at`, whose documentation and attributes come first."""
    depth = 0
    while True:
        if text.startswith("//", at):
            at = text.index("\n", at)
        elif text[at] == '"':
            at += 1
            while text[at] != '"':
                at += 2 if text[at] == "\\" else 1
        elif text[at] in "([":
            depth += 1
        elif text[at] in ")]":
            depth -= 1
        elif text[at] == "{" and depth == 0:
            return at
        at += 1


def with_choices(text, listed, mutants):
    """The text of a file with all its mutants in it; and for each of its lines the mutant that it belongs to."""
    starts = [0]
    for line in text.split("\n"):
        starts.append(starts[-1] + len(line) + 1)
    place = lambda at: starts[at["line"] - 1] + at["column"] - 1
    items, constants = {}, []
    for mutant in listed:
        if mutant["id"] in mutants.unviable or mutant["id"] in mutants.fixed:
            continue
        if mutant["function"]:
            span = mutant["function"]["span"]
            items.setdefault((place(span["start"]), place(span["end"])), []).append(mutant)
            continue
        begin = text.rfind("\nconst ", 0, place(mutant["span"]["start"])) + 1
        end = text.index(";", begin) + 1
        if begin == 0 or end < place(mutant["span"]["end"]):
            mutants.fixed[mutant["id"]] = "neither in a function nor a plain constant"
            continue
        items.setdefault((begin, end), []).append(mutant)
    for outer in list(items):
        if any(outer != inner and outer[0] <= inner[0] and inner[1] <= outer[1] for inner in items):
            mutants.fixed.update({m["id"]: "a function in a function" for m in items.pop(outer)})
    pieces, at = [], 0
    for (begin, end), group in sorted(items.items()):
        constant = re.match(r"const (\w+): ([^=]*) = ", text[begin:end]) if not group[0]["function"] else None
        name = constant[1] if constant else group[0]["function"]["function_name"].split("::")[-1]
        if name in mutants.constant:
            mutants.fixed.update({m["id"]: "a constant" for m in group})
            continue
        if constant:
            constants.append(name)
            opening, closing, last = begin + constant.end(), end - 1, end
            head = f"fn {name}() -> {constant[2]} "
        else:
            opening = body_at(text, begin)
            closing = last = end
            head = text[begin:opening]
        body = text[opening:closing]
        # Bodies of different types behind one `impl Iterator`.
        is_opaque = re.search(r"-> impl Iterator<.*>\s*$", head)
        as_one = lambda body: f"Iterator::collect::<Vec<_>>({body}).into_iter()" if is_opaque else body
        pieces += [(text[at:begin] + head, 0), (f"{{ match crate::mutants::chosen({group[0]['id']}, {group[-1]['id']}) {{\n", 0)]
        # First, so that the compiler takes its type for the right one.
        pieces.append((f"0 => {as_one(body)},\n", 0))
        for mutant in group:
            mutants.group[mutant["id"]] = group[0]["id"]
            first, behind = (place(mutant["span"][edge]) - opening for edge in ("start", "end"))
            mutated = f"{body[:first]} {mutant['replacement']} {body[behind:]}"
            pieces.append((f"{mutant['id']} => {as_one(mutated)},\n", mutant["id"]))
        pieces.append(("_ => unreachable!(),\n} }", 0))
        at = last
    pieces.append((text[at:], 0))
    made, lines = [], [0, 0]
    for piece, mutant in pieces:
        # A constant function cannot choose.
        piece = re.sub(r"\bconst ((?:async )?fn (\w+))", lambda it: it[0] if it[2] in mutants.constant else it[1], piece)
        for name in constants:
            piece = re.sub(rf"(?<!fn )\b{name}\b", f"{name}()", piece)
        made.append(piece)
        lines[-1] = mutant or lines[-1]
        lines.extend([mutant] * piece.count("\n"))
        if piece.endswith("\n"):
            lines[-1] = 0
    return "".join(made), lines


def errors_of(tree):
    out = subprocess.run(
        ["cargo", "check", "--quiet", "--lib", "--profile=test", "--all-features", "--message-format=json"],
        cwd=tree, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    ).stdout
    messages = [json.loads(line) for line in out.splitlines()]
    return [m["message"] for m in messages if m["reason"] == "compiler-message" and m["message"]["level"] == "error"]


def write_all(mutants, sources, tree):
    """Writes `src/` with all mutants that compile."""
    while True:
        lines = {}
        mutants.group.clear()
        for file, source in sources.items():
            listed = [m for m in mutants.all if m["file"] == file]
            text, lines[file] = with_choices(source, listed, mutants)
            text += RUNTIME if file == "src/lib.rs" else ""
            if (tree / file).read_text() != text:
                (tree / file).write_text(text)
        errors = errors_of(tree)
        if not errors:
            return
        known = len(mutants.unviable) + len(mutants.constant)
        for error in errors:
            constant = re.search(r"non-const (?:associated )?(?:function|method) `(?:.*::)?(\w+)(?:::<.*>)?`", error["message"])
            if constant:
                mutants.constant.add(constant[1])
                continue
            spans = [span for span in error["spans"] if span["is_primary"] and span["file_name"] in lines]
            hit = {lines[span["file_name"]][span["line_start"]] for span in spans} - {0}
            mutants.unviable.update({number: error["message"] for number in hit})
        if known == len(mutants.unviable) + len(mutants.constant):
            sys.exit("\n".join(error["rendered"] for error in errors[:9]))


def build(tree):
    """The test programs, by name."""
    command = ["cargo", "test", "--all-features", "--lib", *(f"--test={test}" for test in TESTS), "--no-run", "--message-format=json"]
    done = subprocess.run(command, cwd=tree, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if done.returncode != 0:
        sys.exit(done.stderr)
    messages = [json.loads(line) for line in done.stdout.splitlines()]
    made = [m for m in messages if m.get("executable") and m["profile"]["test"]]
    return {"lib" if m["target"]["kind"] == ["lib"] else m["target"]["name"]: m["executable"] for m in made}


# --- one run -------------------------------------------------------------------------------------------------------


def sleeps(pid):
    """Seconds that the process has had of the processor, if all of its threads sleep now."""
    used = 0
    for thread in os.listdir(f"/proc/{pid}/task"):
        state, *rest = Path(f"/proc/{pid}/task/{thread}/stat").read_text().rsplit(")", 1)[1].split()
        if state != "S":
            return None
        used += int(rest[10]) + int(rest[11])
    return used


def run(program, names, environment, seconds, tree):
    """How a process of these tests ends, "ok", "failed" or "timeout"; and its seconds of the processor."""
    # `closing` takes RUNS for something else, and some tests of `rules` are for one run only.
    few = {} if Path(program).name.startswith(("closing-", "rules-")) else {"RUNS": "12"}
    command = f'ulimit -t {int(seconds) + 1}; ulimit -v 6000000; exec "$@"'
    with tempfile.TemporaryFile() as out:
        pid = subprocess.Popen(
            ["sh", "-c", command, "sh", program, "--exact", "--test-threads=1", *names],
            cwd=tree, env={**os.environ, **few, **environment},
            stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.DEVNULL,
        )
        pause, still, used, failed = 0.002, 0, None, False
        while True:
            done, status, usage = os.wait4(pid.pid, os.WNOHANG)
            if done:
                pid.returncode = status
                end = os.waitstatus_to_exitcode(status)
                spent = usage.ru_utime + usage.ru_stime
                if failed:
                    return "failed", spent
                return {0: "ok", -9: "timeout", -24: "timeout"}.get(end, "failed"), spent
            time.sleep(pause)
            pause = min(pause * 1.5, 0.25)
            if not failed and b"... FAILED" in os.pread(out.fileno(), 1 << 20, 0):
                failed = True
                os.kill(pid.pid, 9)
            if pause == 0.25:
                try:
                    now = sleeps(pid.pid)
                except OSError:
                    continue
                still = still + 1 if now is not None and now == used else 0
                used = now
                # Counted, not measured: a machine that stands still must not look like a test that does.
                if still == 40:
                    os.kill(pid.pid, 9)


def side_by_side(jobs, work):
    """Does `work` with each of `jobs`, a few at a time; results come as they are done, through one lock."""
    jobs, lock = iter(jobs), threading.Lock()

    def worker():
        while True:
            with lock:
                job = next(jobs, None)
            if job is None:
                return
            done = work(job)
            with lock:
                done()

    workers = [threading.Thread(target=worker) for _ in range(WORKERS)]
    for each in workers:
        each.start()
    for each in workers:
        each.join()


def measure(programs, tree):
    """All tests: how each ends, how long it takes, which functions it comes by."""
    tests, jobs = [], []
    for program, path in programs.items():
        listed = subprocess.run([path, "--list", "--format=terse"], stdout=subprocess.PIPE, text=True).stdout
        jobs += [(program, line.removesuffix(": test")) for line in listed.split("\n") if line.endswith(": test")]

    def work(job):
        program, name = job
        with tempfile.NamedTemporaryFile("r") as reached:
            end, seconds = run(programs[program], [name], {"REACHED": reached.name}, SLOWEST, tree)
            been = sorted({int(line) for line in reached})
        return lambda: tests.append({"program": program, "name": name, "end": end, "seconds": seconds, "reached": been})

    side_by_side(jobs, work)
    return tests


def batches(tests, file):
    """Tests to be run together, the quickest first, but for the file's own, which come before all others."""
    module = file.removeprefix("src/").removesuffix(".rs").replace("/", "::")
    is_own = lambda test: test["program"] == "lib" and test["name"].startswith(f"{module}::tests")
    for own in (True, False):
        made = []
        for test in sorted((t for t in tests if is_own(t) == own), key=lambda t: (t["program"], t["seconds"])):
            if made and made[-1][0] == test["program"] and made[-1][2] + test["seconds"] < 0.15:
                made[-1][1].append(test["name"])
                made[-1][2] += test["seconds"]
            else:
                made.append([test["program"], [test["name"]], test["seconds"]])
        yield from sorted(made, key=lambda batch: batch[2])


def judge(mutant, reaching, programs, tree):
    """Whether some test notices."""
    quick = [t for t in reaching if t["seconds"] <= QUICK]
    slow = [t for t in reaching if t["seconds"] > QUICK]
    for tests in (quick, slow):
        for program, names, seconds in batches(tests, mutant["file"]):
            end, _ = run(programs[program], names, {"MUTANT": str(mutant["id"])}, 1 + 8 * seconds, tree)
            if end != "ok":
                return "caught" if end == "failed" else "timeout"
    return "missed"


# --- all of it -----------------------------------------------------------------------------------------------------


def prepare(root, listed):
    """The build and its tests: kept as long as nothing changes in the tree."""
    tree, plain = root / "tree", root / "plain"
    files = sorted(file for folder in ("src", "tests") for file in (plain / folder).rglob("*") if file.is_file())
    digest = hashlib.sha256(b"".join(file.read_bytes() for file in [plain / "Cargo.toml", *files])).hexdigest()[:12]
    kept = root / digest
    if not (kept / "tests.json").exists():
        kept.mkdir(exist_ok=True)
        mutants = Mutants(listed)
        began = time.monotonic()
        sources = {str(file.relative_to(plain)): file.read_text() for file in files if "src" == file.relative_to(plain).parts[0]}
        write_all(mutants, sources, tree)
        print(f"{len(mutants.chosen())} mutants compile, {len(mutants.unviable)} do not: {time.monotonic() - began:.0f} s", flush=True)
        programs = build(tree)
        print(f"{len(programs)} test programs: {time.monotonic() - began:.0f} s", flush=True)
        tests = measure(programs, tree)
        print(f"{len(tests)} tests run once: {time.monotonic() - began:.0f} s", flush=True)
        for test in tests:
            if test["end"] != "ok":
                print(f"  not asked: {test['program']} {test['name']}: {test['end']}")
        (kept / "mutants.json").write_text(json.dumps([vars(mutants) | {"constant": sorted(mutants.constant)}, programs]))
        (kept / "tests.json").write_text(json.dumps(tests))
    return kept


def main(root, slices, shard):
    root = Path(root)
    unknown = set(slices) - set(SLICES)
    if unknown:
        sys.exit(f"no slice {', '.join(unknown)}. There are: {' '.join(SLICES)}")
    kept = prepare(root, json.loads((root / "list.json").read_text()))
    known, programs = json.loads((kept / "mutants.json").read_text())
    tests = [test for test in json.loads((kept / "tests.json").read_text()) if test["end"] == "ok"]
    place, count = map(int, shard.split("/"))
    for slice_name in slices:
        began = time.monotonic()
        of_slice = [m for m in known["all"] if re.fullmatch(SLICES[slice_name], m["file"])]
        found = kept / f"{slice_name}.jsonl"
        ends = dict(json.loads(line) for line in found.read_text().splitlines()) if found.exists() else {}
        todo = [
            m for m in of_slice
            if str(m["id"]) in known["group"] and m["name"] not in ends and m["id"] % count == place
        ]

        def work(mutant):
            reaching = [test for test in tests if known["group"][str(mutant["id"])] in test["reached"]]
            end = judge(mutant, reaching, programs, root / "tree")

            def done():
                ends[mutant["name"]] = end
                with found.open("a") as file:
                    file.write(json.dumps([mutant["name"], end]) + "\n")

            return done

        side_by_side(todo, work)
        counts = {end: sum(1 for each in ends.values() if each == end) for end in ("caught", "timeout", "missed")}
        unviable = sum(1 for m in of_slice if str(m["id"]) in known["unviable"])
        left = len(of_slice) - unviable - len(ends)
        noticed = 100 * (counts["caught"] + counts["timeout"]) / max(1, len(ends))
        print(
            f"{slice_name}: {counts['caught']} caught, {counts['timeout']} timeout, {counts['missed']} missed, {unviable} unviable,"
            f" {left} not run: {noticed:.1f} % noticed; {time.monotonic() - began:.0f} s for {len(todo)}",
            flush=True,
        )
        for name, end in sorted(ends.items()):
            if end == "missed":
                print(f"  {name}")
        for m in of_slice:
            if str(m["id"]) in known["fixed"]:
                print(f"  not run, {known['fixed'][str(m['id'])]}: {m['name']}")


if __name__ == "__main__":
    os.environ.update(PROPTEST_CASES="48", PROPTEST_MAX_SHRINK_ITERS="0", PROPTEST_DISABLE_FAILURE_PERSISTENCE="1", RUST_BACKTRACE="0")
    main(sys.argv[1], sys.argv[3:] or list(SLICES), sys.argv[2])
