"""A workspace, and the whole service that asks there."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest

from tests.fakes.slack import Slack
from tests.integration.service.kit import kit
from tests.integration.slack.service import RULES, Office, known, table, workspace

Offices = Callable[..., AbstractAsyncContextManager[Office]]
USERS = '[users]\nverify = "none"\nnotify = ["slack"]\n'


@pytest.fixture
async def slack() -> AsyncIterator[Slack]:
    async with workspace().running() as running:
        yield running


@pytest.fixture
def offices(tmp_path: Path, slack: Slack) -> Offices:
    """Everything but the service, set up as a test says: rules, more configuration, how Slack is configured."""

    @asynccontextmanager
    async def made(policies: str = RULES, more: str = "", **how: object) -> AsyncIterator[Office]:
        config = table(slack, **how) + more  # type: ignore[arg-type]  # as given
        async with kit(tmp_path, policies=policies, config=config, users=USERS) as found:
            known(found)
            slack.clock = lambda: found.clock() / 1000
            yield Office(found, slack)

    return made


@pytest.fixture
async def resting(offices: Offices) -> AsyncIterator[Office]:
    """Everything but the service."""
    async with offices() as office:
        yield office


@pytest.fixture
async def office(resting: Office) -> AsyncIterator[Office]:
    """Everything, the service running; alice has connected her account."""
    async with resting.running():
        yield resting
