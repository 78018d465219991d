"""A drawn world: windthrow from the air, with exact ground truth.

settings -> layout -> scene -> camera -> writing
|         |
tree, crowns, clutter  ground         each draws its own kind of thing as a stamp
"""

from data_prep.synth.command import add_parser, run

__all__ = ['add_parser', 'run']
