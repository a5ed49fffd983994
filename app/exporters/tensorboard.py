"""TensorBoard event files: one folder a run, `tensorboard --logdir FOLDER` shows them."""

from collections.abc import Sequence
from pathlib import Path

from depthscope.store import Store

from .series import empty_folder, run_folders, series_rows

__all__ = ["export_tensorboard"]


def export_tensorboard(store: Store, runs: Sequence[str], folder: Path) -> None:
    """Write every number of `runs` as a scalar. Raises DepthscopeError when the folder is in use."""
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.summary.writer.event_file_writer import EventFileWriter

    for run, place in run_folders(empty_folder(folder), list(runs)).items():
        writer = EventFileWriter(str(place))
        for step, wall_time, values in series_rows(store, run):
            scalars = [Summary.Value(tag=tag, simple_value=value) for tag, value in values.items()]
            writer.add_event(Event(wall_time=wall_time, step=step, summary=Summary(value=scalars)))
        writer.close()
