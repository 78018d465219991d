"""Mask2Former's head with queries that stand for places of the image.

Mask2Former's queries are learnt vectors, the same for every image; which of them looks where, and how its mask stays
clear of others that look alike, takes thousands of updates to learn. Here

    maps at strides 8, 16 and 32 -> a query for each of their pixels -> class logits -> the num_queries surest peaks
        -> each one's ellipse about its place + its mask embedding -> masks; then the decoder, layer by layer

The choice is Mask DINO's (Li et al. 2023, section 3.3), but for peaks: what is chosen is matched and compared with the
truth as Mask2Former's queries are before the first layer, and goes into the decoder without gradient. A peak is surer
than its eight neighbours on the same map; without this the surest objects take most of the queries.
"""

import torch
import torch.nn.functional as F
from mmdet.registry import MODELS
from mmdet.structures import SampleList
from torch import Tensor, nn

from fallen_trees.heads.batched_head import BatchedMask2FormerHead
from fallen_trees.heads.ellipses import EllipsePredictor, middles
from fallen_trees.heads.mask_factors import MaskFactors


@MODELS.register_module()
class PlacedMask2FormerHead(BatchedMask2FormerHead):
    """BatchedMask2FormerHead whose queries are places of the image.

    An image with fewer places than `num_queries` has as many queries as places. There are no learnt queries, so that
    those of a pretrained Mask2Former find no use; all else of its weights does.

    Args:
        strides: Of the backbone's maps, fine to coarse; masks have the finest.
        **kwargs: Of BatchedMask2FormerHead.
    """

    def __init__(self, *, strides: tuple[int, ...] = (4, 8, 16, 32), **kwargs) -> None:
        super().__init__(strides=strides, **kwargs)
        del self.query_feat, self.query_embed
        channels = self.level_embed.embedding_dim
        self.strides = strides
        self.place_content = nn.Sequential(nn.Linear(channels, channels), nn.LayerNorm(channels))
        self.place_position = nn.Linear(channels, channels)
        self.ellipse = EllipsePredictor(channels)

    def forward(self, x: list[Tensor], batch_data_samples: SampleList) -> tuple[list[Tensor], list[Tensor]]:
        """Predict for the chosen places and again after every layer of the decoder.

        Args:
            x: Of the backbone, fine to coarse, (batch, channels, h, w) each.
            batch_data_samples: Not used.

        Returns:
            Class logits (batch, queries, classes + 1) and mask logits (batch, queries, h, w), num_layers + 1 of each.
        """
        features, maps = self.pixel_decoder(x)
        sizes = [level.shape[-2:] for level in maps]
        keys, positions = zip(*map(self._tokens, range(len(maps)), maps), strict=True)
        query, query_pos, places = self._choose(keys, positions, sizes)
        found = [self._predict(query, places, features, sizes[0])]
        query = query.detach()
        for index, layer in enumerate(self.transformer_decoder.layers):
            level, following = index % len(maps), (index + 1) % len(maps)
            hidden = found[-1][2]
            query = layer(
                query=query,
                key=keys[level],
                value=keys[level],
                query_pos=query_pos,
                key_pos=positions[level],
                cross_attn_mask=hidden & ~hidden.all(-1, keepdim=True),  # who may look nowhere looks everywhere
                query_key_padding_mask=None,
                key_padding_mask=None,
            )
            found.append(self._predict(query, places, features, sizes[following]))
        return [classes for classes, _, _ in found], [masks for _, masks, _ in found]

    def _tokens(self, index: int, level: Tensor) -> tuple[Tensor, Tensor]:
        """Features of one map's pixels and encodings of their positions, (batch, h w, channels) each."""
        features = self.decoder_input_projs[index](level).flatten(2).mT + self.level_embed.weight[index]
        valid = level.new_zeros((len(level), *level.shape[-2:]), dtype=torch.bool)
        return features, self.decoder_positional_encoding(valid).flatten(2).mT

    def _choose(
        self, keys: tuple[Tensor, ...], positions: tuple[Tensor, ...], sizes: list[torch.Size]
    ) -> tuple[Tensor, Tensor, Tensor]:
        """The surest places.

        Returns:
            Queries, with gradient, and the encodings of their positions, (batch, queries, channels) each; x and y of
            the places in UNIT_PX, (batch, queries, 2).
        """
        features = torch.cat(keys, 1)
        with torch.no_grad():
            logits = self.cls_embed(self.transformer_decoder.post_norm(self.place_content(features)))
            chosen = _surest(logits.float().softmax(-1)[..., :-1].amax(-1), sizes, self.num_queries).unsqueeze(-1)
        strides = reversed(self.strides[-len(sizes) :])
        places = torch.cat([_places(*size, stride, chosen.device) for size, stride in zip(sizes, strides, strict=True)])
        query = self.place_content(features.take_along_dim(chosen, 1))
        query_pos = self.place_position(torch.cat(positions, 1).take_along_dim(chosen, 1))
        return query, query_pos, places[None].take_along_dim(chosen, 1)

    def _predict(
        self, query: Tensor, places: Tensor, features: Tensor, attention_size: tuple[int, int]
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Class logits, masks, and where queries may not look, as `_forward_head` computes them."""
        query = self.transformer_decoder.post_norm(query)
        ellipses = self.ellipse(query, places)
        factors = MaskFactors(self.mask_embed(query), features, ellipses, self.strides[0])
        return self.cls_embed(query), *factors.masks(attention_size)


def _surest(sureness: Tensor, sizes: list[torch.Size], count: int) -> Tensor:
    """Indices of the surest peaks, then of the surest others, (batch, up to count).

    Args:
        sureness: Of the pixels of all maps, 0 to 1, (batch, places).
        sizes: Of the maps.
        count: How many are wanted.
    """
    maps = [
        level.unflatten(1, size)
        for level, size in zip(sureness.split([h * w for h, w in sizes], dim=1), sizes, strict=True)
    ]
    peaks = torch.cat([(F.max_pool2d(level, 3, stride=1, padding=1) == level).flatten(1) for level in maps], 1)
    return (sureness + peaks).topk(min(count, sureness.shape[1])).indices


def _places(height: int, width: int, stride: float, device: torch.device) -> Tensor:
    """X and y of a map's pixels in UNIT_PX, (height width, 2)."""
    return torch.cartesian_prod(middles(height, stride, device), middles(width, stride, device)).flip(-1)
