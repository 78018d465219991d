"""Mask2Former with a ResNet-50, as MMDetection publishes it for instances; a test compares the two.

What differs from MMDetection's model, and why:
- class counts, `class_weight` and `max_per_image` are None and follow from the data set's classes and the queries;
- no `BatchFixedSizePad`: batches are padded to their largest image, as padding is not masked in the attention;
- head and assigner are MMDetection's with float32 where half precision breaks, and with all decoder layers matched and
  compared at once; without --amp they compute the same on the same sampled points;
- deformable attention is one operator of our own on the CPU, compiled there at its first use; on CUDA it is mmcv's;
- masks are enlarged in blocks and kept as RLE, those of detections that score below 0.01 not at all: a trained demo
  lost nothing of its segm AP of 0.237 by it (bbox 0.356 -> 0.355), and 60 % of its detections;
- ImageNet weights by their address instead of `torchvision://`, which needs torchvision to be installed.

Memory legend: num_queries x image area / 16 floats for the masks of each of the 10 supervised layers.
"""

model = dict(
    type='Mask2Former',
    data_preprocessor=dict(
        type='DetDataPreprocessor',
        mean=[123.675, 116.28, 103.53],  # RGB; files are read as BGR and turned here
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
        pad_size_divisor=32,
        pad_mask=True,
        mask_pad_value=0,
        pad_seg=False,
        batch_augments=None,
    ),
    backbone=dict(
        type='ResNet',
        depth=50,
        num_stages=4,
        out_indices=(0, 1, 2, 3),
        frozen_stages=-1,
        norm_cfg=dict(type='BN', requires_grad=False),
        norm_eval=True,
        style='pytorch',
        init_cfg=dict(type='Pretrained', checkpoint='https://download.pytorch.org/models/resnet50-0676ba61.pth'),
    ),
    panoptic_head=dict(
        type='BatchedMask2FormerHead',  # Float32Mask2FormerHead: the same, layer by layer as MMDetection does
        in_channels=[256, 512, 1024, 2048],
        strides=[4, 8, 16, 32],
        feat_channels=256,
        out_channels=256,
        num_things_classes=None,
        num_stuff_classes=0,
        num_queries=100,
        num_transformer_feat_level=3,
        pixel_decoder=dict(
            type='FusedMSDeformAttnPixelDecoder',  # without Fused: mmcv's attention, on the CPU 20 times as slow
            num_outs=3,
            norm_cfg=dict(type='GN', num_groups=32),
            act_cfg=dict(type='ReLU'),
            encoder=dict(
                num_layers=6,
                layer_cfg=dict(
                    self_attn_cfg=dict(  # of mmcv's MultiScaleDeformableAttention
                        embed_dims=256, num_heads=8, num_levels=3, num_points=4, dropout=0.0, batch_first=True
                    ),
                    ffn_cfg=dict(
                        embed_dims=256,
                        feedforward_channels=1024,
                        num_fcs=2,
                        ffn_drop=0.0,
                        act_cfg=dict(type='ReLU', inplace=True),
                    ),
                ),
            ),
            positional_encoding=dict(num_feats=128, normalize=True),
        ),
        enforce_decoder_input_project=False,
        positional_encoding=dict(num_feats=128, normalize=True),
        transformer_decoder=dict(
            return_intermediate=True,
            num_layers=9,
            layer_cfg=dict(
                self_attn_cfg=dict(embed_dims=256, num_heads=8, dropout=0.0, batch_first=True),
                cross_attn_cfg=dict(embed_dims=256, num_heads=8, dropout=0.0, batch_first=True),
                ffn_cfg=dict(
                    embed_dims=256,
                    feedforward_channels=2048,
                    num_fcs=2,
                    ffn_drop=0.0,
                    act_cfg=dict(type='ReLU', inplace=True),
                ),
            ),
            init_cfg=None,
        ),
        # class_weight: 1 for each class and 0.1 for "no object", the last one
        loss_cls=dict(type='CrossEntropyLoss', use_sigmoid=False, loss_weight=2.0, reduction='mean', class_weight=None),
        loss_mask=dict(type='CrossEntropyLoss', use_sigmoid=True, reduction='mean', loss_weight=5.0),
        loss_dice=dict(
            type='DiceLoss',
            use_sigmoid=True,
            activate=True,
            reduction='mean',
            naive_dice=True,
            eps=1.0,
            loss_weight=5.0,
        ),
    ),
    panoptic_fusion_head=dict(
        type='BlockwiseFusionHead',
        num_things_classes=None,
        num_stuff_classes=0,
        loss_panoptic=None,
        init_cfg=None,
    ),
    train_cfg=dict(
        num_points=12544,
        oversample_ratio=3.0,
        importance_sample_ratio=0.75,
        assigner=dict(
            type='GuardedHungarianAssigner',
            match_costs=[
                dict(type='ClassificationCost', weight=2.0),
                dict(type='CrossEntropyLossCost', weight=5.0, use_sigmoid=True),
                dict(type='DiceCost', weight=5.0, pred_act=True, eps=1.0),
            ],
        ),
        sampler=dict(type='MaskPseudoSampler'),
    ),
    test_cfg=dict(
        panoptic_on=False,
        semantic_on=False,
        instance_on=True,
        max_per_image=None,
        score_thr=0.01,
        matrix_nms_sigma=None,  # 2.0 lowers the scores of duplicates, which short runs leave
        mask_format='rle',
        mask_memory_mb=256,
        iou_thr=0.8,
        filter_low_score=True,
    ),
    init_cfg=None,
)
