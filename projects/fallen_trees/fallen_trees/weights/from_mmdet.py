"""Names of MMDetection's own Mask2Former: ours are the same, but for version 2, which numbered attentions and FFNs."""

ENCODER = r'(panoptic_head\.pixel_decoder\.encoder\.layers\.\d+)'
DECODER = r'(panoptic_head\.transformer_decoder\.layers\.\d+)'
RULES = [
    (ENCODER + r'\.attentions\.0\.(.+)', r'\1.self_attn.\2'),
    (DECODER + r'\.attentions\.0\.(.+)', r'\1.cross_attn.\2'),  # in its order of operation
    (DECODER + r'\.attentions\.1\.(.+)', r'\1.self_attn.\2'),
    (r'(panoptic_head\.\w+\.(?:encoder\.)?layers\.\d+)\.ffns\.0\.(.+)', r'\1.ffn.\2'),
    (r'((?:backbone|panoptic_head)\..+)', r'\1'),
]
NEEDLESS = r'data_preprocessor\..+'
