"""Attention through PyTorch's fused kernels, with Mask2Former's mask as booleans shared by all heads."""

import torch
import torch.nn.functional as F
from mmcv.cnn.bricks.transformer import MultiheadAttention
from mmdet.models.layers import DetrTransformerDecoder
from torch import Tensor, nn


class FusedMultiheadAttention(MultiheadAttention):
    """mmcv's MultiheadAttention by `scaled_dot_product_attention`: no attention weights are kept or averaged.

    Weights and their names are mmcv's.
    """

    def forward(
        self,
        query: Tensor,
        key: Tensor | None = None,
        value: Tensor | None = None,
        identity: Tensor | None = None,
        query_pos: Tensor | None = None,
        key_pos: Tensor | None = None,
        attn_mask: Tensor | None = None,
        key_padding_mask: Tensor | None = None,
        **kwargs,
    ) -> Tensor:
        """Attend.

        Args:
            query: (batch, queries, embed_dims); `batch_first` must be set.
            key: (batch, keys, embed_dims); `query` by default.
            value: As large as `key`, and by default the same.
            identity: What is added to the result; `query` by default.
            query_pos: Added to `query`.
            key_pos: Added to `key`; `query_pos` by default where its shape is that of the keys.
            attn_mask: True where a query may not look, (batch, 1 or heads, queries, keys); no row may be all true.
            key_padding_mask: Must be None; Mask2Former has none.
            **kwargs: Not used.

        Returns:
            As large as `query`.
        """
        if key_padding_mask is not None:
            raise NotImplementedError('key_padding_mask must be None: Mask2Former attends to padding as to the image.')
        key = query if key is None else key
        value = key if value is None else value
        identity = query if identity is None else identity
        if key_pos is None and query_pos is not None and query_pos.shape == key.shape:
            key_pos = query_pos
        query = query if query_pos is None else query + query_pos
        key = key if key_pos is None else key + key_pos
        attention = self.attn
        projected = (
            F.linear(tensor, weight, bias).unflatten(-1, (self.attn.num_heads, -1)).transpose(1, 2)
            for tensor, weight, bias in zip(
                (query, key, value), attention.in_proj_weight.chunk(3), attention.in_proj_bias.chunk(3), strict=True
            )
        )
        dropout = attention.dropout if self.training else 0.0
        allowed = None if attn_mask is None else ~attn_mask
        found = F.scaled_dot_product_attention(*projected, attn_mask=allowed, dropout_p=dropout)
        return identity + self.dropout_layer(self.proj_drop(attention.out_proj(found.transpose(1, 2).flatten(2))))


def fuse_attention(decoder: DetrTransformerDecoder) -> None:
    """Have the layers of a decoder attend by FusedMultiheadAttention, in place; weights and random numbers stay."""
    for layer in decoder.layers:
        for name in ('self_attn', 'cross_attn'):
            setattr(layer, name, _fused(getattr(layer, name)))


def _fused(attention: MultiheadAttention) -> nn.Module:
    if not attention.batch_first:
        raise NotImplementedError('transformer_decoder.layer_cfg: batch_first must be True in both attentions.')
    with torch.random.fork_rng(devices=[]):
        fused = FusedMultiheadAttention(attention.embed_dims, attention.num_heads, batch_first=True)
    fused.attn, fused.proj_drop, fused.dropout_layer = attention.attn, attention.proj_drop, attention.dropout_layer
    return fused
