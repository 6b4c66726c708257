"""Where a client goes, and as whom: from arguments or the environment; unsafe ones are refused without a look."""

from __future__ import annotations

import pytest

from jit_auth.client import AsyncClient, Client, NotConfigured

TOKEN = "jat_agt_" + "t" * 43


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("JIT_AUTH_URL", raising=False)
    monkeypatch.delenv("JIT_AUTH_TOKEN", raising=False)


@pytest.fixture(params=[Client, AsyncClient])
def made(request: pytest.FixtureRequest) -> type[Client] | type[AsyncClient]:
    found: type[Client] | type[AsyncClient] = request.param
    return found


def test_from_the_environment(made: type[Client] | type[AsyncClient], monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(NotConfigured, match="JIT_AUTH_URL"):
        made()
    monkeypatch.setenv("JIT_AUTH_URL", "https://jit.example.com/base/ ")
    with pytest.raises(NotConfigured, match="JIT_AUTH_TOKEN"):
        made()
    monkeypatch.setenv("JIT_AUTH_TOKEN", TOKEN + "\n")
    assert made().url == "https://jit.example.com/base"
    assert made("http://127.0.0.1:8080/").url == "http://127.0.0.1:8080"


@pytest.mark.parametrize(
    "url",
    ["http://127.0.0.1:8080", "http://localhost", "http://[::1]:80", "http://127.9.9.9", "http://jit.localhost:1",
     "https://10.0.0.1", "HTTPS://Jit.Example.com"],
)  # fmt: skip
def test_places_that_are_fine(made: type[Client] | type[AsyncClient], url: str) -> None:
    assert made(url, TOKEN).url.startswith(url[:5].lower())


@pytest.mark.parametrize(
    "url",
    ["http://jit.example.com", "http://10.0.0.1", "http://localhost.example.com", "http://0.0.0.0", "http://[::]"],
)
def test_a_token_does_not_go_in_the_clear(made: type[Client] | type[AsyncClient], url: str) -> None:
    with pytest.raises(NotConfigured, match="in the clear") as refused:
        made(url, TOKEN)
    assert refused.value.code == "insecure_url"
    assert TOKEN not in str(refused.value)
    assert made(url, TOKEN, allow_http=True).url == url


@pytest.mark.parametrize(
    "url",
    ["jit.example.com", "ftp://jit.example.com", "https://", "https://u:pw@jit.example.com", "https://x/?a=b",
     "https://x/#y", "https://x:99999", "https://x y/", "file:///etc/passwd", "https://x/\r\nHost: y"],
)  # fmt: skip
def test_what_is_no_address(made: type[Client] | type[AsyncClient], url: str) -> None:
    with pytest.raises(NotConfigured) as refused:
        made(url, TOKEN)
    assert "pw" not in str(refused.value)


@pytest.mark.parametrize("token", ["", " ", "two words", "tök", "a\nb", "a\x00"])
def test_what_is_no_token(made: type[Client] | type[AsyncClient], token: str) -> None:
    with pytest.raises(NotConfigured) as refused:
        made("https://x", token)
    assert not token.strip() or token not in str(refused.value)
