"""Counters and histograms: what Prometheus reads is what was counted, and labels cannot grow without end."""

from __future__ import annotations

import math

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

from jit_auth.watch.series import MOST, OTHER, Counter, Histogram


def scraped(*series: Counter | Histogram) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    class Some(Collector):
        def collect(self):  # type: ignore[no-untyped-def]  # the registry's own protocol
            return [each.family() for each in series]

    registry = CollectorRegistry()
    registry.register(Some())
    text = generate_latest(registry).decode()
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_a_counter_counts_per_labels() -> None:
    one = Counter("jit_auth_x", "about", "a", "b")
    one.add("1", "2")
    one.add("1", "2", by=2.5)
    one.add("1", "3")
    assert scraped(one) == {
        ("jit_auth_x_total", (("a", "1"), ("b", "2"))): 3.5,
        ("jit_auth_x_total", (("a", "1"), ("b", "3"))): 1.0,
    }


def test_what_has_no_labels_is_there_from_the_start() -> None:
    found = scraped(Counter("c", "about"), Histogram("h", "about", (1, 2)))
    assert found[("c_total", ())] == 0
    assert found[("h_count", ())] == 0
    assert found[("h_bucket", (("le", "+Inf"),))] == 0


def test_a_histogram_is_cumulative_and_a_bound_belongs_to_its_bucket() -> None:
    one = Histogram("h", "about", (0.5, 1, 10), "a")
    for value in (0.1, 0.5, 1, 2, 10, 11, 1000):
        one.observe(value, "x")
    found = scraped(one)
    buckets = [found[("h_bucket", (("a", "x"), ("le", bound)))] for bound in ("0.5", "1", "10", "+Inf")]
    assert buckets == [2, 3, 5, 7]
    assert found[("h_count", (("a", "x"),))] == 7
    assert math.isclose(found[("h_sum", (("a", "x"),))], 1024.6)


def test_labels_end_somewhere() -> None:
    counter, histogram = Counter("c", "about", "a", "b"), Histogram("h", "about", (1,), "a")
    for number in range(MOST + 500):
        counter.add(str(number), "x")
        histogram.observe(1, str(number))
    found = scraped(counter, histogram)
    assert found[("c_total", (("a", OTHER), ("b", OTHER)))] == 500
    assert found[("h_count", (("a", OTHER),))] == 500
    assert len([name for name, _ in found if name == "c_total"]) == MOST + 1
