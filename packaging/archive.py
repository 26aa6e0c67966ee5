"""Packs the archive of a release from a wheel: the same program, with its licences and its bill of materials, and with
man pages and shell completions that the program writes itself. Runs on the platform of the wheel.

    python packaging/archive.py WHEEL TARGET FOLDER

TARGET is a target of Rust, such as x86_64-unknown-linux-gnu. FOLDER gets minift-vVERSION-TARGET.tar.gz (.zip for Windows)
and a file with its SHA-256, as sha256sum writes it. `cargo binstall` and the installers expect these names.
"""

import hashlib
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

SHELLS = {"bash": "minift.bash", "zsh": "_minift", "fish": "minift.fish", "powershell": "_minift.ps1"}
ROOT = Path(__file__).resolve().parent.parent


def unpack(wheel, place):
    """Copies the program, the licences and the bill of materials of a wheel into a folder; returns the program."""
    program = None
    with zipfile.ZipFile(wheel) as files:
        for entry in files.namelist():
            parent, name = entry.rsplit("/", 1)
            if not name or not parent.endswith((".data/scripts", ".dist-info/licenses", ".dist-info/sboms")):
                continue
            path = place / name
            path.write_bytes(files.read(entry))
            if parent.endswith("scripts"):
                program = path
                program.chmod(0o755)
    if program is None:
        sys.exit(f"{wheel} contains no program")
    return program


def add_pages(program, place):
    """Lets the program write its man pages and completions."""
    subprocess.run([program, "man", place / "man"], check=True, stdout=subprocess.DEVNULL)
    (place / "completions").mkdir()
    for shell, name in SHELLS.items():
        text = subprocess.run([program, "completions", shell], check=True, stdout=subprocess.PIPE).stdout
        (place / "completions" / name).write_bytes(text)


def main(wheel, target, folder):
    wheel, folder = Path(wheel), Path(folder)
    version = wheel.name.split("-")[1]
    name = f"minift-v{version}-{target}"
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        place = Path(scratch) / name
        place.mkdir()
        add_pages(unpack(wheel, place), place)
        for file in ["README.md", "CHANGELOG.md"]:
            shutil.copy(ROOT / file, place)
        kind = "zip" if "windows" in target else "gztar"
        archive = Path(shutil.make_archive(str(folder / name), kind, scratch, name))
    digest = hashlib.sha256(archive.read_bytes()).hexdigest()
    archive.with_name(archive.name + ".sha256").write_text(f"{digest}  {archive.name}\n", newline="\n")
    print(archive)


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    main(*sys.argv[1:])
