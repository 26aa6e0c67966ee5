#!/usr/bin/env python3
"""Writes tests/data/gguf/tiny: small random models in GGUF with reference logits, one per architecture, and the token
ids of their tokenizers. Requires torch, transformers, gguf, tokenizers and sentencepiece:

    python3 tests/write_gguf_tiny.py [FOLDER]
"""

import io
import json
import math
import sys
from pathlib import Path

import gguf
import numpy as np
import sentencepiece
import torch
import transformers
from gguf import GGMLQuantizationType as T
from gguf import TokenType
from safetensors.torch import save_file
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

ROOT = Path(__file__).resolve().parent.parent
OUT = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "tests/data/gguf/tiny"
CORPUS = [(ROOT / name).read_text()[:60_000] for name in ["README.md", "docs/guide.md", "tests/it/families.rs"]]
CORPUS += ["a  b   c    d\n\n1. one\n\n22 + 333 = 4444\n\tfn x() {}\n" * 20]
TEXTS = [
    "",
    "Hello there, you're right: it's 12345 o'clock, isn't IT'S?",
    "  two spaces,   three\n\n1. a list\n\n\n22. more  7 \t\ttabs \r\n end  ",
    "Straße naïve e\u0301 東京タワー 한국어 Привет مرحبا हिन्दी 🚲👩‍👩‍👧 ½² ٣٤",
    'fn main() { println!("{}", a_b[3] != 0x1F); } // 3.14159 1,000,000',
    "<|im_start|>user\nHello<|im_end|>\n<start_of_turn>a<end_of_turn> <s> </s>",
    "\u00a0 \u3000wide\u200b \ufeff.",
]
CONTRACTIONS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
PATTERNS = {
    "llama-bpe": CONTRACTIONS
    + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    "qwen2": CONTRACTIONS
    + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    "qwen35": CONTRACTIONS
    + r"|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
}


def words(pre):
    """The pre-tokenizer that the models' own tokenizer.json have."""
    if pre == "gpt-2":
        return pre_tokenizers.ByteLevel(add_prefix_space=False)
    if pre == "smollm":
        return pre_tokenizers.Sequence([pre_tokenizers.Digits(True), pre_tokenizers.ByteLevel(add_prefix_space=False)])
    split = pre_tokenizers.Split(Regex(PATTERNS[pre]), "isolated")
    return pre_tokenizers.Sequence([split, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])


def byte_level(writer, pre, specials, bos, eos, add_bos):
    """Adds a byte-level BPE tokenizer, and returns the size of its vocabulary and ids of the texts."""
    tokenizer = Tokenizer(models.BPE(ignore_merges=pre == "llama-bpe"))
    tokenizer.normalizer = normalizers.NFC() if pre.startswith("qwen") else None
    tokenizer.pre_tokenizer = words(pre)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=384, initial_alphabet=alphabet, special_tokens=specials, show_progress=False)
    tokenizer.train_from_iterator(CORPUS, trainer)
    model = json.loads(tokenizer.to_str())["model"]
    tokens = sorted(model["vocab"], key=model["vocab"].get)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(pre)
    writer.add_token_list(tokens)
    writer.add_token_types([TokenType.CONTROL if t in specials else TokenType.NORMAL for t in tokens])
    writer.add_token_merges([" ".join(merge) for merge in model["merges"]])
    ids = [tokenizer.encode(text).ids for text in TEXTS]
    begin = [tokens.index(bos)] if add_bos else []
    if bos:
        writer.add_bos_token_id(tokens.index(bos))
    writer.add_eos_token_id(tokens.index(eos))
    writer.add_add_bos_token(add_bos)
    return len(tokens), [begin + one for one in ids]


