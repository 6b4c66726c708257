"""[limits]: what wears people down, and how long things may take."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from tests.unit.config.kit import faults, settings


def test_all_of_them(tmp_path: Path) -> None:
    made = settings(
        tmp_path,
        "[limits]\nopen_per_agent = 5\nasks_per_person_hour = 1\ndeny_cooldown = '1h30m'\n"
        "approved_send_within = '2m'\nsend_window = '30s'\n",
    )
    assert msgspec.structs.asdict(made.limits) == {
        "open_per_agent": 5, "asks_per_person_hour": 1, "deny_cooldown": 5_400_000,
        "approved_send_within": 120_000, "send_window": 30_000,
    }  # fmt: skip


@pytest.mark.parametrize("none", ["0", "'0s'"])
def test_no_cooldown(tmp_path: Path, none: str) -> None:
    assert settings(tmp_path, f"[limits]\ndeny_cooldown = {none}\n").limits.deny_cooldown == 0


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("open_per_agent = 0", "limits.open_per_agent: expected 1 to 100000"),
        ("open_per_agent = 100001", "limits.open_per_agent: expected 1 to 100000"),
        ("open_per_agent = '5'", "limits.open_per_agent: expected an integer"),
        ("open_per_agent = true", "limits.open_per_agent: expected an integer"),
        ("asks_per_person_hour = -1", "limits.asks_per_person_hour: expected 1 to 1000"),
        ("asks_per_person_hour = 1001", "limits.asks_per_person_hour: expected 1 to 1000"),
        ("asks_per_person_hour = 1.5", "limits.asks_per_person_hour: expected an integer"),
        ("deny_cooldown = 10", 'limits.deny_cooldown: expected a duration such as "10m"'),
        ("deny_cooldown = ''", "limits.deny_cooldown: expected a duration"),
        ("deny_cooldown = '15d'", "limits.deny_cooldown: expected a duration"),
        ("deny_cooldown = false", "limits.deny_cooldown: expected"),
        ("send_window = '0s'", 'limits.send_window: expected a duration such as "5s", at most 30 s'),
        ("send_window = '31s'", "limits.send_window: expected a duration"),
        ("send_window = 5", "limits.send_window: expected a string"),
        ("approved_send_within = '0s'", 'limits.approved_send_within: expected a duration such as "15m"'),
    ],
)
def test_faults(tmp_path: Path, text: str, told: str) -> None:
    (found,) = faults(tmp_path, f"[limits]\n{text}\n")
    assert found.startswith("4: " + told)
