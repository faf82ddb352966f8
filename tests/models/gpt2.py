"""GPT-2 generates 32 tokens greedily through its cache: token ids equal to ONNX Runtime's."""
import time

import numpy as np

import ingot
import models

PROMPT, STEPS = [464, 2068, 7586, 21831, 18045, 625, 262, 16931, 3290, 13], 32


def generate(run):
    ids, out = np.array([PROMPT], np.int64), []
    k = v = np.zeros((12, 1, 12, 0, 64), np.float32)
    for _ in range(STEPS):
        y = run({"ids": ids, "past_k": k, "past_v": v})
        k, v = y["k"], y["v"]
        out.append(int(y["logits"][0].argmax()))
        ids = np.array([out[-1:]], np.int64)
    return out, k


path = models.graph("gpt2")
theirs, ours = models.session(path), ingot.load(path).context()
start = time.perf_counter()
found, k = generate(ours.run)
middle = time.perf_counter()
expected, k_theirs = generate(lambda x: models.reference(theirs, x))
end = time.perf_counter()
same = sum(a == b for a, b in zip(found, expected))
models.finish([models.judge("gpt2 generation", found == expected,
                            f"{same}/{STEPS} tokens equal, {len(set(found))} distinct; caches differ by {models.relative(k, k_theirs):.1e}; "
                            f"{(middle - start) / STEPS * 1e3:.1f} ms a token, ONNX Runtime {(end - middle) / STEPS * 1e3:.1f}")])
