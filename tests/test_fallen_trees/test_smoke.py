"""The smoke test: one real run that learns, one that cannot, and its parts."""

import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from mmdet.registry import DATASETS
from mmengine.config import Config
from mmengine.registry import init_default_scope
from pycocotools import mask as rle

from fallen_trees.checks.finding import Verdict
from fallen_trees.checks.smoke_test.config import rules_of, smoke_config
from fallen_trees.checks.smoke_test.smoke import smoke
from fallen_trees.checks.smoke_test.tiles import Rules, Tiles, pick, write_tiles
from fallen_trees.checks.smoke_test.verdict import Answer, Point, conclude
from fallen_trees.derive.config import REPOSITORY, derive
from fallen_trees.errors import ConfigError

RULES = Rules(('fallen_tree',), (128, 128), 16, 4)


@pytest.fixture
def demo(tiles):
    """The demo's config on small tiles, derived for training."""
    init_default_scope('mmdet')
    cfg = Config.fromfile(REPOSITORY / 'configs/m2f_trees_demo.py')
    cfg.data_root = str(tiles)
    cfg.vis_backends = cfg.visualizer.vis_backends = [dict(type='LocalVisBackend')]
    derive(cfg, ('train',))
    return cfg


@pytest.fixture(scope='module')
def coco(tiles):
    return json.loads((tiles / 'annotations/instances_train.json').read_text())


# Real runs


def test_a_recipe_that_works_learns_a_tile_by_heart(demo, tmp_path):
    lines = []
    outcome = smoke(demo, tmp_path, number=1, minutes=30, say=lines.append)
    assert outcome.answer is Answer.LEARNS, outcome.why
    assert max(point.ap50 for point in outcome.curve) >= 0.9
    assert outcome.curve[-1].updates >= 20
    report = json.loads((tmp_path / 'smoke.json').read_text())
    assert report['verdict'] == 'learns'
    assert report['curve'][-1]['ap50'] == report['best_ap50'] >= 0.9
    assert cv2.imread(str(tmp_path / 'curves.png')).shape[1] > 1000
    pictures = list((tmp_path / 'pictures').iterdir())
    assert [picture.stem for picture in pictures] == [Path(outcome.tiles.names[0]).stem]
    assert cv2.imread(str(pictures[0])).shape == (540, 1544, 3)  # image, truth, prediction
    assert any('augmentation is off' in line for line in lines)
    assert not list(tmp_path.glob('*.pth'))


def test_a_recipe_that_does_not_move_is_said_not_to_learn(demo, tmp_path):
    demo.optim_wrapper.optimizer = dict(type='SGD', lr=1e-4, momentum=0.9, weight_decay=0.05)
    outcome = smoke(demo, tmp_path, number=1, minutes=30, say=lambda line: None)
    assert outcome.answer is Answer.DOES_NOT_LEARN
    assert outcome.why.startswith('nothing-moves') and 'clip_grad' in outcome.why
    assert (tmp_path / 'curves.png').is_file()


def test_too_little_time_is_no_verdict_on_the_recipe(demo, tmp_path):
    demo.val_dataloader.dataset.pipeline[1].scale = (512, 512)
    outcome = smoke(demo, tmp_path, number=2, minutes=1e-4, say=lambda line: None)
    assert outcome.answer is Answer.UNDECIDED
    assert '--minutes' in outcome.why
    assert any('cropped to 0.5' in line for line in outcome.changed)  # 256 px; smaller would prove nothing
    assert len(outcome.curve) == 1


# Tiles


def test_the_seed_picks_tiles_with_objects(coco):
    filled = {annotation['image_id'] for annotation in coco['annotations']}
    names = [image['file_name'] for image in pick(coco, RULES.classes, 99, seed=0)]
    assert len(names) == len(filled) < len(coco['images'])
    assert names[:3] == [image['file_name'] for image in pick(coco, RULES.classes, 3, seed=0)]
    assert any(names != [image['file_name'] for image in pick(coco, RULES.classes, 99, seed=s)] for s in (1, 2, 3))
    with pytest.raises(ConfigError, match='no training tile'):
        pick({**coco, 'annotations': []}, RULES.classes, 3, seed=0)


