"""Images out of a pack: what a run is fed, in workers too, and what is refused before it begins; lengths in epochs."""

import json
import shutil
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmdet.structures import DetDataSample
from mmengine.fileio import get
from mmengine.runner import Runner
from mmengine.structures import InstanceData

from data_prep.pack import pack_dataset
from fallen_trees.checks.data.images import check_images
from fallen_trees.checks.fed_pictures import contact_sheets
from fallen_trees.checks.finding import Verdict
from fallen_trees.checks.smoke_test.report import draw_pictures
from fallen_trees.checks.smoke_test.tiles import Rules, pick, write_tiles
from fallen_trees.checks.subject import Subject
from fallen_trees.config_nodes import dicts_in
from fallen_trees.derive.config import REPOSITORY, derive
from fallen_trees.errors import ConfigError
from fallen_trees.launch import config_of
from fallen_trees.loading.packed_images import Pack
from fallen_trees.pictures.panel_visualizer import PanelVisualizer
from fallen_trees.resume.exactness import make_exact

sys.path.append(str(REPOSITORY / 'tests/test_workflows'))
import drawn_shapes as shapes

CONFIG = REPOSITORY / 'configs/coco/m2f_r50_480.py'
CATEGORIES = [dict(id=n, name=name, supercategory='shape') for n, name in enumerate(shapes.CLASSES, 1)]
IDS = {entry['name']: entry['id'] for entry in CATEGORIES}


def write_coco(root, counts=(10, 4), first=0):
    for kind, count in zip(('train2017', 'val2017'), counts, strict=True):
        shapes.write_coco(root / f'annotations/instances_{kind}.json', root / kind, first, count, CATEGORIES, IDS)
        first += count
    return root


@pytest.fixture(scope='module')
def loose(tmp_path_factory):
    return write_coco(tmp_path_factory.mktemp('data') / 'coco')


@pytest.fixture(scope='module')
def packed(loose):
    return pack_dataset(loose, loose.with_name('coco_packed'), shards=3).out


def config(data, splits=('train', 'val', 'test'), **options):
    cfg = config_of(CONFIG, options={'data_root': str(data), 'train_dataloader.batch_size': 2, **options})
    return cfg, derive(cfg, splits)


@pytest.mark.parametrize('workers', [0, 2])
def test_a_run_is_fed_the_same_from_a_pack(loose, packed, workers):
    fed = []
    for data in (loose, packed):
        cfg, notes = config(data, ('train',), **{'train_dataloader.num_workers': workers})
        assert any('read from 3 shards' in note for note in notes) == (data == packed)
        make_exact(cfg)
        batches = iter(Runner.build_dataloader(cfg.train_dataloader, seed=0))
        fed.append([next(batches) for _ in range(7)])  # more than an epoch
    for one, other in zip(*fed, strict=True):
        for image, same, sample, other_sample in zip(
            one['inputs'], other['inputs'], one['data_samples'], other['data_samples'], strict=True
        ):
            assert torch.equal(image, same) and sample.img_id == other_sample.img_id
            masks = (s.gt_instances.masks.masks for s in (sample, other_sample))
            assert np.array_equal(*masks)


def test_the_bytes_come_out_of_the_shards(loose, packed, tmp_path):
    path = 'train2017/photo_003.png'
    assert get(str(packed / path), backend_args=dict(backend='pack')) == (loose / path).read_bytes()
    assert get(str(loose / path), backend_args=dict(backend='pack')) == (loose / path).read_bytes()  # no pack: a file
    assert not (packed / path).exists()
    with pytest.raises(FileNotFoundError, match='lists no image photo_999.png'):
        get(str(packed / 'train2017/photo_999.png'), backend_args=dict(backend='pack'))


def test_every_pipeline_and_the_pictures_read_from_the_pack(packed):
    cfg, _ = config(packed)
    loaders = [cfg[f'{split}_dataloader'].to_dict() for split in ('train', 'val', 'test')]
    steps = [node for node in dicts_in(loaders) if node.get('type') == 'LoadImageFromFile']
    assert len(steps) == 3 and all(step['backend_args'] == dict(backend='pack') for step in steps)
    assert cfg.default_hooks.visualization.backend_args == dict(backend='pack')


