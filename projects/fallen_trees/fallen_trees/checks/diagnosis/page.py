"""A diagnosis as one HTML file that needs nothing else: verdict, findings, curves, what the network is fed."""

import base64
import io
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jinja2 import Environment, PackageLoader
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from data_prep.atomic import atomic_write
from fallen_trees.checks.diagnosis.doctor import Diagnosis
from fallen_trees.checks.diagnosis.table import WORDS, summary
from fallen_trees.checks.fed_pictures import contact_sheet
from fallen_trees.checks.recipe.lr_curve import lr_curve
from fallen_trees.checks.recipe.run_length import run_length
from fallen_trees.checks.subject import Subject

BLUE, ORANGE = '#0072b2', '#e69f00'  # Okabe and Ito's, told apart by colour-blind eyes too
POINTS = 2000  # of a curve; more cannot be seen


@dataclass(frozen=True)
class Picture:
    """A picture inside the page."""

    title: str
    text: str
    png: str  # base64


def write_page(diagnosis: Diagnosis, path: Path) -> None:
    """Write the page; its folder must exist.

    Raises:
        OSError: If it cannot be written; what was there before stays.
    """
    page = Environment(loader=PackageLoader(__package__, '.'), autoescape=True).get_template('page.html')
    html = page.render(
        diagnosis=diagnosis,
        summary=summary(diagnosis),
        words=WORDS,
        pictures=_pictures(diagnosis.subject) if diagnosis.subject else [],
        seconds=sum(diagnosis.seconds.values()),
    )
    with atomic_write(path) as file:
        file.write(html)


def _pictures(subject: Subject) -> list[Picture]:
    """Those that can be drawn; the findings already say why another cannot."""
    pictures = []
    for draw in (_fed, _learning_rate, _objects_per_tile):
        try:
            pictures.append(draw(subject))
        except Exception:
            continue
    return pictures


def _fed(subject: Subject) -> Picture:
    text = f'Of {len(subject.fed)} training samples after the whole pipeline, in the colours that the network is given.'
    return Picture('What the network is fed', text, _base64(contact_sheet(subject)))


def _learning_rate(subject: Subject) -> Picture:
    length = run_length(subject)
    curve = lr_curve(subject.cfg, length)
    every = max(1, len(curve) // POINTS)
    validated = (
        subject.cfg.train_cfg.get('val_interval') if subject.cfg.get('val_cfg') and not length.by_epoch else None
    )
    marks = range(validated, len(curve) + 1, validated) if validated and len(curve) / validated <= 100 else ()

    def plot(axes: Axes) -> None:
        axes.plot(np.arange(len(curve))[::every], curve[::every], color=BLUE)
        axes.set(xlabel='iteration', ylabel='learning rate', ylim=(0, curve.max() * 1.05 or 1), xlim=(0, len(curve)))
        for iteration in marks:
            axes.axvline(iteration, color=ORANGE, linewidth=0.8, linestyle=':')

    text = f'{length.updates} updates of {length.batch} tiles.' + (' Dotted: validations.' if marks else '')
    return Picture('Learning rate', text, _plotted(plot))


def _objects_per_tile(subject: Subject) -> Picture:
    coco = subject.coco('train')
    counts = Counter(annotation['image_id'] for annotation in coco['annotations'])
    numbers = [counts[image['id']] for image in coco['images']]
    queries = (subject.cfg.model.get('panoptic_head') or {}).get('num_queries')

    def plot(axes: Axes) -> None:
        edges = np.unique(np.linspace(0, max(numbers) + 1, min(max(numbers) + 2, 42)).round()) - 0.5
        axes.hist(numbers, bins=edges, color=BLUE, edgecolor='white', linewidth=0.4)
        axes.set(xlabel='objects in a tile', ylabel='training tiles')
        axes.xaxis.get_major_locator().set_params(integer=True)
        if queries and queries < 2 * max(numbers):
            axes.axvline(queries, color=ORANGE, linestyle='--')

    more = f'; the model has {queries} queries' if queries else ''
    text = f'{len(numbers)} training tiles, {numbers.count(0)} without an object, at most {max(numbers)}{more}.'
    return Picture('Objects in a tile', text, _plotted(plot))


def _plotted(plot: Callable[[Axes], None]) -> str:
    figure = Figure(figsize=(5.6, 3.0), dpi=100, layout='constrained')
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    plot(axes)
    axes.spines[['top', 'right']].set_visible(False)
    buffer = io.BytesIO()
    figure.savefig(buffer, format='png', metadata={'Software': None})
    return _base64(buffer.getvalue())


def _base64(png: bytes) -> str:
    return base64.b64encode(png).decode('ascii')
