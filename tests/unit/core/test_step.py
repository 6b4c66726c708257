"""The state machine: `next_step` for every situation, and what may never happen whatever the situation."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jit_auth.core.quorum import Requesters, eligible, enough
from jit_auth.core.scopes import Lack
from jit_auth.core.step import ALLOWED, next_step
from jit_auth.core.view import Asking, Came, End, Nudge, Release, Send, View, Wait
from jit_auth.model import CLAIMED, Ask, Crowd, Decision, Escalate, Execution, Pass, Result, Tally, Trouble, Vote, Want

NOW = 1_800_000_000_000
HOUR = 3_600_000
ALLOW = Decision("allow", rules=("r",), policy="sha256:p")
ANA = Want(of=("user:ana@example.com",), expires=HOUR)
APPROVE = Decision("require_approval", rules=("r",), wants=(ANA,), policy="sha256:p")
DENY = Decision("deny", rules=("no",), reasons=("Never.",), policy="sha256:p")


def row(**changes: Any) -> Execution:
    base = Execution(
        id="exe_1", version=1, state="paused", agent="bot", chain=("bot",), user="alice@example.com", verified=True,
        action="mail.send", params={}, digest="sha256:d", decision=ALLOW, created=NOW, updated=NOW,
        expires=NOW + 24 * HOUR,
    )  # fmt: skip
    return msgspec.structs.replace(base, **changes)


def nobody(group: str) -> frozenset[str]:
    return frozenset()


def view(execution: Execution | None = None, **changes: Any) -> View:
    execution = execution or row()
    decision = changes.pop("decision", ALLOW)
    values: dict[str, Any] = {
        "execution": execution,
        "decision": decision,
        "eligible": tuple(
            eligible(want, Requesters(execution.user), lambda name: frozenset()) for want in decision.wants
        ),
        "digest": "sha256:d",
        "lacks": (),
        "now": NOW,
        "retry": "never",
        "reads": False,
        "send_within": 15 * 60_000,
    }
    return View(**(values | changes))


def approval(**changes: Any) -> Ask:
    base = Ask(
        id="apr_1", execution="exe_1", kind="approval", agent="bot", user="alice@example.com", digest="sha256:d",
        wants=(ANA,), created=NOW, expires=NOW + HOUR,
    )  # fmt: skip
    return msgspec.structs.replace(base, **changes)


def consent(**changes: Any) -> Ask:
    base = Ask(
        id="cns_1", execution="exe_1", kind="consent", agent="bot", user="alice@example.com", provider="mail",
        scopes=("mail.send",), new_agent=True, created=NOW, expires=NOW + 24 * HOUR,
    )  # fmt: skip
    return msgspec.structs.replace(base, **changes)


def vote(verdict: str = "approve", person: str = "ana@example.com") -> Vote:
    return Vote(ask="apr_1", person=person, verdict=verdict, digest="sha256:d", seen="s", how="link", at=NOW,
                feedback="no" if verdict == "deny" else None)  # fmt: skip


LACK = Lack("mail", ("mail.send",), True)


def test_a_call_that_needs_nobody_is_sent() -> None:
    step = next_step(view(row(version=0, state="executing")))
    assert step == Send(NOW + 24 * HOUR)


def test_consent_and_approval_are_asked_at_once() -> None:
    step = next_step(view(row(version=0, state="executing"), decision=APPROVE, lacks=(LACK,)))
    assert step == Asking((LACK,), (ANA,))


def test_an_approval_waits_for_the_account_where_the_request_cannot_be_built() -> None:
    step = next_step(view(row(version=0, state="executing"), decision=APPROVE, lacks=(LACK,), digest=None))
    assert step == Asking((LACK,))


def test_a_denied_call_ends_with_its_reasons() -> None:
    step = next_step(view(row(version=0, state="executing"), decision=DENY))
    assert isinstance(step, End)
    assert step.state == "denied"
    assert step.error is not None
    assert (step.error.code, step.error.message) == ("policy_denied", "Never.")


def test_what_waits_waits_until_the_first_deadline() -> None:
    asks = (approval(), consent())
    step = next_step(view(decision=APPROVE, lacks=(LACK,), asks=asks))
    assert step == Wait(NOW + HOUR - 15 * 60_000)  # a warning goes out before the round runs out


def test_who_was_asked_is_warned_and_reminded_once_each() -> None:
    decision = msgspec.structs.replace(APPROVE, remind=20 * 60_000)
    at = NOW + 46 * 60_000
    step = next_step(view(decision=decision, asks=(approval(),), now=at))
    assert step == Nudge(approval(), 2, True)
    done = approval(reminded=2, warned=True)
    assert next_step(view(decision=decision, asks=(done,), now=at)) == Wait(NOW + HOUR)


def test_more_people_are_asked_when_it_is_time() -> None:
    more = Escalate(30 * 60_000, ("group:directors",))
    wants = (msgspec.structs.replace(ANA, escalate=(more,)),)
    decision = msgspec.structs.replace(APPROVE, wants=wants)
    ask = approval(wants=wants)
    assert next_step(view(decision=decision, asks=(ask,))) == Wait(NOW + 30 * 60_000)
    assert next_step(view(decision=decision, asks=(ask,), now=NOW + 30 * 60_000)) == Nudge(ask, 0, False, (more,))


def test_a_pass_stands_for_the_votes_and_a_use_is_taken() -> None:
    standing = Pass(id="pas_1", digest="sha256:d", agent="bot", chain=("bot",), user="alice@example.com",
                    action="mail.send", uses=1, until=NOW + 60_000, created=NOW)  # fmt: skip
    step = next_step(view(row(version=0, state="executing"), decision=APPROVE, standing=standing))
    assert step == Send(NOW + 60_000, (), standing)


def test_what_was_just_denied_is_denied_at_once() -> None:
    crowd = Crowd(tally=Tally(key="k", times=1, denied=1, denied_at=NOW - 1, until=NOW + HOUR))
    new = row(version=0, state="executing")
    step = next_step(view(new, decision=APPROVE, crowd=crowd, cooldown=600_000))
    assert isinstance(step, End)
    assert step.error is not None
    assert step.error.code == "recently_denied"
    assert isinstance(next_step(view(new, decision=APPROVE, crowd=crowd, cooldown=0)), Asking)
    assert isinstance(next_step(view(new, decision=APPROVE, crowd=crowd, cooldown=1)), Asking)


def test_people_whom_nobody_can_reach_are_no_approvers() -> None:
    step = next_step(view(row(version=0, state="executing"), decision=APPROVE, reached=(frozenset(),)))
    assert isinstance(step, End)
    assert step.error is not None
    assert (step.error.code, step.error.hint) == ("no_approver", "An operator has to name more approvers.")


def test_a_met_approval_is_sent_within_its_limits() -> None:
    met = row(met=NOW - 1000, decision=APPROVE)
    step = next_step(view(met, decision=APPROVE, asks=(approval(state="met"),), votes=(vote(),)))
    assert step == Send(NOW - 1000 + 15 * 60_000)


def test_a_denial_ends_it_with_its_feedback() -> None:
    step = next_step(view(decision=APPROVE, asks=(approval(state="denied"),), votes=(vote("deny"),)))
    assert isinstance(step, End)
    assert step.state == "denied"
    assert step.error is not None
    assert (step.error.code, step.error.by, step.error.feedback) == ("approval_denied", "ana@example.com", "no")


def test_a_refused_consent_ends_it() -> None:
    step = next_step(view(lacks=(LACK,), asks=(consent(state="denied"),)))
    assert isinstance(step, End)
    assert step.error is not None
    assert step.error.code == "consent_refused"


def test_silence_is_no_denial() -> None:
    step = next_step(view(decision=APPROVE, asks=(approval(),), now=NOW + HOUR))
    assert isinstance(step, End)
    assert step.state == "expired"


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"digest": "sha256:other"}, "What would be sent has changed since it was asked."),
        ({"decision": msgspec.structs.replace(APPROVE, wants=(Want(("user:bo@example.com",)),))}, "The votes"),
        ({"now": NOW + HOUR}, "The approval ran out"),
    ],
)
def test_a_void_approval_is_asked_again_with_the_reason(changes: dict[str, Any], why: str) -> None:
    met = approval(state="met")
    values = {"decision": APPROVE} | changes
    step = next_step(view(row(met=NOW), asks=(met,), votes=(vote(),), **values))
    assert isinstance(step, Asking)
    assert step.round == values["decision"].wants
    assert step.old == (met,)
    assert step.why.startswith(why)


def test_a_met_approval_that_ran_out_is_asked_again_only_when_all_else_is_met() -> None:
    asks = (approval(state="met"), consent())
    late = view(row(met=NOW), decision=APPROVE, asks=asks, votes=(vote(),), lacks=(LACK,), now=NOW + 2 * HOUR)
    assert isinstance(next_step(late), Wait)


def test_a_send_that_was_due_and_not_begun_is_asked_again() -> None:
    asks = (approval(state="met"),)
    late = view(row(met=NOW), decision=APPROVE, asks=asks, votes=(vote(),), now=NOW + 16 * 60_000)
    assert isinstance(next_step(late), Asking)


def test_a_change_that_leaves_digest_and_votes_untouched_voids_nothing() -> None:
    other = msgspec.structs.replace(APPROVE, rules=("another",), policy="sha256:q")
    step = next_step(view(row(met=NOW), decision=other, asks=(approval(state="met"),), votes=(vote(),)))
    assert isinstance(step, Send)


def test_an_approval_that_is_no_longer_wanted_is_settled_and_not_waited_for() -> None:
    ask = approval()
    assert next_step(view(asks=(ask,))) == Send(NOW + 24 * HOUR, (ask,))


def test_nobody_left_to_approve() -> None:
    lonely = msgspec.structs.replace(APPROVE, wants=(Want(("requester",)),))
    step = next_step(view(row(version=0, state="executing", user=None), decision=lonely))
    assert isinstance(step, End)
    assert step.error is not None
    assert (step.error.code, step.error.hint.partition(":")[0]) == (
        "no_approver", "The rules ask the user, and the call names none",
    )  # fmt: skip


def test_a_stop_bars_everything() -> None:
    barred = Trouble("revoked", "Stopped.")
    step = next_step(view(decision=APPROVE, asks=(approval(state="met"),), votes=(vote(),), barred=barred))
    assert step == End("denied", barred)


SENT = row(state="executing", intent=True, attempt=1, process="p", deadline=NOW + 45_000)


def test_an_attempt_of_a_live_process_is_left_alone() -> None:
    assert next_step(view(SENT, held=True)) == Wait(NOW + 45_000)


def test_a_lost_call_that_may_not_be_repeated_is_unknown() -> None:
    step = next_step(view(SENT))
    assert isinstance(step, End)
    assert step.state == "unknown"


def test_a_lost_call_that_may_be_repeated_is_repeated_for_a_minute() -> None:
    repeated = next_step(view(SENT, retry="idempotent"))
    assert isinstance(repeated, Wait)
    assert repeated.until == NOW + 1000
    assert repeated.after is not None
    assert repeated.after.kind == "lost"
    tired = msgspec.structs.replace(SENT, trouble_since=NOW - 60_000, tries=6, lost=True)
    gave_up = next_step(view(tired, retry="idempotent"))
    assert isinstance(gave_up, End)
    assert gave_up.state == "unknown"
    read = next_step(view(tired, retry="safe", reads=True))
    assert isinstance(read, End)
    assert read.state == "failed"


def test_a_write_that_was_lost_half_a_day_ago_is_not_repeated() -> None:
    """Nobody was there meanwhile. Providers forget idempotency keys after a day, and would do it twice."""
    died = msgspec.structs.replace(SENT, expires=NOW + 14 * 24 * HOUR)
    paused = msgspec.structs.replace(
        died, intent=False, deadline=None, lost=True, tries=1, trouble_since=NOW + 45_000, due=NOW + 46_000
    )
    for left in (died, paused):
        for retry in ("idempotent", "key:Idempotency-Key"):
            soon = view(left, retry=retry, now=NOW + 12 * HOUR)
            assert isinstance(next_step(soon), Wait if left is died else Send)
            late = next_step(msgspec.structs.replace(soon, now=NOW + 12 * HOUR + 45_001))
            assert isinstance(late, End)
            assert late.state == "unknown"
        read = view(left, retry="safe", reads=True, now=NOW + 24 * HOUR)
        assert isinstance(next_step(read), Wait if left is died else Send)


def test_the_pauses_double_up_to_thirty_seconds() -> None:
    for tries, pause in enumerate((1000, 2000, 4000, 8000, 16_000, 30_000, 30_000)):
        step = next_step(view(msgspec.structs.replace(SENT, tries=tries), came=Came("never_left")))
        assert step == Wait(NOW + pause, after=Came("never_left"))


def test_an_outage_is_retried_for_a_minute_or_as_long_as_the_approval_may_be_used() -> None:
    waited = msgspec.structs.replace(SENT, trouble_since=NOW - 50_000, tries=3, met=NOW - 60_000)
    short = next_step(view(msgspec.structs.replace(waited, tries=4), came=Came("never_left")))
    assert isinstance(short, End)
    assert short.error is not None
    assert short.error.code == "provider_unavailable"
    approved = view(msgspec.structs.replace(waited, tries=4), decision=APPROVE, came=Came("never_left"))
    assert next_step(approved) == Wait(NOW + 16_000, after=Came("never_left"))


def test_a_refused_credential_is_replaced_once() -> None:
    refused = Came("unauthorized", Result(401, {}, None), surely_not=True, fresh=True)
    assert next_step(view(SENT, came=refused)) == Wait(NOW, after=refused)
    again = next_step(view(msgspec.structs.replace(SENT, refreshed=True), came=refused))
    assert isinstance(again, End)
    assert again.state == "failed"
    unsure = Came("unauthorized", Result(401, {}, None), surely_not=False, fresh=True)
    assert isinstance(next_step(view(SENT, came=unsure)), End)
    assert next_step(view(SENT, came=unsure, retry="idempotent")) == Wait(NOW, after=unsure)


def test_missing_scopes_lead_to_consent_once() -> None:
    came = Came("insufficient_scope", Result(403, {}, None))
    assert next_step(view(SENT, came=came)) == Wait(NOW, after=came)
    assert isinstance(next_step(view(msgspec.structs.replace(SENT, rescoped=True), came=came)), End)


def test_a_rate_limit_within_reach_is_honoured_and_beyond_it_is_a_failure() -> None:
    limited = Came("rate_limited", retry_after=5000)
    assert next_step(view(SENT, came=limited)) == Wait(NOW + 5000, after=limited)
    beyond = next_step(view(SENT, came=Came("rate_limited", Result(429, {}, None), retry_after=61_000)))
    assert isinstance(beyond, End)
    assert beyond.state == "failed"


OWN_FUNCTION: dict[str, Any] = {"by_agent": True}


def test_a_function_is_released_and_sent_only_to_a_claim() -> None:
    new = row(version=0, state="executing")
    assert next_step(view(new, **OWN_FUNCTION)) == Release(NOW + 24 * HOUR)
    turn = row(state="released", due=NOW + 24 * HOUR)
    assert next_step(view(turn, **OWN_FUNCTION)) == Wait(NOW + 24 * HOUR)
    assert next_step(view(turn, **OWN_FUNCTION, claiming=True)) == Send(NOW + 24 * HOUR)


def test_a_turn_lasts_as_long_as_an_approval_may_be_used() -> None:
    met = {"decision": APPROVE, "asks": (approval(state="met"),), "votes": (vote(),)}
    assert next_step(view(row(met=NOW), **met, **OWN_FUNCTION)) == Release(NOW + 15 * 60_000)
    late = view(row(state="released", met=NOW), now=NOW + 15 * 60_000, **met, **OWN_FUNCTION)
    for claiming in (False, True):
        step = next_step(msgspec.structs.replace(late, claiming=claiming))
        assert isinstance(step, Asking)
        assert step.why == "The approval ran out before the call could be made."


def test_a_turn_that_nobody_takes_expires() -> None:
    step = next_step(view(row(state="released"), now=NOW + 24 * HOUR, claiming=True, **OWN_FUNCTION))
    assert isinstance(step, End)
    assert step.state == "expired"
    assert step.error is not None
    assert step.error.message == "The agent did not claim it in time."


def test_a_turn_in_another_form_is_released_anew_and_a_call_of_ours_to_nobody() -> None:
    turn = row(state="released")
    assert next_step(view(turn, digest="sha256:new", **OWN_FUNCTION)) == Release(NOW + 24 * HOUR)
    step = next_step(view(turn))
    assert isinstance(step, End)
    assert step.state == "denied"
    lost = row(state="executing", lost=True)
    gone = next_step(view(lost, **OWN_FUNCTION))
    assert isinstance(gone, End)
    assert gone.state == "unknown"


def test_a_claim_runs_out_and_stands_still_while_everything_is_halted() -> None:
    claimed = row(state="executing", intent=True, attempt=1, process=CLAIMED, deadline=NOW + 600_000, due=NOW + 600_000)
    assert next_step(view(claimed, now=NOW + 599_999)) == Wait(NOW + 600_000)
    step = next_step(view(claimed, now=NOW + 600_000))
    assert isinstance(step, End)
    assert step.state == "unknown"
    halted = view(claimed, now=NOW + HOUR, halted=True, spans=((NOW + 1, 1 << 52),))
    assert next_step(halted) == Wait(NOW + 600_000)
    resumed = view(claimed, now=NOW + HOUR, spans=((NOW + 1, NOW + HOUR),))
    assert next_step(resumed) == Wait(NOW + 600_000)
    assert isinstance(next_step(msgspec.structs.replace(resumed, now=NOW + HOUR + 600_000)), End)


def test_after_a_lost_answer_nobody_says_that_nothing_happened() -> None:
    lost = row(state="executing", lost=True, trouble_since=NOW - 5000, tries=1, due=NOW)
    for changes in (
        {"decision": DENY}, {"barred": Trouble("revoked", "x")}, {"now": NOW + 25 * HOUR}, {"lacks": (LACK,)},
        {"decision": APPROVE}, {"came": Came("never_left"), "now": NOW + 70_000}, {"came": Came("refused")},
    ):  # fmt: skip
        step = next_step(view(lost, retry="idempotent", **changes))
        assert isinstance(step, End)
        assert step.state == "unknown", changes


states = st.sampled_from(sorted(ALLOWED.keys() - {"new"}))
ask_states = st.sampled_from(["open", "met", "denied", "expired", "superseded", "closed"])
cames = st.none() | st.builds(
    Came,
    kind=st.sampled_from(
        ["done", "failed", "lost", "never_left", "refused", "rate_limited", "unauthorized", "insufficient_scope"]
    ),
    retry_after=st.none() | st.integers(0, 100_000),
    surely_not=st.booleans(),
    fresh=st.booleans(),
)


@given(
    state=states, version=st.integers(0, 3), intent=st.booleans(), came=cames, held=st.booleans(),
    decision=st.sampled_from([ALLOW, APPROVE, DENY]), lacks=st.sampled_from([(), (LACK,)]), lost=st.booleans(),
    approvals=st.lists(ask_states, max_size=2), voted=st.sampled_from([(), ("approve",), ("deny",)]),
    late=st.sampled_from([0, HOUR - 1, HOUR, 25 * HOUR]), retry=st.sampled_from(["never", "safe", "idempotent"]),
    digest=st.sampled_from(["sha256:d", "sha256:other", None]), barred=st.booleans(), halted=st.booleans(),
    by_agent=st.booleans(), claiming=st.booleans(), claimed=st.booleans(),
)  # fmt: skip
def test_whatever_the_situation_no_send_without_everything_met(**given: Any) -> None:
    under_way = given["state"] == "executing" and given["version"] > 0
    execution = row(
        state=given["state"] if given["version"] else "executing", version=given["version"],
        lost=given["lost"] and under_way, intent=given["intent"] and under_way, met=NOW, due=NOW, deadline=NOW + HOUR,
        process=CLAIMED if given["claimed"] and given["intent"] and under_way else None,
    )  # fmt: skip
    known = given["version"] > 0  # a call that was only just made has neither asks nor an age
    asks = tuple(approval(id=f"apr_{n}", state=state) for n, state in enumerate(given["approvals"], 1) if known)
    situation = view(
        execution, decision=given["decision"], lacks=given["lacks"], asks=asks,
        votes=tuple(vote(verdict) for verdict in given["voted"]), now=NOW + given["late"] * known, retry=given["retry"],
        digest=given["digest"], held=given["held"], halted=given["halted"], came=given["came"] if under_way else None,
        barred=Trouble("revoked", "x") if given["barred"] else None,
        by_agent=given["by_agent"], claiming=given["claiming"],
    )  # fmt: skip
    step = next_step(situation)
    if execution.claimed and situation.came is None:  # in its agent's hands: nothing but time ends that here
        over = situation.now >= NOW + HOUR and not given["held"]
        assert (isinstance(step, End) and step.state == "unknown") if over else isinstance(step, Wait)
    if isinstance(step, Release | Asking):
        target = "released" if isinstance(step, Release) else "paused"
        assert target in ALLOWED[execution.state if execution.version else "new"]
    assert not isinstance(step, Release) or (given["by_agent"] and not given["claiming"])
    if isinstance(step, End):
        assert step.state in ALLOWED[execution.state if execution.version else "new"]
        assert step.state not in ("succeeded", "unknown") or under_way
    if isinstance(step, Send | Release):
        assert given["claiming"] or not given["by_agent"] or isinstance(step, Release)
        assert execution.state in ("paused", "executing", "released")
        assert execution.state != "released" or given["by_agent"]
        assert not given["lacks"]
        assert not given["barred"]
        assert not given["halted"]
        assert given["decision"].effect != "deny"
        assert situation.now < execution.expires
        assert not execution.intent
        if given["decision"] is APPROVE:
            current = next(ask for ask in asks if ask.state in ("open", "met"))
            assert given["digest"] == current.digest
            assert situation.now < current.expires
            voters = {v.person for v in situation.votes if v.ask == current.id and v.verdict == "approve"}
            assert enough(APPROVE.wants, situation.eligible, voters)


@given(st.lists(st.tuples(st.lists(st.sampled_from("abcd"), min_size=1, max_size=4), st.integers(1, 3)), max_size=4),
       st.sets(st.sampled_from("abcd")), st.randoms())  # fmt: skip
def test_quorum_does_not_depend_on_order_and_counts_each_person_once(wants: Any, voters: set[str], random: Any) -> None:
    lines = [(Want(("x",), need), frozenset(people)) for people, need in wants]
    shuffled = lines[:]
    random.shuffle(shuffled)

    def meets(pairs: Any) -> bool:
        return enough([want for want, _ in pairs], [who for _, who in pairs], voters)

    assert meets(lines) == meets(shuffled)
    if meets(lines):
        assert sum(want.need for want, _ in lines) <= len(voters)
    assert all(meets(lines[:n]) or not meets(lines[:m]) for n, m in pairwise(range(len(lines) + 1)))
