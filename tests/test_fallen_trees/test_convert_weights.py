"""Checkpoints of other frameworks predict the same after conversion, and what does not fit is refused."""

import copy
import os
import pickle
import re

import numpy as np
import pytest
import torch
from mmdet.registry import MODELS
from mmengine.config import Config
from mmengine.registry import init_default_scope

from fallen_trees.derive.config import REPOSITORY, derive
from fallen_trees.errors import ConfigError
from fallen_trees.start_weights import read_checkpoint
from fallen_trees.weights.conversion import build_target, convert, write
from fallen_trees.weights.numpy_pickle import load_numpy_pickle
from fallen_trees.weights.source import COCO, read_source

LABELS = ('pine', 'spruce', 'birch', 'larch', 'rock')
BACKBONES = {
    'resnet18': dict(
        ours=dict(type='ResNet', depth=18, base_channels=8, norm_cfg=dict(type='BN', requires_grad=True)),
        channels=[8, 16, 32, 64],
    ),
    'resnet50': dict(ours=dict(type='ResNet', depth=50, base_channels=8), channels=[32, 64, 128, 256]),
    'swin': dict(
        ours=dict(
            type='SwinTransformer',
            embed_dims=8,
            depths=(1, 2, 2, 1),
            num_heads=(1, 2, 4, 8),
            window_size=4,
            out_indices=(0, 1, 2, 3),
            convert_weights=False,
        ),
        channels=[8, 16, 32, 64],
    ),
}


def config(kind):
    """Our tiny model with one of the backbones."""
    init_default_scope('mmdet')
    cfg = Config.fromfile(REPOSITORY / 'configs/m2f_trees_demo.py')
    backbone = BACKBONES[kind]
    if backbone['ours']['type'] == 'ResNet':
        cfg.model.backbone.update(backbone['ours'])
    else:
        cfg.model.backbone = copy.deepcopy(backbone['ours'])
    cfg.model.panoptic_head.in_channels = backbone['channels']
    return cfg


@pytest.fixture(scope='module', params=BACKBONES)
def hugging_face(request, tmp_path_factory):
    """A randomly initialised Mask2Former of Hugging Face, saved as it saves itself, with our backbone's name."""
    import transformers

    transformers.logging.set_verbosity_error()
    torch.manual_seed(3)
    stages = dict(out_features=['stage1', 'stage2', 'stage3', 'stage4'])
    channels = BACKBONES[request.param]['channels']
    if request.param == 'swin':
        backbone = transformers.SwinConfig(
            embed_dim=8, depths=[1, 2, 2, 1], num_heads=[1, 2, 4, 8], window_size=4, image_size=96, **stages
        )
    else:
        basic = request.param == 'resnet18'
        backbone = transformers.ResNetConfig(
            embedding_size=8,
            hidden_sizes=channels,
            depths=[2, 2, 2, 2] if basic else [3, 4, 6, 3],
            layer_type='basic' if basic else 'bottleneck',
            **stages,
        )
    sizes = dict(feature_size=64, mask_feature_size=64, hidden_dim=64, num_attention_heads=8)
    layers = dict(encoder_layers=1, decoder_layers=4, encoder_feedforward_dim=256, dim_feedforward=256, num_queries=25)
    labels = dict(id2label=dict(enumerate(LABELS)), label2id={name: row for row, name in enumerate(LABELS)})
    model = transformers.Mask2FormerForUniversalSegmentation(
        transformers.Mask2FormerConfig(backbone_config=backbone, **sizes, **layers, **labels)
    ).eval()
    shake(model)
    folder = tmp_path_factory.mktemp(request.param)
    model.save_pretrained(folder)
    return request.param, model, folder


def shake(model):
    """Random numbers everywhere, or a norm left at ones and a bias at zeros could go anywhere unseen."""
    with torch.no_grad():
        for name, tensor in model.state_dict().items():
            if name.endswith('running_var'):
                tensor.uniform_(0.5, 2)
            elif tensor.is_floating_point() and tensor.dim() <= 1:
                tensor.add_(0.1 * torch.randn_like(tensor))
            elif tensor.dim() == 2:
                tensor.normal_(std=1 if 'relative_position_bias_table' in name else tensor.shape[1] ** -0.5)


def logits(cfg, state_dict, pixels):
    """Class and mask logits of our model's last layer."""
    model = MODELS.build(cfg.model).eval()
    model.load_state_dict(state_dict)  # strict
    with torch.no_grad():
        samples = [None] * len(pixels)
        classes, masks = model.panoptic_head(model.extract_feat(pixels), samples)
    return classes[-1], masks[-1]


