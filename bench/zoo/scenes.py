"""Dense predictions: segmentation, detection, poses, text in pictures, super resolution; large and odd sizes, open heights and widths."""
import torch
import torch.nn.functional as F
from torch import nn

from .blocks import conv_norm, image, settle
from .edge import Inverted, depthwise
from .registry import model


def scaled(x, like, mode="bilinear"):
    return F.interpolate(x, size=like.shape[2:], mode=mode, **({"align_corners": False} if mode == "bilinear" else {}))


class Dilated(nn.Module):
    """DeepLab's head: one feature map under several dilations, and its mean."""

    def __init__(self, channels, filters, rates=(6, 12, 18)):
        super().__init__()
        convs = [nn.Conv2d(channels, filters, 3, padding=r, dilation=r, bias=False) for r in rates]
        self.branches = nn.ModuleList([conv_norm(channels, filters, 1)] +
                                      [nn.Sequential(c, nn.BatchNorm2d(filters), nn.ReLU()) for c in convs])
        self.mean, self.join = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(channels, filters, 1), nn.ReLU()), conv_norm(5 * filters, filters, 1)

    def forward(self, x):
        mean = self.mean(x).expand(-1, -1, *x.shape[2:])
        return self.join(torch.cat([*(branch(x) for branch in self.branches), mean], 1))


class DeepLab(nn.Module):
    def __init__(self):
        super().__init__()
        self.low = nn.Sequential(conv_norm(3, 16, 3, 2, nn.ReLU6), Inverted(16, 24, 2, act=nn.ReLU6))
        self.high = nn.Sequential(Inverted(24, 40, 2, act=nn.ReLU6), Inverted(40, 80, act=nn.ReLU6), Dilated(80, 64))
        self.skip, self.last = conv_norm(24, 16, 1), nn.Sequential(conv_norm(80, 64), nn.Conv2d(64, 21, 1))

    def forward(self, x):
        low = self.low(x)
        y = torch.cat([scaled(self.high(low), low), self.skip(low)], 1)
        return scaled(self.last(y), x).argmax(1)


@model("deeplab")
def deeplab():
    return settle(DeepLab(), image(225)), {"x": image(225)}


