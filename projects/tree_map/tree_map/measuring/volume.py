"""Volume of a stem from its diameters."""

from __future__ import annotations

import numpy as np

from tree_map.measuring.sections import Floats


def huber(length: Floats, middle: Floats) -> Floats:
    """Area in the middle by length (Huber 1828); exact for a paraboloid, a quarter too little for a whole cone."""
    return np.pi / 4 * length * np.asarray(middle) ** 2


def smalian(length: Floats, base: Floats, top: Floats) -> Floats:
    """Mean of the areas at both ends by length (Smalian 1837)."""
    return np.pi / 8 * length * (np.asarray(base) ** 2 + np.asarray(top) ** 2)


def newton(length: Floats, base: Floats, middle: Floats, top: Floats) -> Floats:
    """Simpson's rule on the areas of three sections; exact for cylinder, paraboloid, cone and neiloid."""
    return np.pi / 24 * length * (np.asarray(base) ** 2 + 4 * np.asarray(middle) ** 2 + np.asarray(top) ** 2)


def by_sections(at: Floats, diameter: Floats) -> float:
    """Truncated cones between sections: h pi / 12 (D^2 + D d + d^2)."""
    thick, thin = diameter[:-1], diameter[1:]
    return float((np.diff(at) * np.pi / 12 * (thick * thick + thick * thin + thin * thin)).sum())
