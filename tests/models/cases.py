"""Inputs of the models by name, made from a random generator: one function for each size that a test tries."""
import wave

import numpy as np

import models


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


def rows(n):
    return lambda rng: {"x": rng.standard_normal((n, 64), dtype=np.float32)}


def digit(rng):
    return {"Input3": (rng.random((1, 1, 28, 28)) * 255).astype(np.float32)}


def eight_by_eight(batch):
    return lambda rng: {"image": rng.random((batch, 1, 8, 8), dtype=np.float32)}


LIGHT = ("bvlc_alexnet", "densenet121", "inception_v1", "inception_v2", "shufflenet", "squeezenet", "vgg19", "zfnet512")  # of light.py


def classified(name):
    """An image for a light CNN."""
    tensor = "gpu_0/data_0" if name in ("shufflenet", "zfnet512") else "data_0"
    return lambda rng: {tensor: rng.standard_normal((1, 3, 224, 224), dtype=np.float32)}


def photograph(rng):
    return {"input": rng.standard_normal((1, 3, 240, 320), dtype=np.float32)}


def speech(rng):
    with wave.open(models.given("speech_16k.wav")) as f:
        sound = np.frombuffer(f.readframes(f.getnframes()), np.int16).astype(np.float32) / 32768
    at = rng.integers(0, len(sound) - 576)
    return {"input": sound[None, at:at + 576], "state": rng.standard_normal((2, 1, 128), dtype=np.float32) / 4,
            "sr": np.array(16000, np.int64)}


GRAPHS = {"mlp_small": [rows(n) for n in (1, 7, 64)],
          "mobilenet_v2": [images(1), images(3)], "resnet50": [images(1), images(2)], "vit_b_16": [images(1), images(2)],
          "bert_base": [tokens(1, 1), tokens(2, 33), tokens(1, 128)],
          "gpt2": [cached(1, 5, 0), cached(2, 1, 9), cached(1, 17, 15), cached(1, 1, 64)]}
