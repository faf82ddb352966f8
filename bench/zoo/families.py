"""Families of transformers that attend otherwise, or not at all: Fourier transforms, relative shifts, pooled tokens, states of a
scan in chunks, convolutions with biases for distances, gates on distances of sound."""
import torch

from .blocks import image, settle, tokens
from .encoders import DECODER, SMALL
from .registry import model
from .text import pretrained_form


@model("fnet")
def fnet():
    """Two Fourier transforms in place of attention."""
    import transformers
    return pretrained_form(transformers.FNetModel(transformers.FNetConfig(**SMALL)), ["input_ids"]), {"ids": tokens(1, 64)}


@model("xlnet")
def xlnet():
    """Scores by distance, shifted into place by a reshape."""
    import transformers
    config = transformers.XLNetConfig(vocab_size=2000, d_model=256, n_layer=3, n_head=4, d_inner=1024)
    return pretrained_form(transformers.XLNetModel(config), ["input_ids"], use_mems=False), {"ids": tokens(1, 50)}


@model("funnel")
def funnel():
    """Tokens pooled between blocks, spread again at the end."""
    import transformers
    config = transformers.FunnelConfig(vocab_size=2000, d_model=256, block_sizes=[2, 2], n_head=4, d_head=64, d_inner=1024)
    return pretrained_form(transformers.FunnelModel(config), ["input_ids"]), {"ids": tokens(1, 64)}


@model("mamba2")
def mamba2():
    """A scan in chunks of sixteen: products within, states between."""
    import transformers
    config = transformers.Mamba2Config(**{**DECODER, "num_hidden_layers": 2}, num_heads=8, head_dim=64, state_size=32, n_groups=1, chunk_size=16)
    return pretrained_form(transformers.Mamba2Model(config), ["input_ids"], use_cache=False), {"ids": tokens(1, 64)}


@model("levit")
def levit():
    """Convolutions to patches, batch norms in place of layer norms, biases by distance, attention that shrinks the picture."""
    import transformers
    whole = transformers.LevitModel(transformers.LevitConfig(image_size=112, depths=[2, 2, 2]))
    return settle(pretrained_form(whole, ["pixel_values"]), image(112)), {"x": image(112)}


@model("wavlm")
def wavlm():
    """Waves through convolutions, distances in buckets, gated by what is heard."""
    import transformers
    config = transformers.WavLMConfig(hidden_size=192, num_hidden_layers=3, num_attention_heads=4, intermediate_size=768, conv_dim=[64] * 7,
                                      num_conv_pos_embedding_groups=4, num_conv_pos_embeddings=32)
    return pretrained_form(transformers.WavLMModel(config), ["input_values"]), {"wave": torch.randn(1, 8000)}