@pytest.mark.parametrize('share', [1.0, 0.5])
def test_tiles_keep_their_objects_and_crops_what_they_show_of_them(coco, tiles, tmp_path, share):
    images = pick(coco, RULES.classes, 4, seed=0)
    written = write_tiles(coco, images, tiles / 'images/train', tmp_path, RULES, share)
    new = json.loads(written.ann_file.read_text())
    assert len(new['images']) == len(written.objects) >= 1
    assert sum(written.objects) == len(new['annotations']) >= 1
    assert {image['width'] for image in new['images']} == {128 * share}
    by_id = {image['id']: image for image in coco['images']}
    for image in new['images']:
        pixels = cv2.imread(str(written.folder / image['file_name']))
        whole = cv2.imread(str(tiles / 'images/train' / by_id[image['id']]['file_name']))
        assert pixels.shape[:2] == (128 * share, 128 * share)
        x, y = cv2.minMaxLoc(cv2.matchTemplate(whole, pixels, cv2.TM_SQDIFF))[2]
        assert np.array_equal(whole[y : y + pixels.shape[0], x : x + pixels.shape[1]], pixels)
        for annotation in (a for a in new['annotations'] if a['image_id'] == image['id']):
            mask = rle.decode(annotation['segmentation'])
            truths = [truth(a, by_id[image['id']]) for a in coco['annotations'] if a['image_id'] == image['id']]
            side = round(128 * share)
            assert any(np.array_equal(mask, t[y : y + side, x : x + side]) for t in truths)


def truth(annotation, image):
    parts = rle.frPyObjects(annotation['segmentation'], image['height'], image['width'])
    return rle.decode(rle.merge(parts))


def test_objects_below_the_filter_of_the_config_count_for_nothing(coco, tiles, tmp_path):
    images = pick(coco, RULES.classes, 4, seed=0)
    areas = sorted(a['area'] for a in coco['annotations'] if a['image_id'] in {image['id'] for image in images})
    rules = replace(RULES, min_area=areas[-1] * 0.9)
    written = write_tiles(coco, images, tiles / 'images/train', tmp_path, rules)
    assert sum(written.objects) + written.left_out == len(areas)
    assert written.left_out >= 1
    with pytest.raises(ConfigError, match='below'):
        write_tiles(coco, images, tiles / 'images/train', tmp_path, replace(RULES, min_area=1e9))


def test_objects_too_thin_for_the_grid_of_masks_are_told(tmp_path):
    cv2.imwrite(str(tmp_path / 'a.png'), np.zeros((128, 128, 3), np.uint8))
    thin = [[10, 60, 120, 60, 120, 62, 10, 62]]  # between two rows of the grid, half a cell wide
    thick = [[10, 20, 120, 20, 120, 40, 10, 40]]
    image = dict(id=1, file_name='a.png', width=128, height=128)
    found = {}
    for name, outlines in (('thin', [thin]), ('thick', [thick]), ('both', [thin, thick])):
        annotations = [dict(id=i, image_id=1, category_id=1, segmentation=s) for i, s in enumerate(outlines)]
        data = dict(images=[image], annotations=annotations, categories=[dict(id=1, name='fallen_tree')])
        found[name] = write_tiles(data, [image], tmp_path, tmp_path, RULES).reachable
    assert found == dict(thin=0, thick=1, both=0.5)


# Config


def test_only_data_and_schedule_differ_from_the_config(demo, coco, tiles, tmp_path):
    demo.custom_hooks.append(dict(type='EMAHook'))
    images = pick(coco, RULES.classes, 4, seed=0)
    written = write_tiles(coco, images, tiles / 'images/train', tmp_path, RULES, 0.5)
    new, changed = smoke_config(demo, written, 0.5, 0, tmp_path)
    assert new.model == demo.model
    assert new.optim_wrapper == demo.optim_wrapper
    assert new.load_from == demo.load_from
    assert any('EMAHook' in line for line in changed)
    dataset = DATASETS.build(new.train_dataloader.dataset)
    one, again = (dataset[0] for _ in range(2))
    assert one['inputs'].equal(again['inputs'])
    assert one['inputs'].shape == (3, 64, 64)  # half of the tile at the scale of the whole
    assert len(one['data_samples'].gt_instances) == written.objects[0]


