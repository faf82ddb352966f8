#!/usr/bin/env python3
"""The figures of bench/run as Markdown, and into a document where asked.

usage: bench/table.py FILE.json.. [--into=DOCUMENT] [--group=big,small,operators]

Rows of later files replace those of earlier ones.  A row shows ingot's time, the fastest peer that computes in f32, the ratio of the two
and the share of the bound, by number of threads; below them geometric means of those groups and of all rows, and the machine.  --into replaces what stands between
`<!-- bench -->` and `<!-- /bench -->` in DOCUMENT.
"""
import json
import os
import sys

sys.path[:0] = [os.path.dirname(os.path.abspath(__file__)),
                os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "tests", "models")]
BEGIN, END = "<!-- bench -->\n", "<!-- /bench -->"


def fail(why):
    print(f"bench/table.py: {why}\n\n{__doc__}", file=sys.stderr)
    sys.exit(2)


def merged(files):
    """(the last file's whole content with the peaks of all, rows of all: {(name, threads): row} in their order)."""
    rows, peaks, last = {}, {}, None
    for file in files:
        with open(file) as f:
            last = json.load(f)
        peaks.update(last["peak_gflops"])
        rows.update({(r["name"], r["threads"]): r for r in last["rows"]})
    return {**last, "peak_gflops": peaks}, rows


def duration(us):
    return f"{us:.2f} us" if us < 10 else f"{us:.0f} us" if us < 1e4 else f"{us / 1e3:.1f} ms"


def cells(row):
    """Columns of a row at one number of threads."""
    ours = row["results"].get("ingot", {}).get("us") if row else None
    if not ours:
        return ["-"] * 4
    share = f"{row['share']:.0%} {row['bound']['by']}" if row["share"] else "-"
    if not row["ratio"]:
        return [duration(ours), "-", "-", share]
    return [duration(ours), f"{duration(row['results'][row['fastest']]['us'])} ({row['fastest']})", f"**{row['ratio']:.2f}**", share]


def line(columns):
    return "| " + " | ".join(columns) + " |"


def markdown(last, rows, groups):
    import report
    threads = sorted({t for _, t in rows})
    head = ["row"] + [c for t in threads for c in (f"ingot, {t} thread{'s' if t > 1 else ''}", "fastest peer", "ratio", "of bound")]
    out = [line(head), line(["---"] + ["--:"] * (len(head) - 1))]
    chosen = [r for r in rows.values() if r["group"] in groups]
    for name in dict.fromkeys(r["name"] for r in chosen):
        out.append(line([name] + [c for t in threads for c in cells(rows.get((name, t)))]))
    found = report.geomeans(rows.values())
    for group in [g for g in ("big", "small", "operators", "all") if g in found and g in (*groups, "all")]:
        means = [found[group].get(t) for t in threads]
        out.append(line([f"geometric mean, {group}"] + [c for m in means for c in ("", "", f"**{m[0]:.2f}**" if m else "-", "")]))
    peaks = ", ".join(f"{last['peak_gflops'][t]:.0f}" for t in sorted(last["peak_gflops"]))
    machine = last["machine"]
    out += ["", f"{machine['cpu']} (family {machine['family']}), {machine['processors']} processors, FMA peak {peaks} GFLOP/s; "
            + ", ".join(sorted(set(last["versions"].values()))) + "."]
    return "\n".join(out) + "\n"


def write_into(document, text):
    with open(document) as f:
        whole = f.read()
    before, begin, rest = whole.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        fail(f"{document} has no lines '{BEGIN.strip()}' and '{END}'")
    with open(document + ".part", "w") as f:
        f.write(before + begin + text + end + after)
    os.replace(document + ".part", document)


def main():
    files = [a for a in sys.argv[1:] if not a.startswith("--")]
    options = dict(a.removeprefix("--").partition("=")[::2] for a in sys.argv[1:] if a.startswith("--"))
    if not files or set(options) - {"into", "group"}:
        fail("no file" if not files else "what is '--" + min(set(options) - {"into", "group"}) + "'")
    text = markdown(*merged(files), options.get("group", "big,small,operators").split(","))
    if "into" in options:
        write_into(options["into"], text)
    else:
        print(text, end="")


if __name__ == "__main__":
    main()
