"""What a test says of the service that it wants: connectors, policies, agents, people, or a real config.toml."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Table = Mapping[str, Any]
"""A table of config.toml, as tomllib would give it."""

AGENT = "agent"
"""The agent that there is where a test names none: it may use every action but those of risk critical, which are named
or not allowed, and act for everybody."""
CALLBACKS = "https://agent.test/hooks/"
"""Where agents of a test may be called back, unless they say otherwise."""


@dataclass(frozen=True, kw_only=True)
class Setup:
    """A configuration: the real one's tables, without what a test has no use for (keys, tokens, addresses)."""

    config: Path | None = None
    """A deployment's own config.toml: its connectors, policies, agents, people, limits. None of its secrets is looked
    up, and no command of it is run; the database, the address, channels, sign-in and keys are the kit's."""
    connectors: Sequence[Path | str] = ()
    """Folders of connectors, or of one, beside the shipped ones; or a connector.toml as text."""
    policies: Sequence[Path | str] = ()
    """Files, or their text. With `config`: beside its own. Without any, everything is denied."""
    agents: Mapping[str, Table] = field(default_factory=dict)
    """[agents.*] without secret_sha256; the first is the one that JIT_AUTH_TOKEN names."""
    people: Mapping[str, Table] = field(default_factory=dict)
    """[people.*]"""
    tables: Mapping[str, Table] = field(default_factory=dict)
    """Further tables: `limits`, `providers`, `webhooks`, ... Those that are there already are added to."""
