#!/usr/bin/env python3
"""Compares minift's adapters with Python's PEFT.

Trains one adapter of each kind with the program, and compares parameter counts, the perplexity with PEFT,
and the perplexity of the merged model with transformers. Requires torch, transformers and peft, so test.sh
does not run it:

    python3 tests/check_peft.py target/release/minift [MODEL]
"""

import json
import math
import subprocess
import sys
import tempfile
from pathlib import Path

import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast

ROOT = Path(__file__).resolve().parent.parent
BASE = Path(sys.argv[2]) if len(sys.argv) > 2 else ROOT / "assets/minift-tales-360k"
TEXT = ROOT / "assets/tickets.jsonl"
SOME_MODULES = "c_attn" if json.loads((BASE / "config.json").read_text())["model_type"] == "gpt2" else "q_proj,v_proj"
SAMPLES, LENGTH = 40, 256


def minift(*arguments):
    """Runs the program and returns the last JSON object that it prints."""
    command = [sys.argv[1], "--json", *map(str, arguments), "--device", "cpu"]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return json.loads(done.stdout.strip().splitlines()[-1])


def perplexity(model):
    tokenizer = PreTrainedTokenizerFast(tokenizer_file=str(BASE / "tokenizer.json"))
    loss, count = 0.0, 0
    for line in TEXT.read_text().splitlines()[:SAMPLES]:
        ids = tokenizer(json.loads(line)["text"])["input_ids"][:LENGTH]
        ids = torch.tensor([ids])
        with torch.no_grad():
            logits = model(ids).logits[0, :-1].double()
        loss += torch.nn.functional.cross_entropy(logits, ids[0, 1:], reduction="sum").item()
        count += ids.shape[1] - 1
    return math.exp(loss / count)


def base():
    return AutoModelForCausalLM.from_pretrained(BASE, dtype=torch.float32)


def main():
    worst = 0.0
    kinds = {
        "lora": ["--adapter", "lora"],
        "rslora": ["--adapter", "lora", "--rslora", "--rank", 3, "--target-modules", SOME_MODULES],
        "dora": ["--adapter", "dora"],
        "ia3": ["--adapter", "ia3"],
        "embed": ["--adapter", "dora", "--target-modules", "embed_tokens,q_proj"],
        "head": ["--adapter", "lora", "--target-modules", "lm_head,embed_tokens,v_proj"],
        "all": ["--adapter", "ia3", "--target-modules", "all-linear"],
    }
    with tempfile.TemporaryDirectory() as folder:
        for name, arguments in kinds.items():
            adapter, merged = Path(folder, name), Path(folder, f"{name}-merged")
            minift("train", "--model", BASE, "--data", TEXT, "--samples", 40, "--epochs", 2, "--out", adapter, *arguments)
            minift("merge", "--model", BASE, "--adapter", adapter, "--out", merged)
            data = ["--model", BASE, "--data", TEXT, "--samples", SAMPLES, "--max-length", LENGTH]
            ours = minift("eval", "--adapter", adapter, *data)["perplexity"]
            model = PeftModel.from_pretrained(base(), adapter, is_trainable=True).eval()
            theirs = perplexity(model)
            folded = perplexity(AutoModelForCausalLM.from_pretrained(merged, dtype=torch.float32))
            report = json.loads((adapter / "run.json").read_text())["runs"][0]
            counted, _ = model.get_nb_trainable_parameters()
            print(f"{name:7} minift {ours:.6f}  PEFT {theirs:.6f}  merged {folded:.6f}  {counted:,} trainable")
            assert counted == report["trainable_parameters"], report["trainable_parameters"]
            worst = max(worst, abs(ours / theirs - 1), abs(ours / folded - 1))
    print(f"largest relative difference: {worst:.1e}")
    assert worst < 1e-5


main()
