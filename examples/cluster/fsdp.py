"""Minifinetuning with PyTorch's FSDP, for models that do not fit one device: the data, the settings and the losses of
`minift train`, with Accelerate and the loss of NVIDIA ModelOpt.

    pip install torch transformers accelerate nvidia-modelopt
    torchrun --nproc_per_node 8 examples/cluster/fsdp.py --model DIR --data texts.jsonl --out trained
    torchrun --nproc_per_node 2 examples/cluster/fsdp.py --cpu …          # a test without GPUs

Batches are in another order than minift's, except where a batch holds all samples: the losses are then equal.
"""

import argparse
import copy
import json
import random

import torch
from accelerate import Accelerator
from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from transformers import AutoModelForCausalLM, AutoTokenizer

MASKED = -100


def read_arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--model", required=True, help="folder of the model")
    parser.add_argument("--data", required=True, help=".jsonl with a field text")
    parser.add_argument("--samples", type=int, help="number of training texts, from the start of the data [all]")
    parser.add_argument("--max-length", type=int, default=256)
    parser.add_argument("--method", choices=["ft", "mft"], default="mft")
    parser.add_argument("--tau", type=float, default=0.25)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--batch-size", type=int, default=8, help="samples per step, over all processes")
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--warmup", type=int, default=10)
    parser.add_argument("--weight-decay", type=float, default=0.01)
    parser.add_argument("--clip", type=float, default=1.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--cpu", action="store_true", help="train on the CPU, with gloo")
    parser.add_argument("--losses", help="file for the loss of every step, as JSON")
    parser.add_argument("--out", help="folder for the trained model")
    return parser.parse_args()


def read_samples(arguments, tokenizer):
    """Returns the token ids of each text, followed by the end token where it is not truncated."""
    with open(arguments.data, encoding="utf-8") as lines:
        texts = [json.loads(line)["text"] for line in lines]
    samples = []
    for text in texts[: arguments.samples]:
        ids = tokenizer(text)["input_ids"]
        if not ids or ids[-1] != tokenizer.eos_token_id:
            ids.append(tokenizer.eos_token_id)
        samples.append(ids[: arguments.max_length])
    return samples


def collate(samples, device):
    """Returns tokens and labels [samples, length - 1], right-padded."""
    length = max(len(ids) for ids in samples)
    tokens = torch.zeros(len(samples), length, dtype=torch.long)
    labels = torch.full((len(samples), length), MASKED)
    for row, ids in enumerate(samples):
        tokens[row, : len(ids)] = torch.tensor(ids)
        labels[row, : len(ids)] = torch.tensor(ids)
    return tokens[:, :-1].to(device), labels[:, 1:].to(device)


def sharded(model, mesh):
    """Shards the parameters over the processes: each layer is a unit, the rest another."""
    for layer in model.model.layers:
        fully_shard(layer, mesh=mesh)
    return fully_shard(model, mesh=mesh)


def summed_loss(student, teacher, loss_of, tokens, labels):
    """Returns the summed loss of the predicted tokens."""
    predicted = labels != MASKED
    logits = student(input_ids=tokens).logits[predicted].float()
    labels = labels[predicted]
    if teacher is None:
        return torch.nn.functional.cross_entropy(logits, labels, reduction="sum")
    with torch.no_grad():
        targets = teacher(input_ids=tokens).logits[predicted].float()
    return loss_of(logits, targets, labels)


def main():
    arguments = read_arguments()
    accelerator = Accelerator(cpu=arguments.cpu)
    rank, processes = accelerator.process_index, accelerator.num_processes
    mesh = init_device_mesh(accelerator.device.type, (processes,))
    tokenizer = AutoTokenizer.from_pretrained(arguments.model)
    samples = read_samples(arguments, tokenizer)
    student = AutoModelForCausalLM.from_pretrained(arguments.model, dtype=torch.float32)
    teacher, loss_of = None, None
    if arguments.method == "mft":
        from modelopt.torch.distill.losses import MFTLoss

        loss_of = MFTLoss(threshold=arguments.tau, reduction="sum")
        teacher = copy.deepcopy(student).eval().requires_grad_(False)
        teacher = sharded(teacher.to(accelerator.device), mesh)
    student = sharded(student.to(accelerator.device), mesh)
    optimizer = torch.optim.AdamW(
        student.parameters(), lr=arguments.lr, weight_decay=arguments.weight_decay
    )

    order = random.Random(arguments.seed)
    losses, step = [], 0
    for _ in range(arguments.epochs):
        epoch = order.sample(range(len(samples)), len(samples))
        for start in range(0, len(epoch), arguments.batch_size):
            batch = epoch[start : start + arguments.batch_size]
            for group in optimizer.param_groups:
                group["lr"] = arguments.lr * min(1, (step + 1) / max(arguments.warmup, 1))
            # Every process needs a sample, so that all of them take part in the exchange.
            own = [samples[index] for index in batch[rank::processes]] or [samples[batch[0]][:1] * 2]
            tokens, labels = collate(own, accelerator.device)
            if rank >= len(batch):
                labels = torch.full_like(labels, MASKED)
            total = accelerator.reduce((labels != MASKED).sum().float())
            loss = summed_loss(student, teacher, loss_of, tokens, labels) / total
            # FSDP takes the mean of the gradients over the processes.
            accelerator.backward(loss * processes)
            torch.nn.utils.clip_grad_norm_(student.parameters(), arguments.clip)
            optimizer.step()
            optimizer.zero_grad()
            step += 1
            losses.append(accelerator.reduce(loss.detach()).item())
            accelerator.print(f"step {step}: loss {losses[-1]:.6f}")
    if arguments.losses and accelerator.is_main_process:
        with open(arguments.losses, "w", encoding="utf-8") as file:
            json.dump(losses, file)
    if arguments.out:
        whole = StateDictOptions(full_state_dict=True, cpu_offload=True)
        state = get_model_state_dict(student, options=whole)
        if accelerator.is_main_process:
            student.save_pretrained(arguments.out, state_dict=state)
            tokenizer.save_pretrained(arguments.out)
    accelerator.end_training()


if __name__ == "__main__":
    main()
