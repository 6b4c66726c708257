"""Counters and histograms that cost little where they are counted, and become Prometheus families when they are read.

The client's own take a lock and a microsecond each; a call is counted a dozen times. Everything here is counted and
read in the event loop.

Attack: whoever chooses a label's value fills the memory, of this process and of Prometheus. Values come from closed
sets; beyond `MOST` combinations a series counts all others as one.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence

from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily

MOST = 1_000
"""Combinations of label values of one series."""
OTHER = "other"

Labels = tuple[str, ...]


class Counter:
    """Only ever goes up."""

    def __init__(self, name: str, about: str, *labels: str) -> None:
        self.name = name
        self.about = about
        self.labels = labels
        self._values: dict[Labels, float] = {} if labels else {(): 0.0}

    def add(self, *labels: str, by: float = 1.0) -> None:
        values = self._values
        if labels in values:
            values[labels] += by
        else:
            labels = _bounded(values, labels)
            values[labels] = values.get(labels, 0.0) + by

    def family(self) -> CounterMetricFamily:
        found = CounterMetricFamily(self.name, self.about, labels=self.labels)
        for labels, value in self._values.items():
            found.add_metric(labels, value)
        return found


class Histogram:
    """How often a value fell between bounds. `bounds` rise; what is above the last is counted beyond it."""

    def __init__(self, name: str, about: str, bounds: Sequence[float], *labels: str) -> None:
        self.name = name
        self.about = about
        self.labels = labels
        self._bounds = tuple(bounds)
        self._values: dict[Labels, list[float]] = {} if labels else {(): self._empty()}

    def observe(self, value: float, *labels: str) -> None:
        found = self._values.get(labels)
        if found is None:
            labels = _bounded(self._values, labels)
            found = self._values.setdefault(labels, self._empty())
        found[bisect_left(self._bounds, value)] += 1
        found[-1] += value

    def family(self) -> HistogramMetricFamily:
        found = HistogramMetricFamily(self.name, self.about, labels=self.labels)
        names = [*(f"{float(bound):g}" for bound in self._bounds), "+Inf"]
        for labels, (*counts, total) in self._values.items():
            sums, so_far = [], 0.0
            for name, count in zip(names, counts, strict=True):
                so_far += count
                sums.append((name, so_far))
            found.add_metric(labels, buckets=sums, sum_value=total)
        return found

    def _empty(self) -> list[float]:
        return [0.0] * (len(self._bounds) + 2)  # one for what is above the last bound, and the sum


def _bounded(values: dict[Labels, float] | dict[Labels, list[float]], labels: Labels) -> Labels:
    return labels if len(values) < MOST else (OTHER,) * len(labels)
