"""Sequences without attention: recurrent cells, causal convolutions, sums along time."""
import torch
import torch.nn.functional as F
from torch import nn

from .blocks import conv_norm, settle, tokens
from .registry import model


class Tagger(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding, self.out = nn.Embedding(2000, 100), nn.Linear(256, 17)
        self.cells = nn.LSTM(100, 128, 2, bidirectional=True, batch_first=True)

    def forward(self, ids):
        return self.out(self.cells(self.embedding(ids))[0]).log_softmax(-1)


@model("bilstm", traced=13, open={"ids": {1: "seq"}})
def tagger():
    return Tagger().eval(), {"ids": tokens(1, 40)}


class LastState(nn.Module):
    def __init__(self):
        super().__init__()
        self.cells, self.out = nn.GRU(40, 96, 2), nn.Linear(96, 12)

    def forward(self, x):
        return self.out(self.cells(x)[0][-1])


@model("gru_seq", traced=17)
def last_state():
    return LastState().eval(), {"x": torch.randn(50, 4, 40)}


class TwoKinds(nn.Module):
    """A plain recurrence under a gated one, both ways, and the largest over time."""

    def __init__(self):
        super().__init__()
        self.plain = nn.RNN(32, 64, batch_first=True, bidirectional=True)
        self.gated = nn.GRU(128, 64, batch_first=True, bidirectional=True)
        self.out = nn.Linear(128, 5)

    def forward(self, x):
        return self.out(self.gated(self.plain(x)[0])[0].max(1)[0])


@model("rnn_dyn", traced=17, open={"x": {0: "b", 1: "n"}})
def two_kinds():
    return TwoKinds().eval(), {"x": torch.randn(2, 30, 32)}


class LineReader(nn.Module):
    """CRNN: convolutions over a line of text, columns as steps of an LSTM."""

    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(conv_norm(1, 32), nn.MaxPool2d(2), conv_norm(32, 64), nn.MaxPool2d(2), conv_norm(64, 128),
                                      nn.MaxPool2d((2, 1)))
        self.cells, self.out = nn.LSTM(128 * 4, 96, bidirectional=True), nn.Linear(192, 40)

    def forward(self, x):
        columns = self.features(x).permute(3, 0, 1, 2).flatten(2)
        return self.out(self.cells(columns)[0]).log_softmax(-1)


@model("crnn", traced=17)
def line_reader():
    x = torch.randn(1, 1, 32, 128)
    return settle(LineReader(), x), {"x": x}


class Causal(nn.Module):
    """Two dilated convolutions that see the past alone, and a residual."""

    def __init__(self, channels, filters, dilation):
        super().__init__()
        self.cut = 2 * dilation
        self.first = nn.Conv1d(channels, filters, 3, padding=self.cut, dilation=dilation)
        self.second = nn.Conv1d(filters, filters, 3, padding=self.cut, dilation=dilation)
        self.skip = nn.Conv1d(channels, filters, 1) if channels != filters else nn.Identity()

    def forward(self, x):
        y = F.relu(self.first(x)[..., :-self.cut])
        return F.relu(F.relu(self.second(y)[..., :-self.cut]) + self.skip(x))


@model("tcn", traced=17, open={"x": {2: "n"}})
def causal():
    layers = [Causal(8, 64, 1), Causal(64, 64, 2), Causal(64, 64, 4), Causal(64, 64, 8)]
    return nn.Sequential(*layers, nn.Conv1d(64, 1, 1)).eval(), {"x": torch.randn(1, 8, 256)}


class Cumulative(nn.Module):
    """Mamba's gates around a sum along time."""

    def __init__(self, d=64):
        super().__init__()
        self.into, self.out, self.decay = nn.Linear(d, 2 * d), nn.Linear(d, d), nn.Parameter(torch.rand(d))
        self.conv = nn.Conv1d(d, d, 4, padding=3, groups=d)

    def forward(self, x):
        x, gate = self.into(x).chunk(2, -1)
        y = F.silu(self.conv(x.transpose(1, 2))[..., :x.shape[1]])
        state = torch.cumsum(y * torch.exp(-self.decay)[:, None], 2)
        return self.out(state.transpose(1, 2) * F.silu(gate))


@model("mamba_scan", traced=17)
def cumulative():
    return Cumulative().eval(), {"x": torch.randn(1, 128, 64)}
