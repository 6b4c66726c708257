"""The callbacks and webhooks that the service has delivered, waited for by tests."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from threading import Condition
from typing import Any

from jit_auth.errors import Misused
from jit_auth.testing.api import Sent


@dataclass(frozen=True)
class Delivery:
    """One event, as its receiver got it."""

    url: str
    headers: Mapping[str, str]
    """Names in lower case; with body and the receiver's secret they are what `verify_webhook` takes."""
    body: bytes = field(repr=False)
    event: Mapping[str, Any]
    """`type`, `timestamp`, `data`."""

    @property
    def type(self) -> str:
        return str(self.event["type"])


class Deliveries:
    """Written by the service's thread, read by the test's."""

    def __init__(self) -> None:
        self._all: list[Delivery] = []
        self._fresh: list[Delivery] = []
        self._came = Condition()

    def note(self, sent: Sent) -> None:
        """An event was sent; each try is one, since receivers get each."""
        with self._came:
            delivery = Delivery(sent.url, sent.headers, sent.body, sent.json)
            self._all.append(delivery)
            self._fresh.append(delivery)
            self._came.notify_all()

    @property
    def all(self) -> tuple[Delivery, ...]:
        """Oldest first."""
        return tuple(self._all)

    def take(self, type: str | None, timeout: float) -> Delivery:
        """The oldest one, of that type, that was not taken yet; waited for. Raises Misused."""
        end = time.monotonic() + timeout
        with self._came:
            while True:
                for delivery in self._fresh:
                    if type in (None, delivery.type):
                        self._fresh.remove(delivery)
                        return delivery
                left = end - time.monotonic()
                if left <= 0 or not self._came.wait(left):
                    raise Misused(
                        f"Nothing of type {type or 'any'} was delivered within {timeout:g} s; delivered so far: "
                        f"{', '.join(each.type for each in self._all) or 'nothing'}.",
                        hint="An execution has a callback where its call names `callback_url`.",
                    )
