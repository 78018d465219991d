"""Semantic label maps in IDD's layout, listed as COCO files: which classes each image shows, and where its map lies."""

from data_prep.semantic.command import add_parser, run
from data_prep.semantic.listing import list_split

__all__ = ['add_parser', 'list_split', 'run']
