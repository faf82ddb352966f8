"""MiniLM with its real weights: one artifact, batch 1..8 x sequence 1..256, masked; mean-pooled, normalised embeddings within
1e-5 of ONNX Runtime."""
import sys

import numpy as np

import ingot
import models

LIMIT = 1e-5
SEQUENCES = (1, 2, 3, 7, 15, 16, 17, 31, 33, 64, 100, 127, 128, 129, 200, 255, 256)


def embeddings(hidden, mask):
    m = mask[..., None].astype(np.float32)
    mean = (hidden * m).sum(1) / np.maximum(m.sum(1), 1e-9)
    return mean / np.linalg.norm(mean, axis=1, keepdims=True)


quick = "--quick" in sys.argv
path = models.graph("minilm")
theirs = models.session(path)
results = []
for backend in ("llvm", "c"):
    model = ingot.load(path, f"--backend={backend}", "--dim=batch=1..8", "--dim=seq=1..256")
    ours = model.context()
    ours.reserve(batch=8, seq=256)
    rng, worst, cases = np.random.default_rng(5), 0.0, 0
    for batch in range(1, 9):
        for seq in SEQUENCES[batch % 2::2] if not quick else SEQUENCES[batch % 8::8]:
            lengths = rng.integers(1, seq + 1, batch)
            lengths[0] = seq
            mask = (np.arange(seq)[None] < lengths[:, None]).astype(np.int64)
            x = {"ids": rng.integers(0, 30522, (batch, seq)) * mask, "mask": mask}
            a, b = ours.run(x)["hidden"], models.reference(theirs, x)["hidden"]
            worst = max(worst, float(np.abs(embeddings(a, mask) - embeddings(b, mask)).max()))
            cases += 1
    results.append(models.judge(f"minilm {backend}", worst <= LIMIT,
                                f"{cases} sizes of batch 1..8 x seq 1..256, embeddings at most {worst:.1e} apart (<= {LIMIT:g})"))
    if quick:
        break
models.finish(results)
