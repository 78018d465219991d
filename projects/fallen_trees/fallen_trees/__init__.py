"""COCO -> model: the MMDetection components of this project, for any classes.

Importing the package registers them; configs do that through `custom_imports`.
"""

from fallen_trees.amp import BFloat16OptimWrapper
from fallen_trees.bands import BandsMobileNetV2, BandsPreprocessor
from fallen_trees.checks.guard_hook import GuardHook
from fallen_trees.coco_f1_metric import CocoF1Metric
from fallen_trees.fusion_head import BlockwiseFusionHead
from fallen_trees.guarded_assigner import GuardedHungarianAssigner
from fallen_trees.interrupt_hook import InterruptHook
from fallen_trees.load_window import LoadImageFromScene
from fallen_trees.mask2former_head import Float32Mask2FormerHead
from fallen_trees.panel_visualizer import PanelVisualizer
from fallen_trees.picture_hook import PictureHook
from fallen_trees.random_rot90 import RandomRot90

__all__ = [
    'BFloat16OptimWrapper',
    'BandsMobileNetV2',
    'BandsPreprocessor',
    'BlockwiseFusionHead',
    'CocoF1Metric',
    'Float32Mask2FormerHead',
    'GuardHook',
    'GuardedHungarianAssigner',
    'InterruptHook',
    'LoadImageFromScene',
    'PanelVisualizer',
    'PictureHook',
    'RandomRot90',
]