def sentence_piece(writer, gemma):
    """Adds a SentencePiece tokenizer, and returns the size of its vocabulary and ids of the texts."""
    user = ["\n\n", "▁▁", "▁▁▁", "<start_of_turn>", "<end_of_turn>"] if gemma else []
    out = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(line for text in CORPUS for line in text.split("\n")), model_writer=out,
        model_type="bpe", vocab_size=448, byte_fallback=True, character_coverage=0.995, add_dummy_prefix=not gemma,
        remove_extra_whitespaces=False, normalization_rule_name="identity", user_defined_symbols=user,
        split_digits=True, minloglevel=2, num_threads=1,
    )
    processor = sentencepiece.SentencePieceProcessor(model_proto=out.getvalue())
    tokens, scores, types = [], [], []
    for number in range(processor.vocab_size()):
        piece = processor.id_to_piece(number)
        kind = TokenType.NORMAL
        if processor.is_unknown(number):
            kind = TokenType.UNKNOWN
        elif processor.is_control(number):
            kind = TokenType.CONTROL
        elif processor.is_byte(number):
            kind = TokenType.BYTE
        elif piece in user:
            # As llama.cpp writes the added tokens of tokenizer_config.json.
            piece, kind = piece.replace("▁", " "), TokenType.USER_DEFINED
        tokens.append(piece)
        scores.append(-1000.0 if kind == TokenType.USER_DEFINED else processor.get_score(number))
        types.append(kind)
    writer.add_tokenizer_model("llama")
    writer.add_tokenizer_pre("default")
    writer.add_token_list(tokens)
    writer.add_token_scores(scores)
    writer.add_token_types(types)
    writer.add_bos_token_id(processor.bos_id())
    writer.add_eos_token_id(processor.eos_id())
    writer.add_unk_token_id(processor.unk_id())
    if gemma:
        writer.add_add_space_prefix(False)
    # Control tokens are matched in texts, which SentencePiece itself does not do.
    texts = [text for text in TEXTS if "<s>" not in text]
    return len(tokens), [[processor.bos_id()] + processor.encode(text) for text in texts]


