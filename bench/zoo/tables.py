"""Tables, sets and graphs: classical models, recommenders, message passing, clouds of points."""
import torch
import torch.nn.functional as F
from torch import nn

from .blocks import settle, tokens
from .registry import model


@model("logistic", traced=13, open={"x": {0: "batch"}})
def logistic():
    return nn.Sequential(nn.Linear(30, 10), nn.Softmax(-1)).eval(), {"x": torch.randn(16, 30)}


@model("autoencoder", open={"x": {0: "batch"}})
def autoencoder():
    widths = [784, 256, 64, 16, 64, 256, 784]
    layers = [layer for i, o in zip(widths, widths[1:]) for layer in (nn.Linear(i, o), nn.ReLU())]
    return nn.Sequential(*layers[:-1], nn.Sigmoid()).eval(), {"x": torch.randn(8, 784)}


class Recommender(nn.Module):
    """DLRM: embeddings of categories, all their products in pairs."""

    def __init__(self, categories=26, d=16):
        super().__init__()
        self.embeddings = nn.ModuleList([nn.Embedding(1000, d) for _ in range(categories)])
        self.bottom = nn.Sequential(nn.Linear(13, 64), nn.ReLU(), nn.Linear(64, d), nn.ReLU())
        i, j = torch.tril_indices(categories + 1, categories + 1, -1)
        self.register_buffer("pairs", i * (categories + 1) + j)
        self.top = nn.Sequential(nn.Linear(d + len(i), 64), nn.ReLU(), nn.Linear(64, 1), nn.Sigmoid())

    def forward(self, dense, sparse):
        x = self.bottom(dense)
        vectors = torch.stack([x] + [e(sparse[:, j]) for j, e in enumerate(self.embeddings)], 1)
        products = (vectors @ vectors.transpose(1, 2)).flatten(1)[:, self.pairs]
        return self.top(torch.cat([x, products], 1))


@model("dlrm", traced=17, open={"dense": {0: "b"}, "sparse": {0: "b"}})
def recommender():
    return Recommender().eval(), {"dense": torch.randn(32, 13), "sparse": tokens(32, 26)}


class Factorization(nn.Module):
    def __init__(self):
        super().__init__()
        self.vectors, self.weights = nn.Embedding(5000, 32), nn.Embedding(5000, 1)

    def forward(self, ids):
        v = self.vectors(ids)
        pairs = 0.5 * (v.sum(1) ** 2 - (v * v).sum(1)).sum(1)
        return torch.sigmoid(self.weights(ids).sum((1, 2)) + pairs)


@model("fm", open={"ids": {0: "b"}})
def factorization():
    return Factorization().eval(), {"ids": tokens(64, 20)}


class DenseGraph(nn.Module):
    """A graph convolution by the normalized adjacency matrix."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Linear(64, 32), nn.Linear(32, 7)

    def forward(self, x, adjacency):
        adjacency = adjacency + torch.eye(adjacency.shape[0])
        degree = adjacency.sum(1).rsqrt()
        adjacency = degree[:, None] * adjacency * degree[None]
        return self.second(adjacency @ F.relu(adjacency @ self.first(x))).log_softmax(1)


@model("gcn")
def dense_graph():
    return DenseGraph().eval(), {"x": torch.randn(300, 64), "A": (torch.rand(300, 300) > 0.95).float()}


class Messages(nn.Module):
    """Messages along a list of edges are added where they arrive."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Linear(64, 32), nn.Linear(32, 7)

    def forward(self, x, edge):
        y = self.first(x)
        arrived = torch.zeros_like(y).index_add(0, edge[1], y[edge[0]])
        return self.second(F.relu(arrived + y))


@model("gat_scatter", open={"x": {0: "n"}, "edge": {1: "e"}})
def messages():
    return Messages().eval(), {"x": torch.randn(300, 64), "edge": torch.randint(0, 300, (2, 2000))}


class Points(nn.Module):
    """PointNet: the same layers for each point, the largest over all."""

    def __init__(self):
        super().__init__()
        layers = []
        for channels, filters in ((3, 64), (64, 128), (128, 512)):
            layers += [nn.Conv1d(channels, filters, 1), nn.BatchNorm1d(filters), nn.ReLU()]
        self.features = nn.Sequential(*layers)
        self.head = nn.Sequential(nn.Linear(512, 256), nn.ReLU(), nn.Linear(256, 40))

    def forward(self, x):
        return self.head(self.features(x).max(2)[0]).log_softmax(-1)


@model("pointnet", traced=17, open={"x": {2: "n"}})
def points():
    x = torch.randn(1, 3, 512)
    return settle(Points(), x), {"x": x}


class Statistics(nn.Module):
    """Variance, deviation, log of summed exponentials, the largest's place, norms, sums and an order, along each row."""

    def __init__(self):
        super().__init__()
        self.layer, self.norm = nn.Linear(40, 64), nn.BatchNorm1d(64)

    def forward(self, x):
        y = F.hardswish(self.norm(self.layer(x)))
        numbers = [y.var(1, keepdim=True), y.std(1, keepdim=True), y.logsumexp(1, keepdim=True)]
        numbers += [y.argmax(1, keepdim=True).float()]
        return torch.cat([*numbers, F.normalize(y, dim=1), y.cumsum(1), y.sort(1)[0]], 1)


@model("var_std_misc", open={"x": {0: "n"}})
def statistics():
    return Statistics().eval(), {"x": torch.randn(16, 40)}
