"""Python values -> what a column of the store takes. Names and values come from users: whatever cannot be stored raises
here, row by row, and never spoils the rows beside it."""

import json
import math
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

__all__ = ["COERCE", "text"]

# Above half-way to the next power of two, float32 rounds to infinity.
_FLOAT32_END = float.fromhex("0x1.ffffffp+127")


def text(value: object) -> str:
    """A string that UTF-8 can hold; lone surrogates become '?'."""
    return str(value).encode("utf-8", "replace").decode("utf-8")


def _float64(value: Any) -> float:
    return float(value)


def _float32(value: Any) -> float:
    number = float(value)
    return math.copysign(math.inf, number) if abs(number) >= _FLOAT32_END else number


def _whole(bits: int) -> Callable[[Any], int]:
    def whole(value: Any) -> int:
        number = int(value)
        if not -(1 << bits - 1) <= number < 1 << bits - 1:
            raise OverflowError(f"{number} does not fit {bits} bits")
        return number

    return whole


def _texts(value: Any) -> list[str]:
    return [text(value)] if isinstance(value, str) else [text(item) for item in value]


def _json(value: Any) -> str:
    return json.dumps(_plain(value), allow_nan=False)


def _plain(value: Any) -> Any:
    """JSON has no NaN, no tuples as keys and no objects: they go in as text."""
    if isinstance(value, Mapping):
        return {text(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(item) for item in value]
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float) and math.isfinite(value):
        return value
    return text(value)


def _moment(value: Any) -> datetime:
    if not isinstance(value, datetime):
        raise TypeError(f"expected a datetime, got {type(value).__name__}")
    return value


COERCE: dict[str, Callable[[Any], Any]] = {
    "VARCHAR": text,
    "VARCHAR[]": _texts,
    "JSON": _json,
    "BOOLEAN": bool,
    "INTEGER": _whole(32),
    "BIGINT": _whole(64),
    "FLOAT": _float32,
    "DOUBLE": _float64,
    "TIMESTAMP": _moment,
}
