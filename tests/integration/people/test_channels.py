"""A service shows its copies through the channels that it was given, and as those want them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from jit_auth.channels import CHANNELS, Card, Tools
from jit_auth.channels.terminal import TERMINAL
from tests.integration.service.kit import kit


class Board:
    """Keeps what it was to display."""

    routes: Sequence[web.RouteDef] = ()

    def __init__(self) -> None:
        self.shown: list[Card] = []

    async def show(self, card: Card, ref: str | None) -> str:
        self.shown.append(card)
        return "kept"

    async def tell(self, person: str, subject: str, words: str) -> None:
        raise AssertionError(words)


@pytest.mark.parametrize("brief", [False, True])
async def test_a_channel_gets_whole_cards_unless_it_gives_links_alone(tmp_path: Path, brief: bool) -> None:
    board = Board()

    @asynccontextmanager
    async def opens(settings: Any, tools: Tools) -> AsyncIterator[Board]:
        yield board

    channels = {**CHANNELS, "terminal": replace(TERMINAL, open=opens, brief=brief)}
    async with kit(tmp_path, channels=channels) as world, world.running():
        await world.connected()
        asked = (await world.execute("send_message", params={"to": ["x@y.example"], "subject": "read me"})).json
        assert world.service is not None
        await world.service.worker.turn()
        cards = {card.person: card for card in board.shown if card.ask == asked["waiting_for"][0]["id"]}
        assert set(cards) == {"ana@example.com"}
        for card in cards.values():
            assert (card.line, card.action) == (("", "") if brief else (asked["summary"], "mailhub.send_message"))
            assert card.open
            assert card.url.startswith(f"{world.url}/approvals/jat_")
