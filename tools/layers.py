#!/usr/bin/env python3
"""The include law, checked: base <- ir <- {frontend, passes, codegen} <- driver; runtime/ stands alone.

Siblings never include each other, nothing includes upwards, runtime/ sees only the artifact ABI and libc, and only
codegen (and the driver) may see LLVM or libtcc.  Also the sizes of SIZES, that a file of C opens with its name and what it does,
and that the files whose sections a header names are there.  Prints one line per violation and exits 1 if there is any.  A folder
may be given, for the test of this program itself.
"""
import pathlib
import re
import sys

SEES = {  # layer -> layers whose headers it may include
    "base": {"base"},
    "ir": {"ir", "base"},
    "frontend": {"frontend", "ir", "base"},
    "passes": {"passes", "ir", "base"},
    "codegen": {"codegen", "ir", "base", "include"},
    "driver": {"driver", "frontend", "passes", "codegen", "ir", "base", "include"},
    "include": {"include"},
}
RUNTIME_QUOTED = {"ingot_rt.h", "ingot_frame.h"}
RUNTIME_ANGLE = re.compile(  # libc, POSIX and Linux, and the compiler's own headers
    r"(assert|ctype|errno|fenv|float|inttypes|limits|math|setjmp|signal|stdalign|stdarg|stdatomic|stdbool|stddef|stdint|"
    r"stdio|stdlib|string|time|dlfcn|fcntl|pthread|sched|semaphore|unistd|cpuid|immintrin|x86intrin|arm_neon)\.h"
    r"|(sys|linux|asm)/\w+\.h")
ONLY_CODEGEN = re.compile(r"(llvm|llvm-c|clang-c)/|libtcc\.h|LLVM")
INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]', re.M)
SIZES = {"lines": 1000, "lines of a function": 70, "columns": 128}
FIRST = re.compile(r"/\* (clang-format off\s+\* )?(\S+?)[:,]? ")  # the opening comment; tables keep their columns
SECTION = re.compile(r"^/\* ---- (.*?) -+ \*/$", re.M)


def owners(root):
    """header name as written in an include -> the layers that have one of that name"""
    found = {}
    for layer in [*SEES, "runtime"]:
        for path in (root / layer).rglob("*"):
            if path.suffix in (".h", ".def"):
                inside = path.relative_to(root / layer).as_posix()
                for name in {inside, path.name}:
                    found.setdefault(name, set()).add(layer)
    return found


def check_includes(root, layer, path, text, found):
    for match in INCLUDE.finditer(text):
        quoted, name = match.group(1) == '"', match.group(2)
        line = text.count("\n", 0, match.start(2)) + 1
        where = f"{path.relative_to(root)}:{line}"
        if layer == "runtime":
            if quoted and name not in RUNTIME_QUOTED:
                yield f'{where}: runtime/ includes "{name}"; expected only {" and ".join(sorted(RUNTIME_QUOTED))}'
            if not quoted and not RUNTIME_ANGLE.fullmatch(name):
                yield f"{where}: runtime/ includes <{name}>, which is not a libc header"
        elif not quoted:
            if ONLY_CODEGEN.match(name) and layer not in ("codegen", "driver"):
                yield f"{where}: {layer}/ includes <{name}>; only codegen/ may"
        elif ".." in name.split("/"):
            yield f'{where}: "{name}" leaves its folder; include by plain name'
        else:
            of = found.get(name, set())
            if of and not of & SEES[layer]:
                yield f'{where}: {layer}/ includes "{name}" of {"/, ".join(sorted(of))}/, which it may not see'


def functions(text):
    """(line, length) of functions whose braces stand in the first column, as clang-format puts them"""
    start = None
    for number, line in enumerate(text.split("\n"), 1):
        if start is None and re.match(r"[A-Za-z_ ].*\)[^;]*\{\s*$", line):
            start = number
        if line.startswith("}"):
            if start is not None:
                yield start, number - start + 1
            start = None


def sizes(text):
    """(line, what, found) of everything that SIZES limits; a row of text, such as one of emitted C, may be as long as it is"""
    lines = text.split("\n")
    yield len(lines), "lines", len(lines) - 1
    for line, length in functions(text):
        yield line, "lines of a function", length
    for line, content in enumerate(lines, 1):
        if not content.lstrip().startswith('"'):
            yield line, "columns", len(content)


def check_text(path, text, files):
    name = path.name
    if path.suffix != ".def":
        for line, what, found in sizes(text):
            if found > SIZES[what]:
                yield f"{line}: {found} {what}; expected at most {SIZES[what]}"
    opening = FIRST.match(text)
    if not opening or opening.group(2) != name:
        yield f"1: expected an opening comment that begins with {name} and says what the file does"
    if path.suffix == ".h":
        for section in SECTION.finditer(text):
            for named in re.findall(r"\b\w+\.(?:c|def)\b", section.group(1)):
                if named not in files:
                    yield f"{text.count(chr(10), 0, section.start()) + 1}: names {named}, which is not there"


def main():
    root = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).parent.parent).resolve()
    found, errors = owners(root), []
    folders = [*SEES, "runtime", "tests", "tools", "examples"]
    sources = [(folder, path) for folder in folders for path in sorted((root / folder).rglob("*"))
               if path.suffix in (".c", ".h", ".def")]
    files = {path.name for _, path in sources}
    for folder, path in sources:
        text, name = path.read_text(encoding="utf-8", errors="replace"), path.relative_to(root)
        if folder in SEES or folder == "runtime":
            errors += check_includes(root, folder, path, text, found)
        errors += [f"{name}:{problem}" for problem in check_text(path, text, files)]
    for text in errors:
        print("error:", text)
    return 1 if errors else 0


if __name__ == "__main__":
    sys.exit(main())
