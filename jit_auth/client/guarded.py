"""What takes a guarded function's place: asks, runs the body with a heartbeat beside it, reports, in that order."""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from jit_auth.client.errors import JitAuthError
from jit_auth.client.guard import Guard
from jit_auth.client.protocol import Steps
from jit_auth.client.turn import Held

if TYPE_CHECKING:
    import asyncio

T = TypeVar("T")


def guarded(guard: Guard, function: Callable[..., Any], run: Callable[[Steps[Any]], Any]) -> Callable[..., Any]:
    """Of a plain function. The heart beats in a thread."""

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        turn = guard.turn(guard.wish(args, kwargs))
        held = None
        while held is None:
            if (done := run(turn.come())) is not None:
                return guard.value(done)
            held = run(turn.take())
        with _beating(guard, held, run):
            try:
                bound = guard.approved(turn.wish, held.execution)
                value = function(*bound.args, **bound.kwargs)
            except BaseException as fault:
                _tell(guard, held, guard.failed(held, fault), run)
                raise
            _tell(guard, held, guard.succeeded(held, value), run)
        return value

    return call


def guarded_async(
    guard: Guard, function: Callable[..., Any], run: Callable[[Steps[Any]], Awaitable[Any]]
) -> Callable[..., Any]:
    """Of a coroutine function. The heart beats in a task."""

    @functools.wraps(function)
    async def call(*args: Any, **kwargs: Any) -> Any:
        import asyncio

        turn = guard.turn(guard.wish(args, kwargs))
        held = None
        while held is None:
            if (done := await run(turn.come())) is not None:
                return guard.value(done)
            held, cancelled = await _whole(run(turn.take()))
            if cancelled is not None:
                if held is not None:  # nothing has run, and nobody else may: that is known, so it is told
                    await _told(guard, held, run(guard.failed(held, cancelled)))
                raise cancelled
        heart = asyncio.create_task(_beat(guard, held, run))
        try:
            try:
                bound = guard.approved(turn.wish, held.execution)
                value = await function(*bound.args, **bound.kwargs)
            except BaseException as fault:
                await _told(guard, held, run(guard.failed(held, fault)))
                raise
            await _told(guard, held, run(guard.succeeded(held, value)))
        finally:
            heart.cancel()
        return value

    return call


@contextmanager
def _beating(guard: Guard, held: Held, run: Callable[[Steps[Any]], Any]) -> Iterator[None]:
    import threading

    over = threading.Event()

    def heart() -> None:
        pause: float | None = held.beat
        while pause is not None and not over.wait(pause):
            pause = run(guard.beat(held))

    thread = threading.Thread(target=heart, name=f"jit_auth heartbeat {held.execution.id}", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()


async def _beat(guard: Guard, held: Held, run: Callable[[Steps[Any]], Awaitable[Any]]) -> None:
    import asyncio

    pause: float | None = held.beat
    while pause is not None:
        await asyncio.sleep(pause)
        pause = await run(guard.beat(held))


def _tell(guard: Guard, held: Held, telling: Steps[None], run: Callable[[Steps[Any]], Any]) -> None:
    """What the function did stands, whether or not it could be told."""
    try:
        run(telling)
    except JitAuthError as fault:
        guard.unheard(held, fault)


async def _told(guard: Guard, held: Held, telling: Awaitable[None]) -> None:
    """As _tell. Raises CancelledError, where the task was cancelled meanwhile, once it is told."""
    try:
        _, cancelled = await _whole(telling)
    except JitAuthError as fault:
        guard.unheard(held, fault)
    else:
        if cancelled is not None:
            raise cancelled


async def _whole(work: Awaitable[T]) -> tuple[T, asyncio.CancelledError | None]:
    """Its value, and whether the task was cancelled meanwhile: what is under way is not left half done."""
    import asyncio

    task = asyncio.ensure_future(work)
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError as again:
            if task.cancelled():
                raise
            cancelled = again
        except Exception:  # it is the task's, and is raised by it below
            break
    return task.result(), cancelled
