"""Names of Hugging Face's Mask2FormerForUniversalSegmentation, in its files and, where they differ, in memory."""

import re

BACKBONE, PIXEL = r'(?:model\.)?pixel_level_module\.encoder\.', r'(?:model\.)?pixel_level_module\.decoder\.'
HEAD = r'(?:model\.)?transformer_module\.'
DECODER, ENCODER = 'panoptic_head.transformer_decoder.layers', 'panoptic_head.pixel_decoder.encoder.layers'
EMBEDDINGS = BACKBONE + r'(?:swin\.|model\.)?embeddings\.'
BLOCK = BACKBONE + r'(?:swin\.|model\.)?encoder\.layers\.(\d+\.blocks\.\d+)\.'
PARTS = {'query': 'q', 'key': 'k', 'value': 'v'}


def _swin_part(match: re.Match) -> str:
    """Query, key and value are one matrix here."""
    return f'backbone.stages.{match[1]}.attn.w_msa.qkv.{match[3]}[{match[2][0]}]'


def _swin_part_spelt(match: re.Match) -> str:
    return f'backbone.stages.{match[1]}.attn.w_msa.qkv.{match[3]}[{PARTS[match[2]]}]'


def _stage_norm(match: re.Match) -> str:
    """Norms count from 0 here, `stageN` from 1; the oldest files count from 0 too."""
    return f'backbone.norm{int(match[2]) - 1 if match[1] else match[2]}.{match[3]}'


def _resnet(match: re.Match) -> str:
    block, kind = f'backbone.layer{int(match[1]) + 1}.{match[2]}', match['kind']
    if match['conv'] is None:
        return f'{block}.downsample.{int(kind == "normalization")}.{match["part"]}'
    return f'{block}.{"conv" if kind == "convolution" else "bn"}{int(match["conv"]) + 1}.{match["part"]}'


