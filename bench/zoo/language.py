"""Language models: Llama with grouped queries and a cache, T5's two halves, a small GPT."""
import math

import torch
import torch.nn.functional as F
from torch import nn

from .blocks import tokens
from .registry import model
from .text import IDS, pretrained_form


class LlamaLayer(nn.Module):
    def __init__(self, d, heads, shared, hidden):
        super().__init__()
        width = d // heads
        self.heads, self.shared, self.width = heads, shared, width
        self.q, self.o = self.linear(d, d), self.linear(d, d)
        self.k, self.v = self.linear(d, shared * width), self.linear(d, shared * width)
        self.gate, self.up, self.down = self.linear(d, hidden), self.linear(d, hidden), self.linear(hidden, d)

    @staticmethod
    def linear(i, o):
        return nn.Linear(i, o, bias=False)

    @staticmethod
    def rotate(x, cos, sin):
        a, b = x.chunk(2, -1)
        return x * cos + torch.cat([-b, a], -1) * sin

    def split(self, x, heads):
        return x.view(x.shape[0], x.shape[1], heads, self.width).transpose(1, 2)

    def repeat(self, x):
        b, _, n, _ = x.shape
        repeated = x[:, :, None].expand(b, self.shared, self.heads // self.shared, n, self.width)
        return repeated.reshape(b, self.heads, n, self.width)

    def attend(self, x, cos, sin, mask, past_k, past_v):
        """(result, keys, values): grouped queries over the cache and what is new."""
        b, n, d = x.shape
        q = self.rotate(self.split(self.q(x), self.heads), cos, sin)
        k = self.rotate(self.split(self.k(x), self.shared), cos, sin)
        k, v = torch.cat([past_k, k], 2), torch.cat([past_v, self.split(self.v(x), self.shared)], 2)
        scores = q @ self.repeat(k).transpose(-1, -2) / math.sqrt(self.width) + mask
        y = (scores.softmax(-1) @ self.repeat(v)).transpose(1, 2).reshape(b, n, d)
        return self.o(y), k, v

    def mlp(self, x):
        return self.down(F.silu(self.gate(x)) * self.up(x))


class Llama(nn.Module):
    """Rotary positions, RMS norms, a stacked cache [layer, batch, heads, past, width]; scores of the last token."""

    def __init__(self, d=512, heads=8, shared=2, layers=4, hidden=1376, vocabulary=4000):
        super().__init__()
        self.embedding, self.head = nn.Embedding(vocabulary, d), nn.Linear(d, vocabulary, bias=False)
        self.scales = nn.Parameter(torch.ones(2 * layers + 1, d))
        self.layers = nn.ModuleList([LlamaLayer(d, heads, shared, hidden) for _ in range(layers)])
        self.register_buffer("frequencies", 10000 ** (-torch.arange(0, d // heads, 2).float() / (d // heads)))

    def norm(self, x, i):
        return x * torch.rsqrt((x * x).mean(-1, keepdim=True) + 1e-6) * self.scales[i]

    def forward(self, ids, past_k, past_v):
        n, past = ids.shape[1], past_k.shape[3]
        position = torch.arange(n, device=ids.device) + past
        angle = position[:, None].float() * self.frequencies[None]
        angle = torch.cat([angle, angle], -1)
        cos, sin = angle.cos(), angle.sin()
        mask = torch.where(torch.arange(past + n)[None] <= position[:, None], 0.0, float("-inf"))
        x, keys, values = self.embedding(ids), [], []
        for i, layer in enumerate(self.layers):
            y, k, v = layer.attend(self.norm(x, 2 * i), cos, sin, mask, past_k[i], past_v[i])
            x = x + y
            x = x + layer.mlp(self.norm(x, 2 * i + 1))
            keys.append(k)
            values.append(v)
        return self.head(self.norm(x[:, -1:], -1)), torch.stack(keys), torch.stack(values)


CACHED = {"ids": {1: "seq"}, "past_k": {3: "past"}, "past_v": {3: "past"}}


def llama(new, past):
    cache = (4, 1, 2, past, 64)
    return Llama().eval(), {"ids": tokens(1, new), "past_k": torch.randn(cache), "past_v": torch.randn(cache)}


@model("llama_prefill", traced=17, open=CACHED)
def llama_prefill():
    return llama(64, 16)


@model("llama_step", traced=17, open=CACHED)
def llama_step():
    return llama(1, 128)


def t5_config():
    import transformers
    return transformers.T5Config(vocab_size=4000, d_model=256, d_kv=32, d_ff=1024, num_layers=4, num_heads=8,
                                 feed_forward_proj="gated-gelu", decoder_start_token_id=0)


@model("t5_encoder", open={"ids": {1: "seq"}})
def t5_encoder():
    import transformers
    return pretrained_form(transformers.T5EncoderModel(t5_config()), ["input_ids"]), {"ids": tokens(1, 64)}


class T5Decoder(nn.Module):
    def __init__(self, whole):
        super().__init__()
        self.whole = whole

    def forward(self, ids, encoded):
        return self.whole.lm_head(self.whole.decoder(input_ids=ids, encoder_hidden_states=encoded, use_cache=False)[0])


@model("t5_decoder")
def t5_decoder():
    import transformers
    inputs = {"ids": tokens(1, 1), "enc": torch.randn(1, 64, 256)}
    return T5Decoder(transformers.T5ForConditionalGeneration(t5_config()).eval()).eval(), inputs


class SmallGpt(nn.Module):
    """torch's own layers' weights, norms first, the heads split by a view; the embedding serves as the head."""

    def __init__(self, d=256, heads=8, layers=3):
        super().__init__()
        self.heads, self.embedding, self.position = heads, nn.Embedding(2000, d), nn.Embedding(512, d)
        make = nn.TransformerEncoderLayer
        self.layers = nn.ModuleList([make(d, heads, 1024, activation="gelu", batch_first=True, norm_first=True)
                                     for _ in range(layers)])
        self.norm = nn.LayerNorm(d)

    def attend(self, attention, x, mask):
        b, n, d = x.shape
        qkv = F.linear(x, attention.in_proj_weight, attention.in_proj_bias).view(b, n, 3, self.heads, d // self.heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)
        scores = (q @ k.transpose(-1, -2)) * (d // self.heads) ** -0.5 + mask
        return attention.out_proj((scores.softmax(-1) @ v).transpose(1, 2).reshape(b, n, d))

    def forward(self, ids):
        n = ids.shape[1]
        mask = torch.triu(torch.full((n, n), float("-inf")), 1)
        x = self.embedding(ids) + self.position(torch.arange(n))
        for layer in self.layers:
            x = x + self.attend(layer.self_attn, layer.norm1(x), mask)
            x = x + layer.linear2(F.gelu(layer.linear1(layer.norm2(x))))
        return self.norm(x) @ self.embedding.weight.t()


@model("xlm_gpt", traced=17, open={"ids": IDS})
def small_gpt():
    return SmallGpt().eval(), {"ids": tokens(1, 40)}
