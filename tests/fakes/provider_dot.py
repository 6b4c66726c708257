"""A real OAuth server in one file: django-oauth-toolkit with rotation, reuse detection, PKCE, `iss` and revocation.

`python -m tests.fakes.provider_dot --port 0` prints one line of JSON when it answers; with `--openid` it is an OpenID
issuer as well, which vouches for every address but those that begin with `unverified`. The login page lives on another
origin (a second port), the consent is a plain form whose scopes can be unticked. Any user may sign in with the password
`secret`. `/_test/*` is the tests' own door: register clients, change lifetimes, count requests.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import logging
import os
import socketserver
import subprocess
import sys
import tempfile
import threading
import urllib.request
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

ROOT = Path(__file__).parents[2]
PASSWORD = "secret"
SCOPES = {
    "mail.read": "Read your mail",
    "mail.send": "Send mail as you",
    "mail.delete": "Delete your mail",
    "profile": "See who you are",
    "offline_access": "Stay connected",
}
OPENID = {"openid": "Know that it is you", "email": "See your address"}
"""Scopes that exist with `--openid` alone."""


class DotProvider:
    """The server as its own process. Blocking; use it as a context manager, or `start` and `stop`."""

    def __init__(self, process: subprocess.Popen[str], told: dict[str, str]) -> None:
        self._process = process
        self.url = told["url"]
        self.login_url = told["login"]
        self.authorize_url, self.token_url = self.url + "/authorize/", self.url + "/token/"
        self.revoke_url, self.userinfo_url = self.url + "/revoke_token/", self.url + "/userinfo"
        self.messages_url = self.url + "/v1/messages"

    @classmethod
    def start(cls, *arguments: str) -> DotProvider:
        command = [sys.executable, "-W", "error", "-m", "tests.fakes.provider_dot", "--port", "0", *arguments]
        process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True)
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line:
            raise RuntimeError(f"the provider ended with {process.wait()}")
        return cls(process, json.loads(line))

    def stop(self) -> None:
        """Its standard input ends, and so does it, as it would if this process died."""
        with contextlib.ExitStack() as stack:
            for pipe in (self._process.stdin, self._process.stdout):
                assert pipe is not None
                stack.callback(pipe.close)
        self._process.wait(10)

    def __enter__(self) -> DotProvider:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def client(self, client_id: str, secret: str, *redirect_uris: str) -> None:
        """Register a confidential client, or change it."""
        self._tell("clients", {"id": client_id, "secret": secret, "redirect_uris": list(redirect_uris)})

    def settings(self, **values: object) -> None:
        """Change settings of django-oauth-toolkit while it runs: ACCESS_TOKEN_EXPIRE_SECONDS=5."""
        self._tell("settings", values)

    def counts(self) -> dict[str, int]:
        """Requests since the last `reset`, by `METHOD path` and, of the token endpoint, by grant type and status."""
        return self._tell("counts", {})

    def reset(self) -> None:
        self._tell("reset", {})

    def issue(self, user: str, client_id: str, *scopes: str) -> dict[str, Any]:
        """Tokens as after a consent, without a browser."""
        return self._tell("issue", {"user": user, "client": client_id, "scopes": list(scopes)})

    def _tell(self, what: str, body: dict[str, Any]) -> dict[str, Any]:
        request = urllib.request.Request(f"{self.url}/_test/{what}", json.dumps(body).encode())  # noqa: S310  (our own)
        with urllib.request.urlopen(request, timeout=10) as reply:  # noqa: S310  (loopback)
            answer: dict[str, Any] = json.load(reply)
            return answer


LOGIN = """<!doctype html><title>Sign in</title><h1>Sign in</h1>
<form method="post">{% csrf_token %}<input type="hidden" name="next" value="{{ next }}">
<label>User <input name="username"></label><label>Password <input name="password" type="password"></label>
<button>Sign in</button></form>{% if failed %}<p>Wrong password.</p>{% endif %}"""

CONSENT = """<!doctype html><title>Consent</title>{% if error %}
<h1>Error: {{ error.error }}</h1><p>{{ error.description }}</p>
{% else %}<h1>{{ application.name }} asks {{ request.user }}</h1><form method="post">{% csrf_token %}
{% for field in form %}{% if field.is_hidden and field.name != "scope" %}{{ field }}{% endif %}{% endfor %}
{% for scope, title in rows %}
<label><input type="checkbox" name="tick" value="{{ scope }}" checked> {{ title }}</label>{% endfor %}
<button name="allow" value="yes">Allow</button><button name="deny" value="yes">Deny</button></form>{% endif %}"""


def configure(database: str, login_url: str, lifetime: int, *, openid: bool) -> None:
    """Django's settings; nothing of this module may be imported by Django before."""
    from django.conf import settings

    os.environ["OAUTHLIB_INSECURE_TRANSPORT"] = "1"
    templates = {"oauth2_provider/authorize.html": CONSENT, "login.html": LOGIN}
    settings.configure(
        SECRET_KEY="test" * 16,
        ALLOWED_HOSTS=["127.0.0.1", "localhost"],
        ROOT_URLCONF="tests.fakes.provider_dot",
        LOGIN_URL=login_url,
        USE_TZ=True,
        SESSION_COOKIE_NAME="dot_session",
        CSRF_COOKIE_NAME="dot_csrf",
        PASSWORD_HASHERS=["django.contrib.auth.hashers.MD5PasswordHasher"],
        DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
        DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": database,
                               "OPTIONS": {"init_command": "PRAGMA synchronous=OFF;"}}},
        INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes", "django.contrib.sessions",
                        "oauth2_provider"],
        MIGRATION_MODULES={"auth": None, "contenttypes": None, "sessions": None, "oauth2_provider": None},
        MIDDLEWARE=["django.contrib.sessions.middleware.SessionMiddleware",
                    "django.middleware.csrf.CsrfViewMiddleware",
                    "django.contrib.auth.middleware.AuthenticationMiddleware"],
        TEMPLATES=[{"BACKEND": "django.template.backends.django.DjangoTemplates",
                    "OPTIONS": {"context_processors": ["django.template.context_processors.request",
                                                       "django.contrib.auth.context_processors.auth"],
                                "loaders": [("django.template.loaders.locmem.Loader", templates)]}}],
        LOGGING_CONFIG=None,
        OAUTH2_PROVIDER={
            "SCOPES": SCOPES | (OPENID if openid else {}),
            "ACCESS_TOKEN_EXPIRE_SECONDS": lifetime,
            "ROTATE_REFRESH_TOKEN": True,
            "REFRESH_TOKEN_REUSE_PROTECTION": True,
            "PKCE_REQUIRED": True,
            "COMPLIANT_BCP_RFC9700_AUTHZ_RESPONSE_ISS": True,
            "COMPLIANT_BCP_RFC9700_PKCE_METHOD": True,
            "COMPLIANT_BCP_RFC9700_IMPLICIT_GRANT": True,
            "COMPLIANT_BCP_RFC9700_PASSWORD_GRANT": True,
            "COMPLIANT_BCP_RFC9700_ACCESS_TOKEN_TRANSPORT": True,
            "OIDC_ENABLED": openid,
            "OIDC_RSA_PRIVATE_KEY": signing_key() if openid else "",
        },
    )  # fmt: skip
    logging.getLogger().addHandler(logging.NullHandler())
    import django
    from django.core.management import call_command

    django.setup()
    call_command("migrate", run_syncdb=True, verbosity=0)


