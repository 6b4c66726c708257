"""What the suite borrows: the OAuth desk with its odd provider, the pages, the whole service."""

from tests.integration.oauth.conftest import browser, clock, desk, egress, odd, store
from tests.integration.pages.conftest import site
from tests.integration.service.conftest import world

__all__ = ["browser", "clock", "desk", "egress", "odd", "site", "store", "world"]
