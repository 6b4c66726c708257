"""The table of docs/operations.md, the dashboard and the alerts name the metrics that exist, and all of them."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
import yaml

from jit_auth.errors import StorageError
from jit_auth.model import Applied, Audit, Backlog, Stale, Unit
from jit_auth.watch.metrics import Metrics, Present
from tests.project.tree import ROOT

WORD = re.compile(r"\bjit_auth_[a-z_]+")
ENDS = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count"), "info": ("_info",), "gauge": ("",)}


async def awake() -> Metrics:
    metrics = Metrics()

    async def backlog() -> Backlog:
        return Backlog()

    metrics.backlog = backlog
    metrics.present = lambda: Present(rounds={"due": 0.5})
    await metrics.text()
    return metrics


async def families() -> dict[str, tuple[str, tuple[str, ...]]]:
    """Name as in the table, to (type, labels)."""
    metrics = await awake()
    labels = {series.name: series.labels for series in vars(metrics).values() if hasattr(series, "labels")}
    return {
        family.name + {"counter": "_total", "info": "_info"}.get(family.type, ""): (
            family.type,
            tuple(family.samples[0].labels) if family.type == "gauge" else labels.get(family.name, ()),
        )
        for family in metrics.registry.collect()
        if not family.name.startswith("jit_auth_process_")
    }


def documented() -> dict[str, tuple[str, tuple[str, ...]]]:
    text = (ROOT / "docs" / "operations.md").read_text()
    rows = re.findall(r"^\| `(jit_auth_\w+)` \| (\w+) \| ([^|]*)\|", text, re.MULTILINE)
    return {name: (kind, tuple(re.findall(r"`(\w+)`", labels))) for name, kind, labels in rows}


async def test_every_metric_is_documented_with_its_labels_and_no_other() -> None:
    assert documented() == {
        name: (kind, ("version", "python") if kind == "info" else labels)
        for name, (kind, labels) in (await families()).items()
    }


async def samples() -> set[str]:
    found = {
        name.removesuffix(end) + (end if kind in ("counter", "info") else more)
        for name, (kind, _) in (await families()).items()
        for end in ENDS[kind][:1]
        for more in ENDS[kind]
    }
    return found | {"jit_auth_process_resident_memory_bytes", "jit_auth_process_cpu_seconds_total"}


@pytest.mark.parametrize("file", ["grafana-dashboard.json", "alerts.yml"])
async def test_what_dashboard_and_alerts_name_exists(file: str) -> None:
    named = set(WORD.findall((ROOT / "docs" / file).read_text()))
    assert len(named) > 10
    assert named - await samples() - set(await families()) == set()


def rules() -> list[dict[str, Any]]:
    groups = yaml.safe_load((ROOT / "docs" / "alerts.yml").read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def test_every_alert_says_what_it_means_and_what_to_do() -> None:
    for rule in rules():
        assert set(rule) == {"alert", "expr", "for", "labels", "annotations"}, rule
        assert rule["labels"]["severity"] in ("page", "ticket")
        assert set(rule["annotations"]) == {"summary", "description"}
        assert rule["expr"].count("(") == rule["expr"].count(")")
    names = [rule["alert"] for rule in rules()]
    assert len(set(names)) == len(names)
    text = (ROOT / "docs" / "operations.md").read_text()
    assert [name for name in names if f"`{name}`" not in text] == []


def test_the_dashboard_is_one_that_grafana_takes() -> None:
    board = json.loads((ROOT / "docs" / "grafana-dashboard.json").read_text())
    assert board["uid"]
    assert board["schemaVersion"] >= 36
    panels = [panel for panel in board["panels"] if panel["type"] != "row"]
    assert len({panel["id"] for panel in board["panels"]}) == len(board["panels"])
    for panel in panels:
        assert panel["title"]
        assert panel["description"]
        assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
        assert all(target["expr"] and target["refId"] for target in panel["targets"])
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24


def value(text: bytes, line: str) -> float:
    (found,) = re.findall(rf"^{re.escape(line)} (\S+)$", text.decode(), re.MULTILINE)
    return float(found)


async def test_the_state_is_read_when_it_is_asked_for() -> None:
    metrics = await awake()
    metrics.present = lambda: Present(7, True, True, True, -1500)
    text = await metrics.text()
    for line, told in {
        "jit_auth_epoch": 7,
        "jit_auth_halted": 1,
        "jit_auth_stale_bundle": 1,
        "jit_auth_reload_failed": 1,
        "jit_auth_clock_skew_seconds": -1.5,
        "jit_auth_database_up": 1,
        "jit_auth_paused_executions": 0,
        "jit_auth_released_executions": 0,
    }.items():
        assert value(text, line) == told, line


async def test_a_database_that_is_away_is_said_and_hides_nothing_else() -> None:
    metrics = Metrics()

    async def away() -> Backlog:
        raise StorageError("The database does not answer.")

    metrics.backlog = away
    text = await metrics.text()
    assert value(text, "jit_auth_database_up") == 0
    assert value(text, "jit_auth_halted") == 0
    assert b"jit_auth_paused_executions" not in text


async def test_asking_often_asks_the_database_once() -> None:
    metrics, asked = Metrics(), 0

    async def backlog() -> Backlog:
        nonlocal asked
        asked += 1
        return Backlog(paused=asked)

    metrics.backlog = backlog
    for _ in range(5):
        assert value(await metrics.text(), "jit_auth_paused_executions") == 1


async def test_units_that_were_refused_or_failed_are_counted_and_change_nothing_else() -> None:
    metrics = await awake()
    unit = Unit(None, (), Audit(actor="engine", what=({"do": "vote", "verdict": "approve"},)))
    metrics.wrote(unit, Stale("version", 1))
    lost = StorageError("gone")
    lost.unknown = True
    metrics.wrote(unit, lost)
    text = await metrics.text()
    assert value(text, 'jit_auth_stale_units_total{which="version"}') == 1
    assert value(text, 'jit_auth_storage_errors_total{unknown="yes"}') == 1
    assert value(text, "jit_auth_audit_rows_total") == 0
    assert b"jit_auth_votes_total{" not in text
    metrics.wrote(unit, Applied(1, 0))
    text = await metrics.text()
    assert value(text, 'jit_auth_votes_total{verdict="approve"}') == 1
    assert value(text, "jit_auth_audit_rows_total") == 1


async def test_a_made_up_method_is_no_label() -> None:
    metrics = await awake()
    metrics.answered("GRAB", "*", 404, "not_found", 0.01)
    text = await metrics.text()
    assert value(text, 'jit_auth_http_requests_total{method="other",route="*",status="4xx"}') == 1
    assert b"GRAB" not in text


async def test_two_services_in_one_process_share_nothing() -> None:
    one, two = await awake(), await awake()
    one.answered("GET", "/x", 200, "", 0.01)
    assert b'route="/x"' not in await two.text()
