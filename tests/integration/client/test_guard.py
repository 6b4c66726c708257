"""A guarded function runs once, when it is released, whatever dies or gets lost; its outcome is on record."""

from __future__ import annotations

import asyncio
import gc
import logging
import time
from collections.abc import AsyncIterator, Callable
from types import SimpleNamespace
from typing import Any

import pytest

from jit_auth.client import (
    AsyncClient,
    Client,
    Denied,
    Expired,
    Failed,
    GuardRefused,
    Paused,
    Refused,
    Repeats,
    Unknown,
    Unreachable,
)
from tests.fakes.turns import TOKEN, Turns
from tests.integration.client.kit import QUICK


@pytest.fixture
async def turns() -> AsyncIterator[Turns]:
    async with Turns().running() as found:
        yield found


class Ops:
    """A function of either kind under a guard of either client; `runs` are its calls' arguments."""

    def __init__(self, turns: Turns, kind: str, function: str, **options: Any) -> None:
        self.runs: list[tuple[str, int]] = []
        self.gives: Callable[[str], Any] = lambda service: {"restarted": service}
        self.slow: asyncio.Event | None = None
        self.began = asyncio.Event()
        self._kind, self._function = kind, function
        repeats = options.pop("repeats", QUICK)
        made = Client if kind == "blocking" else AsyncClient
        self.client = made(turns.url, TOKEN, repeats=repeats)
        options = {"key": lambda service, times: f"k-{service}", "user": "a@b.example", **options}

        async def restart_async(service: str, times: int = 1) -> Any:
            self.runs.append((service, times))
            self.began.set()
            if self.slow is not None:
                await self.slow.wait()
            return self.gives(service)

        def restart(service: str, times: int = 1) -> Any:
            self.runs.append((service, times))
            return self.gives(service)

        self.guarded: Callable[..., Any] = self.client.guard("ops.restart", **options)(
            restart_async if function == "async" else restart
        )

    async def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if self._function == "async":
            return await self.guarded(*args, **kwargs)
        return await asyncio.to_thread(self.guarded, *args, **kwargs)

    async def close(self) -> None:
        del self.guarded
        if isinstance(self.client, AsyncClient):
            await self.client.close()
        else:
            self.client.close()


@pytest.fixture(params=["blocking-plain", "blocking-async", "async-plain", "async-async"])
async def ops(request: pytest.FixtureRequest, turns: Turns) -> AsyncIterator[Ops]:
    made = Ops(turns, *request.param.split("-"))
    yield made
    await made.close()


@pytest.fixture
async def own(turns: Turns) -> AsyncIterator[Callable[..., Ops]]:
    """Functions with options of the test's own, async on both sides."""
    made: list[Ops] = []

    def make(**options: Any) -> Ops:
        made.append(Ops(turns, "async", "async", **options))
        return made[-1]

    yield make
    for each in made:
        await each.close()


async def test_it_runs_when_released_and_its_value_is_kept(ops: Ops, turns: Turns) -> None:
    assert await ops("db", times=2) == {"restarted": "db"}
    assert ops.runs == [("db", 2)]
    assert turns.of("execute") == [
        {"action": "ops.restart", "user": "a@b.example", "params": {"service": "db", "times": 2}}
    ]
    assert turns.of("executions/claim") == [{"digest": "sha256:exe_1"}]
    (done,) = turns.of("executions/complete")
    assert (done["outcome"], done["result"]) == ("succeeded", {"restarted": "db"})
    assert await ops("db", times=2) == {"restarted": "db"}
    assert len(ops.runs) == 1
    assert len(turns.of("actions")) == 1
    assert await ops("web") == {"restarted": "web"}
    assert ops.runs == [("db", 2), ("web", 1)]


async def test_it_waits_for_people_first(ops: Ops, turns: Turns) -> None:
    turns.released = False
    call = asyncio.ensure_future(ops("db"))
    await turns.until("executions")
    assert ops.runs == []
    await turns.change("exe_1", status="released")
    assert await call == {"restarted": "db"}


@pytest.mark.parametrize(
    ("status", "raised"), [("denied", Denied), ("expired", Expired), ("failed", Failed), ("unknown", Unknown)]
)
async def test_it_does_not_run_otherwise(ops: Ops, turns: Turns, status: str, raised: type[Exception]) -> None:
    turns.released = False
    call = asyncio.ensure_future(ops("db"))
    await turns.until("executions")
    await turns.change("exe_1", status=status, error={"code": "some_code", "message": "So it is."})
    with pytest.raises(raised, match="So it is"):
        await call
    assert ops.runs == []
    assert turns.of("executions/claim") == []


