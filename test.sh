#!/usr/bin/env bash
# Installs what the tests need where it may, builds, and runs every check and every test.
set -euo pipefail
cd "$(dirname "$0")"

say() { printf '\n== %s\n' "$*"; }

# The tests compute on a real GPU API; where there is no GPU a software Vulkan adapter stands in.
has_vulkan_driver() {
    local folder
    for folder in /usr/share/vulkan/icd.d /usr/local/share/vulkan/icd.d /etc/vulkan/icd.d; do
        compgen -G "$folder/*.json" >/dev/null && return 0
    done
    [ -n "${VK_ICD_FILENAMES:-}${VK_DRIVER_FILES:-}" ]
}

install_vulkan_driver() {
    local packages="libvulkan1 mesa-vulkan-drivers" root=""
    if ! command -v apt-get >/dev/null; then
        echo "No Vulkan driver was found. Install one (Mesa's lavapipe needs no GPU) and run ./test.sh again." >&2
        exit 1
    fi
    [ "$(id -u)" -eq 0 ] || root="sudo -n"
    if ! { $root apt-get update -q && $root apt-get install -y -q --no-install-recommends $packages; }; then
        echo "No Vulkan driver was found. Type: sudo apt-get install $packages" >&2
        exit 1
    fi
}

if ! command -v cargo >/dev/null; then
    echo "cargo was not found. Install Rust 1.95 or newer: https://rustup.rs" >&2
    exit 1
fi
if [ "$(uname -s)" = Linux ] && ! has_vulkan_driver; then
    say "installing a software Vulkan adapter"
    install_vulkan_driver
fi

say "formatting"
cargo fmt --check
say "build"
cargo build --release --locked
say "tests"
cargo test --release --locked
say "lints"
cargo clippy --release --locked --all-targets -- -D warnings
say "documentation"
RUSTDOCFLAGS="-D warnings" cargo doc --release --locked --no-deps --lib
say "all passed"
