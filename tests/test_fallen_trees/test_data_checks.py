"""Each fault of annotations and images is found by name; healthy data and variants of a run are not talked of."""

import json
import shutil

import cv2
import numpy as np
import pytest

pytest.importorskip('mmdet')
from mmengine.config import Config  # noqa: E402
from mmengine.registry import init_default_scope  # noqa: E402

import fallen_trees  # noqa: E402, F401
from data_prep.__main__ import main  # noqa: E402
from fallen_trees.checks.data import DATA_CHECKS  # noqa: E402
from fallen_trees.checks.data.mask_pitch import grid_ceiling, width_px  # noqa: E402
from fallen_trees.checks.finding import Verdict  # noqa: E402
from fallen_trees.checks.subject import Subject  # noqa: E402
from fallen_trees.derive.config import REPOSITORY, derive  # noqa: E402

IMAGENET = dict(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375])
CHECKS = {check.__name__.removeprefix('check_').replace('_', '-'): check for check in DATA_CHECKS}


@pytest.fixture(scope='module')
def drawn(tmp_path_factory):
    """Three drawn scenes in tiles of 128 px: for training, validation and test."""
    folder = tmp_path_factory.mktemp('drawn')
    options = ['--scenes', '3', '--size', '512', '--trees', '8-10', '--difficulty', 'easy', '--seed', '1']
    assert main(['synth', '--out', f'{folder}/scenes', *options]) == 0
    options = ['--tile-size', '128', '--min-visible', '0.2', '--val', 'synth_01', '--test', 'synth_02']
    assert main(['tile', f'{folder}/scenes', '--out', f'{folder}/data', *options]) in (0, 1)
    return folder / 'data'


@pytest.fixture
def copy(drawn, tmp_path):
    """A copy of the data set to spoil, beside the scenes as the original."""
    (tmp_path / 'scenes').symlink_to(drawn.parent / 'scenes')
    return shutil.copytree(drawn, tmp_path / 'data')


def subject_of(data, **options):
    init_default_scope('mmdet')
    cfg = Config.fromfile(REPOSITORY / 'configs/m2f_trees_demo.py')
    cfg.data_root = str(data)
    cfg.merge_from_dict({key.replace('__', '.'): value for key, value in options.items()})
    derive(cfg, ('train', 'val', 'test'))
    return Subject(cfg, num_samples=12)


def found(data, names=tuple(CHECKS), **options):
    """Findings that are not OK, of all checks or of some, by name with their verdict."""
    subject = subject_of(data, **options)
    findings = [finding for name in names for finding in CHECKS[name](subject)]
    assert {finding.check for finding in findings} == set(names)  # each check says something, under its own name
    assert all('\n' not in finding.message for finding in findings)
    return [(finding.check, finding.verdict) for finding in findings if finding.verdict]


def spoil(data, change, split='train'):
    """Change an annotation file with a function of its content."""
    path = data / f'annotations/instances_{split}.json'
    coco = json.loads(path.read_text())
    change(coco)
    path.write_text(json.dumps(coco))


def test_healthy_data_is_not_talked_of(drawn):
    assert found(drawn) == []


GREY = dict(mean=[127.5] * 3, std=[127.5] * 3, bgr_to_rgb=True)
SCENE = [dict(type='LoadImageFromScene', to_float32=True)]
REST = [
    dict(type='LoadAnnotations', with_bbox=True, with_mask=True),
    dict(type='Resize', scale=(128, 128), keep_ratio=True),
    dict(type='PackDetInputs'),
]


@pytest.mark.parametrize(
    'options',
    [
        dict(model__data_preprocessor=GREY),
        dict(model__data_preprocessor=dict(mean=[103.53, 116.28, 123.675], std=[1.0] * 3, bgr_to_rgb=False)),  # Caffe's
        dict(image_size=(192, 192)),
        dict(load_from='somewhere.pth'),
        dict(train_dataloader__dataset__pipeline=[dict(type='LoadImageFromFile'), *REST]),
        dict(train_dataloader__dataset__pipeline=SCENE + REST),
        dict(train_dataloader__dataset__filter_cfg=dict(filter_empty_gt=True)),
    ],
    ids=['mean 127.5', 'caffe', 'enlarged', 'pretrained', 'uint8', 'from scenes', 'no empty tiles'],
)
def test_healthy_variants_are_not_talked_of(drawn, options):
    preprocessor = options.pop('model__data_preprocessor', None)
    subject = subject_of(drawn, **options)
    if preprocessor:
        subject.cfg.model.data_preprocessor.update(preprocessor)
    names = [name for name in CHECKS if name not in ('label-shift', 'outlines', 'boxes', 'leakage', 'categories')]
    if preprocessor and max(preprocessor['std']) == 1.0:
        names.remove('normalisation')  # Caffe's models do take values of this size
    wrong = [finding for name in names for finding in CHECKS[name](subject) if finding.verdict]
    assert wrong == []


