"""Writes tests/data/baseline_losses.safetensors: loss and gradient of the baselines by the formulas of their
papers, in float64. The gradient is a central difference of the loss with the weights held fixed.

    python tests/write_baseline_losses.py
"""

import json
from math import log
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file


def softmax(x):
    e = np.exp(x - x.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def log_softmax(x):
    x = x - x.max(axis=1, keepdims=True)
    return x - np.log(np.exp(x).sum(axis=1, keepdims=True))


def entropy_of_top(s, k):
    """Entropy of the k most likely tokens, renormalised."""
    top = -np.sort(-s, axis=1)[:, :k]
    top = top / top.sum(axis=1, keepdims=True)
    return -np.where(top > 0, top * np.log(np.where(top > 0, top, 1.0)), 0.0).sum(axis=1)


def weights(objective, p, s, labels):
    """Returns w_e and w_p per token, from the teacher's and the student's distribution."""
    rows = np.arange(len(labels))
    p_y, s_y = p[rows, labels], s[rows, labels]
    none = np.zeros(len(labels))
    match objective["method"]:
        case "dft":  # arXiv:2508.05629
            return s_y, none
        case "asft":  # arXiv:2509.23753: DFT + lambda KL(base || model)
            return s_y, none + objective["anchor"]
        case "eaft":  # arXiv:2601.02151, equation 3 and section 5.1
            k = min(20, p.shape[1])
            return (entropy_of_top(s, k) / log(k)) ** objective["gamma"], none
        case "talr":  # arXiv:2509.20758, with 1 / gamma for the temperature
            return np.maximum(s_y ** objective["gamma"], 0.01), none
        case "stm":  # arXiv:2501.14315: masked where the perplexity 1 / p_y is above 1 / theta
            return (p_y >= objective["threshold"]).astype(float), none


def losses(objective, w_e, w_p, student, teacher, labels):
    t = objective["temperature"]
    log_s, log_p = log_softmax(student / t), log_softmax(teacher / t)
    cross_entropy = -log_s[np.arange(len(labels)), labels]
    divergence = (np.exp(log_p) * (log_p - log_s)).sum(axis=1)
    return t**2 * (w_e * cross_entropy + w_p * divergence)


def target(objective, w_e, w_p, p, labels):
    """Returns q; 1 for the label of a token without weight."""
    one_hot = np.eye(p.shape[1])[labels]
    w_e, w_p = w_e[:, None], w_p[:, None]
    if objective["method"] != "asft":
        return one_hot
    return (w_e * one_hot + w_p * p) / (w_e + w_p)


def case(objective, shape, spread, generator, teacher_spread=None):
    student, teacher = (
        (generator.normal(size=shape) * scale).astype(np.float32).astype(np.float64)
        for scale in (spread, teacher_spread or spread)
    )
    labels = generator.integers(0, shape[1], shape[0])
    # Labels of every kind: the most likely token of teacher and student, and others.
    labels[0], labels[1] = teacher[0].argmax(), student[1].argmax()
    teacher[0, labels[0]] += 4.0
    t = objective["temperature"]
    p, s = softmax(teacher / t), softmax(student / t)
    w_e, w_p = weights(objective, p, s, labels)
    of_logits = lambda logits: losses(objective, w_e, w_p, logits, teacher, labels)
    loss = of_logits(student)
    gradient, step = np.zeros(shape), 1e-4
    for column in range(shape[1]):
        moved = np.zeros(shape)
        moved[:, column] = step
        # Of fourth order.
        near = of_logits(student + moved) - of_logits(student - moved)
        far = of_logits(student + 2 * moved) - of_logits(student - 2 * moved)
        gradient[:, column] = (8 * near - far) / (12 * step)
    # The target of a student that equals the teacher.
    at_start = weights(objective, p, p, labels)
    return {
        "student_logits": student.astype(np.float32),
        "teacher_logits": teacher.astype(np.float32),
        "labels": labels.astype(np.int32),
        "target": target(objective, *at_start, p, labels),
        "loss_per_token": loss,
        "loss_mean": np.array([loss.mean()]),
        "grad_student_logits": gradient / shape[0],
    }


def main():
    generator = np.random.default_rng(2601)
    base = {"tau": 1.0, "scope": "all", "alpha": None}
    methods = [
        {"method": "dft"},
        {"method": "asft", "anchor": 0.1},
        {"method": "asft", "anchor": 2.0},
        {"method": "eaft", "gamma": 1.0},
        {"method": "eaft", "gamma": 3.0},
        {"method": "eaft", "gamma": 0.5},
        {"method": "stm", "threshold": 0.4},
        {"method": "stm", "threshold": 0.01},
        {"method": "talr", "gamma": 1.0},
        {"method": "talr", "gamma": 0.4},
    ]
    kinds = [
        ("small", [6, 7], 2.0, 1.0),
        ("odd", [8, 45], 2.0, 1.0),
        ("warm", [8, 64], 3.0, 2.0),
        ("sharp", [8, 100], 12.0, 1.0),
    ]
    tensors, metadata = {}, {}
    for method in methods:
        for kind, shape, spread, temperature in kinds:
            objective = {**base, **method, "temperature": temperature}
            strength = [value for key, value in method.items() if key != "method"]
            name = "_".join([method["method"], *map(str, strength), kind])
            found = case(objective, shape, spread, generator)
            tensors.update({f"{name}.{key}": value for key, value in found.items()})
            metadata[name] = json.dumps(objective)
    path = Path(__file__).parent / "data" / "baseline_losses.safetensors"
    save_file(tensors, path, metadata)


if __name__ == "__main__":
    main()
