"""Checks what a wheel contains: one program, the licences of everything that cargo compiles into it, and a bill of
materials. Checks that the archive's name is the one that `cargo binstall` asks for: WHEEL TARGET."""

import json
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def compiled():
    """Returns the packages that are compiled into the program on this platform: (name, version)."""
    command = ["cargo", "tree", "--locked", "--edges", "normal", "--prefix", "none", "--format", "{p}"]
    lines = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout.splitlines()
    found = {tuple(line.split()[:2]) for line in lines if line}
    return {(name, version.removeprefix("v")) for name, version in found if name != "minift"}


wheel, target = sys.argv[1:]
packages = compiled()
assert len(packages) > 100, packages
with zipfile.ZipFile(wheel) as files:
    names = {name.split("/", 1)[1]: name for name in files.namelist()}
    assert [name for name in names if name.startswith("scripts/")] == ["scripts/minift"], names
    licences = files.read(names["licenses/THIRD-PARTY-LICENSES.md"]).decode()
    listed = set(re.findall(r"^\* (\S+) (\S+?)(?:,|$)", licences, re.MULTILINE))
    assert packages <= listed, f"no licence for {sorted(packages - listed)}"
    for text in ["Apache License", "Mozilla Public License", "Permission is hereby granted"]:
        assert text in licences, text
    (sbom,) = (name for name in names if name.startswith("sboms/"))
    parts = {(part["name"], part["version"]) for part in json.loads(files.read(names[sbom]))["components"]}
    assert packages <= parts, f"not in {sbom}: {sorted(packages - parts)}"
    metadata = files.read(names["METADATA"]).decode()
    assert "License-Expression: MIT OR Apache-2.0" in metadata, metadata

manifest = tomllib.loads((ROOT / "Cargo.toml").read_text())["package"]
binstall = manifest["metadata"]["binstall"]
for triple in [target, "x86_64-pc-windows-msvc"]:
    settings = {**binstall, **binstall["overrides"].get(triple, {})}
    address = settings["pkg-url"]
    for key, value in {"repo": manifest["repository"], "name": "minift", "version": manifest["version"],
                       "target": triple}.items():
        address = address.replace("{ %s }" % key, value)
    ending = "zip" if "windows" in triple else "tar.gz"
    version = manifest["version"]
    expected = f"{manifest['repository']}/releases/download/v{version}/minift-v{version}-{triple}.{ending}"
    assert address == expected, address
print(f"{len(packages)} packages, each with its licence and in the bill of materials")