async def test_what_it_raises_is_raised_and_only_its_type_recorded(ops: Ops, turns: Turns) -> None:
    def fail(service: str) -> None:
        raise LookupError("the password is hunter2")

    ops.gives = fail
    with pytest.raises(LookupError, match="hunter2"):
        await ops("db")
    (done,) = turns.of("executions/complete")
    assert (done["outcome"], done["result"]) == ("failed", {"raised": "builtins.LookupError"})
    assert "hunter2" not in str(turns.asked)
    with pytest.raises(Failed):
        await ops("db")
    assert len(ops.runs) == 1


async def test_a_lost_complete_is_told_again(ops: Ops, turns: Turns) -> None:
    turns.lose("executions/complete")
    turns.lose("executions/complete", before=True)
    turns.refuse("executions/complete", 503, {"code": "busy", "detail": "Busy."})
    assert await ops("db") == {"restarted": "db"}
    assert len(turns.of("executions/complete")) == 4
    assert len(ops.runs) == 1


async def test_a_claim_whose_answer_was_lost_is_given_again(ops: Ops, turns: Turns) -> None:
    turns.lose("executions/claim", 3)
    assert await ops("db") == {"restarted": "db"}
    assert len(ops.runs) == 1
    keys = [key for path, _, key in turns.asked if path == "executions/claim"]
    assert len(keys) == 4
    assert len(set(keys)) == 1


async def test_each_turn_has_a_key_of_its_own(ops: Ops, turns: Turns, monkeypatch: pytest.MonkeyPatch) -> None:
    await asyncio.gather(ops("db"), ops("db"), ops("web"))
    monkeypatch.setattr("jit_auth.client.turn.os", SimpleNamespace(getpid=lambda: 1))
    await ops("dns")
    keys = [key for path, _, key in turns.asked if path == "executions/claim"]
    assert len(keys) == len(set(keys)) >= 3
    assert None not in keys
    processes = {str(key).partition("-")[2] for key in keys}
    assert len(processes) == 2, "a fork in the middle of a turn has another key"


async def test_a_claim_that_may_have_been_lost_never_runs_it(ops: Ops, turns: Turns) -> None:
    """Of a service that does not give it again."""
    turns.lose("executions/claim")
    turns.refuse("executions/claim", 409, {"code": "already_claimed", "status": 409, "detail": "No."})
    call = asyncio.ensure_future(ops("db"))
    await turns.until("executions", 2)
    await turns.change("exe_1", status="unknown", error={"code": "outcome_unknown"})
    with pytest.raises(Unknown):
        await call
    assert ops.runs == []
    keys = {key for path, _, key in turns.asked if path == "executions/claim"}
    assert len(keys) == 1
    assert None not in keys


async def test_a_claim_that_did_not_arrive_is_made_again(ops: Ops, turns: Turns) -> None:
    turns.lose("executions/claim", before=True)
    assert await ops("db") == {"restarted": "db"}
    assert len(ops.runs) == 1


async def test_two_at_once_are_one_run(ops: Ops, turns: Turns) -> None:
    first, second = await asyncio.gather(ops("db"), ops("db"))
    assert first == second == {"restarted": "db"}
    assert len(ops.runs) == 1


async def test_a_restarted_agent_waits_for_what_its_predecessor_claimed(ops: Ops, turns: Turns) -> None:
    assert await ops("db")
    await turns.change("exe_1", status="executing", result=None)
    again = asyncio.ensure_future(ops("db"))
    await turns.until("executions")
    await turns.change("exe_1", status="unknown", error={"code": "outcome_unknown"})
    with pytest.raises(Unknown):
        await again
    assert len(ops.runs) == 1


async def test_the_heart_beats_while_it_runs(own: Callable[..., Ops], turns: Turns) -> None:
    turns.claim_seconds = 0.3
    ops = own()
    ops.slow = asyncio.Event()
    turns.lose("executions/heartbeat")
    call = asyncio.ensure_future(ops("db"))
    await turns.until("executions/heartbeat", 3)
    ops.slow.set()
    assert await call == {"restarted": "db"}
    await asyncio.sleep(0.2)  # one may be on its way as the function ends
    beats = len(turns.of("executions/heartbeat"))
    await asyncio.sleep(0.2)
    assert len(turns.of("executions/heartbeat")) == beats


async def test_the_heart_of_a_plain_function_beats_too(turns: Turns) -> None:
    turns.claim_seconds = 0.2
    ops = Ops(turns, "blocking", "plain")
    loop = asyncio.get_running_loop()

    def slow(service: str) -> str:
        asyncio.run_coroutine_threadsafe(turns.until("executions/heartbeat", 2), loop).result(10)
        return service

    ops.gives = slow
    assert await ops("db") == "db"
    await ops.close()


