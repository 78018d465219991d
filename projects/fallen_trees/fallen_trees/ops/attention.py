"""Deformable attention on `ms_deform_attn`, as a module and inside of Mask2Former's pixel decoder."""

import itertools

import torch
import torch.nn.functional as F
from mmcv.ops import MultiScaleDeformableAttention
from mmdet.models import MSDeformAttnPixelDecoder
from mmdet.registry import MODELS
from torch import Tensor

from fallen_trees.ops.deform_attn import ms_deform_attn


@MODELS.register_module()
class FusedMultiScaleDeformableAttention(MultiScaleDeformableAttention):
    """mmcv's MultiScaleDeformableAttention, its sampling fused into one operator on the CPU.

    Weights, their names and how they start are mmcv's. On CUDA it does not wait for the device, as mmcv's module does
    to check the number of keys.
    """

    def forward(
        self,
        query: Tensor,
        key: Tensor | None = None,
        value: Tensor | None = None,
        identity: Tensor | None = None,
        query_pos: Tensor | None = None,
        key_padding_mask: Tensor | None = None,
        reference_points: Tensor | None = None,
        spatial_shapes: Tensor | None = None,
        level_start_index: Tensor | None = None,
        **kwargs,
    ) -> Tensor:
        """Attend to a few points around each query's reference point.

        Args:
            query: (batch, queries, embed_dims) with `batch_first`, else (queries, batch, embed_dims); so are all below.
            key: Not used.
            value: What is attended to, one for each pixel of all levels; `query` by default.
            identity: What is added to the result, as large as `query`; `query` by default.
            query_pos: Added to `query`.
            key_padding_mask: (batch, keys), true where a value counts as 0.
            reference_points: (batch, queries, levels, 2), x and y from 0 to 1; or 4, with width and height of a box.
            spatial_shapes: (levels, 2) int64, height and width.
            level_start_index: (levels,) int64, keys before each level.
            **kwargs: Not used.

        Returns:
            As large as `query`.
        """
        value = query if value is None else value
        identity = query if identity is None else identity
        query = query if query_pos is None else query + query_pos
        if not self.batch_first:
            query, value = query.transpose(0, 1), value.transpose(0, 1)
        value = self.value_proj(value)
        if key_padding_mask is not None:
            value = value.masked_fill(key_padding_mask[..., None], 0.0)
        value = value.unflatten(-1, (self.num_heads, -1))
        locations = self._locations(query, reference_points, spatial_shapes)
        weights = self.attention_weights(query).unflatten(-1, (self.num_heads, -1)).softmax(-1)
        weights = weights.unflatten(-1, (self.num_levels, self.num_points))
        output = self.output_proj(ms_deform_attn(value, spatial_shapes, level_start_index, locations, weights))
        return self.dropout(output if self.batch_first else output.transpose(0, 1)) + identity

    def _locations(self, query: Tensor, reference_points: Tensor, spatial_shapes: Tensor) -> Tensor:
        """Sampling points (batch, queries, heads, levels, points, 2), x and y from 0 to 1 inside of a level."""
        offsets = self.sampling_offsets(query).unflatten(-1, (self.num_heads, -1))
        around, extent = reference_points[..., :2], spatial_shapes.flip(-1).to(reference_points.dtype).reciprocal()
        if reference_points.shape[-1] == 4:
            extent = reference_points[..., 2:] * (0.5 / self.num_points)
        elif reference_points.shape[-1] != 2:
            raise ValueError(f'reference_points must have 2 or 4 numbers each; got {tuple(reference_points.shape)}')
        # The numbers of a head lie side by side in all three: broadcast in their midst they took four times as long.
        around, extent = (
            numbers[..., None, :].expand(*numbers.shape[:-1], self.num_points, 2).flatten(-3)
            for numbers in (around, extent)
        )
        return torch.addcmul(
            around[..., None, :], offsets, extent if extent.dim() == 1 else extent[..., None, :]
        ).unflatten(-1, (self.num_levels, self.num_points, 2))


