"""The model card of a finished run: what stands in it is what the data and the run were."""

import hashlib
import json
import re
import resource
from pathlib import Path

import pytest
from mmengine.config import Config, ConfigDict
from mmengine.registry import init_default_scope
from mmengine.runner import Runner

from fallen_trees.card.limits import limits_of
from fallen_trees.card.model_card_hook import ModelCardHook
from fallen_trees.card.scene_scores import BEGIN, END, fill_scores
from fallen_trees.card.split_facts import split_facts
from fallen_trees.card.start_facts import NOTHING, described, start_of
from fallen_trees.derive.config import REPOSITORY, derive
from fallen_trees.errors import EnvironmentFailure
from fallen_trees.resume.exactness import make_exact

METRICS = {
    'scene/F1': 0.5, 'centreline/F1': 0.75, 'length/bias_m': None,
    'intervals': {'centreline/F1': [0.7, 0.8], 'scene/F1': [0.4, 0.6], 'length/bias_m': [None, None]},
    'figure_units': {'scene/F1': '', 'centreline/F1': '', 'length/bias_m': 'm'},
    'units': {'count': 9, 'kind': 'scene'}, 'settings': {'level': 0.95, 'score_thr': 0.4},
    'scenes': [{'name': 'a', 'labelled': 7, 'ground_ha': 1.5}], 'notes': ['rough'],
}  # fmt: skip


def config(tiles, work_dir, max_iters=4):
    """The demo's config at 64 px, four iterations and one validation, as the tool has it when it builds the runner."""
    init_default_scope('mmdet')
    cfg = Config.fromfile(REPOSITORY / 'configs/m2f_trees_demo.py')
    cfg.update(data_root=str(tiles), image_size=(64, 64), work_dir=str(work_dir), log_level='WARNING')
    for loader in (cfg.train_dataloader, cfg.val_dataloader):
        loader.update(num_workers=0, persistent_workers=False)
        loader.dataset.indices = 4
    cfg.train_dataloader.batch_size = 2
    cfg.update(test_cfg=None, test_evaluator=None)
    cfg.vis_backends = cfg.visualizer.vis_backends = [dict(type='LocalVisBackend')]
    cfg.train_cfg = dict(type='IterBasedTrainLoop', max_iters=max_iters, val_interval=max_iters)
    cfg.param_scheduler = None
    cfg.custom_hooks = []
    cfg.visualizer.name = cfg.experiment_name = f'{work_dir.parent.name}_{work_dir.name}_{max_iters}'
    derive(cfg, ('train', 'val'))
    make_exact(cfg)
    cfg.test_dataloader, kept = None, cfg.test_dataloader
    return cfg, kept


def train(tiles, work_dir, max_iters=4, **changes):
    cfg, test_dataloader = config(tiles, work_dir, max_iters)
    cfg.update(changes)
    runner = Runner.from_cfg(cfg)
    runner.cfg.test_dataloader = test_dataloader  # as a config states it, although nothing tests here
    runner.train()
    return runner


@pytest.fixture(scope='module')
def finished(tiles, tmp_path_factory):
    """The runner of a finished run."""
    return train(tiles, tmp_path_factory.mktemp('card') / 'mine')


@pytest.fixture(scope='module')
def run(finished):
    """Its work dir."""
    return Path(finished.work_dir)


@pytest.fixture(scope='module')
def card(run):
    return (run / 'MODEL_CARD.md').read_text()


def rows(card, section):
    """Cells of the tables of a section."""
    text = card.split(f'\n## {section}\n')[1].split('\n## ')[0]
    return [[cell.strip() for cell in line.strip('|').split('|')] for line in text.splitlines() if line.startswith('|')]


def test_the_header_is_one_that_hubs_read(card):
    yaml = pytest.importorskip('yaml')
    header = yaml.safe_load(card.split('---\n')[1])
    assert header['license'] == 'unknown' and header['library_name'] == 'mmdetection'
    assert header['tags'] == ['instance-segmentation', 'aerial-imagery', 'fallen_tree']
    assert header['datasets'] == ['data'] and 'f1' in header['metrics']
    assert re.findall(r'\$\w|\$\{', card) == []


@pytest.mark.parametrize('split', ['train', 'val', 'test'])
def test_data_are_those_of_the_annotation_files(card, tiles, split):
    file = tiles / f'annotations/instances_{split}.json'
    coco = json.loads(file.read_text())
    row = next(row for row in rows(card, 'Data') if row[0] == split)
    scenes = sorted({image['scene'] for image in coco['images']})
    objects = len({entry['object_id'] for entry in coco['annotations']})
    empty = len(coco['images']) - len({entry['image_id'] for entry in coco['annotations']})
    assert row[1:5] == [
        f'{len(scenes)}: {", ".join(scenes)}',
        str(len(coco['images'])),
        str(empty),
        f'{objects} fallen_tree',
    ]
    assert hashlib.sha256(file.read_bytes()).hexdigest() in row[5]
    assert split != 'train' or objects < len(coco['annotations'])  # tiles overlap


