"""What an agent's process imports: a client of the service, its values, its errors, and the guard for own functions.

It needs nothing else of this package, and aiohttp only once an AsyncClient makes its first call (docs/client.md).
"""

from jit_auth.client.advice import Advice
from jit_auth.client.clients import AsyncClient, Client
from jit_auth.client.errors import (
    Cancelled,
    Denied,
    Expired,
    Failed,
    GuardRefused,
    JitAuthError,
    NotConfigured,
    NotSucceeded,
    Paused,
    Refused,
    Unknown,
    Unreachable,
    WebhookError,
)
from jit_auth.client.hooks import verify_webhook
from jit_auth.client.model import Execution, Preview
from jit_auth.client.pages import AsyncPage, AsyncPages, Page
from jit_auth.client.protocol import Repeats

__all__ = [
    "Advice",
    "AsyncClient",
    "AsyncPage",
    "AsyncPages",
    "Cancelled",
    "Client",
    "Denied",
    "Execution",
    "Expired",
    "Failed",
    "GuardRefused",
    "JitAuthError",
    "NotConfigured",
    "NotSucceeded",
    "Page",
    "Paused",
    "Preview",
    "Refused",
    "Repeats",
    "Unknown",
    "Unreachable",
    "WebhookError",
    "verify_webhook",
]
