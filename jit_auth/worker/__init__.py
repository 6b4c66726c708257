"""What happens without anybody calling: leases, due executions, cards made true, revocations, sweeping."""

from jit_auth.worker.loop import Worker

__all__ = ["Worker"]
