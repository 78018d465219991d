"""Full COCO at 480 px from ImageNet: 50 epochs of 16 photos an update, 1e-4, 10,000 updates of warm-up.

    python -m data_prep pack data/coco --out data/coco_packed    # where single files are slow
    python tools/train.py configs/coco/m2f_r50_480.py --cfg-options data_root=data/coco_packed
    bash tools/dist_train.sh configs/coco/m2f_r50_480.py 4 --cfg-options train_dataloader.batch_size=4
    python tools/test.py configs/coco/m2f_r50_480.py work_dirs/m2f_r50_480/best_*.pth

Not measured (needs a GPU and COCO). docs/workflows.md has the same at toy size. Batch 16 is that of one process: four
processes take 4 photos each, or 16 each at a higher rate (1e-4 x sqrt(4); --auto-scale-lr makes it 4e-4).
Checkpoints: `checkpoint_epochs=N`. No augmentation: `augment=False`. Mask loss on all pixels:
`model.panoptic_head.mask_loss_on=pixels`.
"""

_base_ = [
    '../_base_/datasets/coco_480.py',
    '../_base_/models/mask2former_r50.py',
    '../_base_/schedules/adamw_epochs.py',
    '../_base_/default_runtime.py',
]

model = dict(panoptic_head=dict(mask_loss_on='points'))
default_hooks = dict(checkpoint=dict(interval=None), visualization=dict(score_thr=0.5))
