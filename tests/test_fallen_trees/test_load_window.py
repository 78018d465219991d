"""Tiles read from their scenes while training are the exported ones, pixel by pixel."""

import json
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip('mmdet')
from mmdet.registry import DATASETS  # noqa: E402
from mmdet.utils import register_all_modules  # noqa: E402

import fallen_trees  # noqa: E402, F401
from data_prep.__main__ import main  # noqa: E402
from fallen_trees.errors import ConfigError  # noqa: E402


@pytest.fixture
def data_sets(tmp_path, scenes, write_raster):
    """The same tiles twice, with images and without; one scene is stretched and has a hole."""
    pixels = np.random.default_rng(0).integers(1, 4000, (3, 128, 160)).astype(np.uint16)
    pixels[:, 40:80, 30:] = 0
    write_raster(scenes / 's1.tif', pixels=pixels)
    for kind in ('png', 'none'):
        options = ('--tile-size', '64', '--pixels', kind, '--scale', '0.75', '--min-visible', '0.2')
        assert main(['tile', str(scenes), '--out', str(tmp_path / kind), *options]) in (0, 1)
    return tmp_path


def loaded(folder, split, loader, ann_file=None, loader_arguments=None):
    register_all_modules(init_default_scope=True)
    config = {
        'type': 'CocoDataset',
        'data_root': f'{folder}/',
        'ann_file': f'annotations/{ann_file or f"instances_{split}.json"}',
        'data_prefix': {'img': f'images/{split}/'},
        'metainfo': {'classes': ('tree',)},
        'test_mode': True,
        'pipeline': [{'type': loader, 'to_float32': True, 'backend_args': None, **(loader_arguments or {})}],
    }
    return list(DATASETS.build(config))


def test_same_pixels_as_the_exported_tiles(data_sets):
    assert not (data_sets / 'none/images').exists()
    for split in ('train', 'val', 'test'):
        exported = loaded(data_sets / 'png', split, 'LoadImageFromFile')
        read = loaded(data_sets / 'none', split, 'LoadImageFromScene')
        assert len(exported) == len(read) > 0
        for one, two in zip(exported, read, strict=True):
            assert np.array_equal(one['img'], two['img']) and two['img'].dtype == np.float32
            assert one['ori_shape'] == two['ori_shape'] == two['img_shape']


def test_a_file_without_the_contract_is_told(data_sets):
    path = data_sets / 'none/annotations/instances_val.json'
    content = json.loads(path.read_text())
    for entry in content['images']:
        del entry['source']
    path.write_text(json.dumps(content))
    with pytest.raises(ConfigError, match='does not say where'):
        loaded(data_sets / 'none', 'val', 'LoadImageFromScene')


@pytest.mark.parametrize('bands', [2, 4])
def test_other_than_three_bands_come_in_the_rasters_order(tmp_path, scenes, write_raster, bands):
    pixels = np.random.default_rng(0).integers(1, 255, (5, 128, 160)).astype(np.uint8)
    for number in range(4):
        write_raster(scenes / f's{number}.tif', pixels=pixels)
    chosen = (5, 2, 1, 4)[:bands]
    options = ('--tile-size', '64', '--pixels', 'none', '--bands', ','.join(map(str, chosen)))
    assert main(['tile', str(scenes), '--out', str(tmp_path / 'out'), *options]) in (0, 1)
    for sample in loaded(tmp_path / 'out', 'train', 'LoadImageFromScene'):
        x, y = (int(part) for part in sample['img_path'].removesuffix('.window').split('_')[-2:])
        expected = pixels[np.array(chosen) - 1, y : y + 64, x : x + 64].transpose(1, 2, 0)
        assert np.array_equal(sample['img'][: expected.shape[0], : expected.shape[1]], expected)


def test_folds_are_read_through_their_annotation_file(tmp_path, scenes):
    for kind in ('png', 'none'):
        options = ('--tile-size', '64', '--kfold', '2', '--empty-share', '1', '--pixels', kind)
        assert main(['tile', str(scenes), '--out', str(tmp_path / kind), *options]) in (0, 1)
    for split in ('train', 'val'):
        fold = f'fold_1/instances_{split}.json'
        exported = loaded(tmp_path / 'png', split, 'LoadImageFromFile', fold)
        whole = str(tmp_path / 'none/annotations' / fold)
        read = loaded(tmp_path / 'none', split, 'LoadImageFromScene', fold, loader_arguments={'ann_file': whole})
        assert len(exported) == len(read) > 0
        for one, two in zip(exported, read, strict=True):
            assert Path(one['img_path']).stem == Path(two['img_path']).stem
            assert np.array_equal(one['img'], two['img'])
