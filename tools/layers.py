#!/usr/bin/env python3
"""The include law, checked: base <- ir <- {frontend, passes, codegen} <- driver; runtime/ stands alone.

Siblings never include each other, nothing includes upwards, runtime/ sees only the artifact ABI and libc, and only
codegen (and the driver) may see LLVM or libtcc.  Also: no file over 1,000 lines; functions over 70 are warned about.
Prints one line per violation and exits 1 if there is any.  A folder may be given, for the test of this program itself.
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
MAX_FILE, MAX_FUNCTION = 1000, 70


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


def long_functions(text):
    """(line, length) of functions whose braces stand in the first column, as clang-format puts them"""
    start = None
    for number, line in enumerate(text.split("\n"), 1):
        if start is None and re.match(r"[A-Za-z_ ].*\)[^;]*\{\s*$", line):
            start = number
        if line.startswith("}"):
            if start is not None and number - start + 1 > MAX_FUNCTION:
                yield start, number - start + 1
            start = None


def main():
    root = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).parent.parent).resolve()
    found, errors, warnings = owners(root), [], []
    for layer in [*SEES, "runtime", "tests"]:
        for path in sorted((root / layer).rglob("*")):
            if path.suffix not in (".c", ".h", ".def"):
                continue
            text = path.read_text(encoding="utf-8", errors="replace")
            name = path.relative_to(root)
            if layer != "tests":
                errors += check_includes(root, layer, path, text, found)
            lines = text.count("\n")
            if lines > MAX_FILE:
                errors.append(f"{name}: {lines} lines; expected at most {MAX_FILE}")
            if path.suffix == ".c":
                warnings += [f"{name}:{line}: function of {length} lines; expected at most {MAX_FUNCTION}"
                             for line, length in long_functions(text)]
    for text in warnings:
        print("warning:", text)
    for text in errors:
        print("error:", text)
    return 1 if errors else 0


if __name__ == "__main__":
    sys.exit(main())
