"""The configs of `configs/cityscapes` at toy size, for a folder in which the documented commands run as they stand.

A command finds the file that lies where it is started before the repository's, so each of these has the name of a real
one and inherits it.
"""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BACKBONE = 'backbone=dict(depth=18, base_channels=16, {norms}init_cfg=None)'
LEARNING = 'norm_cfg=dict(requires_grad=True), norm_eval=False, '
SIZES = """
image_size = (96, 64)
train_dataloader = dict(batch_size=4, num_workers=0, persistent_workers=False)
val_dataloader = dict(batch_size=4, num_workers=0, persistent_workers=False)
test_dataloader = dict(batch_size=4, num_workers=0, persistent_workers=False)
lr_warmup_updates = 5
default_hooks = dict(logger=dict(interval=2))
"""
STAGE0 = """
model = dict(
    {backbone},
    neck=dict(in_channels=[16, 32, 64, 128], out_channels=32),
    semantic_head=dict(in_channels=32, inner_channels=32, norm_cfg=dict(num_groups=8)),
)
epochs = {epochs}
validation_epochs = checkpoint_epochs = {epochs} / 2
optim_wrapper = dict(optimizer=dict(lr=3e-3))
"""
MASK_RCNN = """
model = dict(
    {backbone},
    neck=dict(in_channels=[16, 32, 64, 128], out_channels=32),
    rpn_head=dict(in_channels=32, feat_channels=32),
    roi_head=dict(
        bbox_roi_extractor=dict(out_channels=32),
        bbox_head=dict(in_channels=32, fc_out_channels=128),
        mask_roi_extractor=dict(out_channels=32),
        mask_head=dict(in_channels=32, conv_out_channels=32, num_convs=2),
    ),
    train_cfg=dict(rpn_proposal=dict(nms_pre=200, max_per_img=50), rcnn=dict(sampler=dict(num=32))),
    test_cfg=dict(rpn=dict(nms_pre=200, max_per_img=50)),
)
epochs = {epochs}
validation_epochs = checkpoint_epochs = {epochs} / 2
optim_wrapper = dict(accumulative_counts=1, optimizer=dict(lr={lr}))
"""
MASK2FORMER = """
model = dict(
    {backbone},
    panoptic_head=dict(
        in_channels=[16, 32, 64, 128],
        feat_channels=32,
        out_channels=32,
        num_queries=12,
        pixel_decoder=dict(
            encoder=dict(
                num_layers=1,
                layer_cfg=dict(
                    self_attn_cfg=dict(embed_dims=32), ffn_cfg=dict(embed_dims=32, feedforward_channels=64)
                ),
            ),
            positional_encoding=dict(num_feats=16),
        ),
        positional_encoding=dict(num_feats=16),
        transformer_decoder=dict(
            num_layers=2,
            layer_cfg=dict(
                self_attn_cfg=dict(embed_dims=32),
                cross_attn_cfg=dict(embed_dims=32),
                ffn_cfg=dict(embed_dims=32, feedforward_channels=64),
            ),
        ),
    ),
    train_cfg=dict(num_points=512),
)
epochs = {epochs}
validation_epochs = checkpoint_epochs = {epochs} / 2
optim_wrapper = dict(accumulative_counts=1, optimizer=dict(lr={lr}))
"""
SEARCH_ENDS = """
for _key in ('train_cfg.max_iters', 'train_cfg.val_interval', 'default_hooks.checkpoint.interval'):
    sweep['options'][_key] = 4
sweep['max_trials'] = {trials}
"""
# The rates and queries that suit a network of this size.
SEARCH_OF_MASK2FORMER = """
search_space['optim_wrapper.optimizer.lr'] = dict(type='float', low=1e-3, high=3e-3, log=True)
search_space['model.panoptic_head.num_queries'] = dict(type='int', low=8, high=16, step=4)
sweep['enqueue'][0].update({'optim_wrapper.optimizer.lr': 2e-3, 'model.panoptic_head.num_queries': 12})
"""


def write_configs(folder, *, epochs=(2, 2, 2, 2), trials=2):
    """Write configs and searches of toy size below a folder.

    Args:
        epochs: Of the four stages.
        trials: Of a search.
    """
    real = ROOT / 'configs'
    learning, standing = (BACKBONE.format(norms=norms) for norms in (LEARNING, ''))
    texts = {'semantic_r50_stage0': STAGE0.format(backbone=learning, epochs=epochs[0])}
    for name, text, rates in (
        ('mask_rcnn', MASK_RCNN, (0.02, 0.01, 0.002)), ('mask2former', MASK2FORMER, (3e-3, 1e-3, 1e-4))
    ):  # fmt: skip
        for stage, rate in enumerate(rates, 1):
            filled = text.format(backbone=standing, epochs=epochs[stage], lr=rate)
            texts[f'{name}_r50_stage{stage}'] = filled
    for name, text in texts.items():
        path = Path(folder, f'configs/cityscapes/{name}.py')
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"_base_ = ['{real}/cityscapes/{name}.py']\n{text}{SIZES}")
    for name in ('mask_rcnn', 'mask2former'):
        path = Path(folder, f'configs/sweeps/cityscapes_{name}.py')
        path.parent.mkdir(parents=True, exist_ok=True)
        source = (real / f'sweeps/cityscapes_{name}.py').read_text()
        more = SEARCH_OF_MASK2FORMER if name == 'mask2former' else ''
        path.write_text(source + SEARCH_ENDS.format(trials=trials) + more)
