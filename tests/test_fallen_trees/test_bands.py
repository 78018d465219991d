"""Images of four bands from the raster to a picture of the prediction."""

import copy

import cv2
import numpy as np
import pytest
import torch
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample
from mmengine.config import Config
from mmengine.registry import DATASETS, init_default_scope
from mmengine.runner import Runner

from data_prep.__main__ import main
from fallen_trees.derive.config import REPOSITORY, derive
from fallen_trees.errors import ConfigError
from fallen_trees.pictures.panel_visualizer import CAPTION_HEIGHT
from fallen_trees.pictures.picture_hook import picture_of


@pytest.fixture(scope='module')
def cfg(tmp_path_factory, write_raster, write_labelme):
    """The config of four bands on drawn scenes whose tiles have no files."""
    folder = tmp_path_factory.mktemp('bands')
    (folder / 'scenes').mkdir()
    square = [[10, 10], [40, 10], [40, 40], [10, 40]]
    pixels = np.random.default_rng(0).integers(1, 255, (4, 128, 128)).astype(np.uint8)
    for number in range(3):
        write_raster(folder / f'scenes/s{number}.tif', pixels=pixels)
        write_labelme(folder / f'scenes/s{number}.json', [('crown', square)], (128, 128))
    split = ['--val', 's1', '--test', 's2', '--pixels', 'none', '--bands', '1,2,3,4', '--tile-size', '64']
    assert main(['tile', str(folder / 'scenes'), '--out', str(folder / 'data'), *split]) in (0, 1)
    init_default_scope('mmdet')
    cfg = Config.fromfile(REPOSITORY / 'configs/m2f_mobilenetv2_crowns_rgbn.py')
    cfg.merge_from_dict(
        {
            'data_root': str(folder / 'data'),
            'image_size': (64, 64),
            'work_dir': str(folder),
            'model.backbone.init_cfg': None,
            'train_cfg': dict(max_iters=2, val_interval=2),
            'train_dataloader': dict(batch_size=2, num_workers=0, persistent_workers=False),
            'test_dataloader': dict(num_workers=0, persistent_workers=False),
        }
    )
    return cfg


def test_four_bands_reach_the_network_normalised_in_their_order(cfg):
    cfg = copy.deepcopy(cfg)
    derive(cfg, ('train',))
    sample = DATASETS.build({**cfg.train_dataloader.dataset, 'pipeline': cfg.test_dataloader.dataset.pipeline})[0]
    values = dict(mean=[1.0, 2.0, 3.0, 4.0], std=[10.0, 20.0, 30.0, 40.0])
    preprocessor = MODELS.build({**cfg.model.data_preprocessor, **values})
    inputs = preprocessor(dict(inputs=[sample['inputs']], data_samples=[sample['data_samples']]))['inputs']
    for band in range(4):
        expected = (sample['inputs'][band].float() - values['mean'][band]) / values['std'][band]
        assert torch.allclose(inputs[0, band], expected)
    model = MODELS.build(cfg.model)
    with torch.no_grad():
        assert model.extract_feat(inputs)[0].shape[1] == 24
    with pytest.raises(ConfigError, match='a value for each band'):
        MODELS.build({**cfg.model.data_preprocessor, 'std': [1.0] * 3})
    with pytest.raises(ConfigError, match='bgr_to_rgb=False'):
        MODELS.build({**cfg.model.data_preprocessor, 'bgr_to_rgb': True})


def test_pictures_show_the_first_three_bands(cfg, tmp_path):
    cfg = copy.deepcopy(cfg)
    cfg.default_hooks.visualization.update(draw=True, test_out_dir=str(tmp_path), score_thr=0.9)
    derive(cfg, ('test',))
    for key in ('train_dataloader', 'train_cfg', 'val_dataloader', 'val_cfg', 'val_evaluator', 'optim_wrapper'):
        cfg.pop(key)
    cfg.param_scheduler = None
    runner = Runner.from_cfg(cfg)
    runner.test()
    dataset = runner.test_dataloader.dataset
    assert len(list(tmp_path.glob('*.png'))) == len(dataset) == 4
    info = dataset.get_data_info(0)
    image = picture_of(dataset, info['img_path'])
    assert image.shape == (64, 64, 4)
    drawn = cv2.imread(str(next(tmp_path.glob('*_000000_000000.png'))))[..., ::-1]
    zoom = 512 // 64
    panel = drawn[CAPTION_HEIGHT:, : 64 * zoom]
    expected = cv2.resize(image[..., :3], None, fx=zoom, fy=zoom, interpolation=cv2.INTER_CUBIC)
    assert np.array_equal(panel, expected)


def test_one_band_is_drawn_in_grey(tmp_path):
    from fallen_trees.pictures.panel_visualizer import PanelVisualizer

    image = np.random.default_rng(0).integers(0, 255, (64, 64, 1)).astype(np.uint8)
    PanelVisualizer(name='grey').add_datasample('x', image, DetDataSample(), out_file=str(tmp_path / 'x.png'))
    panel = cv2.imread(str(tmp_path / 'x.png'))[CAPTION_HEIGHT:]
    assert (panel[..., 0] == panel[..., 2]).all() and panel.std() > 10
