#!/usr/bin/env bash
# Writes THIRD-PARTY-LICENSES.md: the licences of all packages that are compiled into the program or the browser's module,
# from the sources of the packages. Wheels, archives and the npm package contain it. Requires cargo-about.
set -euo pipefail
cd "$(dirname "$0")/.."
cargo about generate --locked --fail --features web,c --config packaging/about.toml \
    --output-file THIRD-PARTY-LICENSES.md packaging/about.hbs
