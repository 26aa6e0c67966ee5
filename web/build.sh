#!/usr/bin/env bash
# Builds the page (dist/), a static folder for any file server, and the npm package (package/).
#
#   build.sh           page and package
#   build.sh --tests   also the wasm module of the browser tests (wasm-tests/)
set -euo pipefail
cd "$(dirname "$0")"

tests=""
for argument in "$@"; do
    case "$argument" in
    --tests) tests=yes ;;
    *) echo "build.sh [--tests]: unknown option $argument" >&2 && exit 1 ;;
    esac
done

fail() {
    echo "$*" >&2
    exit 1
}
require() { command -v "$1" >/dev/null || fail "$1 not found. $2"; }

require cargo "Install Rust 1.95 or newer: https://rustup.rs"
require npm "Install Node.js 20 or newer: https://nodejs.org"
target=wasm32-unknown-unknown
cache="${XDG_CACHE_HOME:-$HOME/.cache}/minift"
cargo=(cargo rustc --locked --profile web --target "$target" --no-default-features --features web)

# Every browser with WebGPU supports SIMD, which the CPU device uses.
export CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUSTFLAGS="-Ctarget-feature=+simd128"

# The wasm-bindgen CLI must match the version of the crate.
version="$(sed -n '/^name = "wasm-bindgen"$/{n;s/version = "\(.*\)"/\1/p;}' ../Cargo.lock)"
bindgen="$(command -v wasm-bindgen || true)"
if [ -z "$bindgen" ] || [ "$("$bindgen" --version)" != "wasm-bindgen $version" ]; then
    bindgen="$cache/tools/wasm-bindgen-$version/bin/wasm-bindgen"
    if [ ! -x "$bindgen" ]; then
        echo "building wasm-bindgen $version (once)"
        cargo install -q wasm-bindgen-cli --version "$version" --root "$cache/tools/wasm-bindgen-$version" \
            --target-dir "$cache/tools/target"
        rm -rf "$cache/tools/target"
    fi
fi

# The standard library for wasm: installed by rustup, else built from source by Debian's compiler.
has_target() { [ -d "$(rustc --print sysroot)/lib/rustlib/$target/lib" ]; }
if ! has_target && command -v rustup >/dev/null; then
    rustup target add "$target" >/dev/null 2>&1 || true
fi
if ! has_target; then
    source=/usr/lib/rustlib/src/rust/library
    linker="$(command -v wasm-ld || find "$(rustc --print sysroot)" -name rust-lld | head -n 1)"
    if ! { [ -x /usr/bin/rustc ] && [ -d "$source" ] && [ -n "$linker" ]; }; then
        fail "The Rust target $target is missing. Run: rustup target add $target" \
            "(or, on Debian: apt-get install rustc-web rust-web-src lld)"
    fi
    export RUSTC=/usr/bin/rustc RUSTC_BOOTSTRAP=1
    export CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER="$linker"
    cargo+=(-Zbuild-std=std,panic_abort)
fi

[ -d node_modules ] && [ node_modules/.package-lock.json -nt package-lock.json ] || npm ci --no-audit --no-fund

built="$(cargo metadata --format-version 1 --no-deps | sed 's/.*"target_directory":"\([^"]*\)".*/\1/')/$target/web/examples"

# bind NAME FOLDER: generates the JavaScript and types of a built module.
bind() {
    local module="$built/$1.wasm" folder="$2"
    # A module whose exports rerun all constructors works, but many times slower.
    ! grep -q command_export "$module" || fail "$1: constructors would run on every call"
    rm -rf "$folder"
    "$bindgen" --target web --out-name minift --out-dir "$folder" --remove-name-section --remove-producers-section "$module"
}

if [ -n "$tests" ]; then
    "${cargo[@]}" --example browser_exports
    bind browser_exports wasm-tests
fi
"${cargo[@]}" --example browser
bind browser wasm
node defaults.mjs
node build.mjs
