"""ResNet-50, MobileNetV2, ViT-B/16, BERT-base, GPT-2 and a small MLP (weights seeded) against ONNX Runtime.

usage: graphs.py [NAME...]
"""
import sys

import numpy as np

import ingot
import models

LIMIT = 1e-4


def images(batch):
    return lambda rng: {"image": rng.standard_normal((batch, 3, 224, 224), dtype=np.float32)}


def tokens(batch, seq):
    def make(rng):
        lengths = np.concatenate([[seq], rng.integers(1, seq + 1, batch - 1)])
        mask = (np.arange(seq)[None] < lengths[:, None]).astype(np.int64)
        return {"ids": rng.integers(0, 30000, (batch, seq)), "mask": mask}
    return make


def cached(batch, new, past):
    return lambda rng: {"ids": rng.integers(0, 50257, (batch, new)),
                        "past_k": rng.standard_normal((12, batch, 12, past, 64), dtype=np.float32),
                        "past_v": rng.standard_normal((12, batch, 12, past, 64), dtype=np.float32)}


CASES = {"mlp_small": [lambda rng, n=n: {"x": rng.standard_normal((n, 64), dtype=np.float32)} for n in (1, 7, 64)],
         "mobilenet_v2": [images(1), images(3)], "resnet50": [images(1), images(2)], "vit_b_16": [images(1), images(2)],
         "bert_base": [tokens(1, 1), tokens(2, 33), tokens(1, 128)],
         "gpt2": [cached(1, 5, 0), cached(2, 1, 9), cached(1, 17, 15), cached(1, 1, 64)]}

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
