"""Further architectures, each for a part that the other files lack: gates over skips, a recurrence as a loop, routed experts,
softmax over the edges of a graph, a dense head over tokens, top cells instead of suppression, shuffled groups, filters that are
computed, a codebook."""
import torch
import torch.nn.functional as F
from torch import nn

from .blocks import conv_norm, image, settle, tokens
from .detectors import Yolo
from .registry import model


class SkipGate(nn.Module):
    """Attention U-Net: what comes from below says where the skip counts."""

    def __init__(self, c, below):
        super().__init__()
        self.skip, self.gate, self.score = nn.Conv2d(c, c // 2, 1), nn.Conv2d(below, c // 2, 1), nn.Conv2d(c // 2, 1, 1)

    def forward(self, skip, below):
        below = F.interpolate(self.gate(below), scale_factor=2.0, mode="bilinear", align_corners=False)
        return skip * torch.sigmoid(self.score(F.relu(self.skip(skip) + below)))


class AttentionUNet(nn.Module):
    def __init__(self, c=24):
        super().__init__()
        widths = (c, 2 * c, 4 * c)
        self.down = nn.ModuleList([nn.Sequential(conv_norm(i, o), conv_norm(o, o)) for i, o in zip((3, *widths), widths)])
        self.gates = nn.ModuleList([SkipGate(i, o) for i, o in ((2 * c, 4 * c), (c, 2 * c))])
        self.up = nn.ModuleList([nn.Sequential(conv_norm(6 * c, 2 * c), conv_norm(2 * c, 2 * c)), conv_norm(3 * c, c)])
        self.out = nn.Conv2d(c, 3, 1)

    def forward(self, x):
        kept = []
        for i, down in enumerate(self.down):
            x = down(x if i == 0 else F.max_pool2d(x, 2))
            kept.append(x)
        for gate, up, skip in zip(self.gates, self.up, (kept[1], kept[0])):
            x = up(torch.cat([gate(skip, x), F.interpolate(x, scale_factor=2.0)], 1))
        return self.out(x)


@model("unet_attention")
def attention_unet():
    return settle(AttentionUNet(), image(96)), {"x": image(96)}


class RelativeAttention(nn.Module):
    """Transformer-XL's: scores of contents and of distances, shifted into place."""

    def __init__(self, d, heads=4):
        super().__init__()
        self.heads, self.width = heads, d // heads
        self.qkv, self.out, self.distance = nn.Linear(d, 3 * d), nn.Linear(d, d), nn.Linear(d, d, bias=False)
        self.content, self.position = (nn.Parameter(torch.randn(heads, 1, d // heads)) for _ in range(2))

    def forward(self, x, distances, mask):
        b, n, d = x.shape
        q, k, v = self.qkv(x).view(b, n, 3, self.heads, self.width).permute(2, 0, 3, 1, 4)
        r = self.distance(distances).view(2 * n - 1, self.heads, self.width).transpose(0, 1)
        by_distance = F.pad((q + self.position) @ r.transpose(-1, -2), (1, 0))
        by_distance = by_distance.view(b, self.heads, 2 * n, n)[:, :, 1:].reshape(b, self.heads, n, 2 * n - 1)[..., :n]
        scores = ((q + self.content) @ k.transpose(-1, -2) + by_distance) * self.width ** -0.5
        share = scores.masked_fill(mask[:, None, None], -1e4).softmax(-1)
        return self.out((share @ v).transpose(1, 2).reshape(b, n, d))


class SpeechEncoder(nn.Module):
    """Convolutions that take a quarter of the frames, then attention with relative positions; `length` masks."""

    def __init__(self, d=144, layers=2):
        super().__init__()
        self.first, self.second = nn.Conv2d(1, 32, 3, 2, 1), nn.Conv2d(32, 32, 3, 2, 1)
        self.into = nn.Linear(32 * 20, d)
        self.attention = nn.ModuleList([RelativeAttention(d) for _ in range(layers)])
        self.norms = nn.ModuleList([nn.LayerNorm(d) for _ in range(2 * layers)])
        self.mlps = nn.ModuleList([nn.Sequential(nn.Linear(d, 4 * d), nn.SiLU(), nn.Linear(4 * d, d)) for _ in range(layers)])
        self.register_buffer("frequencies", torch.exp(-torch.arange(0, d, 2.0) * 9.21 / d))

    def forward(self, mel, length):
        x = F.relu(self.second(F.relu(self.first(mel[:, None]))))
        x = self.into(x.transpose(1, 2).flatten(2))
        n = x.shape[1]
        angle = torch.arange(n - 1, -n, -1)[:, None].float() * self.frequencies
        distances, mask = torch.cat([angle.sin(), angle.cos()], 1), torch.arange(n)[None] * 4 >= length[:, None]
        for i, (attention, mlp) in enumerate(zip(self.attention, self.mlps)):
            x = x + attention(self.norms[2 * i](x), distances, mask)
            x = x + mlp(self.norms[2 * i + 1](x))
        return x


@model("speech_relative", traced=17, open={"mel": {0: "batch", 1: "frames"}, "length": {0: "batch"}})
def speech():
    return SpeechEncoder().eval(), {"mel": torch.randn(2, 200, 80), "length": torch.tensor([200, 150])}


@torch.jit.script
def selective_scan(x, step, a, b, c):
    """Mamba's recurrence, step by step: x, step [b, n, d]; a [d, s]; b, c [b, n, s]."""
    state = torch.zeros(x.shape[0], x.shape[2], a.shape[1])
    out = torch.zeros(0, x.shape[0], x.shape[2])
    for t in range(x.shape[1]):
        now = step[:, t].unsqueeze(2)
        state = state * torch.exp(now * a) + now * b[:, t].unsqueeze(1) * x[:, t].unsqueeze(2)
        out = torch.cat([out, (state * c[:, t].unsqueeze(1)).sum(2).unsqueeze(0)])
    return out.transpose(0, 1)


class Selective(nn.Module):
    def __init__(self, d=64, states=16):
        super().__init__()
        self.into, self.out, self.norm = nn.Linear(d, 4 * d), nn.Linear(2 * d, d), nn.LayerNorm(d)
        self.conv = nn.Conv1d(2 * d, 2 * d, 4, padding=3, groups=2 * d)
        self.parts, self.step = nn.Linear(2 * d, 2 * states + 4), nn.Linear(4, 2 * d)
        self.a, self.states = nn.Parameter(-torch.rand(2 * d, states)), states

    def forward(self, x):
        y, gate = self.into(self.norm(x)).chunk(2, -1)
        y = F.silu(self.conv(y.transpose(1, 2))[..., :x.shape[1]].transpose(1, 2))
        b, c, step = self.parts(y).split([self.states, self.states, 4], -1)
        return x + self.out(selective_scan(y, F.softplus(self.step(step)), self.a, b, c) * F.silu(gate))


@model("mamba_loop", traced=17)
def mamba_loop():
    return Selective().eval(), {"x": torch.randn(1, 32, 64)}


class Experts(nn.Module):
    """Each token by its two best experts, whose weights are gathered."""

    def __init__(self, d=128, hidden=256, experts=8, taken=2):
        super().__init__()
        self.router, self.norm, self.taken = nn.Linear(d, experts), nn.LayerNorm(d), taken
        self.up, self.down = (nn.Parameter(torch.randn(experts, *s) * 0.05) for s in ((d, hidden), (hidden, d)))

    def forward(self, x):
        y = self.norm(x)
        score, expert = self.router(y).softmax(-1).topk(self.taken, -1)
        score = score / score.sum(-1, keepdim=True)
        hidden = F.gelu(y[:, None, None] @ self.up[expert])
        return x + ((hidden @ self.down[expert])[:, :, 0] * score[..., None]).sum(1)


@model("experts_gathered", traced=17, open={"x": {0: "n"}})
def gathered_experts():
    return nn.Sequential(Experts(), Experts()).eval(), {"x": torch.randn(16, 128)}


class DenseExperts(Experts):
    """All experts for all tokens, weighted by a score that is zero where an expert was not taken."""

    def forward(self, x):
        y = self.norm(x)
        score, expert = self.router(y).softmax(-1).topk(self.taken, -1)
        share = torch.zeros(x.shape[0], self.up.shape[0]).scatter(1, expert, score / score.sum(-1, keepdim=True))
        hidden = F.gelu(torch.einsum("nd,edh->enh", y, self.up))
        return x + torch.einsum("enh,ehd,ne->nd", hidden, self.down, share)


@model("experts_dense", traced=17, open={"x": {0: "n"}})
def dense_experts():
    return nn.Sequential(DenseExperts(), DenseExperts()).eval(), {"x": torch.randn(64, 128)}


class EdgeAttention(nn.Module):
    """A graph attention layer: the softmax runs over the edges that arrive at a node."""

    def __init__(self, channels, d, heads=4):
        super().__init__()
        self.heads, self.linear = heads, nn.Linear(channels, d * heads)
        self.source, self.target = nn.Parameter(torch.randn(heads, d) * 0.1), nn.Parameter(torch.randn(heads, d) * 0.1)

    def forward(self, x, edge):
        n = x.shape[0]
        h = self.linear(x).view(n, self.heads, -1)
        score = F.leaky_relu((h * self.source).sum(-1)[edge[0]] + (h * self.target).sum(-1)[edge[1]], 0.2)
        at = edge[1][:, None].expand_as(score)
        most = torch.full((n, self.heads), -1e9).scatter_reduce(0, at, score, "amax", include_self=True)
        weight = torch.exp(score - most[edge[1]])
        total = torch.zeros(n, self.heads).scatter_add(0, at, weight)
        share = weight / (total[edge[1]] + 1e-9)
        message = h[edge[0]] * share[..., None]
        return torch.zeros_like(h).index_add(0, edge[1], message).flatten(1)


class EdgeNetwork(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.second = EdgeAttention(32, 8), EdgeAttention(32, 4)

    def forward(self, x, edge):
        return self.second(F.elu(self.first(x, edge)), edge)


@model("gat_softmax", open={"x": {0: "n"}, "edge": {1: "e"}})
def edge_network():
    return EdgeNetwork().eval(), {"x": torch.randn(200, 32), "edge": torch.randint(0, 200, (2, 1000))}


class DenseHead(nn.Module):
    """DPT: tokens of four depths become images of four sizes, refined and joined upwards."""

    def __init__(self, d=192, c=48):
        super().__init__()
        self.patches, self.position = nn.Conv2d(3, d, 14, 14), nn.Parameter(torch.randn(1, 64, d) * 0.02)
        options = {"activation": "gelu", "batch_first": True, "norm_first": True}
        self.layers = nn.ModuleList([nn.TransformerEncoderLayer(d, 3, 4 * d, **options) for _ in range(4)])
        resize = [nn.ConvTranspose2d(c, c, 4, 4), nn.ConvTranspose2d(c, c, 2, 2), nn.Identity(), nn.Conv2d(c, c, 3, 2, 1)]
        self.images = nn.ModuleList([nn.Sequential(nn.Conv2d(d, c, 1), r, nn.Conv2d(c, c, 3, padding=1)) for r in resize])
        self.refine = nn.ModuleList([self.residual(c) for _ in range(4)])
        self.out = nn.Sequential(nn.Conv2d(c, c // 2, 3, padding=1), nn.ReLU(), nn.Conv2d(c // 2, 1, 1), nn.ReLU())

    @staticmethod
    def residual(c):
        return nn.Sequential(nn.ReLU(), nn.Conv2d(c, c, 3, padding=1), nn.ReLU(), nn.Conv2d(c, c, 3, padding=1))

    def forward(self, x):
        size = x.shape[-2:]
        x = self.patches(x)
        side, x = x.shape[-1], x.flatten(2).transpose(1, 2) + self.position
        levels = []
        for layer, into in zip(self.layers, self.images):
            x = layer(x)
            levels.append(into(x.transpose(1, 2).reshape(x.shape[0], -1, side, side)))
        y = None
        for level, refine in zip(reversed(levels), self.refine):
            y = level if y is None else level + F.interpolate(y, size=level.shape[-2:], mode="bilinear", align_corners=True)
            y = y + refine(y)
        return F.interpolate(self.out(y), size=size, mode="bilinear", align_corners=True)[:, 0]


@model("depth_dpt")
def depth():
    return DenseHead().eval(), {"x": image(112)}


class YoloTop(Yolo):
    """YOLOv10's end: the hundred best cells and classes, without suppression."""

    def forward(self, x):
        y = super().forward(x).transpose(1, 2)
        box, score = y[..., :4], y[..., 4:]
        best, cell = score.amax(-1).topk(100, 1)
        box = box.gather(1, cell[..., None].expand(-1, -1, 4))
        score = score.gather(1, cell[..., None].expand(-1, -1, score.shape[-1]))
        value, at = score.flatten(1).topk(100, 1)
        box = box.gather(1, (at // score.shape[-1])[..., None].expand(-1, -1, 4))
        return torch.cat([box, value[..., None], (at % score.shape[-1])[..., None].float()], -1)


@model("yolo_topk", traced=17)
def yolo_topk():
    return settle(YoloTop(c=8, classes=20), image(256)), {"x": image(256)}


class Shuffled(nn.Module):
    """ShuffleNet v1: grouped 1x1 convolutions with the channels of the groups interleaved between them."""

    def __init__(self, c, groups):
        super().__init__()
        self.groups = groups
        self.first = nn.Sequential(nn.Conv2d(c, c, 1, groups=groups, bias=False), nn.BatchNorm2d(c), nn.ReLU())
        self.middle = nn.Sequential(nn.Conv2d(c, c, 3, padding=1, groups=c, bias=False), nn.BatchNorm2d(c))
        self.last = nn.Sequential(nn.Conv2d(c, c, 1, groups=groups, bias=False), nn.BatchNorm2d(c))

    def forward(self, x):
        y = self.first(x)
        b, c, h, w = y.shape
        y = y.view(b, self.groups, c // self.groups, h, w).transpose(1, 2).reshape(b, c, h, w)
        return F.relu(x + self.last(self.middle(y)))


@model("shufflenet_v1", open={"x": {0: "batch"}})
def shuffled():
    blocks = [Shuffled(60, 3) for _ in range(6)]
    layers = [conv_norm(3, 60, 3, 2), *blocks[:3], nn.MaxPool2d(3, 2, 1), *blocks[3:]]
    return settle(nn.Sequential(*layers), image(112)), {"x": image(112)}


class Tracker(nn.Module):
    """SiamRPN: features of a template are the filters of a depthwise correlation with those of the search image."""

    def __init__(self, c=64):
        super().__init__()
        self.features = nn.Sequential(conv_norm(3, 32, 3, 2), conv_norm(32, c, 3, 2), conv_norm(c, c))
        self.score, self.box = nn.Conv2d(c, 2, 1), nn.Conv2d(c, 4, 1)

    def forward(self, template, search):
        z, x = self.features(template), self.features(search)
        y = F.conv2d(x, z.view(-1, 1, z.shape[2], z.shape[3]), groups=x.shape[1])
        return self.score(y), self.box(y)


@model("siamese")
def tracker():
    module = Tracker()
    settle(module.features, image(96))  # the correlation takes one image
    return module.eval(), {"template": image(32), "search": image(96)}


class Codebook(nn.Module):
    """VQ-VAE: the nearest of 256 vectors for each cell, decoded."""

    def __init__(self, c=32):
        super().__init__()
        self.encode = nn.Sequential(conv_norm(3, c, 4, 2), conv_norm(c, c, 4, 2), nn.Conv2d(c, c, 1))
        self.codes = nn.Parameter(torch.randn(256, c))
        self.decode = nn.Sequential(nn.ConvTranspose2d(c, c, 4, 2, 1), nn.ReLU(), nn.ConvTranspose2d(c, 3, 4, 2, 1))

    def forward(self, x):
        z = self.encode(x).permute(0, 2, 3, 1)
        flat = z.reshape(-1, z.shape[-1])
        distance = (flat * flat).sum(1, keepdim=True) - 2 * flat @ self.codes.t() + (self.codes * self.codes).sum(1)
        code = distance.argmin(1)
        return self.decode(self.codes[code].view(z.shape).permute(0, 3, 1, 2)), code


@model("codebook", traced=17)
def codebook():
    return settle(Codebook(), image(64)), {"x": image(64)}


class Latents(nn.Module):
    """Perceiver: a few learned queries read a long input, then attend to each other."""

    def __init__(self, d=128, count=32):
        super().__init__()
        self.latents, self.embedding = nn.Parameter(torch.randn(count, d)), nn.Embedding(2000, d)
        self.read = nn.MultiheadAttention(d, 4, batch_first=True)
        self.layers = nn.ModuleList([nn.TransformerEncoderLayer(d, 4, 4 * d, batch_first=True) for _ in range(2)])
        self.out = nn.Linear(d, 10)

    def forward(self, ids):
        x, q = self.embedding(ids), self.latents[None].expand(ids.shape[0], -1, -1)
        y = q + self.read(q, x, x, need_weights=False)[0]
        for layer in self.layers:
            y = layer(y)
        return self.out(y.mean(1))


@model("perceiver", open={"ids": {0: "batch", 1: "seq"}})
def latents():
    return Latents().eval(), {"ids": tokens(1, 512)}
