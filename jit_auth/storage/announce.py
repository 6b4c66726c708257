"""Has a store write, with each unit, the events that are told of it; who writes by a command needs no more of the
service than this."""

from __future__ import annotations

from collections.abc import Callable

from jit_auth.config.settings import Settings
from jit_auth.core.events import Announcer
from jit_auth.core.ids import new_id
from jit_auth.storage.store import Store
from jit_auth.vault import Entropy


def announce(store: Store, settings: Settings) -> Callable[[str], str]:
    """Have the store write the events of each unit with it; gives what makes ids."""
    entropy = Entropy(10)

    def make_id(prefix: str) -> str:
        return new_id(prefix, store.now(), entropy.take())

    store.outbox = Announcer(settings.webhooks, make_id, store.now, settings.server.environment)
    return make_id
