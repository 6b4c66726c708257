"""Every error this project raises: one tree, each with a stable code, a sentence and a hint.

::

    JitAuthError
    ├── Problem                      answered to a caller as RFC 9457 problem+json
    │   ├── BadRequest        400    bad_json, bad_user, bad_key, unknown_field, bad_query, bad_decision, bad_form,
    │   │                            bad_content_type
    │   ├── Unauthenticated   401    unauthenticated
    │   ├── SignInRefused     403    bad_callback, unknown_state, foreign_browser, expired, wrong_issuer,
    │   │                            signin_refused, bad_id_token, unverified_email, foreign_domain,
    │   │                            other_subject, left
    │   ├── Forbidden         403    action_not_permitted, user_not_permitted, foreign_origin, prefetch, not_eligible,
    │   │                            other_person, sign_in_required, passkey_required, bad_form_token, unknown_nonce,
    │   │                            role_required, wrong_claim, connections_not_permitted, recently_denied, revoked
    │   ├── PasskeyRefused    403    passkey_refused, passkey_replayed, passkey_unknown, passkey_unverified,
    │   │                            passkey_expired, passkey_too_young, no_passkey, no_passkeys_here, sign_in_again
    │   ├── CodeRefused       403    wrong_code, code_expired, code_spent, no_code
    │   ├── NotFound          404    unknown_action, not_found
    │   ├── Conflict          409    already_finished, executing, already_decided, digest_mismatch, superseded,
    │   │                            not_unknown, no_approver, stale, not_released, already_claimed,
    │   │                            not_claimed, claim_expired
    │   ├── Gone              410    expired, cancelled, revoked
    │   ├── TooLarge          413    too_large
    │   ├── Misdirected       421    wrong_host
    │   ├── Unprocessable     422    invalid_params, unknown_account, ambiguous_account, idempotency_mismatch
    │   ├── TooMany           429    too_many_open, too_many_waits, too_many_streams, too_many_mails,
    │   │                            too_many_connections, too_many_dry_runs
    │   ├── SignInAway        503    issuer_unavailable
    │   └── Unavailable       503    busy, halted, stale_bundle, storage_unavailable, mail_unavailable
    ├── Faults                       what is wrong with files: each `file:line: message`
    ├── Fault                        one of them
    │   └── Unreached                what could not be judged, since a service that the file names is away
    ├── StorageError                 the database refused or is away (nothing was committed)
    ├── RotationRefused              the vault's keys may not be rotated now: nothing was closed
    ├── VaultError                   a sealed value cannot be opened: altered, moved, or its key is not here
    ├── EgressError                  a request of ours to a host that files, agents or people named
    │   ├── AddressRefused           the host resolves to an address we do not go to
    │   ├── NeverLeft                no byte was written: the call did surely not happen
    │   └── Lost                     bytes were written, no whole answer came: nobody knows
    ├── ChannelError                 a copy of a card could not be shown
    │   ├── Later                    the channel is away or asks us to slow down: try again after a while
    │   └── Never                    it will never reach this person by this channel: use another
    ├── Misused                      the testing kit was asked for what is not there (jit_auth.testing alone)
    └── ProviderError                an OAuth provider's answer
        ├── Broken                   the grant is dead (invalid_grant): the user must connect again
        ├── Away                     an outage: try again later, nothing is stored
        ├── Misconfigured            our own client registration is at fault (invalid_client)
        ├── ConsentRefused           the person said no (access_denied)
        └── FlowRefused              a callback that does not belong to this browser, state, provider or issuer
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar


class JitAuthError(Exception):
    """Base of all. `code` is stable, `message` a sentence, `hint` says what to do."""

    code: str = "error"
    hint: str = ""

    def __init__(self, message: str, *, code: str | None = None, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        if code is not None:
            self.code = code
        if hint is not None:
            self.hint = hint


class Problem(JitAuthError):
    """An answer to a caller. `members` are added to the problem+json document, `headers` to the response."""

    status: ClassVar[int] = 500

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        hint: str | None = None,
        members: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message, code=code, hint=hint)
        self.members = dict(members or {})
        self.headers = dict(headers or {})


class BadRequest(Problem):
    status = 400
    code = "bad_request"
    hint = "Correct the request; repeating it unchanged gives the same answer."


class Unauthenticated(Problem):
    status = 401
    code = "unauthenticated"
    hint = "Send `Authorization: Bearer <token>`, whole, as `jit-auth init` or `jit-auth agent new NAME` printed it."


class Forbidden(Problem):
    status = 403
    code = "forbidden"
    hint = "Nothing was done. An operator decides who may do what."


class SignInRefused(Problem):
    """A callback that does not belong here, or an identity that the issuer may not vouch for. Nobody is signed in."""

    status = 403
    code = "signin_refused"
    hint = "Start the sign-in again."


class PasskeyRefused(Problem):
    """What a passkey answered proves nothing here. `passkey_too_young`: it does, but not yet for risk critical."""

    status = 403
    code = "passkey_refused"
    hint = "Nothing was decided. Open the page again and use a passkey that you enrolled here."


class CodeRefused(Problem):
    """What was typed is not the code that was mailed for this question to this browser. Nobody is signed in."""

    status = 403
    code = "wrong_code"
    hint = "Use the newest code, in the browser in which you asked for it; or have another one mailed."


class NotFound(Problem):
    status = 404
    code = "not_found"
    hint = "Look at the address: it names nothing that you may see."


class Conflict(Problem):
    status = 409
    code = "conflict"
    hint = "Read the present state; nothing was changed."


class Gone(Problem):
    status = 410
    code = "expired"
    hint = "The agent can ask again, if it is still wanted."


class TooLarge(Problem):
    status = 413
    code = "too_large"
    hint = "Put large content elsewhere and send a reference."


class Misdirected(Problem):
    status = 421
    code = "wrong_host"
    hint = "Use the address in `[server] public_url`, or add the name to `[server] hosts`."


class Unprocessable(Problem):
    status = 422
    code = "invalid_params"
    hint = "Correct what `faults` names; GET /actions/{name} shows the schema."


class TooMany(Problem):
    status = 429
    code = "too_many"
    hint = "Wait as long as Retry-After says."


class Unavailable(Problem):
    status = 503
    code = "busy"
    hint = "Nothing was done. Try again in a moment."


class SignInAway(Problem):
    """The issuer is away, answers nonsense, or our registration there is at fault: nobody can sign in by it now."""

    status = 503
    code = "issuer_unavailable"
    hint = "Try again in a few minutes; nothing was lost. If it stays, tell an operator."
    reached = True
    """Something answered."""


class Fault(JitAuthError):
    """One thing wrong in one file. `line` and `column` count from 1; line 0: the file as a whole."""

    code = "fault"

    def __init__(self, file: str, line: int, message: str, *, column: int = 0) -> None:
        super().__init__(message)
        self.file = file
        self.line = line
        self.column = column

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" + (f":{self.column}" if self.column else "")
        return f"{place}: {self.message}"


class Unreached(Fault):
    """A service that the file names is away now: a warning, since whoever serves waits for it, too."""


class Faults(JitAuthError):
    """All that is wrong with the files that were loaded; never empty."""

    code = "faults"

    def __init__(self, faults: Sequence[Fault]) -> None:
        super().__init__("\n".join(str(f) for f in faults))
        self.faults = tuple(faults)


class StorageError(JitAuthError):
    """The database refused or is away. `unknown`: the connection was lost while committing, so it may have happened."""

    code = "storage_unavailable"
    unknown: bool = False


class RotationRefused(JitAuthError):
    """A rotation would leave somebody unable to read, or hide what is wrong."""

    code = "rotation_refused"
    hint = "Run it again once that is put right: what was wrapped stays wrapped."


class VaultError(JitAuthError):
    code = "vault"


class Misused(JitAuthError):
    """A test asked `jit_auth.testing` for what is not there: nothing is open, nothing was delivered, no such agent."""

    code = "misused"


class EgressError(JitAuthError):
    code = "egress"


class AddressRefused(EgressError):
    code = "address_refused"


class NeverLeft(EgressError):
    code = "provider_unavailable"


class Lost(EgressError):
    code = "outcome_unknown"


class ChannelError(JitAuthError):
    """A channel could not show a copy."""

    code = "channel_error"


class Later(ChannelError):
    """Try again after `after` milliseconds (None: with the caller's own growing pauses)."""

    code = "channel_away"

    def __init__(self, message: str, after: int | None = None, *, maybe: bool = False) -> None:
        super().__init__(message)
        self.after = after
        self.maybe = maybe
        """It may have been posted all the same: its answer was lost."""


class Never(ChannelError):
    """This copy can never be shown: another channel is needed, and operators should know."""

    code = "channel_refused"


class ProviderError(JitAuthError):
    code = "provider"
    flow: Any = None
    """The round trip (`model.Flow`) in which it happened, where there was one."""


class Broken(ProviderError):
    code = "grant_broken"


class Away(ProviderError):
    code = "provider_unavailable"


class Misconfigured(ProviderError):
    code = "provider_misconfigured"


class ConsentRefused(ProviderError):
    code = "consent_refused"


class FlowRefused(ProviderError):
    code = "flow_refused"
