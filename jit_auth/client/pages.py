"""Lists as they are read: a page at a time, the next one asked for when it is reached."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Iterator
from typing import Any

from jit_auth.client.model import Execution

Items = tuple[tuple[Execution, ...], str | None]


class Page:
    """Iterating goes through this page and all that follow; `items` are this page's, `next` is the cursor after it."""

    def __init__(self, found: Items, read: Callable[[str], Items]) -> None:
        self.items, self.next = found
        self._read = read

    def __iter__(self) -> Iterator[Execution]:
        page: Page | None = self
        while page is not None:
            yield from page.items
            page = page.next_page()

    def next_page(self) -> Page | None:
        """The page after this one, None where this is the last."""
        return None if self.next is None else Page(self._read(self.next), self._read)

    def __repr__(self) -> str:
        return f"<Page of {len(self.items)}{', and more' if self.next else ''}>"


class AsyncPage:
    """As Page: `async for` goes through all pages, `for` through this one's items alone."""

    def __init__(self, found: Items, read: Callable[[str], Awaitable[Items]]) -> None:
        self.items, self.next = found
        self._read = read

    def __iter__(self) -> Iterator[Execution]:
        return iter(self.items)

    async def __aiter__(self) -> AsyncIterator[Execution]:
        page: AsyncPage | None = self
        while page is not None:
            for item in page.items:
                yield item
            page = await page.next_page()

    async def next_page(self) -> AsyncPage | None:
        """The page after this one, None where this is the last."""
        return None if self.next is None else AsyncPage(await self._read(self.next), self._read)

    def __repr__(self) -> str:
        return f"<AsyncPage of {len(self.items)}{', and more' if self.next else ''}>"


class AsyncPages:
    """`await` gives the first page; `async for` goes through all of them."""

    def __init__(self, first: Callable[[], Awaitable[Items]], read: Callable[[str], Awaitable[Items]]) -> None:
        self._first = first
        self._read = read

    def __await__(self) -> Generator[Any, None, AsyncPage]:
        return self._page().__await__()

    async def __aiter__(self) -> AsyncIterator[Execution]:
        async for item in await self._page():
            yield item

    async def _page(self) -> AsyncPage:
        return AsyncPage(await self._first(), self._read)