def test_rules_come_from_the_config(demo):
    assert rules_of(demo) == RULES
    demo.val_dataloader = None
    with pytest.raises(ConfigError, match='val_dataloader'):
        rules_of(demo)


# Verdicts

TILES = Tiles(Path('t.json'), Path(), ['a', 'b'], [3, 4], 0, 1.0)


def curve(ap50, losses=None, per_point=50, score=0.9):
    losses = losses or [30 * 0.8**i for i in range(len(ap50))]
    return [
        Point(per_point * i, per_point * i, i, x, a, score)
        for i, (a, x) in enumerate(zip(ap50, losses, strict=True), 1)
    ]


@pytest.mark.parametrize(
    ('case', 'answer', 'words'),
    [
        (dict(curve=curve([0.2, 0.6, 0.93])), Answer.LEARNS, '0.930'),
        (dict(curve=curve([0.95], per_point=20), time_is_up=True), Answer.UNDECIDED, 'after 20 updates'),
        (dict(curve=curve([0.95, 0.2]), time_is_up=True), Answer.UNDECIDED, '0.950'),
        (dict(curve=curve([0.2, 0.6, 0.7])), None, None),
        (dict(curve=curve([0.2, 0.6, 0.7]), time_is_up=True), Answer.UNDECIDED, '--minutes'),
        (dict(curve=curve([0.0] * 6, [30.0] * 6)), Answer.DOES_NOT_LEARN, 'learning rate'),
        (dict(curve=curve([0.0] * 5, [30.0] * 5)), None, None),
        (
            dict(curve=curve([0.1] * 4, [30.0, 19.5, 19.5, 19.5]), time_is_up=True),
            Answer.DOES_NOT_LEARN,
            'learning rate',
        ),
        (dict(curve=curve([0.0] * 6, [30.0, 20, 16, 14, 13, 12])), None, None),
        (dict(curve=curve([0.1, 0.1, 0.15, 0.2, 0.25, 0.28], [20.0] * 6)), None, None),
        (dict(curve=curve([0.4] * 13), time_is_up=True), Answer.DOES_NOT_LEARN, 'in part'),
        (dict(curve=curve([0.01] * 13), time_is_up=True), Answer.DOES_NOT_LEARN, 'wrong places'),
        (dict(curve=curve([0.05 * i for i in range(13)]), time_is_up=True), Answer.UNDECIDED, 'too little'),
        (dict(curve=curve([0.3] * 4), num_queries=2, time_is_up=True), Answer.DOES_NOT_LEARN, 'num_queries'),
        (
            dict(curve=curve([0.3] * 4), tiles=replace(TILES, reachable=0.4), time_is_up=True),
            Answer.DOES_NOT_LEARN,
            'image_size',
        ),
        (
            dict(curve=curve([0.3], per_point=9), tiles=replace(TILES, reachable=0.4), time_is_up=True),
            Answer.UNDECIDED,
            '--minutes',
        ),
    ],
)
def test_verdicts(case, answer, words):
    found = conclude(**dict(start_loss=30.0, tiles=TILES, num_queries=25, time_is_up=False) | case)
    if answer is None:
        assert found is None
    else:
        assert found[0] is answer
        assert words in found[1]
        assert '\n' not in found[1]


def test_exit_codes():
    codes = {answer: answer.exit_code for answer in Answer}
    assert codes == {
        Answer.LEARNS: Verdict.OK,
        Answer.DOES_NOT_LEARN: Verdict.ERROR,
        Answer.UNDECIDED: Verdict.WARNING,
    }
