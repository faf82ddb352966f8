"""ResNet-50, MobileNetV2, ViT-B/16, BERT-base, GPT-2 and a small MLP (weights seeded) against ONNX Runtime.

usage: graphs.py [NAME...]
"""
import sys

import numpy as np

import ingot
import models
from cases import GRAPHS as CASES

LIMIT = 1e-4

results = []
for name in [a for a in sys.argv[1:] if not a.startswith("-")] or CASES:
    path = models.graph(name)
    theirs, ours, rng, worst = models.session(path), ingot.load(path).context(), np.random.default_rng(7), 0.0
    for make in CASES[name]:
        x = make(rng)
        a, b = ours.run(x), models.reference(theirs, x)
        worst = max([worst] + [models.relative(a[k], b[k]) for k in b])
    results.append(models.judge(name, worst <= LIMIT,
                                f"{len(CASES[name])} sizes, relative difference {worst:.1e} (<= {LIMIT:g})"))
models.finish(results)
