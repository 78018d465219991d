"""Optuna's own plots of a study, and in words why one is not there."""

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import optuna
from optuna import visualization
from plotly.graph_objects import Figure

from sweep.results.pareto import COSTS, against_cost
from sweep.results.rows import Row, SweepFacts, param_names, short_names

FEW = 2  # trials that ran to their end, below which nothing can be compared
FEW_FOR_IMPORTANCE = 4


@dataclass(frozen=True)
class Plot:
    """A plot of the page; `figure` is None where it cannot be drawn, and `text` says why."""

    title: str
    text: str
    figure: Figure | None = None


def plots_of(study: optuna.Study, sweep_file: SweepFacts, rows: Sequence[Row]) -> list[Plot]:
    """All plots of a study in the order of the page."""
    done = sum(row.state == 'done' for row in rows)
    plots = [*_fronts(study, sweep_file, rows, done), *_of_objectives(study, sweep_file, rows, done)]
    return [*plots, _curves(study, sweep_file, rows)]


def _fronts(study: optuna.Study, sweep_file: SweepFacts, rows: Sequence[Row], done: int) -> Iterator[Plot]:
    names = [name for name, _ in sweep_file.objectives]
    if len(names) in (2, 3):
        text = 'Marked: trials that no other one beats in everything.'
        draw = partial(visualization.plot_pareto_front, study, target_names=names)
        yield _drawn('Objectives against each other', text, draw, done, FEW)
    for cost, label in COSTS.items():
        if cost not in names:
            yield _against_cost(sweep_file, rows, cost, label)


def _against_cost(sweep_file: SweepFacts, rows: Sequence[Row], cost: str, label: str) -> Plot:
    name = sweep_file.objectives[0][0]
    front, others = against_cost(rows, sweep_file, cost)
    title = f'{name} against {label}'
    if len(front) + len(others) < FEW:
        return Plot(title, f'Needs {FEW} finished trials of which it is known; there {_are(len(front) + len(others))}.')
    figure = Figure()
    for told, chosen, style in (
        ('others', others, dict(mode='markers', marker=dict(color='#999999'))),
        (
            'Pareto front',
            front,
            dict(mode='lines+markers', marker=dict(color='#0072b2', size=10), line=dict(width=1, shape='hv')),
        ),
    ):
        x, y = [row.figures[1] for row in chosen], [row.figures[0] for row in chosen]
        figure.add_scatter(x=x, y=y, name=told, text=[f'trial {row.number}' for row in chosen], **style)
    figure.update_layout(xaxis_title=label, yaxis_title=name)
    return _styled(Plot(title, 'Blue: trials that no other one beats in both.', figure))


def _of_objectives(study: optuna.Study, sweep_file: SweepFacts, rows: Sequence[Row], done: int) -> Iterator[Plot]:
    """History, importances and slices of each objective, and the coordinates of all."""
    several = len(sweep_file.objectives) > 1
    for index, (name, direction) in enumerate(sweep_file.objectives):
        told: dict = dict(target_name=name)
        if several:
            told['target'] = lambda trial, index=index: trial.values[index]
        of = f' of {name}' if several else ''
        text = 'Of trials that ran to their end. The line: the best so far.'
        yield _drawn(f'History{of}', text, partial(visualization.plot_optimization_history, study, **told), done, 1)
        text = "Share of the figure's variance among good trials (PED-ANOVA). Of few trials it says little."
        sign = -1 if direction == 'maximize' else 1  # of a target it asks what makes it small
        low = {**told, 'target': lambda trial, n=index, sign=sign: sign * trial.values[n]} if several else told
        draw = partial(visualization.plot_param_importances, study, **low)
        yield _drawn(f'Importances{of}', text, draw, done, FEW_FOR_IMPORTANCE)
        text = 'The darker a point, the later the trial.'
        yield _short(_drawn(f'Slices{of}', text, partial(visualization.plot_slice, study, **told), done, FEW), rows)
    text = 'Each line is a trial' + (', coloured by its rank: 0 is on the front.' if several else '.')
    told = {} if several else dict(target_name=sweep_file.objectives[0][0])
    draw = partial(visualization.plot_parallel_coordinate, study, **told)
    called = {f'Objective {n}': name for n, (name, _) in enumerate(sweep_file.objectives)}
    yield _short(_drawn('Parallel coordinates', text, draw, done, FEW), rows, called)


def _curves(study: optuna.Study, sweep_file: SweepFacts, rows: Sequence[Row]) -> Plot:
    title = 'Intermediate values'
    if len(sweep_file.objectives) > 1:
        return Plot(title, 'A study of several objectives keeps no intermediate values.')
    reported = sum(bool(row.curve) for row in rows)
    text = 'A line that ends early: a pruned trial, or one that is running.'
    plot = _drawn(title, text, partial(visualization.plot_intermediate_values, study), reported, 1)
    if plot.figure is not None:
        plot.figure.update_layout(xaxis_title='iteration', yaxis_title=sweep_file.objectives[0][0])
    return plot


def _drawn(title: str, text: str, draw: Callable[[], Figure], count: int, least: int) -> Plot:
    """Draw a plot, or say why not; Optuna raises where values are all equal or a parameter has one value."""
    if count < least:
        return Plot(title, f'Needs {least} finished trial{"s" if least > 1 else ""}; there {_are(count)}.')
    try:
        with warnings.catch_warnings(action='ignore'):  # of importances that are equal, and of directions seen to here
            figure = draw()
    except Exception as error:  # a report must not end a sweep
        return Plot(title, f'Optuna cannot draw this: {type(error).__name__}: {error}')
    if not figure.data:
        return Plot(title, 'There is nothing to draw yet.')
    return _styled(Plot(title, text, figure))


def _styled(plot: Plot) -> Plot:
    plot.figure.update_layout(title=None, margin=dict(t=30, b=60), template='plotly_white')
    plot.figure.update_xaxes(exponentformat='e')
    plot.figure.update_yaxes(exponentformat='e')
    return plot


def _are(count: int) -> str:
    return f'{"is" if count == 1 else "are"} {count or "none"}'


def _short(plot: Plot, rows: Sequence[Row], called: Mapping[str, str] | None = None) -> Plot:
    """Axes called by the shortest end of their keys: Optuna cuts long ones so that only their beginning is left."""
    if plot.figure is None:
        return plot
    ends = short_names(param_names(rows)) | dict(called or {})

    def name(label: str | None) -> str | None:
        start = label[:-3] if label and label.endswith('...') else None
        return next((end for key, end in ends.items() if key == label or start and key.startswith(start)), label)

    for axis in plot.figure.select_xaxes():
        axis.update(title_text=name(axis.title.text), ticktext=axis.ticktext and [*map(name, axis.ticktext)])
    return plot
