"""How many training steps does a sweep need? Random search, TPE, and TPE with each pruner, on curves that are replayed.

    python tools/benchmark/sweep.py                         # drawn curves: formulas, no measurement
    python tools/benchmark/sweep.py --curves curves.json    # those and recorded ones; learning_curves.py records
    python tools/benchmark/sweep.py --quick

Every arm may spend the steps of `--trials` whole runs, one trial after another, with the room's samplers and the
defaults of its pruners. A pruned run costs what it ran. The best figure found so far is the highest at any validation
of a run that went to its full length; regret is the highest that there is, without noise, minus that, so luck may make
it negative. `regret_true` takes the incumbent's curve without noise instead. Means over `--seeds` sweeps.

`steps_pruned_vs_tpe`: steps that TPE with successive halving needs to come down to the regret that TPE alone has at the
end of its budget, divided by the steps after which TPE alone first had it. The JSON says the same of the other arms,
with a 95 % interval by resampling the seeds. Beside `steps`, `steps_at_half` is for the regret at half the budget.
"""

import argparse
import json
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
# This file is called as the room is, so its folder comes last.
sys.path[:] = [str(HERE.parents[1] / 'projects/sweep'), *(path for path in sys.path if path != str(HERE)), str(HERE)]

import numpy as np
import optuna
from learning_curves import DrawnCurves, RecordedCurves, suggest

from sweep.pruners import make_pruner

ARMS = {
    'random': ('random', 'none', {}),
    'tpe': ('tpe', 'none', {}),
    'tpe_median': ('tpe', 'median', {}),
    'tpe_sha': ('tpe', 'sha', {}),
    'tpe_hyperband': ('tpe', 'hyperband', {}),
    'tpe_sha_early': ('tpe', 'sha', {'reduction_factor': 3, 'min_resource': 0}),  # share of the run's length
}
SAMPLERS = {'random': optuna.samplers.RandomSampler, 'tpe': optuna.samplers.TPESampler}
MOST_TRIALS = 20  # times the whole runs of the budget, as all of an arm may be pruned at once


