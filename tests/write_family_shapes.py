#!/usr/bin/env python3
"""Writes random models of the families in shapes that tests/data/tiny has not, with reference logits, losses and
gradient norms, for MINIFT_TEST_MODELS=FOLDER. Requires torch and transformers:

    python3 tests/write_family_shapes.py FOLDER [MODEL...]

References are computed in float64. The gated delta rule of transformers computes in float32 and loses digits where
states decay strongly; here it is the recurrence.
"""

import json
import shutil
import sys
from pathlib import Path

import torch
import transformers as t
from safetensors.torch import save_file

LENGTH = 47
FULL, SLIDING, CONV, LINEAR = "full_attention", "sliding_attention", "conv", "linear_attention"
BASE = dict(hidden_size=48, intermediate_size=72, num_hidden_layers=3, num_attention_heads=6, num_key_value_heads=2,
            vocab_size=300, max_position_embeddings=128, bos_token_id=1, eos_token_id=2, pad_token_id=None)
GEMMA4 = dict(
    head_dim=16, global_head_dim=24, sliding_window=9, vocab_size_per_layer_input=300, hidden_size_per_layer_input=8,
    pad_token_id=0, final_logit_softcapping=None,
    rope_parameters={FULL: {"partial_rotary_factor": 0.5, "rope_theta": 1e6, "rope_type": "proportional"},
                     SLIDING: {"rope_theta": 1e4, "rope_type": "default"}})
GRANITE4 = dict(layer_types=["attention"] * 3, num_local_experts=0, num_experts_per_tok=0, mamba_n_heads=12,
                mamba_expand=2, mamba_d_head=8, shared_intermediate_size=40)


def yarn(**more):
    return {"rope_type": "yarn", "rope_theta": 1e4, "factor": 4.0, "original_max_position_embeddings": 32, **more}


def rope(kind, theta=1e4, **more):
    return {"rope_type": kind, "rope_theta": theta, **more}


def longrope(pairs, **more):
    short, long = ([1 + 0.3 * scale * pair for pair in range(pairs)] for scale in (1, 3))
    return rope("longrope", short_factor=short, long_factor=long, **more)


def linear(key_heads, heads, key_size, value_size, taps):
    return dict(linear_num_key_heads=key_heads, linear_num_value_heads=heads, linear_key_head_dim=key_size,
                linear_value_head_dim=value_size, linear_conv_kernel_dim=taps)


