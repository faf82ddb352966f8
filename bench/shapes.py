"""Products of skinny and odd shapes: `bench/run --shapes` measures them instead of rows; rows() is what it asks.

A name is KIND-MxKxN.  KIND is where the right operand comes from: a constant, an input, or inputs that come in a batch on both
sides (12 of them, as heads do).  M goes from a single row to a few tiles; K and N are what tiles, panels and vectors do not divide.
"""
import fnmatch

import operators
from rows import Row

BATCH = 12
ROWS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 33, 48)
DEPTHS = ((64, 1000), (769, 513), (300, 80), (2048, 512), (512, 17), (33, 4096))  # K, N
BATCHED = ((64, 77), (197, 64), (31, 130))

MAKERS = {
    "constant": operators.gemm,
    "variable": lambda m, k, n: operators.gemm(m, k, n, constant=False),
    "batched": lambda m, k, n: operators.single("MatMul", (BATCH, m, k), (BATCH, k, n)),
}
SHAPES = {f"{kind}-{m}x{k}x{n}": (kind, (m, k, n)) for kind in MAKERS for k, n in (BATCHED if kind == "batched" else DEPTHS)
          for m in ROWS}


def row(name):
    kind, shape = SHAPES[name]
    make = lambda: MAKERS[kind](*shape)  # noqa: E731
    return Row(name, "operators, " + kind, lambda: operators.path("shape-" + name, make), lambda: operators.inputs("shape-" + name, make))


def rows(globs):
    """Those that the globs name, by kind or name."""
    return [row(n) for n, (kind, _) in SHAPES.items() if any(fnmatch.fnmatch(n, g) or kind == g for g in globs.split(","))]
