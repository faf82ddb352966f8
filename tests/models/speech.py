"""silero_vad_16k over all of speech_16k.wav, state carried from chunk to chunk: probabilities within 1e-5 of ONNX Runtime.

512 new samples a chunk after the last 64 of the chunk before, as silero's own utilities feed it.
"""
import wave

import numpy as np

import ingot
import models

CHUNK, CONTEXT, RATE, LIMIT = 512, 64, 16000, 1e-5

path = models.given("silero_vad_16k_op15.onnx")
with wave.open(models.given("speech_16k.wav")) as f:
    assert f.getframerate() == RATE and f.getnchannels() == 1 and f.getsampwidth() == 2
    sound = np.frombuffer(f.readframes(f.getnframes()), np.int16).astype(np.float32) / 32768


def probabilities(run):
    state, last, out = np.zeros((2, 1, 128), np.float32), np.zeros(CONTEXT, np.float32), []
    for at in range(0, len(sound), CHUNK):
        new = sound[at:at + CHUNK]
        chunk = np.concatenate([last, new, np.zeros(CHUNK - len(new), np.float32)])
        last = chunk[-CONTEXT:]
        y = run({"input": chunk[None], "state": state, "sr": np.array(RATE, np.int64)})
        state = y["stateN"]
        out.append(y["output"].item())
    return np.array(out)


theirs = models.session(path)
expected = probabilities(lambda x: models.reference(theirs, x))
results = []
for backend in ("llvm", "c"):
    ours = ingot.load(path, f"--backend={backend}").context()
    found = probabilities(ours.run)
    apart = float(np.abs(found - expected).max())
    speech = f"{(found > 0.5).sum()} of speech, ONNX Runtime {(expected > 0.5).sum()}"
    results.append(models.judge(f"silero_vad_16k_op15 {backend}", apart <= LIMIT,
                                f"{len(found)} chunks ({speech}); probabilities at most {apart:.1e} apart (<= {LIMIT:g})"))
models.finish(results)
