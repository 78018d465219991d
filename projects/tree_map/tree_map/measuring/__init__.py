"""Polygons in metres in, a row of measures with intervals and a centreline for each tree out.

sections -> centreline -> taper -> ends -> stem (direction, volume) -> intervals -> table
"""

from tree_map.measuring.table import Measures, measure

__all__ = ['Measures', 'measure']
