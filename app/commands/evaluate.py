"""`depthscope evaluate`: saved weights measured on held-out data, with an estimate before and a bar meanwhile."""

import importlib
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import Progress

from depthscope.store import DepthscopeError

from .output import to_json

__all__ = ["Evaluation", "evaluated_json", "evaluation", "model_function", "show_evaluated", "tokenizer_of"]


def model_function(target: str) -> Callable[[], Any]:
    """The function that 'MODULE:FUNCTION' names; modules are looked for in the working directory too."""
    module, colon, function = target.partition(":")
    if not (module and colon and function):
        raise DepthscopeError(f"expected a model as MODULE:FUNCTION, got {target!r}")
    if (here := str(Path.cwd())) not in sys.path:
        sys.path.insert(0, here)
    try:
        found = getattr(importlib.import_module(module), function)
    except Exception as error:
        raise DepthscopeError(
            f"expected {target!r} to be a function that returns a model, got {type(error).__name__}: {error}"
        ) from error

    def build() -> Any:
        try:
            made = found()
        except Exception as error:
            raise DepthscopeError(
                f"expected {target!r} to return a model, got {type(error).__name__}: {error}"
            ) from error
        return made[0] if isinstance(made, tuple) else made  # as for preflight, a batch may come with it

    return build


def tokenizer_of(checkpoint: Path) -> Callable[[str], list[int]] | None:
    """How a Hugging Face folder turns text into ids; None where it has no tokenizer, and text is read as bytes."""
    if not checkpoint.is_dir() or not any(checkpoint.glob("tokenizer*")):
        return None
    try:
        from transformers import AutoTokenizer

        tokenizer = AutoTokenizer.from_pretrained(checkpoint)
    except ImportError:
        raise DepthscopeError("a tokenizer needs transformers: pip install transformers") from None
    except Exception as error:
        reason = str(error).partition("\n")[0][:200]
        raise DepthscopeError(f"expected a tokenizer in {checkpoint}, got {type(error).__name__}: {reason}") from None
    return lambda text: list(tokenizer(text, verbose=False)["input_ids"])


class Evaluation:
    """Tells what each checkpoint will take, on standard error, and how far it is."""

    def __init__(self, console: Console, bar: Progress) -> None:
        self._console, self._bar, self._task = console, bar, bar.add_task("evaluating", total=None)

    def estimated(self, step: int, left: int, estimate: Any) -> None:
        """A checkpoint begins."""
        rest = f"; {left} checkpoints, about {left * estimate.seconds:.0f} s" if left > 1 else ""
        kinds = ", ".join(f"{name} {forwards:.0f}" for name, forwards in estimate.forwards.items())
        self._console.print(f"step {step}: {estimate}{rest} ({kinds})", markup=False, highlight=False, soft_wrap=True)
        self._bar.reset(self._task, description=f"step {step}", total=estimate.total)

    def advance(self, forwards: float) -> None:
        """So many more forwards are done."""
        self._bar.advance(self._task, forwards)


@contextmanager
def evaluation() -> Iterator[Evaluation]:
    """What shows an evaluation; the bar is gone when it is done, and not there where nobody sees it."""
    err = Console(stderr=True)
    with Progress(console=err, transient=True, disable=not err.is_terminal) as bar:
        yield Evaluation(err, bar)


def evaluated_json(found: Any) -> str:
    """The fields `run`, `steps`, `skipped` and `failed`."""
    return to_json({"run": found.run, "steps": found.steps, "skipped": found.skipped, "failed": found.failed})


def show_evaluated(found: Any, console: Console) -> None:
    """What was measured, in a line or two."""
    steps = ", ".join(map(str, found.steps)) or "none"
    had = f"; the store had {', '.join(map(str, found.skipped))}" if found.skipped else ""
    console.print(f"measured steps {steps} of {found.run}{had}", markup=False, soft_wrap=True)
    for failure in found.failed:
        console.print(f"failed: {failure}", markup=False, soft_wrap=True)
