"""What the masks of a decoder layer are made of, from which those that need a gradient are made again."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from fallen_trees.heads.batched_matching import Matches
from fallen_trees.heads.ellipses import ellipse_logits


@dataclass
class MaskFactors:
    """Mask logits of a layer in pieces: embedding x features, and the ellipses of queries that have a place.

    Attributes:
        embeddings: Of the queries, (batch, queries, channels).
        features: Of the pixels, (batch, channels, h, w).
        ellipses: (batch, queries, 5), of EllipsePredictor; None without.
        stride: Of the features; read for ellipses alone.
    """

    embeddings: Tensor
    features: Tensor
    ellipses: Tensor | None = None
    stride: float = 4.0

    @torch.no_grad()
    def masks(self, attention_size: tuple[int, int]) -> tuple[Tensor, Tensor]:
        """Multiply.

        Returns:
            Mask logits (batch, queries, h, w) without gradient, which carry these `factors`; and where the queries may
            not look next, (batch, 1, queries, keys), for all heads.
        """
        size = self.features.shape[2:]
        logits = (self.embeddings @ self.features.flatten(2)).unflatten(2, size)
        if self.ellipses is not None:
            logits = logits + ellipse_logits(self.ellipses, *size, self.stride)
        small = F.interpolate(logits, attention_size, mode='bilinear', align_corners=False)
        logits.factors = self
        return logits, small.flatten(2).unsqueeze(1) < 0


def matched_logits(masks: list[Tensor], matches: Matches) -> Tensor:
    """Logits of the matched queries, float32 and with gradient, in the order of the matches: (pairs, h, w).

    Args:
        masks: Of each layer; as `MaskFactors.masks` makes them, or others that carry their gradient themselves.
        matches: Of all layers.
    """
    at = matches.layers, matches.images, matches.queries
    if not hasattr(masks[0], 'factors'):
        return torch.stack(masks)[at].float()
    layers = [layer.factors for layer in masks]
    features = layers[0].features.float()
    embeddings = torch.stack([layer.embeddings for layer in layers])[at].float()
    # Each image's pairs, of all layers, are multiplied with its features.
    of_images = embeddings.unflatten(0, (len(masks), -1)).split(matches.per_image, dim=1)
    found = [pairs @ image.flatten(1) for pairs, image in zip(of_images, features, strict=True)]
    logits = torch.cat(found, dim=1).flatten(0, 1).unflatten(1, features.shape[2:])
    if layers[0].ellipses is None:
        return logits
    ellipses = torch.stack([layer.ellipses for layer in layers])[at]
    return logits + ellipse_logits(ellipses, *features.shape[2:], layers[0].stride)
