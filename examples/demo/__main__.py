"""`python -m examples.demo`: plays the whole story on real parts and says what happens and why. Exit 1 if it fails.

With AUTO=1 in the environment (or no terminal to ask at) the demo plays the people too, through the real pages.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
import threading
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from examples.demo import person, trail
from examples.demo.agent import OPEN, Execution, JitAuth, Refused
from examples.demo.show import Show
from examples.demo.world import World, WorldError
from examples.mailhub import service

T = TypeVar("T")
ALICE = service.ALICE.email
BO = "bo@example.com"
MESSAGE: dict[str, Any] = {
    "to": ["carol@example.net"],
    "subject": "Tuesday at ten",
    "body": "Tuesday at ten is fine. Alice",
}
PATIENCE = 60.0


class Unexpected(Exception):
    """The story went another way than it should."""


class Demo:
    """The story: an agent reads alice's mail, answers one message, and tries something nobody allowed."""

    def __init__(self, world: World, show: Show, *, auto: bool) -> None:
        self.world, self.show, self.auto = world, show, auto
        self.agent = JitAuth(world.url, world.token)
        self.people = {ALICE: person.Browser(), BO: person.Browser()}
        self._loop = asyncio.get_running_loop()
        self._told: set[str] = set()
        self._crash_due = False
        self._offer: asyncio.Task[None] | None = None

    async def run(self) -> None:
        async with contextlib.AsyncExitStack() as stack:
            for browser in self.people.values():
                await stack.enter_async_context(browser)
            self._opening()
            await self._reads()
            await self._sends()
            await self._oversteps()
            await self._on_record()

    def _opening(self) -> None:
        show, hub = self.show, self.world.hub
        show.title(
            "jit_auth: an agent asks, people decide, the call is sent once",
            "Everything runs on this machine, on loopback, and is removed at the end.",
        )
        show.line("provider", f"{hub.provider_url}  MailHub's OAuth server: a login and a consent screen")
        show.line("mail API", f"{hub.api_url}  wants the scope mail.read to list, mail.send to send")
        show.line("jit_auth", f"{self.world.url}  jit-auth serve, on SQLite in {self.world.folder}")
        show.line("agent", "mailbot: holds a token for jit_auth, and none for MailHub")
        show.line("people", f"alice, whose mail it is; bo, a colleague who reads what leaves ({BO})")
        if not self.auto:
            show.line("you", f"are both. At MailHub sign in as {ALICE}, password {service.ALICE.password}")

    async def _reads(self) -> None:
        self.show.step("The agent reads alice's mail: allowed by the policy, once she has consented")
        done = await self._act("mailhub.list_messages", {"limit": 2}, "To see whether somebody waits for an answer")
        if done["status"] != "succeeded":
            return
        for message in done["result"]["body"]["messages"]:
            self.show.line("read", f'"{message["subject"]}" from {message["from"]}')
        again = await _in_thread(
            lambda: self.agent.execute("mailhub.list_messages", user=ALICE, params={"limit": 1}, key="demo-again")
        )
        self._expect(again, "succeeded")
        self.show.line("again", "and once more, at once: consent was given, the rule allows it, nobody is asked")

    async def _sends(self) -> None:
        self.show.step("The agent answers carol: this needs a scope alice never gave, and bo's approval")
        self._crash_due = True
        done = await self._act("mailhub.send_message", MESSAGE, "Carol asked for a time, alice's calendar is free")
        sent = self.world.hub.api.sent
        if done["status"] != "succeeded":
            if sent:
                raise Unexpected(f"a person said no, and yet the mail API has {sent}")
            self.show.line("MailHub", "received nothing")
            return
        if len(sent) != 1 or any(sent[0][name] != value for name, value in MESSAGE.items()):
            raise Unexpected(f"the mail API should have received exactly the approved message once, but has {sent}")
        self.show.line("MailHub", f"received 1 message, to {', '.join(MESSAGE['to'])}: what bo saw, once")

    async def _oversteps(self) -> None:
        self.show.step("The agent tries to delete a message: no rule allows it")
        await self._act("mailhub.delete_message", {"id": "m2"}, "The inbox looks full", end="denied")

    async def _on_record(self) -> None:
        self.show.step("All of it is on record, in a chain that shows any change")
        code, out = await self.world.command("audit", "export")
        if code:
            raise Unexpected(f"audit export answered {code}: {out}")
        for row in map(json.loads, out.splitlines()):
            self.show.line(*trail.told(row), indent=trail.ACTOR + 1)
        code, out = await self.world.command("audit", "verify")
        if code:
            raise Unexpected(f"audit verify answered {code}: {out}")
        self.show.good("verify", out.strip())

    async def _act(self, action: str, params: Mapping[str, Any], reason: str, end: str = "succeeded") -> Execution:
        """One call of the agent from its question to its end, with what people have to do in between."""
        self.show.line("agent", f"POST /execute {action}, for {ALICE}")
        for name, value in params.items():
            self.show.line("", f"{name}: {', '.join(value) if isinstance(value, list) else value}")
        execution = answer = await _in_thread(
            lambda: self.agent.execute(action, user=ALICE, params=params, reason=reason, key=f"demo-{action}")
        )
        self.show.line("answer", f"{execution['status']}, {execution['id']}: {_why(execution)}")
        patience = PATIENCE if self.auto else 24 * 3600.0
        execution = await _in_thread(lambda: self.agent.follow(execution, self._tell, patience))
        if self._offer is not None:
            self._offer.cancel()
        if execution["status"] == "denied" and answer["status"] != "denied" and not self.auto:  # by whoever plays along
            self.show.line("result", f"denied: {_why(execution)}")
            return execution
        self._expect(execution, end)
        if end == "succeeded":
            self.show.good("result", f"{end}: MailHub answered {execution['result']['status']}")
        return execution

    def _expect(self, execution: Execution, end: str) -> None:
        if execution["status"] != end:
            raise Unexpected(f"{execution['id']} should be {end}, but is {execution['status']}: {execution['error']}")

    # What people owe, told and (if wanted) done for them. `_tell` is called in the agent's thread.

    def _tell(self, execution: Execution) -> None:
        asyncio.run_coroutine_threadsafe(self._people(execution), self._loop).result()

    async def _people(self, execution: Execution) -> None:
        new = [item for item in execution["waiting_for"] if _key(item) not in self._told]
        if not new:
            return
        self._told.update(map(_key, new))
        links = [(item, await self._announce(item)) for item in new]
        if self._crash_due:
            self._crash_due = False
            await self._crash()
        if self.auto:
            await self._play(links)
            return
        for item, link in links:
            self.show.link("consent, as alice" if item["kind"] == "consent" else "approve or deny, as bo", link)
        self.show.line("or", "press Enter, and the demo plays them")
        self._offer = asyncio.create_task(self._on_enter(links))

    async def _announce(self, item: Mapping[str, Any]) -> str:
        if item["kind"] == "consent":
            scopes = ", ".join(item["missing_scopes"]) or "no new scopes"
            self.show.line("waits for", f"alice's consent at {item['provider']}: {scopes}")
            return str(item["url"])
        self.show.line("waits for", f"the approval of {', '.join(item['from'])} (the agent is not shown that link)")
        return (await self.world.link(item["id"], PATIENCE)).url

    async def _crash(self) -> None:
        self.show.line(
            "crash", "the service is killed (kill -9) and started again: what waits is a row in its database"
        )
        await self.world.kill()
        await self.world.serve()

    async def _play(self, links: list[tuple[Any, str]]) -> None:
        for item, link in links:
            if item["kind"] == "consent":
                await person.consent(self.people[ALICE], link, ALICE, service.ALICE.password)
                self.show.line("alice", "opened her link, went on to MailHub, signed in and allowed it")
            else:
                await person.approve(self.people[BO], link, [*MESSAGE["to"], MESSAGE["subject"], MESSAGE["body"]])
                self.show.line("bo", "opened his link, read the whole message and approved it")

    async def _on_enter(self, links: list[tuple[Any, str]]) -> None:
        pressed = asyncio.Event()
        self._loop.add_reader(sys.stdin, pressed.set)
        try:
            await pressed.wait()
            sys.stdin.readline()
        finally:
            self._loop.remove_reader(sys.stdin)
        for pair in links:
            with contextlib.suppress(person.PageError):  # done by hand already
                await self._play([pair])


