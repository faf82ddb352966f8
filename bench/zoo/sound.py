"""Sound: spectra, classifiers and features of waves, encoders of speech, a vocoder."""
import math

import torch
import torch.nn.functional as F
from torch import nn

from .blocks import settle
from .registry import model


@model("conv1d", traced=17, open={"x": {0: "batch"}})
def wave_classifier():
    layers = []
    for channels, filters, kernel, stride in ((1, 32, 80, 4), (32, 32, 3, 1), (32, 64, 3, 1), (64, 64, 3, 1)):
        layers += [nn.Conv1d(channels, filters, kernel, stride), nn.BatchNorm1d(filters), nn.ReLU(), nn.MaxPool1d(4)]
    layers[-1] = nn.AdaptiveAvgPool1d(1)
    x = torch.randn(1, 1, 8000)
    return settle(nn.Sequential(*layers, nn.Flatten(), nn.Linear(64, 35), nn.LogSoftmax(-1)), x), {"x": x}


class WaveFeatures(nn.Module):
    """wav2vec's: strided convolutions with norms, then a grouped one for positions."""

    def __init__(self, c=128):
        super().__init__()
        shapes = [(1, 10, 5), *[(c, 3, 2)] * 4, (c, 2, 2)]
        self.convs = nn.ModuleList([nn.Conv1d(i, c, kernel, stride, bias=False) for i, kernel, stride in shapes])
        self.norm = nn.GroupNorm(c, c)
        self.norms = nn.ModuleList([nn.LayerNorm(c) for _ in shapes[1:]])
        self.position = nn.Conv1d(c, c, 32, padding=16, groups=16)

    def forward(self, x):
        x = F.gelu(self.norm(self.convs[0](x[:, None])))
        for conv, norm in zip(self.convs[1:], self.norms):
            x = F.gelu(norm(conv(x).transpose(1, 2)).transpose(1, 2))
        return (x + F.gelu(self.position(x)[:, :, :-1])).transpose(1, 2)


@model("wav2vec_feat", traced=17, open={"x": {1: "n"}})
def wave_features():
    return WaveFeatures().eval(), {"x": torch.randn(1, 8000)}


class MelSpectrum(nn.Module):
    """A short-time Fourier transform by convolutions, as Whisper's front end wants it."""

    def __init__(self, n=400, hop=160, bands=80):
        super().__init__()
        window, bins = torch.hann_window(n), n // 2 + 1
        angle = torch.arange(bins)[:, None] * torch.arange(n)[None] * (2 * math.pi / n)
        self.hop = hop
        self.register_buffer("cosines", (angle.cos() * window)[:, None])
        self.register_buffer("sines", (-angle.sin() * window)[:, None])
        self.register_buffer("bands", torch.rand(bands, bins) * (torch.rand(bands, bins) > 0.9))

    def forward(self, x):
        x = F.pad(x[:, None], (200, 200), mode="reflect")
        power = F.conv1d(x, self.cosines, stride=self.hop) ** 2 + F.conv1d(x, self.sines, stride=self.hop) ** 2
        y = torch.clamp(self.bands @ power, min=1e-10).log10()
        y = torch.maximum(y, y.amax((1, 2), keepdim=True) - 8.0)
        return (y + 4) / 4


@model("stft_mel", traced=17)
def mel_spectrum():
    return MelSpectrum().eval(), {"x": torch.randn(1, 16000)}


class Whisper(nn.Module):
    def __init__(self, whole):
        super().__init__()
        self.whole = whole

    def forward(self, mel):
        return self.whole(mel)[0]


@model("whisper_enc")
def whisper():
    import transformers
    config = transformers.WhisperConfig(d_model=384, encoder_layers=2, encoder_attention_heads=6, encoder_ffn_dim=1536,
                                        decoder_layers=1, max_source_positions=500)
    return Whisper(transformers.WhisperModel(config).encoder.eval()).eval(), {"mel": torch.randn(1, 80, 1000)}


class Conformer(nn.Module):
    """Half a feed forward, attention, a gated depthwise convolution, half a feed forward."""

    def __init__(self, d=144, heads=4):
        super().__init__()
        self.heads = heads
        self.before, self.after = self.feed_forward(d), self.feed_forward(d)
        self.norms = nn.ModuleList([nn.LayerNorm(d) for _ in range(3)])
        self.qkv, self.out = nn.Linear(d, 3 * d), nn.Linear(d, d)
        self.gated, self.pointwise = nn.Conv1d(d, 2 * d, 1), nn.Conv1d(d, d, 1)
        self.depthwise, self.batch_norm = nn.Conv1d(d, d, 31, padding=15, groups=d), nn.BatchNorm1d(d)

    @staticmethod
    def feed_forward(d):
        return nn.Sequential(nn.LayerNorm(d), nn.Linear(d, 4 * d), nn.SiLU(), nn.Linear(4 * d, d))

    def attend(self, x):
        b, n, d = x.shape
        q, k, v = self.qkv(x).view(b, n, 3, self.heads, d // self.heads).permute(2, 0, 3, 1, 4)
        return self.out(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(b, n, d))

    def convolve(self, x):
        y = F.glu(self.gated(x.transpose(1, 2)), 1)
        return self.pointwise(F.silu(self.batch_norm(self.depthwise(y)))).transpose(1, 2)

    def forward(self, x):
        x = x + 0.5 * self.before(x)
        x = x + self.attend(self.norms[0](x))
        x = x + self.convolve(self.norms[1](x))
        return self.norms[2](x + 0.5 * self.after(x))


@model("conformer")
def conformer():
    x = torch.randn(1, 100, 144)
    return settle(nn.Sequential(Conformer(), Conformer()), x), {"x": x}


class Dilated(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.convs = nn.ModuleList([nn.Conv1d(c, c, 3, padding=d, dilation=d) for d in (1, 3, 5)])

    def forward(self, x):
        for conv in self.convs:
            x = x + conv(F.leaky_relu(x, 0.1))
        return x


class Vocoder(nn.Module):
    """HiFi-GAN's generator: transposed convolutions up to samples, dilated residuals between."""

    def __init__(self):
        super().__init__()
        widths = (128, 64, 32, 16)
        shapes = [(128, 64, 16, 8, 4), (64, 32, 16, 8, 4), (32, 16, 4, 2, 1)]
        self.first, self.last = nn.Conv1d(80, widths[0], 7, padding=3), nn.Conv1d(widths[-1], 1, 7, padding=3)
        self.ups = nn.ModuleList([nn.ConvTranspose1d(*shape) for shape in shapes])
        self.residuals = nn.ModuleList([Dilated(c) for c in widths[1:]])

    def forward(self, mel):
        x = self.first(mel)
        for up, residual in zip(self.ups, self.residuals):
            x = residual(up(F.leaky_relu(x, 0.1)))
        return torch.tanh(self.last(F.leaky_relu(x)))


@model("hifigan")
def vocoder():
    return Vocoder().eval(), {"mel": torch.randn(1, 80, 50)}
