"""Studies whose trials are written down here, for the tests of what is made of them."""

from dataclasses import dataclass, field
from pathlib import Path

import optuna
from optuna.trial import TrialState, create_trial

from sweep.space import Space, read_space

ROOT = Path(__file__).resolve().parents[2]
LR, QUERIES, RESOLUTION = 'optim_wrapper.optimizer.lr', 'model.panoptic_head.num_queries', 'resolution'
SIDES = {'128': (128, 128), '<b>256</b></script>': (256, 256)}
ASKED = {
    LR: dict(type='float', low=3e-5, high=1e-3, log=True),
    QUERIES: dict(type='int', low=10, high=60, step=10),
    RESOLUTION: dict(type='choice', choices={label: {'image_size': side} for label, side in SIDES.items()}),
}
SPACE = {dimension.name: dimension.distribution for dimension in read_space(ASKED, 'drawn_study.py').dimensions}
NASTY = 'trees <script>document.title="run"</script> \x1b[31m'


@dataclass(frozen=True)
class DrawnSweep:
    """What a sweep file says."""

    base: Path = ROOT / 'configs/m2f_trees_demo.py'
    space: Space = read_space(ASKED, 'drawn_study.py')
    objectives: tuple = (('coco/segm_mAP', 'maximize'),)
    options: dict = field(default_factory=lambda: {'train_cfg.max_iters': 600})
    enqueue: tuple = ()
    finalists: int = 2
    final: dict = field(default_factory=dict)


TWO = DrawnSweep(objectives=(('coco/segm_mAP', 'maximize'), ('seconds_per_image', 'minimize')))


def new_study(name='trees', sweep=None, **kwargs):
    directions = [direction for _, direction in (sweep or DrawnSweep()).objectives]
    return optuna.create_study(study_name=name, directions=directions, **kwargs)


def add(
    study, *values, state=TrialState.COMPLETE, lr=2e-4, queries=30, resolution='128', curve=(), limits=None, **said
):
    """Add a trial; returns its number."""
    params = {LR: lr, QUERIES: queries, RESOLUTION: resolution}
    said.setdefault('values', {LR: lr, QUERIES: queries, 'image_size': list(SIDES[resolution])})
    trial = create_trial(
        state=state, values=values or None, params=params, distributions=SPACE, user_attrs=said,
        constraints=limits, intermediate_values=dict(curve),
    )  # fmt: skip
    study.add_trial(trial)
    return study.trials[-1].number


def grown_study(name='trees', **kwargs):
    """Fifteen trials: twelve that ended, two pruned, one out of memory."""
    study = new_study(name, **kwargs)
    for n in range(12):
        lr, queries = 3e-5 * 1.35**n, 10 + 10 * (n % 6)
        top = 0.3 - 0.01 * abs(n - 7) + 0.001 * (n % 6)
        curve = [(75 * i, top * (0.5 + i / 16)) for i in range(1, 9)]
        costs = dict(seconds_per_image=0.1 + queries / 100, memory_mb=900.0 + 10 * queries)
        resolution = list(SIDES)[n % 2]
        add(
            study,
            top,
            lr=lr,
            queries=queries,
            resolution=resolution,
            curve=curve,
            seconds=60.0,
            iterations=600,
            **costs,
        )
    for at in (75, 150):
        add(study, 0.9, state=TrialState.PRUNED, curve=[(at, 0.9)], iterations=at, seconds=5.0)
    add(study, state=TrialState.FAIL, infeasible='out of memory at 60 queries | 3 GB\nasked', retries=1)
    return study
