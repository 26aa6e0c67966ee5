"""Prints llama.cpp's greedy answer to a question, through the chat template in the GGUF file: FILE QUESTION TOKENS.
Requires xllamacpp."""

import json
import os
import sys
import urllib.request

import xllamacpp

file, question, tokens = sys.argv[1:]
parameters = xllamacpp.CommonParams()
parameters.model.path = file
parameters.n_ctx, parameters.n_parallel, parameters.warmup = 256, 1, False
server = xllamacpp.Server(parameters)


def ask(path, **body):
    request = urllib.request.Request(
        server.listening_address + path, json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)


prompt = ask("/apply-template", messages=[{"role": "user", "content": question}])["prompt"]
answer = ask("/completion", prompt=prompt, n_predict=int(tokens), temperature=0, top_k=1)
print(answer["content"], flush=True)
# The server's threads do not end by themselves.
os._exit(0)
