"""Images to images: segmentation, super resolution, denoising, style transfer, generation, depth from two views."""
import torch
import torch.nn.functional as F
from torch import nn

from .blocks import conv_norm, image, settle
from .registry import model


@model("lraspp")
def lraspp():
    import torchvision

    class Scores(nn.Module):
        def __init__(self):
            super().__init__()
            self.whole = torchvision.models.segmentation.lraspp_mobilenet_v3_large(weights=None, weights_backbone=None)

        def forward(self, x):
            return self.whole(x)["out"]
    return settle(Scores(), image()), {"x": image()}


@model("segformer")
def segformer():
    from .text import pretrained_form
    import transformers
    config = transformers.SegformerConfig(num_labels=20, depths=[1, 1, 1, 1])
    return pretrained_form(transformers.SegformerForSemanticSegmentation(config), ["pixel_values"]), {"x": image(128)}


class UNet(nn.Module):
    """Three levels of two convolutions, joined across."""

    def __init__(self, c=32):
        super().__init__()
        self.down = nn.ModuleList([self.pair(3, c), self.pair(c, 2 * c), self.pair(2 * c, 4 * c)])
        self.middle = self.pair(4 * c, 8 * c)
        self.up = nn.ModuleList([nn.ConvTranspose2d(8 * c, 4 * c, 2, 2), nn.ConvTranspose2d(4 * c, 2 * c, 2, 2),
                                 nn.ConvTranspose2d(2 * c, c, 4, 2, 1)])
        self.joined = nn.ModuleList([self.pair(8 * c, 4 * c), self.pair(4 * c, 2 * c), self.pair(2 * c, c)])
        self.out = nn.Conv2d(c, 2, 1)

    @staticmethod
    def pair(channels, filters):
        return nn.Sequential(conv_norm(channels, filters), conv_norm(filters, filters))

    def forward(self, x):
        kept = []
        for down in self.down:
            x = down(x)
            kept.append(x)
            x = F.max_pool2d(x, 2)
        x = self.middle(x)
        for up, joined, skip in zip(self.up, self.joined, reversed(kept)):
            x = joined(torch.cat([up(x), skip], 1))
        return self.out(x).softmax(1)


@model("unet")
def unet():
    return settle(UNet(), image(128)), {"x": image(128)}


