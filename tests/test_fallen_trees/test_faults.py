"""Every fault of `docs/why_ap_was_zero.md`, planted and run: who names it. And healthy variants: nobody speaks."""

import shutil

import pytest

pytest.importorskip('mmdet')
from mmengine.config import Config  # noqa: E402
from mmengine.registry import init_default_scope  # noqa: E402
from mmengine.runner import Runner  # noqa: E402

import fallen_trees  # noqa: E402, F401
from data_prep.__main__ import main  # noqa: E402
from data_prep.check import check_coco  # noqa: E402
from data_prep.check.codes import Severity  # noqa: E402
from fallen_trees.checks.diagnosis import doctor  # noqa: E402
from fallen_trees.checks.finding import Verdict  # noqa: E402
from fallen_trees.checks.smoke_test.smoke import smoke  # noqa: E402
from fallen_trees.checks.smoke_test.verdict import Answer  # noqa: E402
from fallen_trees.derive.config import REPOSITORY, derive  # noqa: E402
from fallen_trees.errors import DeadRun  # noqa: E402

from .faults import FAULTS  # noqa: E402
from .healthy_variants import HEALTHY  # noqa: E402

PAGE = REPOSITORY / 'docs/why_ap_was_zero.md'
SLOW_CHECKS = ('check_label_shift', 'memory')  # four fifths of the doctor's time
GUARDED = [(fault, rule) for fault in FAULTS for rule in fault.trained if rule.startswith('guard')]
SMOKED = [fault for fault in FAULTS if 'smoke: does not learn' in fault.trained]
TRAINED = ('the demo as it is', 'AdamW at 1e-4', 'cosine schedule', 'half of the tiles without a tree')


@pytest.fixture(scope='module')
def drawn(tmp_path_factory):
    """Three easy scenes in tiles of 128 px, cut as `tools/demo.sh` does: 147 annotations of 36 trunks."""
    folder = tmp_path_factory.mktemp('drawn')
    size = ['--scenes', '3', '--size', '640', '--trees', '10-12', '--difficulty', 'easy', '--seed', '0']
    assert main(['synth', '--out', f'{folder}/scenes', *size]) == 0
    cut = ['--tile-size', '128', '--overlap', '0.25', '--min-visible', '0.1', '--empty-share', '0.1']
    splits = ['--val', 'synth_01', '--test', 'synth_02']
    assert main(['tile', f'{folder}/scenes', '--out', f'{folder}/data', *cut, *splits]) in (0, 1)
    return folder / 'data'


@pytest.fixture
def planted(drawn, tmp_path):
    """Plant in a copy; returns its folder and the demo's config on it, before anything is derived."""

    def plant(change):
        data = tmp_path / 'data'
        data.mkdir()
        (data / 'images').symlink_to(drawn / 'images')
        shutil.copytree(drawn / 'annotations', data / 'annotations')
        init_default_scope('mmdet')
        cfg = Config.fromfile(REPOSITORY / 'configs/m2f_trees_demo.py')
        cfg.data_root = str(data)
        cfg.vis_backends = cfg.visualizer.vis_backends = [dict(type='LocalVisBackend')]
        change(data, cfg)
        return data, cfg

    return plant


@pytest.fixture(params=['quick', pytest.param('full', marks=pytest.mark.slow)])
def examined(request, planted, monkeypatch):
    """Plant; returns (name, message) of what the doctor and `data_prep check` have against it."""

    def examine(change, needs=(), least=Severity.WARNING):
        if request.param == 'quick':
            for name in ('DATA_CHECKS', 'RECIPE_CHECKS'):
                left_out = [
                    check for check in SLOW_CHECKS if check.removeprefix('check_').replace('_', '-') not in needs
                ]
                kept = tuple(check for check in getattr(doctor, name) if check.__name__ not in left_out)
                monkeypatch.setattr(doctor, name, kept)
        data, cfg = planted(change)
        report = check_coco(data)
        diagnosis = doctor.examine(cfg, num_samples=8 if request.param == 'quick' else 32)
        named = [(finding.check, finding.message) for finding in diagnosis.findings if finding.verdict != Verdict.OK]
        return named, [(item.code, item.advice) for item in report.findings if item.severity >= least]

    return examine


@pytest.mark.parametrize('fault', FAULTS, ids=lambda fault: fault.name)
def test_each_fault_is_named_and_nothing_else(examined, fault):
    named, codes = examined(fault.plant, fault.doctor)
    assert {name for name, _ in named} == set(fault.doctor)
    assert {code for code, _ in codes} == set(fault.check)
    if fault.first != 'guard':
        assert any(fault.says in message for _, message in named + codes)


