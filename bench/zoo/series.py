"""Series, tables and waves by other means than attention alone: forecasts, gated features, dilated convolutions, recurrences
that decay, neighbours of a graph.
"""
import torch
import torch.nn.functional as F
from torch import nn

from .blocks import settle, tokens
from .registry import model


class Gated(nn.Module):
    """TabNet's feature transformer: two gated layers, halved residuals."""

    def __init__(self, shared, d, out):
        super().__init__()
        self.shared, self.own = shared, nn.Linear(out, 2 * out)
        self.norms = nn.ModuleList([nn.BatchNorm1d(2 * out) for _ in range(2)])

    def forward(self, x):
        y = F.glu(self.norms[0](self.shared(x)))
        return (y + F.glu(self.norms[1](self.own(y)))) * 0.5 ** 0.5


def sparsemax(x):
    ordered, _ = x.sort(-1, descending=True)
    count = torch.arange(1, x.shape[-1] + 1, dtype=x.dtype)
    support = 1 + count * ordered > ordered.cumsum(-1)
    k = support.sum(-1, keepdim=True)
    threshold = ((ordered * support).sum(-1, keepdim=True) - 1) / k
    return F.relu(x - threshold)


class TabNet(nn.Module):
    """Steps of attention over features, each sparse and away from those used before."""

    def __init__(self, features=54, width=32, steps=3, classes=7):
        super().__init__()
        shared = nn.Linear(features, 4 * width)
        self.norm, self.first = nn.BatchNorm1d(features), Gated(shared, features, 2 * width)
        self.steps = nn.ModuleList([Gated(shared, features, 2 * width) for _ in range(steps)])
        self.attend = nn.ModuleList([nn.Sequential(nn.Linear(width, features), nn.BatchNorm1d(features)) for _ in range(steps)])
        self.out, self.width = nn.Linear(width, classes), width

    def forward(self, x):
        x, total = self.norm(x), 0
        a, prior = self.first(x)[:, self.width:], torch.ones_like(x)
        for step, attend in zip(self.steps, self.attend):
            mask = sparsemax(attend(a) * prior)
            prior = prior * (1.3 - mask)
            y = step(mask * x)
            total, a = total + F.relu(y[:, :self.width]), y[:, self.width:]
        return self.out(total)


@model("tabnet", traced=17, open={"x": {0: "n"}})
def tabnet():
    x = torch.randn(32, 54)
    return settle(TabNet(), x), {"x": x}


