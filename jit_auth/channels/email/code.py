"""The mail that brings a code: for typing into the page that asked for it, and so without any link.

Attacks: an assistant asks for the code (the mail says that none will ever need it); a mail of an attacker's that looks
like this one with a link in it (this one never has one, and says so); foreign text in headers or lines (there is none:
environment, agent and provider are named by the operator, on one line each).
"""

from __future__ import annotations

import secrets
from datetime import UTC, datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP

from jit_auth.core.text import visible
from jit_auth.model import Millis

_POLICY = SMTP.clone(raise_on_defect=True)


def code_message(
    *, person: str, code: str, agent: str, provider: str, environment: str, sender: str, to: str, now: Millis
) -> EmailMessage:
    """One mail, text alone. The subject, which locked screens show, does not hold the code."""
    where, asks, gives = (visible(text, one_line=True) for text in (environment, agent, provider))
    made = EmailMessage(policy=_POLICY)
    made["From"] = Address(display_name="jit_auth", addr_spec=sender)
    made["To"] = Address(addr_spec=to)
    made["Subject"] = f"[{where}] Your one-time code"
    made["Date"] = datetime.fromtimestamp(now / 1000, UTC)
    made["Message-ID"] = f"<code.{secrets.token_hex(16)}@{sender.rpartition('@')[2]}>"
    made["Auto-Submitted"] = "auto-generated"
    made["X-Auto-Response-Suppress"] = "All"
    text = f"""[{where}] Your code is {code}.

It shows that you are {person}, on the page that asks whether
{asks} may use {gives} for you. Type it into the browser in which
you asked for it: it works nowhere else, once, and for ten minutes.

No assistant, agent or support person will ever need this code. Give it
to nobody, whatever they say: whoever has it may answer in your name.

If you did not ask for it, somebody else has opened a link of yours. Do
nothing with this code, and tell whoever runs this service.

--
This mail holds no link, and it never will.
Answers to this mail are read by nobody.
"""
    made.set_content(text, charset="utf-8", cte="7bit" if text.isascii() else "8bit")
    return made
