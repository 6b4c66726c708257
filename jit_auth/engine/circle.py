"""Who may decide an execution's questions by the present bundle: requesters, groups, escalations."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from jit_auth.core.quorum import Requesters, eligible, grouped, people
from jit_auth.engine.bundle import Bundle
from jit_auth.model import Ask, Escalate, Execution, Want


@dataclass(frozen=True)
class Circle:
    """Answers by the bundle alone; who was stopped is the caller's to take out."""

    bundle: Bundle

    @property
    def left(self) -> frozenset[str]:
        """Who has left: nothing of theirs counts any more."""
        return self.bundle.left

    def requesters(self, execution: Execution) -> Requesters:
        """The user, the owners of every agent of the chain, and whoever edited (THREAT_MODEL 1, 16)."""
        owners: set[str] = set()
        for name in execution.chain:
            agent = self.bundle.agents.get(name)
            if agent is not None:
                owners.update(agent.owners)
        return Requesters(execution.user, frozenset(owners), frozenset(execution.edited_by))

    def eligible(
        self, execution: Execution, wants: Iterable[Want], escalated: Collection[Escalate] = ()
    ) -> tuple[frozenset[str], ...]:
        """Whose vote counts for each requirement."""
        by = self.requesters(execution)
        left, members = self.left, self.bundle.policy.members
        return tuple([eligible(want, by, members, escalated) - left for want in wants])

    def voters(self, execution: Execution, ask: Ask) -> frozenset[str]:
        """All whose vote counts in a round."""
        return frozenset().union(*self.eligible(execution, ask.wants, ask.escalated))

    def people(self, execution: Execution, names: Iterable[str]) -> frozenset[str]:
        """Whom the names of a `from`, an escalation or `unknown_to` stand for."""
        return people(names, self.requesters(execution), self.bundle.policy.members) - self.left

    def grouped(self, execution: Execution, names: Iterable[str]) -> frozenset[str]:
        """Those of `people` who are asked as members of a group alone."""
        return grouped(names, self.requesters(execution), self.bundle.policy.members) - self.left
