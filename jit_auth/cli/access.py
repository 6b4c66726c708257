"""`jit-auth access agent ID / user ID`: the blast radius, read from the store itself.

It works while the service is down, and while policies or connectors cannot be read: then it tells what was used and
what was given, and not which actions the globs cover.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from typing import Any

from jit_auth.cli.configured import author_of, settings_of, with_store
from jit_auth.cli.options import config_option, json_option, print_json, table
from jit_auth.core.text import visible
from jit_auth.credentials.catalog import catalog_of
from jit_auth.engine.access import Access, Known, Report
from jit_auth.errors import Faults

MOST = 20
"""Rows of one table that are printed; `--json` has all."""


def add(sub: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """`access agent ID`, `access user ID`."""
    access = sub.add_parser("access", help="what an agent, or agents in a user's name, can reach now")
    commands = access.add_subparsers(metavar="KIND", required=True)
    for kind, words in (
        ("agent", "its actions, users, scopes, accounts, and what of it was never used"),
        ("user", "which agents can act for them, with what"),
    ):
        parser = commands.add_parser(kind, help=words)
        parser.add_argument("id", metavar="ID")
        config_option(parser)
        json_option(parser)
        parser.set_defaults(run=run, kind=kind, reason="")


def run(args: argparse.Namespace) -> int:
    """Exit 0; 1 for an id that nothing here knows."""
    settings = settings_of(args)
    try:
        operations = catalog_of(settings).actions
    except Faults as error:
        print(f"{error}\nThe report goes on without the connectors.", file=sys.stderr)
        operations = None
    known = Known(settings.agents, settings.people, operations, settings.users.consent == "shared")
    author = author_of(args)
    if args.kind == "agent":
        report = with_store(settings, lambda store, vault: Access(store, known).agent(args.id, author))
    else:
        person = settings.people.person(args.id)
        report = with_store(settings, lambda store, vault: Access(store, known).user(person, author))
    if args.json:
        print_json(report)
    else:
        print("\n".join(agent_lines(report) if args.kind == "agent" else user_lines(report)))
    return 0


def agent_lines(report: Report) -> Iterator[str]:
    """An agent's report for a terminal."""
    yield f"agent {_plain(report['agent'])}: {_state(report)}; last use {_when(report['last_use'])}"
    actions, never = report["actions"], report["never_used"]
    globs = ", ".join(map(_plain, report["declared"])) or "nothing"
    yield f"\nactions: {len(actions)} by {globs}; {len(never)} never used; uses are of 90 days"
    yield from _rows([_action_row(each) for each in sorted(actions, key=_newest)])
    yield from _past(report)
    users = report["users"]
    some = f"{users['total']}{' or more' if users['more'] else ''}"
    yield f"\nusers: may act for {', '.join(map(_plain, users['declared'])) or 'nobody'}; has acted for {some}"
    yield from _rows([(_plain(each["user"]), _when(each["last_use"])) for each in users["acted_for"]], users["total"])
    yield f"\nscopes and accounts it reaches{': the newest of more' if report['more_accounts'] else ''}"
    yield from _scopes(report["scopes"])
    yield from _rows([_account_row(each, each["user"]) for each in report["accounts"]]) or ["  none"]
    yield from _shared(report["shared_credentials"])
    yield from _approvals(report["approvals"])
    if report["narrower"] is not None:
        yield f"\nonly what was ever used, for [agents.{_plain(report['agent'])}]:"
        yield report["narrower"]


def user_lines(report: Report) -> Iterator[str]:
    """A user's report for a terminal."""
    left = " (has left)" if report["left"] else ""
    halted = "; everything is halted" if report["halted"] else ""
    stopped = "; has stopped all agents" if report["stopped_agents"] else ""
    yield f"user {_plain(report['user'])}{left}: last use {_when(report['last_use'])}{halted}{stopped}"
    for agent in report["agents"]:
        may = _state(agent) if agent["may_act"] else "may no longer act for them"
        stopped = ", stopped by the user" if agent["stopped_by_user"] else ""
        yield f"\nagent {_plain(agent['agent'])}: {may}{stopped}; last use {_when(agent['last_use'])}"
        yield from _rows([_action_row(each) for each in sorted(agent["actions"], key=_newest)])
        yield from _past(agent)
        yield from _rows([_account_row(each, "") for each in agent["accounts"]])
        yield from _shared(agent["shared_credentials"])
    if not report["agents"]:
        yield "no agent can act for them"
    yield "\naccounts they connected"
    yield from _rows(
        [
            (each["grant"], each["provider"], _plain(each["account"]), each["state"], _scope_list(each["scopes"]))
            for each in report["accounts"]
        ]
    ) or ["  none"]
    yield from _approvals(report["approvals"])


def _state(report: Report) -> str:
    stops = [word for word in ("suspended", "halted") if report[word]]
    if not report["configured"]:
        stops.append("not in the configuration")
    stops += [f"connector {_plain(name)} revoked" for name in report["stopped_connectors"]]
    return ", ".join(stops) or "active"


def _newest(action: Report) -> tuple[bool, str]:
    """Used ones first, as they stand."""
    return action["last_use"] is None, action["name"]


def _action_row(each: Report) -> tuple[str, ...]:
    used = f"{each['used']}{' or more' if each['used_more'] else ''}"
    stopped = "revoked" if each["stopped"] else ""
    times = (used, _when(each["last_use"])) if each["last_use"] else ("-", "never used")
    return (_plain(each["name"]), each["risk"], *times, _scope_list(each["scopes"]), stopped)


def _past(report: Report) -> Iterator[str]:
    if report["no_longer_allowed"]:
        yield "  used, and no longer allowed:"
        rows = [(_plain(each["name"]), str(each["used"]), _when(each["last_use"]))
                for each in report["no_longer_allowed"]]  # fmt: skip
        yield from _rows(rows)


def _account_row(each: Report, user: str) -> tuple[str, ...]:
    why = "" if each["reachable"] else f"not now: {each['why_not'].replace('_', ' ')}"
    account = f"{each['provider']}: {_plain(each['account'])}"
    return (*([_plain(user)] if user else []), account, _scope_list(each["scopes"]), why)


def _scopes(scopes: dict[str, list[str]]) -> Iterator[str]:
    for provider, names in scopes.items():
        yield f"  {provider}: {_scope_list(names)}"


def _shared(providers: list[str]) -> Iterator[str]:
    for provider in providers:
        yield f"  {provider}: one credential, for every user"


def _approvals(passes: list[Report]) -> Iterator[str]:
    if passes:
        yield "\napproved for a while"
        yield from _rows(
            [
                (
                    each["id"], _plain(each["action"]), f"{_plain(each['agent'])} for {_plain(each['user'] or '-')}",
                    f"by {', '.join(map(_plain, each['by']))}", f"{each['uses_left']} left until {each['until']}",
                )
                for each in passes
            ]
        )  # fmt: skip


def _rows(rows: Sequence[tuple[str, ...]], total: int = 0) -> list[str]:
    found = [f"  {line}" for line in table(rows[:MOST]).splitlines()]
    left = max(total, len(rows)) - MOST
    return [*found, f"  and {left} more (--json)"] if left > 0 else found


def _when(at: str | None) -> str:
    return at or "never"


def _scope_list(scopes: list[str]) -> str:
    return _plain(" ".join(scopes)) or "-"


def _plain(text: Any) -> str:
    return visible(str(text), one_line=True)
