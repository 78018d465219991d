"""Mask logits and true masks at points: compiled on the CPU, else a few large operations of torch.

Points are x and y from 0 to 1 over a mask's outer edges; values between pixels are bilinear, and 0 outside.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from mmcv.ops import point_sample
from mmdet.models.utils import get_uncertain_point_coords_with_randomness
from torch import Tensor

from fallen_trees.ops.build import operators_available

CANDIDATES_AT_ONCE = 2**25  # of the torch path: 0.4 GB of coordinates and values


@dataclass(frozen=True)
class MatchingSums:
    """What costs of all pairs of queries and true masks are made of: sums over the points of a layer.

    Attributes:
        softplus: Of the logits, (layers, queries).
        sigmoid: Of the logits, (layers, queries).
        logit_in: Logits weighted by a true mask, (layers, queries, objects).
        sigmoid_in: Sigmoids weighted by a true mask, (layers, queries, objects).
        area: Values of the true masks, (layers, objects).
        points: How many points were summed over.
    """

    softplus: Tensor
    sigmoid: Tensor
    logit_in: Tensor
    sigmoid_in: Tensor
    area: Tensor
    points: int


@torch.no_grad()
def matching_sums(logits: list[Tensor], points: Tensor, truth: Tensor) -> MatchingSums:
    """Sum over the points of each layer of one image.

    Args:
        logits: Of each layer (queries, h, w), float32.
        points: (layers, points, 2).
        truth: (objects, H, W), bool.

    Returns:
        The sums. Those of a query with a logit that is not finite are not all finite.
    """
    if _compiled(points):
        sums = torch.ops.fallen_trees.matching_sums([layer.contiguous() for layer in logits], points, truth)
        return MatchingSums(*sums, points=points.shape[1])
    sampled = F.grid_sample(torch.stack(logits), 2 * points[:, None] - 1, align_corners=False).squeeze(2)
    at_points = F.grid_sample(truth[None].to(points.dtype), 2 * points[None] - 1, align_corners=False)[0].transpose(
        0, 1
    )
    probability = sampled.sigmoid()
    return MatchingSums(
        softplus=F.softplus(sampled).sum(-1),
        sigmoid=probability.sum(-1),
        logit_in=sampled @ at_points.mT,
        sigmoid_in=probability @ at_points.mT,
        area=at_points.sum(-1),
        points=points.shape[1],
    )


@torch.no_grad()
def uncertain_points(logits: Tensor, num_points: int, oversample_ratio: float, importance_ratio: float) -> Tensor:
    """Choose points where masks are undecided, as PointRend does (Kirillov et al. 2020, section 3.1).

    Of each mask `num_points` x `oversample_ratio` uniform points are drawn; those with logits nearest to 0 become a
    share `importance_ratio` of the points, the others are drawn anew. Random numbers follow from torch's generator.

    Args:
        logits: (masks, h, w), float32.
        num_points: Points of each mask.
        oversample_ratio: At least 1.
        importance_ratio: From 0 to 1.

    Returns:
        (masks, num_points, 2).
    """
    uncertain = int(importance_ratio * num_points)
    candidates = int(num_points * oversample_ratio)
    if _compiled(logits):
        seed = int(torch.randint(2**62, ()))
        return torch.ops.fallen_trees.uncertain_points(logits, candidates, uncertain, num_points - uncertain, seed)
    pieces = logits[:, None].split(max(1, CANDIDATES_AT_ONCE // candidates))
    ratios = num_points, oversample_ratio, importance_ratio
    return torch.cat([get_uncertain_point_coords_with_randomness(piece, None, *ratios) for piece in pieces])


def sample_logits(logits: Tensor, points: Tensor) -> Tensor:
    """Sample masks (masks, h, w) at points of their own (masks, points, 2), differentiable: (masks, points)."""
    return point_sample(logits[:, None], points).squeeze(1)


@torch.no_grad()
def sample_truth(truth: Tensor, objects: Tensor, points: Tensor) -> Tensor:
    """Sample true masks, which stay one byte a pixel.

    Args:
        truth: (objects, H, W), bool.
        objects: Which of them each row of points is for, (rows,) int64.
        points: (rows, points, 2).

    Returns:
        (rows, points), float32.
    """
    if _compiled(points):
        return torch.ops.fallen_trees.sample_truth(truth, objects, points)
    height, width = truth.shape[1:]
    x, y = points[..., 0] * width - 0.5, points[..., 1] * height - 0.5
    left, top = x.floor(), y.floor()
    value = torch.zeros_like(x)
    for row, row_share in ((top, top + 1 - y), (top + 1, y - top)):
        for column, column_share in ((left, left + 1 - x), (left + 1, x - left)):
            inside = (row >= 0) & (row < height) & (column >= 0) & (column < width)
            pixel = row.clamp(0, height - 1).long() * width + column.clamp(0, width - 1).long()
            found = truth.flatten(1)[objects[:, None], pixel] & inside
            value += found * (row_share * column_share)
    return value


def _compiled(tensor: Tensor) -> bool:
    return tensor.device.type == 'cpu' and tensor.dtype == torch.float32 and operators_available()
