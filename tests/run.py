#!/usr/bin/env python3
"""Runs golden, error and command-line tests: tests/run.py --ingot=PATH [--bless] [--jobs=N] [FOLDER|FILE ...]

  *.graph, *.loop with `// RUN: COMMAND`   the input stands above a line `// ---`, the expected output below it.  In COMMAND
                                           `ingot` is the program under test, %s the input, %t a private folder.  --bless
                                           rewrites what is expected: review the diff.
  *.graph, *.loop with `// ERROR: TEXT`    compiling must fail with exit status 1, and with an error that contains TEXT at
                                           the line of that comment.
  *.sh                                     run by bash in a private folder with $INGOT and $TESTS (this folder); any
                                           failing command fails the test (set -e), exit status 77 skips it.
Prints a line per failure and a summary; exits 1 if a test failed.
"""
import argparse
import concurrent.futures
import os
import pathlib
import re
import shlex
import subprocess
import sys
import tempfile

TESTS = pathlib.Path(__file__).parent.resolve()
SEPARATOR = "// ---\n"
LIMIT = 1200  # seconds a test: a guard against those that hang, not a measure


def call(command, folder, env, shell=False):
    return subprocess.run(command, cwd=folder, env=env, shell=shell, executable="/bin/bash" if shell else None,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=LIMIT)


def difference(expected, found):
    for number, (a, b) in enumerate(zip(expected.split("\n") + [None], found.split("\n") + [None]), 1):
        if a != b:
            return f"line {number} of the output\n    expected: {a}\n    found:    {b}"
    return "the output is longer or shorter"


def run_golden(path, text, ingot, folder, env, bless):
    head, _, expected = text.partition(SEPARATOR)
    given = folder / path.name
    given.write_text(head)
    found = ""
    for command in re.findall(r"^// RUN: (.*)$", head, re.M):
        command = re.sub(r"\bingot\b", lambda _: shlex.quote(ingot), command).replace("%s", path.name).replace("%t", str(folder))
        done = call(command, folder, env, shell=True)
        if done.returncode:
            return f"`{command}` ended with status {done.returncode}\n{done.stdout[-2000:]}{done.stderr[-2000:]}"
        found += done.stdout
    if found == expected:
        return None
    if bless:
        path.write_text(head + SEPARATOR + found)
        return None
    return difference(expected, found)


def run_error(path, text, ingot, folder, env):
    (folder / path.name).write_text(text)
    done = call([ingot, "compile", path.name, "-o", "out.so"], folder, env)
    if done.returncode != 1:
        return f"ended with status {done.returncode}, expected 1\n{done.stdout}{done.stderr}"
    if (folder / "out.so").exists():
        return "left an output behind"
    for number, line in enumerate(text.split("\n"), 1):
        for wanted in re.findall(r"// ERROR: (.*)$", line):
            place = f"{path.name}:{number}:"
            if not any(e.startswith(place) and wanted.strip() in e for e in done.stderr.split("\n")):
                return f"no error at line {number} with '{wanted.strip()}'; found\n{done.stderr}"
    return None


def run_test(path, ingot, bless):
    env = {**os.environ, "INGOT": ingot, "TESTS": str(TESTS), "LC_ALL": "C"}
    env.pop("NO_COLOR", None)
    with tempfile.TemporaryDirectory(prefix="ingot-test-") as name:
        folder = pathlib.Path(name)
        if path.suffix == ".sh":
            done = call(["bash", "-eu", "-o", "pipefail", str(path)], folder, env)
            if done.returncode == 77:
                return "skipped"
            return None if done.returncode == 0 else f"status {done.returncode}\n{done.stdout[-3000:]}{done.stderr[-3000:]}"
        text = path.read_text()
        if "// ERROR: " in text:
            return run_error(path, text, ingot, folder, env)
        if "// RUN: " in text:
            return run_golden(path, text, ingot, folder, env, bless)
    return "neither RUN nor ERROR in it"


def find_tests(names):
    for name in names or ["cli", "passes", "loop", "errors"]:
        path = TESTS / name if (TESTS / name).exists() else pathlib.Path(name).resolve()
        if path.is_dir():
            yield from sorted(p for p in path.rglob("*") if p.suffix in (".graph", ".loop", ".sh"))
        elif path.exists():
            yield path.resolve()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ingot", required=True)
    parser.add_argument("--bless", action="store_true")
    parser.add_argument("--jobs", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("tests", nargs="*")
    options = parser.parse_args()
    ingot = str(pathlib.Path(options.ingot).resolve())
    tests = list(find_tests(options.tests))
    counts = {"passed": 0, "skipped": 0, "failed": 0}

    def one(path):
        try:
            return run_test(path, ingot, options.bless)
        except subprocess.TimeoutExpired:
            return f"ran longer than {LIMIT} s"

    with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
        for path, problem in zip(tests, pool.map(one, tests)):
            kind = "passed" if not problem else "skipped" if problem == "skipped" else "failed"
            counts[kind] += 1
            if kind == "failed":
                print(f"FAIL {path.relative_to(TESTS)}: {problem}")
    print(", ".join(f"{n} {kind}" for kind, n in counts.items() if n))
    return 1 if counts["failed"] or not tests else 0


if __name__ == "__main__":
    sys.exit(main())