def pixels():
    return torch.randn(2, 3, 96, 128, generator=torch.Generator().manual_seed(0))


def converted(source, cfg):
    return convert(source, *build_target(cfg, source))


def test_hugging_faces_model_gives_the_same_logits(hugging_face):
    kind, model, folder = hugging_face
    source = read_source(folder)
    cfg = config(kind)
    result = converted(source, cfg)
    assert source.kind == 'huggingface' and result.left == []
    assert result.classes == LABELS
    with torch.no_grad():
        theirs = model(pixels())
    classes, masks = logits(cfg, result.state_dict, pixels())
    assert theirs.masks_queries_logits.std() > 0.1 and theirs.class_queries_logits.std() > 0.1
    assert (classes - theirs.class_queries_logits).abs().max() < 1e-4
    assert (masks - theirs.masks_queries_logits).abs().max() < 1e-4


def test_names_in_memory_are_known_as_those_in_files(hugging_face, tmp_path):
    kind, model, folder = hugging_face
    torch.save(model.state_dict(), tmp_path / 'pytorch_model.bin')
    one, two = (convert(read_source(path)).state_dict for path in (folder, tmp_path))
    assert one.keys() == two.keys()
    assert all(torch.equal(one[name], two[name]) for name in one)


PREDICTOR = 'sem_seg_head.predictor'
DETECTRON2 = [  # of Hugging Face's names in memory, one after the other
    (r'^model\.', ''),
    (r'^transformer_module\.(decoder\.)?', f'{PREDICTOR}.'),
    (r'^pixel_level_module\.decoder\.encoder', 'sem_seg_head.pixel_decoder.transformer.encoder'),
    (r'^pixel_level_module\.decoder\.level_embed', 'sem_seg_head.pixel_decoder.transformer.level_embed'),
    (r'^pixel_level_module\.decoder', 'sem_seg_head.pixel_decoder'),
    (r'input_projections', 'input_proj'),
    (r'mask_projection', 'mask_features'),
    (r'(adapter_1|layer_1)\.0', r'\1'),
    (r'(adapter_1|layer_1)\.1', r'\1.norm'),
    (r'(transformer\.encoder.+)\.self_attn_layer_norm', r'\1.norm1'),
    (r'(transformer\.encoder.+)\.final_layer_norm', r'\1.norm2'),
    (r'(transformer\.encoder.+)\.fc(\d)', r'\1.linear\2'),
    (r'predictor\.layers\.(\d+)\.(self|cross)_attn_layer_norm', r'predictor.transformer_\2_attention_layers.\1.norm'),
    (r'predictor\.layers\.(\d+)\.cross_attn', r'predictor.transformer_cross_attention_layers.\1.multihead_attn'),
    (r'predictor\.layers\.(\d+)\.self_attn', r'predictor.transformer_self_attention_layers.\1.self_attn'),
    (r'predictor\.layers\.(\d+)\.final_layer_norm', r'predictor.transformer_ffn_layers.\1.norm'),
    (r'predictor\.layers\.(\d+)\.fc(\d)', r'predictor.transformer_ffn_layers.\1.linear\2'),
    (r'mask_predictor\.mask_embedder\.(\d)\.0', r'mask_embed.layers.\1'),
    (r'queries_embedder', 'query_embed'),
    (r'queries_features', 'query_feat'),
    (r'predictor\.layernorm', 'predictor.decoder_norm'),
    (r'^class_predictor', f'{PREDICTOR}.class_embed'),
    (r'^pixel_level_module\.encoder\.(swin\.)?(encoder\.)?', 'backbone.'),
    (r'embeddings\.patch_embeddings\.projection', 'patch_embed.proj'),
    (r'embeddings\.norm', 'patch_embed.norm'),
    (r'attention\.relative_position_bias\.', 'attn.'),
    (r'attention\.o_proj', 'attn.proj'),
    (r'attention\.([qkv]_proj)', r'attn.\1'),
    (r'layernorm_before', 'norm1'),
    (r'layernorm_after', 'norm2'),
    (r'hidden_states_norms\.stage(\d)', lambda match: f'norm{int(match[1]) - 1}'),
    (r'embedder\.embedder\.convolution', 'stem.conv1'),
    (r'embedder\.embedder\.normalization', 'stem.conv1.norm'),
    (r'stages\.(\d)\.layers', lambda match: f'res{int(match[1]) + 2}'),
    (r'layer\.(\d)\.', lambda match: f'conv{int(match[1]) + 1}.'),
    (r'\.convolution', ''),
    (r'\.normalization', '.norm'),
]


