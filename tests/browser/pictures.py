"""The pictures of the documentation, drawn anew: `python -m tests.browser.pictures [DIR]` (default: docs/images).

Run it when a page or a mail looks different, and look at what it wrote. Pictures have 256 colours at most, since they
are kept with the source.
"""

from __future__ import annotations

import asyncio
import struct
import sys
import zlib
from base64 import b64decode, b64encode
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from playwright.async_api import Browser, Page, ViewportSize, async_playwright

from tests.browser.conftest import CHROMIUM
from tests.browser.scenes import SCENES
from tests.integration.mail.kit import CARD
from tests.integration.mail.test_mails import mail
from tests.integration.pages.conftest import serving

IMAGES = Path(__file__).parents[2] / "docs" / "images"


async def _top(page: Page) -> None:
    """The page as it opens."""


async def _decision(page: Page) -> None:
    """Scrolled to what stands above the buttons, as a reader comes to them."""
    await page.locator("section:has(> details)").first.evaluate("each => window.scrollTo(0, each.offsetTop)")


@dataclass(frozen=True)
class Picture:
    """One file. `height` None: the whole page, however long."""

    name: str
    scene: str
    width: int
    height: int | None
    scheme: Literal["light", "dark"] = "light"
    scale: float = 1
    at: Callable[[Page], Awaitable[None]] = _top


PICTURES = (
    Picture("approval-desktop-light", "approval", 800, 850, scale=2),
    Picture("approval-decision-dark", "approval", 390, 850, "dark", scale=2, at=_decision),
    Picture("approval-phone-light", "approval", 390, None),
    Picture("approval-phone-dark", "approval", 390, None, "dark"),
    Picture("changed-phone-light", "edited", 390, None),
    Picture("consent-desktop-light", "connect", 800, None, scale=1.5),
    Picture("together-desktop-light", "together", 800, None),
    Picture("unknown-phone-dark", "unknown", 390, None, "dark"),
    Picture("mail-light", "mail", 640, 1100, scale=1.5),
    Picture("mail-phone-dark", "mail", 390, 1100, "dark", scale=1.5),
)

# Chromium reads its own picture back: the 256 most frequent colours, and for each pixel the nearest of them.
FEWER = """async png => {
  const image = await createImageBitmap(await (await fetch('data:image/png;base64,' + png)).blob());
  const drawing = new OffscreenCanvas(image.width, image.height).getContext('2d');
  drawing.drawImage(image, 0, 0);
  const pixels = new Uint32Array(drawing.getImageData(0, 0, image.width, image.height).data.buffer);
  const count = new Map();
  for (const each of pixels) count.set(each, (count.get(each) || 0) + 1);
  const palette = [...count].sort((a, b) => b[1] - a[1]).slice(0, 256).map(each => each[0]);
  const part = (colour, shift) => (colour >>> shift) & 255;
  const far = (a, b) => [0, 8, 16].reduce((sum, shift) => sum + (part(a, shift) - part(b, shift)) ** 2, 0);
  const near = colour => palette.reduce(
    (best, each, at) => far(each, colour) < far(palette[best], colour) ? at : best, 0);
  const places = new Map([...count.keys()].map(colour => [colour, near(colour)]));
  let indices = '';
  for (const each of pixels) indices += String.fromCharCode(places.get(each));
  const parts = palette.flatMap(each => [0, 8, 16].map(shift => part(each, shift)));
  return [image.width, image.height, parts, btoa(indices)];
}"""


async def draw(browser: Browser, picture: Picture) -> bytes:
    """The picture as a PNG file."""
    context = await browser.new_context(
        viewport=ViewportSize(width=picture.width, height=picture.height or 800),
        color_scheme=picture.scheme,
        device_scale_factor=picture.scale,
    )
    page = await context.new_page()
    if picture.scene == "mail":
        await page.set_content(mail(CARD).html)
        shot = await _shot(page, picture)
    else:
        doors, scene = SCENES[picture.scene]
        async with serving(doors()) as site:
            await scene(site, page)
            shot = await _shot(page, picture)
    await page.goto("about:blank")
    width, height, palette, indices = await page.evaluate(FEWER, b64encode(shot).decode())
    await context.close()
    return _png(width, height, bytes(palette), b64decode(indices))


async def _shot(page: Page, picture: Picture) -> bytes:
    await picture.at(page)
    return await page.screenshot(full_page=picture.height is None)


def _png(width: int, height: int, palette: bytes, indices: bytes) -> bytes:
    """A PNG of one byte a pixel (RFC 2083), no line filtered: with a palette that is the smallest."""
    lines = b"".join(b"\0" + indices[at * width : (at + 1) * width] for at in range(height))
    chunks = (
        (b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0)),
        (b"PLTE", palette),
        (b"IDAT", zlib.compress(lines, 9)),
        (b"IEND", b""),
    )
    packed = (struct.pack(">I", len(d)) + kind + d + struct.pack(">I", zlib.crc32(kind + d)) for kind, d in chunks)
    return b"\x89PNG\r\n\x1a\n" + b"".join(packed)


async def draw_all(folder: Path) -> None:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        for picture in PICTURES:
            (folder / f"{picture.name}.png").write_bytes(await draw(browser, picture))
        await browser.close()


if __name__ == "__main__":
    asyncio.run(draw_all(Path(sys.argv[1]) if len(sys.argv) > 1 else IMAGES))
