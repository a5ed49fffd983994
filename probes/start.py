"""Which step an attempt begins with: settled at the latest when its first update comes, because an optimizer's count is
sometimes loaded after `watch()`."""

from torch.optim import Optimizer

from depthscope.store import Event, Scalar

from .distributed import Writer, rank_zeros
from .resume import COUNT, Past, updates_of

__all__ = ["Start"]


class Start:
    """The beginning of one attempt. `past` is what is known of a run that goes on, None for a new one.

    `known`: the step was given or read from the optimizer already.
    """

    def __init__(self, writer: Writer, past: Past | None, *, known: bool) -> None:
        self.writer, self._past, self._known = writer, past, known
        self.settled = known or past is None  # no optimizer can move the beginning any more
        self._done = False

    @property
    def tokens(self) -> int:
        """What the run had seen before its first step."""
        return 0 if self._past is None else self._past.tokens_before(self.writer.from_step)

    def at_update(self, optimizer: Optimizer | None, step: int) -> int:
        """The step whose update is about to happen, which was taken for `step`; called before each of the first step's.

        None stands for an update by hand. May write another attempt's beginning, and what was found out.
        """
        if self._done:
            return step
        counted = 0 if optimizer is None or not optimizer.state else updates_of(optimizer) or 0
        if not self.settled and self._past is not None:
            counted = rank_zeros(counted)
            step = self._moved(counted, step)
        self._finish(counted, step, by_hand=optimizer is None)
        return step

    def _moved(self, counted: int, step: int) -> int:
        assert self._past is not None
        found = self._past.step_after(counted) if counted else step
        if found != step:
            self.writer.begin_at(found)
        return found

    def _finish(self, counted: int, step: int, *, by_hand: bool) -> None:
        self._done = self.settled = True
        past = self._past or Past()
        if self._past is not None and step:
            self.writer.write(Event(step, "resume", f"goes on at step {step}"))
        if not by_hand and past.step_after(counted) != step:
            self.writer.write(Scalar(step, COUNT, counted))
