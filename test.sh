#!/usr/bin/env bash
# Builds everything, and runs all checks and tests. Installs missing requirements if permitted.
set -euo pipefail
cd "$(dirname "$0")"

say() { printf '\n== %s\n' "$*"; }

# Checks that could not run for reasons outside the code: reported immediately, and again at the end.
not_checked=()
unchecked() {
    not_checked+=("NOT CHECKED: $*")
    say "NOT CHECKED: $*"
}

scratch="$(mktemp -d)"
trap 'rm -rf "$scratch"' EXIT

# Installs a cargo subcommand in a given version: NAME VERSION [OPTION OF CARGO INSTALL…].
install_tool() {
    if [ "$(cargo "${1#cargo-}" --version 2>/dev/null)" != "$1 $2" ]; then
        cargo install --locked --version "$2" "${@:3}" "$1"
    fi
}

# Installs Debian packages if permitted, else prints the command: REASON PACKAGE…
install() {
    local why="$1" root=""
    shift
    [ "$(id -u)" -eq 0 ] || root="sudo -n"
    if ! command -v apt-get >/dev/null; then
        echo "$why. Install it and run ./test.sh again (Debian packages: $*)." >&2
        exit 1
    fi
    if ! { $root apt-get update -q && $root apt-get install -y -q --no-install-recommends "$@"; }; then
        echo "$why. Run: sudo apt-get install $*" >&2
        exit 1
    fi
}

# The tests require a graphics API. Without a GPU, they use a software Vulkan adapter.
has_vulkan_driver() {
    local folder
    for folder in /usr/share/vulkan/icd.d /usr/local/share/vulkan/icd.d /etc/vulkan/icd.d; do
        compgen -G "$folder/*.json" >/dev/null && return 0
    done
    [ -n "${VK_ICD_FILENAMES:-}${VK_DRIVER_FILES:-}" ]
}

# The standard library for wasm: from rustup, else built with Debian's compiler from its source.
has_wasm_target() {
    [ -d "$(rustc --print sysroot)/lib/rustlib/wasm32-unknown-unknown/lib" ] ||
        { command -v rustup >/dev/null && rustup target add wasm32-unknown-unknown >/dev/null 2>&1; } ||
        { [ -x /usr/bin/rustc ] && [ -d /usr/lib/rustlib/src/rust/library ] && command -v wasm-ld >/dev/null; }
}

if ! command -v cargo >/dev/null; then
    echo "cargo was not found. Install Rust 1.95 or newer: https://rustup.rs" >&2
    exit 1
fi
if ! command -v npm >/dev/null; then
    install "npm was not found; it builds the page" nodejs npm
fi
if ! { command -v "${CC:-cc}" && command -v "${CXX:-c++}"; } >/dev/null; then
    install "No C and C++ compiler was found; the C interface tests need one" build-essential
fi
if [ "$(uname -s)" = Linux ] && ! has_vulkan_driver; then
    say "installing a software Vulkan adapter"
    install "No Vulkan driver was found" libvulkan1 mesa-vulkan-drivers
fi
if ! has_wasm_target; then
    say "installing Rust for wasm"
    install "Rust's target wasm32-unknown-unknown was not found" rustc-web rust-web-src lld
fi

say "formatting"
cargo fmt --check
cargo fmt --check --manifest-path fuzz/Cargo.toml
cargo fmt --check --manifest-path examples/desktop/Cargo.toml
say "dependencies"
# Licences, sources, versions and known advisories of the dependencies.
install_tool cargo-deny 0.20.2
cargo deny --locked check bans licenses sources
if cargo deny fetch db; then
    cargo deny --locked check --disable-fetch advisories
else
    # A missing network connection does not fail the check.
    unchecked "advisories of the dependencies: github.com/rustsec/advisory-db cannot be fetched"
fi
say "build"
# The library alone; the tests build the program.
cargo clippy --release --locked --no-default-features --lib -- -D warnings
target="$(cargo metadata --format-version 1 --no-deps | sed 's/.*"target_directory":"\([^"]*\)".*/\1/')"
python=""
if python3 -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
    say "Python packages"
    python="$(tests/python.sh)"
    # llama.cpp, for the test of the tutorial.
    export MINIFT_LLAMA_PYTHON="$python"
fi
say "tests"
# Trainings on several processes are tests of the same build, since the feature that they need changes no other dependency.
features=c
if [ "$(uname -s)" = Linux ]; then
    has_libclang() { compgen -G "/usr/lib/llvm-*/lib/libclang*.so*" || ldconfig -p | grep libclang; }
    if ! { command -v mpicc && command -v mpirun && has_libclang; } >/dev/null; then
        install "OpenMPI and libclang were not found" libopenmpi-dev openmpi-bin libclang-dev
    fi
    features=c,mpi
else
    unchecked "trainings on several processes: they are tested on Linux only"
fi
# Does not link the examples; the lints compile them.
cargo test --release --locked --features "$features" --lib --bins --tests
cargo test --release --locked --features "$features" --doc
say "comparisons on a cluster"
# A Slurm cluster of one node.
if [ "$(uname -s)" = Linux ]; then
    if ! { command -v slurmctld && command -v slurmd && command -v munged && command -v parallel; } >/dev/null; then
        install "Slurm and GNU parallel were not found" slurm-wlm munge parallel
    fi
    tests/cluster.sh "$target/release/minift" --mpi
else
    unchecked "comparisons with Slurm and GNU parallel: they run on Linux only"
fi
say "packages and logs"
if [ -n "$python" ]; then
    install_tool cargo-about 0.9.3 --features cli
    tests/packages.sh --features "$features"
    # Reads the logs with TensorBoard's reader.
    "$python" tests/check_logs.py "$target/release/minift"
else
    unchecked "wheel, archive, installer, logs in TensorBoard, docs/python.md, and docs/tutorial.md with llama.cpp: they need" \
        "Python 3.11 with venv"
fi
say "lints"
cargo clippy --release --locked --all-targets --features "web,fusion,$features" -- -D warnings
say "documentation"
RUSTDOCFLAGS="-D warnings" cargo doc --release --locked --no-deps --lib --features web,c,fusion
say "manual"
if [ "$(mdbook --version 2>/dev/null)" != "mdbook v0.5.4" ]; then
    cargo install --locked --version 0.5.4 --no-default-features --features search mdbook
fi
mdbook build -d "$scratch/book"
node tests/check_book.mjs "$scratch/book"
say "public surface"
# Compares rustdoc's JSON of this commit with that of the baseline commit in Cargo.toml.
install_tool cargo-semver-checks 0.51.0
since="$(sed -n '/^\[package.metadata.public-surface\]/,/^$/s/^since = "\(.*\)"/\1/p' Cargo.toml)"
# JSON output is unstable: RUSTC_BOOTSTRAP enables it on a stable compiler.
printf '#!/bin/sh\nRUSTC_BOOTSTRAP=1 exec rustdoc "$@"\n' >"$scratch/rustdoc"
chmod +x "$scratch/rustdoc"
# Writes the public surface of the crate in a folder to a file: FOLDER FILE.
surface() {
    (
        cd "$1"
        RUSTDOC="$scratch/rustdoc" cargo rustdoc --release --locked --lib --features web,c,fusion \
            --target-dir "$target" -- -Z unstable-options --output-format json
    )
    cp "$target/doc/minift.json" "$2"
}
# The JSON of the baseline is cached, since it depends only on the compiler.
before="$target/public-surface/$since-$(rustdoc --version | tr -c 'a-zA-Z0-9.\n' -).json"
mkdir -p "$scratch/before" "${before%/*}"
if [ ! -f "$before" ] && git archive "$since" 2>/dev/null | tar -x -C "$scratch/before" 2>/dev/null; then
    surface "$scratch/before" "$scratch/before.json"
    mv "$scratch/before.json" "$before"
fi
if [ -f "$before" ]; then
    surface . "$scratch/now.json"
    verdict=0
    cargo semver-checks --baseline-rustdoc "$before" \
        --current-rustdoc "$scratch/now.json" || verdict=$?
    case "$verdict" in
        0) ;;
        101) unchecked "the public surface: cargo-semver-checks cannot read the JSON of $(rustdoc --version)" ;;
        *) exit "$verdict" ;;
    esac
else
    unchecked "the public surface: commit $since is missing, run git fetch --unshallow"
fi
say "page"
web/build.sh --tests
(cd web && npm run lint)
(cd web && npm test)
if [ ! -x /usr/bin/chromium ] && ! (cd web && npx playwright install chromium-headless-shell); then
    say "installing a browser"
    install "No Chromium was found" chromium
fi
say "tests in a browser"
(cd web && MINIFT="$target/release/minift" npx playwright test)
if [ "$(uname -s)" = Linux ] && ! { command -v xvfb-run && ldconfig -p | grep -q libxkbcommon-x11; } >/dev/null; then
    say "installing a virtual display"
    install "No virtual display was found; the desktop example's tests need one" \
        xvfb xauth libxkbcommon-x11-0 libx11-xcb1 libxcursor1 libxi6 libxrandr2
fi
say "lints and tests of the desktop example"
desktop=(--release --locked --manifest-path examples/desktop/Cargo.toml --target-dir "$target")
cargo test "${desktop[@]}"
cargo clippy "${desktop[@]}" --all-targets -- -D warnings
[ ${#not_checked[@]} -eq 0 ] || printf '\n== %s\n' "${not_checked[@]}"
say "all passed"
