"""The most informative images of a COCO file, as a smaller COCO file."""

from data_prep.select.command import add_parser, run
from data_prep.select.scores import Score, score_images
from data_prep.select.subset import select_images

__all__ = ['Score', 'add_parser', 'run', 'score_images', 'select_images']
