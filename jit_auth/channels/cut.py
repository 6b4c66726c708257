"""What of a card leaves the house: all but what is sensitive, or as little as an operator lets a channel tell."""

from __future__ import annotations

from msgspec.structs import replace

from jit_auth.channels import words
from jit_auth.channels.shape import Card, Change, Details
from jit_auth.channels.words import LEFT_OUT, MASK, OPAQUE
from jit_auth.core.fields import Field
from jit_auth.core.text import Part


def masked(card: Card) -> Card:
    """The card for channels other than the page: sensitive values masked, which counts as cut. What people cannot read
    takes its buttons away."""
    kept = tuple(_masked(field) if field.sensitive else field for field in card.fields)
    changed = tuple(Change(each.name, MASK, MASK, True) if each.sensitive else each for each in card.changed)
    hides = any(field.cut for field in kept) or any(each.sensitive for each in changed)
    return replace(
        card,
        fields=kept,
        changed=changed,
        cut=card.cut or hides,
        page_only=card.page_only or card.steps_up or OPAQUE in card.labels,
    )


def detailed(card: Card, details: Details) -> Card:
    """The card as far as `details` lets it leave the house. What is left out counts as cut (THREAT_MODEL 19)."""
    safe = masked(card)
    if details == "full":
        return safe
    changed = tuple(Change(each.name, LEFT_OUT, LEFT_OUT, each.sensitive) for each in safe.changed)
    safe = replace(safe, fields=(), changed=changed, says="", cut=True)
    if details == "summary":
        return safe
    return replace(
        safe,
        summary=safe.summary if safe.role == "gather" else (Part(safe.title),),
        consequence="",
        method="",
        host="",
        runs="",
        account="",
        agent="",
        chain=(),
        user="",
        reasons=(),
        again="",
        wants=(),
        decided=tuple(replace(vote, feedback="") for vote in safe.decided),
        outcome=_bare(safe),
        scopes=(),
        labels=(),
        unusual=(),
        recent=(),
        others=(),
        changed=(),
        editable=(),
        gathered=tuple(replace(each, line=each.action) for each in safe.gathered),
        note="",
    )


def _masked(field: Field) -> Field:
    return Field(
        name=field.name,
        value_text=MASK,
        length=field.length,
        sensitive=True,
        shown=field.shown,
        cut=True,
        kind=field.kind,
    )


def _bare(card: Card) -> str:
    """The outcome without a word of provider or agent."""
    if card.role == "gather":
        return card.outcome
    return words.OUTCOME[card.state].format(provider="The provider", status="", trouble="").replace(" .", ".").strip()