def test_the_smoke_test_cuts_its_tiles_out_of_a_pack(loose, packed, tmp_path):
    coco = json.loads((loose / 'annotations/instances_train2017.json').read_text())
    rules = Rules(classes=shapes.CLASSES, scale_wh=(64, 64), min_area=1, stride=4)
    cut = []
    for data in (loose, packed):
        out = tmp_path / data.name
        out.mkdir()
        write_tiles(coco, pick(coco, shapes.CLASSES, 4, seed=0), data / 'train2017', out, rules, share=0.5)
        cut.append({path.name: cv2.imread(str(path)) for path in out.glob('*.png')})
    assert len(cut[0]) == 4 and all(np.array_equal(cut[0][name], cut[1][name]) for name in cut[0] | cut[1])
    found = InstanceData(scores=torch.zeros(0), masks=[])
    drawn = []
    for data in (loose, packed):
        sample = DetDataSample(metainfo=dict(img_path=str(data / 'train2017/photo_003.png')), pred_instances=found)
        draw_pictures([sample], PanelVisualizer(), tmp_path / f'drawn_{data.name}')
        drawn.append(cv2.imread(str(tmp_path / f'drawn_{data.name}/photo_003.png')))
    assert np.array_equal(*drawn) and drawn[0].any()


def test_the_doctor_decodes_out_of_a_pack(packed):
    cfg, _ = config(packed, image_size=(64, 64))
    (finding,) = check_images(Subject(cfg, num_samples=3))
    assert finding.verdict == Verdict.OK and '0 headers read and 6 images decoded' in finding.message


def test_samples_as_fed_fill_as_many_contact_sheets_as_it_takes(packed):
    cfg, _ = config(packed, ('train',), image_size=(64, 64))
    sheets = dict(contact_sheets(Subject(cfg, num_samples=7, seed=1), columns=3, most=3))
    assert list(sheets) == ['contact_sheet.png', 'contact_sheet_2.png', 'contact_sheet_3.png']
    widths = [cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR).shape[1] for png in sheets.values()]
    assert widths[0] == widths[1] == 3 * widths[2]


def test_a_pack_that_was_made_anew_is_read_anew(tmp_path):
    data, out = write_coco(tmp_path / 'coco'), tmp_path / 'packed'
    path = 'train2017/photo_003.png'
    pack_dataset(data, out)
    config(out, ('train',))
    get(str(out / path), backend_args=dict(backend='pack'))
    cv2.imwrite(str(data / path), np.full((64, 64, 3), 7, np.uint8))
    pack_dataset(data, out, shards=2, overwrite=True)
    config(out, ('train',))
    assert get(str(out / path), backend_args=dict(backend='pack')) == (data / path).read_bytes()


def shard(root, number=1):
    return root / f'train2017/shard-{number:05d}-of-00003.tar'


def replace_annotations(root):
    write_coco(root.with_name('other'), first=90)
    shutil.copytree(root.with_name('other') / 'annotations', root / 'annotations', dirs_exist_ok=True)


BAD = [
    pytest.param(lambda r: shard(r).unlink(), 'the shard .*00001-of-00003.tar is missing', id='missing shard'),
    pytest.param(
        lambda r: shutil.copy(r / 'val2017/shard-00001-of-00003.tar', shard(r)), 'of another data set', id='foreign'
    ),
    pytest.param(lambda r: shutil.copy(shard(r, 0), shard(r)), "shard 0 of 3', not", id='shards swapped'),
    pytest.param(lambda r: shard(r).write_bytes(shard(r).read_bytes()[:-512]), 'must have', id='cut off'),
    pytest.param(lambda r: shard(r).write_text('no tar'), 'of another data set', id='no tar'),
    pytest.param(lambda r: (r / 'train2017/index.json').write_text('{}'), 'is no index of a pack', id='no index'),
    pytest.param(replace_annotations, '10 of 10 images .* are not in the pack', id='other annotations'),
    pytest.param(lambda r: shutil.rmtree(r / 'train2017'), 'train2017/ is missing', id='missing folder of images'),
]


