"""The sign-in round trip with an issuer that behaves: what is sent, what is kept, what comes back."""

from __future__ import annotations

import asyncio
import base64
import hashlib

import pytest
from aiohttp import ClientSession
from multidict import MultiDict
from yarl import URL

from jit_auth.errors import NotFound, SignInAway, SignInRefused
from jit_auth.signin.identity import Identity
from jit_auth.signin.keys import ALGORITHMS
from jit_auth.signin.oidc import Oidc, open_oidc
from tests.fakes.issuer import ABSENT, HostileIssuer, key_for
from tests.integration.signin.conftest import KEY, PUBLIC_URL, Time, answered, corp, sign_in, signing_in


async def test_a_person_signs_in(oidc: Oidc, evil: HostileIssuer, clock: Time) -> None:
    landed = await sign_in(oidc, to="/approvals/apr_1?x=1")
    assert landed.to == "/approvals/apr_1?x=1"
    assert landed.identity == Identity(
        issuer="corp", subject="s-1", person="ana@example.com", auth_time=landed.identity.auth_time
    )
    assert landed.identity.auth_time is not None
    assert abs(landed.identity.auth_time - clock.now()) < 10_000
    assert evil.counts == {"metadata": 1, "jwks": 1, "authorize": 1, "token": 1}


async def test_what_the_issuer_is_asked(oidc: Oidc, evil: HostileIssuer) -> None:
    begun = await oidc.begin("corp", to="/me")
    query = URL(begun.url).query
    assert dict(query) == {
        "response_type": "code",
        "client_id": "jit",
        "redirect_uri": f"{PUBLIC_URL}/signin/callback/corp",
        "scope": "openid email",
        "state": query["state"],
        "nonce": query["nonce"],
        "code_challenge": query["code_challenge"],
        "code_challenge_method": "S256",
    }
    assert begun.lifetime == 600_000
    await oidc.finish("corp", await answered(begun.url), begun.cookie)
    (form,) = evil.forms
    assert form["grant_type"] == "authorization_code"
    assert form["redirect_uri"] == query["redirect_uri"]
    proof = base64.urlsafe_b64encode(hashlib.sha256(form["code_verifier"].encode()).digest()).decode()
    assert proof.rstrip("=") == query["code_challenge"]
    for secret in (query["state"], query["nonce"], form["code_verifier"]):
        assert secret not in begun.cookie
        assert secret not in repr(begun)


async def test_every_round_trip_has_secrets_of_its_own(oidc: Oidc) -> None:
    seen = [URL((await oidc.begin("corp", to="/me")).url).query for _ in range(5)]
    for name in ("state", "nonce", "code_challenge"):
        assert len({each[name] for each in seen}) == 5


@pytest.mark.parametrize("algorithm", sorted(ALGORITHMS))
async def test_every_algorithm_that_is_taken(oidc: Oidc, evil: HostileIssuer, algorithm: str) -> None:
    evil.algorithm, evil.key = algorithm, key_for(algorithm)
    evil.published = [key_for("ES256" if algorithm != "ES256" else "RS256", "k0"), evil.key]
    assert (await sign_in(oidc)).identity.person == "ana@example.com"


async def test_without_a_key_id_the_only_key_that_fits_is_it(oidc: Oidc, evil: HostileIssuer) -> None:
    evil.key = key_for("RS256", None)
    evil.header = {"kid": ABSENT}
    other = key_for("RS256", "k2", 2).as_dict(private=False)
    evil.published = [
        key_for("ES256", "k0"), {**other, "alg": "PS256"}, {**other, "use": "enc"}, {**other, "key_ops": ["encrypt"]},
        evil.key, {"kty": "AKP", "kid": "k9"}, "nonsense", {"kty": "RSA"},
    ]  # fmt: skip
    assert (await sign_in(oidc)).identity.subject == "s-1"


