"""COCO -> model: the MMDetection components of this project, for any classes.

Importing the package registers them; configs do that through `custom_imports`.
"""

from fallen_trees import checkpoint_reader  # MMEngine reads through it from here on
from fallen_trees.amp import BFloat16OptimWrapper
from fallen_trees.bands import BandsMobileNetV2, BandsPreprocessor
from fallen_trees.checks.guard_hook import GuardHook
from fallen_trees.coco_f1_metric import CocoF1Metric
from fallen_trees.fusion_head import BlockwiseFusionHead
from fallen_trees.guarded_assigner import GuardedHungarianAssigner
from fallen_trees.load_window import LoadImageFromScene
from fallen_trees.mask2former_head import Float32Mask2FormerHead
from fallen_trees.ops.attention import FusedMSDeformAttnPixelDecoder, FusedMultiScaleDeformableAttention
from fallen_trees.panel_visualizer import PanelVisualizer
from fallen_trees.picture_hook import PictureHook
from fallen_trees.random_rot90 import RandomRot90
from fallen_trees.resume.early_stopping_hook import ResumableEarlyStoppingHook
from fallen_trees.resume.epoch_loop import ResumableEpochLoop
from fallen_trees.resume.interrupt_hook import InterruptHook
from fallen_trees.resume.randomness import IterationSeedHook
from fallen_trees.resume.safe_checkpoint_hook import SafeCheckpointHook
from fallen_trees.resume.samplers import SeededEpochSampler, SeededInfiniteSampler
from fallen_trees.resume.seeded_dataset import SeededDataset

__all__ = [
    'BFloat16OptimWrapper',
    'BandsMobileNetV2',
    'BandsPreprocessor',
    'BlockwiseFusionHead',
    'CocoF1Metric',
    'Float32Mask2FormerHead',
    'FusedMSDeformAttnPixelDecoder',
    'FusedMultiScaleDeformableAttention',
    'GuardHook',
    'GuardedHungarianAssigner',
    'InterruptHook',
    'IterationSeedHook',
    'LoadImageFromScene',
    'PanelVisualizer',
    'PictureHook',
    'RandomRot90',
    'ResumableEarlyStoppingHook',
    'ResumableEpochLoop',
    'SafeCheckpointHook',
    'SeededDataset',
    'SeededEpochSampler',
    'SeededInfiniteSampler',
    'checkpoint_reader',
]
