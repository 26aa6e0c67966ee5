#!/usr/bin/env python3
"""Compares what minift writes for every model family with transformers and PEFT.

Trains each model of a folder with the program, wholly and with LoRA on its default targets, merges the adapter, and
prints the largest differences between minift's logits and those of transformers and PEFT for the written folders, and
the number of trainable parameters, which has to be PEFT's for all-linear. Requires torch, transformers and peft, so
test.sh does not run it:

    python3 tests/check_families.py target/release/minift [FOLDER [MODEL...]]
"""

import json
import shutil
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path

import torch
import transformers
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import AutoConfig, AutoModelForCausalLM

PROGRAM = sys.argv[1]
FOLDER = Path(sys.argv[2]) if len(sys.argv) > 2 else Path(__file__).resolve().parent / "data/tiny"
# Not a part of transformers.
WITHOUT = ["openelm", "openelm_plain"]
TOLERANCE = 2e-4


def minift(*arguments, check=True):
    """Runs the program and returns the last JSON object that it prints."""
    command = [PROGRAM, "--json", *map(str, arguments), "--device", "cpu"]
    done = subprocess.run(command, capture_output=True, text=True)
    if check and done.returncode:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr}")
    return json.loads(done.stdout.strip().splitlines()[-1])


def with_tokenizer(source, base, vocab_size):
    """Copies a model, with a tokenizer whose words are the numbers of its tokens."""
    shutil.copytree(source, base)
    tokenizer = Tokenizer(models.WordLevel({str(number): number for number in range(vocab_size)}, unk_token="0"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.save(str(base / "tokenizer.json"))


def load(folder):
    """Loads a folder with transformers; every tensor has to be in its place. Of a model of text and other media, it
    is the text model."""
    config = AutoConfig.from_pretrained(folder)
    options = {"dtype": torch.float32, "output_loading_info": True, "attn_implementation": "eager"}
    if config.get_text_config() is config:
        model, loading = AutoModelForCausalLM.from_pretrained(folder, **options)
        assert not (loading["missing_keys"] or loading["unexpected_keys"] or loading["mismatched_keys"]), loading
        return model.eval()
    whole = getattr(transformers, config.architectures[0]).from_pretrained(folder, dtype=torch.float32)
    text = config.get_text_config()
    text.tie_word_embeddings = config.tie_word_embeddings
    model = AutoModelForCausalLM.from_config(text, attn_implementation="eager").float()
    model.model.load_state_dict(whole.model.language_model.state_dict())
    model.lm_head.load_state_dict(whole.lm_head.state_dict())
    return model.eval()


def largest_error(model, ids, file, *arguments):
    """Returns the largest difference between a model's logits and minift's for a folder. Both compute in float32, so
    that unscaled attention scores, as Gemma 4 has them, differ more than others."""
    with torch.no_grad():
        logits = model.double()(ids, use_cache=False).logits.float()
    save_file({"input_ids": ids.int(), "logits": logits.contiguous()}, file)
    return minift("doctor", *arguments, "--expected", file, check=False)["max_error"]


def check(source, folder):
    """Returns the largest differences for a model: trained, with an adapter, and with the adapter merged."""
    base, full, adapter, merged = (folder / name for name in ["base", "full", "adapter", "merged"])
    ids = load_file(source / "expected.safetensors")["input_ids"].long()
    with_tokenizer(source, base, AutoConfig.from_pretrained(source).get_text_config().vocab_size)
    data, expected = folder / "texts.jsonl", folder / "expected.safetensors"
    data.write_text("".join(json.dumps({"text": " ".join(map(str, row))}) + "\n" for row in ids.tolist()))

    train = ["train", "--model", base, "--data", data, "--epochs", 4, "--batch-size", 2, "--learning-rate", "1e-2"]
    minift(*train, "--out", full)
    trained = largest_error(load(full), ids, expected, "--model", full)

    minift(*train, "--adapter", "lora", "--out", adapter)
    report = json.loads((adapter / "run.json").read_text())["runs"][0]
    model = get_peft_model(load(base), LoraConfig(task_type="CAUSAL_LM", target_modules="all-linear"))
    counted, _ = model.get_nb_trainable_parameters()
    assert counted == report["trainable_parameters"], (counted, report["trainable_parameters"])
    model = PeftModel.from_pretrained(load(base), adapter, is_trainable=True).eval()
    assert model.get_nb_trainable_parameters()[0] == counted
    adapted = largest_error(model, ids, expected, "--model", base, "--adapter-dir", adapter)

    minift("merge", "--model", base, "--adapter", adapter, "--out", merged)
    folded = largest_error(load(merged), ids, expected, "--model", merged)
    changed = largest_error(load(base), ids, expected, "--model", merged)
    assert changed > 100 * max(folded, adapted), f"the training changed the logits by {changed} only"
    return [trained, adapted, folded], counted


def main():
    warnings.filterwarnings("ignore")
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    torch.set_num_threads(1)
    names = sys.argv[3:] or sorted(path.name for path in FOLDER.iterdir() if path.name not in WITHOUT)
    worst = 0.0
    print(f"{'model':28} {'trained':>9} {'PEFT':>9} {'merged':>9}  trainable")
    for name in names:
        with tempfile.TemporaryDirectory() as folder:
            errors, counted = check(FOLDER / name, Path(folder))
        print(f"{name:28} " + " ".join(f"{error:9.1e}" for error in errors) + f"  {counted:,}", flush=True)
        worst = max(worst, *errors)
    print(f"largest difference: {worst:.1e}")
    assert worst < TOLERANCE


main()
