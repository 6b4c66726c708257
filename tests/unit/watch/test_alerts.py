"""docs/alerts.yml in the hands of Prometheus' own promtool: each alert fires where it should, and nowhere else.

Skipped where there is no promtool (Debian: `apt-get install prometheus`).
"""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.project.tree import ROOT

RULES = ROOT / "docs" / "alerts.yml"
PROMTOOL = shutil.which("promtool")
pytestmark = pytest.mark.skipif(PROMTOOL is None, reason="no promtool here (Debian: apt-get install prometheus)")

Series = dict[str, str]
"""Values by series, one a minute: `0+1x60` goes up by one for an hour, `_x9` is nothing for ten minutes."""


@dataclass
class Case:
    """What an alert sees when it fires, and when it must not. `labels`: those that it fires with beside its own."""

    fires: Series
    quiet: tuple[Series, ...]
    at: str = "60m"
    labels: dict[str, str] = field(default_factory=dict)


def gauge(name: str, fires: str, *quiet: str, labels: dict[str, str] | None = None) -> Case:
    """An alert over one gauge."""
    series = f"jit_auth_{name}"
    return Case({series: fires}, tuple({series: each} for each in quiet), labels=labels or {})


UNKNOWN = 'jit_auth_executions_total{state="unknown",connector="mailhub"}'
REFUSED = 'jit_auth_cards_total{did="refused",channel="slack"}'
SHOWN = 'jit_auth_cards_total{did="shown",channel="slack"}'
ERRORS = 'jit_auth_storage_errors_total{unknown="yes"}'
DONE = 'jit_auth_sends_total{provider="mailhub",outcome="done"}'
LOST = 'jit_auth_sends_total{provider="mailhub",outcome="lost"}'
UNAUTHENTICATED = 'jit_auth_http_problems_total{status="4xx",code="unauthenticated"}'
INTERNAL = 'jit_auth_http_problems_total{status="5xx",code="internal"}'
CALLS = 'jit_auth_http_requests_total{route="/execute",method="POST",status="2xx"}'
ROWS = "jit_auth_audit_rows_total"
FAILED = 'jit_auth_refreshes_total{provider="mailhub",outcome="failed"}'
BROKEN = 'jit_auth_grants_broken_total{provider="mailhub"}'
BUCKET = "jit_auth_decision_to_send_seconds_bucket"
ROUND = 'jit_auth_worker_round_age_seconds{round="sweep"}'
MAILHUB = {"provider": "mailhub"}

