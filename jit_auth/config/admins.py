"""[admins] judged: each a name, a secret of its own and a role (THREAT_MODEL 35).

Attack: one secret is an agent's and an admin's, so that the agent administers itself, or two admins', so that the
record cannot say who it was.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence

from jit_auth.config.settings import Admin
from jit_auth.config.tables import AdminTable
from jit_auth.core.toml import Path

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_SHA256 = re.compile(r"[0-9a-f]{64}")


def judge_admins(
    tables: Mapping[str, AdminTable], tokens: Sequence[str], taken: Collection[str], fault: Callable[[Path, str], None]
) -> dict[str, Admin]:
    """All admins by name. `tokens`: hashes of `[server] admin_tokens`; `taken`: those of the agents' secrets."""
    made = {
        f"token-{number}": Admin(name=f"token-{number}", secret_sha256=digest, role="security")
        for number, digest in enumerate(tokens, 1)
    }
    whose = {admin.secret_sha256: admin.name for admin in made.values()}
    for name, table in tables.items():
        at: Path = ("admins", name)
        if not _NAME.fullmatch(name):
            fault(at, f"{name!r} is no name of an admin: letters, digits and ._-, at most 64")
        if name in made:
            fault(at, f"{name} is the name of one of [server] admin_tokens: choose another")
        if not _SHA256.fullmatch(table.secret_sha256):
            fault((*at, "secret_sha256"), f"admins.{name}.secret_sha256: expected 64 lower-case hex digits")
        elif table.secret_sha256 in taken:
            fault((*at, "secret_sha256"), f"admins.{name}.secret_sha256 is an agent's, too: one secret each")
        elif (other := whose.setdefault(table.secret_sha256, name)) != name:
            fault((*at, "secret_sha256"), f"the admins {other} and {name} share a secret: one each")
        made[name] = Admin(name=name, secret_sha256=table.secret_sha256, role=table.role)
    return made
