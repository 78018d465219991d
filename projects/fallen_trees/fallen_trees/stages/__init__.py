"""Training in stages: file -> chain of stages, each train and test in processes of their own -> one table.

Importing the package registers what configs of stages name.
"""

from fallen_trees.stages.arrival import ArrivalHook
from fallen_trees.stages.backbone_segmentor import BackboneSegmentor, PixelClassHead

__all__ = ['ArrivalHook', 'BackboneSegmentor', 'PixelClassHead']