def as_xyxy(coco):
    for annotation in coco['annotations']:
        x, y, width, height = annotation['bbox']
        annotation['bbox'] = [x, y, x + width, y + height]


def as_shares(coco):
    for annotation in coco['annotations']:
        annotation['bbox'] = [side / 128 for side in annotation['bbox']]


def twice_as_large(coco):
    for annotation in coco['annotations']:
        annotation['bbox'] = [2 * side for side in annotation['bbox']]
        annotation['segmentation'] = [[2 * value for value in ring] for ring in annotation['segmentation']]
        annotation['area'] *= 4


def off_by_one(coco):
    coco['categories'].append(dict(coco['categories'][0], id=2, name='stump'))
    for number, annotation in enumerate(coco['annotations']):
        annotation['category_id'] = number % 2


def unknown_ids(coco):
    for annotation in coco['annotations'][::3]:
        annotation['category_id'] = 9


def without_area(coco):
    for annotation in coco['annotations'][::2]:
        annotation['area'] = 0


def halved_entries(coco):
    for entry in coco['images']:
        entry['width'] //= 2


def mostly_empty(coco):
    shown = {annotation['image_id'] for annotation in coco['annotations']}
    empty = next(entry for entry in coco['images'] if entry['id'] not in shown)
    coco['images'] += [dict(empty, id=1000 + number) for number in range(9 * len(shown))]


@pytest.mark.parametrize(
    ('change', 'check', 'verdict'),
    [
        (as_xyxy, 'boxes', Verdict.ERROR),
        (as_shares, 'boxes', Verdict.ERROR),
        (twice_as_large, 'outlines', Verdict.WARNING),
        (unknown_ids, 'categories', Verdict.WARNING),
        (without_area, 'lost-objects', Verdict.WARNING),
        (without_area, 'outlines', Verdict.WARNING),
        (halved_entries, 'images', Verdict.ERROR),
        (mostly_empty, 'tree-less-tiles', Verdict.WARNING),
    ],
)
def test_faults_of_annotations_are_found(copy, change, check, verdict):
    spoil(copy, change)
    assert max(found(copy, [check])) >= (check, verdict)


def test_ids_off_by_one_are_found(copy):
    for split in ('train', 'val', 'test'):
        spoil(copy, off_by_one, split)
    subject = subject_of(copy)
    first = next(CHECKS['categories'](subject))
    assert first.verdict is Verdict.ERROR and 'off by one' in first.message


def test_xyxy_is_named(copy):
    spoil(copy, as_xyxy)
    (finding,) = CHECKS['boxes'](subject_of(copy))
    assert 'read as x1, y1, x2, y2' in finding.message and finding.figures['boxes_leaving_the_image'] > 0


DAMAGES = {
    'the file is empty': lambda content: b'',
    'no image': lambda content: b'<html>not found</html>',
    'the file is cut off': lambda content: content[:200],
    'failed to load image': lambda content: content[:60] + bytes(len(content) - 80) + content[-20:],
}


@pytest.mark.parametrize('why', DAMAGES)
def test_unreadable_images_are_found(copy, why):
    path = sorted((copy / 'images/train').glob('*.png'))[0]
    path.write_bytes(DAMAGES[why](path.read_bytes()))
    subject = subject_of(copy)
    subject.num_samples = 100  # all are decoded
    (finding,) = CHECKS['images'](subject)
    assert finding.verdict is Verdict.ERROR and finding.figures['unreadable'] == 1 and why in finding.message


@pytest.mark.parametrize(
    ('check', 'verdict', 'options'),
    [
        ('queries', Verdict.WARNING, dict(model__panoptic_head__num_queries=1)),
        ('queries', Verdict.WARNING, dict(model__test_cfg__max_per_image=1)),
        ('mask-pitch', Verdict.WARNING, dict(image_size=(32, 32))),
        ('channel-order', Verdict.WARNING, dict(model__data_preprocessor__bgr_to_rgb=False)),
        ('normalisation', Verdict.ERROR, dict(model__data_preprocessor__std=[0.229, 0.224, 0.225])),
        ('normalisation', Verdict.WARNING, dict(model__data_preprocessor__mean=[0.485, 0.456, 0.406])),
        ('normalisation', Verdict.ERROR, dict(model__data_preprocessor__mean=None, model__data_preprocessor__std=None)),
        ('validation-set', Verdict.WARNING, dict(val_cfg=None)),
    ],
)
def test_faults_of_a_config_are_found(drawn, check, verdict, options):
    assert found(drawn, [check], **options) == [(check, verdict)]


