"""The trials as TensorBoard's HParams: one run for each trial with its values, its curve and its figures.

Written with TensorBoard's own records, as its plugin defines them (`tensorboard/plugins/hparams/api.proto`), without
torch or TensorFlow. Show them with `tensorboard --logdir FOLDER/tensorboard`.
"""

import io
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.plugins.hparams import metadata
from tensorboard.plugins.hparams.api_pb2 import Status
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData, SessionEndInfo
from tensorboard.plugins.hparams.summary_v2 import HParam, Metric, hparams_config_pb, hparams_pb
from tensorboard.summary.writer.record_writer import RecordWriter

from data_prep.atomic import atomic_write
from sweep.results.rows import Row, SweepFacts, param_names

FILE = 'events.out.tfevents.0.sweep'
STATUS = {'done': Status.STATUS_SUCCESS, 'pruned': Status.STATUS_SUCCESS}
COSTS = ('seconds', 'seconds_per_image', 'memory_mb')


def write_hparams(rows: Sequence[Row], sweep_file: SweepFacts, folder: Path) -> None:
    """Write `folder`/trial_NNNN for each trial that was trained, and what they have in common into `folder` itself.

    Files that would be the same are left alone, so that a TensorBoard that reads them goes on.
    """
    objectives = [name for name, _ in sweep_file.objectives]
    names = param_names(rows)
    metrics = [Metric(name) for name in (*objectives, *COSTS)]
    shared = hparams_config_pb(hparams=[HParam(name) for name in names], metrics=metrics, time_created_secs=0)
    _write(folder, [Event(wall_time=0, summary=shared)])
    for row in rows:
        if row.state not in ('running', 'waiting', 'skipped'):
            _write(folder / f'trial_{row.number:04d}', _events(row, objectives))


def _events(row: Row, objectives: Sequence[str]) -> list[Event]:
    """Values, the curve of the first objective, the figures at its end, and how it ended."""
    start = hparams_pb(_plain(row.params), trial_id=f'trial_{row.number:04d}', start_time_secs=0)
    end = _end(STATUS.get(row.state, Status.STATUS_FAILURE), row.seconds or 0)
    last = max([row.iterations or 0, *(step for step, _ in row.curve)]) + 1
    figures = dict(zip(objectives, row.figures, strict=True)) | {name: getattr(row, name) for name in COSTS}
    points = [(step, f'curve/{objectives[0]}', value) for step, value in row.curve]
    points += [(last, name, value) for name, value in figures.items() if value is not None]
    scalars = [
        Event(wall_time=step, step=step, summary=Summary(value=[Summary.Value(tag=tag, simple_value=value)]))
        for step, tag, value in points
    ]
    return [Event(wall_time=0, summary=start), *scalars, Event(wall_time=last, step=last, summary=end)]


def _end(status: int, seconds: float) -> Summary:
    """As `tensorboard.plugins.hparams.summary.session_end_pb`, whose module cannot be imported without TensorFlow."""
    ended = HParamsPluginData(session_end_info=SessionEndInfo(status=status, end_time_secs=seconds))
    said = metadata.create_summary_metadata(ended)
    return Summary(value=[Summary.Value(tag=metadata.SESSION_END_INFO_TAG, metadata=said, tensor=metadata.NULL_TENSOR)])


def _plain(params: Mapping[str, object]) -> dict[str, object]:
    """Numbers, truth values and texts, which are all that the plugin knows."""
    return {
        name: value if isinstance(value, bool | int | float | str) else str(value) for name, value in params.items()
    }


def _write(folder: Path, events: Iterable[Event]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with io.BytesIO() as records:
        writer = RecordWriter(records)
        for event in [Event(wall_time=0, file_version='brain.Event:2'), *events]:
            writer.write(event.SerializeToString(deterministic=True))
        content = records.getvalue()
    path = folder / FILE
    if not path.is_file() or path.read_bytes() != content:
        with atomic_write(path, 'wb') as file:
            file.write(content)
