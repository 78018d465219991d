"""Whether red and blue are exchanged: in the config, or already in the files."""

from collections.abc import Iterator, Sequence

import numpy as np

from fallen_trees.checks.data.fed_colours import Treatment, treatments
from fallen_trees.checks.data.tiles import load_pixels, loader_of, picked_tiles
from fallen_trees.checks.finding import Finding, Verdict
from fallen_trees.checks.subject import Subject
from fallen_trees.config_nodes import dicts_in

NAME = 'channel-order'
IMAGENET_RED_FIRST = (123.675, 116.28, 103.53)
COLOURED = 0.1  # of the brightest value: how far a pixel's red and blue or green must lie apart to have a colour
LEAST_COLOURED = 0.01  # of all pixels
MOST_BLUE = 0.6  # share of coloured pixels that are bluer than red; below 0.1 in every healthy tile measured
MOST_TILES = 24


def check_channel_order(subject: Subject) -> Iterator[Finding]:
    """Check the order of channels against mean and start weights, and the colours of the files: `channel-order`."""
    channels = {fed.inputs.shape[0] for fed in subject.fed}
    if channels != {3}:
        yield Finding(NAME, Verdict.OK, f'images have {sorted(channels)} bands; their order is as in the file.')
        return
    findings = [*_of_config(subject), *_of_files(subject)]
    order = treatments(subject)[-1].order.upper()
    yield from findings or [Finding(NAME, Verdict.OK, f'the network is given {order}, as its mean and weights expect.')]


def _of_config(subject: Subject) -> Iterator[Finding]:
    for treatment in treatments(subject):
        if treatment.mean is not None and _implied_order(treatment.mean) == treatment.order[::-1]:
            yield Finding(NAME, Verdict.WARNING, _swapped(treatment), dict(order=treatment.order))
            return
    last, weights = treatments(subject)[-1], _pretrained(subject)
    if weights and last.order == 'bgr' and all(_implied_order(t.mean) is None for t in treatments(subject)):
        message = (
            f'the network is given BGR, but weights are loaded ({weights}), and nearly all learnt from RGB: set '
            'model.data_preprocessor.bgr_to_rgb=True, as files are read as BGR.'
        )
        yield Finding(NAME, Verdict.WARNING, message, dict(order=last.order))
    if 'val' in subject.splits and treatments(subject, 'val')[-1].order != last.order:
        message = f'training sees {last.order.upper()}, validation the other order: give both the same loading step.'
        yield Finding(NAME, Verdict.ERROR, message, dict(order=last.order))


def _implied_order(mean: Sequence[float] | None) -> str | None:
    """The order in which a mean is ImageNet's (on any scale, also Caffe's); None for any other."""
    if mean is None or len(mean) != 3 or max(mean) <= 0:
        return None
    shares = np.asarray(mean) / np.sum(mean)
    expected = np.asarray(IMAGENET_RED_FIRST) / np.sum(IMAGENET_RED_FIRST)
    # ImageNet's channels lie 0.02 to 0.06 apart; a mean that is the same for all fits neither.
    fits = {'rgb': np.abs(shares - expected).max() < 0.01, 'bgr': np.abs(shares - expected[::-1]).max() < 0.01}
    return next((order for order, fit in fits.items() if fit), None)


def _swapped(treatment: Treatment) -> str:
    key = 'to_rgb of Normalize' if treatment.by == 'Normalize' else 'model.data_preprocessor.bgr_to_rgb'
    return (
        f'the network is given {treatment.order.upper()}, but the mean {list(treatment.mean or ())} belongs to '
        f'{treatment.order[::-1].upper()}: files are read as BGR, so {key} must be True for a mean that begins '
        'with red.'
    )


def _pretrained(subject: Subject) -> str | None:
    """What pretrained weights the run starts from; None if it starts from nothing."""
    if subject.cfg.get('load_from'):
        return str(subject.cfg.load_from)
    for node in dicts_in(subject.cfg.model):
        init = node.get('init_cfg')
        if isinstance(init, dict) and init.get('type') == 'Pretrained':
            return str(init.get('checkpoint'))
    return None


def _of_files(subject: Subject) -> Iterator[Finding]:
    """Ground and plants, green or brown, are redder than blue; where nearly all colour is not, it is swapped."""
    shares = [_blue_share(subject, tile) for tile in _colour_tiles(subject)]
    shares = [share for share in shares if share is not None]
    if len(shares) < 3:
        return
    blue = float(np.median(shares))
    if blue > MOST_BLUE:
        message = (
            f'in the images {blue:.0%} of the coloured pixels are bluer than red, where ground and plants are '
            'redder than blue: '
            'red and blue are exchanged in the files, or bands were chosen in another order (`data_prep tile --bands`).'
        )
        yield Finding(NAME, Verdict.WARNING, message, dict(blue_share=round(blue, 3), tiles=len(shares)))


def _colour_tiles(subject: Subject) -> list:
    """Tiles whose bands are, as far as is known, red, green and blue."""
    found = picked_tiles(subject, MOST_TILES, with_objects=False)
    return [tile for tile in found if list(tile.entry.get('bands') or (1, 2, 3)) == [1, 2, 3]]


def _blue_share(subject: Subject, tile: object) -> float | None:
    try:
        pixels = load_pixels(subject, tile).astype(np.float32)
    except Exception:  # the check of images names it
        return None
    if pixels.shape[-1] != 3:
        return None
    order = 'rgb' if loader_of(subject, tile.split).get('imdecode_backend') == 'tifffile' else 'bgr'
    first, green, last = pixels.reshape(-1, 3).T
    red, blue = (first, last) if order == 'rgb' else (last, first)
    top = np.maximum.reduce([red, green, blue])
    coloured = top - np.minimum.reduce([red, green, blue]) > COLOURED * max(float(top.max()), 1e-6)
    return float((blue > red)[coloured].mean()) if coloured.mean() > LEAST_COLOURED else None
