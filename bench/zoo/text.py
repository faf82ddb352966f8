"""Encoders of text: as transformers spells them, by either exporter, by einsum, and with linear attention."""
import torch
import torch.nn.functional as F
from torch import nn

from .blocks import tokens
from .registry import model

IDS = {0: "batch", 1: "seq"}


class PretrainedForm(nn.Module):
    """A module of transformers with positional inputs and one result: the first, or what `pick` takes."""

    def __init__(self, whole, names, pick, options):
        super().__init__()
        self.whole, self.names, self.pick, self.options = whole, names, pick, options

    def forward(self, *inputs):
        return self.pick(self.whole(**dict(zip(self.names, inputs)), **self.options))


def pretrained_form(whole, names, pick=lambda found: found[0], **options):
    return PretrainedForm(whole.eval(), names, pick, {"return_dict": True, **options}).eval()


def masked(module, batch, length):
    """With token ids and a mask of ones."""
    inputs = {"ids": tokens(batch, length), "mask": torch.ones(batch, length, dtype=torch.int64)}
    return pretrained_form(module, ["input_ids", "attention_mask"]), inputs


@model("distilbert", open={"ids": IDS, "mask": IDS})
def distilbert():
    import transformers
    config = transformers.DistilBertConfig(vocab_size=4000, n_layers=3, attn_implementation="sdpa")
    return masked(transformers.DistilBertModel(config), 2, 48)


@model("albert")
def albert():
    import transformers
    config = transformers.AlbertConfig(vocab_size=4000, embedding_size=128, hidden_size=384, num_attention_heads=6,
                                       num_hidden_layers=4, intermediate_size=1536)
    return masked(transformers.AlbertModel(config), 1, 64)


class Electra(nn.Module):
    """Its layers with the mask that older releases made: a large negative number added to the scores."""

    def __init__(self, whole):
        super().__init__()
        self.whole = whole

    def forward(self, ids, mask):
        x = self.whole.embeddings(input_ids=ids)
        if hasattr(self.whole, "embeddings_project"):
            x = self.whole.embeddings_project(x)
        added = (1.0 - mask[:, None, None, :].float()) * -1e9
        for layer in self.whole.encoder.layer:
            y = layer(x, added)
            x = y[0] if isinstance(y, tuple) else y
        return x


@model("electra_legacy", traced=13, open={"ids": IDS, "mask": IDS})
def electra():
    import transformers
    config = transformers.ElectraConfig(vocab_size=4000, embedding_size=128, hidden_size=256, num_hidden_layers=4,
                                        num_attention_heads=4, intermediate_size=1024, attn_implementation="eager")
    inputs = {"ids": tokens(1, 32), "mask": torch.ones(1, 32, dtype=torch.int64)}
    return Electra(transformers.ElectraModel(config)).eval(), inputs


@model("clip_text", open={"ids": {0: "batch"}})
def clip_text():
    import transformers
    config = transformers.CLIPTextConfig(vocab_size=4000, hidden_size=256, intermediate_size=1024, num_hidden_layers=4,
                                         num_attention_heads=4, eos_token_id=3999)
    return pretrained_form(transformers.CLIPTextModel(config), ["input_ids"]), {"ids": tokens(2, 77)}


class EinsumAttention(nn.Module):
    def __init__(self, d=128, heads=4):
        super().__init__()
        self.into = nn.Parameter(torch.randn(3, d, heads, d // heads) * 0.1)
        self.out = nn.Parameter(torch.randn(heads, d // heads, d) * 0.1)
        self.bias = nn.Parameter(torch.randn(1, heads, 1, 1))

    def forward(self, x):
        q, k, v = (torch.einsum("bnd,dhe->bnhe", x, self.into[i]) for i in range(3))
        scores = torch.einsum("bnhe,bmhe->bhnm", q, k) / 5.6 + self.bias
        return torch.einsum("bhnm,bmhe,hed->bnd", scores.softmax(-1), v, self.out)


@model("einsum_mha", traced=17, open={"x": {0: "b", 1: "n"}})
def einsum_attention():
    return EinsumAttention().eval(), {"x": torch.randn(2, 50, 128)}


class LinearAttention(nn.Module):
    """Keys and values multiplied first; queries and keys are elu + 1."""

    def __init__(self, d=128, heads=4):
        super().__init__()
        self.qkv, self.heads = nn.Linear(d, 3 * d), heads

    def forward(self, x):
        b, n, d = x.shape
        q, k, v = self.qkv(x).view(b, n, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        q, k = F.elu(q) + 1, F.elu(k) + 1
        share = 1 / (q * k.sum(2, keepdim=True)).sum(-1, keepdim=True)
        return (q @ (k.transpose(-1, -2) @ v) * share).transpose(1, 2).reshape(b, n, d)


@model("linear_attn")
def linear_attention():
    return LinearAttention().eval(), {"x": torch.randn(1, 256, 128)}