def detectron2_names(model):
    """The tensors of Hugging Face's model as Detectron2 would name them, in NumPy; the table is this test's own."""
    result, parts = {}, {}
    for name, tensor in model.state_dict().items():
        for pattern, target in DETECTRON2:
            name = re.sub(pattern, target, name)
        part = re.fullmatch(r'(.+)\.([qkv])_proj\.(weight|bias)', name)
        if part:
            whole = f'{part[1]}.qkv.{part[3]}' if name.startswith('backbone') else f'{part[1]}.in_proj_{part[3]}'
            parts.setdefault(whole, {})[part[2]] = tensor.numpy()
        elif not name.endswith(('num_batches_tracked', 'relative_position_index')):
            result[name] = tensor.numpy()
    return result | {whole: np.concatenate([found[part] for part in 'qkv']) for whole, found in parts.items()}


OFFICIAL = {
    'resnet18': 'backbone.res3.0.shortcut.norm.running_var',
    'resnet50': 'backbone.res2.0.conv3.norm.weight',
    'swin': 'backbone.layers.1.blocks.0.attn.qkv.weight',
}


def test_detectron2s_pickle_gives_the_same_logits(hugging_face, tmp_path):
    kind, model, _ = hugging_face
    arrays = detectron2_names(model)
    assert {'sem_seg_head.predictor.transformer_ffn_layers.2.linear1.bias', OFFICIAL[kind]} <= set(arrays)
    with open(tmp_path / 'model_final.pkl', 'wb') as file:
        pickle.dump({'model': arrays, '__author__': 'somebody'}, file, protocol=2)
    source = read_source(tmp_path / 'model_final.pkl')
    cfg = config(kind)
    result = converted(source, cfg)
    assert source.kind == 'detectron2' and source.classes is None
    assert [name for name in result.left if name not in ('backbone.layernorm.weight', 'backbone.layernorm.bias')] == []
    with torch.no_grad():
        theirs = model(pixels())
    classes, masks = logits(cfg, result.state_dict, pixels())
    assert (classes - theirs.class_queries_logits).abs().max() < 1e-4
    assert (masks - theirs.masks_queries_logits).abs().max() < 1e-4


def save(path, state_dict, **more):
    torch.save({'state_dict': state_dict, **more}, path)
    return path


@pytest.fixture
def panoptic(tmp_path):
    """A checkpoint as MMDetection writes it, of COCO's 133 panoptic classes."""
    cfg = config('resnet18')
    tensors = dict(tensors_of(cfg, 133))
    return save(tmp_path / 'panoptic.pth', tensors, meta={'dataset_meta': {'classes': COCO[133]}}), tensors


def tensors_of(cfg, num_classes):
    cfg = copy.deepcopy(cfg)
    derive(cfg, (), tuple(f'c{number}' for number in range(num_classes)))
    return MODELS.build(cfg.model).state_dict()


def test_a_panoptic_checkpoint_gives_its_things(panoptic):
    path, tensors = panoptic
    for result in (convert(read_source(path)), converted(read_source(path), config('resnet18'))):
        assert result.classes == COCO[80] and result.left == []
        rows = result.state_dict['panoptic_head.cls_embed.weight']
        assert torch.equal(rows, tensors['panoptic_head.cls_embed.weight'][[*range(80), 133]])
        assert '53 kinds of ground of COCO panoptic are dropped, 80 things stay' in ' '.join(result.lines)


def test_the_configs_classes_and_queries_are_met_by_surgery(panoptic):
    cfg = config('resnet18')
    cfg.metainfo.classes = ('fallen_tree', 'person')
    cfg.model.panoptic_head.num_queries = 30
    result = converted(read_source(panoptic[0]), cfg)
    rows = result.state_dict['panoptic_head.cls_embed.weight']
    assert torch.equal(rows[1:], panoptic[1]['panoptic_head.cls_embed.weight'][[0, 133]])
    assert len(result.state_dict['panoptic_head.query_feat.weight']) == 30
    assert result.classes == ('fallen_tree', 'person')


def test_version_2_of_mmdetection_is_known(panoptic):
    """It numbered what has names now: attentions in their order of operation, cross before self."""
    path, tensors = panoptic
    old = {}
    for name, tensor in tensors.items():
        if 'transformer_decoder' in name:
            name = name.replace('cross_attn', 'attentions.0').replace('self_attn', 'attentions.1')
        name = name.replace('self_attn', 'attentions.0').replace('.ffn.', '.ffns.0.')
        old[name] = tensor
    assert len(set(old) - set(tensors)) > 20
    result = convert(read_source(save(path, old)))
    expected = convert(read_source(save(path, tensors)))
    assert result.state_dict.keys() == expected.state_dict.keys() and result.left == []
    assert all(torch.equal(result.state_dict[name], expected.state_dict[name]) for name in result.state_dict)


