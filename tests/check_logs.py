"""Checks with TensorBoard's own reader what `minift train --log-dir` writes, also over a kill: PROGRAM.

Requires `tensorboard`.
"""

import csv
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

STEPS = 40
LINE = f"""train --device cpu --data tickets.txt --max-length 32 --batch-size 4 --max-steps {STEPS} --evaluate-every 10
--checkpoint-every 5 --no-dial --log-dir logs --out out --prompt Hello"""


def rows(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def wait_for(path, count, child):
    """Waits for rows of a table; returns whether the program still runs then."""
    while child.poll() is None:
        if path.exists() and len(rows(path)) >= count:
            return True
        time.sleep(0.001)
    return False


def main(program):
    assets = Path(__file__).parent.parent / "assets" / "tickets.jsonl"
    tickets = [json.loads(line)["text"] for line in assets.read_text().splitlines()[:40]]
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        (folder / "tickets.txt").write_text("\n\n".join(tickets))
        command = [str(Path(program).resolve()), *LINE.split()]
        child = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        assert wait_for(folder / "logs" / "steps.csv", 13, child), "the program ended before it could be killed"
        child.kill()
        child.wait()
        subprocess.run([*command, "--resume"], cwd=folder, stdout=subprocess.DEVNULL, check=True)

        events = EventAccumulator(str(folder / "logs"), size_guidance={"scalars": 0, "tensors": 0})
        events.Reload()
        run = json.loads((folder / "out" / "run.json").read_text())["runs"][0]
        steps, evaluations = (rows(folder / "logs" / f"{name}.csv") for name in ["steps", "evaluations"])
        assert [int(row["step"]) for row in steps] == list(range(1, STEPS + 1))
        assert [int(row["step"]) for row in evaluations] == [found["step"] for found in run["evaluations"]]

        def check(tag, table, column):
            expected = [(int(row["step"]), float(row[column])) for row in table if row[column]]
            found = [(event.step, event.value) for event in events.Scalars(tag)]
            assert [step for step, _ in found] == [step for step, _ in expected], tag
            for (_, a), (_, b) in zip(found, expected):
                assert abs(a - b) <= 1e-6 * abs(b), f"{tag}: {a}, expected {b}"

        for name in ["loss", "gradient_norm", "learning_rate", "tokens_per_second"]:
            check(f"train/{name}", steps, name)
        assert [float(row["loss"]) for row in steps] == run["losses"]
        for name in ["domain_perplexity", "general_perplexity", "specialization", "degeneralization", "ratio"]:
            if any(row[name] for row in evaluations):
                check(f"evaluation/{name}", evaluations, name)
        check("evaluation/kl_divergence", evaluations, "kl_divergence")

        def texts(tag):
            return [(event.step, event.tensor_proto.string_val[0].decode()) for event in events.Tensors(tag)]

        samples = texts("samples/0")
        assert [step for step, _ in samples] == [0, 10, 20, 30, 40], samples
        assert all("Hello" in text for _, text in samples)
        (config,) = texts("config")
        assert "max_steps = 40" in config[1]
        plugins = events.SummaryMetadata("samples/0").plugin_data.plugin_name
        assert plugins == "text", plugins


if __name__ == "__main__":
    main(sys.argv[1])
    print("TensorBoard reads the logs")
