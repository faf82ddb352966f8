#!/usr/bin/env python3
"""Derives the polynomials of ir/loop_math_poly.c: `python3 tools/minimax.py > ir/loop_math_poly.c` (needs mpmath).

Remez exchange on a weighted linear problem in 50 digits: minimise max |w(x) (f(x) - p(x))| over an interval, where p has
the given number of coefficients.  The coefficients are then rounded to the format one by one from the lowest, and those
not yet rounded are fitted again, so that each takes up the rounding of the ones before it.  A row may fix its first
coefficients.  The table at the end is the whole specification; each polynomial's attained error is printed beside it.
"""
import struct
import sys

from mpmath import mp, mpf, matrix, lu_solve, exp, log, sqrt, sin, cos, sinh, erf, erfc, asin, atan, log1p, expm1, pi

mp.dps = 50


def round_to(x, form):
    return mpf(struct.unpack("f", struct.pack("f", float(x)))[0]) if form == "f32" else mpf(float(x))


def show(x):
    return float(x).hex()


def fit(points, target, weight, powers, start_error=None):
    """Remez over a dense grid: points ascending, target and weight their values; returns coefficients and error."""
    n = len(powers)
    rows = [[x ** p for p in powers] for x in points]
    m = len(points)
    picks = [int(round((1 - cos(pi * i / n)) / 2 * (m - 1))) for i in range(n + 1)]
    best = None
    for _ in range(30):
        a, y = matrix(n + 1, n + 1), matrix(n + 1, 1)
        for i, k in enumerate(picks):
            for j in range(n):
                a[i, j] = rows[k][j] * weight[k]
            a[i, n] = (-1) ** i
            y[i] = target[k] * weight[k]
        solved = lu_solve(a, y)
        c = [solved[j] for j in range(n)]
        level = abs(solved[n])
        errors = [weight[k] * (target[k] - sum(cj * r for cj, r in zip(c, rows[k]))) for k in range(m)]
        worst = max(abs(e) for e in errors)
        if best is None or worst < best[1]:
            best = (c, worst)
        if worst <= level * mpf("1.02"):
            break
        # one extremum per run of equal sign, then the n + 1 consecutive ones that hold the largest
        extrema = []
        for k, e in enumerate(errors):
            if extrema and (errors[extrema[-1]] > 0) == (e > 0):
                if abs(e) > abs(errors[extrema[-1]]):
                    extrema[-1] = k
            else:
                extrema.append(k)
        while len(extrema) > n + 1:
            extrema.pop(0 if abs(errors[extrema[0]]) < abs(errors[extrema[-1]]) else -1)
        if len(extrema) < n + 1 or extrema == picks:
            break
        picks = extrema
    return best


def derive(form, f, w, low, high, n, fixed):
    grid = 400
    points = [low + (high - low) * (1 - cos(pi * (2 * i + 1) / (2 * grid))) / 2 for i in range(grid)]
    target = [f(x) for x in points]
    weight = [w(x) for x in points]
    done = list(fixed)
    worst = mpf(0)
    while len(done) < n:
        rest = [t - sum(c * x ** i for i, c in enumerate(done)) for t, x in zip(target, points)]
        c, worst = fit(points, rest, weight, list(range(len(done), n)))
        if form == "f64" and len(done) > 2:  # the rest of a double polynomial feels no single rounding
            done += [round_to(x, form) for x in c]
        else:
            done.append(round_to(c[0], form))
    error = max(abs(wt * (t - sum(c * x ** i for i, c in enumerate(done)))) for x, t, wt in zip(points, target, weight))
    return done, error


LN2_HALF = log(2) / 2 * mpf("1.005")
HALF = mpf(1) / 2
QUARTER = pi / 4 * mpf("1.002")
ROOT_LOW, ROOT_HIGH = sqrt(mpf(1) / 2) - 1 - mpf(2) ** -20, sqrt(mpf(2)) - 1 + mpf(2) ** -20


def odd(f):
    """(f(x) - x) / x^3 as a function of z = x^2."""
    return lambda z: (f(sqrt(z)) - sqrt(z)) / sqrt(z) ** 3


def odd_weight(f):
    return lambda z: sqrt(z) ** 3 / f(sqrt(z))


def series_log(z, first):
    """(log((1+s)/(1-s)) / (2s) - sum of its terms below z^first) / z^first, z = s^2."""
    return sum(z ** (k - first) / (2 * k + 1) for k in range(first, 60))


