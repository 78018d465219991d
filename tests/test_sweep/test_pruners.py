"""Where the default pruner looks, and whom it lets go on."""

import optuna
import pytest

from sweep.pruners import make_pruner

STEPS = range(100, 801, 100)


@pytest.fixture
def ended():
    """Ends of trials, whose figure is `height` at every step, one after the other under a pruner."""

    def end(pruner, heights):
        study = optuna.create_study(direction='maximize', pruner=pruner)
        return [train(study.ask(), height) for height in heights]

    def train(trial, height):
        for step in STEPS:
            trial.report(height, step)
            if step < STEPS[-1] and trial.should_prune():
                trial.study.tell(trial, state=optuna.trial.TrialState.PRUNED)
                return step
        trial.study.tell(trial, height)
        return STEPS[-1]

    return end


def test_one_of_two_goes_on_after_three_eighths_and_three_quarters(ended):
    ends = ended(make_pruner('sha', {}, 100, 800), [0.5, 0.4, 0.6, 0.3, 0.7, 0.45, 0.58, 0.2])
    assert ends == [800, 300, 800, 300, 800, 300, 600, 300]


def test_the_first_rung_is_no_sooner_than_the_first_validation(ended):
    assert ended(make_pruner('sha', {}, 500, 800), [0.5, 0.4]) == [800, 500]


def test_arguments_go_before_the_defaults(ended):
    assert ended(make_pruner('sha', {'min_resource': 100}, 100, 800), [0.5, 0.4]) == [800, 100]
