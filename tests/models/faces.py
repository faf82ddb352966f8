"""version-RFB-320 on faces.jpg: the same faces as with ONNX Runtime, corners within one pixel of the photograph."""
import numpy as np

import ingot
import models

SCORE, OVERLAP = 0.7, 0.3


def corners(scores, boxes, width, height):
    """Boxes above the score, best first, less those that overlap a better one: n x (x0, y0, x1, y1, score)."""
    keep = scores[0, :, 1] > SCORE
    found = np.concatenate([boxes[0][keep] * [width, height, width, height], scores[0, keep, 1:2]], axis=1)
    found, chosen = found[np.argsort(-found[:, 4], kind="stable")], []
    while len(found):
        best, rest = found[0], found[1:]
        chosen.append(best)
        low, high = np.maximum(best[:2], rest[:, :2]), np.minimum(best[2:4], rest[:, 2:4])
        both = np.prod(np.clip(high - low, 0, None), axis=1)
        area = np.prod(rest[:, 2:4] - rest[:, :2], axis=1) + np.prod(best[2:4] - best[:2])
        found = rest[both / (area - both) < OVERLAP]
    return np.array(chosen).reshape(-1, 5)


models.package("PIL")
from PIL import Image  # noqa: E402

path = models.given("version-RFB-320.onnx")
photo = Image.open(models.given("faces.jpg")).convert("RGB")
pixels = np.asarray(photo.resize((320, 240), Image.BILINEAR), dtype=np.float32)
x = {"input": np.ascontiguousarray(((pixels - 127) / 128).transpose(2, 0, 1)[None], dtype=np.float32)}
theirs = models.reference(models.session(path), x)
expected = corners(theirs["scores"], theirs["boxes"], *photo.size)
results = []
for backend in ("llvm", "c"):
    y = ingot.load(path, f"--backend={backend}").run(x)
    found = corners(y["scores"], y["boxes"], *photo.size)
    apart = np.abs(found[:, :4] - expected[:, :4]).max() if found.shape == expected.shape and len(found) else np.inf
    worst = max(models.relative(y[k], theirs[k]) for k in ("scores", "boxes"))
    results.append(models.judge(f"version-RFB-320 {backend}", len(found) == len(expected) > 0 and apart <= 1,
                                f"{len(found)} faces, ONNX Runtime {len(expected)}; corners at most {apart:.2g} px apart "
                                f"(<= 1); raw outputs differ by {worst:.1e}"))
models.finish(results)
