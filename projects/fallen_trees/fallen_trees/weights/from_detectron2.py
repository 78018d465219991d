"""Names of the official Mask2Former, built on Detectron2, with a ResNet or a Swin Transformer.

Its ResNets are torchvision's (stride in the 3 x 3 convolution, `style='pytorch'` here) and see RGB with mean 123.675,
116.28, 103.53 and deviation 58.395, 57.12, 57.375: our `mask2former_r50.py` as it is.
"""

import re

HEAD, PIXEL = r'sem_seg_head\.predictor\.', r'sem_seg_head\.pixel_decoder\.'
DECODER, ENCODER = 'panoptic_head.transformer_decoder.layers', 'panoptic_head.pixel_decoder.encoder.layers'


def _stage(match: re.Match) -> str:
    """Stages res2 to res5 are layer1 to layer4."""
    block = f'backbone.layer{int(match["stage"]) - 1}.{match["block"]}'
    norm, part = match['norm'], match['part']
    if match['conv'] == 'shortcut':
        return f'{block}.downsample.{1 if norm else 0}.{part}'
    return f'{block}.bn{match["conv"][-1]}.{part}' if norm else f'{block}.{match["conv"]}.{part}'


SWIN = [
    (r'backbone\.patch_embed\.proj\.(\w+)', r'backbone.patch_embed.projection.\1'),
    (r'backbone\.(patch_embed\.norm|norm\d)\.(\w+)', r'backbone.\1.\2'),
    (r'backbone\.layers\.(\d+\.(?:blocks\.\d+\.norm[12]|downsample\.(?:norm|reduction))\.\w+)', r'backbone.stages.\1'),
    (
        r'backbone\.layers\.(\d+\.blocks\.\d+\.attn)\.((?:qkv|proj)\.\w+|relative_position_bias_table)',
        r'backbone.stages.\1.w_msa.\2',
    ),
    (r'backbone\.layers\.(\d+\.blocks\.\d+)\.mlp\.fc1\.(\w+)', r'backbone.stages.\1.ffn.layers.0.0.\2'),
    (r'backbone\.layers\.(\d+\.blocks\.\d+)\.mlp\.fc2\.(\w+)', r'backbone.stages.\1.ffn.layers.1.\2'),
]
RESNET = [
    (r'backbone\.stem\.conv1\.weight', 'backbone.conv1.weight'),
    (r'backbone\.stem\.conv1\.norm\.(\w+)', r'backbone.bn1.\1'),
    (
        r'backbone\.res(?P<stage>[2-5])\.(?P<block>\d+)\.(?P<conv>conv[123]|shortcut)\.(?P<norm>norm\.)?(?P<part>\w+)',
        _stage,
    ),
]
PIXEL_DECODER = [
    (PIXEL + r'input_proj\.(\d)\.0\.(\w+)', r'panoptic_head.pixel_decoder.input_convs.\1.conv.\2'),
    (PIXEL + r'input_proj\.(\d)\.1\.(\w+)', r'panoptic_head.pixel_decoder.input_convs.\1.gn.\2'),
    (PIXEL + r'transformer\.level_embed', 'panoptic_head.pixel_decoder.level_encoding.weight'),
    (PIXEL + r'transformer\.encoder\.layers\.(\d+\.self_attn\.\w+\.\w+)', rf'{ENCODER}.\1'),
    (PIXEL + r'transformer\.encoder\.layers\.(\d+)\.linear1\.(\w+)', rf'{ENCODER}.\1.ffn.layers.0.0.\2'),
    (PIXEL + r'transformer\.encoder\.layers\.(\d+)\.linear2\.(\w+)', rf'{ENCODER}.\1.ffn.layers.1.\2'),
    (PIXEL + r'transformer\.encoder\.layers\.(\d+)\.norm1\.(\w+)', rf'{ENCODER}.\1.norms.0.\2'),
    (PIXEL + r'transformer\.encoder\.layers\.(\d+)\.norm2\.(\w+)', rf'{ENCODER}.\1.norms.1.\2'),
    (PIXEL + r'adapter_1\.norm\.(\w+)', r'panoptic_head.pixel_decoder.lateral_convs.0.gn.\1'),
    (PIXEL + r'adapter_1\.(\w+)', r'panoptic_head.pixel_decoder.lateral_convs.0.conv.\1'),
    (PIXEL + r'layer_1\.norm\.(\w+)', r'panoptic_head.pixel_decoder.output_convs.0.gn.\1'),
    (PIXEL + r'layer_1\.(\w+)', r'panoptic_head.pixel_decoder.output_convs.0.conv.\1'),
    (PIXEL + r'mask_features\.(\w+)', r'panoptic_head.pixel_decoder.mask_feature.\1'),
]
PREDICTOR = [
    (HEAD + r'transformer_cross_attention_layers\.(\d+)\.multihead_attn\.(.+)', rf'{DECODER}.\1.cross_attn.attn.\2'),
    (HEAD + r'transformer_cross_attention_layers\.(\d+)\.norm\.(\w+)', rf'{DECODER}.\1.norms.0.\2'),
    (HEAD + r'transformer_self_attention_layers\.(\d+)\.self_attn\.(.+)', rf'{DECODER}.\1.self_attn.attn.\2'),
    (HEAD + r'transformer_self_attention_layers\.(\d+)\.norm\.(\w+)', rf'{DECODER}.\1.norms.1.\2'),
    (HEAD + r'transformer_ffn_layers\.(\d+)\.linear1\.(\w+)', rf'{DECODER}.\1.ffn.layers.0.0.\2'),
    (HEAD + r'transformer_ffn_layers\.(\d+)\.linear2\.(\w+)', rf'{DECODER}.\1.ffn.layers.1.\2'),
    (HEAD + r'transformer_ffn_layers\.(\d+)\.norm\.(\w+)', rf'{DECODER}.\1.norms.2.\2'),
    (HEAD + r'decoder_norm\.(\w+)', r'panoptic_head.transformer_decoder.post_norm.\1'),
    (HEAD + r'(?:query_feat|static_query)\.weight', 'panoptic_head.query_feat.weight'),  # renamed in its version 2
    (HEAD + r'(query_embed|level_embed)\.weight', r'panoptic_head.\1.weight'),
    (HEAD + r'class_embed\.(\w+)', r'panoptic_head.cls_embed.\1'),
    (HEAD + r'mask_embed\.layers\.(\d)\.(\w+)', lambda m: f'panoptic_head.mask_embed.{2 * int(m[1])}.{m[2]}'),
]
RULES = [*SWIN, *RESNET, *PIXEL_DECODER, *PREDICTOR]
NEEDLESS = r'criterion\.empty_weight|pixel_(mean|std)|.*\.relative_position_index|.*\.attn_mask'
