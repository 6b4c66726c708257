"""A small plot as SVG, by our own few lines: lines over a logarithmic x axis, from zero."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from math import log

WIDTH, HEIGHT, LEFT, TOP, RIGHT, BOTTOM = 640, 340, 64, 28, 150, 44
COLOURS = ("#0b6e4f", "#3454d1", "#c8553d", "#6c757d")


def svg(title: str, x: str, y: str, lines: Mapping[str, Sequence[tuple[float, float]]]) -> str:
    """`lines` by name: points (x, y), x above 0."""
    points = [point for line in lines.values() for point in line]
    xs = sorted({point[0] for point in points})
    step = _step(max(point[1] for point in points))
    most = step * (int(max(point[1] for point in points) / step) + 1)
    wide, high = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM
    spread = log(xs[-1] / xs[0]) or 1.0

    def place(point: tuple[float, float]) -> str:
        return f"{LEFT + wide * log(point[0] / xs[0]) / spread:.1f},{TOP + high * (1 - point[1] / most):.1f}"

    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}"',
        'font-family="sans-serif" font-size="12">',
        f'<title>{escape(title)}</title><rect width="100%" height="100%" fill="#fff"/>',
        _text(LEFT, 16, title, "start"),
        _text(LEFT + wide / 2, HEIGHT - 8, x, "middle"),
        _text(8, TOP - 10 + 16, y, "start"),
    ]
    value = 0.0
    while value <= most:
        at = TOP + high * (1 - value / most)
        out.append(
            f'<path d="M{LEFT} {at:.1f}h{wide}" stroke="#ddd"/>' + _text(LEFT - 6, at + 4, f"{value:,.0f}", "end")
        )
        value += step
    for number in xs:
        at = float(place((number, 0)).split(",")[0])
        out.append(_text(at, TOP + high + 16, f"{number:g}", "middle"))
    for (name, line), colour in zip(lines.items(), COLOURS, strict=False):
        path = " ".join(place(point) for point in line)
        out.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        last = place(line[-1]).split(",")
        out.append(_text(float(last[0]) + 6, float(last[1]) + 4, name, "start", colour))
    return "\n".join([*out, "</svg>", ""])


def _step(most: float) -> float:
    """A round distance of grid lines: four to eight of them."""
    size = 1.0
    while True:
        for factor in (1, 2, 5):
            if most / (size * factor) <= 8:
                return size * factor
        size *= 10


def _text(x: float, y: float, words: str, anchor: str, colour: str = "#222") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{colour}">{escape(words)}</text>'
