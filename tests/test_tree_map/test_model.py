"""Config and checkpoint become a network, or one line that says why not; masks come cropped from any head."""

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.structures import InstanceData
from pycocotools import mask as pycoco

from data_prep.errors import DataError
from tree_map.predicting.model import SCORE_THR, annotation_files, load_model
from tree_map.predicting.network import _as_loaded, _instances

ROOT_CONFIG = 'configs/m2f_trees_demo.py'


@pytest.fixture(scope='module')
def mask2former(tiles, tmp_path_factory):
    """The demo's network with random weights, saved with the metainfo that training saves."""
    from mmdet.registry import MODELS
    from mmengine.registry import init_default_scope

    from fallen_trees.derive.config import derive
    from fallen_trees.launch import read_config
    from fallen_trees.resume.plain_state import to_plain

    folder = tmp_path_factory.mktemp('mask2former')
    cfg = read_config(ROOT_CONFIG)
    init_default_scope('mmdet')
    cfg.data_root, cfg.image_size = str(tiles), (64, 64)
    cfg.dump(folder / 'tiny.py')
    derive(cfg, ('train',))
    torch.manual_seed(0)
    network = MODELS.build(cfg.model)
    meta = {'dataset_meta': to_plain(cfg.train_dataloader.dataset.metainfo)}
    torch.save({'meta': meta, 'state_dict': network.state_dict()}, folder / 'tiny.pth')
    return folder / 'tiny.py', folder / 'tiny.pth'


def test_a_trained_network_knows_its_classes_and_tiles(mask2former):
    model = load_model(*mask2former, device='cpu')
    assert model.classes == ('fallen_tree',) and model.bands == 3 and model.input_side == 64
    assert model.tiles['size_px'] == [128, 128] and model.tiles['bands'] == [1, 2, 3]
    assert model.tiles['overlap'] == 0.25 and model.tiles['stretch'] == 'auto'
    assert model.tiles['gsd_m'] == pytest.approx(0.05)
    assert not model.network.training and len(model.sha256) == 64
    assert model.score_thr == SCORE_THR and '--score-thr' in model.notes[0]


def test_windows_reach_the_network_as_large_as_tiles_did(mask2former):
    model = load_model(*mask2former, device='cpu')
    picture = np.zeros((256, 256, 3), np.uint8)
    assert model.pipeline(256)(dict(img=picture, img_id=0))['inputs'].shape == (3, 128, 128)
    assert model.pipeline(128)(dict(img=picture[:128, :128], img_id=0))['inputs'].shape == (3, 64, 64)
    assert model.pipeline(None)(dict(img=picture, img_id=0))['inputs'].shape == (3, 64, 64)


def test_crops_are_the_masks_that_the_head_gives_in_full(mask2former):
    pictures = np.random.default_rng(0).integers(0, 255, (2, 128, 128, 3), np.uint8)
    crops = load_model(*mask2former, device='cpu', score_thr=0.01)
    dense = load_model(*mask2former, device='cpu', score_thr=0.01)
    assert dense.cfg.model.test_cfg.mask_format == 'crop'
    dense.network.panoptic_fusion_head.test_cfg.mask_format = 'tensor'
    pipeline = crops.pipeline(128)
    count = 0
    for one, other in zip(crops(pictures, pipeline), dense(pictures, pipeline), strict=True):
        assert np.array_equal(one.origins_xy, other.origins_xy) and np.array_equal(one.scores, other.scores)
        assert all(np.array_equal(a, b) for a, b in zip(one.masks, other.masks, strict=True))
        count += len(one)
    assert count > 5


@pytest.mark.parametrize(('bands', 'order'), [(3, [2, 1, 0]), (4, [0, 1, 2, 3])])
def test_bands_come_in_the_order_that_training_read(bands, order):
    picture = np.arange(2 * 2 * bands, dtype=np.uint8).reshape(2, 2, bands)
    assert np.array_equal(_as_loaded(picture), picture[..., order])


class Sample:
    ori_shape = (20, 30)

    def __init__(self, masks):
        boxes = torch.tensor([[4.0, 3.0, 9.0, 8.0]] * 3)
        self.pred_instances = InstanceData(
            masks=masks, bboxes=boxes, scores=torch.tensor([0.9, 0.2, 0.8]), labels=torch.tensor([0, 1, 2])
        )


