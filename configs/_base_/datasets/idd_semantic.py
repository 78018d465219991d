"""Semantic traffic scenes in the layout of IDD, as `python -m data_prep semantic data/idd` lists them.

    data/idd/leftImg8bit/{train,val,test}/SEQUENCE/FRAME_leftImg8bit.png
    data/idd/gtFine/{train,val}/SEQUENCE/FRAME_gtFine_labellevel3Ids.png
    data/idd/annotations/semantic_{train,val}.json

Classes and colours are those of the files, whose level was chosen when they were listed: 26, 16 or 7. IDD's test split
has no labels; the test is on its validation split.
"""

_base_ = 'label_maps.py'

data_root = 'data/idd/'
# Width, height in px. Frames of 1920 x 1080 are seen at 1280 x 720, and scored and drawn at their own size.
image_size = (1280, 736)

train_pipeline = [
    dict(type='LoadImageFromFile', to_float32=False),
    dict(type='LoadLabelMap'),
    dict(type='ContiguousRandomFlip', prob=0.5),
    dict(type='RandomResize', scale=None, ratio_range=(0.5, 2.0), resize_type='Resize', keep_ratio=True),
    dict(type='RandomCrop', crop_size=None, crop_type='absolute', allow_negative_crop=True),
    dict(type='BytePhotoMetricDistortion'),
    dict(type='ObjectsFromMap', min_area=16),
    dict(type='ContiguousPackDetInputs'),
]

train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
test_dataloader = dict(dataset=dict(ann_file='annotations/semantic_val.json'))
