"""The wheel holds all that the checkout has: built, installed where nothing of the checkout is seen, and asked."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

from tests.project.tree import ROOT, files, shown


def run(*words: str | Path, cwd: Path) -> str:
    done = subprocess.run([str(word) for word in words], cwd=cwd, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "build", "--wheel", "--outdir", out, ROOT, cwd=out)
    (built,) = out.glob("*.whl")
    return built


def test_wheel_holds_every_module_page_and_connector(wheel: Path) -> None:
    inside = set(zipfile.ZipFile(wheel).namelist())
    package = [shown(path) for path in files(under="jit_auth") if path.suffix != ".pyc"]
    connectors = ["jit_auth/_" + shown(path) for path in files(under="connectors")]
    assert [each for each in (*package, *connectors) if each not in inside] == []
    assert not any(each.startswith(("tests/", "examples/", "connectors/")) for each in inside)


def test_installed_wheel_lists_the_same_connectors(wheel: Path, tmp_path: Path) -> None:
    environment = tmp_path / "env"
    venv.create(environment, with_pip=False)
    python = environment / "bin" / "python"
    site = Path(run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=tmp_path).strip())
    run(sys.executable, "-m", "pip", "--python", python, "install", "--no-deps", "--quiet", wheel, cwd=tmp_path)
    # The dependencies are this environment's, its jit_auth is not: a path in a .pth file is not searched for others.
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib"))
    where = run(python, "-c", "import jit_auth; print(jit_auth.__file__)", cwd=tmp_path)
    assert str(site) in where
    installed = run(environment / "bin" / "jit-auth", "connectors", "list", "--json", cwd=tmp_path)
    checkout = run(Path(sys.executable).parent / "jit-auth", "connectors", "list", "--json", cwd=tmp_path)
    assert installed == checkout
    assert "github" in installed
