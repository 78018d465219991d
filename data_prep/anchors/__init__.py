"""Anchors that fit the boxes of a COCO file."""

from data_prep.anchors.command import add_parser, run

__all__ = ['add_parser', 'run']
