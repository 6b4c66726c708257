"""`jit-auth people unlink ID`: the person's next sign-in may be by another account of the issuer.

Attack: an address is given to somebody else, and the issuer vouches for the new holder (THREAT_MODEL 27). That is
refused (`other_subject`) until an operator who has the configuration's keys says here that it is right.
"""

from __future__ import annotations

import argparse

from jit_auth.cli.configured import settings_of, with_store
from jit_auth.cli.options import config_option, json_option, print_json
from jit_auth.core.text import visible
from jit_auth.core.times import rfc3339
from jit_auth.errors import JitAuthError
from jit_auth.signin.linking import unlink


def add(sub: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """`people unlink ID`."""
    people = sub.add_parser("people", help="how people are recognised").add_subparsers(metavar="COMMAND", required=True)
    cut = people.add_parser("unlink", help="forget which account of an issuer a person is, and end their sessions")
    cut.add_argument("id", metavar="ID", help="the person: an id, an address or an alias")
    config_option(cut)
    json_option(cut)
    cut.set_defaults(run=run_unlink)


def run_unlink(args: argparse.Namespace) -> int:
    """Prints what was cut; exit 1 where there was nothing."""
    settings = settings_of(args)
    person = settings.people.person(args.id)
    linked, sessions = with_store(settings, lambda store, vault: unlink(store, person))
    if not linked and not sessions:
        raise JitAuthError(
            f"{visible(person, one_line=True)} is linked to no account and is signed in nowhere.",
            hint="An account is linked at the first sign-in. Look at the id: it is the person's, as in [people].",
        )
    if args.json:
        accounts = [{"issuer": each.issuer, "linked_at": rfc3339(each.at)} for each in linked]
        print_json({"person": person, "unlinked": accounts, "sessions": sessions})
        return 0
    for each in linked:
        print(f"unlinked {person} from their account at {each.issuer}, linked {rfc3339(each.at)}")
    print(f"ended {sessions} session{'' if sessions == 1 else 's'}; the next sign-in as {person} links anew")
    return 0
