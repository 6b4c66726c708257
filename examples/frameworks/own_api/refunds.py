"""A job without a model: it pays what a list says, through the service, and may be run as often as you like.

    python -m examples.frameworks.own_api.refunds INVOICE=AMOUNT ...

It holds no credential of the API. What waits for people is asked about once: the key of a refund is made of what it is
for, so that the next run (by cron, after a crash) finds the same execution instead of making another.
"""

from __future__ import annotations

import sys

from jit_auth.client import Client, Denied, Expired, Failed, Paused, Refused, Unknown

USER = "alice@example.com"


def refund(jit: Client, invoice: str, amount: int) -> str:
    """What became of one refund, in words for the job's log."""
    try:
        done = jit.execute(
            "billing.refund",
            user=USER,
            params={"invoice": invoice, "amount": amount},
            reason="The monthly list of refunds",
            idempotency_key=f"refund-{invoice}",
        ).unwrap()
    except Paused as fault:
        return f"waiting: {fault.execution.summary}. Run this again later"
    except Denied as fault:
        return f"denied: {fault.message}"
    except Expired:
        return "expired: nobody decided, which is no denial. Under another key it is asked again"
    except Unknown as fault:
        return f"unknown: it may have been paid. Somebody has to look into billing, and tell {fault.execution.id}"
    except Failed as fault:
        return f"failed: {fault.message}"
    except Refused as fault:  # it was never admitted: a wrong parameter, an action that is not this agent's
        return f"refused: {fault}"
    return f"paid: {done['id']}"


def main(words: list[str]) -> int:
    waiting = False
    with Client() as jit:
        for word in words:
            invoice, _, amount = word.partition("=")
            told = refund(jit, invoice, int(amount))
            waiting |= told.startswith("waiting")
            print(f"{invoice}: {told}", flush=True)
    return 75 if waiting else 0  # EX_TEMPFAIL


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
