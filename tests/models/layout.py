"""Convolutional networks run channels innermost: pass permute leaves no permutation between two convolutions.

Counted in the text of the graph behind the pass: permutations that depend on a convolution and on which one depends, and that
change the order of extents other than 1.
usage: layout.py [NAME...]
"""
import os
import re
import subprocess
import sys
import tempfile

import cases
import ingot
import light
import models

NODE = re.compile(r"^  %(\d+) = (\w+) ?((?:%\d+(?:, )?)*)")
LIGHT = tuple(name for name in cases.LIGHT if name != "shufflenet")  # whose own shuffles stay
NAMES = ("resnet50", "mobilenet_v2", "version-RFB-320", "mnist_keras_opset7", *LIGHT)


def path_of(name):
    if name in LIGHT:
        return light.light(name)
    return models.graph(name) if name in ("resnet50", "mobilenet_v2") else models.given(name + ".onnx")


def moves(line):
    """Whether the permutation changes the order of extents other than 1."""
    order, extents = (re.search(p, line)[1].split(",") for p in (r"perm=\[([^]]*)\]", r" : \w+\[([^]]*)\]"))
    kept = [int(axis) for axis, extent in zip(order, extents) if extent.strip() != "1"]
    return kept != sorted(kept)


def count(path):
    """Convolutions, permutations, and those of them that lie between convolutions."""
    with tempfile.TemporaryDirectory(prefix="layout-", dir=ingot.ARTIFACTS) as folder:
        out = os.path.join(folder, "m.graph")
        subprocess.run([ingot.INGOT, "compile", "--quiet", path, "--emit=graph", "--stop-after=permute", "-o", out], check=True)
        with open(out) as f:
            found = [NODE.match(line) for line in f]
    nodes = [(int(m[1]), m[2], [int(v) for v in re.findall(r"%(\d+)", m[3])]) for m in found if m]
    behind, before = set(), set()  # of a convolution
    for number, op, operands in nodes:
        if op == "conv" or behind.intersection(operands):
            behind.add(number)
    for number, op, operands in reversed(nodes):
        if op == "conv" or number in before:
            before.update(operands)
    moved = [int(m[1]) for m in found if m and m[2] == "permute" and moves(m.string)]
    return sum(op == "conv" for _, op, _ in nodes), len(moved), sum(n in behind and n in before for n in moved)


os.makedirs(ingot.ARTIFACTS, exist_ok=True)
results = []
for name in sys.argv[1:] or NAMES:
    convolutions, permutations, inside = count(path_of(name))
    results.append(models.judge(f"layout {name}", convolutions > 1 and inside == 0,
                                f"{convolutions} convolutions, {permutations} permutations, {inside} of them between"))
models.finish(results)
