"""Rules that count what was attempted before: exact under load, of whatever became of it (THREAT_MODEL 21)."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from jit_auth.model import Applied, Past, Stale, Unit
from tests.integration.attacks.meddler import Meddler
from tests.integration.operators.conftest import command, facts
from tests.integration.service.kit import POLICIES, Answer, Kit, kit

HOUR = 3_600_000
SEND = {"to": ["x@y.example"], "subject": "hi"}


def rule(id: str, effect: str, action: str, when: str, **more: str) -> str:
    asks = 'approval = { from = ["user:ana@example.com"], expires = "8h", remind = "1h" }\n'
    keys = "".join(f'{key} = "{value}"\n' for key, value in more.items())
    return f'\n[[rule]]\nid = "{id}"\nmatch = ["mailhub.{action}"]\nwhen = "{when}"\neffect = "{effect}"\n{keys}' + (
        asks if effect == "require_approval" else ""
    )


@asynccontextmanager
async def served(folder: Path, rules: str, storage: str = "sqlite:///jit-auth.db") -> AsyncIterator[Kit]:
    """Alice has connected her account for mailbot, by one `note` and one `list_messages`."""
    async with kit(folder, storage=storage, policies=POLICIES + rules) as made, made.running():
        await made.connected()
        made.mail.counts.clear()
        yield made


async def note(world: Kit, text: str = "x", action: str = "note_again", **more: Any) -> Answer:
    return await world.execute(action, params={"text": text}, **more)


async def many(worlds: list[Kit], number: int) -> Counter[str]:
    """So many different calls at once; how they ended."""
    calls = [note(worlds[turn % len(worlds)], f"text {turn}") for turn in range(number)]
    answers = await asyncio.gather(*calls)
    assert {answer.status for answer in answers} <= {200, 202, 403}, [answer.json for answer in answers]
    return Counter(answer.json.get("execution", answer.json)["status"] for answer in answers)


def becomes(answer: Answer) -> str:
    told: str = answer.json.get("status") if answer.status < 300 else answer.json.get("code", "")
    return told


@pytest.fixture(params=["sqlite", "postgresql"])
def storage(request: pytest.FixtureRequest) -> str:
    return "sqlite:///jit-auth.db" if request.param == "sqlite" else request.getfixturevalue("postgres_url")


@pytest.mark.parametrize(("effect", "others"), [("deny", "denied"), ("require_approval", "paused")])
async def test_of_50_at_once_three_get_through(tmp_path: Path, storage: str, effect: str, others: str) -> None:
    limit = rule("rate", effect, "note_again", "history.same_action_1h >= 3")
    async with served(tmp_path, limit, storage) as world:
        assert await many([world], 50) == {"succeeded": 3, others: 47}
        assert world.mail.counts["POST"] == 3
        assert becomes(await note(world, "one more")) == ("policy_denied" if effect == "deny" else "paused")


async def test_two_replicas_count_as_one(tmp_path: Path, postgres_url: str) -> None:
    limit = rule("rate", "deny", "note_again", "history.same_action_1h >= 3 || history.agent_writes_1h >= 40")
    async with AsyncExitStack() as stack:
        one = await stack.enter_async_context(kit(tmp_path / "one", storage=postgres_url, policies=POLICIES + limit))
        two = one.twin(tmp_path / "two")
        await stack.enter_async_context(one.running())
        await stack.enter_async_context(two.running())
        await one.connected()
        one.mail.counts.clear()
        assert await many([one, two], 50) == {"succeeded": 3, "denied": 47}
        assert one.mail.counts["POST"] == 3


async def test_a_token_that_has_to_be_renewed_first_lets_no_other_number_through(tmp_path: Path) -> None:
    async with served(tmp_path, rule("rate", "deny", "note_again", "history.same_action_1h >= 3")) as world:
        world.clock.offset += 3_590_000
        assert await many([world], 20) == {"succeeded": 3, "denied": 17}
        assert (world.mail.counts["POST"], world.provider.counts["refresh_token"]) == (3, 1)


async def test_what_happens_between_decision_and_intent_counts(tmp_path: Path) -> None:
    async with served(tmp_path, rule("once", "deny", "note_again", "history.same_action_1h >= 1")) as world:
        assert world.service is not None
        meddler = Meddler(world.service.store)
        inner: list[Answer] = []

        async def another() -> None:
            inner.append(await note(world, "inner"))

        meddler.do("before", "send", another)
        outer = await note(world, "outer")
        assert (becomes(inner[0]), becomes(outer)) == ("succeeded", "policy_denied")
        assert world.mail.counts["POST"] == 1


async def test_admitted_attempts_count_whatever_became_of_them_and_repeats_do_not(tmp_path: Path) -> None:
    limits = (
        rule("no", "deny", "send_keyed", "true")
        + rule("fifth", "deny", "send_message", "history.same_action_24h >= 4")
        + rule("third", "deny", "send_keyed", "history.same_action_24h >= 2")
    )
    async with served(tmp_path, limits) as world:
        first = await world.execute("send_message", params=SEND, key="k")
        assert first.status == 202
        for key in ("k", "l", None):  # a repeat, and two that join it
            assert (await world.execute("send_message", params=SEND, key=key)).json["id"] == first.json["id"]
        denied = await world.execute("send_message", params=SEND | {"subject": "no"})
        assert (await world.decide(await world.approval_link(denied.json["id"]), "deny")).status == 200
        cancelled = await world.execute("send_message", params=SEND | {"subject": "cancelled"})
        assert (await world.call("POST", f"/executions/{cancelled.json['id']}/cancel")).status == 200
        expired = await world.execute("send_message", params=SEND | {"subject": "expired"}, expires_in=60)
        world.clock.offset += 61_000
        assert world.service is not None
        await world.service.worker.turn()
        assert (await world.ended(expired.json["id"]))["status"] == "expired"
        for refused in ({"params": {}}, {"params": SEND, "expires_in": 1}, {"params": SEND, "account": "nobody"}):
            assert (await world.execute("send_message", **refused)).status == 422  # type: ignore[arg-type]  # any body
        fifth = await world.execute("send_message", params=SEND | {"subject": "five"})
        assert (becomes(fifth), fifth.json["execution"]["decision"]["rules"]) == ("policy_denied", ["fifth"])
        rules = [
            (await world.execute("send_keyed", params={"subject": str(turn)})).json["execution"]["decision"]["rules"]
            for turn in range(3)
        ]
        assert rules == [["no"], ["no"], ["no", "third"]]


async def test_an_execution_does_not_count_itself_nor_what_came_after_it(tmp_path: Path) -> None:
    async with served(tmp_path, rule("once", "deny", "note_again", "history.same_action_1h >= 1")) as world:
        waits = await note(world, "of bob", user="bob@example.com")
        assert waits.status == 202
        assert becomes(await note(world, "again", user="bob@example.com")) == "policy_denied"
        await world.connect(waits, user="bob")
        assert (await world.ended(waits.json["id"]))["status"] == "succeeded"


async def test_what_waits_for_people_is_not_let_go_because_an_hour_has_passed(tmp_path: Path) -> None:
    async with served(tmp_path, rule("rate", "require_approval", "note_again", "history.same_action_1h >= 1")) as world:
        assert becomes(await note(world, "first")) == "succeeded"
        second = await note(world, "second")
        assert becomes(second) == "paused"
        assert world.service is not None
        for _ in range(3):
            world.clock.offset += HOUR
            await world.service.worker.turn()
        assert (await world.call("GET", f"/executions/{second.json['id']}")).json["status"] == "paused"
        assert becomes(await note(world, "a new one")) == "succeeded"
        assert (await world.decide(await world.approval_link(second.json["id"]))).status == 200
        assert (await world.ended(second.json["id"]))["status"] == "succeeded"


async def test_what_an_agent_does_for_others_counts_for_the_agent(tmp_path: Path) -> None:
    limits = rule("many", "deny", "note_again", "history.agent_action_1h >= 2") + rule(
        "writes", "deny", "send_again", "history.agent_writes_1h >= 4"
    )
    async with served(tmp_path, limits) as world:  # one write: the note by which Alice connected
        assert (await note(world, user="bob@example.com")).status == 202
        assert (await note(world, user="carl@example.com")).status == 202
        assert becomes(await note(world)) == "policy_denied"
        assert becomes(await world.execute("list_messages")) == "succeeded"
        sent = await world.execute("send_again", params={"subject": "x"})
        assert (becomes(sent), sent.json["execution"]["decision"]["rules"]) == ("policy_denied", ["writes"])
        world.clock.offset += HOUR + 1_000
        assert becomes(await note(world)) == "succeeded"


async def test_denials_count_by_policy_and_by_people(tmp_path: Path) -> None:
    limits = rule("odd", "deny", "send_message", "params.subject == 'odd'") + rule(
        "enough", "deny", "send_message", "history.denied_24h >= 2"
    )
    async with served(tmp_path, limits) as world:
        paused = [await world.execute("send_message", params=SEND | {"subject": f"s{turn}"}) for turn in range(3)]
        assert {answer.status for answer in paused} == {202}
        links = [await world.approval_link(answer.json["id"]) for answer in paused]
        assert becomes(await world.execute("send_message", params=SEND | {"subject": "odd"})) == "policy_denied"
        assert (await world.decide(links[0], "deny")).status == 200
        # What was approved meanwhile is decided by what has been denied until its intent.
        assert (await world.decide(links[1])).status == 200
        ended = await world.ended(paused[1].json["id"])
        assert (ended["status"], ended["error"]["code"]) == ("denied", "policy_denied")
        assert becomes(await world.execute("send_message", params=SEND)) == "policy_denied"
        assert world.mail.counts["POST"] == 0
        world.clock.offset += 24 * HOUR + 1_000
        assert becomes(await world.execute("send_message", params=SEND)) == "paused"


async def test_first_seen_is_true_until_a_person_has_approved_or_a_day_has_passed(tmp_path: Path) -> None:
    limits = rule("new", "require_approval", "note_again", "history.first_seen && params.text != 'harmless'")
    async with served(tmp_path, limits) as world:
        assert becomes(await note(world, "harmless")) == "succeeded"
        first = await note(world, "first")
        assert becomes(first) == "paused", "a harmless call poisons nothing"
        assert (await world.decide(await world.approval_link(first.json["id"]))).status == 200
        assert (await world.ended(first.json["id"]))["status"] == "succeeded"
        assert becomes(await note(world, "second")) == "succeeded"
        other = await note(world, "harmless", user="bob@example.com")
        await world.connect(other, user="bob")
        assert (await world.ended(other.json["id"]))["status"] == "succeeded"
        assert becomes(await note(world, "of bob", user="bob@example.com")) == "paused"
        world.clock.offset += 24 * HOUR + 1_000
        assert becomes(await note(world, "of bob, later", user="bob@example.com")) == "succeeded"


async def test_rules_that_begin_to_count_find_what_was_before_them(tmp_path: Path) -> None:
    async with kit(tmp_path) as world:
        async with world.running():
            await world.connected()
            for turn in range(2):
                assert becomes(await note(world, str(turn))) == "succeeded"
            waits = await world.execute("send_again", params={"subject": "x"})
            link = await world.approval_link(waits.json["id"])
        world.policies += rule("rate", "deny", "note_again", "history.same_action_1h >= 2")
        world.policies += rule("sent", "deny", "send_again", "history.same_action_1h >= 1")
        world.write()
        async with world.running():
            assert becomes(await note(world, "third")) == "policy_denied"
            assert becomes(await world.execute("send_again", params={"subject": "y"})) == "policy_denied"
            assert (await world.decide(link)).status == 200
            assert (await world.ended(waits.json["id"]))["status"] == "succeeded"


async def test_where_no_rule_reads_it_nothing_is_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with served(tmp_path, rule("rate", "deny", "note_again", "history.same_action_1h >= 1")) as world:
        assert world.service is not None
        store = world.service.store
        counted: list[str] = []
        seen: list[bool] = []
        count, apply = store.history, store.apply

        async def history(past: Past, now: int | None = None) -> Any:
            counted.append(past.action)
            return await count(past, now)

        async def applied(unit: Unit) -> Applied | Stale:
            if unit.at is not None:
                seen.append(unit.at.past is not None)
            return await apply(unit)

        monkeypatch.setattr(store, "history", history)
        monkeypatch.setattr(store, "apply", applied)
        for action, params in (("note", {"text": "y"}), ("list_messages", {}), ("send_message", SEND)):
            assert (await world.execute(action, params=params)).status in (200, 202)
        assert (counted, set(seen)) == ([], {False})
        assert becomes(await note(world)) == "succeeded"
        assert counted == ["mailhub.note_again"]


async def test_what_was_counted_is_on_record_and_explained(tmp_path: Path) -> None:
    limits = (
        rule("rate", "deny", "note_again", "history.same_action_1h >= 2")
        + rule("quiet", "deny", "note_again", "history.agent_action_1h >= 1", mode="shadow")
        + '\n[[label]]\nid = "spike"\nmatch = ["mailhub.note_again"]\nwhen = "history.same_action_24h >= 1"\n'
        'add = ["again"]\n'
    )
    async with served(tmp_path, limits) as world:
        answers = [await note(world, str(turn)) for turn in range(3)]
        assert [becomes(answer) for answer in answers] == ["succeeded", "succeeded", "policy_denied"]
        assert answers[1].json["labels"] == ["again"]
        told = [fact for fact in await facts(world, "decision") if "history" in fact]
        assert [fact["history"] for fact in told] == [
            {"agent_action_1h": turn, "same_action_1h": turn, "same_action_24h": turn} for turn in range(3)
        ]
        assert [fact.get("shadow") for fact in told] == [None, ["quiet"], ["quiet"]], "shadow rules are on record"
        ran = await command(world, "policy", "explain", answers[1].json["id"], "--json")
        assert ran.code == 0, ran.err
        rules = {one["id"]: one for one in ran.json["rules"]}
        (value,) = [part["value"] for part in rules["rate"]["when"]["parts"] if part["text"].startswith("history")]
        assert (value, rules["rate"]["outcome"], rules["quiet"]["mode"], rules["quiet"]["outcome"]) == (
            1, "when_false", "shadow", "winner",
        )  # fmt: skip
        assert ran.json["decision"]["effect"] == "allow"
        assert ran.json["with_shadow"]["effect"] == "deny"


async def test_rules_that_cannot_settle_send_nothing(tmp_path: Path) -> None:
    """A decision that turns with every count ends as `busy` at worst, and never as a send that it does not allow."""
    odd = " || ".join(f"history.same_action_1h == {number}" for number in range(1, 60, 2))
    async with served(tmp_path, rule("odd", "deny", "note_again", odd)) as world:
        answers = await asyncio.gather(*(note(world, str(turn)) for turn in range(30)))
        assert {answer.status for answer in answers} <= {200, 403, 503}
        sent = sum(answer.status == 200 for answer in answers)
        admitted = sum(answer.status != 503 for answer in answers)
        assert world.mail.counts["POST"] == sent == (admitted + 1) // 2
