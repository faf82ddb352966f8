"""Trains the bundled digits classifier and writes digits.onnx and digits.test beside this file.

A small convolutional network on scikit-learn's 8x8 handwritten digits: conv 3x3x16, relu, conv 3x3x32, relu, max pool,
dense 64, relu, dense 10, softmax.  1437 images train it, 360 are kept for the demo.  Seeded; needs torch, scikit-learn, onnx.

digits.test: for each held-out image one byte of label, then 64 bytes of grey value 0..16, row by row.
"""
import os

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from sklearn.datasets import load_digits
from torch import nn

HERE = os.path.dirname(os.path.abspath(__file__))


def network():
    return nn.Sequential(nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(),
                         nn.MaxPool2d(2), nn.Flatten(), nn.Linear(512, 64), nn.ReLU(), nn.Linear(64, 10))


def split():
    data = load_digits()
    order = np.random.default_rng(0).permutation(len(data.target))
    images, labels = data.images[order].astype(np.float32), data.target[order]
    return images[:-360], labels[:-360], images[-360:], labels[-360:]


def train(images, labels):
    torch.manual_seed(0)
    model, x, y = network(), torch.tensor(images)[:, None] / 16, torch.tensor(labels)
    optimizer = torch.optim.Adam(model.parameters(), 2e-3)
    for epoch in range(60):
        for batch in torch.randperm(len(x)).split(64):
            shift = tuple(torch.randint(-1, 2, (2,)).tolist())  # images move by a pixel: less to memorise
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(torch.roll(x[batch], shift, (2, 3))), y[batch]).backward()
            optimizer.step()
    return model.eval()


def export(model):
    weights = {k: v.detach().numpy() for k, v in model.state_dict().items()}
    names = {"0": "conv1", "2": "conv2", "6": "dense1", "8": "dense2"}
    inits = [numpy_helper.from_array(v, names[k.split(".")[0]] + "." + k.split(".")[1]) for k, v in weights.items()]
    scale = numpy_helper.from_array(np.float32(1 / 16), "scale")
    nodes = [
        helper.make_node("Mul", ["image", "scale"], ["scaled"], "scale_grey"),
        helper.make_node("Conv", ["scaled", "conv1.weight", "conv1.bias"], ["c1"], "conv1", pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c1"], ["r1"], "relu1"),
        helper.make_node("Conv", ["r1", "conv2.weight", "conv2.bias"], ["c2"], "conv2", pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c2"], ["r2"], "relu2"),
        helper.make_node("MaxPool", ["r2"], ["p"], "pool", kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("Flatten", ["p"], ["f"], "flatten"),
        helper.make_node("Gemm", ["f", "dense1.weight", "dense1.bias"], ["d1"], "dense1", transB=1),
        helper.make_node("Relu", ["d1"], ["r3"], "relu3"),
        helper.make_node("Gemm", ["r3", "dense2.weight", "dense2.bias"], ["d2"], "dense2", transB=1),
        helper.make_node("Softmax", ["d2"], ["probability"], "softmax", axis=1),
    ]
    graph = helper.make_graph(nodes, "digits",
                              [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["batch", 1, 8, 8])],
                              [helper.make_tensor_value_info("probability", TensorProto.FLOAT, ["batch", 10])],
                              [scale, *inits])
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8, producer_name="ingot examples")
    onnx.checker.check_model(proto, full_check=True)
    onnx.save(proto, os.path.join(HERE, "digits.onnx"))


def main():
    images, labels, held_images, held_labels = split()
    model = train(images, labels)
    with torch.no_grad():
        guess = model(torch.tensor(held_images)[:, None] / 16).argmax(1).numpy()
    print(f"accuracy on {len(held_labels)} held-out images: {(guess == held_labels).mean():.4f}")
    export(model)
    with open(os.path.join(HERE, "digits.test"), "wb") as f:
        for image, label in zip(held_images, held_labels):
            f.write(bytes([int(label)]) + image.astype(np.uint8).tobytes())


if __name__ == "__main__":
    main()
