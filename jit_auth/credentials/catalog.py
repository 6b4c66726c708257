"""The catalog of a configuration: what its connectors and providers name, with the kinds of credentials there are."""

from __future__ import annotations

from jit_auth.catalog.load import Catalog, load
from jit_auth.config.settings import Settings
from jit_auth.credentials import KINDS


def catalog_of(settings: Settings) -> Catalog:
    """All that can be called, from the files that the settings name. Raises Faults."""
    return load(
        settings.connectors.paths,
        settings.providers,
        public_url=settings.server.public_url,
        allow_private=settings.connectors.allow_private_hosts,
        kinds=KINDS,
        config=settings.document,
    )
