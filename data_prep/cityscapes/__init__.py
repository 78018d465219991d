"""Cityscapes as it is unpacked, listed as COCO files: instances, a subset, partitions, and maps of classes."""

from data_prep.cityscapes.command import add_parser, run

__all__ = ['add_parser', 'run']
