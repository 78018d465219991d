"""What is a share of the run becomes iterations when the run is known; averages forget as fast as they should."""

import math

import pytest
import torch
from mmdet.registry import MODELS
from mmengine.config import ConfigDict
from torch import nn

from fallen_trees.checks.finding import Verdict, worst
from fallen_trees.checks.recipe.lr_curve import lr_curve
from fallen_trees.checks.recipe.run_length import run_length
from fallen_trees.checks.recipe.schedule import lr_schedule
from fallen_trees.checks.subject import Subject
from fallen_trees.derive.config import derive
from fallen_trees.errors import ConfigError

AVERAGE = dict(type='EMAHook', ema_type='MomentumAnnealingEMA', momentum=None, gamma=None)
WARM_UP = dict(type='LinearLR', start_factor=0.001, by_epoch=False, begin=0, end=None)
POLY = dict(type='PolyLR', power=0.9, eta_min=0.0, by_epoch=False, begin=None, end=None)


@pytest.mark.parametrize(('max_iters', 'accumulative_counts'), [(200, 1), (2000, 4)])
def test_poly_falls_from_the_end_of_the_warm_up_to_that_of_the_run(demo_config, max_iters, accumulative_counts):
    demo_config.train_cfg.max_iters = max_iters
    demo_config.optim_wrapper.accumulative_counts = accumulative_counts
    demo_config.param_scheduler = [ConfigDict(WARM_UP), ConfigDict(POLY)]
    derive(demo_config, ('train',))
    warm_up, poly = demo_config.param_scheduler
    assert (poly.begin, poly.end) == (warm_up.end, max_iters)
    assert warm_up.end == min(40 * accumulative_counts, max_iters // 10)
    subject, base = Subject(demo_config), demo_config.optim_wrapper.optimizer.lr
    curve = lr_curve(demo_config, run_length(subject))
    assert curve.argmax() in (warm_up.end - 1, warm_up.end) and curve.max() == pytest.approx(base)
    middle = (warm_up.end + max_iters) // 2
    assert curve[middle] == pytest.approx(base * 0.5**0.9, rel=0.02)
    assert curve[-1] < 0.03 * base
    assert worst(list(lr_schedule(subject))) == Verdict.OK


def test_steps_at_60_and_90_percent(demo_config):
    demo_config.lr_milestones = (0.6, 0.9)
    derive(demo_config, ('train',))
    assert demo_config.param_scheduler[1].milestones == [1380, 2070]
    assert demo_config.param_scheduler[1].begin == 0


def test_the_end_of_poly_wants_a_run_that_counts_iterations(demo_config):
    demo_config.train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=2)
    demo_config.param_scheduler = [ConfigDict(POLY)]
    with pytest.raises(ConfigError, match='the end of PolyLR follows'):
        derive(demo_config, ('train',))


@pytest.mark.parametrize('max_iters', [400, 4000])
@pytest.mark.parametrize('share', [0.05, 0.2])
def test_an_average_forgets_within_its_share_of_the_run(demo_config, max_iters, share):
    """Weights that grow by 1 with each iteration: their average lags behind by the horizon."""
    demo_config.custom_hooks = [ConfigDict(AVERAGE)]
    demo_config.ema_horizon, demo_config.train_cfg.max_iters = share, max_iters
    derive(demo_config, ('train',))
    hook = demo_config.custom_hooks[0]
    assert hook.momentum == pytest.approx(1 / (share * max_iters))
    model = nn.Linear(1, 1, bias=False)
    average = MODELS.build(dict(type=hook.ema_type, model=model, momentum=hook.momentum, gamma=hook.gamma))
    lags = {}
    with torch.no_grad():
        for iteration in range(max_iters):
            model.weight.fill_(float(iteration))
            average.update_parameters(model)
            lags[iteration + 1] = iteration - average.module.weight.item()
    assert lags[max_iters] == pytest.approx(share * max_iters, rel=0.1)
    # No part of the run is averaged over longer than that share of it: the start, which is noise, is soon forgotten.
    assert all(lag < 1.1 * share * number + 1 for number, lag in lags.items())


def test_an_average_of_a_twentieth_of_the_run_and_stated_values_stay(demo_config):
    stated = dict(AVERAGE, momentum=0.25, gamma=7)
    demo_config.custom_hooks = [ConfigDict(stated), ConfigDict(AVERAGE)]
    derive(demo_config, ('train',))
    first, second = demo_config.custom_hooks
    assert (first.momentum, first.gamma) == (0.25, 7)
    assert second.gamma == 19 and math.isclose(second.momentum, 1 / 115)


def test_an_average_over_a_share_wants_a_run_that_counts_iterations(demo_config):
    demo_config.custom_hooks = [ConfigDict(AVERAGE)]
    demo_config.train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=2)
    demo_config.param_scheduler = None
    with pytest.raises(ConfigError, match='EMAHook follows'):
        derive(demo_config, ('train',))
