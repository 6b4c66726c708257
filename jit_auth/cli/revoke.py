"""`jit-auth revoke agent / user / grant / connector ID`: the kill switch, written to the store itself.

It works while the service is down, and while policies or connectors cannot be read: then nobody is asked what can be
revoked at providers, and all of that is left to the outbox.
"""

from __future__ import annotations

import argparse
import sys

from jit_auth.catalog.load import Catalog
from jit_auth.cli.configured import author_of, settings_of, with_store
from jit_auth.cli.options import config_option, json_option, print_json
from jit_auth.config.settings import Settings
from jit_auth.credentials.catalog import catalog_of
from jit_auth.egress import Egress
from jit_auth.engine.author import Author
from jit_auth.engine.cuts import Cuts, Named
from jit_auth.engine.report import Report, document
from jit_auth.errors import Faults
from jit_auth.storage.announce import announce
from jit_auth.storage.store import Store

KINDS = {
    "agent": "suspend it, cut its consents, end its calls and every grant that no other agent uses",
    "user": "cut what they gave and what is open in their name; no ban",
    "grant": "an OAuth grant (grt_...) or an approval for a while (pas_...)",
    "connector": "send nothing of it until an admin restores it",
}


def add(sub: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """`revoke KIND ID`."""
    revoke = sub.add_parser("revoke", help="cut an agent, user, grant or connector off, now")
    commands = revoke.add_subparsers(metavar="KIND", required=True)
    for kind, words in KINDS.items():
        parser = commands.add_parser(kind, help=words)
        parser.add_argument("id", metavar="ID")
        parser.add_argument("--reason", metavar="TEXT", default="", help="why; it goes on record")
        config_option(parser)
        json_option(parser)
        parser.set_defaults(run=run, kind=kind)


def run(args: argparse.Namespace) -> int:
    """Exit 0 once the cut is committed, whatever providers say; 1 for an unknown id."""
    settings = settings_of(args)
    try:
        catalog = catalog_of(settings)
    except Faults as error:
        print(f"{error}\nThe cut goes on without them.", file=sys.stderr)
        catalog = None
    author = author_of(args)
    report = with_store(settings, lambda store, vault: _cut(store, settings, catalog, args, author))
    if args.json:
        print_json(document(report))
    else:
        print("\n".join(lines(report)))
    return 0


async def _cut(
    store: Store, settings: Settings, catalog: Catalog | None, args: argparse.Namespace, author: Author
) -> Report:
    announce(store, settings)
    egress = Egress(settings.connectors.allow_private_hosts)
    try:
        named = Named(
            settings.agents,
            None if catalog is None else catalog.connectors,
            None if catalog is None else catalog.providers,
        )
        cuts = Cuts(store, egress, lambda: named)
        match args.kind:
            case "agent":
                return await cuts.agent(args.id, author)
            case "user":
                return await cuts.user(settings.people.person(args.id), author)
            case "grant":
                return await cuts.grant(args.id, author)
            case _:
                return await cuts.connector(args.id, author)
    finally:
        await egress.close()


def lines(report: Report) -> list[str]:
    """What was cut, for people."""
    counts = (
        (report.grants, "grant"), (report.consents, "consent"), (report.passes, "approval for a while"),
        (report.sessions, "session"), (report.executions, "open call"),
    )  # fmt: skip
    parts = [f"{number} {name}{'' if number == 1 else 's'}" for number, name in counts if number]
    found = [f"cut {report.kind} {report.id}: {', '.join(parts) or 'nothing was left to cut'}"]
    found.append(f"revoked at the provider: {report.revoked}")
    found.append(f"pending: {report.pending}" + (" (tried for a day by `jit-auth serve`)" if report.pending else ""))
    found += [f"{name} takes no token back: end the access there by hand" for name in report.unrevocable]
    return found
