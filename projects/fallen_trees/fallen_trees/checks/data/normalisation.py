"""Whether the values the network is given have about zero mean and unit deviation."""

from collections.abc import Iterator

import numpy as np

from fallen_trees.checks.data.fed_colours import as_normalised, preprocessor_of, treatments
from fallen_trees.checks.finding import Finding, Verdict
from fallen_trees.checks.subject import Subject

NAME = 'normalisation'
MOST_MEAN = 2.5  # black is at -2.1 and white at 2.6 with ImageNet's mean and deviation
LEAST_STD, MOST_STD = 0.08, 4.0  # a dull aerial image with a deviation of 127.5 has 0.15
LOST_STD = 0.05  # less contrast than this and images are as good as one colour; more than its inverse and steps explode


def check_normalisation(subject: Subject) -> Iterator[Finding]:
    """Measure the values of the samples as the network gets them: `normalisation`."""
    try:
        pixels = [_seen(as_normalised(subject, fed.inputs), fed.inputs.numpy()) for fed in subject.fed]
    except ValueError as error:
        message = f'model.data_preprocessor: mean and std must have one value for each band; they have {error}.'
        yield Finding(NAME, Verdict.ERROR, message)
        return
    pixels = [found for found in pixels if len(found)]
    if not pixels:
        yield Finding(NAME, Verdict.ERROR, f'all {len(subject.fed)} training samples are black.')
        return
    mean = float(np.mean([found.mean() for found in pixels]))
    # Within a sample and a channel, so that casts of light between scenes do not hide that there is no contrast.
    std = float(np.mean([found.std(axis=0).mean() for found in pixels]))
    figures = dict(mean=round(mean, 3), std=round(std, 4))
    healthy = abs(mean) <= MOST_MEAN and LEAST_STD <= std <= MOST_STD and not _other_scale(subject)
    if healthy:
        message = f'the network is given values of mean {mean:.2f} and deviation {std:.2f}.'
        yield Finding(NAME, Verdict.OK, message, figures)
        return
    lost = not LOST_STD <= std <= 1 / LOST_STD
    said = f'the network is given values of mean {mean:.2f} and deviation {std:.3f}, not about 0 and 1'
    message = f'{said}: {_why(subject)}'
    yield Finding(NAME, Verdict.ERROR if lost else Verdict.WARNING, message, figures)


def _seen(values: np.ndarray, inputs: np.ndarray) -> np.ndarray:
    """Values (N, C) of a sample without holes and padding, which are 0 in every band."""
    return values[inputs.any(axis=0)]


def _range(subject: Subject) -> tuple[float, float]:
    """Percentiles 1 and 99 of what reaches the data preprocessor."""
    raw = np.concatenate([fed.inputs.numpy().ravel()[::97] for fed in subject.fed])
    low, high = np.percentile(raw, (1, 99))
    return float(low), float(high)


def _other_scale(subject: Subject) -> bool:
    """Whether the mean is meant for images from 0 to 1 and these are not, or the other way round."""
    mean, high = preprocessor_of(subject).get('mean'), _range(subject)[1]
    top = max(mean) if mean else 0.0
    return 0 < top <= 1 < high / 10 or high <= 2 < top / 10


def _why(subject: Subject) -> str:
    normalising = {treatment.by for treatment in treatments(subject) if treatment.mean is not None}
    low, high = _range(subject)
    mean = preprocessor_of(subject).get('mean')
    if len(normalising) > 1:
        return 'both Normalize in the pipeline and model.data_preprocessor normalise; leave it to one.'
    if mean is None:
        return 'nothing normalises; give model.data_preprocessor mean and std.'
    return (
        f'mean {list(mean)} and std {list(preprocessor_of(subject).std)} of model.data_preprocessor do not belong '
        'to images '
        f'with values from {low:g} to {high:g}.'
    )
