#!/usr/bin/env python3
"""Runs the tests that the patches of this folder name, with each patch and without. Called by run.sh, which tells what for.

A build for each patch would take most of an hour. So all are in one build: a function that some patches change has a body for each,

    fn f() -> u8 { if crate::mutation::is("one") { 0 } else if crate::mutation::is("two") { 1 } else { the body as it is } }

and MUTATION, in the environment of a test, says which of them is meant. What a patch adds between functions is simply there. A patch
that cannot be chosen so (it changes a signature, a constant, or a `const fn`) has a build of its own; so has each, if the one
build fails, which tells which of them does not compile.

Functions are found by their indentation, which is rustfmt's.
"""
import difflib
import json
import os
import re
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

HERE = Path(__file__).parent
# A run that hangs has noticed, too: these are seconds, beside three times what the test takes without a patch.
LONGEST = 30
ROW = "{:<42} {:<96} {:<10} {}"

RUNTIME = '''
mod mutation {
    static CHOSEN: std::sync::LazyLock<Option<String>> = std::sync::LazyLock::new(|| std::env::var("MUTATION").ok());

    #[inline]
    pub(crate) fn is(name: &str) -> bool {
        CHOSEN.as_deref() == Some(name)
    }
}
'''


class Patch:
    def __init__(self, path):
        self.path, self.name = path, path.stem
        self.tests = re.findall(r"^test: (\S+) (\S+)$", path.read_text(), re.M)
        self.files = re.findall(r"^\+\+\+ b/(\S+)$", path.read_text(), re.M)

    def changed(self, tree, plain):
        """The text of each file that it changes, with it; or None if it does not apply. The tree stays as it is."""
        command = ["patch", "--silent", "--batch", "--fuzz=0", "--no-backup-if-mismatch", "-p1", "-i", self.path]
        done = subprocess.run(command, cwd=tree, stdout=subprocess.PIPE, text=True)
        changed = {file: (tree / file).read_text() for file in self.files}
        for file in self.files:
            (tree / file).write_text(plain[file])
        if done.returncode == 0:
            return changed
        print(done.stdout, end="")
        return None


# --- one build -----------------------------------------------------------------------------------------------------


def functions(lines):
    """The functions of a file that a patch may change: where the body begins and ends, inner ones last."""
    for start, line in enumerate(lines):
        head = re.match(r"( *)(?:pub(?:\([^)]*\))? )?(?:async )?fn ", line)
        if not head:
            continue
        body = next(at for at in range(start, len(lines)) if lines[at].endswith(("{", "}", ";")))
        if lines[body].endswith("{"):
            yield body + 1, lines.index(head[1] + "}", body)


def choices(plain, changed):
    """What the patches make of a file: bodies by function and patch, and what stands between functions; and who cannot be chosen."""
    lines = plain.split("\n")
    spans = list(functions(lines))
    bodies, between, fixed = {}, {}, set()
    for name, text in changed.items():
        new = text.split("\n")
        edits = [edit for edit in difflib.SequenceMatcher(None, lines, new, False).get_opcodes() if edit[0] != "equal"]
        own = {}
        for kind, first, last, new_first, new_last in edits:
            around = lambda: [(begin, end) for begin, end in spans if begin <= first and last <= end]
            # A function that was added may seem to begin with the last lines of the one above, and to lack its own.
            while kind == "insert" and around() and lines[first] == new[new_first]:
                first, last, new_first, new_last = first + 1, last + 1, new_first + 1, new_last + 1
            if around():
                own.setdefault(around()[-1], []).append((first, last, new[new_first:new_last]))
            elif kind == "insert":
                between.setdefault(first, []).extend(new[new_first:new_last])
            else:
                fixed.add(name)
        for (begin, end), pieces in own.items():
            body = lines[begin:end]
            for first, last, piece in reversed(pieces):
                body[first - begin : last - begin] = piece
            bodies.setdefault((begin, end), {})[name] = body
    return bodies, between, fixed


def with_choices(plain, bodies, between):
    lines = plain.split("\n")
    edits = [(at, at, added) for at, added in between.items()]
    for (begin, end), choices in bodies.items():
        made = []
        for name, body in choices.items():
            made += [f'if crate::mutation::is("{name}") {{', *body, "} else"]
        edits.append((begin, end, [*made, "{", *lines[begin:end], "}"]))
    for begin, end, made in sorted(edits, reverse=True):
        lines[begin:end] = made
    return "\n".join(lines)


def with_all(texts, patches, plain):
    """The files with all patches in them, but for those that cannot be chosen, which are told."""
    made, alone = {}, []
    for file, text in plain.items():
        bodies, between, fixed = choices(text, {patch.name: texts[patch][file] for patch in patches if file in texts[patch]})
        if fixed:
            alone = [patch for patch in patches if patch.name in fixed]
            others, more = with_all(texts, [patch for patch in patches if patch not in alone], plain)
            return others, alone + more
        made[file] = with_choices(text, bodies, between)
    made["src/lib.rs"] += RUNTIME
    return made, alone