@pytest.mark.parametrize(
    ("claims", "person"),
    [
        ({"email": "Ana@EXAMPLE.com"}, "ana@example.com"),
        ({"email": "ana@bücher.example"}, "ana@xn--bcher-kva.example"),
        ({"aud": ["jit"]}, "ana@example.com"),
        ({"aud": ["other", "jit"], "azp": "jit"}, "ana@example.com"),
        ({"azp": "jit"}, "ana@example.com"),
        ({"at_hash": ABSENT, "auth_time": ABSENT}, "ana@example.com"),
        ({"sub": "x" * 255, "nbf": 1, "acr": "1", "extra": {"a": []}}, "ana@example.com"),
    ],
)
async def test_claims_that_are_good(evil: HostileIssuer, clock: Time, claims: dict[str, object], person: str) -> None:
    evil.claims = claims
    async with signing_in(corp(evil, domains=("example.com", "xn--bcher-kva.example")), clock.now) as oidc:
        assert (await sign_in(oidc)).identity.person == person


async def test_headers_that_nobody_knows_are_let_be(oidc: Oidc, evil: HostileIssuer) -> None:
    evil.header = {"x5t": "abc", "typ": "JWT", "vendor": 1, "jku": "https://evil.example/keys"}
    assert (await sign_in(oidc)).identity.person == "ana@example.com"


async def test_another_claim_may_name_the_person(evil: HostileIssuer, clock: Time) -> None:
    evil.claims = {"upn": "Bob@example.com", "email": ABSENT, "email_verified": ABSENT}
    async with signing_in(corp(evil, user_claim="upn"), clock.now) as oidc:
        assert (await sign_in(oidc)).identity.person == "bob@example.com"
    evil.claims = {"upn": "bob.smith"}
    async with signing_in(corp(evil, user_claim="upn", domains=()), clock.now) as oidc:
        assert (await sign_in(oidc)).identity.person == "bob.smith"


async def test_a_fresh_sign_in_asks_for_the_person_once_more(oidc: Oidc, evil: HostileIssuer) -> None:
    assert (await sign_in(oidc, fresh=True)).identity.auth_time is not None
    assert (evil.asked["prompt"], evil.asked["max_age"]) == ("login", "0")
    await sign_in(oidc)
    assert "prompt" not in evil.asked


async def test_iss_may_be_missing_where_it_is_not_promised(oidc: Oidc, evil: HostileIssuer) -> None:
    evil.metadata_says = {"authorization_response_iss_parameter_supported": ABSENT}
    evil.answer_says = {"iss": ABSENT, "session_state": "x"}
    assert (await sign_in(oidc)).identity.person == "ana@example.com"


async def test_keys_and_metadata_are_kept_for_ten_minutes(oidc: Oidc, evil: HostileIssuer, clock: Time) -> None:
    await asyncio.gather(*(sign_in(oidc) for _ in range(5)))
    assert (evil.counts["metadata"], evil.counts["jwks"]) == (1, 1)
    clock.ahead += 599 - 10
    await sign_in(oidc)
    assert (evil.counts["metadata"], evil.counts["jwks"]) == (1, 1)
    clock.ahead += 12
    await sign_in(oidc)
    assert (evil.counts["metadata"], evil.counts["jwks"]) == (2, 2)


async def test_a_new_key_is_learned_but_not_more_than_twice_a_minute(
    oidc: Oidc, evil: HostileIssuer, clock: Time
) -> None:
    await sign_in(oidc)
    evil.rotate()
    with pytest.raises(SignInRefused, match="no key"):
        await sign_in(oidc)
    assert evil.counts["jwks"] == 1
    clock.ahead += 31
    assert (await sign_in(oidc)).identity.subject == "s-1"
    assert evil.counts["jwks"] == 2
    evil.published = [key_for("RS256", "k3", 3)]  # what they signed with is published no more
    evil.header = {"kid": "k4"}
    for _ in range(5):
        with pytest.raises(SignInRefused, match="no key"):
            await sign_in(oidc)
    assert evil.counts["jwks"] == 2


