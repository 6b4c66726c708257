"""Names are asked for once by all who ask together, and for a few seconds only."""

from __future__ import annotations

import asyncio

import pytest

from jit_auth.egress.resolver import KEEP, Resolver, system


class Names:
    """A name server that answers when told to."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.go = asyncio.Event()
        self.answer: tuple[str, ...] | OSError = ("192.0.2.1",)

    async def __call__(self, host: str) -> tuple[str, ...]:
        self.asked.append(host)
        await self.go.wait()
        if isinstance(self.answer, OSError):
            raise self.answer
        return self.answer


async def test_all_who_ask_at_once_share_one_question() -> None:
    names = Names()
    resolver = Resolver(names)
    asking = [asyncio.ensure_future(resolver.ask("a.example")) for _ in range(50)]
    await asyncio.sleep(0)
    asking[0].cancel()
    names.go.set()
    found = await asyncio.gather(*asking, return_exceptions=True)
    assert isinstance(found[0], asyncio.CancelledError)
    assert set(found[1:]) == {("192.0.2.1",)}
    assert names.asked == ["a.example"]


async def test_a_result_is_used_for_a_few_seconds() -> None:
    names = Names()
    names.go.set()
    resolver = Resolver(names)
    await resolver.ask("a.example")
    now = asyncio.get_running_loop().time()
    assert resolver.known("a.example", now) == ("192.0.2.1",)
    assert resolver.known("a.example", now + KEEP + 1) is None
    assert resolver.known("b.example", now) is None


async def test_a_failure_is_not_kept() -> None:
    names = Names()
    names.go.set()
    names.answer = OSError("no such name")
    resolver = Resolver(names)
    with pytest.raises(OSError, match="no such name"):
        await resolver.ask("a.example")
    names.answer = ("192.0.2.2",)
    assert await resolver.ask("a.example") == ("192.0.2.2",)


async def test_closing_ends_the_questions() -> None:
    resolver = Resolver(Names())
    asking = asyncio.ensure_future(resolver.ask("a.example"))
    await asyncio.sleep(0)
    await resolver.close()
    with pytest.raises(asyncio.CancelledError):
        await asking


async def test_the_system_knows_localhost() -> None:
    assert {"127.0.0.1", "::1"} & set(await system("localhost"))