def build(patches, tree):
    """The test programs that the patches name, by name; or what the compiler says."""
    names = sorted({f"--test={program}" for patch in patches for program, _ in patch.tests})
    command = ["cargo", "test", "--quiet", "--all-features", "--no-run", "--message-format=json-render-diagnostics", *names]
    done = subprocess.run(command, cwd=tree, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if done.returncode != 0:
        return None, done.stderr
    messages = [json.loads(line) for line in done.stdout.splitlines()]
    return {m["target"]["name"]: m["executable"] for m in messages if m.get("executable")}, None


# --- one run -------------------------------------------------------------------------------------------------------


def run(program, test, mutation, longest, tree):
    """How a test ends, with its seconds: passed, failed, or none, if there is no such test."""
    began = time.monotonic()
    environment = {**os.environ, "CARGO_MANIFEST_DIR": str(tree), "MUTATION": mutation}
    try:
        done = subprocess.run(
            [program, "--exact", test], cwd=tree, env=environment, timeout=longest,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace",
        )
        end = "failed" if done.returncode != 0 else "passed" if "1 passed" in done.stdout else "none"
    except subprocess.TimeoutExpired:
        end = "failed"
    return end, time.monotonic() - began


def side_by_side(jobs, work):
    """What `work` makes of each of `jobs`, in their order; more at once than there are processors, as some only wait."""
    with ThreadPoolExecutor(2 * os.cpu_count()) as pool:
        yield from zip(jobs, pool.map(lambda job: work(*job), jobs))


def main(tree, words):
    tree = Path(tree)
    plain = {str(file.relative_to(tree)): file.read_text() for file in sorted(tree.glob("src/**/*.rs"))}
    patches = [Patch(path) for path in sorted(HERE.glob("*.patch")) if not words or any(word in path.stem for word in words)]
    count, bad = 0, 0

    def tell(patch, test, result, seconds=""):
        nonlocal count, bad
        count += 1
        bad += result != "caught"
        print(ROW.format(patch.name, " ".join(test), result, seconds).rstrip(), flush=True)

    def write(texts):
        for file, text in texts.items():
            if (tree / file).read_text() != text:
                (tree / file).write_text(text)

    def examine(patches, programs):
        pairs = [(patch, test) for patch in patches for test in patch.tests]
        work = lambda patch, test: run(programs[test[0]], test[1], patch.name, LONGEST + 3 * without[test][1], tree)
        for (patch, test), (end, seconds) in side_by_side(pairs, work):
            result = {"passed": "SURVIVED", "failed": "caught", "none": "NO TEST"}[end]
            # It would fail without the patch, too.
            if result == "caught" and without[test][0] != "passed":
                result = "ANYWAY"
            tell(patch, test, result, f"{seconds:.1f}")

    print(ROW.format("MUTATION", "TEST", "RESULT", "SECONDS"), flush=True)
    texts = {patch: patch.changed(tree, plain) for patch in patches}
    for patch in list(patches):
        if patch.tests and texts[patch]:
            continue
        tell(patch, "-", "NO PATCH" if patch.tests else "NO TEST")
        patches.remove(patch)
        if subprocess.run(["git", "diff", "--quiet", "--", "src"], cwd=HERE.parents[1]).returncode != 0:
            print("(src/ has changes that are not committed)")
    if not patches:
        sys.exit(f"no patch of {' '.join(words)} to examine")

    began = time.monotonic()
    made, alone = with_all(texts, patches, plain)
    write(made)
    programs, error = build(patches, tree)
    if error:
        print(f"{error}\nNot all in one build: each has its own.")
        alone = patches
        write(plain)
        programs, error = build(patches, tree)
        if error:
            sys.exit(error)
    print(f"built in {time.monotonic() - began:.0f} s", flush=True)

    tests = sorted({test for patch in patches for test in patch.tests})
    without = dict(side_by_side(tests, lambda program, test: run(programs[program], test, "", 10 * LONGEST, tree)))
    print(f"run without patches: {time.monotonic() - began:.0f} s", flush=True)
    examine([patch for patch in patches if patch not in alone], programs)
    for patch in alone:
        write({**plain, **texts[patch]})
        programs, error = build([patch], tree)
        if programs:
            examine([patch], programs)
        else:
            tell(patch, "-", "NO BUILD")
            print(error)
    print(f"{count} tests examined, {bad} that did not do what they should: {time.monotonic() - began:.0f} s")
    sys.exit(bad > 0)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
