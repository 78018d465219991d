"""Which images go where, by a seed: cities held back for the test, a balanced subset, a share of the coarse ones."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

import numpy as np

from data_prep.tile.share_out import rank


def held_back(images: Mapping[str, int], share: float, seed: int) -> list[str]:
    """Choose whole cities that nothing is trained on; frames of a city resemble each other, so cities stay whole.

    Args:
        images: Number of images by city, two cities at least.
        share: Of all images, above 0: cities are added until they have as many.
        seed: Another seed chooses others.

    Returns:
        Names in alphabetical order; at least one, and never all. None has far more images than are wanted.
    """
    wanted, chosen = share * sum(images.values()), []
    small = [name for name in images if images[name] <= 1.5 * wanted] or [min(images, key=lambda n: (images[n], n))]
    for city in sorted(small, key=lambda name: rank(seed, name))[: len(images) - 1]:
        chosen.append(city)
        if sum(map(images.get, chosen)) >= wanted:
            break
    return sorted(chosen)


def spread(names: Sequence[str], cities: Sequence[str], count: int, seed: int) -> list[int]:
    """Choose images evenly over cities: each gives one in turn, until there are enough.

    Args:
        names: Of images, each once.
        cities: Of these images.
        count: At most the number of images.
        seed: Another seed chooses others.

    Returns:
        Their numbers, rising.
    """
    groups: dict[str, list[int]] = defaultdict(list)
    for number in sorted(range(len(names)), key=lambda n: rank(seed, names[n])):
        groups[cities[number]].append(number)
    order = sorted(groups, key=lambda city: rank(seed, city))
    turns = [(turn, place, group[turn]) for place, group in enumerate(map(groups.get, order))
             for turn in range(len(group))]  # fmt: skip
    return sorted(number for _, _, number in sorted(turns)[:count])


def balanced(
    shown: Sequence[set[int]], names: Sequence[str], cities: Sequence[str], count: int, seed: int
) -> list[int]:
    """Choose images so that all classes are shown about equally often, as far as there are images of them.

    One after the other the image is taken that gives most to the classes shown least so far; of equals that of the city
    with the fewest, then by the seed.

    Args:
        shown: Ids of the classes on each image.
        names: Of the images, each once.
        cities: Of the images.
        count: At most the number of images.
        seed: Of what is left open.

    Returns:
        Their numbers, rising.
    """
    classes = sorted(set().union(*shown)) if shown else []
    has = np.array([[label in entry for label in classes] for entry in shown], float).reshape(len(shown), -1)
    ranks = np.argsort(np.argsort([rank(seed, name) for name in names]))
    left, taken, by_city = np.ones(len(shown), bool), np.zeros(len(classes)), Counter()
    chosen = []
    for _ in range(count):
        gain = has @ (1 / (1 + taken))
        best = np.flatnonzero(left & (gain >= gain[left].max() - 1e-9))
        number = int(min(best, key=lambda n: (by_city[cities[n]], ranks[n])))
        chosen.append(number)
        left[number] = False
        taken += has[number]
        by_city[cities[number]] += 1
    return sorted(chosen)
