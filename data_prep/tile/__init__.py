"""Scenes to tiles and COCO files."""

from data_prep.tile.command import add_parser, run

__all__ = ['add_parser', 'run']