async def test_a_claim_that_ran_out_is_settled_by_a_late_complete(own: Callable[..., Ops], turns: Turns) -> None:
    turns.claim_seconds = 0.2
    ops = own()
    ops.slow = asyncio.Event()
    call = asyncio.ensure_future(ops("db"))
    await turns.until("executions/claim")
    await turns.change("exe_1", status="unknown")
    await turns.until("executions/heartbeat")
    ops.slow.set()
    assert await call == {"restarted": "db"}
    assert turns.executions["exe_1"]["status"] == "succeeded"


async def test_what_people_changed_is_what_runs(ops: Ops, turns: Turns) -> None:
    turns.released = False
    call = asyncio.ensure_future(ops("db"))
    await turns.until("executions")
    await turns.change("exe_1", status="released", params={"service": "standby", "times": 3}, digest="sha256:other")
    assert await call == {"restarted": "standby"}
    assert ops.runs == [("standby", 3)]
    assert turns.of("executions/claim") == [{"digest": "sha256:other"}]


async def test_the_digest_moved_while_it_was_claimed(own: Callable[..., Ops], turns: Turns) -> None:
    ops = own()
    turns.refuse("executions/claim", 409, {"code": "digest_mismatch", "status": 409, "detail": "Other."})
    turns.released = False
    call = asyncio.ensure_future(ops("db"))
    await turns.until("executions")
    await turns.change("exe_1", status="released")
    await turns.until("executions/claim")
    await turns.change("exe_1", params={"service": "standby", "times": 1}, digest="sha256:other")
    assert await call == {"restarted": "standby"}


async def test_a_claim_is_denied(ops: Ops, turns: Turns) -> None:
    denied = {"id": "exe_1", "action": "ops.restart", "status": "denied", "error": {"code": "revoked"}}
    turns.refuse("executions/claim", 403, {"code": "revoked", "status": 403, "execution": denied})
    with pytest.raises(Denied, match="revoked"):
        await ops("db")
    assert ops.runs == []


async def test_a_value_that_is_no_json_is_given_once(ops: Ops, turns: Turns) -> None:
    value = object()
    ops.gives = lambda service: value
    assert await ops("db") is value
    (done,) = turns.of("executions/complete")
    assert done["result"] == {"jit_auth.unrecorded": "builtins.object"}
    with pytest.raises(GuardRefused, match=r"was of type builtins\.object, which is not kept"):
        await ops("db")
    assert len(ops.runs) == 1


async def test_a_value_that_is_too_large_is_given_once(ops: Ops, turns: Turns) -> None:
    turns.refuse("executions/complete", 413, {"code": "too_large", "detail": "Too large."})
    assert await ops("db") == {"restarted": "db"}
    assert turns.of("executions/complete")[1]["result"] == {"jit_auth.unrecorded": "builtins.dict"}


async def test_the_value_is_given_though_the_service_is_gone(
    own: Callable[..., Ops], turns: Turns, caplog: pytest.LogCaptureFixture
) -> None:
    ops = own(repeats=Repeats(seconds=0.05, first=0.01))
    turns.lose("executions/complete", 1000, before=True)
    with caplog.at_level(logging.WARNING, "jit_auth.client"):
        assert await ops("db") == {"restarted": "db"}
    assert "could not be recorded" in caplog.text
    assert TOKEN not in caplog.text


async def test_people_take_longer_than_it_waits(own: Callable[..., Ops], turns: Turns) -> None:
    turns.released = False
    ops = own(timeout=0.1)
    with pytest.raises(Paused) as paused:
        await ops("db")
    assert paused.value.execution.id == "exe_1"
    await turns.change("exe_1", status="released")
    assert await ops("db") == {"restarted": "db"}


async def test_cancelled_while_it_runs(own: Callable[..., Ops], turns: Turns) -> None:
    ops = own()
    ops.slow = asyncio.Event()
    call = asyncio.ensure_future(ops("db"))
    async with asyncio.timeout(10):
        await ops.began.wait()
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    (done,) = turns.of("executions/complete")
    assert (done["outcome"], done["result"]) == ("failed", {"raised": "asyncio.exceptions.CancelledError"})


async def test_cancelled_while_it_claims_is_surely_not_run(own: Callable[..., Ops], turns: Turns) -> None:
    ops = own()
    call = asyncio.ensure_future(ops("db"))
    await turns.until("executions/claim")
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert ops.runs == []
    assert turns.executions["exe_1"]["status"] == "failed"


async def test_without_a_key_each_call_asks_anew(own: Callable[..., Ops], turns: Turns) -> None:
    ops = own(key=None)
    await ops("db")
    await ops("db")
    assert len(ops.runs) == 2
    assert len(turns.executions) == 2


async def test_more_of_the_call_can_be_said(own: Callable[..., Ops], turns: Turns) -> None:
    ops = own(key="once", user=lambda service, times: f"{service}@b.example", reason="it hangs", expires_in=600)
    await ops("db")
    (told,) = turns.of("execute")
    assert (told["user"], told["reason"], told["expires_in"]) == ("db@b.example", "it hangs", 600)
    assert "once" in turns.keys