@MODELS.register_module()
class FusedMSDeformAttnPixelDecoder(MSDeformAttnPixelDecoder):
    """MMDetection's MSDeformAttnPixelDecoder with FusedMultiScaleDeformableAttention in its encoder.

    MMDetection's encoder layers take no other attention by config. Names of weights and random numbers drawn are
    MMDetection's: the same seed gives the same weights. Sizes stay numbers of Python, where MMDetection's forward asks
    the device for them nine times and waits.

    Args:
        **kwargs: Of MSDeformAttnPixelDecoder.
    """

    def __init__(self, **kwargs) -> None:
        super().__init__(**kwargs)
        with torch.random.fork_rng(devices=[]):
            for layer in self.encoder.layers:
                attention = FusedMultiScaleDeformableAttention(**layer.self_attn_cfg)
                attention.load_state_dict(layer.self_attn.state_dict())
                layer.self_attn = attention

    def forward(self, feats: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
        """Attend across the coarse levels, then add the fine ones from the top down.

        Args:
            feats: Of the backbone, (batch, channels, h, w) each, the finest first.

        Returns:
            Mask features (batch, out_channels, h, w) at the finest level, and `num_outs` maps
            (batch, feat_channels, h, w), the coarsest first.
        """
        outputs = self._encode(feats[::-1][: self.num_encoder_levels])
        for number in reversed(range(self.num_input_levels - self.num_encoder_levels)):
            lateral = self.lateral_convs[number](feats[number])
            above = F.interpolate(outputs[-1], size=lateral.shape[-2:], mode='bilinear', align_corners=False)
            outputs.append(self.output_convs[number](lateral + above))
        return self.mask_feature(outputs[-1]), outputs[: self.num_outs]

    def _encode(self, levels: list[Tensor]) -> list[Tensor]:
        """Maps of all levels, the coarsest first, after the transformer encoder."""
        batch, device = len(levels[0]), levels[0].device
        sizes = [tuple(level.shape[-2:]) for level in levels]
        projected = [conv(level) for conv, level in zip(self.input_convs, levels, strict=True)]
        nowhere = [torch.zeros(batch, *size, dtype=torch.bool, device=device) for size in sizes]  # no padding
        positions = [
            self.postional_encoding(mask) + embedding.view(1, -1, 1, 1)
            for mask, embedding in zip(nowhere, self.level_encoding.weight, strict=True)
        ]
        shapes = torch.tensor(sizes, device=device)
        keys = [height * width for height, width in sizes]
        references = torch.cat([_centres(size, device) for size in sizes])
        memory = self.encoder(
            query=_tokens(projected),
            query_pos=_tokens(positions),
            key_padding_mask=None,
            spatial_shapes=shapes,
            reference_points=references[None, :, None].expand(batch, -1, len(levels), -1),
            level_start_index=torch.tensor([0, *itertools.accumulate(keys[:-1])], device=device),
            valid_ratios=references.new_ones(batch, len(levels), 2),
        )
        pieces = memory.split(keys, dim=1)
        return [piece.mT.unflatten(2, size) for piece, size in zip(pieces, sizes, strict=True)]


def _tokens(maps: list[Tensor]) -> Tensor:
    """Pixels of all maps (batch, channels, h, w), one after another: (batch, pixels, channels)."""
    return torch.cat([pixels.flatten(2).mT for pixels in maps], 1)


def _centres(size_hw: tuple[int, int], device: torch.device) -> Tensor:
    """Centres of pixels, row by row, x and y from 0 to 1 over the map's outer edges, (h * w, 2)."""
    y, x = ((torch.arange(count, device=device) + 0.5) / count for count in size_hw)
    return torch.stack(torch.meshgrid(x, y, indexing='xy'), -1).flatten(0, 1)