def _key(item: Mapping[str, Any]) -> str:
    return str(item.get("id") or f"{item['provider']} {item['missing_scopes']}")


def _why(execution: Execution) -> str:
    if execution["error"]:
        return f"{execution['error']['code']}, {execution['error']['message']}"
    if execution["status"] not in OPEN:
        return "nothing was missing"
    rules = ", ".join(execution["decision"]["rules"])
    said = {"allow": "allows it", "require_approval": "wants an approval"}
    return f"rule {rules} {said[execution['decision']['effect']]}, and it waits for people"


async def _in_thread(function: Callable[[], T]) -> T:
    """Run the agent's blocking code beside the loop; unlike an executor's, this thread never holds up the exit."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()

    def settle(value: T | None, error: BaseException | None) -> None:
        if future.done():
            return
        if error is not None:
            future.set_exception(error)
        else:
            future.set_result(value)  # type: ignore[arg-type]  # None only where T allows it

    def work() -> None:
        try:
            value = function()
        except BaseException as error:  # handed to whoever awaits
            outcome: tuple[T | None, BaseException | None] = (None, error)
        else:
            outcome = (value, None)
        with contextlib.suppress(RuntimeError):  # the loop has ended
            loop.call_soon_threadsafe(settle, *outcome)

    threading.Thread(target=work, daemon=True).start()
    return await future


async def run(auto: bool) -> int:
    """Everything from start to stop; the exit code. SIGTERM and a closed terminal stop it like Ctrl-C."""
    task = asyncio.current_task()
    for number in (signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, lambda: task and task.cancel())
    show = Show()
    try:
        async with World.running() as world:
            try:
                await Demo(world, show, auto=auto).run()
            except (Unexpected, Refused, person.PageError, TimeoutError, KeyError) as error:
                show.bad(f"\nThe demo failed: {error!r}\nThe service's last lines:\n" + "\n".join(world.log[-20:]))
                return 1
    except WorldError as error:
        show.bad(f"\nThe demo did not start: {error}")
        return 1
    show.title(
        "That was the whole way.",
        "The agent is examples/demo/agent.py, the rules examples/demo/policies.toml.",
        "Your own API, and your own function, in fifteen minutes: README.md.",
    )
    return 0


def main() -> int:
    auto = os.environ.get("AUTO", "") not in ("", "0") or not sys.stdin.isatty()
    os.environ["no_proxy"] = os.environ["NO_PROXY"] = "127.0.0.1"  # all of this is on this machine
    try:
        return asyncio.run(run(auto))
    except (KeyboardInterrupt, asyncio.CancelledError):
        return 130


if __name__ == "__main__":
    sys.exit(main())
