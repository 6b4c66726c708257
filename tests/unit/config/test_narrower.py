"""The narrower line of a blast radius: loaded, it permits exactly what was used."""

from __future__ import annotations

import tempfile
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from jit_auth.catalog.globs import match
from jit_auth.engine.access import narrower
from jit_auth.model import Risk
from tests.unit.config.kit import SHA, settings

NAMES = st.from_regex(r"[a-z][a-z0-9_]{0,3}\.[a-z][a-z0-9_]{0,5}", fullmatch=True)
RISKS: list[Risk] = ["low", "medium", "high", "critical"]


@given(catalog=st.dictionaries(NAMES, st.sampled_from(RISKS), max_size=12), data=st.data())
def test_it_permits_exactly_what_was_used(catalog: dict[str, Risk], data: st.DataObject) -> None:
    used = {name for name in sorted(catalog) if data.draw(st.booleans())}
    with tempfile.TemporaryDirectory() as folder:
        made = settings(Path(folder), f'[agents.a]\nsecret_sha256 = "{SHA}"\n{narrower(used)}\n')
    actions = made.agents["a"].actions
    assert {name for name, risk in catalog.items() if match(actions, name, risk)} == used
    assert not any("*" in name for name in actions)
