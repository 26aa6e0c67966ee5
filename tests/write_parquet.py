#!/usr/bin/env python3
"""Writes tests/data/parquet: texts and conversations compressed with zstd and Brotli, which the writer in tests lacks.
Requires pyarrow:

    python3 tests/write_parquet.py
"""

from itertools import product
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

OUT = Path(__file__).resolve().parent / "data/parquet"
TEXTS = [f"text {number}, as in a file of many" for number in range(400)]

OUT.mkdir(parents=True, exist_ok=True)
for codec, version in product(["zstd", "brotli"], ["1.0", "2.0"]):
    name = f"{codec}_v{version[0]}.parquet"
    table = pa.table({
        "text": TEXTS,
        "id": list(range(len(TEXTS))),
    })
    # Several pages of each column; half the file without a dictionary.
    options = {"compression": codec, "data_page_version": version, "data_page_size": 2048, "write_statistics": False}
    pq.write_table(table, OUT / name, use_dictionary=["id"], row_group_size=250, **options)

messages = [
    [{"role": "user", "content": "hi", "name": "Ann"}, {"role": "assistant", "content": "yo", "name": None}],
    [{"role": "user", "content": "so", "name": None}],
]
table = pa.table({"messages": messages, "tools": ['[{"type": "function"}]', None]})
pq.write_table(table, OUT / "zstd_conversations.parquet", compression="zstd", data_page_version="2.0")