# Name: class of the configuration, and what differs from BASE.
SHAPES = {
    "smollm3_first_layer": (t.SmolLM3Config, dict(no_rope_layers=[0, 1, 0], tie_word_embeddings=False, mlp_bias=True,
                                                  pad_token_id=0)),
    "smollm3_window": (t.SmolLM3Config, dict(no_rope_layer_interval=2, num_hidden_layers=5, pad_token_id=5,
                                             use_sliding_window=True, sliding_window=7, num_key_value_heads=6)),
    "smollm3_yarn": (t.SmolLM3Config, dict(num_hidden_layers=4, rope_parameters=yarn(), head_dim=12, num_key_value_heads=1)),
    "granite_tied": (t.GraniteConfig, dict(tie_word_embeddings=True, embedding_multiplier=6.0, logits_scaling=3.0,
                                           residual_multiplier=0.3, attention_multiplier=0.2, mlp_bias=True)),
    "granite_linear": (t.GraniteConfig, dict(attention_bias=True, tie_word_embeddings=False, num_key_value_heads=3,
                                             rope_parameters=rope("linear", factor=2.0))),
    "granite4_rope": (t.GraniteMoeHybridConfig, dict(GRANITE4, position_embedding_type="rope", embedding_multiplier=12.0,
                                                     logits_scaling=6.0, residual_multiplier=0.22, attention_multiplier=0.05)),
    "granite4_nope": (t.GraniteMoeHybridConfig, dict(GRANITE4, position_embedding_type="nope", tie_word_embeddings=False)),
    "phi3_partial_window": (t.Phi3Config, dict(rope_parameters=rope("default", partial_rotary_factor=0.5),
                                               sliding_window=9, pad_token_id=0, tie_word_embeddings=True)),
    "phi3_short": (t.Phi3Config, dict(max_position_embeddings=512, original_max_position_embeddings=64,
                                      rope_parameters=longrope(4), pad_token_id=0)),
    "phi3_long": (t.Phi3Config, dict(max_position_embeddings=512, original_max_position_embeddings=24,
                                     rope_parameters=longrope(3, partial_rotary_factor=0.75), pad_token_id=0)),
    "olmo2_bias": (t.Olmo2Config, dict(attention_bias=True, tie_word_embeddings=True, num_key_value_heads=6, pad_token_id=3)),
    "olmo3_yarn": (t.Olmo3Config, dict(num_hidden_layers=4, sliding_window=6, rope_parameters=yarn(
        factor=8.0, beta_fast=16, beta_slow=2, attention_factor=1.1))),
    "olmo3_types": (t.Olmo3Config, dict(num_hidden_layers=4, sliding_window=6, layer_types=[FULL, SLIDING, FULL, SLIDING],
                                        tie_word_embeddings=True, num_key_value_heads=6)),
    "ernie4_5_bias": (t.Ernie4_5Config, dict(use_bias=True, tie_word_embeddings=False, head_dim=16)),
    "ernie4_5_linear": (t.Ernie4_5Config, dict(head_dim=8, rope_parameters=rope("linear", 5e5, factor=3.0))),
    "ministral3_growing": (t.Ministral3Config, dict(head_dim=8, sliding_window=9, rope_parameters=yarn(
        llama_4_scaling_beta=0.3, original_max_position_embeddings=8, mscale=0.7, mscale_all_dim=1.2))),
    "hunyuan_alpha": (t.HunYuanDenseV1Config, dict(head_dim=16, attention_bias=True, tie_word_embeddings=True, pad_token_id=0,
                                                   rope_parameters=rope("dynamic", alpha=1000.0, factor=1.0))),
    "gemma2_caps": (t.Gemma2Config, dict(head_dim=16, query_pre_attn_scalar=20, sliding_window=8, final_logit_softcapping=10.0,
                                         attn_logit_softcapping=5.0, pad_token_id=0)),
    "gemma2_no_caps": (t.Gemma2Config, dict(
        head_dim=8, query_pre_attn_scalar=8, sliding_window=8, layer_types=[FULL, SLIDING, SLIDING], pad_token_id=0,
        final_logit_softcapping=None, attn_logit_softcapping=None, attention_bias=True, tie_word_embeddings=False)),
    "gpt_neox_sequential": (t.GPTNeoXConfig, dict(use_parallel_residual=False, attention_bias=False, tie_word_embeddings=True,
                                                  rotary_pct=0.5)),
    "gpt_neox_whole": (t.GPTNeoXConfig, dict(hidden_act="gelu_new", rope_parameters=rope(
        "linear", 500.0, factor=2.0, partial_rotary_factor=1.0))),
    "lfm2_bias": (t.Lfm2Config, dict(
        conv_bias=True, conv_L_cache=4, layer_types=[CONV, FULL, CONV], block_auto_adjust_ff_dim=True, pad_token_id=0,
        block_multiple_of=16, block_ffn_dim_multiplier=1.3, tie_word_embeddings=False)),
    "lfm2_one_tap": (t.Lfm2Config, dict(conv_L_cache=1, layer_types=[FULL, CONV, CONV], num_key_value_heads=6, pad_token_id=0)),
    "lfm2_seven_taps": (t.Lfm2Config, dict(conv_L_cache=7, num_hidden_layers=4, full_attn_idxs=[1, 3], pad_token_id=3)),
    "lfm2_convolutions": (t.Lfm2Config, dict(layer_types=[CONV, CONV, CONV], pad_token_id=0)),
    "qwen3_5_one_key_head": (t.Qwen3_5TextConfig, dict(
        linear(1, 4, 24, 20, 2), head_dim=16, layer_types=[LINEAR, FULL, LINEAR], tie_word_embeddings=True,
        rope_parameters=rope("default", 1e6, partial_rotary_factor=0.5))),
    "qwen3_5_delta": (t.Qwen3_5TextConfig, dict(linear(3, 3, 8, 32, 6), head_dim=8, layer_types=[LINEAR, LINEAR, LINEAR])),
    "qwen3_5_odd": (t.Qwen3_5TextConfig, dict(linear(2, 6, 5, 7, 3), head_dim=12, num_key_value_heads=6, attention_bias=True,
                                              layer_types=[FULL, FULL, LINEAR],
                                              rope_parameters=rope("default", partial_rotary_factor=0.5))),
    "qwen3_5_wide": (t.Qwen3_5TextConfig, dict(linear(1, 1, 256, 64, 4), head_dim=256, num_attention_heads=2,
                                               num_key_value_heads=1, layer_types=[LINEAR, FULL, LINEAR])),
    "gemma4_own": (t.Gemma4TextConfig, dict(GEMMA4, num_hidden_layers=4, layer_types=[SLIDING, FULL, SLIDING, FULL])),
    "gemma4_shared": (t.Gemma4TextConfig, dict(GEMMA4, num_hidden_layers=5, num_kv_shared_layers=2, use_double_wide_mlp=True,
                                               layer_types=[SLIDING, FULL, SLIDING, SLIDING, FULL])),
    "gemma4_no_inputs": (t.Gemma4TextConfig, dict(
        GEMMA4, hidden_size_per_layer_input=0, final_logit_softcapping=12.0, num_hidden_layers=4,
        layer_types=[SLIDING, SLIDING, SLIDING, FULL])),
    "gemma4_keys_are_values": (t.Gemma4TextConfig, dict(
        GEMMA4, hidden_size_per_layer_input=0, num_hidden_layers=4, attention_k_eq_v=True, num_global_key_value_heads=1,
        layer_types=[SLIDING, FULL, SLIDING, FULL])),
    "gemma4_wide": (t.Gemma4TextConfig, dict(GEMMA4, head_dim=256, global_head_dim=512, num_attention_heads=2,
                                             num_key_value_heads=1, num_hidden_layers=2, layer_types=[SLIDING, FULL])),
}