CASES = {
    "JitAuthDown": Case({"up": "1x60"}, ({"jit_auth_build_info": "1x60"}, {"jit_auth_build_info": "1x57"})),
    "JitAuthDatabaseAway": gauge("database_up", "1x50 0x10", "1x60", "1x58 0x1"),
    "JitAuthHalted": gauge("halted", "0x40 1x20", "0x60", "0x55 1x5"),
    "JitAuthStaleBundle": gauge("stale_bundle", "0x50 1x10", "0x60", "0x58 1x1"),
    "JitAuthReloadFailed": gauge("reload_failed", "0x50 1x10", "0x60"),
    "JitAuthClockSkew": gauge("clock_skew_seconds", "-3x60", "1.5x60", "0x57 9x2"),
    "JitAuthPausedPilingUp": gauge("paused_executions", "400+10x60", "900-5x60", "0+8x60", "600x60"),
    "JitAuthCardsStuck": gauge("cards_oldest_due_seconds", "0+60x60", "90x60", "0x57 300x2"),
    "JitAuthCardsRefused": Case(
        {REFUSED: "_x54 1x5"}, ({REFUSED: "1x60"}, {SHOWN: "0+9x60"}, {}), labels={"channel": "slack"}
    ),
    "JitAuthOutboxStuck": Case(
        {"jit_auth_outbox_rows": "5x60", "jit_auth_outbox_oldest_due_seconds": "0+60x60"},
        ({"jit_auth_outbox_rows": "60x60", "jit_auth_outbox_oldest_due_seconds": "200x60"},),
    ),
    "JitAuthWorkerStuck": Case(
        {ROUND: "0+60x60"}, ({ROUND: "0 60 0 61x60"}, {ROUND: "0x57 700x2"}), labels={"round": "sweep"}
    ),
    "JitAuthLostIntents": gauge("lost_intents", "0x50 2x10", "0x60", "0x58 2x1"),
    "JitAuthUnknownOutcomes": Case(
        {UNKNOWN: "_x54 1x5"},
        ({UNKNOWN: "3x60"}, {UNKNOWN.replace("unknown", "succeeded"): "0+9x60"}),
        labels={"connector": "mailhub"},
    ),
    "JitAuthSendsFailing": Case(
        {DONE: "0+60x60", LOST: "0+30x60"}, ({DONE: "0+60x60", LOST: "0+6x60"}, {DONE: "0+60x60"}), labels=MAILHUB
    ),
    "JitAuthRefreshesFailing": Case(
        {FAILED: "0+1x60"}, ({FAILED: "0+0.2x60"}, {FAILED.replace("failed", "done"): "0+9x60"}), labels=MAILHUB
    ),
    "JitAuthGrantsBroken": Case({BROKEN: "0+1x60"}, ({BROKEN: "0+0.1x60"},), labels=MAILHUB),
    "JitAuthErrors": Case(
        {INTERNAL: "0+30x60"}, ({INTERNAL: "0+3x60"}, {UNAUTHENTICATED: "0+600x60"}), labels={"code": "internal"}
    ),
    "JitAuthTokensGuessed": Case({UNAUTHENTICATED: "0+120x60"}, ({UNAUTHENTICATED: "0+30x60"},)),
    "JitAuthStorageErrors": Case({ERRORS: "_x54 1x5"}, ({ERRORS: "4x60"}, {})),
    "JitAuthRecordSilent": Case(
        {CALLS: "0+60x60", ROWS: "9x60"}, ({CALLS: "0+60x60", ROWS: "0+60x60"}, {ROWS: "9x60"})
    ),
    "JitAuthSlowDecisions": Case(
        {f'{BUCKET}{{le="0.1"}}': "0+10x60", f'{BUCKET}{{le="5"}}': "0+60x60", f'{BUCKET}{{le="+Inf"}}': "0+60x60"},
        ({f'{BUCKET}{{le="0.1"}}': "0+60x60", f'{BUCKET}{{le="+Inf"}}': "0+60x60"},),
    ),
}


def alerts() -> dict[str, dict[str, Any]]:
    """The rules by name."""
    groups = yaml.safe_load(RULES.read_text())["groups"]
    return {rule["alert"]: rule for group in groups for rule in group["rules"]}


def seen(name: str, series: Series, at: str, fired: list[dict[str, Any]]) -> dict[str, Any]:
    """One test in promtool's own form."""
    return {
        "name": name,
        "interval": "1m",
        "input_series": [{"series": each, "values": values} for each, values in series.items()],
        "alert_rule_test": [{"eval_time": at, "alertname": name, "exp_alerts": fired}],
    }


def promtool(*words: object) -> None:
    """Run it; what it says is the failure."""
    assert PROMTOOL is not None
    done = subprocess.run([PROMTOOL, *map(str, words)], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_prometheus_takes_the_rules() -> None:
    promtool("check", "rules", "--lint=all", "--lint-fatal", RULES)


def test_each_alert_fires_where_it_should_and_nowhere_else(tmp_path: Path) -> None:
    rules = alerts()
    assert set(CASES) == set(rules)
    tests = []
    for name, case in CASES.items():
        rule = rules[name]
        fired = [{"exp_labels": rule["labels"] | case.labels, "exp_annotations": rule["annotations"]}]
        tests.append(seen(name, case.fires, case.at, fired))
        tests += [seen(name, series, case.at, []) for series in case.quiet]
    path = tmp_path / "alerts.test.yml"
    path.write_text(yaml.safe_dump({"rule_files": [str(RULES)], "evaluation_interval": "1m", "tests": tests}))
    promtool("test", "rules", path)
