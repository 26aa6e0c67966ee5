"""Runs the Python blocks of docs/python.md in order, in a folder of its own, with `minift` on the path, and checks
what they made."""

import os
import re
import tempfile
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
page = Path(__file__).resolve().parent.parent / "docs" / "python.md"
text = page.read_text(encoding="utf-8")
space = {"__name__": "page"}
with tempfile.TemporaryDirectory() as folder:
    os.chdir(folder)
    blocks = list(re.finditer(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL))
    for block in blocks:
        # Errors name the lines of the page.
        before = "\n" * (text[: block.start(1)].count("\n"))
        exec(compile(before + block[1], page, "exec"), space)
    steps, evaluated, front = space["steps"], space["evaluated"], space["front"]
    assert len(blocks) >= 6, f"only {len(blocks)} blocks"
    assert list(steps.index) == list(range(1, len(steps) + 1)), steps.index
    assert steps["loss"].iloc[-4:].mean() < 0.5 * steps["loss"].iloc[:4].mean(), steps["loss"]
    assert evaluated["domain"].iloc[-1] < 0.5 * evaluated["domain"].iloc[0], evaluated["domain"]
    assert {0.0, 1.0} <= set(front["weight"]) and front["specialization"].notna().all(), front
    assert sorted(space["results"].index) == [0.1, 0.25, 0.5] and space["results"]["seconds"].notna().all()
    assert 2 <= space["resumed"]["steps_done"].max() <= 6, space["resumed"]["steps_done"].max()
    plot = Path("training.png").read_bytes()
    assert plot.startswith(b"\x89PNG") and len(plot) > 10_000, len(plot)
    try:
        list(space["minift"]("train", "--data", "missing.jsonl", "--out", "never"))
        raise SystemExit("a failed run raised no error")
    except RuntimeError as error:
        assert "missing.jsonl" in str(error), error
    os.chdir(page.parent)
print(f"{len(blocks)} blocks of {page.name} passed")
