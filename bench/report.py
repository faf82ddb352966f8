"""What a run says: a line for each row as it is measured, then geometric means by group and what our artifacts cost."""
import math

import measure
import peers


def fastest(results, precision):
    """(name, us) of the fastest peer that computes in `precision`, or None."""
    times = {n: r["us"] for n, r in results.items()
             if not measure.is_ours(n) and "us" in r and peers.precision(n) == precision}
    return min(times.items(), key=lambda item: item[1]) if times else None


def judge(row):
    """Adds to a measured row what follows from its figures: ratio to the fastest peer, share of the bound; for our other columns
    (--also) the ratio to the fastest peer of their precision."""
    results = row["results"]
    ours, best = results.get("ingot", {}).get("us"), fastest(results, peers.precision("ingot"))
    row["fastest"] = best[0] if best else None
    row["ratio"] = ours / best[1] if ours and best else None
    row["share"] = row["bound"]["us"] / ours if ours and row.get("bound") else None
    row["also"] = {}
    for name in (n for n in results if measure.is_ours(n) and n != "ingot" and "us" in results[n]):
        best = fastest(results, peers.precision(name))
        row["also"][name] = {"fastest": best[0], "ratio": results[name]["us"] / best[1]} if best else {}


def number(us):
    return "-" if us is None else f"{us:.2f}" if us < 100 else f"{us:.0f}"


def cell(name, text):
    return f"{text:>{max(10, len(name))}s}"


def heading(names):
    return f"{'row':24s} {'T':>2s} " + " ".join(cell(n, n) for n in names) + f" {'spread':>7s} {'ratio':>7s} {'to':>9s} {'bound':>7s} by"


def line(row, names):
    results = row["results"]
    cells = " ".join(cell(n, number(results.get(n, {}).get("us"))) for n in names)
    spread = results.get("ingot", {}).get("spread")
    share = f"{row['share']:7.0%} {row['bound']['by']}" if row["share"] else "      -"
    return (f"{row['name']:24s} {row['threads']:2d} {cells} " + (f"{spread:7.1%}" if spread is not None else "      -") +
            (f" {row['ratio']:7.2f} {row['fastest']:>9s} " if row["ratio"] else f" {'-':>7s} {row['fastest'] or '-':>9s} ") + share)


def reasons(row):
    """Why there is a dash, one line for each peer; the JSON has all of it."""
    return [f"    {n}: {' '.join(r['refused'].split())[:110]}" for n, r in row["results"].items() if "refused" in r]


def geomeans(rows):
    """{group: {threads: (geometric mean of ratios, rows)}}, `all` among the groups."""
    found = {}
    for row in rows:
        if row.get("ratio"):
            for group in (row["group"], "all"):
                found.setdefault(group, {}).setdefault(row["threads"], []).append(math.log(row["ratio"]))
    return {g: {t: (math.exp(sum(x) / len(x)), len(x)) for t, x in by.items()} for g, by in found.items()}


def means(rows, names):
    """Lines: the geometric means; of our time over that of other columns of ours (--also, --before), and of those over the
    fastest peer of their precision."""
    out, found = [], geomeans(rows)
    for group in sorted(found, key=lambda g: (g == "all", g)):
        text = "   ".join(f"{t} thread{'s' if t > 1 else ''} {mean:.2f} ({n} rows)" for t, (mean, n) in found[group].items())
        out.append(f"{'geomean ' + group:24s} {text}")
    for other in (n for n in names if measure.is_ours(n) and n != "ingot"):
        pairs = [(r["results"]["ingot"].get("us"), r["results"][other].get("us")) for r in rows]
        logs = [math.log(a / b) for a, b in pairs if a and b]
        if logs:
            out.append(f"geomean ingot over {other}: {math.exp(sum(logs) / len(logs)):.3f} ({len(logs)} rows)")
        logs = [math.log(found["ratio"]) for found in (r["also"].get(other) for r in rows) if found]
        if logs and peers.precision(other) != "f32":
            out.append(f"geomean {other} over {peers.precision(other)} peers: {math.exp(sum(logs) / len(logs)):.2f} ({len(logs)} rows)")
    return out


def costs(rows):
    """What the models' libraries cost, one line each; of operators the JSON says it."""
    columns = ("compile", "memory", "code", "weights", "running", "load")
    out, seen = [f"{'library':24s} " + " ".join(f"{c:>10s}" for c in columns)], set()
    for row in rows:
        made, result = row.get("compiled"), row["results"].get("ingot", {})
        key = (row["file"], row["threads"] > 1)
        if not made or "us" not in result or key in seen or row["group"].startswith("operators"):
            continue
        seen.add(key)
        load = (result["load_s"] + result["first_s"]) * 1e3 - result["us"] * 1e-3  # to the first result, beyond a warm run
        out.append(f"{row['name']:24s} {made['seconds']:8.2f} s {made['memory_mb']:7.0f} MB "
                   f"{(made['library_bytes'] - made['weights_bytes']) / 1024:7.0f} KB {made['weights_bytes'] / 2**20:7.1f} MB "
                   f"{result['peak_mb'] - result['idle_mb']:7.1f} MB {load:7.1f} ms")
    return out if seen else []
