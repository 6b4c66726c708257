"""What a page says around its question: the same wherever a person meets it, and asked for anew where it is asked."""

from __future__ import annotations

from tests.integration.service.kit import Kit

FIRST = "No earlier call of this kind"
BEFORE = "Exactly this was asked once before"


def mail(subject: str) -> dict[str, object]:
    return {"to": ["bob@example.com"], "subject": subject, "body": "x"}


async def page(world: Kit, url: str) -> str:
    async with world.session.get(url, headers={"Accept": "text/html"}) as reply:
        assert reply.status == 200
        return await reply.text()


async def asked(world: Kit, subject: str) -> tuple[str, str]:
    """A call that waits for ana, and her link."""
    told = (await world.execute("send_message", params=mail(subject))).json
    return told["id"], await world.approval_link(told["id"])


async def test_the_first_of_its_kind_is_told_wherever_it_is_met(both: Kit) -> None:
    await both.connected()
    _, link = await asked(both, "one")
    for where in (link, link + "/all"):
        assert FIRST in await page(both, where)


async def test_later_ones_are_not_called_the_first_anywhere(both: Kit) -> None:
    await both.connected()
    first, link = await asked(both, "one")
    assert (await both.decide(link)).status == 200
    await both.ended(first)
    again, link = await asked(both, "one")
    other, _ = await asked(both, "two")
    rounds = (await both.call("GET", f"/executions/{other}")).json["waiting_for"][0]["id"]
    for where in (link, link + "/all", f"{link}/all/{rounds}"):
        assert FIRST not in await page(both, where)
    for where in (link, link + "/all"):
        assert BEFORE in await page(both, where)
    assert (await both.decide(link)).status == 200
    assert (await both.ended(again))["status"] == "succeeded"


async def test_a_round_that_is_asked_anew_is_counted_on(resting: Kit) -> None:
    """The tally is no part of what a call that waits is judged by: it is read where the question is put again."""
    async with resting.running():
        await resting.connected()
        waits, _ = await asked(resting, "one")
    for person, before in (("bo@example.com", "once"), ("ana@example.com", "twice")):
        one, other = ("ana", "bo") if person.startswith("bo") else ("bo", "ana")
        resting.policies = resting.policies.replace(f"user:{one}@", f"user:{other}@")
        resting.write()
        async with resting.running():  # other rules are in force: somebody else is asked
            assert resting.service is not None
            resting.printed.clear()
            await resting.service.engine.dispatcher.advance(waits)
            link = await resting.approval_link(waits)
            assert f"Exactly this was asked {before} before" in await page(resting, link)
    async with resting.running():
        assert (await resting.decide(link)).status == 200
        assert (await resting.ended(waits))["status"] == "succeeded"
