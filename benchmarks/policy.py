"""One decision with 1 to 1,000 rules for its action: microseconds, p50 and p99.

python -m benchmarks.policy
"""

from __future__ import annotations

import sys
import time

from benchmarks.machine import header, quantile
from jit_auth.model import Action
from jit_auth.policy.facts import Call
from jit_auth.policy.rules import Policy, load
from tests.unit.policy.world import STRINGS, action, call, param, rule

SIZES = (1, 10, 100, 1_000)
CANDIDATES = 23
"""At most so many rules are for one action."""
TIMES = 5_000
PARAMS = (param("amount", type="number"), param("currency", type="string"), param("count", type="integer"),
          param("to", **STRINGS), param("memo", False, type="string"))  # fmt: skip
TERMS = ("params.amount > {n}.0", "params.currency == 'C{n}'", "params.count < -{n}", "'x{n}@a.example' in params.to",
         "agent.depth > {n}", "user.id == 'u{n}@a.example'", "params.currency in ['A{n}', 'B{n}']",
         "params.currency.startsWith('Z{n}')")  # fmt: skip


def made(size: int) -> tuple[Policy, Call]:
    """A policy of so many rules of five terms, and a call that the first ones fit."""
    actions: dict[str, Action] = {}
    texts = []
    for number in range(size):
        name = f"c{number // CANDIDATES}.act"
        actions.setdefault(name, action(name, *PARAMS, risk="high", effect="create"))
        terms = [TERMS[(number + step) % len(TERMS)].format(n=1_000 + number) for step in range(5)]
        effect = ("allow", "require_approval", "deny")[number % 3]
        texts.append(rule(f"r{number}", effect, name, when=(" && ", " || ")[number % 2].join(terms)))
    params = {"amount": 500.0, "currency": "EUR", "count": 3, "to": ["a@b.example", "c@d.example"], "memo": "hello"}
    asked = call("pay.list", params)
    found = {name: getattr(asked, name) for name in asked.__struct_fields__} | {"action": actions["c0.act"]}
    return load([("policies.toml", "".join(texts))], actions, []), Call(**found)


def measured(size: int) -> tuple[float, float]:
    """p50 and p99 in microseconds."""
    policy, asked = made(size)
    times = []
    for _ in range(TIMES):
        begun = time.perf_counter()
        policy.decide(asked)
        times.append((time.perf_counter() - begun) * 1e6)
    return quantile(times, 0.5), quantile(times, 0.99)


def main() -> int:
    """Print the table."""
    print(header() + "\n\n| rules | p50 us | p99 us |\n|---|---|---|")
    for size in SIZES:
        p50, p99 = measured(size)
        print(f"| {size:,} | {p50:.1f} | {p99:.1f} |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
