"""`depthscope diagnose --follow`: look again and again beside a training, and tell what is new.

It only reads the store, in a process of its own: nothing of it can slow a training down or stop it.
"""

import json
import time
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from urllib.error import URLError
from urllib.parse import urlsplit

from depthscope.store import DepthscopeError

from ..findings import Finding
from ..text import plain
from .output import jsonable

__all__ = ["BadWebhook", "Look", "Webhook", "follow"]

SECONDS = 5.0
"""From one look to the next."""
BETWEEN_ALERTS = 60.0
"""Seconds from one message to the next; what is found meanwhile goes into one message."""

Findings = Mapping[str, Sequence[Finding]]


class BadWebhook(DepthscopeError):
    """The address is none that a message can be posted to."""


@dataclass(frozen=True)
class Look:
    """What one look at the store gave."""

    findings: Findings
    running: bool
    """Whether any of the runs still trains."""


def follow(
    look: Callable[[], Look | None],
    tell: Callable[[Sequence[Finding]], None],
    webhook: "Webhook | None" = None,
    sleep: Callable[[float], None] = time.sleep,
) -> tuple[Findings, bool]:
    """Look until no run trains any more, or until Ctrl-C; gives the last findings, and whether it was Ctrl-C.

    `look` gives None where there is nothing to see yet. `tell` gets what is new: a finding that was not there, or got
    worse; what is in order is not told.
    """
    told: set[tuple[str, str, str, str]] = set()
    last: Findings = {}
    try:
        while True:
            seen = look()
            if seen is not None:
                last = seen.findings
                new = fresh(last, told)
                if new:
                    tell(new)
                if webhook:
                    webhook.offer(new)
                if not seen.running:
                    break
            sleep(SECONDS)
    except KeyboardInterrupt:
        return last, True
    finally:
        if webhook:
            webhook.close()
    return last, False


def fresh(findings: Findings, told: set[tuple[str, str, str, str]]) -> list[Finding]:
    """The findings that are not in `told` yet, which remembers them; 'ok' is never among them."""
    new = []
    for run, found in findings.items():
        for finding in found:
            key = (run, finding.evidence.stack, finding.name, finding.severity)
            if finding.severity != "ok" and key not in told:
                told.add(key)
                new.append(finding)
    return new


class Webhook:
    """Posts warnings and worse to an address, one message a minute at most; `close` sends what still waits."""

    def __init__(self, url: str, failed: Callable[[str], None], clock: Callable[[], float] = time.monotonic) -> None:
        if urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).hostname:
            raise BadWebhook(f"expected a webhook like https://host/path; got {plain(url)[:40]!r}")
        self._url, self._failed, self._clock = url, failed, clock
        self._waiting: list[Finding] = []
        self._next = clock()

    def offer(self, findings: Sequence[Finding]) -> None:
        """Add findings, and post all that wait if the last message is long enough ago."""
        self._waiting += [finding for finding in findings if finding.severity in ("critical", "warning")]
        if self._waiting and self._clock() >= self._next:
            self._post()

    def close(self) -> None:
        """Post what waits."""
        if self._waiting:
            self._post()

    def _post(self) -> None:
        """A message that could not be delivered is kept for the next one."""
        self._next = self._clock() + BETWEEN_ALERTS
        try:
            post(self._url, message(self._waiting))
            self._waiting = []
        except (URLError, OSError, ValueError) as error:
            # The address may hold a secret: only its host is shown.
            reason = getattr(error, "reason", None) or error
            self._failed(f"cannot reach the webhook at {urlsplit(self._url).hostname}: {plain(reason)}")


def message(findings: Sequence[Finding]) -> bytes:
    """JSON: `text` for people (Slack and Mattermost show it), `findings` with every field."""
    lines = [f"{finding.severity}: {plain(finding.evidence.run)}: {finding.sentence}" for finding in findings]
    body = {"format": 1, "text": "\n".join(lines), "findings": jsonable([asdict(finding) for finding in findings])}
    return json.dumps(body, ensure_ascii=False, allow_nan=False).encode()


def post(url: str, body: bytes) -> None:
    """Raises URLError or OSError."""
    request = urllib.request.Request(url, body, {"Content-Type": "application/json"}, method="POST")
    with urllib.request.urlopen(request, timeout=10):
        pass
