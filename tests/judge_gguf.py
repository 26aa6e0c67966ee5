"""Lets llama.cpp judge what `minift export` writes.

For each model folder (and each type of weights) it compares llama.cpp on the exported file with minift and
transformers on the folder: token ids and log-probabilities of the first token of 20 prompts, greedy text of 16
tokens, the rendered chat prompt, and whether the answer ends where minift's does. It exits with 1 beyond the limits.

    python3 -m venv /tmp/llama && /tmp/llama/bin/pip install xllamacpp
    python tests/judge_gguf.py --minift target/release/minift --llama-python /tmp/llama/bin/python MODEL...

This script runs where `torch`, `transformers` and `gguf` are; xllamacpp may be in another environment. The
log-probabilities are transformers' in float32 with the weights rounded as in the exported file: minift's own tests
hold minift to them. Texts are compared with those of minift on the exported file. A folder without a tokenizer, such
as those of tests/data/tiny, gets one of its kind.
"""

import argparse
import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import urllib.request
from pathlib import Path

LIMITS = {"f32": 0.02, "f16": 0.02, "bf16": 0.05, "q8_0": 0.1, "q4_0": 0.1}
QUANTISED = ["q8_0", "q4_0"]
TOKENS = 16
ANSWER = 48
EQUAL = 18
VOCABULARY = 512
PROMPTS = [
    "Once upon a time", "The capital of France is", "def add(a, b):\n", "In 1969, men", "Water boils at 100",
    "The quick brown fox", "She opened the door and", "To be, or not to be", "My favourite food is",
    "The three laws of", "import numpy as", "Dear Sir or Madam,\n\n", "A bicycle has two", "2 + 2 =",
    "It's raining, so I'll", "The cat sat on", "Léa habite à", "\n\nChapter 1\n", "The price is $12.50 and",
    "He didn't know whether",
]
QUESTION = [{"role": "user", "content": "What color is the sky?"}]


def ask(server, path, **body):
    request = urllib.request.Request(server + path, json.dumps(body).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=600) as answer:
        return json.load(answer)


def serve(model, questions, adapter):
    """Runs in the environment of xllamacpp: answers the questions of the file and exits."""
    import xllamacpp as x
    p = x.CommonParams()
    p.model.path = model
    p.n_ctx, p.n_parallel, p.warmup, p.cpuparams.n_threads = 256, 1, False, 2
    # Small differences move values to the other side of a rounding: keys and values are float32 as minift's.
    p.cache_type_k = p.cache_type_v = x.ggml_type.GGML_TYPE_F32
    p.flash_attn_type = x.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_DISABLED
    if adapter:
        lora = x.CommonAdapterLoraInfo(adapter, 1.0)
        p.lora_adapters = [lora]
    server = x.Server(p)
    at = server.listening_address
    questions = json.loads(Path(questions).read_text())
    greedy = {"temperature": 0, "top_k": 1, "cache_prompt": False, "return_tokens": True}
    found = {"tokens": [], "first": [], "text": [], "continued": []}
    for prompt, ids in zip(questions["prompts"], questions["ids"]):
        found["tokens"].append(ask(at, "/tokenize", content=prompt, add_special=True)["tokens"])
        first = ask(at, "/completion", prompt=ids, n_predict=1, n_probs=20, **greedy)
        # An end token as the first one comes without them.
        probabilities = first.get("completion_probabilities") or [{"top_logprobs": []}]
        top = probabilities[0]["top_logprobs"]
        found["first"].append([[entry["id"], entry["logprob"]] for entry in top])
        answer = ask(at, "/completion", prompt=ids, n_predict=TOKENS, **greedy)
        found["text"].append(answer["content"])
        found["continued"].append(answer["tokens"])
    if questions["chat"]:
        prompt = ask(at, "/apply-template", messages=questions["chat"])["prompt"]
        answer = ask(at, "/completion", prompt=prompt, n_predict=ANSWER, **greedy)
        found["chat"] = {"prompt": prompt, "answer": answer["content"], "stop": answer["stop_type"]}
    print("\n" + json.dumps(found), flush=True)
    os._exit(0)


