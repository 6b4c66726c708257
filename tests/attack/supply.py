"""What the service is made of (`make sbom`), and which known advisories are about it (`make audit`)."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from collections.abc import Collection, Iterable
from importlib import metadata
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
SBOM = ROOT / "build" / "sbom.json"
Json = dict[str, Any]


def sbom(to: Path = SBOM) -> int:
    """Write a CycloneDX 1.6 bill of materials: what is installed here and needed at run time, no tool of ours."""
    command = [Path(sys.executable).with_name("cyclonedx-py"), "environment", "--pyproject", ROOT / "pyproject.toml"]
    command += ["--sv", "1.6", "--of", "JSON", "--output-reproducible", "--no-validate", "-o", "-", sys.executable]
    made = subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    bom = needed(json.loads(made.stdout), runtime(project["dependencies"]))
    to.parent.mkdir(exist_ok=True)
    to.write_text(json.dumps(bom, indent=2) + "\n")
    print(f"{to}: {len(bom['components'])} components")
    return 0


def runtime(requirements: Iterable[str]) -> set[str]:
    """The distributions that these requirements bring here, by their normal names: extras asked for, and no others."""
    found: set[tuple[str, frozenset[str]]] = set()
    waiting = [Requirement(each) for each in requirements]
    while waiting:
        one = waiting.pop()
        key = (canonicalize_name(one.name), frozenset(one.extras))
        if key in found:
            continue
        found.add(key)
        for each in map(Requirement, metadata.requires(one.name) or ()):
            marker = each.marker
            if marker is None or any(marker.evaluate({"extra": extra}) for extra in ("", *one.extras)):
                waiting.append(each)
    return {name for name, _ in found}


def needed(bom: Json, names: Collection[str]) -> Json:
    """The same bill with these components alone."""
    root = bom["metadata"]["component"]["bom-ref"]
    components = [each for each in bom["components"] if canonicalize_name(each["name"]) in names]
    kept = {root, *(each["bom-ref"] for each in components)}
    graph = [
        each | {"dependsOn": [ref for ref in each.get("dependsOn", ()) if ref in kept]}
        for each in bom["dependencies"]
        if each["ref"] in kept
    ]
    return bom | {"components": components, "dependencies": graph}


def audit() -> int:
    """Exit 1: an advisory is known. What could not be looked up is said by name: silence is no proof."""
    command = [
        sys.executable,
        "-m",
        "pip_audit",
        "--local",
        "--skip-editable",
        "--progress-spinner=off",
        "--format=json",
    ]
    ran = subprocess.run(command, check=False, capture_output=True, text=True)
    try:
        found: list[Json] = json.loads(ran.stdout)["dependencies"]
    except ValueError:
        last = ran.stderr.strip().splitlines()[-1:] or ["nothing was said"]
        print(f"skipped, nothing was audited: {last[0]}")
        return 0
    return told(found)


def told(found: list[Json]) -> int:
    """Print advisories and gaps of a pip-audit report; the exit code."""
    missed = [each["name"] for each in found if "skip_reason" in each]
    bad = [(each, flaw) for each in found for flaw in each.get("vulns", ())]
    for each, flaw in bad:
        fixed = ", ".join(flaw.get("fix_versions", ())) or "none"
        print(f"{each['name']} {each['version']}: {flaw['id']}, fixed in: {fixed}")
    if missed and len(missed) == len(found):
        print("skipped, nothing was audited: the index of advisories knows none of the packages, or is not reachable")
    elif missed:
        print(f"not looked up: {', '.join(sorted(missed))}")
    print(f"{len(found) - len(missed)} of {len(found)} packages looked up, {len(bad)} advisories")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit({"sbom": sbom, "audit": audit}[sys.argv[1]]())
