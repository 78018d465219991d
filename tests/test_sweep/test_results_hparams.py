"""HParams as TensorBoard itself reads them, and the study as optuna-dashboard serves it."""

import json
import subprocess
import sys

import pytest

from sweep.results import write_results
from sweep.results.hparams import FILE

from .drawn_study import LR, QUERIES, RESOLUTION, SPACE, DrawnSweep, grown_study

event_accumulator = pytest.importorskip('tensorboard.backend.event_processing.event_accumulator')


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp('sweep')
    write_results(grown_study(), DrawnSweep(), folder)
    return folder


def test_curve_and_figures_are_scalars(folder):
    events = event_accumulator.EventAccumulator(str(folder / 'tensorboard/trial_0007')).Reload()
    study = grown_study()
    assert [(e.step, pytest.approx(e.value)) for e in events.Scalars('curve/coco/segm_mAP')] == list(
        study.trials[7].intermediate_values.items()
    )
    assert events.Scalars('coco/segm_mAP')[0].value == pytest.approx(study.best_value)
    assert events.Scalars('memory_mb')[0].value == 1100


def test_the_plugin_lists_every_trial_with_its_values(folder):
    from tensorboard.backend.event_processing import data_provider, plugin_event_multiplexer
    from tensorboard.context import RequestContext
    from tensorboard.plugins import base_plugin
    from tensorboard.plugins.hparams import api_pb2, backend_context, get_experiment, list_session_groups

    multiplexer = plugin_event_multiplexer.EventMultiplexer().AddRunsFromDirectory(str(folder / 'tensorboard')).Reload()
    provider = data_provider.MultiplexerDataProvider(multiplexer, str(folder))
    backend = backend_context.Context(base_plugin.TBContext(data_provider=provider))
    metadata = backend.hparams_metadata(RequestContext(), '')
    asked = api_pb2.GetExperimentRequest(include_metrics=True)
    experiment = get_experiment.Handler(RequestContext(), backend, '', asked).run()
    assert {info.name for info in experiment.hparam_infos} == set(SPACE)
    assert 'coco/segm_mAP' in {info.name.tag for info in experiment.metric_infos}
    request = api_pb2.ListSessionGroupsRequest(
        start_index=0, slice_size=100, allowed_statuses=list(api_pb2.Status.values())
    )
    groups = list_session_groups.Handler(RequestContext(), backend, '', request).run().session_groups
    assert len(groups) == 15
    assert len(metadata) >= 15
    by_name = {group.name: group for group in groups}
    seventh = by_name['trial_0007']
    values = {name: getattr(value, value.WhichOneof('kind')) for name, value in seventh.hparams.items()}
    assert values == grown_study().trials[7].params
    assert seventh.sessions[0].status == api_pb2.STATUS_SUCCESS
    assert by_name['trial_0014'].sessions[0].status == api_pb2.STATUS_FAILURE


def test_what_has_not_changed_is_left_alone(folder):
    path = folder / 'tensorboard/trial_0003' / FILE
    before = path.stat().st_ino
    write_results(grown_study(), DrawnSweep(), folder)
    assert path.stat().st_ino == before


def test_torch_is_not_imported():
    code = 'import sys, sweep.results; print([m for m in ("torch", "tensorflow", "mmengine") if m in sys.modules])'
    found = subprocess.run(
        [sys.executable, '-c', code],
        capture_output=True,
        text=True,
        check=True,
        env=dict(PYTHONPATH=':'.join(sys.path)),
    )
    assert found.stdout.strip() == '[]'


def test_the_dashboard_opens_the_study(tmp_path):
    dashboard = pytest.importorskip('optuna_dashboard', reason='optuna-dashboard is not installed')
    url = f'sqlite:///{tmp_path / "study.db"}'
    grown_study(storage=url)
    app = dashboard.wsgi(url)
    (listed,) = _get(app, '/api/studies')['study_summaries']
    assert listed['study_name'] == 'trees'
    detail = _get(app, f'/api/studies/{listed["study_id"]}')
    assert len(detail['trials']) == 15
    assert {item['name'] for item in detail['union_search_space']} == {LR, QUERIES, RESOLUTION}


def _get(app, path):
    """Answer of a WSGI application."""
    from wsgiref.util import setup_testing_defaults

    request, answer = {'PATH_INFO': path}, {}
    setup_testing_defaults(request)
    body = b''.join(app(request, lambda status, headers, *_: answer.update(status=status)))
    assert answer['status'].startswith('200')
    return json.loads(body)
