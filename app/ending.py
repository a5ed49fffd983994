"""How the command ends: its exit status, and one line for what went wrong."""

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import typer

from depthscope.store import DepthscopeError

from .text import plain

__all__ = ["CRITICAL", "INTERRUPTED", "Session", "ending"]

# typer carries its own copy of click, or uses the installed one, depending on its version.
UsageError: Any = typer.BadParameter.__mro__[1]

UNEXPECTED, USAGE_ERROR, CRITICAL, INTERRUPTED = 1, 2, 3, 130


@dataclass
class Session:
    """What must be known of the global options after a command failed."""

    debug: bool = False


def ending(command: Callable[[], Any], session: Session) -> int:
    """Run `command` and return the exit status.

    0, 2 for an error told in one line, 3 for a critical finding, 130 for Ctrl-C, 1 for a fault of ours.
    """
    try:
        status = command()
    except DepthscopeError as error:
        status = fail(str(error))
    except UsageError as error:
        status = fail(error.format_message())
    except (KeyboardInterrupt, typer.Abort):
        status = INTERRUPTED
    except BrokenPipeError:
        # The reader has gone (`depthscope runs | head`): nothing is left to say, not even by Python's flush at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        status = 0
    except Exception as error:
        if session.debug:
            raise
        what = f"unexpected {type(error).__name__}: {error}; run `depthscope --debug ...` to see where"
        status = fail(what, UNEXPECTED)
    return status if isinstance(status, int) else 0


def fail(message: str, status: int = USAGE_ERROR) -> int:
    """Print one line on standard error."""
    print(f"depthscope: {plain(' '.join(message.split()))}", file=sys.stderr)
    return status
