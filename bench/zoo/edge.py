"""Classifiers for small devices and other recent backbones: ghosts, folded branches, pools or linear attention for mixing."""
import torch
import torch.nn.functional as F
from torch import nn

from .blocks import conv_norm, image, settle
from .registry import model


def depthwise(c, kernel=3, stride=1, act=nn.ReLU):
    conv = nn.Conv2d(c, c, kernel, stride, kernel // 2, groups=c, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(c), act())


def classes(c, n=100):
    return [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(c, n)]


class Ghost(nn.Module):
    """Half of the filters are cheap: a depthwise convolution of the others."""

    def __init__(self, channels, filters, act=nn.ReLU):
        super().__init__()
        self.first, self.cheap = conv_norm(channels, filters // 2, 1, 1, act), depthwise(filters // 2, 3, 1, act)

    def forward(self, x):
        x = self.first(x)
        return torch.cat([x, self.cheap(x)], 1)


class Squeeze(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.gate = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(c, c // 4, 1), nn.ReLU(), nn.Conv2d(c // 4, c, 1), nn.Hardsigmoid())

    def forward(self, x):
        return x * self.gate(x)


class GhostBottleneck(nn.Module):
    def __init__(self, channels, hidden, filters, kernel=3, stride=1, squeeze=False):
        super().__init__()
        down = [depthwise(hidden, kernel, stride, nn.Identity)] if stride > 1 else []
        gate = [Squeeze(hidden)] if squeeze else []
        self.body = nn.Sequential(Ghost(channels, hidden), *down, *gate, Ghost(hidden, filters, nn.Identity))
        short = [depthwise(channels, kernel, stride, nn.Identity), conv_norm(channels, filters, 1, 1, nn.Identity)]
        self.short = nn.Identity() if stride == 1 and channels == filters else nn.Sequential(*short)

    def forward(self, x):
        return self.body(x) + self.short(x)


@model("ghostnet", open={"x": {0: "batch"}})
def ghostnet():
    rows = [(16, 16, 16), (16, 48, 24, 3, 2), (24, 72, 24), (24, 72, 40, 5, 2, True), (40, 120, 40, 5, 1, True),
            (40, 240, 80, 3, 2), (80, 200, 80), (80, 480, 112, 3, 1, True), (112, 672, 160, 5, 2, True)]
    layers = [conv_norm(3, 16, 3, 2), *(GhostBottleneck(*row) for row in rows), conv_norm(160, 960, 1)]
    return settle(nn.Sequential(*layers, *classes(960)), image()), {"x": image()}


@model("repvgg", open={"x": {0: "batch"}})
def repvgg():
    """As deployed: nothing but 3 x 3 convolutions; two images of an odd size."""
    layers, before = [], 3
    for c, blocks in ((48, 1), (48, 2), (96, 4), (192, 5), (640, 1)):
        for i in range(blocks):
            layers += [nn.Conv2d(before, c, 3, 1 if i else 2, 1), nn.ReLU()]
            before = c
    return nn.Sequential(*layers, *classes(640)).eval(), {"x": image(161, batch=2)}


@model("mobileone", traced=17)
def mobileone():
    layers, before = [nn.Conv2d(3, 48, 3, 2, 1), nn.ReLU()], 48
    for c, blocks in ((48, 2), (128, 4), (256, 6), (1024, 1)):
        for i in range(blocks):
            layers += [nn.Conv2d(before, before, 3, 1 if i else 2, 1, groups=before), nn.ReLU(), nn.Conv2d(before, c, 1), nn.ReLU()]
            before = c
    return nn.Sequential(*layers, *classes(1024)).eval(), {"x": image(225)}


class Pooled(nn.Module):
    """PoolFormer: a mean of nine neighbours takes the place of attention."""

    def __init__(self, c):
        super().__init__()
        self.norm1, self.norm2 = nn.GroupNorm(1, c), nn.GroupNorm(1, c)
        self.pool = nn.AvgPool2d(3, 1, 1, count_include_pad=False)
        self.mlp = nn.Sequential(nn.Conv2d(c, 4 * c, 1), nn.GELU(), nn.Conv2d(4 * c, c, 1))
        self.scale1, self.scale2 = nn.Parameter(torch.full((c, 1, 1), 0.1)), nn.Parameter(torch.full((c, 1, 1), 0.1))

    def forward(self, x):
        y = self.norm1(x)
        x = x + self.scale1 * (self.pool(y) - y)
        return x + self.scale2 * self.mlp(self.norm2(x))


@model("poolformer")
def poolformer():
    layers, before = [], 3
    for c, kernel, stride in ((64, 7, 4), (128, 3, 2), (320, 3, 2)):
        layers += [nn.Conv2d(before, c, kernel, stride, kernel // 2), Pooled(c), Pooled(c)]
        before = c
    return nn.Sequential(*layers, *classes(320)).eval(), {"x": image(160)}


class LinearAttention(nn.Module):
    """EfficientViT: ReLU attention without softmax, of two scales; the second mixes by 5 x 5 and grouped 1 x 1 convolutions."""

    def __init__(self, c, width=16):
        super().__init__()
        self.width, self.qkv = width, nn.Conv2d(c, 3 * c, 1, bias=False)
        mix = nn.Conv2d(3 * c, 3 * c, 5, padding=2, groups=3 * c, bias=False)
        self.scale = nn.Sequential(mix, nn.Conv2d(3 * c, 3 * c, 1, groups=3 * c // width, bias=False))
        self.out = conv_norm(2 * c, c, 1, 1, nn.Identity)

    def forward(self, x):
        n, _, h, w = x.shape
        y = self.qkv(x)
        y = torch.cat([y, self.scale(y)], 1).reshape(n, -1, 3 * self.width, h * w)
        q, k, v = y.relu().chunk(3, 2)[0], y.chunk(3, 2)[1].relu(), F.pad(y.chunk(3, 2)[2], (0, 0, 0, 1), value=1.0)
        y = (v @ k.transpose(-1, -2)) @ q
        return x + self.out((y[:, :, :-1] / (y[:, :, -1:] + 1e-6)).reshape(n, -1, h, w))


class Inverted(nn.Module):
    def __init__(self, channels, filters, stride=1, grow=4, act=nn.Hardswish):
        super().__init__()
        c, self.adds = channels * grow, stride == 1 and channels == filters
        self.body = nn.Sequential(conv_norm(channels, c, 1, 1, act), depthwise(c, 3, stride, act), conv_norm(c, filters, 1, 1, nn.Identity))

    def forward(self, x):
        return x + self.body(x) if self.adds else self.body(x)


@model("efficientvit")
def efficientvit():
    layers = [conv_norm(3, 16, 3, 2, nn.Hardswish), Inverted(16, 32, 2), Inverted(32, 32), Inverted(32, 64, 2)]
    layers += [LinearAttention(64), Inverted(64, 64), Inverted(64, 128, 2), LinearAttention(128), Inverted(128, 128)]
    return settle(nn.Sequential(*layers, *classes(128)), image()), {"x": image()}


@model("maxvit", traced=17)
def maxvit():
    from torchvision.models.maxvit import MaxVit
    module = MaxVit(input_size=(112, 112), stem_channels=32, block_channels=[32, 64], block_layers=[1, 1], head_dim=16,
                    stochastic_depth_prob=0.0, partition_size=7, num_classes=100)
    return settle(module, image(112)), {"x": image(112)}


class Coordinate(nn.Module):
    """Coordinate attention: gates from means over lines and over columns, which one convolution makes together."""

    def __init__(self, c):
        super().__init__()
        self.first = conv_norm(c, 16, 1, 1, nn.Hardswish)
        self.down, self.along = nn.Conv2d(16, c, 1), nn.Conv2d(16, c, 1)

    def forward(self, x):
        h, w = x.shape[2:]
        y = self.first(torch.cat([x.mean(3, keepdim=True), x.mean(2, keepdim=True).transpose(2, 3)], 2))
        down, along = y.split([h, w], 2)
        return x * self.down(down).sigmoid() * self.along(along.transpose(2, 3)).sigmoid()


@model("coordinate")
def coordinate():
    layers = [conv_norm(3, 24, 3, 2, nn.Hardswish), Inverted(24, 24), Coordinate(24), Inverted(24, 48, 2), Coordinate(48)]
    layers += [Inverted(48, 96, 2), Coordinate(96), Inverted(96, 96), Coordinate(96)]
    return settle(nn.Sequential(*layers, *classes(96)), image(192)), {"x": image(192)}


class GroupedShuffle(nn.Module):
    """Grouped 1 x 1 convolutions with a shuffle between, as CondenseNet's and interleaved nets'."""

    def __init__(self, c, groups):
        super().__init__()
        self.first, self.last = nn.Conv2d(c, c, 1, groups=groups), nn.Conv2d(c, c, 1, groups=groups)
        self.middle, self.groups = nn.Conv2d(c, c, 3, padding=1, groups=c // 12), groups

    def shuffled(self, x):
        n, c, h, w = x.shape
        return x.reshape(n, self.groups, c // self.groups, h, w).transpose(1, 2).reshape(n, c, h, w)

    def forward(self, x):
        return F.relu(x + self.last(F.relu(self.middle(self.shuffled(F.relu(self.first(x)))))))


@model("interleaved", traced=17)
def interleaved():
    layers = [nn.Conv2d(3, 72, 3, 2, 1), nn.ReLU(), GroupedShuffle(72, 3), GroupedShuffle(72, 6), nn.Conv2d(72, 144, 3, 2, 1),
              GroupedShuffle(144, 6), GroupedShuffle(144, 4)]
    return nn.Sequential(*layers, *classes(144)).eval(), {"x": image(112, batch=3)}


class ResponseNorm(nn.Module):
    """ConvNeXt V2's block, channels last inside: 7 x 7 depthwise, and channels scaled by their share of the norm."""

    def __init__(self, c):
        super().__init__()
        self.mix, self.norm = nn.Conv2d(c, c, 7, padding=3, groups=c), nn.LayerNorm(c, 1e-6)
        self.wide, self.out = nn.Linear(c, 4 * c), nn.Linear(4 * c, c)
        self.scale, self.shift = nn.Parameter(torch.randn(4 * c)), nn.Parameter(torch.randn(4 * c))

    def forward(self, x):
        y = F.gelu(self.wide(self.norm(self.mix(x).permute(0, 2, 3, 1))))
        share = y.norm(dim=(1, 2), keepdim=True)
        y = self.scale * (y * (share / (share.mean(-1, keepdim=True) + 1e-6))) + self.shift + y
        return x + self.out(y).permute(0, 3, 1, 2)


@model("convnext_v2")
def convnext_v2():
    layers = [nn.Conv2d(3, 40, 4, 4), ResponseNorm(40), ResponseNorm(40), nn.Conv2d(40, 80, 2, 2), ResponseNorm(80), ResponseNorm(80),
              nn.Conv2d(80, 160, 2, 2), ResponseNorm(160), ResponseNorm(160)]
    return nn.Sequential(*layers, *classes(160)).eval(), {"x": image(192)}