def test_tiles_beyond_the_queries_are_counted(drawn):
    subject = subject_of(drawn, model__panoptic_head__num_queries=1)
    subject.cfg.model.test_cfg.max_per_image = None
    (finding,) = CHECKS['queries'](subject)
    assert finding.verdict is Verdict.WARNING and finding.figures['tiles_beyond'] > 0


def test_outlines_that_leave_their_image_are_counted(copy):
    spoil(copy, twice_as_large)
    (finding,) = CHECKS['outlines'](subject_of(copy))
    assert finding.figures['leaving_the_image'] > 0


def test_neutral_mean_with_bgr_into_pretrained_weights_is_found(drawn):
    subject = subject_of(drawn, load_from='coco.pth')
    subject.cfg.model.data_preprocessor.update(GREY | dict(bgr_to_rgb=False))
    assert [finding.verdict for finding in CHECKS['channel-order'](subject)] == [Verdict.WARNING]
    subject.cfg.load_from = None  # from nothing any order is as good
    assert [finding.verdict for finding in CHECKS['channel-order'](subject)] == [Verdict.OK]


def test_normalising_twice_is_found(drawn):
    steps = [dict(type='LoadImageFromFile', to_float32=True), dict(type='Normalize', to_rgb=True, **IMAGENET), *REST]
    (finding,) = CHECKS['normalisation'](subject_of(drawn, train_dataloader__dataset__pipeline=steps))
    assert finding.verdict is Verdict.ERROR and 'both Normalize' in finding.message


def test_normalising_in_two_steps_is_healthy(drawn):
    unit = dict(type='Normalize', mean=[0.0] * 3, std=[255.0] * 3, to_rgb=True)
    steps = [dict(type='LoadImageFromFile', to_float32=True), unit, *REST]
    both = {f'{split}_dataloader__dataset__pipeline': steps for split in ('train', 'val')}
    subject = subject_of(drawn, **both)
    shares = {key: [value / 255 for value in values] for key, values in IMAGENET.items()}
    subject.cfg.model.data_preprocessor.update(shares, bgr_to_rgb=False)
    verdicts = [finding.verdict for name in ('normalisation', 'channel-order') for finding in CHECKS[name](subject)]
    assert verdicts == [Verdict.OK, Verdict.OK]


def test_images_from_0_to_1_are_found(drawn):
    unit = dict(type='Normalize', mean=[0.0] * 3, std=[255.0] * 3, to_rgb=False)
    subject = subject_of(drawn)
    subject.cfg.train_dataloader.dataset.pipeline = [dict(type='LoadImageFromFile', to_float32=True), unit, *REST]
    subject.fed[0].inputs.numpy()  # the pipeline was built
    (finding,) = CHECKS['normalisation'](subject)
    assert finding.verdict is Verdict.ERROR and finding.figures['std'] < 0.02


def test_red_and_blue_exchanged_in_the_files_is_found(copy):
    for path in copy.glob('images/*/*.png'):
        cv2.imwrite(str(path), cv2.imread(str(path))[..., ::-1])
    assert found(copy, ['channel-order']) == [('channel-order', Verdict.WARNING)]


def test_training_and_validation_in_other_orders_is_found(drawn):
    subject = subject_of(drawn)
    subject.cfg.val_dataloader.dataset.pipeline[0].imdecode_backend = 'tifffile'
    assert ('channel-order', Verdict.ERROR) in [(f.check, f.verdict) for f in CHECKS['channel-order'](subject)]


def test_masks_without_a_pixel_are_found(drawn):
    steps = [
        dict(type='LoadImageFromFile', to_float32=True),
        dict(type='LoadAnnotations', with_bbox=True, with_mask=True),
        dict(type='RandomCrop', crop_size=(24, 24), allow_negative_crop=True),
        dict(type='PackDetInputs'),
    ]
    subject = subject_of(drawn, train_dataloader__dataset__pipeline=steps)
    subject.num_samples = 32
    (finding,) = CHECKS['empty-masks'](subject)
    assert finding.verdict is Verdict.WARNING and finding.figures['empty'] > 0 and 'by_mask' in finding.message


def test_objects_lost_in_the_pipeline_are_found(drawn):
    filtering = dict(type='FilterAnnotations', by_mask=True, min_gt_mask_area=5000, keep_empty=False)
    steps = [dict(type='LoadImageFromFile', to_float32=True), *REST[:2], filtering, REST[2]]
    assert found(drawn, ['lost-objects'], train_dataloader__dataset__pipeline=steps) == [
        ('lost-objects', Verdict.ERROR)
    ]


def test_repeated_trees_count_as_they_are_sampled(copy):
    spoil(copy, mostly_empty)
    subject = subject_of(copy)
    inner = subject.cfg.train_dataloader.dataset
    subject.cfg.train_dataloader.dataset = dict(type='ClassBalancedDataset', oversample_thr=0.9, dataset=inner)
    (finding,) = CHECKS['tree-less-tiles'](subject)
    assert finding.figures['share'] < 0.8
    assert [finding.verdict for finding in CHECKS['lost-objects'](subject)] == [Verdict.OK]