@model("espcn", open={"x": {2: "h", 3: "w"}})
def espcn():
    widths = [(1, 64, 5), (64, 64, 3), (64, 32, 3)]
    layers = [layer for i, o, k in widths for layer in (nn.Conv2d(i, o, k, padding=k // 2), nn.Tanh())]
    layers += [nn.Conv2d(32, 9, 3, padding=1), nn.PixelShuffle(3), nn.Sigmoid()]
    return nn.Sequential(*layers).eval(), {"x": image(96, channels=1)}


class Denoiser(nn.Module):
    """Residual blocks of group and instance norms; the noise is subtracted."""

    def __init__(self, c=48):
        super().__init__()
        self.first = nn.Conv2d(3, c, 3, padding=1)
        self.blocks = nn.ModuleList([self.block(c) for _ in range(4)])
        self.last = nn.Conv2d(c, 3, 3, padding=1, padding_mode="reflect")

    @staticmethod
    def block(c):
        return nn.Sequential(nn.GroupNorm(8, c), nn.SiLU(), nn.Conv2d(c, c, 3, padding=1), nn.InstanceNorm2d(c, affine=True),
                             nn.GELU(), nn.Conv2d(c, c, 3, padding=1))

    def forward(self, x):
        y = self.first(x)
        for block in self.blocks:
            y = y + block(y)
        return x - self.last(y)


@model("denoiser")
def denoiser():
    return Denoiser().eval(), {"x": image(96)}


def reflected(channels, filters, kernel, stride=1, act=True):
    conv, norm = nn.Conv2d(channels, filters, kernel, stride), nn.InstanceNorm2d(filters, affine=True)
    return nn.Sequential(nn.ReflectionPad2d(kernel // 2), conv, norm, *([nn.ReLU()] if act else []))


class ReflectedResidual(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.body = nn.Sequential(reflected(c, c, 3), reflected(c, c, 3, act=False))

    def forward(self, x):
        return x + self.body(x)


@model("style")
def style():
    """Fast style transfer."""
    encode = [reflected(3, 16, 9), reflected(16, 32, 3, 2), reflected(32, 64, 3, 2)]
    encode += [ReflectedResidual(64), ReflectedResidual(64)]
    decode = [nn.Upsample(scale_factor=2), reflected(64, 32, 3)]
    decode += [nn.Upsample(scale_factor=2, mode="bilinear"), reflected(32, 16, 3)]
    return nn.Sequential(*encode, *decode, nn.ReflectionPad2d(4), nn.Conv2d(16, 3, 9)).eval(), {"x": image(128)}


@model("dcgan")
def dcgan(c=32):
    layers = []
    for channels, filters, stride, pad in ((100, 8 * c, 1, 0), (8 * c, 4 * c, 2, 1), (4 * c, 2 * c, 2, 1), (2 * c, c, 2, 1)):
        layers += [nn.ConvTranspose2d(channels, filters, 4, stride, pad, bias=False), nn.BatchNorm2d(filters), nn.ReLU()]
    noise = torch.randn(1, 100, 1, 1)
    return settle(nn.Sequential(*layers, nn.ConvTranspose2d(c, 3, 4, 2, 1), nn.Tanh()), noise), {"z": noise}


class Stereo(nn.Module):
    """Correlations of one view with the other, shifted by 0 .. 11 pixels; the expected shift."""

    def __init__(self, shifts=12):
        super().__init__()
        self.shifts = shifts
        self.features = nn.Sequential(conv_norm(3, 16, 3, 2), conv_norm(16, 16))
        self.cost = nn.Conv2d(shifts, shifts, 3, padding=1)

    def forward(self, left, right):
        a, b = self.features(left), self.features(right)
        costs = [(a * F.pad(b, (d, 0))[..., :b.shape[-1]]).mean(1) for d in range(self.shifts)]
        share = self.cost(torch.stack(costs, 1)).softmax(1)
        return (share * torch.arange(float(self.shifts))[:, None, None]).sum(1)


@model("stereo_cost")
def stereo():
    return settle(Stereo(), image(96), image(96)), {"left": image(96), "right": image(96)}


class ResidualInTime(nn.Module):
    """Of a diffusion model: the time's embedding is added between two convolutions."""

    def __init__(self, channels, filters):
        super().__init__()
        self.norm1, self.conv1 = nn.GroupNorm(16, channels), nn.Conv2d(channels, filters, 3, padding=1)
        self.time = nn.Linear(128, filters)
        self.norm2, self.conv2 = nn.GroupNorm(16, filters), nn.Conv2d(filters, filters, 3, padding=1)
        self.skip = nn.Conv2d(channels, filters, 1) if channels != filters else nn.Identity()

    def forward(self, x, time):
        y = self.conv1(F.silu(self.norm1(x))) + self.time(F.silu(time))[:, :, None, None]
        return self.skip(x) + self.conv2(F.silu(self.norm2(y)))


class ImageAttention(nn.Module):
    """Attention among the pixels, then to a text."""

    def __init__(self, c, heads=4, text=96):
        super().__init__()
        self.heads, self.norm1, self.norm2 = heads, nn.GroupNorm(16, c), nn.LayerNorm(c)
        self.qkv, self.out1 = nn.Linear(c, 3 * c), nn.Linear(c, c)
        self.q, self.kv, self.out2 = nn.Linear(c, c), nn.Linear(text, 2 * c), nn.Linear(c, c)

    def attend(self, q, k, v):
        b, _, c = q.shape
        q, k, v = (t.reshape(b, -1, self.heads, c // self.heads).transpose(1, 2) for t in (q, k, v))
        return F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(b, -1, c)

    def forward(self, x, text):
        y = self.norm1(x).flatten(2).transpose(1, 2)
        y = y + self.out1(self.attend(*self.qkv(y).chunk(3, -1)))
        y = y + self.out2(self.attend(self.q(self.norm2(y)), *self.kv(text).chunk(2, -1)))
        return x + y.transpose(1, 2).reshape(x.shape)


class DiffusionUNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.last = nn.Conv2d(4, 64, 3, padding=1), nn.Conv2d(64, 4, 3, padding=1)
        self.block1, self.attention1 = ResidualInTime(64, 64), ImageAttention(64)
        self.down, self.up = nn.Conv2d(64, 64, 3, 2, 1), nn.Conv2d(128, 128, 3, padding=1)
        self.block2, self.attention2 = ResidualInTime(64, 128), ImageAttention(128)
        self.block3, self.time = ResidualInTime(192, 64), nn.Linear(64, 128)
        self.register_buffer("frequencies", torch.exp(-torch.arange(32.0) * 0.3))

    def forward(self, x, t, text):
        angle = t[:, None].float() * self.frequencies
        time = self.time(torch.cat([angle.sin(), angle.cos()], 1))
        high = self.attention1(self.block1(self.first(x), time), text)
        low = self.attention2(self.block2(self.down(high), time), text)
        low = self.up(F.interpolate(low, scale_factor=2.0))
        return self.last(F.silu(self.block3(torch.cat([low, high], 1), time)))


@model("sd_unet")
def diffusion():
    inputs = {"x": image(32, channels=4), "t": torch.tensor([17]), "ctx": torch.randn(1, 20, 96)}
    return DiffusionUNet().eval(), inputs