def run(*command):
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(map(str, command))}\n{done.stdout[-2000:]}{done.stderr[-3000:]}")
    return done.stdout


def enlarge(folder, config):
    """Gives a model with few embeddings as many as a vocabulary with all bytes needs, at random."""
    import torch
    from safetensors.torch import load_file, save_file
    given = config["vocab_size"]
    if given >= VOCABULARY:
        return
    torch.manual_seed(0)
    weights = load_file(folder / "model.safetensors")
    for name, weight in weights.items():
        if weight.shape[0] == given and any(part in name for part in ["embed", "wte", "lm_head"]):
            more = torch.randn(VOCABULARY - given, *weight.shape[1:]) * weight.std()
            weights[name] = torch.cat([weight, more.to(weight.dtype)])
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    config["vocab_size"] = VOCABULARY
    if "vocab_size_per_layer_input" in config:
        config["vocab_size_per_layer_input"] = VOCABULARY


def with_tokenizer(folder, scratch):
    """Returns the folder, or a copy with a tokenizer of the kind that its family has."""
    if (folder / "tokenizer.json").exists():
        return folder
    from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
    copy = scratch / folder.name
    shutil.copytree(folder, copy)
    config = json.loads((copy / "config.json").read_text())
    family = config["architectures"][0]
    enlarge(copy, config)
    size = config["vocab_size"]
    # llama.cpp has no windows for these.
    if family.startswith(("Mistral", "Qwen")):
        config["sliding_window"] = None
        config["use_sliding_window"] = False
    text = Path(__file__).read_text().splitlines() * 3
    special = ["<unk>", "<bos>", "<eos>"]
    if family.startswith("Phi3"):
        # llama.cpp expects them of this family.
        special += ["<s>", "</s>", "<|endoftext|>"]
    if family.startswith(("Gemma", "OpenELM")):
        tokenizer = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=True))
        replace = normalizers.Replace(" ", "▁")
        prefix = family.startswith("OpenELM")
        tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), replace]) if prefix else replace
        special += [f"<0x{byte:02X}>" for byte in range(256)]
        strip = [decoders.Strip(" ", 1, 0)] if prefix else []
        tokenizer.decoder = decoders.Sequence(
            [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), *strip])
        # Most characters become bytes: that leaves room for merges.
        trainer = trainers.BpeTrainer(vocab_size=size, special_tokens=special, limit_alphabet=40,
                                      max_token_length=6, show_progress=False)
        bos = True
    else:
        tokenizer = Tokenizer(models.BPE(ignore_merges=family.startswith("Llama")))
        llama = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
                 r"|\s*[\r\n]+|\s+(?!\S)|\s+")
        by_bytes = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
        split = {"Llama": llama, "Qwen": llama.replace("{1,3}", "")}.get(family[:5].rstrip("23F"), None)
        if split is None:
            tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        else:
            tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
                [pre_tokenizers.Split(Regex(split), "isolated"), by_bytes])
        tokenizer.decoder = decoders.ByteLevel()
        trainer = trainers.BpeTrainer(vocab_size=size - 2, special_tokens=special[1:], show_progress=False,
                                      initial_alphabet=pre_tokenizers.ByteLevel.alphabet())
        bos = family.startswith("Llama")
    tokenizer.train_from_iterator(text, trainer)
    if family.startswith(("Gemma", "OpenELM")):
        described = json.loads(tokenizer.to_str())
        described["added_tokens"] = [token for token in described["added_tokens"] if token["id"] < 3]
        tokenizer = Tokenizer.from_str(json.dumps(described))
    id_of = tokenizer.token_to_id
    if bos:
        tokenizer.post_processor = processors.TemplateProcessing("<bos> $A", None, [("<bos>", id_of("<bos>"))])
    tokenizer.save(str(copy / "tokenizer.json"))
    config.update(bos_token_id=id_of("<bos>"), eos_token_id=id_of("<eos>"), pad_token_id=None)
    (copy / "config.json").write_text(json.dumps(config))
    (copy / "tokenizer_config.json").write_text(json.dumps(
        {"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": "<bos>", "eos_token": "<eos>"}))
    return copy


