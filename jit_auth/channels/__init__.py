"""How cards reach people: the explicit map of channels."""

from __future__ import annotations

from jit_auth.channels.channel import Channel, Port
from jit_auth.channels.email import EMAIL
from jit_auth.channels.shape import Card
from jit_auth.channels.slack import SLACK
from jit_auth.channels.terminal import TERMINAL, Write
from jit_auth.channels.tools import Tools

CHANNELS: dict[str, Channel] = {channel.name: channel for channel in (SLACK, EMAIL, TERMINAL)}
"""In the order in which they stand in for each other."""

__all__ = ["CHANNELS", "Card", "Channel", "Port", "Tools", "Write"]
