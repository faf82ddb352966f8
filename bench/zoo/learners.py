"""Learners that are not networks, as skl2onnx, LightGBM and XGBoost write them: forests of trees, support vectors, neighbours."""
import numpy as np
import torch
from onnx import TensorProto

from .idioms import Writer
from .registry import model

FEATURES = 12
ROWS = {"x": {0: "rows"}}


def grown(trees, deepest):
    """Nodes of random trees as attributes of TreeEnsemble*, and the leaves: [(tree, node)]."""
    names = ("treeids", "nodeids", "featureids", "modes", "values", "truenodeids", "falsenodeids", "missing_value_tracks_true")
    nodes, leaves = {n: [] for n in names}, []

    def add(tree, node, depth, count):
        inner = depth < deepest and (depth < 3 or torch.rand(1).item() < 0.8)
        yes = count if inner else 0
        row = (tree, node, torch.randint(FEATURES, (1,)).item() if inner else 0, "BRANCH_LEQ" if inner else "LEAF",
               torch.randn(1).item() if inner else 0.0, yes, yes + 1 if inner else 0, 0)
        for name, value in zip(names, row):
            nodes[name].append(value)
        if not inner:
            leaves.append((tree, node))
            return count
        return add(tree, yes + 1, depth + 1, add(tree, yes, depth + 1, count + 2))

    for tree in range(trees):
        add(tree, 0, 0, 1)
    return {"nodes_" + n: v for n, v in nodes.items()}, leaves


@model("forest")
def forest():
    """Forty trees vote for one of three classes; any number of rows."""
    w = Writer(18, ai_onnx_ml=3)
    nodes, leaves = grown(40, 8)
    votes = torch.rand(len(leaves), 3)
    votes = (votes / votes.sum(1, keepdim=True) / 40).flatten().tolist()
    label, chances = w("TreeEnsembleClassifier", w.input("x", torch.randn(50, FEATURES)), results=2, domain="ai.onnx.ml", **nodes,
                       class_treeids=[t for t, _ in leaves for _ in range(3)], class_nodeids=[n for _, n in leaves for _ in range(3)],
                       class_ids=[0, 1, 2] * len(leaves), class_weights=votes, classlabels_int64s=[3, 5, 7], post_transform="NONE")
    return w.model([w("Cast", label, to=TensorProto.FLOAT), chances], ROWS)


@model("boosted")
def boosted():
    """A hundred shallow trees, each corrects those before; standardised features."""
    w = Writer(18, ai_onnx_ml=3)
    nodes, leaves = grown(100, 5)
    x = w("Scaler", w.input("x", torch.randn(50, FEATURES)), offset=torch.randn(FEATURES).tolist(), scale=(torch.rand(FEATURES) + 0.5).tolist(),
          domain="ai.onnx.ml")
    y = w("TreeEnsembleRegressor", x, domain="ai.onnx.ml", **nodes, target_treeids=[t for t, _ in leaves], target_nodeids=[n for _, n in leaves],
          target_ids=[0] * len(leaves), target_weights=(torch.randn(len(leaves)) * 0.1).tolist(), n_targets=1, base_values=[0.5])
    return w.model([y], ROWS)


@model("support_vectors")
def support_vectors():
    """Regressors over 200 support vectors with each of the kernels, and one that finds outliers."""
    w = Writer(18, ai_onnx_ml=3)
    x, found = w.input("x", torch.randn(50, FEATURES)), []
    for kind, parameters, outliers in (("RBF", [0.05, 0.0, 3.0], 0), ("POLY", [0.05, 1.0, 3.0], 0), ("SIGMOID", [0.05, 0.1, 3.0], 0),
                                       ("LINEAR", [0.0, 0.0, 3.0], 0), ("RBF", [0.1, 0.0, 3.0], 1)):
        found.append(w("SVMRegressor", x, domain="ai.onnx.ml", kernel_type=kind, kernel_params=parameters, n_supports=200, one_class=outliers,
                       coefficients=torch.randn(200).tolist(), support_vectors=torch.randn(200 * FEATURES).tolist(), rho=[0.3]))
    return w.model([w("Concat", *found, axis=1)], ROWS)


@model("nearest")
def nearest():
    """The mean of five of 500 examples, the nearest: distances, the best five, what they say."""
    w = Writer(18)
    x = w.input("x", torch.randn(50, FEATURES))
    away = w("Sub", w("Unsqueeze", x, np.array([1], np.int64)), w.random(1, 500, FEATURES, scale=1))
    distances = w("Sqrt", w("ReduceSumSquare", away, np.array([2], np.int64), keepdims=0))
    places = w("TopK", distances, np.array([5], np.int64), largest=0, results=2)[1]
    return w.model([w("ReduceMean", w("Gather", w.random(500), places), np.array([1], np.int64), keepdims=0)], ROWS)