def round_weights(model, kind):
    """Rounds what is multiplied or looked up as the exported file has it: blocks run along a row's inputs."""
    import torch
    from gguf import GGMLQuantizationType, quants
    head = model.get_output_embeddings().weight
    done = set()
    for module in model.modules():
        weight = getattr(module, "weight", None)
        transposed = type(module).__name__ == "Conv1D"
        if weight is None or weight.dim() != 2 or weight.shape[0 if transposed else 1] % 32:
            continue
        if weight in done:
            continue
        done.add(weight)
        # The head, which may be the embeddings too, has at least 8 bits.
        of = GGMLQuantizationType["Q8_0" if kind == "q4_0" and weight is head else kind.upper()]
        rows = (weight.T if transposed else weight).detach().contiguous().numpy()
        rows = torch.from_numpy(quants.dequantize(quants.quantize(rows, of), of).reshape(rows.shape).copy())
        weight.data = (rows.T if transposed else rows).contiguous()


def to_q8_0(values):
    """Rounds to blocks of 32 bytes with one float16 scale."""
    import torch
    blocks = values.reshape(-1, 32)
    scale = blocks.abs().amax(1, keepdim=True) / 127
    quotients = torch.where(scale > 0, blocks / scale, 0).round()
    return (quotients * scale.half().float()).reshape(values.shape)


@contextlib.contextmanager
def rounded_inputs(model):
    """Within it, a model rounds the inputs of its linear layers to q8_0, except those of an adapter."""
    import torch
    from transformers.pytorch_utils import Conv1D
    hooks = [
        module.register_forward_pre_hook(lambda _, given: (to_q8_0(given[0]), *given[1:]))
        for name, module in model.named_modules()
        if isinstance(module, (torch.nn.Linear, Conv1D)) and "lora_" not in name
        and module.weight.shape[0 if isinstance(module, Conv1D) else 1] % 32 == 0
    ]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def reference(folder, adapter, kind):
    """What transformers says about a folder with its weights as the type of an exported file."""
    import torch
    from tokenizers import Tokenizer
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    ids = [tokenizer.encode(prompt).ids for prompt in PROMPTS]
    config = json.loads((folder / "config.json").read_text())
    logits = rounded = log_probabilities = None
    if not config["architectures"][0].startswith("OpenELM"):
        from transformers import AutoModelForCausalLM
        model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
        round_weights(model, kind)
        if adapter:
            from peft import PeftModel
            model = PeftModel.from_pretrained(model, adapter)

        def log_probabilities(tokens):
            with torch.no_grad():
                return model(torch.tensor([tokens])).logits[0].log_softmax(-1)

        def first():
            return [log_probabilities(tokens)[-1].tolist() for tokens in ids]

        logits = first()
        if kind in QUANTISED:
            with rounded_inputs(model):
                rounded = first()

    chat = None
    config = folder / "tokenizer_config.json"
    has_template = (folder / "chat_template.jinja").exists() or "chat_template" in config.read_text()
    if has_template:
        from transformers import AutoTokenizer
        auto = AutoTokenizer.from_pretrained(folder)
        prompt = auto.apply_chat_template(QUESTION, tokenize=False, add_generation_prompt=True)
        chat = {"prompt": prompt, "bos": auto.bos_token or ""}
    return {"ids": ids, "logits": logits, "rounded": rounded, "chat": chat, "log_probabilities": log_probabilities}


def answers(minift, model, adapter, chat):
    """What minift continues with the exported weights: llama.cpp's activations are rounded where these are."""
    given = ["--model", model, *(["--adapter-dir", adapter] if adapter else [])]

    def generate(prompt, count, *more):
        lines = run(minift, "--device", "cpu", "--json", "generate", *given, "--prompt", prompt,
                    "--max-new-tokens", count, *more).splitlines()
        return json.loads(lines[-1])

    texts = [generate(prompt, TOKENS) for prompt in PROMPTS]
    return texts, generate(QUESTION[0]["content"], ANSWER, "--chat") if chat else None


def is_tied(reference, prompt, continued, limit):
    """Whether every token of a continuation is as likely as the most likely one, within the limit of both."""
    if reference["log_probabilities"] is None:
        return False
    of = reference["log_probabilities"](prompt + continued)[len(prompt) - 1:-1]
    return all(row.max() - row[token] <= 2 * limit for row, token in zip(of, continued))


