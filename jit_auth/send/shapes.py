"""Well-known shapes of credentials, whoever they belong to: an API that creates a key must not hand it to an agent.

THREAT_MODEL 36. The beginnings are the vendors' own, made to be recognised (their pages on secret scanning list them).
"""

from __future__ import annotations

import re

REMOVED = "[removed]"

# What a shape begins with (or holds), and the whole. A text without the first costs only the look for it. Patterns
# begin with a literal, look behind only after it, and cannot match from two places of one run: they stay linear.
_SHAPES: tuple[tuple[str, str], ...] = (
    ("jat_", r"jat_[A-Za-z0-9_-]{16,}"),  # our own links, agents' and admins' tokens
    ("whsec_", r"whsec_[A-Za-z0-9+/=_-]{24,}"),  # Standard Webhooks
    ("github_pat_", r"github_pat_[A-Za-z0-9_]{22,}"),
    ("ghp_", r"ghp_[A-Za-z0-9]{30,}"),
    ("gho_", r"gho_[A-Za-z0-9]{30,}"),
    ("ghu_", r"ghu_[A-Za-z0-9]{30,}"),
    ("ghs_", r"ghs_[A-Za-z0-9]{30,}"),
    ("ghr_", r"ghr_[A-Za-z0-9]{30,}"),
    ("glpat-", r"glpat-[A-Za-z0-9_.-]{20,}"),
    ("xox", r"xox[a-z](?:\.xox[a-z])?-[A-Za-z0-9-]{16,}"),  # Slack
    ("xapp-", r"xapp-[A-Za-z0-9-]{16,}"),
    ("ya29.", r"ya29\.[A-Za-z0-9_-]{20,}"),  # Google: access token
    ("1//0", r"1//0[A-Za-z0-9_-]{30,}"),  # Google: refresh token
    ("AIza", r"AIza[A-Za-z0-9_-]{35}"),
    ("GOCSPX-", r"GOCSPX-[A-Za-z0-9_-]{20,}"),
    ("AKIA", r"AKIA(?<![A-Z0-9]AKIA)[A-Z0-9]{16}(?![A-Z0-9])"),
    ("ASIA", r"ASIA(?<![A-Z0-9]ASIA)[A-Z0-9]{16}(?![A-Z0-9])"),
    ("sk_", r"sk_(?<![A-Za-z0-9]sk_)(?:live|test)_[A-Za-z0-9]{16,}"),  # Stripe
    ("rk_", r"rk_(?<![A-Za-z0-9]rk_)(?:live|test)_[A-Za-z0-9]{16,}"),
    ("sk-", r"sk-(?<![A-Za-z0-9]sk-)[A-Za-z0-9_-]{36,}"),  # OpenAI, Anthropic
    ("npm_", r"npm_(?<![A-Za-z0-9]npm_)[A-Za-z0-9]{36}"),
    ("pypi-", r"pypi-[A-Za-z0-9_-]{50,}"),
    ("hf_", r"hf_(?<![A-Za-z0-9]hf_)[A-Za-z0-9]{30,}"),
    ("SG.", r"SG\.(?<![A-Za-z0-9]SG\.)[A-Za-z0-9_-]{16,}\.[A-Za-z0-9_-]{16,}"),  # SendGrid
    ("eyJ", r"eyJ(?<![A-Za-z0-9_-]eyJ)[A-Za-z0-9_-]{16,}(?:\.[A-Za-z0-9_-]*){2,4}"),  # JWS, JWE (RFC 7515, 7516)
    ("PRIVATE KEY", r"-----BEGIN [A-Z0-9 ]{0,30}PRIVATE KEY(?: BLOCK)?-----[^-]*(?:-----END [A-Z0-9 ]{0,40}-----)?"),
)
_COMPILED = tuple((start, re.compile(shape)) for start, shape in _SHAPES)
_STARTS = tuple(dict.fromkeys(start for start, _ in _SHAPES))
_RUN = re.compile(r"[A-Za-z0-9_.\-/+=%\\&;#]{20}")
_PEM = "PRIVATE KEY"


def runs(text: str) -> bool:
    """Whether 20 characters stand in a row that can be of a credential's code, or of an escape in it.

    Every shape but a PEM block has at least so many of them.
    """
    return _RUN.search(text) is not None


def suspect(text: str, long: bool) -> bool:
    """Whether any shape may be in it; `long` is `runs(text)`. May say yes for nothing, no only where there is none."""
    if not long:
        return _PEM in text
    for start in _STARTS:  # noqa: SIM110  (any() with a generator costs twice as much, on every answer)
        if start in text:
            return True
    return False


def remove(text: str) -> str:
    """The text with `[removed]` in place of each well-known credential."""
    if len(text) >= 20:
        for start, shape in _COMPILED:
            if start in text:
                text = shape.sub(REMOVED, text)
    return text
