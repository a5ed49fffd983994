"""`depthscope run`: attach to the model that an unedited script trains.

The model is looked for when a module is about to run in training mode and an optimizer has been made since the last
look, so that the probe is there before the first training forward, as if the script had called `watch` itself.
"""

import os
import runpy
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import nn
from torch.optim import Optimizer

from depthscope.store import DepthscopeError

from .find_model import find_model, unwrapped
from .probe import Probe, is_watched
from .watch import watch

__all__ = ["run_script"]


def run_script(
    script: str,
    arguments: Sequence[str] = (),
    *,
    as_module: bool = False,
    model: str | None = None,
    store: str | Path | None = None,
    every: int = 10,
) -> int:
    """Run a script (or, as `python -m` does, a module) with a probe on the model it trains; returns its exit status.

    model: a class, a name in the script, or a part's name, where the largest trained model is not the one meant. Under
    torchrun every rank runs this. Raises DepthscopeError when there is no such script or model.
    """
    if not as_module and not Path(script).is_file():
        raise DepthscopeError(f"expected a Python script, found no file {script!r}; modules are run with -m")
    start = Path.cwd() if as_module else Path(script).resolve().parent
    sys.argv, sys.path[0] = [script, *arguments], str(start)
    launch = _Launch(script, arguments, model, store, every)
    with launch.looking():
        status, ended = _status(launch, lambda: _start(script, as_module))
    if launch.probe is not None:
        launch.probe.close(ended)
    elif not launch.elsewhere:
        print("depthscope: nothing was recorded: no torch optimizer trained a module in this script", file=sys.stderr)
    return status


def _start(script: str, as_module: bool) -> None:
    if as_module:
        runpy.run_module(script, run_name="__main__", alter_sys=True)
    else:
        runpy.run_path(script, run_name="__main__")


def _status(launch: "_Launch", start: Callable[[], None]) -> tuple[int, str]:
    """The exit status of `start`, and how the run ended; a script's own exception is shown as Python shows it."""
    try:
        start()
    except SystemExit as leaving:
        status = _exit_status(leaving)
        return status, "failed" if status else "finished"
    except KeyboardInterrupt:
        return 130, "interrupted"
    except BaseException as error:
        if error is launch.refused:
            raise
        traceback.print_exc()
        return 1, "failed"
    return 0, "finished"


def _exit_status(leaving: SystemExit) -> int:
    if leaving.code is None or isinstance(leaving.code, int):
        return leaving.code or 0
    print(leaving.code, file=sys.stderr)
    return 1


class _Launch:
    """Waits for the model, then watches it."""

    def __init__(
        self, script: str, arguments: Sequence[str], model: str | None, store: str | Path | None, every: int
    ) -> None:
        self._named, self._store, self._every = model, store, every
        self._config = {"script": script, "arguments": list(arguments)}
        self._made = False  # an optimizer was made that nobody has looked at yet
        self.probe: Probe | None = None
        self.refused: DepthscopeError | None = None
        self.elsewhere = False  # the script watches by itself, or another rank does

    @contextmanager
    def looking(self) -> Iterator[None]:
        """Inside, new optimizers and calls of modules are noticed, until the model is found."""
        made, called = Optimizer.__init__, nn.Module.__call__

        def init(optimizer: Optimizer, *args: Any, **kwargs: Any) -> None:
            made(optimizer, *args, **kwargs)
            self._made = True

        def call(module: nn.Module, *args: Any, **kwargs: Any) -> Any:
            if self._made and not torch.compiler.is_compiling() and module.training and torch.is_grad_enabled():
                self._look(module, args, kwargs)
                if self.probe is not None or self.elsewhere:
                    nn.Module.__call__ = called  # type: ignore[method-assign]
            return called(module, *args, **kwargs)

        Optimizer.__init__, nn.Module.__call__ = init, call  # type: ignore[method-assign, assignment]
        try:
            yield
        finally:
            Optimizer.__init__, nn.Module.__call__ = made, called  # type: ignore[method-assign]

    def _look(self, running: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self._made = False
        try:
            model = find_model(self._named, vars(sys.modules["__main__"]), running)
            if model is None:
                return
            self.elsewhere = is_watched(model) or (_other_rank() and not dist.is_initialized())
            if not self.elsewhere:
                self.probe = watch(model, store=self._store, every=self._every, config=self._config)
                if unwrapped(running) is model:  # inside a compiled graph nobody sees what a forward is given
                    self.probe.attach(args, kwargs)
        except DepthscopeError as error:
            self.refused = error
            raise


def _other_rank() -> bool:
    """Whether torchrun started this process beside the one that records."""
    return os.environ.get("RANK", "0") != "0"
