"""Mask2Former's head for mixed precision: what does not survive half precision is computed in float32.

Three parts of MMDetection's head break or blur under autocast:
- The mask cost sums the errors of all points before it divides by their number. In float16 the sum of 12,544 points
  overflows (65,504) at a mean logit of 5.2, the cost becomes infinite and SciPy refuses to match.
- Deformable attention has no CUDA kernel for bfloat16 and falls back to a slow path; in float16 it rounds its sampling
  locations to 1/2048 of the image.
- Losses sample logits of 8 or 11 bits, and are divided by a number of masks rounded in the same way.

In float32 this head computes the same numbers as MMDetection's, bit for bit, and its weights have the same names.
"""

from contextlib import AbstractContextManager
from functools import cache

import torch
from mmdet.models.dense_heads import Mask2FormerHead
from mmdet.registry import MODELS
from mmdet.structures import SampleList
from mmengine.config import ConfigDict
from mmengine.structures import InstanceData, PixelData
from torch import Tensor


@MODELS.register_module()
class Float32Mask2FormerHead(Mask2FormerHead):
    """MMDetection's Mask2FormerHead with pixel decoder, matching and losses in float32, whatever autocast is on.

    It also needs less memory: true masks stay one byte a pixel where MMDetection's take eight, and the matching, which
    passes no gradient, records none.

    Args:
        pixel_decoder: As in Mask2FormerHead; any registered class, which is run in float32.
        half_pixel_decoder: Whether mixed precision reaches the pixel decoder too. FusedMSDeformAttnPixelDecoder
            keeps sampling locations, weights and sums in float32 by itself; others do not.
        upsample_masks: Whether `predict` enlarges the mask logits of every query to the padded input, as MMDetection's
            MaskFormerFusionHead expects. By default they stay at the decoder's own stride, for a fusion head that
            enlarges only what it keeps.
        **kwargs: Of Mask2FormerHead.
    """

    def __init__(
        self, *, pixel_decoder: ConfigDict, half_pixel_decoder: bool = False, upsample_masks: bool = False, **kwargs
    ) -> None:
        module = None if half_pixel_decoder else MODELS.get(pixel_decoder['type'])
        if module is not None:  # else building it says that there is none
            pixel_decoder = ConfigDict(pixel_decoder, type=_in_float32(module))
        super().__init__(pixel_decoder=pixel_decoder, **kwargs)
        self.upsample_masks = upsample_masks

    def preprocess_gt(
        self, batch_gt_instances: list[InstanceData], batch_gt_semantic_segs: list[PixelData | None]
    ) -> list[InstanceData]:
        """Bring the true masks to the device as (num_gts, h, w) booleans; they become numbers where they are sampled.

        Returns:
            `labels` (num_gts,) and `masks` of each image.
        """
        if any(seg is not None for seg in batch_gt_semantic_segs):
            return super().preprocess_gt(batch_gt_instances, batch_gt_semantic_segs)
        return [
            InstanceData(labels=gt.labels, masks=gt.masks.to_tensor(dtype=torch.bool, device=gt.labels.device))
            for gt in batch_gt_instances
        ]

    @torch.no_grad()
    def _get_targets_single(self, cls_score: Tensor, mask_pred: Tensor, *args) -> tuple:
        """Match the queries of one image: scores (num_queries, classes + 1) and masks (num_queries, h, w) as logits."""
        with without_autocast(mask_pred):
            return super()._get_targets_single(cls_score.float(), mask_pred.float(), *args)

    def _loss_by_feat_single(self, cls_scores: Tensor, mask_preds: Tensor, *args) -> tuple[Tensor, Tensor, Tensor]:
        """Match and compute the losses of one decoder layer.

        The logits of one layer at a time become float32: all ten together would undo what half precision saves.

        Args:
            cls_scores: Logits, (batch, num_queries, classes + 1).
            mask_preds: Logits, (batch, num_queries, h, w).
            *args: True instances and metainfo of each image.

        Returns:
            Losses of class, mask and dice; float32.
        """
        with without_autocast(mask_preds):
            return super()._loss_by_feat_single(cls_scores.float(), mask_preds.float(), *args)

    def predict(self, x: tuple[Tensor, ...], batch_data_samples: SampleList) -> tuple[Tensor, Tensor]:
        """Predict with the last decoder layer.

        Returns:
            Class logits (batch, num_queries, classes + 1) and mask logits (batch, num_queries, h, w), float32. h and w
            are those of the pixel decoder's finest map, or of the padded input with `upsample_masks`.
        """
        if self.upsample_masks:
            cls_scores, mask_preds = super().predict(x, batch_data_samples)
        else:
            cls_scores, mask_preds = (layers[-1] for layers in self(x, batch_data_samples))
        return cls_scores.float(), mask_preds.float()


class _InFloat32:
    """Mixed in before a module's class: its forward gets float32 and no autocast."""

    def forward(self, feats: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
        with without_autocast(feats[0]):
            return super().forward([feat.float() for feat in feats])


@cache
def _in_float32(module: type) -> type:
    """A subclass, not a wrapper, so that the names of the weights stay."""
    return type(f'Float32{module.__name__}', (_InFloat32, module), {})


def without_autocast(tensor: Tensor) -> AbstractContextManager:
    """Compute in the tensors' own precision on the device of a tensor."""
    return torch.autocast(tensor.device.type, enabled=False)