@pytest.mark.parametrize(('spoil', 'said'), BAD)
def test_what_is_not_whole_is_refused_before_a_run(packed, tmp_path, spoil, said):
    root = Path(shutil.copytree(packed, tmp_path / 'packed'))
    spoil(root)
    with pytest.raises(ConfigError, match=said) as refused:
        config(root, ('train',))
    assert '\n' not in str(refused.value)


def test_a_shard_that_is_cut_while_a_run_goes_on_is_said(packed, tmp_path):
    root = Path(shutil.copytree(packed, tmp_path / 'packed'))
    pack = Pack(root / 'train2017')
    name, (number, offset, _) = list(pack.images.items())[-1]
    path = pack.shards[number][0]
    path.write_bytes(path.read_bytes()[: offset + 10])
    with pytest.raises(ConfigError, match=f'ends inside {name}'):
        pack.read(name)


def test_augmentation_is_off_by_one_key(loose):
    fed = {}
    for augment in (True, False):
        cfg, _ = config(loose, ('train',), augment=augment, image_size=(64, 64))
        make_exact(cfg)
        dataset = Runner.build_dataloader(cfg.train_dataloader, seed=0).dataset
        fed[augment] = [dataset[3 + len(dataset) * epoch]['inputs'] for epoch in range(4)]
    photo = torch.from_numpy(shapes.draw(3)[0]).permute(2, 0, 1)
    assert all(torch.equal(image, photo) for image in fed[False])
    assert not any(torch.equal(image, photo) for image in fed[True])


@pytest.mark.parametrize(
    ('options', 'expected'),
    [
        ({}, (250, 25, 5)),
        ({'epochs': 3, 'checkpoint_epochs': 2, 'validation_epochs': 1}, (15, 5, 10)),
        ({'train_dataloader.batch_size': 3}, (200, 20, 4)),  # the last step of an epoch reaches into the next
        ({'optim_wrapper.accumulative_counts': 2}, (300, 30, 6)),  # whole updates
        ({'train_cfg.max_iters': 7, 'default_hooks.checkpoint.interval': 3}, (7, 25, 3)),  # stated ones stay
    ],
)
def test_epochs_become_iterations(loose, options, expected):
    cfg, notes = config(loose, ('train', 'val'), **options)
    found = cfg.train_cfg.max_iters, cfg.train_cfg.val_interval, cfg.default_hooks.checkpoint.interval
    assert found == expected
    assert any('An epoch of 10 images is' in note for note in notes)
    assert cfg.param_scheduler[1].end == expected[0] >= cfg.param_scheduler[0].end


def test_epochs_that_are_no_number_are_refused(loose):
    with pytest.raises(ConfigError, match='checkpoint_epochs must be a number above 0'):
        config(loose, ('train',), checkpoint_epochs=0)


def test_images_of_coco_are_fed_from_a_pack(real_data, tmp_path):
    source = real_data / 'coco_permissive33'
    (tmp_path / 'coco/annotations').mkdir(parents=True)
    shutil.copy(source / 'instances.json', tmp_path / 'coco/annotations/instances_train2017.json')
    shutil.copytree(source / 'images', tmp_path / 'coco/train2017')
    out = pack_dataset(tmp_path / 'coco', tmp_path / 'packed', shards=4).out
    fed = []
    for data in (tmp_path / 'coco', out):
        cfg, _ = config(data, ('train',))
        make_exact(cfg)
        dataset = Runner.build_dataloader(cfg.train_dataloader, seed=0).dataset
        fed.append([dataset[index]['inputs'] for index in range(0, 33, 4)])
    assert all(torch.equal(*pair) for pair in zip(*fed, strict=True))
    assert len(json.loads((out / 'train2017/index.json').read_text())['images']) == 33
