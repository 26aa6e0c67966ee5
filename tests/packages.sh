#!/usr/bin/env bash
# Builds the wheel, installs it where there is no Rust, and runs it; packs the archive of a release from the wheel, installs
# that as a user does, and checks what is in both. Then it runs docs/python.md with the installed program.
#
#   tests/packages.sh [--demonstration] [CARGO_OPTIONS…]
#
# --demonstration runs the whole demonstration, and says how long the installation and the demonstration took. Cargo's
# options are those of the tests, so that the program is not built again.
set -euo pipefail
cd "$(dirname "$0")/.."
demonstration=""
if [ "${1:-}" = --demonstration ]; then
    demonstration=yes
    shift
fi
python="$(tests/python.sh)"
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
fail() {
    echo "tests/packages.sh: $*" >&2
    exit 1
}
host="$(rustc -vV | sed -n 's/^host: //p')"
version="$(sed -n '1,/^$/s/^version = "\(.*\)"/\1/p' Cargo.toml)"

packaging/licenses.sh
"$python" -m maturin build -q --release --locked --compatibility linux --out "$work/wheels" "$@"
wheel=("$work"/wheels/minift-*.whl)

# Runs a command without Rust, and without anything of the user's environment.
alone() { env -i HOME="$work" PATH="$work/environment/bin" "$@"; }
start=$SECONDS
"$python" -m venv "$work/environment"
"$work/environment/bin/pip" install -q --disable-pip-version-check --no-index "${wheel[0]}"
minift="$work/environment/bin/minift"
cd "$work"
if [ -n "$demonstration" ]; then
    alone minift
    [ -f minift-out/run.json ] || fail "the demonstration wrote no run.json"
    echo "installed and demonstrated in $((SECONDS - start)) s"
else
    head -n 24 "$OLDPWD/assets/tickets.jsonl" >tickets.jsonl
    alone minift train --data tickets.jsonl --max-steps 2 --no-dial --out trained
    [ -f trained/model.safetensors ] || fail "the training wrote no model"
fi
cd "$OLDPWD"

echo "== archive and installer"
"$python" packaging/archive.py "${wheel[0]}" "$host" "$work/releases/download/v$version"
mkdir -p "$work/releases/latest/download"
echo "v$version" >"$work/releases/latest/download/version.txt"
export MINIFT_RELEASES="file://$work/releases" MINIFT_PREFIX="$work/prefix"
sh packaging/install.sh
installed="$MINIFT_PREFIX/bin/minift"
[ "$("$installed" --version)" = "$("$minift" --version)" ] || fail "the installed program is another"
for file in man/man1/minift.1 man/man1/minift-train.1 bash-completion/completions/minift zsh/site-functions/_minift \
    fish/vendor_completions.d/minift.fish doc/minift/LICENSE-MIT doc/minift/THIRD-PARTY-LICENSES.md; do
    [ -s "$MINIFT_PREFIX/share/$file" ] || fail "$file was not installed"
done
# A damaged archive is not installed.
rm -r "$MINIFT_PREFIX"
archive="$work/releases/download/v$version/minift-v$version-$host.tar.gz"
printf 'x' >>"$archive"
! sh packaging/install.sh 2>"$work/refused" || fail "a damaged archive was installed"
grep -q "is damaged" "$work/refused" || fail "$(cat "$work/refused")"
[ ! -e "$installed" ] || fail "a damaged archive was installed"

echo "== contents"
"$python" tests/check_packages.py "${wheel[0]}" "$host"

echo "== docs/python.md"
PATH="$work/environment/bin:$PATH" "$python" tests/run_python_docs.py
