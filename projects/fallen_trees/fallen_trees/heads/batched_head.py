"""Mask2Former's head with all decoder layers matched and compared with the truth at once.

MMDetection matches and measures layer by layer and image by image: in each of them it samples masks as floats, copies
costs to the host and waits. Here

    class logits and mask embeddings of all layers -> one matching -> masks of the matched queries alone, with gradient
                                                                   -> points of all these masks at once -> losses

The masks that attention and matching look at carry no gradient, and unmatched queries, for which no mask loss is
defined, have none made for their backward pass. Same losses as MMDetection's on the same points, to rounding.

    mask_loss_on='points'    num_points of each mask, most of them where it is undecided (Mask2Former, section 3.3)
    mask_loss_on='pixels'    every pixel of the true masks, with logits enlarged to them (MaskFormer); more memory

Matching compares masks at random points either way.
"""

import torch
import torch.nn.functional as F
from mmdet.registry import MODELS
from mmdet.utils import reduce_mean
from mmengine.structures import InstanceData
from torch import Tensor

from fallen_trees.errors import ConfigError
from fallen_trees.heads.batched_matching import Matches, check_costs, match_layers
from fallen_trees.heads.mask2former_head import Float32Mask2FormerHead, without_autocast
from fallen_trees.heads.mask_factors import MaskFactors, matched_logits
from fallen_trees.heads.masked_attention import fuse_attention
from fallen_trees.ops.points import sample_logits, sample_truth, uncertain_points

EPSILON = torch.finfo(torch.float32).eps  # what MMDetection adds to the numbers that losses are divided by


@MODELS.register_module()
class BatchedMask2FormerHead(Float32Mask2FormerHead):
    """Float32Mask2FormerHead that treats all decoder layers at once, with attention through PyTorch's fused kernels.

    Weights, their names and how they start are those of Float32Mask2FormerHead, which is the path beside this one.

    Args:
        mask_loss_on: 'points' or 'pixels', see above.
        **kwargs: Of Float32Mask2FormerHead. The assigner must be GuardedHungarianAssigner with Mask2Former's costs.

    Raises:
        ConfigError: If the assigner or one of its costs is another, or masks are to be compared on something else.
    """

    def __init__(self, *, mask_loss_on: str = 'points', **kwargs) -> None:
        if mask_loss_on not in ('points', 'pixels'):
            raise ConfigError(f"model.panoptic_head.mask_loss_on must be 'points' or 'pixels'; got {mask_loss_on!r}.")
        super().__init__(**kwargs)
        self.mask_loss_on = mask_loss_on
        if self.train_cfg:
            check_costs(self.assigner)
        fuse_attention(self.transformer_decoder)

    def loss_by_feat(
        self,
        all_cls_scores: list[Tensor],
        all_mask_preds: list[Tensor],
        batch_gt_instances: list[InstanceData],
        batch_img_metas: list[dict],
    ) -> dict[str, Tensor]:
        """Match and compute the losses of all layers.

        Args:
            all_cls_scores: Of each layer (batch, num_queries, classes + 1).
            all_mask_preds: Of each layer (batch, num_queries, h, w); as `forward` gives them, or others that carry
                their gradient themselves.
            batch_gt_instances: Of `preprocess_gt`.
            batch_img_metas: Not used.

        Returns:
            `loss_cls`, `loss_mask` and `loss_dice` of the last layer, and with `d0.`, `d1.` ... of those before it.
        """
        with without_autocast(all_mask_preds[0]):
            cls_scores = torch.stack([scores.float() for scores in all_cls_scores])
            points = torch.rand(*cls_scores.shape[:2], self.num_points, 2, device=cls_scores.device)
            matches = match_layers(self.assigner, cls_scores, all_mask_preds, batch_gt_instances, points)
            losses = dict(loss_cls=self._class_losses(cls_scores, matches, batch_gt_instances))
            losses['loss_mask'], losses['loss_dice'] = self._mask_losses(all_mask_preds, matches, batch_gt_instances)
        before = {
            f'd{layer}.{name}': loss[layer] for layer in range(len(all_mask_preds) - 1) for name, loss in losses.items()
        }
        return {name: loss[-1] for name, loss in losses.items()} | before

    def _forward_head(
        self, decoder_out: Tensor, mask_feature: Tensor, attn_mask_target_size: tuple[int, int]
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Compute class logits, masks, and where queries may not look: (batch, 1, num_queries, keys), for all heads.

        The masks have no gradient; `matched_logits` makes those again that need one, of their `factors`.
        """
        decoder_out = self.transformer_decoder.post_norm(decoder_out)
        factors = MaskFactors(self.mask_embed(decoder_out), mask_feature)
        return self.cls_embed(decoder_out), *factors.masks(attn_mask_target_size)

    def _class_losses(self, cls_scores: Tensor, matches: Matches, truths: list[InstanceData]) -> Tensor:
        """Losses of the layers, (layers,)."""
        labels = torch.full(cls_scores.shape[:3], self.num_classes, device=cls_scores.device)
        of_objects = torch.cat([truth.labels for truth in truths])
        labels[matches.layers, matches.images, matches.queries] = of_objects[matches.objects]
        loss = self.loss_cls(cls_scores.flatten(0, 2), labels.flatten(), reduction_override='none')
        weights = cls_scores.new_tensor(self.class_weight)[labels]
        return loss.view(len(cls_scores), -1).sum(1) / (weights.flatten(1).sum(1) + EPSILON)

    def _mask_losses(self, masks: list[Tensor], matches: Matches, truths: list[InstanceData]) -> tuple[Tensor, Tensor]:
        """Cross entropy and dice of the layers, (layers,) each."""
        layers, pairs = len(masks), len(matches.layers)
        # As MMDetection's sampler counts: an image without an object has one.
        counted = sum(max(1, number) for number in matches.per_image)
        num_masks = reduce_mean(torch.tensor([float(counted)], device=matches.layers.device))
        logits = matched_logits(masks, matches)
        if pairs == 0:
            # Nothing to compare, yet every weight gets its gradient, as gradients are exchanged between processes.
            nothing = logits.sum().expand(layers)
            return nothing, nothing
        compared, truth = self._compared(logits, torch.cat([truth.masks for truth in truths]), matches.objects)
        dice = self.loss_dice(compared, truth, reduction_override='none')
        cross_entropy = self.loss_mask(compared.flatten(), truth.flatten(), reduction_override='none')
        cross_entropy = cross_entropy.view(layers, -1).sum(1) / (num_masks * truth.shape[1] + EPSILON)
        return cross_entropy, dice.view(layers, -1).sum(1) / (num_masks + EPSILON)

    def _compared(self, logits: Tensor, masks: Tensor, objects: Tensor) -> tuple[Tensor, Tensor]:
        """What the losses compare.

        Args:
            logits: Of the pairs, (pairs, h, w).
            masks: True ones, (objects, H, W), bool.
            objects: Which of them each pair is for, (pairs,).

        Returns:
            Logits and truth, float32, (pairs, points or H x W).
        """
        if self.mask_loss_on == 'pixels':
            enlarged = F.interpolate(logits[:, None], masks.shape[1:], mode='bilinear', align_corners=False)
            return enlarged.flatten(1), masks[objects].flatten(1).to(logits.dtype)
        points = uncertain_points(logits, self.num_points, self.oversample_ratio, self.importance_sample_ratio)
        return sample_logits(logits, points), sample_truth(masks, objects, points)
