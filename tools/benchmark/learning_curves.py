"""Learning curves for sweep.py: drawn from a formula, or recorded from trainings.

    python tools/benchmark/learning_curves.py --record FOLDER ... --out curves.json

gathers all runs below folders of sweeps and ablations: each has its config beside it or in it, and its figures in
`*/vis_data/scalars.json`. The file holds `objective` and `runs`, each `{"values": {key: value}, "curve": [[iteration,
figure], ...], "place": folder}`; keys are those in which the configs differ, seeds and places aside. It is to be looked
at before it is used: `runs` of different data do not belong into one file.
"""

import argparse
import itertools
import json
import math
import statistics
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / 'projects/sweep'))

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

Values = Mapping[str, object]
SILENT = ('work_dir', 'randomness', 'default_hooks', 'vis_backends', 'visualizer', 'log_', 'env_cfg', 'resume')


class DrawnCurves:
    """Curves by a formula: no measurement.

    ceiling * (1 - exp(-(t / tau)^1.5)), whose shape is that of one run of the demo (0.136, 0.266, 0.303, 0.318 after
    the quarters of its length). A low rate is slow; a high one ends lower, and is faster as far as `crossing` allows,
    so that curves cross. More queries and pixels end higher, pixels rise slower. A run has a speed and an offset of
    its own, validations have noise.

    Args:
        crossing: Decades above the best rate up to which a higher one still rises faster.
    """

    space: Mapping[str, BaseDistribution] = {
        'lr': FloatDistribution(1e-4, 5e-3, log=True),
        'queries': IntDistribution(10, 60, step=5),
        'resolution': CategoricalDistribution([96, 128, 160]),
    }
    steps = tuple(range(300, 2401, 300))
    speed_noise, run_noise, validation_noise = 0.1, 0.006, 0.004

    def __init__(self, crossing: float) -> None:
        self.crossing = crossing
        self.name = f'drawn curves, crossing {crossing}'

    def mean(self, values: Values, slower: float = 1.0) -> np.ndarray:
        """The curve without noise, a figure for each of `steps`."""
        finer, rate = (values['resolution'] - 128) / 32, math.log10(values['lr'] / 8e-4)
        tau = 0.367 * self.steps[-1] * 10 ** (-0.5 * min(rate, self.crossing)) * (1 + 0.1 * finer) * slower
        ceiling = 0.32 - 0.16 * max(rate, 0) ** 2 + 0.015 * finer - 0.03 * math.exp((10 - values['queries']) / 15)
        return ceiling * (1 - np.exp(-((np.array(self.steps) / tau) ** 1.5)))

    def best(self) -> float:
        """The highest figure there is."""
        cells = itertools.product(np.geomspace(1e-4, 5e-3, 200), range(10, 61, 5), (96, 128, 160))
        return max(self.mean(dict(zip(self.space, cell, strict=True))).max() for cell in cells)

    def run(self, values: Values, rng: np.random.Generator) -> np.ndarray:
        """What one training would show."""
        return self._noisy(self.mean(values, slower=math.exp(rng.normal(0, self.speed_noise))), rng)

    def _noisy(self, mean: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        return mean + rng.normal(0, self.run_noise) + rng.normal(0, self.validation_noise, len(mean))


class RecordedCurves(DrawnCurves):
    """A surrogate: at any values the mean of what was recorded, weighed by 1 / distance^4, with the noise of the seeds.

    Runs that ended early are left out. Numbers are scaled to 0..1, on a log scale where the largest is ten times the
    smallest or more; other values are 0 or 1 apart. Runs of the same values are seeds of one mean curve.

    Raises:
        ValueError: If less than four settings were recorded.
    """

    def __init__(self, path: Path) -> None:
        runs = json.loads(path.read_text(encoding='utf-8'))['runs']
        last = max(step for run in runs for step, _ in run['curve'])
        whole = [run for run in runs if run['curve'][-1][0] == last]
        self.steps = tuple(max((run['curve'] for run in whole), key=len)[n][0] for n in range(len(longest(whole))))
        groups: dict[str, list[np.ndarray]] = defaultdict(list)
        for run in whole:
            found = np.interp(self.steps, *np.transpose(run['curve']))
            groups[json.dumps(run['values'], sort_keys=True)].append(found)
        if len(groups) < 4:
            raise ValueError(f'{path} must hold four settings or more that ran to {last}; it holds {len(groups)}.')
        settings = [json.loads(text) for text in groups]
        self.space = {key: distribution([setting[key] for setting in settings]) for key in settings[0]}
        self.places = np.array([self._place(setting) for setting in settings])
        self.curves = np.array([np.mean(found, 0) for found in groups.values()])
        self.run_noise, self.validation_noise = self._noise(groups.values())
        seeds = sum(len(found) > 1 for found in groups.values())
        noise = f'noise of a run {self.run_noise:.4f}, of a validation {self.validation_noise:.4f}'
        noise += '' if seeds else ', as drawn'
        self.name = f'recorded curves: {len(whole)} runs, {len(groups)} settings, {seeds} with several seeds; {noise}'

    def mean(self, values: Values, slower: float = 1.0) -> np.ndarray:
        """The curve without noise; `slower` is left to the noise of the seeds."""
        distance = np.linalg.norm(self.places - self._place(values), axis=1)
        weight = 1 / (distance + 1e-9) ** 4
        return weight @ self.curves / weight.sum()

    def best(self) -> float:
        """Of the recorded means: what is weighed between them cannot be higher."""
        return self.curves.max()

    def _place(self, values: Values) -> list[float]:
        place = []
        for key, found in self.space.items():
            if isinstance(found, CategoricalDistribution):
                place += [(found.choices.index(values[key]) == n) / 2**0.5 for n in range(len(found.choices))]
            else:
                low, high, value = (math.log(x) if found.log else x for x in (found.low, found.high, values[key]))
                place.append((value - low) / (high - low))
        return place

    def _noise(self, groups: object) -> tuple[float, float]:
        """Standard deviations between the means of seeds, and of what is left of their validations."""
        found = [np.array(group) - np.mean(group, 0) for group in groups if len(group) > 1]
        if not found:
            return DrawnCurves.run_noise, DrawnCurves.validation_noise
        freedom = sum(len(group) - 1 for group in found)
        offsets = [group.mean(1, keepdims=True) for group in found]
        left = sum(float(((group - own) ** 2).sum()) for group, own in zip(found, offsets, strict=True))
        between = sum(float((own**2).sum()) for own in offsets)
        return (between / freedom) ** 0.5, (left / (freedom * max(len(self.steps) - 1, 1))) ** 0.5


def longest(runs: list[dict]) -> list:
    """The curve with the most validations."""
    return max((run['curve'] for run in runs), key=len)


def distribution(values: list) -> BaseDistribution:
    """The space that recorded values span."""
    numbers = all(type(value) in (int, float) for value in values) and len(set(values)) > 1
    if not numbers:
        return CategoricalDistribution(list(dict.fromkeys(values)))
    low, high = min(values), max(values)
    kind = IntDistribution if all(type(value) is int for value in values) else FloatDistribution
    return kind(low, high, log=low > 0 and high >= 10 * low)


def suggest(trial: optuna.Trial, space: Mapping[str, BaseDistribution]) -> dict[str, object]:
    """Let a sampler choose."""
    return {name: trial._suggest(name, found) for name, found in space.items()}


# Recording


def main() -> None:
    """Gather curves and write them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--record', type=Path, nargs='+', required=True, help='folders of sweeps and ablations')
    parser.add_argument('--objective', default='coco/segm_mAP')
    parser.add_argument('--out', type=Path, required=True, help='JSON to write')
    args = parser.parse_args()
    from data_prep.atomic import atomic_write

    runs = [run for folder in args.record for run in found_runs(folder, args.objective)]
    keys = differing([settings for settings, _, _ in runs])
    rows = [
        dict(values={key: settings.get(key) for key in keys}, curve=curve, place=place)
        for settings, curve, place in runs
    ]
    with atomic_write(args.out) as file:
        json.dump(dict(objective=args.objective, runs=rows), file, indent=1)
    last = statistics.mode(curve[-1][0] for _, curve, _ in runs) if runs else 0
    print(json.dumps(dict(runs=len(runs), keys=keys, iterations=last)))


def found_runs(folder: Path, objective: str) -> Iterator[tuple[dict[str, object], list, str]]:
    """Settings, curve and place of every run below a folder."""
    from mmengine.config import Config

    from sweep.curve import Curve

    for run in sorted({path.parents[2] for path in folder.rglob('vis_data/scalars.json')}):
        configs = [run.parent / f'{run.name}.py', *sorted(run.glob('*.py'))]
        config = next((path for path in configs if path.is_file()), None)
        curve = Curve(run, objective)
        curve.look()
        if config is not None and curve.values():
            settings = dict(leaves(Config.fromfile(config)._cfg_dict.to_dict()))
            yield settings, [[step, value] for step, value in curve.values().items()], str(run.relative_to(folder))


def leaves(node: object, path: str = '') -> Iterator[tuple[str, object]]:
    """Values of nested dicts and lists by dotted key; those that are no number or truth value as text."""
    if isinstance(node, Mapping | list | tuple) and node:
        items = node.items() if isinstance(node, Mapping) else enumerate(node)
        for key, value in items:
            yield from leaves(value, f'{path}.{key}'.lstrip('.'))
    elif not path.startswith(SILENT) and 'seed' not in path:
        yield path, node if type(node) in (int, float, bool) else str(node)


def differing(settings: list[dict[str, object]]) -> list[str]:
    """Keys in which runs differ; of those that differ together, as derived ones do, the first."""
    keys: dict[tuple, str] = {}
    for key in dict.fromkeys(key for one in settings for key in one):
        column = [one.get(key) for one in settings]
        kinds = list(dict.fromkeys(map(repr, column)))
        if len(kinds) > 1:
            keys.setdefault(tuple(kinds.index(repr(value)) for value in column), key)
    return list(keys.values())


if __name__ == '__main__':
    main()
