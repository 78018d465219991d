"""A data set whose images lie in a few tar files, for drives that are slow at many small ones."""

from data_prep.pack.command import add_parser, run
from data_prep.pack.packing import pack_dataset
from data_prep.pack.verifying import verify

__all__ = ['add_parser', 'pack_dataset', 'run', 'verify']
