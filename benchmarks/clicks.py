"""How soon presses in Slack are acknowledged while a hundred come a second, each on another open request.

    python -m benchmarks.clicks [--rate 100] [--seconds 3] [--check]

Starts `jit-auth serve` against the tests' Slack, provider and mail API, which run in this process with the load: on two
cores the figures hold their share too. `--check` exits 1 where an acknowledgement took a second or more, or a press was
lost.
"""

from __future__ import annotations

import argparse
import asyncio
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import aiohttp

from tests.fakes.slack import Answer, Slack
from tests.fakes.slack_api import Message
from tests.integration.service.kit import Kit, kit
from tests.integration.slack.service import BO, RULES, known, table, workspace

LIMITS = "\n[limits]\nasks_per_person_hour = 1000\nopen_per_agent = 10000\n"
USERS = '[users]\nverify = "none"\n'


async def until_ready(made: Kit, process: subprocess.Popen[bytes]) -> None:
    """Wait for the service that was started."""
    async with asyncio.timeout(30):
        while process.poll() is None:
            try:
                async with made.session.get(f"{made.url}/readyz") as reply:
                    if reply.status == 200:
                        return
            except aiohttp.ClientError:
                await asyncio.sleep(0.05)
    raise SystemExit((made.folder / "serve.log").read_text())


async def asked(made: Kit, slack: Slack, count: int) -> list[Message]:
    """So many open requests, each with its message."""
    await made.connected()
    for number in range(count):
        answer = await made.execute("note", params={"text": f"number {number}"})
        assert answer.status == 202, answer.json

    def posted(slack: Slack) -> list[Message] | None:
        found = [message for message in slack.messages if "MEDIUM RISK" in message.text]
        return found if len(found) == count else None

    messages: list[Message] = await slack.until(posted, 300)
    return messages


async def pressed(slack: Slack, url: str, messages: list[Message], rate: int) -> list[Answer]:
    """Press Approve in each of them, `rate` a second."""

    async def press(number: int, message: Message) -> Answer:
        await asyncio.sleep(begun + number / rate - time.perf_counter())
        return await slack.click(message, "approve", BO, url=url)

    begun = time.perf_counter()
    return await asyncio.gather(*(press(number, message) for number, message in enumerate(messages)))


async def measure(rate: int, seconds: int) -> tuple[list[float], float, float]:
    """The acknowledgements' times, the seconds that all presses took to be sent, and until all calls had been made."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        async with (
            workspace().running() as slack,
            kit(folder, policies=RULES, config=table(slack) + LIMITS, users=USERS) as made,
        ):
            known(made)
            with (folder / "serve.log").open("w") as log:
                command = [sys.executable, "-m", "jit_auth", "serve", "-c", str(folder / "config.toml")]
                process = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log)  # noqa: ASYNC220 - once, before anything is timed
            try:
                await until_ready(made, process)
                messages = await asked(made, slack, rate * seconds)
                before, begun = len(made.mail.messages), time.perf_counter()
                answers = await pressed(slack, f"{made.url}/slack/interactions", messages, rate)
                sent = time.perf_counter() - begun
                bad = [answer for answer in answers if answer.trouble]
                assert not bad, f"{len(bad)} presses were not taken: {bad[0]}"
                async with asyncio.timeout(120):
                    while len(made.mail.messages) - before < len(messages):  # noqa: ASYNC110 - the fake API wakes nobody
                        await asyncio.sleep(0.02)
                return [answer.seconds for answer in answers], sent, time.perf_counter() - begun
            finally:
                process.terminate()
                process.wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--rate", type=int, default=100)
    parser.add_argument("--seconds", type=int, default=3)
    parser.add_argument("--check", action="store_true")
    options = parser.parse_args()
    times, sent, done = asyncio.run(measure(options.rate, options.seconds))
    ordered = sorted(times)
    print("| presses | sent within | acknowledged: median | 99 % | longest | all calls made after |")
    print("|---|---|---|---|---|---|")
    middle, most = ordered[len(ordered) // 2] * 1000, ordered[int(len(ordered) * 0.99)] * 1000
    longest = ordered[-1] * 1000
    print(f"| {len(times)} | {sent:.2f} s | {middle:.1f} ms | {most:.1f} ms | {longest:.1f} ms | {done:.1f} s |")
    if options.check and ordered[-1] >= 1:
        raise SystemExit("an acknowledgement took a second or more")


if __name__ == "__main__":
    main()
