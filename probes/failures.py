"""What goes wrong inside a probe stays inside: one warning, one event, and training goes on."""

import warnings
from collections.abc import Callable
from typing import Any

__all__ = ["Failures"]


class Failures:
    """Remembers which parts failed; each is reported once and left out from then on."""

    def __init__(self, report: Callable[[str], None]) -> None:
        self._report, self._failed = report, set[str]()

    def add(self, part: str, error: Exception) -> None:
        """Report that `part` raised `error`. Never raises, not even where warnings are errors."""
        if part in self._failed:
            return
        self._failed.add(part)
        reason = str(error).partition("\n")[0][:200]
        text = f"depthscope: {part} failed and is left out from here on ({type(error).__name__}: {reason})"
        try:
            self._report(text)
            warnings.warn(text, RuntimeWarning, stacklevel=3)
        except Exception:
            return

    def reported(self, part: str, function: Callable[..., Any], *args: Any) -> Any:
        """As `safely`, for what must go on: a failure is reported once, and the next call is made all the same."""
        try:
            return function(*args)
        except Exception as error:
            self.add(part, error)
            return None

    def safely(self, part: str, function: Callable[..., Any], *args: Any) -> Any:
        """`function(*args)`, or None when it raises or when `part` failed before."""
        if part in self._failed:
            return None
        try:
            return function(*args)
        except Exception as error:
            self.add(part, error)
            return None
