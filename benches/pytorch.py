"""PyTorch's side of the figures in docs/performance.md: whole training steps on the CPU.

The same shapes and batches as `minift bench`: finetuning (FT) and minifinetuning (MFT) of all weights, and MFT of a
LoRA adapter on all linear layers, with `transformers`, `peft` and AdamW. As in the published recipe, MFT computes its
teacher in every step.

    python -m venv venv && venv/bin/pip install torch transformers peft
    venv/bin/python benches/pytorch.py [--shape 15m|135m|lfm2|qwen3.5] [--steps N] [--threads N]
"""

import argparse
import platform
import statistics
import time

import peft
import torch
import transformers
from transformers import AutoModelForCausalLM, Lfm2Config, LlamaConfig, Qwen3_5TextConfig

# Configuration, and the batches of all weights and of an adapter.
SHAPES = {
    "15m": (LlamaConfig(hidden_size=288, intermediate_size=768, num_hidden_layers=6, num_attention_heads=6,
                        num_key_value_heads=6, vocab_size=32_000), (4, 256), (4, 256)),
    "135m": (LlamaConfig(hidden_size=576, intermediate_size=1536, num_hidden_layers=30, num_attention_heads=9,
                         num_key_value_heads=3, vocab_size=49_152), (2, 128), (4, 128)),
    "lfm2": (Lfm2Config(hidden_size=288, intermediate_size=768, num_hidden_layers=6, num_attention_heads=6,
                        num_key_value_heads=2, vocab_size=32_000, block_auto_adjust_ff_dim=False, conv_L_cache=3,
                        full_attn_idxs=[2, 5]), (4, 256), (4, 256)),
    "qwen3.5": (Qwen3_5TextConfig(hidden_size=288, intermediate_size=768, num_hidden_layers=6, num_attention_heads=6,
                                  num_key_value_heads=2, head_dim=48, vocab_size=32_000, linear_num_key_heads=4,
                                  linear_num_value_heads=4, linear_key_head_dim=64, linear_value_head_dim=64,
                                  layer_types=2 * ["linear_attention", "linear_attention", "full_attention"]),
                (4, 256), (4, 256)),
}
TAU = 0.25


def mft_loss(student, teacher, labels):
    """KL(q ‖ p) with the corrected target q of arXiv:2506.15702."""
    p = teacher.softmax(-1)
    of_label = p.gather(-1, labels[:, None])
    others = p.scatter(-1, labels[:, None], 0.0).amax(-1, keepdim=True)
    # The smallest share of the label that makes it win by the margin.
    share = ((TAU + others - of_label) / (1 + others - of_label)).clamp(0, 1)
    q = (1 - share) * p
    q = q.scatter_add(-1, labels[:, None], share)
    return torch.nn.functional.kl_div(student.log_softmax(-1), q, reduction="batchmean")


def seconds(step, repetitions):
    step()
    times = []
    for _ in range(repetitions):
        began = time.perf_counter()
        step()
        times.append(time.perf_counter() - began)
    return statistics.median(times)


def steps(name, config, batch, method, lora, repetitions):
    torch.manual_seed(0)
    config.tie_word_embeddings = True
    model = AutoModelForCausalLM.from_config(config)
    teacher = AutoModelForCausalLM.from_config(config).eval()
    teacher.load_state_dict(model.state_dict())
    if lora:
        model = peft.get_peft_model(model, peft.LoraConfig(r=16, target_modules="all-linear"))
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=1e-4)
    samples, length = batch
    ids = torch.randint(0, config.vocab_size, (samples, length + 1))
    inputs, labels = ids[:, :-1], ids[:, 1:].reshape(-1)

    def step():
        logits = model(inputs).logits.flatten(0, 1)
        if method == "FT":
            loss = torch.nn.functional.cross_entropy(logits, labels)
        else:
            with torch.no_grad():
                target = teacher(inputs).logits.flatten(0, 1)
            loss = mft_loss(logits, target, labels)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        optimizer.zero_grad()

    took = seconds(step, repetitions)
    what = f"{method} on LoRA" if lora else method
    print(f"{name:>7}  {what:<12} {samples} x {length}  {1e3 * took:9.1f} ms  {samples * length / took:9.1f} tokens/s",
          flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", choices=SHAPES, action="append")
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--threads", type=int)
    arguments = parser.parse_args()
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    print(f"{platform.machine()}, {torch.get_num_threads()} threads, torch {torch.__version__}, "
          f"transformers {transformers.__version__}, peft {peft.__version__}")
    for name in arguments.shape or SHAPES:
        config, full, adapted = SHAPES[name]
        for method in ["FT", "MFT"]:
            steps(name, config, full, method, False, arguments.steps)
        steps(name, config, adapted, "MFT", True, arguments.steps)


if __name__ == "__main__":
    main()