async def test_a_key_that_was_withdrawn_is_forgotten(oidc: Oidc, evil: HostileIssuer, clock: Time) -> None:
    await sign_in(oidc)
    evil.published = [key_for("RS256", "k2", 2)]
    clock.ahead += 601
    with pytest.raises(SignInRefused, match="no key"):
        await sign_in(oidc)


async def test_two_issuers_each_vouch_for_their_own(evil: HostileIssuer, session: ClientSession, clock: Time) -> None:
    async with HostileIssuer(clock.seconds).running() as second:
        issuers = [corp(evil), corp(second, name="partner", domains=("partner.example",))]
        oidc = Oidc(issuers, public_url=PUBLIC_URL + "/", key=KEY, now=clock.now, session=session)
        second.claims = {"email": "bob@partner.example"}
        assert (await sign_in(oidc, "partner")).identity.issuer == "partner"
        assert second.asked["redirect_uri"] == f"{PUBLIC_URL}/signin/callback/partner"
        second.claims = {"email": "ana@example.com"}  # which is the other's to say
        with pytest.raises(SignInRefused) as caught:
            await sign_in(oidc, "partner")
        assert caught.value.code == "foreign_domain"
        # One issuer's whole answer, cookie and all, at the other's path.
        begun = await oidc.begin("partner", to="/me")
        query = await answered(begun.url)
        del query["iss"]
        with pytest.raises(SignInRefused) as caught:
            await oidc.finish("corp", query, begun.cookie)
        assert caught.value.code == "foreign_browser"
        # The mix-up (RFC 9207 1): our trip to one, ended by the other.
        begun = await oidc.begin("corp", to="/me")
        query["state"] = URL(begun.url).query["state"]
        query["iss"] = second.url
        with pytest.raises(SignInRefused) as caught:
            await oidc.finish("corp", query, begun.cookie)
        assert caught.value.code == "wrong_issuer"


async def test_issuers_that_could_vouch_for_the_same_people_are_refused(
    evil: HostileIssuer, session: ClientSession, clock: Time
) -> None:
    for pair in (
        [corp(evil), corp(evil)],
        [corp(evil), corp(evil, name="b", domains=("b.example", "example.com"))],
        [corp(evil, user_claim="x", domains=()), corp(evil, name="b", user_claim="y", domains=())],
    ):
        with pytest.raises(ValueError, match="Two issuers"):
            Oidc(pair, public_url=PUBLIC_URL, key=KEY, now=clock.now, session=session)


async def test_an_issuer_that_nobody_named(oidc: Oidc) -> None:
    with pytest.raises(NotFound):
        await oidc.begin("other", to="/me")
    with pytest.raises(NotFound):
        await oidc.finish("other", MultiDict(), None)


async def test_an_outage_costs_nothing(evil: HostileIssuer, clock: Time) -> None:
    """The code is not risked while the metadata cannot be read: a reload of the callback then works."""
    issuer = corp(evil)
    async with open_oidc([issuer], public_url=PUBLIC_URL, key=KEY, now=clock.now) as oidc:
        begun = await oidc.begin("corp", to="/me")
        query = await answered(begun.url)
    evil.metadata_says = {"issuer": "https://other.example"}
    async with open_oidc([issuer], public_url=PUBLIC_URL, key=KEY, now=clock.now) as oidc:  # as after a restart
        with pytest.raises(SignInAway):
            await oidc.finish("corp", query, begun.cookie)
        evil.metadata_says = {}
        assert (await oidc.finish("corp", query, begun.cookie)).identity.person == "ana@example.com"


async def test_the_environments_proxy_is_ignored(
    evil: HostileIssuer, clock: Time, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    async with signing_in(corp(evil), clock.now) as oidc:
        assert (await sign_in(oidc)).identity.person == "ana@example.com"
