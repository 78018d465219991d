"""COCO -> model: the MMDetection components of this project, for any classes.

Importing the package registers them; configs do that through `custom_imports`.
"""

from fallen_trees import checkpoint_reader  # MMEngine reads through it from here on
from fallen_trees.amp import BFloat16OptimWrapper
from fallen_trees.bands import BandsMobileNetV2, BandsPreprocessor
from fallen_trees.card.model_card_hook import ModelCardHook
from fallen_trees.checks.guard.guard_hook import GuardHook
from fallen_trees.heads.batched_head import BatchedMask2FormerHead
from fallen_trees.heads.fusion_head import BlockwiseFusionHead
from fallen_trees.heads.guarded_assigner import GuardedHungarianAssigner
from fallen_trees.heads.mask2former_head import Float32Mask2FormerHead
from fallen_trees.heads.placed_head import PlacedMask2FormerHead
from fallen_trees.heads.semantic_fusion import SemanticFusionHead, SemanticMask2Former
from fallen_trees.loading.coco_dataset import RootlessCocoDataset
from fallen_trees.loading.contiguous import ContiguousPackDetInputs, ContiguousRandomFlip
from fallen_trees.loading.load_annotations import LoadOutlineAnnotations
from fallen_trees.loading.load_maps import LoadLabelMap, LoadPanopticMap, ObjectsFromMap
from fallen_trees.loading.load_window import LoadImageFromScene, LoadImageFromTiff
from fallen_trees.loading.map_datasets import LabelMapDataset, PanopticDataset
from fallen_trees.loading.outline_masks import OutlineMasks
from fallen_trees.loading.packed_images import PackBackend
from fallen_trees.loading.paste_objects import PasteObjects
from fallen_trees.loading.photometric import BytePhotoMetricDistortion
from fallen_trees.loading.random_rot90 import RandomRot90
from fallen_trees.loading.segment_masks import SegmentMasks
from fallen_trees.ops.attention import FusedMSDeformAttnPixelDecoder, FusedMultiScaleDeformableAttention
from fallen_trees.pictures.map_visualizer import MapVisualizer
from fallen_trees.pictures.panel_visualizer import PanelVisualizer
from fallen_trees.pictures.picture_hook import FramePictureHook, PictureHook, SpacedPictureHook
from fallen_trees.resume.early_stopping_hook import ResumableEarlyStoppingHook
from fallen_trees.resume.epoch_loop import ResumableEpochLoop
from fallen_trees.resume.interrupt_hook import InterruptHook
from fallen_trees.resume.randomness import IterationSeedHook
from fallen_trees.resume.safe_checkpoint_hook import SafeCheckpointHook
from fallen_trees.resume.samplers import SeededEpochSampler, SeededInfiniteSampler
from fallen_trees.resume.seeded_dataset import SeededDataset
from fallen_trees.scoring.coco_f1_metric import CocoF1Metric
from fallen_trees.scoring.panoptic_quality import PanopticQualityMetric
from fallen_trees.scoring.semantic_iou_metric import SemanticIoUMetric
from fallen_trees.staged_unfreeze_hook import StagedUnfreezeHook

__all__ = [
    'BFloat16OptimWrapper',
    'BandsMobileNetV2',
    'BandsPreprocessor',
    'BatchedMask2FormerHead',
    'BlockwiseFusionHead',
    'BytePhotoMetricDistortion',
    'CocoF1Metric',
    'ContiguousPackDetInputs',
    'ContiguousRandomFlip',
    'Float32Mask2FormerHead',
    'FramePictureHook',
    'FusedMSDeformAttnPixelDecoder',
    'FusedMultiScaleDeformableAttention',
    'GuardHook',
    'GuardedHungarianAssigner',
    'InterruptHook',
    'IterationSeedHook',
    'LabelMapDataset',
    'LoadImageFromScene',
    'LoadImageFromTiff',
    'LoadLabelMap',
    'LoadOutlineAnnotations',
    'LoadPanopticMap',
    'MapVisualizer',
    'ModelCardHook',
    'ObjectsFromMap',
    'OutlineMasks',
    'PackBackend',
    'PanelVisualizer',
    'PanopticDataset',
    'PanopticQualityMetric',
    'PasteObjects',
    'PictureHook',
    'PlacedMask2FormerHead',
    'RandomRot90',
    'ResumableEarlyStoppingHook',
    'ResumableEpochLoop',
    'RootlessCocoDataset',
    'SafeCheckpointHook',
    'SeededDataset',
    'SeededEpochSampler',
    'SeededInfiniteSampler',
    'SegmentMasks',
    'SemanticFusionHead',
    'SemanticIoUMetric',
    'SemanticMask2Former',
    'SpacedPictureHook',
    'StagedUnfreezeHook',
    'checkpoint_reader',
]
