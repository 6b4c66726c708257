"""What a database URL says, before anything connects: which database, and whether the way there is safe."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

from jit_auth.config.urls import is_loopback

POSTGRESQL = ("postgresql", "postgres")


def judge_url(url: str, *, insecure: bool) -> None:
    """Raises ValueError for an unknown database, and for PostgreSQL over a network without `verify-full`.

    THREAT_MODEL 40: sslmode's default, `prefer`, gives the password to whoever answers. libpq's parameters are allowed,
    several hosts too (https://www.postgresql.org/docs/current/libpq-connect.html, 34.1.1).
    """
    if url.startswith("sqlite:///") and len(url) > len("sqlite:///"):
        return
    parts = urlsplit(url)
    if parts.scheme not in POSTGRESQL:
        raise ValueError("expected sqlite:///FILE or postgresql://USER:PASSWORD@HOST/DATABASE")
    query = parse_qs(parts.query)
    places = [*parts.netloc.rpartition("@")[2].split(","), *",".join(query.get("host", [])).split(",")]
    places += ",".join(query.get("hostaddr", [])).split(",")
    away = [place for place in map(_host, places) if place and not place.startswith("/") and not is_loopback(place)]
    if away and query.get("sslmode", [""])[-1] != "verify-full" and not insecure:
        raise ValueError(
            f"PostgreSQL on {away[0]} needs sslmode=verify-full (or [storage] insecure_db = true, which check reports)"
        )


def sqlite_path(url: str, base: Path) -> Path | None:
    """The file of an `sqlite:///` URL (three slashes: relative to `base`), or None where it is another database."""
    name = url.removeprefix("sqlite:///")
    return None if name == url or not name else base / name.partition("?")[0]


def _host(place: str) -> str:
    place = unquote(place)
    if place.startswith("/"):
        return place  # a socket's folder
    if place.startswith("["):
        return place[1:].partition("]")[0]
    return place.partition(":")[0] if place.count(":") == 1 else place
