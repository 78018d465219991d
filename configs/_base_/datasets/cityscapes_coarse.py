"""Classes of pixels in Cityscapes: coarse label maps to learn from, fine ones to be scored on, at half their size.

As `python -m data_prep cityscapes ROOT --out data/cityscapes` lists them.
"""

_base_ = 'label_maps.py'

data_root = 'data/cityscapes/'
image_size = (1024, 512)  # width, height in px

# The file's last category, `void`, is not named: its pixels are not learnt from and not scored.
classes = (
    'road', 'sidewalk', 'building', 'wall', 'fence', 'pole', 'traffic light', 'traffic sign', 'vegetation', 'terrain',
    'sky', 'person', 'rider', 'car', 'truck', 'bus', 'train', 'motorcycle', 'bicycle',
)  # fmt: skip
metainfo = dict(classes=classes)

folder = dict(data_prefix=dict(img='images/'))
train_dataloader = dict(batch_size=8, dataset=dict(ann_file='annotations/semantic_coarse.json', **folder))
val_dataloader = dict(dataset=folder)
test_dataloader = dict(dataset=folder)