def signing_key() -> str:
    """A new RSA key, as PEM."""
    from joserfc.jwk import RSAKey

    return RSAKey.generate_key(2048).as_pem(private=True).decode()


def vouch() -> None:
    """Put a person's address into ID tokens; made after `configure`."""
    from oauth2_provider.oauth2_validators import OAuth2Validator
    from oauth2_provider.settings import oauth2_settings

    class Vouching(OAuth2Validator):
        oidc_claim_scope = None

        def get_additional_claims(self, request: Any) -> dict[str, Any]:
            address = request.user.email
            return {"email": address, "email_verified": not address.startswith("unverified")}

    oauth2_settings.OAUTH2_VALIDATOR_CLASS = Vouching


def routes(counts: Counter[str], *, openid: bool) -> list[Any]:
    """The URL patterns; made after `configure`, since Django's models cannot be imported before."""
    from django.contrib.auth import get_user_model, login
    from django.http import HttpResponse, HttpResponseRedirect, JsonResponse
    from django.shortcuts import render
    from django.urls import include, path
    from django.views.decorators.csrf import csrf_exempt
    from oauth2_provider import urls as toolkit
    from oauth2_provider.decorators import protected_resource
    from oauth2_provider.models import AccessToken, Application, RefreshToken
    from oauth2_provider.settings import oauth2_settings
    from oauth2_provider.views import AuthorizationView

    messages: list[dict[str, Any]] = []

    def person(name: str) -> Any:
        return get_user_model().objects.get_or_create(username=name, defaults={"email": name})[0]

    class Consent(AuthorizationView):
        def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
            rows = [(scope, (SCOPES | OPENID)[scope]) for scope in kwargs.get("scopes", ())]
            return {**super().get_context_data(**kwargs), "rows": rows}

        def post(self, request: Any, *args: Any, **kwargs: Any) -> Any:
            form = request.POST.copy()
            ticked = form.getlist("tick")
            if not ticked:
                form.pop("allow", None)
            form["scope"] = " ".join(ticked) or "profile"
            request.POST = form
            return super().post(request, *args, **kwargs)

    def sign_in(request: Any) -> Any:
        if request.method == "GET":
            return render(request, "login.html", {"next": request.GET.get("next", "")})
        if request.POST.get("password") != PASSWORD:
            return render(request, "login.html", {"next": request.POST.get("next", ""), "failed": True})
        login(request, person(request.POST["username"]))
        return HttpResponseRedirect(request.POST["next"])

    @protected_resource(advertise_metadata=True)
    def userinfo(request: Any) -> Any:
        owner = request.resource_owner
        return JsonResponse({"sub": f"dot-{owner.pk}", "email": owner.email, "name": owner.username.split("@")[0]})

    @protected_resource(scopes=["mail.read"], advertise_metadata=True)
    def read(request: Any) -> Any:
        mine = [message for message in messages if message["of"] == request.resource_owner.username]
        return JsonResponse({"messages": mine})

    @protected_resource(scopes=["mail.send"], advertise_metadata=True)
    def send(request: Any) -> Any:
        messages.append({"of": request.resource_owner.username, **json.loads(request.body)})
        return JsonResponse({"id": f"msg-{len(messages)}"}, status=201)

    @csrf_exempt
    def resource(request: Any) -> Any:
        return read(request) if request.method == "GET" else send(request)

    @csrf_exempt
    def control(request: Any, what: str) -> Any:
        body = json.loads(request.body)
        if what == "clients":
            fields = {"client_secret": body["secret"], "redirect_uris": " ".join(body["redirect_uris"]),
                      "client_type": "confidential", "authorization_grant_type": "authorization-code",
                      "name": body["id"], "algorithm": "RS256" if openid else ""}  # fmt: skip
            Application.objects.update_or_create(client_id=body["id"], defaults=fields)
        elif what == "settings":
            for name, value in body.items():
                setattr(oauth2_settings, name, value)
        elif what == "issue":
            return JsonResponse(issue(body))
        elif what == "reset":
            counts.clear()
        return JsonResponse(counts)

    def issue(body: dict[str, Any]) -> dict[str, Any]:
        from datetime import timedelta
        from secrets import token_urlsafe
        from uuid import uuid4

        from django.utils import timezone

        application = Application.objects.get(client_id=body["client"])
        seconds = oauth2_settings.ACCESS_TOKEN_EXPIRE_SECONDS
        access = AccessToken.objects.create(
            user=person(body["user"]), application=application, token=token_urlsafe(24),
            expires=timezone.now() + timedelta(seconds=seconds), scope=" ".join(body["scopes"]),
        )  # fmt: skip
        refresh = RefreshToken.objects.create(
            user=access.user, application=application, token=token_urlsafe(24), access_token=access,
            token_family=uuid4(),
        )  # fmt: skip
        return {"access_token": access.token, "refresh_token": refresh.token, "expires_in": seconds}

    own = [path("authorize/", Consent.as_view(), name="authorize")]
    rest = [*toolkit.metadata_urlpatterns, *(each for each in toolkit.base_urlpatterns if each.name != "authorize")]
    if openid:
        vouch()
        rest += toolkit.oidc_urlpatterns
    return [
        path("", include((own + rest, "oauth2_provider"))),
        path("login", sign_in),
        path("userinfo", userinfo),
        path("v1/messages", resource),
        path("_test/<slug:what>", control),
        path("", lambda request: HttpResponse("django-oauth-toolkit")),
    ]