def test_recipe_and_validation_are_those_of_the_run(card, run):
    recipe = dict(row for row in rows(card, 'How it was trained') if row[0])
    assert (
        recipe['start weights'] == NOTHING
        and recipe['seed'] == '0'
        and recipe['schedule'].startswith('4 of 4 iterations')
    )
    assert recipe['optimiser'].startswith('AdamW, learning rate 0.0008') and 'CPU' in recipe['machine']
    assert re.match(r'\d+\.\d minutes, finished 20\d\d-', recipe['time']) and '`m2f_trees_demo.py`' in recipe['config']
    best = next(run.glob('best_*.pth'))
    said = dict(rows(card, 'Validation'))
    logged = [json.loads(line) for line in next(run.glob('*/vis_data/scalars.json')).read_text().splitlines()]
    figures = next(line for line in logged if 'coco/segm_mAP' in line)
    assert best.name in card
    assert {name: float(said[name]) for name in said if name in figures} == pytest.approx(
        {name: figures[name] for name in said if name in figures}, rel=1e-3
    )
    assert 'coco/segm_mAP' in said and 'coco/score_threshold' in said


def test_limits_follow_from_the_data(card):
    limits = card.split('## Limits\n')[1]
    assert 'Pixels of 0.05 m alone' in limits and 'Bands 1,2,3' in limits and '1 scene, all in EPSG:32633' in limits
    assert 'All scenes of training are drawn' in limits and 'Only ' in limits


def test_scores_of_scenes_have_their_place_and_their_command(card, run, tmp_path):
    place = card.split(BEGIN)[1].split(END)[0]
    assert 'not computed yet' in place and 'best_coco_segm_mAP_iter_4.pth --scenes SCENES' in place
    copy = tmp_path / 'card.md'
    copy.write_text(card)
    fill_scores(copy, METRICS, ['a b.py', '--x'])
    filled = copy.read_text()
    cells = rows(filled, 'Scores of whole scenes')
    assert cells[2:] == [['scene/F1', '0.500', '0.400 to 0.600'], ['centreline/F1', '0.750', '0.700 to 0.800'],
                         ['length/bias_m', '', '']]  # fmt: skip
    assert "tools/test_scenes.py 'a b.py' --x" in filled and '- rough' in filled and 'not computed' not in filled
    assert filled.split(BEGIN)[0] == card.split(BEGIN)[0] and filled.split(END)[1] == card.split(END)[1]


def test_a_resumed_run_knows_its_start_and_keeps_the_scores_of_the_same_checkpoint(run, tiles, tmp_path):
    card = run / 'MODEL_CARD.md'
    before = card.read_text()
    fill_scores(card, METRICS, [str(run / 'best_coco_segm_mAP_iter_4.pth')])
    train(tiles, run, load_from=str(run / 'iter_4.pth'), resume=True, randomness=dict(seed=0))
    after = card.read_text()
    assert '| scene/F1 | 0.500 |' in after
    assert dict(row for row in rows(after, 'How it was trained') if row[0])['start weights'] == NOTHING
    card.write_text(before)


def test_a_card_that_cannot_be_written_stops_no_run(tiles, tmp_path, caplog):
    work_dir = tmp_path / 'w'
    (work_dir / 'MODEL_CARD.md').mkdir(parents=True)  # nothing can be renamed over a folder
    runner = train(tiles, work_dir, max_iters=2)
    assert runner.iter == 2 and (work_dir / 'iter_2.pth').exists()
    log = '\n'.join(path.read_text() for path in work_dir.glob('*/*.log'))
    lines = [line for line in log.splitlines() if 'model card' in line]
    assert len(lines) == 1 and 'could not be written: IsADirectoryError' in lines[0]


def test_a_full_disk_ends_it_in_one_line_and_leaves_the_older_card(finished):
    runner, card = finished, Path(finished.work_dir, 'MODEL_CARD.md')
    before, limits = card.read_bytes(), resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        with pytest.raises(EnvironmentFailure, match='the disk is full. All checkpoints are saved'):
            ModelCardHook().after_train(runner)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert card.read_bytes() == before and not list(card.parent.glob('.MODEL_CARD*'))


@pytest.mark.parametrize(
    ('name', 'words'),
    [
        ('mask2former_r50_8xb2-lsj-50e_coco_20220506_191028-41b088b6.pth', 'Apache-2.0'),
        ('resnet50-0676ba61.pth', 'BSD-3-Clause'),
        ('swin_tiny_patch4_window7_224.pth', 'MIT'),
        ('mobilenet_v2_imagenet.pth', 'publisher unknown'),
        ('my_trees.pth', 'origin and licence unknown'),
    ],
)
def test_licences_of_start_weights_are_those_of_their_publishers(name, words):
    assert words in described(name)
    model = dict(backbone=dict(init_cfg=dict(type='Pretrained', checkpoint=f'/x/{name}')))
    assert start_of(ConfigDict(model=model, load_from=None)) == [described(name)]


def test_data_of_others_give_what_they_say_and_no_more(tmp_path):
    coco = dict(images=[dict(id=1, file_name='a.png', width=8, height=8)], categories=[dict(id=1, name='log')],
                annotations=[dict(id=5, image_id=1, category_id=1, bbox=[0, 0, 3, 4])])  # fmt: skip
    (tmp_path / 'train.json').write_text(json.dumps(coco))
    loader = dict(dataset=dict(type='RepeatDataset', dataset=dict(ann_file='train.json', data_root=str(tmp_path))))
    facts = split_facts(ConfigDict(train_dataloader=loader, val_dataloader=None))
    assert list(facts) == ['train'] and facts['train'].objects == {'log': 1} and facts['train'].drawn is None
    lines = ' '.join(limits_of(facts))
    assert 'size of a pixel on the ground is not known' in lines and 'no val and no test split' in lines
    assert 'Only 1 objects of the class log' in lines and 'Every tile of training holds an object' in lines
    assert 'drawn' not in lines