@pytest.mark.parametrize('name', HEALTHY)
def test_healthy_variants_raise_no_alarm(examined, name):
    assert examined(HEALTHY[name], least=Severity.ERROR) == ([], [])


def watched(cfg, work_dir, max_iters, **guard):
    """A short run of a config at 64 px under the guard, derived."""
    cfg.update(image_size=(64, 64), work_dir=str(work_dir), log_level='WARNING')
    cfg.train_dataloader.update(num_workers=0, persistent_workers=False, batch_size=4)
    cfg.train_cfg.update(max_iters=max_iters)
    cfg.update(val_cfg=None, val_dataloader=None, val_evaluator=None)
    cfg.update(test_cfg=None, test_dataloader=None, test_evaluator=None)
    cfg.custom_hooks = [dict(type='GuardHook', **guard)]
    cfg.default_hooks.checkpoint.update(interval=max_iters, save_best=None)
    cfg.visualizer.name = cfg.experiment_name = str(work_dir).replace('/', '_')
    derive(cfg, ('train',))
    return cfg


def said(work_dir):
    """What the guard wrote into the log, once for each rule."""
    lines = [line for log in sorted(work_dir.glob('*/*.log')) for line in log.read_text().splitlines()]
    return [line.partition('guard: ')[2] for line in lines if 'guard: ' in line]


@pytest.mark.parametrize(('fault', 'rule'), GUARDED, ids=lambda item: getattr(item, 'name', item))
def test_the_guard_names_what_started_all_the_same(planted, tmp_path, fault, rule):
    _, cfg = planted(fault.plant)
    cfg.param_scheduler = None
    if rule == 'guard: nothing-moves':  # a loss without noise shows sooner that it stands still
        cfg.train_dataloader.dataset.indices = 4
    rule = rule.removeprefix('guard: ')
    max_iters = 6 if rule == 'too-few-queries' else 40
    run = watched(cfg, tmp_path / 'run', max_iters, interval=2, patience=dict(looks=3, updates=8, samples=8))
    if rule == 'too-few-queries':
        Runner.from_cfg(run).train()
    else:
        with pytest.raises(DeadRun, match=f'guard: {rule}'):
            Runner.from_cfg(run).train()
    assert [line for line in said(tmp_path / 'run') if not line.startswith(f'{rule}:')] == []
    assert said(tmp_path / 'run')


@pytest.mark.parametrize('longer', [False, True])
def test_the_guard_names_a_schedule_that_was_resumed_into_another_run(planted, tmp_path, longer):
    _, cfg = planted(lambda data, cfg: None)
    first = watched(cfg, tmp_path / 'first', 4)
    Runner.from_cfg(first).train()
    cfg = Config.fromfile(REPOSITORY / 'configs/m2f_trees_demo.py')
    cfg.update(data_root=first.data_root, resume=True, load_from=str(tmp_path / 'first/iter_4.pth'))
    cfg.vis_backends = cfg.visualizer.vis_backends = first.vis_backends
    again = watched(cfg, tmp_path / 'again', 8 if longer else 4)
    if not longer:
        again.train_cfg.max_iters = 6  # two iterations more, under the schedule it began with
    Runner.from_cfg(again).train()
    lines = said(tmp_path / 'again')
    assert [line.partition(':')[0] for line in lines] == ['resumed-schedule'] * longer
    assert all('milestones is [3, 4], the config asks for [6, 7]' in line for line in lines)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize('fault', SMOKED, ids=lambda fault: fault.name)
def test_the_smoke_test_says_that_it_does_not_learn(planted, tmp_path, fault):
    _, cfg = planted(fault.plant)
    derive(cfg, ('train',))
    outcome = smoke(cfg, tmp_path / 'smoke', number=6, minutes=25, say=print)
    assert outcome.answer is Answer.DOES_NOT_LEARN, outcome.why


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize('name', TRAINED)
def test_healthy_variants_train_without_a_word_of_the_guard(planted, tmp_path, name):
    _, cfg = planted(HEALTHY[name])
    if name == 'cosine schedule':
        cfg.param_scheduler[-1].update(T_max=560, end=600)
    runner = Runner.from_cfg(watched(cfg, tmp_path / 'run', 600, interval=20))
    runner.train()
    assert runner.iter == 600
    assert said(tmp_path / 'run') == []


def test_the_page_shows_these_rows():
    page = PAGE.read_text()
    for fault in FAULTS:
        assert fault.row() in page
    for name in HEALTHY:
        assert f'- {name}\n' in page
    assert '| resumed with another schedule |' in page