def delta_rule(query, key, value, g, beta, use_qk_l2norm_in_kernel=False, **_):
    """The recurrence of the gated delta rule, from an empty state."""
    if use_qk_l2norm_in_kernel:
        query, key = (x * torch.rsqrt((x * x).sum(-1, keepdim=True) + 1e-6) for x in (query, key))
    query = query * query.shape[-1] ** -0.5
    state, out = 0.0, []
    for token in range(query.shape[1]):
        q, k = query[:, token, :, :, None], key[:, token, :, :, None]
        state = state * g[:, token, :, None, None].exp()
        delta = beta[:, token, :, None] * (value[:, token] - (state * k).sum(2))
        state = state + k * delta[:, :, None]
        out.append((state * q).sum(2))
    return torch.stack(out, 1), None


def fill(model):
    """Random weights: those of norms around their neutral value, and small queries where scores are unscaled."""
    name_of_model = type(model).__name__
    with torch.no_grad():
        for name, value in model.named_parameters():
            noise = torch.randn_like(value)
            if name.endswith("norm.weight"):
                of_one = name_of_model.startswith("Gemma2") or "Qwen3_5" in name_of_model and "linear_attn" not in name
                value.copy_(0.2 * noise + (not of_one))
                if name_of_model.startswith("Gemma4") and ".q_norm" in name:
                    value *= 0.3
            elif name.endswith(("A_log", "dt_bias")):
                value += 0.2 * noise
            elif value.dim() == 1:
                value.copy_(0.2 * noise)
            elif "embed" in name or value.dim() == 3:
                value.copy_(0.5 * noise)
            else:
                value.copy_(noise * (0.5 if "Qwen3_5" in name_of_model else 0.9) / value.shape[-1] ** 0.5)
        for name, value in model.named_buffers():
            if name.endswith("layer_scalar"):
                value.fill_(0.8)


def write(folder, name):
    kind, differences = SHAPES[name]
    torch.manual_seed(sum(map(ord, name)))
    config = kind(**{**BASE, **differences})
    model = t.AutoModelForCausalLM.from_config(config, attn_implementation="eager").float().eval()
    fill(model)
    shutil.rmtree(folder, ignore_errors=True)
    model.save_pretrained(folder)
    (folder / "generation_config.json").unlink(missing_ok=True)
    for module in model.double().modules():
        if hasattr(module, "chunk_gated_delta_rule"):
            module.chunk_gated_delta_rule = delta_rule
    ids = torch.randint(6, config.vocab_size, (2, LENGTH))
    logits = model(ids, use_cache=False).logits
    loss = torch.nn.functional.cross_entropy(logits[:, :-1].flatten(0, 1), ids[:, 1:].flatten())
    loss.backward()
    norms = {name: value.grad.norm().item() for name, value in model.named_parameters()}
    metadata = {"cross_entropy": repr(loss.item()), "grad_norms": json.dumps(norms)}
    tensors = {"input_ids": ids.int(), "logits": logits.detach().float().contiguous()}
    save_file(tensors, folder / "expected.safetensors", metadata=metadata)
    print(f"{name}: cross-entropy {loss.item():.4f}, largest logit {logits.abs().max().item():.2f}", flush=True)


def main():
    t.utils.logging.set_verbosity_error()
    t.utils.logging.disable_progress_bar()
    torch.set_num_threads(1)
    folder = Path(sys.argv[1])
    for name in sys.argv[2:] or SHAPES:
        write(folder / name, name)


main()
