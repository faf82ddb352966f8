"""Detectors: a pyramid of features with anchor-free heads, queries with a transformer, peaks of a heat map."""
import torch
import torch.nn.functional as F
from torch import nn

from .blocks import conv_norm, image, settle
from .registry import model


def silu_conv(channels, filters, kernel=3, stride=1):
    return conv_norm(channels, filters, kernel, stride, nn.SiLU)


class Split(nn.Module):
    """YOLOv8's C2f: half of the channels go through residual blocks, and all that appears is joined."""

    def __init__(self, channels, filters, blocks=1):
        super().__init__()
        half = filters // 2
        self.first = silu_conv(channels, filters, 1)
        self.blocks = nn.ModuleList([nn.Sequential(silu_conv(half, half), silu_conv(half, half)) for _ in range(blocks)])
        self.last = silu_conv(half * (2 + blocks), filters, 1)

    def forward(self, x):
        parts = list(self.first(x).chunk(2, 1))
        for block in self.blocks:
            parts.append(parts[-1] + block(parts[-1]))
        return self.last(torch.cat(parts, 1))


class Pyramid(nn.Module):
    """SPPF: pools of pools, joined."""

    def __init__(self, c):
        super().__init__()
        self.first, self.last = silu_conv(c, c // 2, 1), silu_conv(c * 2, c, 1)

    def forward(self, x):
        parts = [self.first(x)]
        for _ in range(3):
            parts.append(F.max_pool2d(parts[-1], 5, 1, 2))
        return self.last(torch.cat(parts, 1))


def head(channels, filters):
    return nn.Sequential(silu_conv(channels, 64), silu_conv(64, 64), nn.Conv2d(64, filters, 1))


class Yolo(nn.Module):
    def __init__(self, c=16, classes=80):
        super().__init__()
        self.stage2 = nn.Sequential(silu_conv(3, c, 3, 2), silu_conv(c, 2 * c, 3, 2), Split(2 * c, 2 * c))
        self.stage3 = nn.Sequential(silu_conv(2 * c, 4 * c, 3, 2), Split(4 * c, 4 * c, 2))
        self.stage4 = nn.Sequential(silu_conv(4 * c, 8 * c, 3, 2), Split(8 * c, 8 * c, 2))
        self.stage5 = nn.Sequential(silu_conv(8 * c, 16 * c, 3, 2), Split(16 * c, 16 * c), Pyramid(16 * c))
        self.up4, self.up3 = Split(24 * c, 8 * c), Split(12 * c, 4 * c)
        self.to4, self.down4 = silu_conv(4 * c, 4 * c, 3, 2), Split(12 * c, 8 * c)
        self.to5, self.down5 = silu_conv(8 * c, 8 * c, 3, 2), Split(24 * c, 16 * c)
        self.boxes = nn.ModuleList([head(i, 64) for i in (4 * c, 8 * c, 16 * c)])
        self.classes = nn.ModuleList([head(i, classes) for i in (4 * c, 8 * c, 16 * c)])
        self.up = nn.Upsample(scale_factor=2, mode="nearest")
        self.register_buffer("bins", torch.arange(16.0))

    def features(self, x):
        p3 = self.stage3(self.stage2(x))
        p4 = self.stage4(p3)
        p5 = self.stage5(p4)
        n4 = self.up4(torch.cat([self.up(p5), p4], 1))
        n3 = self.up3(torch.cat([self.up(n4), p3], 1))
        m4 = self.down4(torch.cat([self.to4(n3), n4], 1))
        return n3, m4, self.down5(torch.cat([self.to5(m4), p5], 1))

    def forward(self, x):
        """Distances to four sides as expectations over 16 bins, and the classes' scores, of every cell of three grids."""
        levels = zip(self.boxes, self.classes, self.features(x))
        y = torch.cat([torch.cat([box(f), score(f)], 1).flatten(2) for box, score, f in levels], 2)
        box, score = y.split([64, y.shape[1] - 64], 1)
        box = (box.view(x.shape[0], 4, 16, -1).softmax(2) * self.bins.view(1, 1, 16, 1)).sum(2)
        return torch.cat([box, score.sigmoid()], 1)


@model("yolo")
def yolo():
    return settle(Yolo(), image(320)), {"x": image(320)}


class Detr(nn.Module):
    def __init__(self, d=128):
        super().__init__()
        self.patches = nn.Conv2d(3, d, 16, 16)
        self.transformer = nn.Transformer(d, 4, 2, 2, 512, batch_first=True)
        self.queries = nn.Parameter(torch.randn(30, d))
        self.classes, self.boxes = nn.Linear(d, 21), nn.Sequential(nn.Linear(d, d), nn.ReLU(), nn.Linear(d, 4), nn.Sigmoid())

    def forward(self, x):
        memory = self.patches(x).flatten(2).transpose(1, 2)
        found = self.transformer(memory, self.queries[None].expand(x.shape[0], -1, -1))
        return self.classes(found), self.boxes(found)


@model("detr")
def detr():
    return Detr().eval(), {"x": image(128)}


class Peaks(nn.Module):
    """CenterNet's head: cells that are the maximum of their neighbours, the fifty largest, their boxes gathered."""

    def __init__(self, classes=20):
        super().__init__()
        self.classes = classes
        self.features = nn.Sequential(conv_norm(3, 32, 3, 2), conv_norm(32, 64, 3, 2))
        self.head = nn.Conv2d(64, classes + 4, 1)

    def forward(self, x):
        y = self.head(self.features(x))
        heat = y[:, :self.classes].sigmoid()
        heat = heat * (F.max_pool2d(heat, 3, 1, 1) == heat).float()
        score, at = heat.flatten(1).topk(50)
        sizes = y[:, self.classes:].flatten(2).transpose(1, 2)
        cell = at % (32 * 32)
        return score, at // (32 * 32), torch.gather(sizes, 1, cell[:, :, None].expand(-1, -1, 4))


@model("detect_topk", traced=17)
def peaks():
    return settle(Peaks(), image(128)), {"x": image(128)}