def main() -> None:
    """Replay, print a table for each kind of curves, then one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--quick', action='store_true', help='4 seeds, 20 trials')
    parser.add_argument('--curves', type=Path, help='recorded curves')
    parser.add_argument('--seeds', type=int, default=20)
    parser.add_argument('--trials', type=int, default=40, help='whole runs whose steps each arm may spend')
    args = parser.parse_args()
    if args.quick:
        args.seeds, args.trials = 4, 20
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    kinds: dict[str, DrawnCurves] = {'drawn': DrawnCurves(0.1), 'drawn_crossing': DrawnCurves(1.0)}
    if args.curves:
        kinds['recorded'] = RecordedCurves(args.curves)
    found = {kind: compare(curves, args.seeds, args.trials) for kind, curves in kinds.items()}
    first = found.get('recorded', found['drawn'])
    print(
        json.dumps(
            dict(
                steps_pruned_vs_tpe=first['steps']['tpe_sha'][0],
                curves='recorded' if args.curves else 'drawn by a formula, not measured',
                seeds=args.seeds,
                trials=args.trials,
                **found,
            )
        )
    )


def compare(curves: DrawnCurves, seeds: int, trials: int) -> dict[str, object]:
    """Regret of all arms and the steps they need beside TPE."""
    best = curves.best()
    grid = np.linspace(0, 1, trials * len(curves.steps) + 1)[1:]
    regret, true, counts = {}, {}, {}
    for arm, (sampler, pruner, kwargs) in ARMS.items():
        sweeps = [replay(curves, sampler, pruner, kwargs, seed, trials) for seed in range(seeds)]
        regret[arm] = np.array([best - at(grid, found, 1) for found, _ in sweeps])
        true[arm] = np.array([best - at(grid, found, 2) for found, _ in sweeps])
        counts[arm] = round(float(np.mean([count for _, count in sweeps])), 1)
    print(f'{curves.name}; best {best:.3f}')
    print(f'{"regret after":16}' + ''.join(f'{share:>9.0%}' for share in (0.25, 0.5, 0.75, 1)) + '   trials')
    for arm, rows in regret.items():
        marks = [rows.mean(0)[int(share * len(grid)) - 1] for share in (0.25, 0.5, 0.75, 1)]
        print(f'{arm:16}' + ''.join(f'{mark:9.4f}' for mark in marks) + f'{counts[arm]:9}', flush=True)
    result = dict(best=round(float(best), 4), trials=counts)
    for name, rows in (('regret', regret), ('regret_true', true)):
        result[name] = {arm: round(float(found.mean(0)[-1]), 5) for arm, found in rows.items()}
    for name, share in (('steps', 1.0), ('steps_at_half', 0.5)):
        result[name] = {arm: with_interval(regret[arm], regret['tpe'], share) for arm in regret if arm != 'tpe'}
        print(f'{name}: ' + '   '.join(f'{arm} {say(*ratio)}' for arm, ratio in result[name].items()))
    return result


def replay(
    curves: DrawnCurves, sampler: str, pruner: str, kwargs: dict, seed: int, trials: int
) -> tuple[list[tuple[float, float, float]], int]:
    """One sweep.

    Returns:
        In order, share of the budget after which a better figure was found, that figure, and the highest of the same
        trial's curve without noise; and the number of trials.
    """
    first, last = curves.steps[0], curves.steps[-1]
    if 'min_resource' in kwargs:
        kwargs = {
            **kwargs,
            'min_resource': next(step for step in curves.steps if step >= kwargs['min_resource'] * last),
        }
    study = optuna.create_study(
        direction='maximize', sampler=SAMPLERS[sampler](seed=seed), pruner=make_pruner(pruner, kwargs, first, last)
    )
    spent, budget, record, found = 0, trials * last, -np.inf, []
    for number in range(MOST_TRIALS * trials):
        trial = study.ask()
        values = suggest(trial, curves.space)
        shown = curves.run(values, np.random.default_rng([seed, number]))
        end = train(trial, curves.steps, shown)
        spent += end
        if spent > budget:
            break
        whole = end == last
        study.tell(trial, shown.max() if whole else None, None if whole else optuna.trial.TrialState.PRUNED)
        if whole and shown.max() > record:
            record = shown.max()
            found.append((spent / budget, float(record), float(curves.mean(values).max())))
    return found, number


def train(trial: optuna.Trial, steps: tuple[int, ...], shown: np.ndarray) -> int:
    """Report as the room's worker does; returns the step at which the trial ended."""
    for step, figure in zip(steps, shown, strict=True):
        trial.report(float(figure), step)
        if step < steps[-1] and trial.should_prune():
            return step
    return steps[-1]


def at(grid: np.ndarray, found: list[tuple[float, float, float]], column: int) -> np.ndarray:
    """A figure of the incumbent at shares of the budget; 0 while there is none."""
    place = np.searchsorted([row[0] for row in found], grid + 1e-9, side='right')
    return np.array([0.0, *(row[column] for row in found)])[place]


def with_interval(arm: np.ndarray, tpe: np.ndarray, share: float) -> list[float | None]:
    """Ratio of steps, and its 95 % interval over resampled seeds; None where the arm never comes there."""
    rng, count = np.random.default_rng(0), len(arm)
    drawn = [rng.integers(0, count, count) for _ in range(1000)]
    ratios = [ratio(arm[rows].mean(0), tpe[rows].mean(0), share) for rows in (np.arange(count), *drawn)]
    low, high = np.quantile(ratios[1:], (0.025, 0.975), method='nearest')
    return [None if np.isinf(value) else round(float(value), 3) for value in (ratios[0], low, high)]


def ratio(arm: np.ndarray, tpe: np.ndarray, share: float) -> float:
    """Steps to the regret that TPE has after a share of its budget, beside those that TPE needed; inf if never."""
    target = tpe[int(share * len(tpe)) - 1] + 1e-9
    reached = np.flatnonzero(arm <= target)
    return (reached[0] + 1) / (np.flatnonzero(tpe <= target)[0] + 1) if len(reached) else np.inf


def say(value: float | None, low: float | None, high: float | None) -> str:
    """A ratio in words."""
    return ' '.join('never' if x is None else f'{x:.2f}' for x in (value,)) + f' ({low or "never"}-{high or "never"})'


if __name__ == '__main__':
    main()
