#!/bin/sh
# Installs the program minift, its man pages and its shell completions for the current user:
#
#   curl -fsSL https://github.com/minift/minift/releases/latest/download/install.sh | sh
#
#   MINIFT_PREFIX    where to: bin/minift and share/ below this folder (default ~/.local)
#   MINIFT_VERSION   which version, such as v0.2.0 (default: the latest)
#   MINIFT_RELEASES  address of the releases (default: those on GitHub)
set -eu

fail() {
    echo "install.sh: $*" >&2
    exit 1
}

# The target of Rust that runs on this machine.
target() {
    case "$(uname -s)-$(uname -m)" in
    Linux-x86_64 | Linux-amd64) echo x86_64-unknown-linux-gnu ;;
    Linux-aarch64 | Linux-arm64) echo aarch64-unknown-linux-gnu ;;
    Darwin-x86_64) echo x86_64-apple-darwin ;;
    Darwin-arm64) echo aarch64-apple-darwin ;;
    *) fail "there is no program for $(uname -s) on $(uname -m). Install Rust, then: cargo install minift" ;;
    esac
}

# Downloads a file: ADDRESS FILE.
download() {
    if command -v curl >/dev/null; then
        curl -fsSL --retry 3 -o "$2" "$1" || fail "cannot download $1"
    elif command -v wget >/dev/null; then
        wget -q -O "$2" "$1" || fail "cannot download $1"
    else
        fail "neither curl nor wget was found"
    fi
}

# The SHA-256 of a file.
hash_of() {
    if command -v sha256sum >/dev/null; then
        sha256sum "$1" | cut -d ' ' -f 1
    else
        shasum -a 256 "$1" | cut -d ' ' -f 1
    fi
}

# Everything is in a function, so that a download that breaks off installs nothing.
main() {
    releases="${MINIFT_RELEASES:-https://github.com/minift/minift/releases}"
    prefix="${MINIFT_PREFIX:-$HOME/.local}"
    target="$(target)"
    if [ "$(uname -s)" = Linux ] && ldd --version 2>&1 | grep -qi musl; then
        fail "this system has musl instead of glibc. Install Rust, then: cargo install minift"
    fi
    scratch="$(mktemp -d)"
    trap 'rm -rf "$scratch"' EXIT
    version="${MINIFT_VERSION:-}"
    if [ -z "$version" ]; then
        download "$releases/latest/download/version.txt" "$scratch/version.txt"
        version="$(cat "$scratch/version.txt")"
    fi
    name="minift-$version-$target"
    download "$releases/download/$version/$name.tar.gz" "$scratch/$name.tar.gz"
    download "$releases/download/$version/$name.tar.gz.sha256" "$scratch/sha256"
    expected="$(cut -d ' ' -f 1 "$scratch/sha256")"
    found="$(hash_of "$scratch/$name.tar.gz")"
    [ "$found" = "$expected" ] || fail "$name.tar.gz is damaged: its SHA-256 is $found, expected $expected"
    tar -xzf "$scratch/$name.tar.gz" -C "$scratch"

    from="$scratch/$name" share="$prefix/share"
    mkdir -p "$prefix/bin" "$share/man/man1" "$share/bash-completion/completions" "$share/zsh/site-functions" \
        "$share/fish/vendor_completions.d" "$share/doc/minift"
    cp "$from"/man/*.1 "$share/man/man1"
    cp "$from/completions/minift.bash" "$share/bash-completion/completions/minift"
    cp "$from/completions/_minift" "$share/zsh/site-functions/_minift"
    cp "$from/completions/minift.fish" "$share/fish/vendor_completions.d/minift.fish"
    cp "$from"/*LICENSE* "$share/doc/minift"
    # A program that runs cannot be overwritten, but replaced.
    cp "$from/minift" "$prefix/bin/.minift-new"
    mv -f "$prefix/bin/.minift-new" "$prefix/bin/minift"
    echo "minift $version was installed as $prefix/bin/minift"
    case ":$PATH:" in
    *":$prefix/bin:"*) ;;
    *) echo "Add $prefix/bin to PATH to run it as minift." ;;
    esac
}

main