def add_entry(data, change, name='train'):
    """Put the first tile with a tree of training into validation, changed; returns nothing."""
    train = json.loads((data / f'annotations/instances_{name}.json').read_text())
    shown = next(a for a in train['annotations'])
    entry = next(e for e in train['images'] if e['id'] == shown['image_id'])
    added, part = dict(entry, id=5000), dict(shown, id=5000, image_id=5000)
    change(entry, added, part)
    spoil(data, lambda coco: (coco['images'].append(added), coco['annotations'].append(part)), 'val')


@pytest.mark.parametrize('what', ['same file', 'same bytes', 'same ground', 'same object'])
def test_leakage_is_found(copy, what):
    def change(entry, added, part):
        source = copy / 'images/train' / entry['file_name']
        added['file_name'] = '../train/' + entry['file_name'] if what == 'same file' else 'other_name.png'
        if what == 'same bytes':
            shutil.copy(source, copy / 'images/val/other_name.png')
        elif what != 'same file':
            cv2.imwrite(str(copy / 'images/val/other_name.png'), np.full((128, 128, 3), 90, np.uint8))
        if what != 'same ground':
            for key in ('source', 'source_sha256', 'window_xywh', 'read_xywh'):
                added.pop(key)
        if what != 'same object':
            part.pop('object_id')

    add_entry(copy, change)
    subject = subject_of(copy)
    findings = [finding for finding in CHECKS['leakage'](subject) if finding.verdict]
    assert [finding.verdict for finding in findings] == [Verdict.ERROR]
    assert findings[0].figures['tiles_shared'] == 1
    expected = {
        'same file': 'same file',
        'same bytes': 'same bytes',
        'same ground': 'ground',
        'same object': 'an object',
    }
    assert expected[what] in findings[0].message


def test_neighbours_are_no_leakage(copy):
    def change(entry, added, part):
        added['file_name'] = 'other_name.png'
        cv2.imwrite(str(copy / 'images/val/other_name.png'), np.full((128, 128, 3), 90, np.uint8))
        part.pop('object_id')
        train = json.loads((copy / 'annotations/instances_train.json').read_text())
        right = max(e['read_xywh'][0] + e['read_xywh'][2] for e in train['images'])
        added['window_xywh'] = added['read_xywh'] = [right, *entry['read_xywh'][1:]]

    add_entry(copy, change)
    assert found(copy, ['leakage']) == []


def test_training_set_as_validation_is_found(drawn):
    options = dict(
        val_dataloader__dataset__ann_file='annotations/instances_train.json',
        val_dataloader__dataset__data_prefix__img='images/train/',
    )
    assert ('leakage', Verdict.ERROR) in found(drawn, ['leakage'], **options)


def test_validation_without_objects_is_found(copy):
    spoil(copy, lambda coco: coco.update(annotations=[]), 'val')
    assert found(copy, ['validation-set']) == [('validation-set', Verdict.ERROR)]


def test_validation_with_hardly_an_object_is_found(copy):
    spoil(copy, lambda coco: coco.update(annotations=coco['annotations'][:2]), 'val')
    assert found(copy, ['validation-set']) == [('validation-set', Verdict.WARNING)]


def test_width_and_ceiling_of_straight_trunks():
    ceilings = {}
    for width in (3, 4, 5, 6):
        values = []
        for angle in range(10, 180, 17):
            mask = np.zeros((256, 256), np.uint8)
            corners = cv2.boxPoints(((128.3, 127.6), (180, width - 0.5), angle))
            cv2.fillPoly(mask, [np.round(corners * 16).astype(np.int32)], 1, shift=4)
            values.append(grid_ceiling(mask, 4))
            assert abs(width_px(mask) - width) < 1.2
        ceilings[width] = np.mean(values)
    assert 0.6 < ceilings[3] < 0.85 < ceilings[5] < ceilings[6] < 1
    assert grid_ceiling(mask, 1) == 1.0


def test_masks_drawn_on_a_grid_of_each_box_have_no_pitch_of_the_tile(drawn):
    init_default_scope('mmdet')
    cfg = Config.fromfile(REPOSITORY / 'configs/mask_rcnn_trees_demo.py')
    cfg.merge_from_dict(dict(data_root=str(drawn), image_size=(32, 32)))
    derive(cfg, ('train', 'val', 'test'))
    (finding,) = CHECKS['mask-pitch'](Subject(cfg, num_samples=12))
    assert finding.verdict == Verdict.OK and finding.message.startswith('does not apply: masks are drawn on 28 x 28')
    assert 0 < finding.figures['pitch_px'] < 32 / 28