urlpatterns: list[Any] = []


class _Server(socketserver.ThreadingMixIn, WSGIServer):
    daemon_threads = True
    request_queue_size = 128

    def server_bind(self) -> None:
        # WSGIServer asks the name service for its own name, which may take seconds.
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = "127.0.0.1", self.server_address[1]
        self.setup_environ()


class _Quiet(WSGIRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        """Say nothing: the tests read the counts."""


def counting(application: Any, counts: Counter[str]) -> Any:
    """Count requests; one at a time reaches Django, so that SQLite sees one writer."""
    lock = threading.Lock()

    def answer(environ: dict[str, Any], start: Any) -> Iterator[bytes]:
        name = f"{environ['REQUEST_METHOD']} {environ['PATH_INFO']}"
        kind = ""
        if environ["PATH_INFO"] == "/token/":
            body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
            environ["wsgi.input"] = io.BytesIO(body)
            kind = parse_qs(body.decode()).get("grant_type", ["none"])[0]

        def started(status: str, headers: Sequence[tuple[str, str]], *rest: Any) -> Any:
            if kind:
                counts[f"{kind} {status[:3]}"] += 1
            return start(status, headers, *rest)

        with lock:
            if not environ["PATH_INFO"].startswith("/_test/"):
                counts[name] += 1
            return iter([b"".join(application(environ, started))])

    return answer


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--login-port", type=int, default=0)
    parser.add_argument("--openid", action="store_true", help="be an OpenID issuer too")
    parser.add_argument("--lifetime", type=int, default=3600, help="of access tokens, in seconds")
    parser.add_argument("--client", action="append", default=[], metavar="ID SECRET REDIRECT_URI", nargs=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        login = _Server(("127.0.0.1", options.login_port), _Quiet)
        server = _Server(("127.0.0.1", options.port), _Quiet)
        login_url = f"http://127.0.0.1:{login.server_port}"
        counts: Counter[str] = Counter()
        configure(str(Path(folder) / "dot.sqlite3"), login_url + "/login", options.lifetime, openid=options.openid)
        # Django imports this module by its name for ROOT_URLCONF; as a program it is called __main__.
        import tests.fakes.provider_dot as module

        module.urlpatterns.extend(routes(counts, openid=options.openid))
        from django.core.wsgi import get_wsgi_application

        application = counting(get_wsgi_application(), counts)
        url = f"http://127.0.0.1:{server.server_port}"
        for each in (server, login):
            each.set_app(application)
            threading.Thread(target=each.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        for client_id, secret, redirect_uri in options.client:
            body = {"id": client_id, "secret": secret, "redirect_uris": [redirect_uri]}
            urllib.request.urlopen(f"{url}/_test/clients", json.dumps(body).encode()).close()  # noqa: S310  (our own)
        print(json.dumps({"url": url, "login": login_url}), flush=True)  # noqa: T201  (the caller waits for it)
        # Ends with whoever started it: standard input is closed by their death too.
        with contextlib.suppress(KeyboardInterrupt):
            if sys.stdin is None or sys.stdin.isatty():
                threading.Event().wait()
            sys.stdin.read()
        for each in (server, login):
            each.shutdown()
            each.server_close()


if __name__ == "__main__":
    main()
