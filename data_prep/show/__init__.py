"""Look at a data set: image, masks and boxes side by side, contact sheets, and a page to leaf through."""

from data_prep.show.command import add_parser, run

__all__ = ['add_parser', 'run']