def permute(weights, heads):
    """The rows of queries and keys in the order of llama.cpp."""
    shape = weights.shape
    return weights.reshape(heads, 2, shape[0] // heads // 2, *shape[1:]).swapaxes(1, 2).reshape(shape)


def unpermute(weights, heads):
    shape = weights.shape
    return weights.reshape(heads, shape[0] // heads // 2, 2, *shape[1:]).swapaxes(1, 2).reshape(shape)


def tiled(values, config, first, size, axis=0):
    """The value heads of Qwen3.5 in the order of llama.cpp: the first of every key head, then the second."""
    keys, group = config.linear_num_key_heads, config.linear_num_value_heads // config.linear_num_key_heads
    order = np.arange(keys * group * size).reshape(keys, group, size).swapaxes(0, 1).reshape(-1)
    return np.take(values, np.concatenate([np.arange(first), first + order]), axis)


def of_qwen35(name, config):
    """The name in GGUF, if gguf-py has none, and how values are stored and read back."""
    keys, values = config.linear_num_key_heads * config.linear_key_head_dim, config.linear_value_head_dim
    first, size, axis = {
        "in_proj_qkv.weight": (2 * keys, values, 0), "in_proj_z.weight": (0, values, 0), "out_proj.weight": (0, values, 1),
        "conv1d.weight": (2 * keys, values, 0),
    }.get(name.split("linear_attn.")[-1], (0, 1, 0))
    if "linear_attn." not in name or name.endswith("linear_attn.norm.weight"):
        return None, lambda v: v, lambda v: v
    def back(stored):  # noqa: E306
        moved = tiled(np.arange(stored.shape[axis]), config, first, size)
        return np.take(stored, np.argsort(moved), axis)
    mapped = {"A_log": "ssm_a", "dt_bias": "ssm_dt.bias"}.get(name.rsplit(".", 1)[1])
    layer = name.split(".")[2]
    there = lambda v: tiled(v, config, first, size, axis)  # noqa: E731
    if name.endswith("A_log"):
        return f"blk.{layer}.{mapped}", (lambda v: there(-np.exp(v))), (lambda v: np.log(-back(v)))
    if name.endswith("conv1d.weight"):
        return None, (lambda v: there(v.squeeze(1))), (lambda v: back(v)[:, None])
    return mapped and f"blk.{layer}.{mapped}", there, back


def fill(model):
    """Random weights, those of norms around their neutral value."""
    torch.manual_seed(5)
    with torch.no_grad():
        for name, value in model.named_parameters():
            noise = torch.randn_like(value)
            if value.dim() == 1 and "weight" in name and "gemma" not in type(model).__name__.lower():
                value.copy_(1 + 0.2 * noise)
            elif value.dim() == 1:
                value.copy_(0.2 * noise)
            else:
                value.copy_(noise * (0.5 if "emb" in name or "wte" in name else 0.25))


def tensors(writer, model, arch, config, types):
    """Adds the model's tensors, quantized, and sets the model's own weights to what was stored."""
    names = gguf.get_tensor_name_map(arch, config.num_hidden_layers)
    kinds = iter(types * 100)
    heads, kv_heads = config.num_attention_heads, getattr(config, "num_key_value_heads", config.num_attention_heads)
    seen = set()
    for name, parameter in model.named_parameters():
        if parameter.data_ptr() in seen:
            continue
        seen.add(parameter.data_ptr())
        there = back = lambda values: values  # noqa: E731
        mapped = None
        if arch == gguf.MODEL_ARCH.LLAMA and ".q_proj." in name:
            there, back = (lambda v: permute(v, heads)), (lambda v: unpermute(v, heads))
        elif arch == gguf.MODEL_ARCH.LLAMA and ".k_proj." in name:
            there, back = (lambda v: permute(v, kv_heads)), (lambda v: unpermute(v, kv_heads))
        elif arch == gguf.MODEL_ARCH.GEMMA3 and name.endswith("norm.weight"):
            there, back = (lambda v: v + 1), (lambda v: v - 1)
        elif arch == gguf.MODEL_ARCH.GPT2 and parameter.dim() == 2 and ".h." in name:
            there = back = np.transpose
        elif arch == gguf.MODEL_ARCH.QWEN35 and name.endswith("norm.weight") and "linear_attn" not in name:
            there, back = (lambda v: v + 1), (lambda v: v - 1)
        elif arch == gguf.MODEL_ARCH.QWEN35:
            mapped, there, back = of_qwen35(name, config)
        elif "conv.conv" in name:
            there, back = (lambda v: v.squeeze(1)), (lambda v: v[:, None])
        values = np.ascontiguousarray(there(parameter.detach().numpy().astype(np.float32)))
        kind = T.F32 if values.ndim == 1 or "wpe" in name or "conv" in name else next(kinds)
        stored = gguf.quants.quantize(values, kind)
        stem, ending = name.rsplit(".", 1)
        mapped = mapped or f"{names.get_name(stem, try_suffixes=('.weight', '.bias'))}.{ending}"
        writer.add_tensor(mapped, stored, raw_dtype=kind)
        values = back(gguf.quants.dequantize(stored, kind).astype(np.float32).reshape(values.shape))
        with torch.no_grad():
            parameter.copy_(torch.from_numpy(np.ascontiguousarray(values)))


def rope_factors(writer, config):
    """The tensor that stands for Llama 3's scaling."""
    rope = config.rope_parameters
    base, dim = rope["rope_theta"], config.head_dim
    frequencies = 1.0 / (base ** (torch.arange(0, dim, 2, dtype=torch.float32) / dim))
    length, low, high = (rope[k] for k in ["original_max_position_embeddings", "low_freq_factor", "high_freq_factor"])
    factors = []
    for frequency in frequencies:
        wavelength = 2 * math.pi / frequency
        smooth = (length / wavelength - low) / (high - low)
        if wavelength < length / high:
            factors.append(1)
        elif wavelength > length / low:
            factors.append(rope["factor"])
        else:
            factors.append(1 / ((1 - smooth) / rope["factor"] + smooth))
    writer.add_tensor("rope_freqs.weight", np.array(factors, dtype=np.float32))


LLAMA = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4,
         "num_key_value_heads": 2, "max_position_embeddings": 256}
CHAT = "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
CHAT_TOKENS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
LLAMA3_TOKENS = ["<|begin_of_text|>", "<|end_of_text|>", "<|eot_id|>"]


def common(writer, config):
    writer.add_context_length(getattr(config, "max_position_embeddings", None) or config.n_positions)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_head_count(config.num_attention_heads)


def gated(writer, config):
    common(writer, config)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)


def write(name, arch, types, tokenizer, configure, describe):
    OUT.mkdir(parents=True, exist_ok=True)
    path = OUT / f"{name}.gguf"
    writer = gguf.GGUFWriter(path, gguf.MODEL_ARCH_NAMES[arch])
    vocab_size, ids = tokenizer(writer)
    config = configure(vocab_size)
    model = transformers.AutoModelForCausalLM.from_config(config).eval()
    fill(model)
    describe(writer, config)
    tensors(writer, model, arch, config, types)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    torch.manual_seed(6)
    inputs = torch.randint(0, vocab_size, (1, 24))
    with torch.no_grad():
        logits = model(inputs).logits
    save_file({"input_ids": inputs.int(), "logits": logits}, OUT / f"{name}.safetensors")
    return ids