class Blocks(nn.Module):
    """N-BEATS: each block takes from the series what it explains and adds to the forecast."""

    def __init__(self, back=120, ahead=24, width=256, blocks=4):
        super().__init__()
        self.blocks = nn.ModuleList([nn.Sequential(nn.Linear(back, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(),
                                                   nn.Linear(width, 8)) for _ in range(blocks)])
        grid = torch.linspace(0, 1, back + ahead)
        self.register_buffer("basis", torch.stack([grid ** i for i in range(8)]))
        self.back = back

    def forward(self, x):
        forecast = 0
        for block in self.blocks:
            y = block(x) @ self.basis
            x, forecast = x - y[:, :self.back], forecast + y[:, self.back:]
        return forecast


@model("nbeats", open={"x": {0: "batch"}})
def nbeats():
    return Blocks().eval(), {"x": torch.randn(7, 120)}


class DeepAr(nn.Module):
    """Scaled by its mean, an LSTM over values and covariates, a distribution for each step."""

    def __init__(self, hidden=64):
        super().__init__()
        self.series, self.cells = nn.Embedding(100, 16), nn.LSTM(1 + 4 + 16, hidden, 3, batch_first=True)
        self.mean, self.spread = nn.Linear(hidden, 1), nn.Linear(hidden, 1)

    def forward(self, x, covariates, series):
        scale = x.abs().mean(1, keepdim=True) + 1
        e = self.series(series)[:, None].expand(-1, x.shape[1], -1)
        y = self.cells(torch.cat([(x / scale)[..., None], covariates, e], -1))[0]
        return self.mean(y)[..., 0] * scale, F.softplus(self.spread(y))[..., 0] * scale


@model("deepar", traced=17, open={"x": {0: "b"}, "covariates": {0: "b"}, "series": {0: "b"}})
def deepar():
    return DeepAr().eval(), {"x": torch.rand(5, 60), "covariates": torch.randn(5, 60, 4), "series": torch.randint(0, 100, (5,))}


class GatedResidual(nn.Module):
    def __init__(self, i, d):
        super().__init__()
        self.up, self.down, self.gate = nn.Linear(i, d), nn.Linear(d, d), nn.Linear(d, 2 * d)
        self.skip, self.norm = nn.Linear(i, d) if i != d else nn.Identity(), nn.LayerNorm(d)

    def forward(self, x):
        return self.norm(self.skip(x) + F.glu(self.gate(self.down(F.elu(self.up(x))))))


class Fusion(nn.Module):
    """Temporal fusion transformer: variables weighed, an LSTM, attention that the last steps ask."""

    def __init__(self, variables=8, d=48, ahead=12):
        super().__init__()
        self.embed = nn.Parameter(torch.randn(variables, d) * 0.3)
        self.each = nn.ModuleList([GatedResidual(d, d) for _ in range(variables)])
        self.weigh, self.score = GatedResidual(variables * d, d), nn.Linear(d, variables)
        self.cells, self.enrich = nn.LSTM(d, d, batch_first=True), GatedResidual(d, d)
        self.attention, self.last = nn.MultiheadAttention(d, 4, batch_first=True), GatedResidual(d, d)
        self.quantiles, self.ahead = nn.Linear(d, 3), ahead

    def forward(self, x):
        e = x[..., None] * self.embed
        weight = self.score(self.weigh(e.flatten(2))).softmax(-1)
        y = torch.stack([f(e[:, :, i]) for i, f in enumerate(self.each)], -1)
        y = (y * weight[:, :, None]).sum(-1)
        y = self.enrich(y + self.cells(y)[0])
        return self.quantiles(self.last(self.attention(y[:, -self.ahead:], y, y, need_weights=False)[0]))


@model("tft", traced=17)
def fusion():
    return Fusion().eval(), {"x": torch.randn(3, 72, 8)}


class WaveNet(nn.Module):
    """Dilated causal convolutions, gates, skips to the end."""

    def __init__(self, c=32, skip=64, layers=8):
        super().__init__()
        self.first = nn.Conv1d(1, c, 1)
        self.gates = nn.ModuleList([nn.Conv1d(c, 2 * c, 2, dilation=2 ** i) for i in range(layers)])
        self.residual = nn.ModuleList([nn.Conv1d(c, c, 1) for _ in range(layers)])
        self.skips = nn.ModuleList([nn.Conv1d(c, skip, 1) for _ in range(layers)])
        self.out = nn.Sequential(nn.ReLU(), nn.Conv1d(skip, skip, 1), nn.ReLU(), nn.Conv1d(skip, 256, 1))

    def forward(self, x):
        x, total = self.first(x), 0
        for i, (gate, residual, skip) in enumerate(zip(self.gates, self.residual, self.skips)):
            a, b = gate(F.pad(x, (2 ** i, 0))).chunk(2, 1)
            y = torch.tanh(a) * torch.sigmoid(b)
            total, x = total + skip(y), x + residual(y)
        return self.out(total)


@model("wavenet", traced=17, open={"x": {2: "n"}})
def wavenet():
    return WaveNet().eval(), {"x": torch.randn(1, 1, 1000)}


class Demucs(nn.Module):
    """Strided convolutions down, an LSTM, transposed ones up, gates and skips."""

    def __init__(self, c=24, depth=4):
        super().__init__()
        self.down, self.up, i = nn.ModuleList(), nn.ModuleList(), 1
        for _ in range(depth):
            self.down.append(nn.Sequential(nn.Conv1d(i, c, 8, 4, 2), nn.ReLU(), nn.Conv1d(c, 2 * c, 1), nn.GLU(1)))
            up = [nn.Conv1d(c, 2 * c, 1), nn.GLU(1), nn.ConvTranspose1d(c, i, 8, 4, 2)]
            self.up.insert(0, nn.Sequential(*up, *([nn.ReLU()] if i > 1 else [])))
            i, c = c, 2 * c
        self.cells, self.narrow = nn.LSTM(i, i, bidirectional=True), nn.Linear(2 * i, i)

    def forward(self, x):
        skips = []
        for down in self.down:
            x = down(x)
            skips.append(x)
        x = self.narrow(self.cells(x.permute(2, 0, 1))[0]).permute(1, 2, 0)
        for up in self.up:
            x = up(x + skips.pop())
        return x


@model("demucs", traced=17)
def demucs():
    return Demucs().eval(), {"x": torch.randn(1, 1, 4096)}


class Tacotron(nn.Module):
    """An encoder of letters by convolutions and an LSTM; steps of a decoder that attends to places it has been at."""

    def __init__(self, d=96, frames=20, bands=40):
        super().__init__()
        self.embedding = nn.Embedding(80, d)
        conv = lambda: nn.Sequential(nn.Conv1d(d, d, 5, padding=2), nn.BatchNorm1d(d), nn.ReLU())
        self.convs = nn.ModuleList([conv() for _ in range(3)])
        self.cells = nn.LSTM(d, d // 2, bidirectional=True, batch_first=True)
        self.prenet, self.cell = nn.Linear(bands, 32), nn.LSTMCell(32 + d, d)
        self.query, self.memory, self.score = nn.Linear(d, 64), nn.Linear(d, 64), nn.Linear(64, 1)
        self.place, self.out = nn.Conv1d(1, 64, 15, padding=7), nn.Linear(2 * d, bands)
        self.frames, self.bands, self.d = frames, bands, d

    def forward(self, ids):
        x = self.embedding(ids).transpose(1, 2)
        for conv in self.convs:
            x = conv(x)
        x = self.cells(x.transpose(1, 2))[0]
        memory, b = self.memory(x), ids.shape[0]
        frame, h, c = torch.zeros(b, self.bands), torch.zeros(b, self.d), torch.zeros(b, self.d)
        been, context, frames = torch.zeros(b, ids.shape[1]), torch.zeros(b, self.d), []
        for _ in range(self.frames):
            h, c = self.cell(torch.cat([F.relu(self.prenet(frame)), context], 1), (h, c))
            seen = self.place(been[:, None]).transpose(1, 2)
            share = self.score(torch.tanh(self.query(h)[:, None] + memory + seen))[..., 0].softmax(1)
            been, context = been + share, (share[:, None] @ x)[:, 0]
            frame = self.out(torch.cat([h, context], 1))
            frames.append(frame)
        return torch.stack(frames, 1)


@model("tacotron", traced=17)
def tacotron():
    module = Tacotron()
    return module.eval(), {"ids": torch.randint(0, 80, (1, 37))}


class VoiceActivity(nn.Module):
    """A spectrum by convolution, strided layers, an LSTM with its state outside."""

    def __init__(self):
        super().__init__()
        self.spectrum = nn.Conv1d(1, 130, 128, 64, bias=False)
        shapes = [(65, 96, 1), (96, 48, 2), (48, 48, 2), (48, 96, 1)]
        self.layers = nn.Sequential(*[m for i, o, s in shapes for m in (nn.Conv1d(i, o, 3, s, 1), nn.ReLU())])
        self.cells, self.out = nn.LSTM(96, 96), nn.Conv1d(96, 1, 1)

    def forward(self, x, h, c):
        y = self.spectrum(F.pad(x[:, None], (0, 64), mode="reflect"))
        y = self.layers((y[:, :65] ** 2 + y[:, 65:] ** 2).sqrt())
        y, (h, c) = self.cells(y.permute(2, 0, 1), (h, c))
        return torch.sigmoid(self.out(F.relu(y.permute(1, 2, 0)))).mean(2), h, c


@model("voice_activity", traced=16, open={"x": {0: "b"}, "h": {1: "b"}, "c": {1: "b"}})
def voice_activity():
    return VoiceActivity().eval(), {"x": torch.randn(1, 576), "h": torch.zeros(1, 1, 96), "c": torch.zeros(1, 1, 96)}


class Retention(nn.Module):
    """RetNet in parallel: products of queries and keys that decay with distance, a norm for each head."""

    def __init__(self, d=128, heads=4):
        super().__init__()
        self.qkv, self.gate, self.out = nn.Linear(d, 3 * d, bias=False), nn.Linear(d, d), nn.Linear(d, d)
        self.heads, self.width, self.norm = heads, d // heads, nn.LayerNorm(d)
        self.register_buffer("decay", 1 - torch.exp2(-5 - torch.arange(heads).float()))

    def forward(self, x):
        b, n, d = x.shape
        q, k, v = self.qkv(self.norm(x)).view(b, n, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        far = torch.arange(n)[:, None] - torch.arange(n)[None]
        share = torch.where(far >= 0, self.decay[:, None, None] ** far.clamp(min=0).float(), 0.0)
        y = (q @ k.transpose(-1, -2) * (d // self.heads) ** -0.5 * share) @ v
        y = F.layer_norm(y, (self.width,)).transpose(1, 2).reshape(b, n, d)
        return x + self.out(F.silu(self.gate(x)) * y)


@model("retnet", traced=17, open={"x": {1: "n"}})
def retnet():
    return nn.Sequential(Retention(), Retention()).eval(), {"x": torch.randn(1, 100, 128)}


@torch.jit.script
def weighted_keys(k, v, decay, bonus):
    """RWKV's recurrence: sums of values weighted by exponentials of keys, under their largest."""
    a, b, most = torch.zeros_like(k[:, 0]), torch.zeros_like(k[:, 0]), torch.full_like(k[:, 0], -1e30)
    out = torch.zeros(0, k.shape[0], k.shape[2])
    for t in range(k.shape[1]):
        now = torch.maximum(most, bonus + k[:, t])
        old, new = torch.exp(most - now), torch.exp(bonus + k[:, t] - now)
        out = torch.cat([out, ((old * a + new * v[:, t]) / (old * b + new)).unsqueeze(0)])
        now = torch.maximum(most - decay, k[:, t])
        old, new = torch.exp(most - decay - now), torch.exp(k[:, t] - now)
        a, b, most = old * a + new * v[:, t], old * b + new, now
    return out.transpose(0, 1)


class TimeMix(nn.Module):
    def __init__(self, d=128):
        super().__init__()
        self.k, self.v, self.r, self.o = (nn.Linear(d, d, bias=False) for _ in range(4))
        self.mix, self.decay, self.bonus = (nn.Parameter(torch.rand(n, d)) for n in (3, 1, 1))
        self.norm, self.up, self.down = nn.LayerNorm(d), nn.Linear(d, 4 * d), nn.Linear(4 * d, d)

    def forward(self, x):
        y = self.norm(x)
        before = F.pad(y, (0, 0, 1, 0))[:, :-1]
        k, v, r = (m * y + (1 - m) * before for m in self.mix)
        y = weighted_keys(self.k(k), self.v(v), torch.exp(self.decay[0]), self.bonus[0])
        x = x + self.o(torch.sigmoid(self.r(r)) * y)
        return x + self.down(F.relu(self.up(x)) ** 2)


@model("rwkv", traced=17)
def rwkv():
    return nn.Sequential(TimeMix(), TimeMix()).eval(), {"x": torch.randn(1, 24, 128)}


class Neighbours(nn.Module):
    """GraphSAGE (means of sampled neighbours) and GIN (sums over edges, an MLP)."""

    def __init__(self, i=48, d=64):
        super().__init__()
        self.own, self.others = nn.Linear(i, d), nn.Linear(i, d)
        self.mlp, self.out = nn.Sequential(nn.Linear(d, d), nn.ReLU(), nn.Linear(d, d)), nn.Linear(d, 10)

    def forward(self, x, sampled, edge):
        y = F.normalize(F.relu(self.own(x) + self.others(x[sampled].mean(1))), dim=-1)
        total = torch.zeros_like(y).index_add(0, edge[1], y[edge[0]])
        y = self.mlp(1.1 * y + total)
        return self.out(y.max(0, keepdim=True)[0] + y.sum(0, keepdim=True))


@model("graph_sage_gin", traced=17, open={"x": {0: "n"}, "sampled": {0: "n"}, "edge": {1: "e"}})
def neighbours():
    n = 250
    return Neighbours().eval(), {"x": torch.randn(n, 48), "sampled": torch.randint(0, n, (n, 10)),
                                 "edge": torch.randint(0, n, (2, 1500))}


class TwoTowers(nn.Module):
    """Wide and deep, with bags of words: means of a varying number of embeddings under a mask, products of two towers."""

    def __init__(self, d=32):
        super().__init__()
        self.words, self.item = nn.Embedding(3000, d, padding_idx=0), nn.Embedding(2000, d)
        self.user = nn.Sequential(nn.Linear(d + 8, 128), nn.ReLU(), nn.Linear(128, d))
        self.cross = nn.Parameter(torch.randn(3, d + 8) * 0.1)

    def forward(self, words, numbers, items):
        there = (words > 0).float()[..., None]
        x = (self.words(words) * there).sum(1) / there.sum(1).clamp(min=1)
        x = torch.cat([x, numbers], 1)
        y = x
        for w in self.cross:
            y = x * (y * w).sum(1, keepdim=True) + y
        u, i = F.normalize(self.user(y), dim=1), F.normalize(self.item(items), dim=2)
        return torch.einsum("bd,bnd->bn", u, i).softmax(1)


@model("two_towers", open={"words": {0: "b"}, "numbers": {0: "b"}, "items": {0: "b"}})
def two_towers():
    return TwoTowers().eval(), {"words": tokens(6, 25), "numbers": torch.randn(6, 8), "items": tokens(6, 50)}
