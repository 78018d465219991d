"""Label files from one format to another, as they were drawn.

reading -> document -> placing -> writing; a module for each format
"""

from data_prep.convert.command import add_parser, run
from data_prep.convert.converting import Converted, convert_labels

__all__ = ['Converted', 'add_parser', 'convert_labels', 'run']
