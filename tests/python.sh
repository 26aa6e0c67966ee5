#!/usr/bin/env bash
# Prints the path of a Python that has the packages of tests/requirements.txt. They are installed once, into an
# environment in the user's cache folder.
set -euo pipefail
cd "$(dirname "$0")"
key="$( (python3 --version && cat requirements.txt) | cksum | cut -d ' ' -f 1)"
environment="${XDG_CACHE_HOME:-$HOME/.cache}/minift/python-$key"
if [ ! -e "$environment/complete" ]; then
    rm -rf "$environment"
    python3 -m venv "$environment" >&2
    "$environment/bin/pip" install -q --disable-pip-version-check -r requirements.txt >&2
    touch "$environment/complete"
fi
echo "$environment/bin/python"
