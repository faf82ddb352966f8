"""Text as transformers spells it: encoders with positions of every kind, and decoders with the norms, masks and gates of the
last years.  Small, with every part of the large ones.
"""
import torch
from torch import nn

from .blocks import tokens
from .registry import model
from .text import IDS, masked, pretrained_form

SMALL = {"vocab_size": 2000, "hidden_size": 256, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 1024}
DECODER = {**SMALL, "num_key_value_heads": 2, "max_position_embeddings": 512, "use_cache": False, "pad_token_id": 0,
           "attn_implementation": "eager"}


@model("roberta", open={"ids": IDS, "mask": IDS})
def roberta():
    import transformers
    return masked(transformers.RobertaModel(transformers.RobertaConfig(**SMALL, attn_implementation="sdpa")), 1, 77)


@model("deberta")
def deberta():
    """Contents and distances ask each other: scores are gathered by distance."""
    import transformers
    config = transformers.DebertaV2Config(**SMALL, relative_attention=True, position_buckets=32, share_att_key=True,
                                          pos_att_type=["p2c", "c2p"], norm_rel_ebd="layer_norm")
    return masked(transformers.DebertaV2Model(config), 1, 96)


@model("modernbert")
def modernbert():
    """Windows of 32 tokens but for every third layer, rotary positions, gated layers without biases."""
    import transformers
    config = transformers.ModernBertConfig(**{**SMALL, "intermediate_size": 384}, local_attention=32, pad_token_id=0,
                                           attn_implementation="sdpa")
    return masked(transformers.ModernBertModel(config), 1, 129)


@model("mpnet")
def mpnet():
    """Distances in buckets, a bias for each and head."""
    import transformers
    return masked(transformers.MPNetModel(transformers.MPNetConfig(**SMALL)), 2, 40)


class Translation(nn.Module):
    def __init__(self, whole):
        super().__init__()
        self.whole = whole

    def forward(self, ids, decoded):
        return self.whole(input_ids=ids, decoder_input_ids=decoded, use_cache=False)[0]


@model("bart")
def bart():
    """Encoder, and decoder that attends to it."""
    import transformers
    config = transformers.BartConfig(vocab_size=2000, d_model=256, encoder_layers=2, decoder_layers=2, encoder_ffn_dim=1024,
                                     decoder_ffn_dim=1024, encoder_attention_heads=4, decoder_attention_heads=4)
    return Translation(transformers.BartModel(config).eval()).eval(), {"ids": tokens(1, 65), "decoded": tokens(1, 17)}


def decoder(config, length, batch=1):
    import transformers
    whole = transformers.AutoModelForCausalLM.from_config(config)
    return pretrained_form(whole, ["input_ids"], use_cache=False), {"ids": tokens(batch, length)}


@model("gemma2")
def gemma2():
    """Scores and logits capped by tanh, windows in every second layer, norms before and after."""
    import transformers
    return decoder(transformers.Gemma2Config(**DECODER, head_dim=64, sliding_window=24), 63)


@model("qwen3")
def qwen3():
    """Norms of queries and keys."""
    import transformers
    return decoder(transformers.Qwen3Config(**DECODER, head_dim=64), 33, 2)


@model("phi")
def phi():
    """Attention and gates side by side, rotations of a part of a head."""
    import transformers
    return decoder(transformers.PhiConfig(**{**DECODER, "num_key_value_heads": 4}, partial_rotary_factor=0.5), 50)


@model("mistral")
def mistral():
    import transformers
    return decoder(transformers.MistralConfig(**DECODER, sliding_window=16), 70)


@model("bloom")
def bloom():
    """Positions as a slope for each head."""
    import transformers
    config = transformers.BloomConfig(vocab_size=2000, hidden_size=256, n_layer=3, n_head=4, use_cache=False)
    return decoder(config, 45)


@model("neox")
def neox():
    import transformers
    return decoder(transformers.GPTNeoXConfig(**{k: v for k, v in DECODER.items() if k != "num_key_value_heads"}), 31, 3)


@model("hubert")
def hubert():
    """Waves to frames by convolutions, a grouped one for positions, an encoder."""
    import transformers
    config = transformers.HubertConfig(hidden_size=192, num_hidden_layers=3, num_attention_heads=4, intermediate_size=768,
                                       conv_dim=(96,) * 7, num_conv_pos_embeddings=64, num_conv_pos_embedding_groups=16)
    return pretrained_form(transformers.HubertModel(config), ["input_values"]), {"x": torch.randn(1, 12000)}


@model("wav2vec2")
def wav2vec2():
    import transformers
    config = transformers.Wav2Vec2Config(hidden_size=192, num_hidden_layers=3, num_attention_heads=4, intermediate_size=768,
                                         conv_dim=(96,) * 7, num_conv_pos_embeddings=64, feat_extract_norm="layer",
                                         do_stable_layer_norm=True, conv_bias=True, vocab_size=32)
    return pretrained_form(transformers.Wav2Vec2ForCTC(config), ["input_values"]), {"x": torch.randn(2, 8000)}
