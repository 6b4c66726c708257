"""What a press of a button comes to: who it was, whether that may decide, one vote through the engine, and an answer
that only this person sees.

Attacks: a stranger presses (only the one person whose member id and workspace this is counts, eligible at that
moment); a guest of another workspace in a shared channel; a stale message (a question stands for one digest for ever,
and the message's own buttons are judged anew: what may only be read on the page is not decided here); one press
delivered twice (the second vote is refused); a form that was kept open over night (judged when it is sent); many
presses at once (a bounded number is worked on, the rest wait: Slack has its answer already).
"""

from __future__ import annotations

import asyncio
import logging
import re
from dataclasses import dataclass, field
from typing import Any

from jit_auth.channels.card import build
from jit_auth.channels.cut import detailed
from jit_auth.channels.slack import forms
from jit_auth.channels.slack import message as buttons
from jit_auth.channels.slack.answer import Answers
from jit_auth.channels.slack.api import Slack
from jit_auth.channels.slack.payload import ASK, Interaction, Kept, Pressed, kept
from jit_auth.channels.slack.settings import SlackSettings
from jit_auth.channels.tools import Tools
from jit_auth.engine.pages import ApprovalPage, Choice
from jit_auth.errors import ChannelError, Forbidden, Problem, StorageError, Unavailable

log = logging.getLogger(__name__)

AT_ONCE = 8
MOST_WAITING = 1000
PATIENCE = 25.0
"""Seconds that one press may take."""
_FOR = re.compile(rf"{buttons.FOR}([0-9]{{1,12}})", re.ASCII)


