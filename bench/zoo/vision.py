"""Vision with other parts than a convolutional classifier's: attention, mixing, norms over channels, sampling, volumes."""
import torch
import torch.nn.functional as F
from torch import nn

from .blocks import conv_norm, image, settle
from .registry import model
from .text import pretrained_form


@model("mobilevit")
def mobilevit():
    import transformers
    config = transformers.MobileViTConfig(image_size=128, num_labels=10)
    module = pretrained_form(transformers.MobileViTForImageClassification(config), ["pixel_values"])
    return settle(module, image(128)), {"x": image(128)}


@model("deit", open={"x": {0: "batch"}})
def deit():
    import transformers
    config = transformers.DeiTConfig(image_size=112, hidden_size=192, num_hidden_layers=4, num_attention_heads=3,
                                     intermediate_size=768)
    return pretrained_form(transformers.DeiTModel(config), ["pixel_values"]), {"x": image(112)}


class Mixer(nn.Module):
    def __init__(self, d=128, patches=64, layers=4):
        super().__init__()
        self.patches = nn.Conv2d(3, d, 16, 16)
        self.across = nn.ModuleList([self.mlp(patches, 64) for _ in range(layers)])
        self.within = nn.ModuleList([self.mlp(d, 512) for _ in range(layers)])
        self.norms = nn.ModuleList([nn.LayerNorm(d) for _ in range(2 * layers)])
        self.head = nn.Linear(d, 10)

    @staticmethod
    def mlp(width, hidden):
        return nn.Sequential(nn.Linear(width, hidden), nn.GELU(), nn.Linear(hidden, width))

    def forward(self, x):
        x = self.patches(x).flatten(2).transpose(1, 2)
        for i, (across, within) in enumerate(zip(self.across, self.within)):
            x = x + across(self.norms[2 * i](x).transpose(1, 2)).transpose(1, 2)
            x = x + within(self.norms[2 * i + 1](x))
        return self.head(x.mean(1))


@model("mixer")
def mixer():
    return Mixer().eval(), {"x": image(128)}


class ChannelAndSpace(nn.Module):
    """CBAM: gates of channels from means and maxima over pixels, then of pixels from those over channels."""

    def __init__(self, c):
        super().__init__()
        self.conv = conv_norm(c, c)
        self.gate = nn.Sequential(nn.Linear(c, c // 8), nn.ReLU(), nn.Linear(c // 8, c))
        self.space = nn.Conv2d(2, 1, 7, padding=3)

    def forward(self, x):
        x = self.conv(x)
        x = x * torch.sigmoid(self.gate(x.mean((2, 3))) + self.gate(x.amax((2, 3))))[:, :, None, None]
        return x * torch.sigmoid(self.space(torch.cat([x.mean(1, keepdim=True), x.amax(1, keepdim=True)], 1)))


@model("cbam_se")
def cbam():
    layers = [conv_norm(3, 32, 3, 2), ChannelAndSpace(32), conv_norm(32, 64, 3, 2), ChannelAndSpace(64)]
    module = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10))
    return settle(module, image(112)), {"x": image(112)}


class ChannelNorm(nn.Module):
    """A layer norm over the channels of NCHW, spelt out as ConvNeXt's authors do."""

    def __init__(self, c):
        super().__init__()
        self.scale, self.shift = nn.Parameter(torch.ones(c)), nn.Parameter(torch.zeros(c))

    def forward(self, x):
        mean = x.mean(1, keepdim=True)
        variance = (x - mean).pow(2).mean(1, keepdim=True)
        return (x - mean) / torch.sqrt(variance + 1e-6) * self.scale[:, None, None] + self.shift[:, None, None]


@model("pixelnorm_nchw_ln")
def channel_norms():
    def block(c):
        wide = [nn.Conv2d(c, 4 * c, 1), nn.GELU(), nn.Conv2d(4 * c, c, 1)]
        return [nn.Conv2d(c, c, 7, padding=3, groups=c), ChannelNorm(c), *wide]
    layers = [nn.Conv2d(3, 48, 4, 4), ChannelNorm(48), *block(48), *block(48), nn.Conv2d(48, 96, 2, 2), *block(96)]
    return nn.Sequential(*layers).eval(), {"x": image(128)}


class Warp(nn.Module):
    """Samples its input where a convolution of it says."""

    def __init__(self):
        super().__init__()
        line = torch.linspace(-1, 1, 64)
        self.offset = nn.Conv2d(8, 2, 3, padding=1)
        self.register_buffer("grid", torch.stack(torch.meshgrid(line, line, indexing="xy"), -1)[None])

    def forward(self, x):
        return F.grid_sample(x, self.grid + 0.1 * self.offset(x).permute(0, 2, 3, 1), align_corners=True)


@model("grid_sample", traced=17)
def warp():
    return Warp().eval(), {"x": image(64, channels=8)}


@model("conv3d")
def volumes():
    layers = []
    for i, (channels, filters) in enumerate(((3, 16), (16, 32), (32, 64))):
        layers += [nn.Conv3d(channels, filters, 3, 1, 1, bias=False), nn.BatchNorm3d(filters), nn.ReLU()]
        layers += [nn.MaxPool3d(2)] if i < 2 else []
    module, x = nn.Sequential(*layers, nn.AdaptiveAvgPool3d(1), nn.Flatten(), nn.Linear(64, 10)), torch.randn(1, 3, 8, 56, 56)
    return settle(module, x), {"x": x}
