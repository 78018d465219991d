"""Hungarian matching of all decoder layers at once: one matrix of costs, one copy to the host, one copy back."""

from dataclasses import dataclass

import torch
from mmdet.models.task_modules.assigners import ClassificationCost, CrossEntropyLossCost, DiceCost
from mmengine.structures import InstanceData
from torch import Tensor

from fallen_trees.errors import ConfigError
from fallen_trees.heads.guarded_assigner import GuardedHungarianAssigner
from fallen_trees.ops.points import MatchingSums, matching_sums


@dataclass(frozen=True)
class Matches:
    """Pairs of queries and true instances of all layers and images, ordered by layer, image and query.

    Attributes:
        per_image: How many pairs each image has in every layer: its objects, or all queries if there are fewer.
        layers: (pairs,) int64, as are the others; on the device of the logits.
        images: Image in the batch.
        queries: Query in its image.
        objects: True instance, counted through all images of the batch.
    """

    per_image: list[int]
    layers: Tensor
    images: Tensor
    queries: Tensor
    objects: Tensor


def check_costs(assigner: object) -> None:
    """Refuse an assigner whose costs are not sums over points, at building rather than in a run's first step.

    Raises:
        ConfigError: If it is no GuardedHungarianAssigner, or has another cost than the three of Mask2Former.
    """
    if not isinstance(assigner, GuardedHungarianAssigner):
        raise ConfigError(
            f'model.train_cfg.assigner.type must be GuardedHungarianAssigner for BatchedMask2FormerHead, not '
            f'{type(assigner).__name__}; Float32Mask2FormerHead takes any.'
        )
    for cost in assigner.match_costs:
        known = (
            type(cost) is ClassificationCost
            or (type(cost) is CrossEntropyLossCost and cost.use_sigmoid)
            or (type(cost) is DiceCost and cost.pred_act and cost.naive_dice)
        )
        if not known:
            raise ConfigError(
                f'BatchedMask2FormerHead must have ClassificationCost, CrossEntropyLossCost(use_sigmoid=True) and '
                f'DiceCost(pred_act=True) as match_costs, not {type(cost).__name__}; Float32Mask2FormerHead takes any.'
            )


@torch.no_grad()
def match_layers(
    assigner: GuardedHungarianAssigner,
    cls_scores: Tensor,
    mask_logits: list[Tensor],
    truths: list[InstanceData],
    points: Tensor,
) -> Matches:
    """Match the queries of every layer and image with the true instances of the image.

    Args:
        assigner: Whose costs and counters are used.
        cls_scores: Logits, (layers, batch, queries, classes + 1), float32.
        mask_logits: Of each layer (batch, queries, h, w).
        truths: Of each image `labels` (objects,) and `masks` (objects, H, W), bool.
        points: Where masks are compared, (layers, batch, points, 2).

    Returns:
        The pairs.
    """
    layers, _, queries = cls_scores.shape[:3]
    costs = []
    for image, truth in enumerate(truths):
        sums = matching_sums([layer[image].float() for layer in mask_logits], points[:, image], truth.masks)
        costs.append(_costs(assigner, cls_scores[:, image], truth.labels, sums))
    sizes = [len(truth.labels) for truth in truths]
    host = torch.cat([cost.flatten() for cost in costs]).cpu()
    host = [
        piece.view(layers, queries, size)
        for piece, size in zip(host.split([c.numel() for c in costs]), sizes, strict=True)
    ]
    first = torch.tensor([0, *sizes]).cumsum(0)
    rows = []
    for layer in range(layers):
        for image, cost in enumerate(host):
            chosen, objects = assigner.solve(cost[layer])
            place = torch.tensor([[layer], [image]]).expand(2, len(chosen))
            rows.append(torch.cat([place, torch.stack([chosen, objects + first[image]])]))
    per_image = [min(size, queries) for size in sizes]
    return Matches(per_image, *torch.cat(rows, 1).to(cls_scores.device, non_blocking=True))


def _costs(assigner: GuardedHungarianAssigner, cls_scores: Tensor, labels: Tensor, sums: MatchingSums) -> Tensor:
    """Weighted sum of the costs of one image, (layers, queries, objects), as MMDetection's cost classes define them."""
    total = sums.logit_in.new_zeros(sums.logit_in.shape)
    for cost in assigner.match_costs:
        if isinstance(cost, ClassificationCost):
            found = -cls_scores.softmax(-1)[..., labels]
        elif isinstance(cost, CrossEntropyLossCost):
            # t softplus(-x) + (1 - t) softplus(x) = softplus(x) - t x
            found = (sums.softplus[..., None] - sums.logit_in) / sums.points
        else:
            areas = sums.sigmoid[..., None] + sums.area[:, None]
            found = 1 - (2 * sums.sigmoid_in + cost.eps) / (areas + cost.eps)
        total += found * cost.weight
    return total