ROWS = [
    # name, meaning, {form: (f, weight, low, high, coefficients, fixed)}
    ("exp", "(e^r - 1 - r) / r^2", {
        "f32": (lambda r: (expm1(r) - r) / r ** 2, lambda r: r ** 2, -LN2_HALF, LN2_HALF, 5, [mpf(1) / 2]),
        "f64": (lambda r: (expm1(r) - r) / r ** 2, lambda r: r ** 2, -LN2_HALF, LN2_HALF, 11, [mpf(1) / 2])}),
    ("exp2", "2^r, |r| <= 1/2", {
        "f32": (lambda r: mpf(2) ** r, lambda r: mpf(2) ** -r, mpf("-0.5005"), mpf("0.5005"), 7, [mpf(1)])}),
    ("log", "f32: (ln(1+f) - f + f^2/2) / f^3; f64: (ln((1+s)/(1-s)) - 2s) / (s z), z = s^2", {
        "f32": (lambda f: (log1p(f) - f + f * f / 2) / f ** 3, lambda f: f * f, ROOT_LOW, ROOT_HIGH, 9, []),
        "f64": (lambda z: 2 * series_log(z, 1), lambda z: z, mpf(0), mpf("0.02945"), 7, [])}),
    ("softplus", "(ln(1+z) - z) / z^2 in z - 1/2, 0 < z <= 1", {
        "f32": (lambda w: (log1p(w + HALF) - w - HALF) / (w + HALF) ** 2, lambda w: w + HALF, mpf(2) ** -6 - HALF, HALF, 9, [])}),
    ("log_pair", "(ln((1+s)/(1-s)) / 2s - 1 - z/3) / z^2, z = s^2: behind the two terms that pow adds in double-double", {
        "f64": (lambda z: series_log(z, 2), lambda z: z ** 2, mpf(0), mpf("0.02945"), 9, [])}),
    ("sinh", "(sinh x - x) / x^3 in x^2, |x| < 1", {
        "f64": (odd(sinh), odd_weight(sinh), mpf(2) ** -40, mpf("1.0001"), 9, [])}),
    ("erf", "erf x / x - 1 in x^2, |x| < 1", {
        "f64": (lambda z: erf(sqrt(z)) / sqrt(z) - 1, lambda z: sqrt(z) / erf(sqrt(z)), mpf(2) ** -60, mpf("1.0001"), 15, [])}),
    ("erfc", "ln erfc(t) in t - 2, 1 <= t < 6", {
        "f64": (lambda u: log(erfc(u + 2)), lambda u: erfc(u + 2), mpf("-1.0001"), mpf(4), 23, [])}),
    ("sin", "(sin r - r) / r^3 in r^2", {
        "f32": (odd(sin), odd_weight(sin), mpf(2) ** -40, QUARTER ** 2, 3, []),
        "f64": (odd(sin), odd_weight(sin), mpf(2) ** -40, QUARTER ** 2, 7, [])}),
    ("cos", "(cos r - 1 + r^2/2) / r^4 in r^2", {
        "f32": (lambda z: (cos(sqrt(z)) - 1 + z / 2) / z ** 2, lambda z: z ** 2, mpf(2) ** -40, QUARTER ** 2, 3, []),
        "f64": (lambda z: (cos(sqrt(z)) - 1 + z / 2) / z ** 2, lambda z: z ** 2, mpf(2) ** -40, QUARTER ** 2, 7, [])}),
    ("asin", "(asin x - x) / x^3 in x^2, |x| <= 0.5", {
        "f64": (odd(asin), odd_weight(asin), mpf(2) ** -40, mpf("0.2501"), 14, [])}),
    ("atan", "(atan x - x) / x^3 in x^2, |x| <= tan(pi/8)", {
        "f64": (odd(atan), odd_weight(atan), mpf(2) ** -40, mpf("0.1717"), 13, [])}),
]

ERF_STEP = mpf(65) / 256
ERF_STEPS = 16


def erf_table():
    """erf(i h + r) in r, |r| <= h / 2, by i: with h = 65/256 the last reaches beyond 3.92, where f32 knows nothing but 1.
    Rounded all at once: that of the first coefficient, which no other can take up, is the largest."""
    half, rows, worst = ERF_STEP / 2 * mpf("1.001"), [], mpf(0)
    for i in range(ERF_STEPS):
        low = -half if i else mpf(2) ** -20
        points = [low + (half - low) * (1 - cos(pi * (2 * k + 1) / 400)) / 2 for k in range(200)]
        target = [erf(i * ERF_STEP + r) for r in points]
        c, error = fit(points, target, [1 / t for t in target], list(range(0 if i else 1, 6)))
        rows.append([round_to(x, "f32") for x in ([] if i else [mpf(0)]) + c])
        worst = max(worst, error)
    return rows, worst


HEADER = '''/* clang-format off
 * loop_math_poly.c: the polynomials of loop_math_*.c, lowest coefficient first: row 0 for f32, row 1 for f64.
 * Written by tools/minimax.py (Remez exchange): change that, not this.  The error beside each is the weighted maximum.
 */
#include "loop_math.h"
'''


def main():
    print(HEADER)
    for name, meaning, forms in ROWS:
        print(f"/* {meaning} */")
        print(f"const Poly poly_{name}[2] = {{")
        for i, form in enumerate(("f32", "f64")):
            if form not in forms:
                continue
            done, error = derive(form, *forms[form])
            print(f"    [{i}] = {{{len(done)}, {{ /* 2^{float(log(error, 2)):.1f} */", )
            for j in range(0, len(done), 4):
                print("        " + ", ".join(show(c) for c in done[j:j + 4]) + ",")
            print("    }},")
            print(name, form, "2^%.1f" % float(log(error, 2)), file=sys.stderr)
        print("};")
    rows, error = erf_table()
    print("/* erf(i h + r) in r, h = 65/256, |r| <= h/2: the coefficients of r^k at [k][i] */")
    print(f"const double table_erf[6][TABLE] = {{ /* 2^{float(log(error, 2)):.1f} */")
    for k in range(6):
        print("    {")
        for i in range(0, ERF_STEPS, 4):
            print("        " + ", ".join(show(row[k]) for row in rows[i:i + 4]) + ",")
        print("    },")
    print("};")


if __name__ == "__main__":
    main()