class Residual(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.body = nn.Sequential(conv_norm(c, c), conv_norm(c, c, act=nn.Identity))

    def forward(self, x):
        return F.relu(x + self.body(x))


class HighResolution(nn.Module):
    """HRNet: three resolutions side by side, each the sum of all, twice; heat maps of 17 joints."""

    def __init__(self, c=(18, 36, 72)):
        super().__init__()
        self.stem = nn.Sequential(conv_norm(3, 32, 3, 2), conv_norm(32, c[0], 3, 2))
        self.down = nn.ModuleList([conv_norm(c[0], c[1], 3, 2), conv_norm(c[1], c[2], 3, 2)])
        self.blocks = nn.ModuleList([nn.ModuleList([nn.Sequential(Residual(w), Residual(w)) for w in c]) for _ in range(2)])
        self.paths = nn.ModuleList([nn.ModuleList([nn.ModuleList([self.path(c, i, j) for j in range(3)]) for i in range(3)]) for _ in range(2)])
        self.last = nn.Conv2d(c[0], 17, 1)

    @staticmethod
    def path(c, i, j):
        if j > i:
            return nn.Sequential(conv_norm(c[j], c[i], 1, 1, nn.Identity), nn.Upsample(scale_factor=2 ** (j - i)))
        steps = [conv_norm(c[j], c[i] if s == i - j - 1 else c[j], 3, 2, nn.Identity) for s in range(i - j)]
        return nn.Sequential(*steps)

    def forward(self, x):
        x = [self.stem(x)]
        for down in self.down:
            x.append(down(x[-1]))
        for blocks, paths in zip(self.blocks, self.paths):
            x = [block(y) for block, y in zip(blocks, x)]
            x = [F.relu(sum(path(y) for path, y in zip(row, x))) for row in paths]
        return self.last(x[0])


@model("hrnet", open={"x": {0: "batch"}})
def hrnet():
    return settle(HighResolution(), torch.randn(1, 3, 256, 192)), {"x": torch.randn(1, 3, 256, 192)}


class NestedU(nn.Module):
    """U2Net's block: a U of convolutions with a dilated one at the bottom, added to its input."""

    def __init__(self, channels, middle, filters, depth):
        super().__init__()
        self.first = conv_norm(channels, filters)
        self.down = nn.ModuleList([conv_norm(filters if i == 0 else middle, middle) for i in range(depth)])
        bottom = nn.Conv2d(middle, middle, 3, padding=2, dilation=2, bias=False)
        self.bottom = nn.Sequential(bottom, nn.BatchNorm2d(middle), nn.ReLU())
        self.up = nn.ModuleList([conv_norm(2 * middle, filters if i == 0 else middle) for i in range(depth)])

    def forward(self, x):
        x = y = self.first(x)
        kept = []
        for i, down in enumerate(self.down):
            y = down(F.max_pool2d(y, 2, 2, ceil_mode=True) if i else y)
            kept.append(y)
        y = self.bottom(y)
        for up, skip in zip(reversed(self.up), reversed(kept)):
            y = up(torch.cat([scaled(y, skip), skip], 1))
        return x + y


class Saliency(nn.Module):
    def __init__(self):
        super().__init__()
        self.down = nn.ModuleList([NestedU(3, 16, 32, 4), NestedU(32, 16, 32, 3), NestedU(32, 16, 32, 2)])
        self.up = nn.ModuleList([NestedU(64, 16, 32, 3), NestedU(64, 16, 32, 4)])
        self.sides = nn.ModuleList([nn.Conv2d(32, 1, 3, padding=1) for _ in range(3)])
        self.last = nn.Conv2d(3, 1, 1)

    def forward(self, x):
        a = self.down[0](x)
        b = self.down[1](F.max_pool2d(a, 2, 2, ceil_mode=True))
        c = self.down[2](F.max_pool2d(b, 2, 2, ceil_mode=True))
        b = self.up[0](torch.cat([scaled(c, b), b], 1))
        a = self.up[1](torch.cat([scaled(b, a), a], 1))
        sides = [scaled(side(y), x) for side, y in zip(self.sides, (a, b, c))]
        return torch.sigmoid(self.last(torch.cat(sides, 1)))


@model("u2net")
def u2net():
    return settle(Saliency(), image(160)), {"x": image(160)}


def separable(c, act=nn.SiLU):
    conv = nn.Conv2d(c, c, 3, padding=1, groups=c, bias=False)
    return nn.Sequential(conv, nn.Conv2d(c, c, 1), nn.BatchNorm2d(c), act())


class WeightedPyramid(nn.Module):
    """EfficientDet's BiFPN: levels joined by weights that add up to 1, upwards by nearest neighbours, downwards by pools."""

    def __init__(self, c):
        super().__init__()
        self.convs = nn.ModuleList([separable(c) for _ in range(5)])
        self.weights = nn.Parameter(torch.rand(5, 3))

    def joined(self, i, *levels):
        weight = F.relu(self.weights[i, :len(levels)])
        weight = weight / (weight.sum() + 1e-4)
        return self.convs[i](F.silu(sum(weight[j] * level for j, level in enumerate(levels))))

    def forward(self, a, b, c):
        b1 = self.joined(0, b, F.interpolate(c, scale_factor=2))
        a1 = self.joined(1, a, F.interpolate(b1, scale_factor=2))
        b2 = self.joined(2, b, b1, F.max_pool2d(a1, 3, 2, 1))
        return a1, b2, self.joined(3, c, F.max_pool2d(b2, 3, 2, 1))


class EfficientDet(nn.Module):
    def __init__(self, c=64):
        super().__init__()
        self.stem = nn.Sequential(conv_norm(3, 16, 3, 2, nn.SiLU), Inverted(16, 24, 2, act=nn.SiLU))
        self.stages = nn.ModuleList([Inverted(24, 40, 2, act=nn.SiLU), Inverted(40, 80, 2, act=nn.SiLU), Inverted(80, 160, 2, act=nn.SiLU)])
        self.lateral = nn.ModuleList([conv_norm(i, c, 1, 1, nn.Identity) for i in (40, 80, 160)])
        self.pyramids = nn.ModuleList([WeightedPyramid(c), WeightedPyramid(c)])
        self.classes, self.boxes = (nn.Sequential(separable(c), separable(c), nn.Conv2d(c, n, 1)) for n in (9 * 20, 9 * 4))

    def forward(self, x):
        x, levels = self.stem(x), []
        for stage, lateral in zip(self.stages, self.lateral):
            x = stage(x)
            levels.append(lateral(x))
        for pyramid in self.pyramids:
            levels = pyramid(*levels)

        def flat(y, n):
            return y.permute(0, 2, 3, 1).reshape(y.shape[0], -1, n)
        scores = torch.cat([flat(self.classes(y), 20) for y in levels], 1)
        return scores.sigmoid(), torch.cat([flat(self.boxes(y), 4) for y in levels], 1)


@model("efficientdet", traced=17)
def efficientdet():
    return settle(EfficientDet(), image(320)), {"x": image(320)}


class Retina(nn.Module):
    """A pyramid by nearest neighbours with heads of four 3 x 3 convolutions; height and width are open."""

    def __init__(self, c=64):
        super().__init__()
        self.stem = nn.Sequential(conv_norm(3, 32, 7, 2), nn.MaxPool2d(3, 2, 1), Residual(32))
        self.stages = nn.ModuleList([nn.Sequential(conv_norm(i, o, 3, 2), Residual(o)) for i, o in ((32, 64), (64, 128), (128, 256))])
        self.lateral = nn.ModuleList([nn.Conv2d(i, c, 1) for i in (64, 128, 256)])
        self.smooth = nn.ModuleList([nn.Conv2d(c, c, 3, padding=1) for _ in range(3)])
        self.head = nn.Sequential(*(nn.Sequential(nn.Conv2d(c, c, 3, padding=1), nn.ReLU()) for _ in range(2)), nn.Conv2d(c, 24, 3, padding=1))

    def forward(self, x):
        x, levels = self.stem(x), []
        for stage, lateral in zip(self.stages, self.lateral):
            x = stage(x)
            levels.append(lateral(x))
        for i in (1, 0):
            levels[i] = levels[i] + scaled(levels[i + 1], levels[i], "nearest")
        heads = [self.head(smooth(y)) for smooth, y in zip(self.smooth, levels)]
        return torch.cat([y.flatten(2) for y in heads], 2)


@model("retina_dyn", traced=17, open={"x": {0: "batch", 2: "h", 3: "w"}})
def retina():
    return settle(Retina(), image(333)), {"x": image(333)}


@model("decoder_odd")
def decoder():
    """Transposed convolutions of odd strides, pads and kernels."""
    rows = [(64, 48, 3, 2, 1, 1), (48, 32, 5, 3, 1, 0), (32, 24, 4, 2, 1, 0), (24, 16, 2, 2, 0, 0)]
    layers = [x for i, o, k, s, p, op in rows for x in (nn.ConvTranspose2d(i, o, k, s, p, op), nn.LeakyReLU(0.1))]
    return nn.Sequential(*layers, nn.Conv2d(16, 3, 3, padding=1), nn.Tanh()).eval(), {"x": image(9, channels=64)}


@model("super_compact", open={"x": {2: "h", 3: "w"}})
def super_resolution():
    """Real-ESRGAN's compact net: 3 x 3 convolutions with PReLU, four times the size, added to the nearest neighbours."""
    class Compact(nn.Module):
        def __init__(self, c=32):
            super().__init__()
            layers = [x for i in range(5) for x in (nn.Conv2d(c if i else 3, c, 3, padding=1), nn.PReLU(c))]
            self.body = nn.Sequential(*layers, nn.Conv2d(c, 48, 3, padding=1), nn.PixelShuffle(4))

        def forward(self, x):
            return self.body(x) + F.interpolate(x, scale_factor=4, mode="nearest")
    return Compact().eval(), {"x": torch.randn(1, 3, 120, 160)}


@model("srcnn", traced=17)
def srcnn():
    layers = [nn.Conv2d(3, 32, 9, padding=4), nn.ReLU(), nn.Conv2d(32, 16, 1), nn.ReLU(), nn.Conv2d(16, 3, 5, padding=2)]
    return nn.Sequential(*layers).eval(), {"x": image(200)}


class FastScenes(nn.Module):
    """Fast-SCNN of a picture of full height: strided separable convolutions first, one deep path, one shallow."""

    def __init__(self):
        super().__init__()
        self.low = nn.Sequential(conv_norm(3, 16, 3, 2), depthwise(16, 3, 2), conv_norm(16, 24, 1), depthwise(24, 3, 2), conv_norm(24, 32, 1))
        self.deep = nn.Sequential(Inverted(32, 48, 2), Inverted(48, 48), Inverted(48, 64, 2), Inverted(64, 64))
        self.pools = nn.ModuleList([nn.Sequential(nn.AdaptiveAvgPool2d(n), conv_norm(64, 16, 1)) for n in (1, 2)])
        self.join, self.high, self.skip = conv_norm(96, 64, 1), conv_norm(64, 64, 1, 1, nn.Identity), conv_norm(32, 64, 1, 1, nn.Identity)
        self.last = nn.Sequential(depthwise(64), conv_norm(64, 64, 1), nn.Conv2d(64, 19, 1))

    def forward(self, x):
        low = self.low(x)
        deep = self.deep(low)
        deep = self.join(torch.cat([deep, *(scaled(pool(deep), deep) for pool in self.pools)], 1))
        return scaled(self.last(F.relu(self.high(scaled(deep, low)) + self.skip(low))), x)


@model("fast_scnn")
def fast_scnn():
    return settle(FastScenes(), torch.randn(1, 3, 270, 480)), {"x": torch.randn(1, 3, 540, 960)}


class Focus(nn.Module):
    """YOLOX: four pixels become channels, CSP stages, SPP of pools 5, 9 and 13; one head."""

    def __init__(self, c=24):
        super().__init__()
        self.first = conv_norm(12, c, 3, 1, nn.SiLU)
        self.stages = nn.Sequential(conv_norm(c, 2 * c, 3, 2, nn.SiLU), Inverted(2 * c, 2 * c, grow=1, act=nn.SiLU),
                                    conv_norm(2 * c, 4 * c, 3, 2, nn.SiLU), Inverted(4 * c, 4 * c, grow=1, act=nn.SiLU),
                                    conv_norm(4 * c, 8 * c, 3, 2, nn.SiLU), conv_norm(8 * c, 4 * c, 1, 1, nn.SiLU))
        self.join = conv_norm(16 * c, 8 * c, 1, 1, nn.SiLU)
        self.head = nn.Sequential(conv_norm(8 * c, 64, 3, 1, nn.SiLU), nn.Conv2d(64, 85, 1))

    def forward(self, x):
        x = torch.cat([x[..., ::2, ::2], x[..., 1::2, ::2], x[..., ::2, 1::2], x[..., 1::2, 1::2]], 1)
        x = self.stages(self.first(x))
        y = self.head(self.join(torch.cat([x, *(F.max_pool2d(x, k, 1, k // 2) for k in (5, 9, 13))], 1)))
        return torch.cat([y[:, :4], y[:, 4:].sigmoid()], 1).flatten(2).transpose(1, 2)


@model("yolox", open={"x": {0: "batch"}})
def yolox():
    return settle(Focus(), image(416)), {"x": image(416)}


@model("yolo_tiny", traced=13)
def yolo_tiny():
    """Leaky ReLU, a pool after each convolution, the last of stride 1 with the last pixel repeated; 640 x 640."""
    layers, before = [], 3
    for i, c in enumerate((8, 16, 32, 64, 128, 256)):
        pool = nn.MaxPool2d(2, 2) if i < 5 else nn.Sequential(nn.ReplicationPad2d((0, 1, 0, 1)), nn.MaxPool2d(2, 1))
        layers += [conv_norm(before, c, act=lambda: nn.LeakyReLU(0.1)), pool]
        before = c
    layers += [conv_norm(256, 256, act=lambda: nn.LeakyReLU(0.1)), nn.Conv2d(256, 75, 1)]
    return settle(nn.Sequential(*layers), image(320)), {"x": image(640)}


class Hourglass(nn.Module):
    def __init__(self, c, depth):
        super().__init__()
        self.skip, self.low = Residual(c), Residual(c)
        self.inner = Hourglass(c, depth - 1) if depth > 1 else Residual(c)

    def forward(self, x):
        low = self.inner(self.low(F.max_pool2d(x, 2)))
        return self.skip(x) + F.interpolate(low, scale_factor=2)


@model("hourglass")
def hourglass():
    layers = [conv_norm(3, 32, 7, 2), conv_norm(32, 48, 3, 2), Hourglass(48, 3), nn.Conv2d(48, 16, 1)]
    return settle(nn.Sequential(*layers), image()), {"x": image()}


class TextInPictures(nn.Module):
    """DBNet: a pyramid of a quarter of the size, then two transposed convolutions to one channel; height and width open."""

    def __init__(self, c=24):
        super().__init__()
        self.stem = nn.Sequential(conv_norm(3, 8, 3, 2, nn.Hardswish), Inverted(8, 16, 2))
        self.stages = nn.ModuleList([Inverted(16, 24, 2), Inverted(24, 48, 2)])
        self.lateral = nn.ModuleList([nn.Conv2d(i, c, 1, bias=False) for i in (16, 24, 48)])
        self.smooth = nn.ModuleList([nn.Conv2d(c, c // 3, 3, padding=1, bias=False) for _ in range(3)])
        up = [nn.ConvTranspose2d(c, c, 2, 2), nn.BatchNorm2d(c), nn.ReLU(), nn.ConvTranspose2d(c, 1, 2, 2), nn.Sigmoid()]
        self.head = nn.Sequential(conv_norm(c, c), *up)

    def forward(self, x):
        levels = [self.stem(x)]
        for stage in self.stages:
            levels.append(stage(levels[-1]))
        levels = [lateral(y) for lateral, y in zip(self.lateral, levels)]
        for i in (1, 0):
            levels[i] = levels[i] + scaled(levels[i + 1], levels[i], "nearest")
        return self.head(torch.cat([scaled(smooth(y), levels[0], "nearest") for smooth, y in zip(self.smooth, levels)], 1))


@model("text_detector", traced=17, open={"x": {2: "h", 3: "w"}})
def text_detector():
    return settle(TextInPictures(), torch.randn(1, 3, 224, 320)), {"x": torch.randn(1, 3, 224, 320)}


@model("pix2pix", traced=17)
def pix2pix():
    """Strided 4 x 4 convolutions and back, with instance norms."""
    layers, before = [], 3
    for c in (32, 64, 128, 128):
        layers += [nn.Conv2d(before, c, 4, 2, 1), nn.InstanceNorm2d(c, affine=True), nn.LeakyReLU(0.2)]
        before = c
    for c in (128, 64, 32):
        layers += [nn.ConvTranspose2d(before, c, 4, 2, 1), nn.InstanceNorm2d(c, affine=True), nn.ReLU()]
        before = c
    return nn.Sequential(*layers, nn.ConvTranspose2d(32, 3, 4, 2, 1), nn.Tanh()).eval(), {"x": image(128)}


class Blaze(nn.Module):
    """BlazeFace: 5 x 5 depthwise, a shortcut that is pooled and padded with empty channels."""

    def __init__(self, channels, filters, stride=1):
        super().__init__()
        self.stride, self.empty = stride, filters - channels
        self.body = nn.Sequential(nn.Conv2d(channels, channels, 5, stride, 2, groups=channels), nn.Conv2d(channels, filters, 1))

    def forward(self, x):
        short = F.max_pool2d(x, 2) if self.stride > 1 else x
        return F.relu(self.body(x) + F.pad(short, (0, 0, 0, 0, 0, self.empty)))


class BlazeFace(nn.Module):
    def __init__(self):
        super().__init__()
        rows = [(24, 24), (24, 28), (28, 32, 2), (32, 36), (36, 42), (42, 48, 2), (48, 56), (56, 64), (64, 72), (72, 80), (80, 88)]
        self.first = nn.Sequential(nn.Conv2d(3, 24, 5, 2, 2), nn.ReLU(), *(Blaze(*row) for row in rows))
        self.second = nn.Sequential(Blaze(88, 96, 2), *(Blaze(96, 96) for _ in range(4)))
        self.heads = nn.ModuleList([nn.Conv2d(88, 2, 1), nn.Conv2d(96, 6, 1), nn.Conv2d(88, 32, 1), nn.Conv2d(96, 96, 1)])

    def forward(self, x):
        a = self.first(x)
        b = self.second(a)
        y = [head(z).permute(0, 2, 3, 1) for head, z in zip(self.heads, (a, b, a, b))]
        scores = torch.cat([y[0].reshape(x.shape[0], -1, 1), y[1].reshape(x.shape[0], -1, 1)], 1)
        return scores.sigmoid(), torch.cat([y[2].reshape(x.shape[0], -1, 16), y[3].reshape(x.shape[0], -1, 16)], 1)


@model("blazeface", open={"x": {0: "batch"}})
def blazeface():
    return BlazeFace().eval(), {"x": image(128)}


class Simple(nn.Module):
    """NAFNet: layer norms over channels, halves multiplied instead of activations, a gate of means."""

    def __init__(self, c):
        super().__init__()
        self.scale, self.shift = nn.Parameter(torch.ones(2, c, 1, 1)), nn.Parameter(torch.zeros(2, c, 1, 1))
        self.wide, self.mix = nn.Conv2d(c, 2 * c, 1), nn.Conv2d(2 * c, 2 * c, 3, padding=1, groups=2 * c)
        self.gate, self.out = nn.Conv2d(c, c, 1), nn.Conv2d(c, c, 1)
        self.wide2, self.out2 = nn.Conv2d(c, 2 * c, 1), nn.Conv2d(c, c, 1)

    def norm(self, x, i):
        mean = x.mean(1, keepdim=True)
        return (x - mean) / (((x - mean) ** 2).mean(1, keepdim=True) + 1e-6).sqrt() * self.scale[i] + self.shift[i]

    def forward(self, x):
        a, b = self.mix(self.wide(self.norm(x, 0))).chunk(2, 1)
        y = a * b
        x = x + self.out(y * self.gate(y.mean((2, 3), keepdim=True)))
        a, b = self.wide2(self.norm(x, 1)).chunk(2, 1)
        return x + self.out2(a * b)


@model("nafnet")
def nafnet():
    down, up = nn.Conv2d(24, 48, 2, 2), nn.Sequential(nn.Conv2d(48, 96, 1, bias=False), nn.PixelShuffle(2))
    layers = [nn.Conv2d(3, 24, 3, padding=1), Simple(24), down, Simple(48), Simple(48), up, Simple(24), nn.Conv2d(24, 3, 3, padding=1)]
    return nn.Sequential(*layers).eval(), {"x": image(128)}
