"""COCO -> model: the MMDetection components of this project, for any classes.

Importing the package registers them; configs do that through `custom_imports`.
"""

from fallen_trees.coco_f1_metric import CocoF1Metric
from fallen_trees.interrupt_hook import InterruptHook
from fallen_trees.load_window import LoadImageFromScene
from fallen_trees.panel_visualizer import PanelVisualizer
from fallen_trees.random_rot90 import RandomRot90

__all__ = ['CocoF1Metric', 'InterruptHook', 'LoadImageFromScene', 'PanelVisualizer', 'RandomRot90']
