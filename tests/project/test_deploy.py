"""docs/deploy: what the container is made of is there, and is enough to build the package.

No container is built here. The commands were run by hand as an unprivileged user; what they name is held to the tree.
"""

from __future__ import annotations

import json
import re
import tomllib

from jit_auth.web.server import application
from tests.project.tree import ROOT

CONTAINER = (ROOT / "docs" / "deploy" / "Containerfile").read_text()
UNIT = (ROOT / "docs" / "deploy" / "jit-auth.service").read_text()


def copied() -> set[str]:
    """What the build takes of the checkout."""
    lines = [line.split()[1:-1] for line in CONTAINER.splitlines() if line.startswith("COPY ") and "--from" not in line]
    return {name for names in lines for name in names}


def test_the_container_is_built_of_what_the_package_names_and_of_nothing_else() -> None:
    with (ROOT / "pyproject.toml").open("rb") as file:
        project = tomllib.load(file)
    wheel = project["tool"]["hatch"]["build"]["targets"]["wheel"]
    named = {project["project"]["readme"], *project["project"]["license-files"], *wheel["packages"]}
    assert copied() == {"pyproject.toml", *named, *wheel["force-include"]}
    assert [name for name in copied() if not (ROOT / name).exists()] == []


def test_the_health_check_asks_what_the_service_answers() -> None:
    (command,) = re.findall(r"HEALTHCHECK .*\n\s+CMD (\[.*\])", CONTAINER)
    words = json.loads(command)
    assert words[:2] == ["python", "-c"]
    compile(words[2], "HEALTHCHECK", "exec")

    async def ready() -> tuple[int, str]:
        return 200, "ok"

    paths = {route.resource.canonical for route in application([], {"x"}, ready).router.routes() if route.resource}
    (asked,) = re.findall(r"http://127\.0\.0\.1:8080(/[a-z]+)", words[2])
    assert asked in paths


def test_both_let_it_drain() -> None:
    assert "STOPSIGNAL SIGTERM" in CONTAINER
    assert re.search(r"^USER 10001$", CONTAINER, re.MULTILINE)
    seconds = re.search(r"^TimeoutStopSec=(\d+)$", UNIT, re.MULTILINE)
    assert seconds is not None
    assert int(seconds[1]) > 30