async def test_a_refused_call_is_refused(ops: Ops, turns: Turns) -> None:
    turns.refuse("execute", 422, {"code": "invalid_params", "status": 422, "detail": "No."})
    with pytest.raises(Refused, match="invalid_params"):
        await ops("db")
    assert ops.runs == []


async def test_a_service_that_is_away_runs_nothing(turns: Turns) -> None:
    ops = Ops(turns, "async", "async", repeats=Repeats(seconds=0.0))
    turns.lose("execute", before=True)
    with pytest.raises(Unreachable):
        await ops("db")
    assert ops.runs == []
    await ops.close()


@pytest.mark.parametrize(
    ("description", "why"),
    [
        ({"run": "engine", "params": {}}, "the service makes its calls itself"),
        ({"run": "agent", "params": {"properties": {"service": {}}}}, "the action has no parameter 'times'"),
        (
            {"run": "agent", "params": {"properties": {"service": {}, "times": {}, "why": {}}, "required": ["why"]}},
            "the function does not take 'why'",
        ),
        (
            {"run": "agent", "params": {"properties": {"service": {"type": "integer"}, "times": {}}}},
            "'service' is string here and integer there",
        ),
    ],
)
async def test_a_function_that_does_not_fit_its_action(
    ops: Ops, turns: Turns, description: dict[str, Any], why: str
) -> None:
    turns.description = description
    with pytest.raises(GuardRefused, match=why) as refused:
        await ops("db")
    assert "ops.restart" in str(refused.value)
    assert "test_guard.py:" in str(refused.value)
    assert ops.runs == []
    assert turns.of("execute") == []


async def test_an_argument_that_nobody_could_be_shown(ops: Ops) -> None:
    with pytest.raises(GuardRefused, match="the argument 'service' is no JSON value"):
        await ops(object())
    with pytest.raises(TypeError, match="unexpected keyword"):
        await ops("db", nonsense=1)


async def test_arguments_changed_meanwhile_are_not_what_runs(turns: Turns) -> None:
    turns.released = False
    turns.description = {"run": "agent", "params": {"properties": {"names": {"type": "array"}}}}
    ran: list[list[str]] = []
    async with AsyncClient(turns.url, TOKEN, repeats=QUICK) as client:

        @client.guard("ops.restart", key="k")
        async def restart(names: list[str]) -> None:
            ran.append(names)

        names = ["db"]
        call = asyncio.ensure_future(restart(names))
        await turns.until("executions")
        names.append("everything")
        found = turns.executions["exe_1"]
        await turns.change("exe_1", status="released", params={"names": found["params"]["names"]})
        await call
    assert ran == [["db"]]


def test_two_guards_of_one_action_are_refused_with_both_places() -> None:
    jit = Client("http://127.0.0.1:1", TOKEN)

    @jit.guard("ops.twice")
    def first() -> None: ...

    with pytest.raises(GuardRefused, match=r"ops\.twice is guarded twice") as refused:

        @AsyncClient("http://127.0.0.1:1", TOKEN).guard("ops__twice")
        async def second() -> None: ...

    told = str(refused.value)
    lines = [first.__wrapped__.__code__.co_firstlineno]  # type: ignore[attr-defined]  # functools.wraps
    assert f"test_guard.py:{lines[0]} " in told
    assert "first" in told
    assert "second" in told
    del first
    gc.collect()

    @jit.guard("ops.twice")
    def third() -> None: ...


@pytest.mark.parametrize("source", ["def f(*names): ...", "def f():\n    yield 1", "async def f():\n    yield 1"])
def test_functions_that_have_no_params_or_no_one_value(source: str) -> None:
    made: dict[str, Any] = {"__name__": "made"}
    exec(source, made)  # noqa: S102 (three functions of this test)
    with pytest.raises(GuardRefused):
        Client("http://127.0.0.1:1", TOKEN).guard("ops.odd")(made["f"])


async def test_a_method_is_guarded_without_its_self(turns: Turns) -> None:
    class Machine:
        runs = 0
        client = Client(turns.url, TOKEN, repeats=QUICK)

        @client.guard("ops.restart", key=lambda self, service, times: service)
        def restart(self, service: str, times: int = 1) -> str:
            self.runs += 1
            return service

    machine = Machine()
    assert await asyncio.to_thread(machine.restart, "db") == "db"
    assert machine.runs == 1
    Machine.client.close()


def test_guarding_waits_for_nobody() -> None:
    began = time.monotonic()
    Client("http://127.0.0.1:1", TOKEN).guard("ops.alone")(lambda: None)
    assert time.monotonic() - began < 1