@pytest.mark.parametrize('form', ['crop', 'tensor', 'rle'])
def test_masks_of_any_form_come_cropped_and_empty_ones_not_at_all(form):
    full = np.zeros((3, 20, 30), np.uint8)
    full[0, 3:8, 4:9] = 1
    full[0, 3, 4] = 0
    forms = {
        'crop': lambda: [full[0, 3:8, 4:9], full[1, :2, :2], np.zeros((0, 0), bool)],
        'tensor': lambda: torch.from_numpy(full),
        'rle': lambda: [pycoco.encode(np.asfortranarray(mask)) for mask in full],
    }
    found = _instances(Sample(forms[form]()), 0.5)
    assert len(found) == 1 and found.origins_xy.tolist() == [[4, 3]] and found.labels.tolist() == [0]
    assert np.array_equal(found.masks[0], full[0, 3:8, 4:9]) and found.masks[0].dtype == bool


def test_a_model_of_boxes_is_refused(detector):
    sample = Sample([])
    del sample.pred_instances.masks
    with pytest.raises(DataError, match='masks'):
        _instances(sample, 0.5)


def test_the_threshold_of_validation_travels_with_the_checkpoint(bright, detector):
    model = load_model(*detector)
    assert model.score_thr == 0.5 and 'validation' in model.notes[0]
    assert load_model(*detector, score_thr=0.7).score_thr == 0.7
    assert load_model(*bright(hub=False)).score_thr == SCORE_THR


def test_half_precision_is_that_of_the_device(detector):
    assert load_model(*detector, amp=True, device='cpu').amp == torch.bfloat16
    assert load_model(*detector).amp is None


def test_classes_of_another_list_are_refused(bright, tmp_path):
    config, checkpoint = bright(classes=('oak', 'beech'))
    with pytest.raises(DataError, match=r'trained for 2 classes \(oak, beech\), the model of the config has 1'):
        load_model(config, checkpoint)
    assert load_model(config, checkpoint, cfg_options={'model.num_classes': 2}).classes == ('oak', 'beech')
    config, checkpoint = bright()
    text = config.read_text() + "metainfo = dict(classes=('oak',))\n"
    (tmp_path / 'oak.py').write_text(text)
    with pytest.raises(DataError, match=r"'fallen_tree'.*the config states \['oak'\]"):
        load_model(tmp_path / 'oak.py', checkpoint)


def test_a_checkpoint_without_names_gets_numbers(bright, tmp_path):
    config, _ = bright()
    torch.save({'state_dict': {'weight': torch.ones(1)}}, tmp_path / 'plain.pth')
    model = load_model(config, tmp_path / 'plain.pth', cfg_options={'model.num_classes': 3})
    assert model.classes == ('class_1', 'class_2', 'class_3') and model.tiles is None


@pytest.mark.parametrize(
    'case', ['no config', 'no checkpoint', 'damaged', 'misspelt', 'other model', 'device', 'pickle']
)
def test_what_cannot_be_used_is_told_in_one_line(detector, mask2former, tmp_path, case):
    config, checkpoint, options, says = *detector, {}, ''
    if case == 'no config':
        config, says = tmp_path / 'none.py', 'does not exist'
    elif case == 'no checkpoint':
        checkpoint, says = tmp_path / 'none.pth', 'does not exist'
    elif case == 'damaged':
        checkpoint, says = tmp_path / 'cut.pth', 'cannot be read'
        checkpoint.write_bytes(detector[1].read_bytes()[:200])
    elif case == 'misspelt':
        options, says = {'cfg_options': {'modle.num_classes': 2}}, 'modle'
    elif case == 'other model':
        config, says = mask2former[0], 'another model'
    elif case == 'device':
        options, says = {'device': 'cuda:99'}, '--device cuda:99 cannot be used'
    elif case == 'pickle':
        checkpoint, says = tmp_path / 'code.pth', '--trust-checkpoint'
        torch.save({'state_dict': {'weight': torch.ones(1)}, 'hook': Sample}, checkpoint)
    with pytest.raises(DataError, match=says) as caught:
        load_model(config, checkpoint, **options)
    assert '\n' not in str(caught.value)


def test_files_of_splits_are_found_where_the_config_leaves_the_layout_open(tmp_path):
    """What was trained on Roboflow's files is told from what a map is tuned on, too."""
    for folder in ('train', 'valid'):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / '_annotations.coco.json').write_text('{}')
    loader = dict(dataset=dict(type='RepeatDataset', dataset=dict(ann_file=None, data_root=str(tmp_path))))
    cfg = Config(dict(train_dataloader=loader, val_dataloader=loader, test_dataloader=loader))
    found = {split: path and path.parent.name for split, path in annotation_files(cfg).items()}
    assert found == {'train': 'train', 'val': 'valid', 'test': None}
    cfg.train_dataloader.dataset.dataset.data_root = str(tmp_path / 'train')
    assert annotation_files(cfg)['train'] is None
