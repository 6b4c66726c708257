"""A letter as an e-mail message (RFC 5322): headers that foreign text cannot break out of, one thread per request."""

from __future__ import annotations

import hashlib
import unicodedata
from datetime import UTC, datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP

from jit_auth.channels.card import Card
from jit_auth.channels.email.letter import letter
from jit_auth.channels.email.render import Renderer, plain, sentence
from jit_auth.channels.email.told import Step, newest
from jit_auth.core.digest import canonical
from jit_auth.core.text import visible
from jit_auth.model import Millis

LONGEST_SUBJECT = 150
_LONGEST_LINE = 998
"""Octets of a line without its end (RFC 5322 2.1.1)."""
_POLICY = SMTP.clone(raise_on_defect=True)


def message(
    card: Card, step: Step, *, sender: str, to: str, public_url: str, renderer: Renderer, now: Millis
) -> EmailMessage:
    """The mail of one step. The same card and step give the same Message-ID, whenever and however often it is made.

    `sender` and `to` are plain addresses. Raises ValueError where a header would hold more than one line.
    """
    domain = sender.rpartition("@")[2]
    said = letter(card, step, public_url)
    made = EmailMessage(policy=_POLICY)
    made["From"] = Address(display_name="jit_auth", addr_spec=sender)
    made["To"] = Address(addr_spec=to)
    made["Subject"] = subject(card, step)
    made["Date"] = datetime.fromtimestamp(now / 1000, UTC)
    made["Message-ID"] = message_id(card, step, domain)
    parents = [_thread(card, domain)]
    if step != "ask":
        parents.append(message_id(card, "ask", domain))
    made["In-Reply-To"] = parents[-1]
    made["References"] = " ".join(parents)
    # RFC 3834: no vacation notice answers it. The second is what Exchange heeds.
    made["Auto-Submitted"] = "auto-generated"
    made["X-Auto-Response-Suppress"] = "All"
    preview = f"{sentence(said.headline)} {' '.join(said.lead)}"[:200]
    _add(made, plain(said), "plain")
    made.make_alternative()
    part = EmailMessage(policy=_POLICY)
    _add(part, renderer.html(said, preview), "html")
    del part["MIME-Version"]
    made.attach(part)
    # Derived: a mail made anew after a crash is the same mail.
    made.set_boundary("=_" + hashlib.sha256(made["Message-ID"].encode()).hexdigest()[:40])
    return made


def word(subject: str, words: str, *, sender: str, to: str, environment: str, now: Millis) -> EmailMessage:
    """A short mail about somebody's own account: text alone, and no link in it."""
    made = EmailMessage(policy=_POLICY)
    made["From"] = Address(display_name="jit_auth", addr_spec=sender)
    made["To"] = Address(addr_spec=to)
    made["Subject"] = visible(f"[{environment}] {subject}", one_line=True)[:LONGEST_SUBJECT]
    made["Date"] = datetime.fromtimestamp(now / 1000, UTC)
    mark = hashlib.sha256(canonical([to, subject, words, now])).hexdigest()[:32]
    made["Message-ID"] = f"<jit.{mark}@{sender.rpartition('@')[2]}>"
    made["Auto-Submitted"] = "auto-generated"
    made["X-Auto-Response-Suppress"] = "All"
    _add(made, f"{visible(words)}\n\nAnswers to this mail are read by nobody.\n", "plain")
    return made


def message_id(card: Card, step: Step, domain: str) -> str:
    """`<card.step@domain>`; the end of a call by the call, so that the copies of several rounds tell it once."""
    match step:
        case "remind":
            return f"<{card.id}.remind{card.reminded}@{domain}>"
        case "end":
            return f"<{_about(card, card.state)}@{domain}>"
        case "ask" if card.role == "gather":
            return f"<{_about(card, newest(card))}@{domain}>"
        case _:
            return f"<{card.id}.{step}@{domain}>"


def subject(card: Card, step: Step) -> str:
    """Environment, risk and summary: what a phone shows of a mail. The same for all mails of a thread but for `Re:`
    (some mail services thread by it)."""
    if card.role == "gather":
        words = f"[{card.environment}] {card.line}"
    elif card.role == "consent":
        # Where no content may leave the house, neither agent nor provider is named.
        account = (card.provider or card.connector) if card.chain else ""
        words = f"[{card.environment}] Access to {account or 'an account'}: {card.line}"
    else:
        words = f"[{card.environment}] {card.risk.capitalize()} risk: {card.line}"
    words = "".join(" " if unicodedata.category(char) in ("Cc", "Zl", "Zp") else char for char in words)
    if len(words) > LONGEST_SUBJECT:
        words = words[: LONGEST_SUBJECT - 1] + "\u2026"
    again = step != "ask" or (card.role == "decide" and card.again)
    return f"Re: {words}" if again else words


def _thread(card: Card, domain: str) -> str:
    """The thread's root: a message that was never sent, named by every mail of it. Programs thread by the name."""
    return f"<{_about(card, 'consent' if card.role == 'consent' else 'request')}@{domain}>"


def _about(card: Card, what: str) -> str:
    """A name for one matter of one call and one person, short enough that no header with it is folded."""
    matter = canonical([card.execution or card.ask or card.id, card.person, what])
    return f"jit.{hashlib.sha256(matter).hexdigest()[:24]}"


def _add(made: EmailMessage, text: str, kind: str) -> None:
    """Content as it is (7bit or 8bit), so that the link stands in the source as a person copies it; base64 where a
    line is longer than SMTP allows. Never quoted-printable, which breaks long lines."""
    lines = text.encode().split(b"\n")
    long = max(map(len, lines)) > _LONGEST_LINE
    cte = "base64" if long else "7bit" if text.isascii() else "8bit"
    made.set_content(text, subtype=kind, charset="utf-8", cte=cte)


def as_bytes(made: EmailMessage, *, eightbit: bool) -> bytes:
    """As it goes over the wire, CR LF at line ends. Without `eightbit` (RFC 6152 not offered) parts that need it are
    encoded in base64."""
    if not eightbit:
        for part in made.walk():
            if isinstance(part, EmailMessage) and part["Content-Transfer-Encoding"] == "8bit":
                part.set_content(part.get_content(), subtype=part.get_content_subtype(), charset="utf-8", cte="base64")
                del part["MIME-Version"]
    return made.as_bytes(policy=_POLICY)