SWIN = [
    (EMBEDDINGS + r'patch_embeddings\.projection\.(\w+)', r'backbone.patch_embed.projection.\1'),
    (EMBEDDINGS + r'norm\.(\w+)', r'backbone.patch_embed.norm.\1'),
    (BLOCK + r'attention\.self\.(query|key|value)\.(\w+)', _swin_part_spelt),
    (BLOCK + r'attention\.([qkv])_proj\.(\w+)', _swin_part),
    (BLOCK + r'attention\.(?:output\.dense|o_proj)\.(\w+)', r'backbone.stages.\1.attn.w_msa.proj.\2'),
    (
        BLOCK + r'attention\.(?:self|relative_position_bias)\.relative_position_bias_table',
        r'backbone.stages.\1.attn.w_msa.relative_position_bias_table',
    ),
    (BLOCK + r'layernorm_before\.(\w+)', r'backbone.stages.\1.norm1.\2'),
    (BLOCK + r'layernorm_after\.(\w+)', r'backbone.stages.\1.norm2.\2'),
    (BLOCK + r'(?:intermediate\.dense|mlp\.fc1)\.(\w+)', r'backbone.stages.\1.ffn.layers.0.0.\2'),
    (BLOCK + r'(?:output\.dense|mlp\.fc2)\.(\w+)', r'backbone.stages.\1.ffn.layers.1.\2'),
    (
        BACKBONE + r'(?:swin\.|model\.)?encoder\.layers\.(\d+)\.downsample\.(norm|reduction)\.(\w+)',
        r'backbone.stages.\1.downsample.\2.\3',
    ),
    (BACKBONE + r'hidden_states_norms\.(stage)?(\d)\.(\w+)', _stage_norm),
]
RESNET = [
    (BACKBONE + r'embedder\.embedder\.convolution\.(\w+)', r'backbone.conv1.\1'),
    (BACKBONE + r'embedder\.embedder\.normalization\.(\w+)', r'backbone.bn1.\1'),
    (
        BACKBONE + r'encoder\.stages\.(\d)\.layers\.(\d+)\.(?:shortcut|layer\.(?P<conv>\d))'
        r'\.(?P<kind>convolution|normalization)\.(?P<part>\w+)',
        _resnet,
    ),
]
PIXEL_DECODER = [
    (PIXEL + r'input_projections\.(\d)\.0\.(\w+)', r'panoptic_head.pixel_decoder.input_convs.\1.conv.\2'),
    (PIXEL + r'input_projections\.(\d)\.1\.(\w+)', r'panoptic_head.pixel_decoder.input_convs.\1.gn.\2'),
    (PIXEL + r'level_embed', 'panoptic_head.pixel_decoder.level_encoding.weight'),
    (PIXEL + r'encoder\.layers\.(\d+\.self_attn\.\w+\.\w+)', rf'{ENCODER}.\1'),
    (PIXEL + r'encoder\.layers\.(\d+)\.fc1\.(\w+)', rf'{ENCODER}.\1.ffn.layers.0.0.\2'),
    (PIXEL + r'encoder\.layers\.(\d+)\.fc2\.(\w+)', rf'{ENCODER}.\1.ffn.layers.1.\2'),
    (PIXEL + r'encoder\.layers\.(\d+)\.self_attn_layer_norm\.(\w+)', rf'{ENCODER}.\1.norms.0.\2'),
    (PIXEL + r'encoder\.layers\.(\d+)\.final_layer_norm\.(\w+)', rf'{ENCODER}.\1.norms.1.\2'),
    (PIXEL + r'adapter_1\.0\.(\w+)', r'panoptic_head.pixel_decoder.lateral_convs.0.conv.\1'),
    (PIXEL + r'adapter_1\.1\.(\w+)', r'panoptic_head.pixel_decoder.lateral_convs.0.gn.\1'),
    (PIXEL + r'layer_1\.0\.(\w+)', r'panoptic_head.pixel_decoder.output_convs.0.conv.\1'),
    (PIXEL + r'layer_1\.1\.(\w+)', r'panoptic_head.pixel_decoder.output_convs.0.gn.\1'),
    (PIXEL + r'mask_projection\.(\w+)', r'panoptic_head.pixel_decoder.mask_feature.\1'),
]
PREDICTOR = [
    (HEAD + r'decoder\.layers\.(\d+)\.self_attn\.([qkv])_proj\.(\w+)', rf'{DECODER}.\1.self_attn.attn.in_proj_\3[\2]'),
    (HEAD + r'decoder\.layers\.(\d+)\.(self|cross)_attn\.(\w+|out_proj\.\w+)', rf'{DECODER}.\1.\2_attn.attn.\3'),
    (HEAD + r'decoder\.layers\.(\d+)\.cross_attn_layer_norm\.(\w+)', rf'{DECODER}.\1.norms.0.\2'),
    (HEAD + r'decoder\.layers\.(\d+)\.self_attn_layer_norm\.(\w+)', rf'{DECODER}.\1.norms.1.\2'),
    (HEAD + r'decoder\.layers\.(\d+)\.final_layer_norm\.(\w+)', rf'{DECODER}.\1.norms.2.\2'),
    (HEAD + r'decoder\.layers\.(\d+)\.fc1\.(\w+)', rf'{DECODER}.\1.ffn.layers.0.0.\2'),
    (HEAD + r'decoder\.layers\.(\d+)\.fc2\.(\w+)', rf'{DECODER}.\1.ffn.layers.1.\2'),
    (HEAD + r'decoder\.layernorm\.(\w+)', r'panoptic_head.transformer_decoder.post_norm.\1'),
    (
        HEAD + r'decoder\.mask_predictor\.mask_embedder\.(\d)\.0\.(\w+)',
        lambda match: f'panoptic_head.mask_embed.{2 * int(match[1])}.{match[2]}',
    ),
    (HEAD + r'queries_embedder\.weight', 'panoptic_head.query_embed.weight'),
    (HEAD + r'queries_features\.weight', 'panoptic_head.query_feat.weight'),
    (HEAD + r'level_embed\.weight', 'panoptic_head.level_embed.weight'),
    (r'class_predictor\.(\w+)', r'panoptic_head.cls_embed.\1'),
]
RULES = [*SWIN, *RESNET, *PIXEL_DECODER, *PREDICTOR]
# The classification model's last norm of Swin is not used where features are taken.
NEEDLESS = r'criterion\.empty_weight|.*relative_position_index|' + BACKBONE + r'(?:swin\.|model\.)?layernorm\.\w+'
