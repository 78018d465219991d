"""MMDetection's own classes, for configs that put them in place of this project's: model, loading and flips."""

mmdet_model = dict(
    panoptic_head=dict(type='Mask2FormerHead', pixel_decoder=dict(type='MSDeformAttnPixelDecoder')),
    panoptic_fusion_head=dict(type='MaskFormerFusionHead'),
    train_cfg=dict(assigner=dict(type='HungarianAssigner')),
    test_cfg=dict(
        _delete_=True,
        panoptic_on=False,
        semantic_on=False,
        instance_on=True,
        max_per_image=None,
        iou_thr=0.8,
        filter_low_score=True,
    ),
)
mmdet_load = [
    dict(type='LoadImageFromFile', to_float32=True),
    dict(type='LoadAnnotations', with_bbox=True, with_mask=True),
]
# No quarter turns there; the three flips are the nearest.
mmdet_flip = dict(type='RandomFlip', prob=[0.25, 0.25, 0.25], direction=['horizontal', 'vertical', 'diagonal'])
mmdet_pack = dict(type='PackDetInputs')
