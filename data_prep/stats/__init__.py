"""Numbers about a data set or about scenes with labels, and the tile planner."""

from data_prep.stats.command import add_parser, run

__all__ = ['add_parser', 'run']