def judge(name, kind, reference, found):
    """Returns a row of the table and whether it is within the limits."""
    tokens = sum(a == b for a, b in zip(found["tokens"], reference["ids"]))
    worst, row, good = 0.0, [name, kind, f"{tokens}/20"], tokens == len(PROMPTS)
    limit = LIMITS[kind]
    if expected := reference["logits"]:
        likely = [(i, token, logprob) for i, top in enumerate(found["first"]) for token, logprob in top]
        worst = max(abs(logprob - expected[i][token]) for i, token, logprob in likely)
        row.append(f"{worst:.4f}")
        if rounded := reference["rounded"]:
            by_rounding = max(abs(rounded[i][token] - expected[i][token]) for i, token, _ in likely)
            limit = max(limit, 1.5 * by_rounding)
            row.append(f"{by_rounding:.4f}")
        else:
            row.append("-")
    else:
        row += ["-", "-"]
    equal = [text == expected["text"] for text, expected in zip(found["text"], reference["texts"])]
    # Of models with random weights the most likely tokens are often tied within the accuracy of the type.
    tied = [not same and is_tied(reference, ids, continued, LIMITS[kind])
            for same, ids, continued in zip(equal, reference["ids"], found["continued"])]
    texts = sum(equal) + sum(tied)
    row.append(f"{sum(equal)}/20" + f" +{sum(tied)} tied" * any(tied))
    good = good and worst <= limit and (texts >= EQUAL or kind == "q4_0")
    if reference["chat"]:
        chat, own = found["chat"], reference["chat"]
        same = chat["prompt"].removeprefix(own["bos"]) == own["prompt"].removeprefix(own["bos"])
        ended = own["answer"]["tokens"] < ANSWER if "tokens" in own["answer"] else chat["stop"] == "eos"
        stops = (chat["stop"] == "eos") == ended
        row += ["equal" if same else "DIFFERS", chat["stop"]]
        good = good and same and (stops or kind == "q4_0")
    else:
        row += ["-", "-"]
    return row + ["ok" if good else "BEYOND"], good


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+", type=Path)
    parser.add_argument("--minift", required=True, type=Path)
    parser.add_argument("--llama-python", default=sys.executable)
    parser.add_argument("--adapter", type=Path, help="also judge this LoRA adapter of the one model, exported alone")
    parser.add_argument("--types", default="f16,q8_0")
    arguments = parser.parse_args()
    rows, good = [], True
    with tempfile.TemporaryDirectory() as scratch:
        scratch = Path(scratch)
        for given in arguments.models:
            model = with_tokenizer(given, scratch)
            questions = scratch / "questions.json"
            for kind in arguments.types.split(","):
                expected = reference(model, arguments.adapter, kind)
                chat = QUESTION if expected["chat"] else None
                questions.write_text(json.dumps({"prompts": PROMPTS, "ids": expected["ids"], "chat": chat}))
                out = scratch / "out" / "model.gguf"
                export = [arguments.minift, "--device", "cpu", "export", "--model", model, "--force"]
                run(*export, "--out", out, "--type", kind)
                files = [out, questions]
                if arguments.adapter:
                    files.append(scratch / "out" / "adapter.gguf")
                    run(*export, "--adapter-dir", arguments.adapter, "--adapter-only", "--out", files[-1])
                texts, chatted = answers(arguments.minift, out, arguments.adapter, chat)
                expected["texts"] = texts
                if chat:
                    expected["chat"]["answer"] = chatted
                answer = run(arguments.llama_python, __file__, "--serve", *files)
                row, within = judge(given.name, kind, expected, json.loads(answer.splitlines()[-1]))
                rows.append(row)
                good = good and within
    head = ["model", "type", "tokens", "max |Δ log p|", "by rounding", "greedy", "chat prompt", "stop", ""]
    widths = [max(len(row[i]) for row in [head, *rows]) for i in range(len(head))]
    for row in [head, *rows]:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip())
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--serve"]:
        serve(sys.argv[2], sys.argv[3], sys.argv[4] if len(sys.argv) > 4 else None)
    main()
