"""The logs of a training as TensorBoard events: `tensorboard --logdir results/<suite>/adapters`."""

from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.summary.writer.event_file_writer import EventFileWriter

Row = tuple[float, ...]


def write_events(
    folder: Path,
    log_columns: Sequence[str],
    log: Sequence[Row],
    validation_columns: Sequence[str],
    validation: Sequence[Row],
) -> None:
    """Write one events file: a curve per column, over steps for the log and over epochs for the withheld clips.

    The first column of each table counts from 1. The file is written from the whole log, so that an interrupted and
    resumed training leaves one curve.
    """
    with closing(EventFileWriter(str(folder))) as writer:
        _add_curves(writer, "train", log_columns, log)
        _add_curves(writer, "withheld", validation_columns, validation)


def _add_curves(writer: EventFileWriter, part: str, columns: Sequence[str], rows: Sequence[Row]) -> None:
    for step, *values in rows:
        named = zip(columns[1:], values, strict=True)
        curves = [Summary.Value(tag=f"{part}/{name}", simple_value=value) for name, value in named]
        # The time of a step was not kept: steps alone place it.
        writer.add_event(Event(step=int(step), summary=Summary(value=curves)))
