"""mnist_keras_opset7 against ONNX Runtime: weights that are graph inputs with initialisers, shapes from initialisers."""
import numpy as np

import ingot
import models

LIMIT = 1e-5

path = models.given("mnist_keras_opset7.onnx")
theirs = models.session(path)
results = []
for backend in ("llvm", "c"):
    ours = ingot.load(path, f"--backend={backend}").context()
    rng, worst, same = np.random.default_rng(3), 0.0, 0
    for _ in range(50):
        x = {"Input3": (rng.random((1, 1, 28, 28)) * 255).astype(np.float32)}
        a, b = ours.run(x)["Plus214_Output_0"], models.reference(theirs, x)["Plus214_Output_0"]
        worst, same = max(worst, models.relative(a, b)), same + int(a.argmax() == b.argmax())
    results.append(models.judge(f"mnist_keras_opset7 {backend}", worst <= LIMIT and same == 50,
                                f"relative difference {worst:.1e} (<= {LIMIT:g}), same digit {same}/50"))
models.finish(results)