@dataclass
class Clicks:
    """Takes interactions; each is worked off by itself."""

    settings: SlackSettings
    tools: Tools
    slack: Slack
    answers: Answers
    _gate: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(AT_ONCE))
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)
    _team: str = ""

    def take(self, interaction: Interaction) -> None:
        """Begin with it and return at once: Slack waits three seconds. Raises Unavailable where too many wait."""
        if len(self._tasks) >= MOST_WAITING:
            raise Unavailable("Too many presses at once.", hint="Press again in a moment. Nothing was decided.")
        task = asyncio.create_task(self._bounded(interaction))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def drain(self) -> None:
        """Until everything that was taken is done."""
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _bounded(self, interaction: Interaction) -> None:
        try:
            async with self._gate, asyncio.timeout(PATIENCE):
                await self._told(interaction)
        except TimeoutError:
            log.warning("a press in Slack took longer than %g s", PATIENCE)
        except Exception:
            log.exception("a press in Slack could not be worked off")

    async def _told(self, interaction: Interaction) -> None:
        """What came of it, or why it was refused, to this person alone."""
        try:
            said = await self._work(interaction)
        except Problem as problem:
            said = " ".join(filter(None, (problem.message, _decided(problem), problem.hint)))
        except (StorageError, ChannelError) as error:
            log.warning("a press in Slack: %s", error.message)
            said = "Something here does not answer just now. Press again in a moment; nothing was decided."
        if said:
            await self.answers.send(interaction, said)

    async def _work(self, interaction: Interaction) -> str:
        """Do what was asked for; gives what is to be said about it, "" for nothing."""
        if interaction.type == "view_submission":
            return await self._sent(interaction)
        pressed = interaction.actions[0] if interaction.type == "block_actions" and interaction.actions else None
        if pressed is None or not ASK.fullmatch(pressed.value) or pressed.action_id.startswith(buttons.OPEN):
            return ""
        person = await self._person(interaction)
        if pressed.action_id in (buttons.HAPPENED, buttons.NOT_HAPPENED):
            return await self._asked(interaction, pressed)
        return await self._pressed(interaction, pressed, person)

    async def _pressed(self, interaction: Interaction, pressed: Pressed, person: str) -> str:
        page = await self.tools.decide.round_as(person, pressed.value)
        line, seen = self._offered(page, person, pressed)
        if pressed.action_id == buttons.DENY:
            where = interaction.channel.id if interaction.channel else None
            held = Kept(pressed.value, seen, where or "", interaction.response_url)
            if await self._opened(interaction, forms.denial(held, line)):
                return ""
            # The form does not open: the person pressed Deny, and the safe side needs no reason.
            return await self._vote(person, pressed.value, Choice(verdict="deny", how="slack", seen=seen))
        hold = _FOR.fullmatch(pressed.action_id)
        choice = Choice(verdict="approve", hold=int(hold[1]) if hold else None, how="slack", seen=seen)
        return await self._vote(person, pressed.value, choice)

    def _offered(self, page: ApprovalPage, person: str, pressed: Pressed) -> tuple[str, str]:
        """The question's line and the hash of what was shown. Raises Forbidden where this message may not decide it:
        the rules, the risk or what is left out here may be others than when it was posted."""
        card = detailed(build(page), self.settings.details)
        seen = pressed.seen or card.seen
        if person not in page.eligible or any(vote.person == person for vote in page.votes) or not card.open:
            return card.line, seen  # the vote itself tells why it does not count
        address = f"{self.tools.public_url}/approvals/{page.ask.id}"
        now = buttons.message(card, address)
        if "slack" not in page.execution.decision.via or pressed.action_id not in now.actions:
            raise Forbidden(
                "This is decided on the page alone.",
                code="not_eligible",
                hint=f"Open {address} ; nothing was decided.",
            )
        return card.line, seen

    async def _vote(self, person: str, ask: str, choice: Choice) -> str:
        voted = await self.tools.decide.vote_as(person, ask, choice)
        if choice.verdict == "approve" and voted.ask.state == "open":
            return "Your approval counts. It waits for others."
        return ""

    async def _asked(self, interaction: Interaction, pressed: Pressed) -> str:
        outcome = "succeeded" if pressed.action_id == buttons.HAPPENED else "failed"
        where = interaction.channel.id if interaction.channel else None
        held = Kept(pressed.value, pressed.seen, where or "", interaction.response_url, outcome)
        if await self._opened(interaction, forms.resolution(held)):
            return ""
        return "Slack did not open the form. Press again, or use your link. Nothing was changed."

    async def _sent(self, interaction: Interaction) -> str:
        """A form came back: judged as if it had been pressed now."""
        view = interaction.view
        held = kept(view.private_metadata) if view is not None else None
        if view is None or held is None:
            return ""
        person = await self._person(interaction)
        words = view.entered(forms.WORDS)
        if view.callback_id == forms.RESOLVE and held.outcome in ("succeeded", "failed"):
            if not words.strip():
                return "Say how you found out. Nothing was changed."
            await self.tools.decide.resolve_as(person, held.ask, held.outcome, words.strip(), "slack")
            return "Thank you: it is on record."
        if view.callback_id == forms.DENY:
            page = await self.tools.decide.round_as(person, held.ask)
            self._offered(page, person, Pressed(buttons.DENY, held.seen, held.ask))
            said = forms.feedback(view.entered(forms.REASON), words)
            choice = Choice(verdict="deny", feedback=said, how="slack", seen=held.seen)
            return await self._vote(person, held.ask, choice)
        return ""

    async def _opened(self, interaction: Interaction, view: dict[str, Any]) -> bool:
        try:
            await self.slack.call("views.open", trigger_id=interaction.trigger_id, view=view)
        except ChannelError as error:
            log.warning("a form did not open: %s", error.message)
            return False
        return True

    async def _person(self, interaction: Interaction) -> str:
        """The one person who pressed. Raises Forbidden with what to do."""
        member = interaction.user.id
        teams = {interaction.user.team_id, interaction.team.id if interaction.team else None} - {None}
        if teams != {await self._home()}:
            raise Forbidden(
                "You are a member of another workspace than the one this service trusts.",
                code="not_eligible",
                hint="Nothing was decided.",
            )
        found = [person for person, known in self.tools.people().slack.items() if known == member]
        if len(found) != 1:
            raise Forbidden(
                f"Nobody in this service's configuration is the Slack member {member}.",
                code="not_eligible",
                hint=f'If you may decide, ask an operator to add slack = "{member}" to your table in [people]. '
                "Nothing was decided.",
            )
        return found[0]

    async def _home(self) -> str:
        """The workspace that counts. Raises ChannelError while Slack cannot be asked."""
        if self.settings.team is not None:
            return self.settings.team
        if not self._team:
            found = (await self.slack.call("auth.test")).get("team_id")
            self._team = found if isinstance(found, str) else ""
        return self._team


def _decided(problem: Problem) -> str:
    """Who was first, where a press came too late."""
    listed = problem.members.get("decided")
    if not isinstance(listed, list) or not listed:
        return ""
    words = {"approve": "approved", "deny": "denied"}
    return "; ".join(f"{each['by']} {words[each['decision']]} it at {each['at']}" for each in listed) + "."