def describe_llama(writer, config):
    gated(writer, config)
    writer.add_vocab_size(config.vocab_size)
    writer.add_rope_dimension_count(config.head_dim)
    writer.add_key_length(config.head_dim)
    writer.add_value_length(config.head_dim)
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    if config.rope_parameters["rope_type"] == "llama3":
        rope_factors(writer, config)


def describe_qwen(writer, config):
    gated(writer, config)
    if config.model_type == "qwen3":
        writer.add_key_length(config.head_dim)
        writer.add_value_length(config.head_dim)
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    writer.add_chat_template(CHAT)


def describe_gemma(writer, config):
    gated(writer, config)
    writer.add_key_length(config.head_dim)
    writer.add_value_length(config.head_dim)
    writer.add_rope_freq_base(1e6)
    writer.add_sliding_window(config.sliding_window)
    writer.add_rope_scaling_type(gguf.RopeScalingType.LINEAR)
    writer.add_rope_scaling_factor(8.0)


def describe_gpt2(writer, config):
    common(writer, config)
    writer.add_feed_forward_length(4 * config.n_embd)
    writer.add_layer_norm_eps(config.layer_norm_epsilon)


def describe_phi(writer, config):
    common(writer, config)
    writer.add_feed_forward_length(4 * config.hidden_size)
    writer.add_head_count_kv(config.num_attention_heads)
    writer.add_layer_norm_eps(config.layer_norm_eps)
    writer.add_rope_dimension_count(int(0.5 * config.hidden_size) // config.num_attention_heads)


def describe_lfm2(writer, config):
    common(writer, config)
    width = 2 * config.intermediate_size // 3
    writer.add_feed_forward_length(-(-width // config.block_multiple_of) * config.block_multiple_of)
    kinds = config.layer_types
    writer.add_head_count_kv([config.num_key_value_heads if kind == "full_attention" else 0 for kind in kinds])
    writer.add_layer_norm_rms_eps(config.norm_eps)
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    writer.add_vocab_size(config.vocab_size)
    writer.add_shortconv_l_cache(config.conv_L_cache)


def describe_qwen35(writer, config):
    gated(writer, config)
    writer.add_key_length(config.head_dim)
    writer.add_value_length(config.head_dim)
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    writer.add_rope_dimension_count(int(config.head_dim * config.rope_parameters["partial_rotary_factor"]))
    writer.add_rope_dimension_sections([11, 11, 10, 0])
    writer.add_full_attention_interval(3)
    writer.add_ssm_conv_kernel(config.linear_conv_kernel_dim)
    writer.add_ssm_state_size(config.linear_key_head_dim)
    writer.add_ssm_group_count(config.linear_num_key_heads)
    writer.add_ssm_time_step_rank(config.linear_num_value_heads)
    writer.add_ssm_inner_size(config.linear_value_head_dim * config.linear_num_value_heads)


A = gguf.MODEL_ARCH
ids = {
    "llama": write(
        "llama", A.LLAMA, [T.Q8_0, T.F16, T.Q4_0, T.BF16],
        lambda w: byte_level(w, "llama-bpe", LLAMA3_TOKENS, "<|begin_of_text|>", "<|end_of_text|>", True),
        lambda v: transformers.LlamaConfig(
            **LLAMA, vocab_size=v, head_dim=16, rms_norm_eps=1e-5, tie_word_embeddings=False,
            rope_parameters={"rope_type": "llama3", "rope_theta": 500000.0, "factor": 32.0, "low_freq_factor": 1.0,
                             "high_freq_factor": 4.0, "original_max_position_embeddings": 8192}),
        describe_llama),
    "smollm": write(
        "smollm", A.LLAMA, [T.Q4_0, T.Q4_1, T.Q5_0, T.Q5_1],
        lambda w: byte_level(w, "smollm", CHAT_TOKENS, "<|im_start|>", "<|im_end|>", False),
        lambda v: transformers.LlamaConfig(**LLAMA, vocab_size=v, head_dim=8, rms_norm_eps=1e-5, tie_word_embeddings=True),
        describe_llama),
    "sentencepiece": write(
        "sentencepiece", A.LLAMA, [T.Q8_0, T.Q5_1],
        lambda w: sentence_piece(w, False),
        lambda v: transformers.LlamaConfig(**LLAMA, vocab_size=v, rms_norm_eps=1e-5, tie_word_embeddings=False,
                                           attention_bias=False),
        describe_llama),
    "qwen2": write(
        "qwen2", A.QWEN2, [T.Q8_0, T.F16],
        lambda w: byte_level(w, "qwen2", CHAT_TOKENS, None, "<|im_end|>", False),
        lambda v: transformers.Qwen2Config(**LLAMA, vocab_size=v, tie_word_embeddings=False),
        describe_qwen),
    "qwen3": write(
        "qwen3", A.QWEN3, [T.BF16, T.Q8_0],
        lambda w: byte_level(w, "qwen2", CHAT_TOKENS, None, "<|im_end|>", False),
        lambda v: transformers.Qwen3Config(**LLAMA, vocab_size=v, head_dim=32, tie_word_embeddings=True),
        describe_qwen),
    "gemma3": write(
        "gemma3", A.GEMMA3, [T.Q8_0, T.Q4_0],
        lambda w: sentence_piece(w, True),
        lambda v: transformers.Gemma3TextConfig(
            **{**LLAMA, "num_hidden_layers": 7, "intermediate_size": 64}, vocab_size=v, head_dim=16,
            query_pre_attn_scalar=16, sliding_window=8, hidden_activation="gelu_pytorch_tanh",
            rope_parameters={"full_attention": {"rope_type": "linear", "factor": 8.0, "rope_theta": 1e6},
                             "sliding_attention": {"rope_type": "default", "rope_theta": 1e4}}),
        describe_gemma),
    "gpt2": write(
        "gpt2", A.GPT2, [T.F16, T.Q8_0],
        lambda w: byte_level(w, "gpt-2", ["<|endoftext|>"], "<|endoftext|>", "<|endoftext|>", False),
        lambda v: transformers.GPT2Config(n_embd=32, n_layer=2, n_head=4, n_positions=64, vocab_size=v),
        describe_gpt2),
    "phi2": write(
        "phi2", A.PHI2, [T.Q8_0, T.Q4_1],
        lambda w: byte_level(w, "gpt-2", ["<|endoftext|>"], "<|endoftext|>", "<|endoftext|>", False),
        lambda v: transformers.PhiConfig(
            **{**LLAMA, "num_key_value_heads": 4, "intermediate_size": 128}, vocab_size=v, partial_rotary_factor=0.5, tie_word_embeddings=False),
        describe_phi),
    "lfm2": write(
        "lfm2", A.LFM2, [T.Q8_0, T.F16, T.Q4_0],
        lambda w: byte_level(w, "llama-bpe", LLAMA3_TOKENS, "<|begin_of_text|>", "<|end_of_text|>", True),
        lambda v: transformers.Lfm2Config(
            **{**LLAMA, "intermediate_size": 80, "num_hidden_layers": 3}, vocab_size=v, block_multiple_of=32,
            layer_types=["conv", "full_attention", "conv"]),
        describe_lfm2),
    "qwen35": write(
        "qwen35", A.QWEN35, [T.Q8_0, T.F16, T.Q4_0],
        lambda w: byte_level(w, "qwen35", CHAT_TOKENS, None, "<|im_end|>", False),
        lambda v: transformers.Qwen3_5TextConfig(
            **{**LLAMA, "num_hidden_layers": 3}, vocab_size=v, head_dim=16, linear_num_key_heads=2,
            linear_num_value_heads=4, linear_key_head_dim=16, linear_value_head_dim=16, tie_word_embeddings=True,
            layer_types=["linear_attention", "linear_attention", "full_attention"],
            rope_parameters={"rope_type": "default", "rope_theta": 1e6, "partial_rotary_factor": 0.5}),
        describe_qwen35),
}
(OUT / "tokens.json").write_text(json.dumps({"texts": TEXTS, "ids": ids}, ensure_ascii=False, indent=0) + "\n")