def test_a_tensor_that_stays_empty_is_refused_and_one_too_many_is_listed(panoptic):
    path, tensors = panoptic
    tensors['panoptic_head.extra.weight'] = tensors.pop('panoptic_head.mask_embed.2.weight')
    with pytest.raises(ConfigError, match=r'1 tensors stay empty: panoptic_head.mask_embed.2.weight \(64, 64\)'):
        converted(read_source(save(path, tensors)), config('resnet18'))
    tensors['panoptic_head.mask_embed.2.weight'] = tensors['panoptic_head.extra.weight']
    tensors['ema.weight'] = torch.zeros(1)
    result = converted(read_source(save(path, tensors)), config('resnet18'))
    assert sorted(result.left) == ['ema.weight', 'panoptic_head.extra.weight']
    with pytest.raises(ConfigError, match='same backbone and depth'):
        converted(read_source(path), config('resnet50'))


def test_what_is_written_loads_and_says_where_it_comes_from(panoptic, tmp_path):
    source = read_source(panoptic[0])
    result = convert(source)
    write(result, source, tmp_path / 'out.pth')
    loaded = read_checkpoint(tmp_path / 'out.pth')
    assert loaded['meta']['dataset_meta']['classes'] == COCO[80]
    assert loaded['meta']['converted_from']['sha256'] == source.sha256
    assert 'Apache-2.0' in loaded['meta']['converted_from']['licence']
    assert loaded['state_dict'].keys() == result.state_dict.keys()


class Calls:
    """Pickles to a call of whatever it is given."""

    def __init__(self, function, *args):
        self.call = function, args

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize('wrapped', [False, True], ids=['plain', 'inside an array'])
def test_a_pickle_that_runs_something_is_refused_before_it_runs(tmp_path, wrapped):
    trace = tmp_path / 'ran'
    bad = Calls(os.mkdir, str(trace))
    with open(tmp_path / 'x.pkl', 'wb') as file:
        pickle.dump({'model': {'a': np.array([bad], object) if wrapped else bad}}, file)
    with pytest.raises(ConfigError, match='must hold only arrays'):
        read_source(tmp_path / 'x.pkl')
    assert not trace.exists()
    torch.save({'state_dict': {'a': torch.zeros(1)}, 'bad': Calls(os.mkdir, str(trace))}, tmp_path / 'x.pth')
    with pytest.raises(ConfigError, match='weights alone'):
        read_source(tmp_path / 'x.pth')
    assert not trace.exists()


@pytest.mark.parametrize('protocol', [0, 2, 5])
def test_pickles_of_arrays_are_read_whole(tmp_path, protocol):
    content = {'a': np.arange(12.0).reshape(3, 4).T, 'n': np.float32(2.5), 'l': [1, (2, 'x')], 'b': b'\xff'}
    with open(tmp_path / 'x.pkl', 'wb') as file:
        pickle.dump(content, file, protocol=protocol)
    read = load_numpy_pickle(tmp_path / 'x.pkl')
    assert np.array_equal(read['a'], content['a']) and read['a'].dtype == np.float64
    assert read['n'] == 2.5 and read['l'] == [1, (2, 'x')] and read['b'] == b'\xff'


def test_objects_in_arrays_are_refused(tmp_path):
    with open(tmp_path / 'x.pkl', 'wb') as file:
        pickle.dump(np.array([{}, []], object), file)
    with pytest.raises(ConfigError, match='numbers'):
        load_numpy_pickle(tmp_path / 'x.pkl')


def test_damaged_and_foreign_files_are_one_line(tmp_path):
    for name in ('x.pkl', 'x.pth', 'x.safetensors'):
        for content in (b'', b'not a checkpoint', pickle.dumps({'a': np.zeros(9)})[:40]):
            (tmp_path / name).write_bytes(content)
            with pytest.raises(ConfigError) as caught:
                read_source(tmp_path / name)
            assert '\n' not in str(caught.value) and name in str(caught.value)
    torch.save({'a.weight': torch.zeros(1)}, tmp_path / 'x.pth')
    with pytest.raises(ConfigError, match='no Mask2Former .* a.weight'):
        read_source(tmp_path / 'x.pth')
    torch.save([1, 2], tmp_path / 'x.pth')
    with pytest.raises(ConfigError, match='no tensors by name'):
        read_source(tmp_path / 'x.pth')
    with pytest.raises(ConfigError, match='does not exist'):
        read_source(tmp_path / 'y.pth')
    with pytest.raises(ConfigError, match='it has neither'):
        read_source(tmp_path)
