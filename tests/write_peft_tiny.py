#!/usr/bin/env python3
"""Writes tests/data/peft_tiny: adapters of PEFT for the models of tests/data/tiny, one per part that an adapter's
file can have, with reference logits and gradients. Requires torch, transformers and peft:

    python3 tests/write_peft_tiny.py [FOLDER [CASE...]]
"""

import json
import shutil
import sys
import warnings
from pathlib import Path

import torch
from peft import IA3Config, LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

DATA = Path(__file__).resolve().parent / "data"
VOCAB = 512
# Its scores are not scaled: float32 is not exact enough for a reference.
DOUBLE = ["gemma4"]
ALL = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]


def lora(*modules, **options):
    return LoraConfig(task_type="CAUSAL_LM", target_modules=list(modules), **{"r": 2, "lora_alpha": 8, **options})


# Name: base model, settings, size of a resized vocabulary.
CASES = {
    "embed_head": ("smollm2", lora("embed_tokens", "lm_head", "q_proj"), None),
    "gemma_embed": (
        "gemma3",
        lora("embed_tokens", "q_proj", use_dora=True, use_rslora=True, alpha_pattern={"q_proj": 32}),
        None,
    ),
    "gemma4_inputs": (
        "gemma4",
        lora("embed_tokens_per_layer", "per_layer_model_projection", "per_layer_input_gate", "per_layer_projection", "k_proj"),
        None,
    ),
    "gpt2_bias": ("gpt2", lora("c_attn", "c_proj", bias="all", lora_bias=True), None),
    "gpt2_positions": ("gpt2", lora("c_attn", "wpe", bias="lora_only", use_dora=True, rank_pattern={"c_attn": 3}), None),
    "lfm2_conv": ("lfm2", lora("in_proj", "out_proj", "q_proj", "w2"), None),
    "llama_lora_bias": ("llama3", lora("q_proj", "lm_head", lora_bias=True), None),
    "patterns": (
        "qwen2",
        lora(
            *ALL,
            use_rslora=True,
            alpha_pattern={r"layers\.0\..*_proj": 3, "up_proj": 64},
            rank_pattern={"^model.layers.1.mlp.up_proj": 5, "k_proj": 1},
            modules_to_save=["norm"],
        ),
        None,
    ),
    "phi_ia3_head": (
        "phi",
        IA3Config(task_type="CAUSAL_LM", target_modules=["lm_head", "k_proj", "fc2"], feedforward_modules=["fc2"]),
        None,
    ),
    "phi_head": ("phi", lora("lm_head", "dense", bias="lora_only", lora_bias=True), None),
    "qwen3_5_delta": (
        "qwen3_5",
        lora("in_proj_qkv", "in_proj_z", "in_proj_a", "in_proj_b", "out_proj", "q_proj", use_dora=True),
        None,
    ),
    "resized": ("smollm2", lora("q_proj"), 516),
    "resized_tokens": ("smollm2", lora("q_proj", trainable_token_indices=[512, 515]), 516),
    "save_embed": ("smollm2", lora("q_proj", modules_to_save=["embed_tokens"]), None),
    "save_layers": ("qwen3", lora("q_proj", modules_to_save=["self_attn.v_proj", "q_norm"]), None),
    "tokens": ("smollm2", lora("q_proj", trainable_token_indices=[1, 5, 100]), None),
    "tokens_apart": ("smollm2", lora("q_proj", trainable_token_indices={"embed_tokens": [1, 5], "lm_head": [7]}), None),
}


def base(name, rows):
    model = AutoModelForCausalLM.from_pretrained(DATA / "tiny" / name, dtype=torch.float32)
    if rows:
        model.resize_token_embeddings(rows, mean_resizing=False)
        generator = torch.Generator().manual_seed(9)
        with torch.no_grad():
            new = model.get_input_embeddings().weight[VOCAB:]
            new.copy_(torch.randn(new.shape, generator=generator) * 0.1)
    return model


def write(folder, name):
    base_name, config, rows = CASES[name]
    model = get_peft_model(base(base_name, rows), config)
    torch.manual_seed(1)
    for _, parameter in model.named_parameters():
        if parameter.requires_grad:
            parameter.data += torch.randn(parameter.shape) * 0.08
    shutil.rmtree(folder, ignore_errors=True)
    # Copies of unchanged embeddings, which PEFT adds to adapters of embeddings, only in one case.
    model.save_pretrained(folder, save_embedding_layers=True if rows else name == "embed_head")
    (folder / "README.md").unlink()

    again = PeftModel.from_pretrained(base(base_name, rows), folder, is_trainable=True).eval()
    if base_name in DOUBLE:
        model, again = model.double(), again.double()
    ids = torch.randint(0, VOCAB, (2, 8))
    if rows:
        ids[0, 3], ids[1, 5] = rows - 1, VOCAB
    output = again(ids, labels=ids)
    output.loss.backward()
    assert (output.logits - model.eval()(ids).logits).abs().max() < 1e-4
    tensors = {"input_ids": ids.int(), "logits": output.logits.detach().float().contiguous()}
    # By the names in the file; weights that are replaced as a whole are not trained.
    own = set(load_file(folder / "adapter_model.safetensors"))
    for key, parameter in again.named_parameters():
        key = key.replace(".default", "").replace("magnitude_vector.weight", "magnitude_vector")
        if key in own and parameter.grad is not None and (".lora_" in key or ".ia3_" in key):
            tensors[f"gradient.{key}"] = parameter.grad.float()
    metadata = {"base": base_name, "cross_entropy": repr(output.loss.item())}
    save_file(tensors, folder / "expected.safetensors", metadata=metadata)

    path = folder / "adapter_config.json"
    fields = json.loads(path.read_text())
    fields["base_model_name_or_path"] = base_name
    path.write_text(json.dumps(fields, indent=2))
    print(name, output.loss.item(), len(tensors) - 2, "gradients")


def main():
    warnings.filterwarnings("ignore")
    torch.set_num_threads(1)
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else DATA / "peft_tiny"
    for name in sys.argv[2:] or CASES:
        write(folder / name, name)


main()
