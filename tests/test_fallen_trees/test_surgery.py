"""What surgery keeps, seen in what the network predicts."""

import copy

import pytest
import torch
from mmdet.registry import MODELS
from mmengine.registry import init_default_scope

from fallen_trees.derive.config import derive
from fallen_trees.start_weights import misfits
from fallen_trees.weights.surgery import CLASSES, QUERIES, fit, fit_bands, fit_classes, fit_queries, query_order


def build(cfg, **head):
    init_default_scope('mmdet')
    cfg = copy.deepcopy(cfg)
    cfg.model.panoptic_head.update(head)
    derive(cfg, ())
    return MODELS.build(cfg.model).eval()


@pytest.fixture
def model(demo_config):
    demo_config.metainfo.classes = ('oak', 'beech', 'ash', 'pine')
    torch.manual_seed(0)
    return build(demo_config)


def predict(model, pixels):
    with torch.no_grad():
        classes, masks = model.panoptic_head(model.extract_feat(pixels), [None])
    return classes[-1], masks[-1]


def test_classes_keep_their_rows_by_name_and_no_object_its_own():
    weight, bias = torch.randn(5, 8), torch.randn(5)
    old = ('oak', 'beech', 'ash', 'pine')
    new_weight, new_bias, kept = fit_classes(weight, bias, 3, old, ('pine', 'fallen', 'oak'))
    assert kept == ['pine', 'oak']
    assert torch.equal(new_weight[[0, 2, 3]], weight[[3, 0, 4]]) and torch.equal(new_bias[[0, 2, 3]], bias[[3, 0, 4]])
    assert torch.allclose(new_weight[1], weight[[1, 2]].mean(0))
    assert bias[[1, 2]].mean() < new_bias[1]  # it stands for two


def test_no_object_stays_as_likely_where_the_old_classes_were_equally_likely():
    weight, bias = torch.randn(1, 8).repeat(81, 1), torch.full((81,), 0.3)
    weight[-1], bias[-1] = torch.randn(8), -0.7
    features = torch.randn(20, 8)
    before = (features @ weight.T + bias).softmax(-1)[:, -1]
    for number in (1, 3, 81, 200):
        weight_new, bias_new, kept = fit_classes(weight, bias, number)
        assert weight_new.shape == (number + 1, 8) and kept == []
        assert torch.allclose((features @ weight_new.T + bias_new).softmax(-1)[:, -1], before, atol=1e-6)


def test_added_classes_leave_the_old_ones_alone():
    weight, bias = torch.randn(3, 8), torch.randn(3)
    new_weight, new_bias, _ = fit_classes(weight, bias, 3, ('oak', 'ash'), ('oak', 'ash', 'pine'))
    assert torch.equal(new_weight[[0, 1, 3]], weight) and torch.equal(new_bias[[0, 1, 3]], bias)
    assert torch.allclose(new_weight[2], weight[:2].mean(0)) and torch.allclose(new_bias[2], bias[:2].mean())


def test_the_surest_queries_are_kept_and_predict_as_before(model, demo_config):
    """Self-attention sees the others, so they predict the same only where it is cut off."""
    for layer in model.panoptic_head.transformer_decoder.layers:
        torch.nn.init.zeros_(layer.self_attn.attn.out_proj.weight)
    pixels = torch.randn(1, 3, 64, 64)
    before = predict(model, pixels)
    small = build(demo_config, num_queries=10)
    state_dict, lines = fit(model.state_dict(), small.state_dict(), None, None)
    small.load_state_dict(state_dict)
    kept = query_order(model.state_dict())[:10].sort().values
    assert kept.tolist() != list(range(10))
    for one, two in zip(before, predict(small, pixels), strict=True):
        assert torch.allclose(one[:, kept], two, atol=1e-5)
    assert lines == ['Queries: the 10 surest of 25 are kept.']


def test_query_order_follows_the_first_prediction(model):
    head = model.panoptic_head
    with torch.no_grad():
        queries = head.query_feat.weight[None]
        scores = head.cls_embed(head.transformer_decoder.post_norm(queries))[0].softmax(-1)[:, :-1].sum(-1)
    order = query_order(model.state_dict())
    assert (scores[order].diff() <= 1e-6).all() and len(set(order.tolist())) == 25


def test_queries_grow_by_copies_that_differ_a_little_the_same_every_time():
    queries = torch.randn(6, 32)
    order = torch.tensor([3, 0, 1, 2, 4, 5])
    grown = fit_queries(queries, 15, order)
    assert grown.shape == (15, 32)
    assert torch.equal(grown[:6], queries)
    away = (grown[6:] - queries[torch.tensor([3, 0, 1, 2, 4, 5, 3, 0, 1])]).abs()
    assert 0 < away.max() < 0.6 and (away.amax(1) > 0).all()
    assert not torch.equal(grown[6], grown[12])  # two copies of the same
    assert torch.equal(grown, fit_queries(queries, 15, order))
    assert not torch.equal(grown, fit_queries(queries, 15, order, seed=1))


@pytest.mark.parametrize('bands', [1, 2, 4, 5, 8])
def test_equal_bands_give_the_old_response(bands):
    filters = torch.randn(8, 3, 3, 3)
    grey = torch.randn(1, 1, 16, 16)
    grown = fit_bands(filters, bands)
    assert grown.shape == (8, bands, 3, 3)
    before = torch.conv2d(grey.expand(-1, 3, -1, -1), filters)
    assert torch.allclose(torch.conv2d(grey.expand(-1, bands, -1, -1), grown), before, atol=1e-5)
    if bands > 3:
        assert torch.allclose(grown[:, :3], filters * 3 / bands)


@pytest.mark.parametrize(
    'backbone',
    [
        dict(type='ResNet', depth=18, base_channels=32, in_channels=5),
        dict(type='ResNet', depth=18, base_channels=32, in_channels=5, deep_stem=True, stem_channels=32),
        dict(type='BandsMobileNetV2', in_channels=5, out_indices=(1, 2, 4, 6)),
        dict(type='SwinTransformer', embed_dims=16, depths=(1, 1, 1, 1), num_heads=(1, 2, 4, 8), in_channels=5),
    ],
    ids=['resnet', 'resnet with a deep stem', 'mobilenet', 'swin'],
)
def test_the_first_filters_of_every_backbone_are_found(backbone):
    init_default_scope('mmdet')
    wide = torch.nn.ModuleDict(dict(backbone=MODELS.build(backbone)))
    narrow = torch.nn.ModuleDict(dict(backbone=MODELS.build({**backbone, 'in_channels': 3})))
    assert len(misfits(wide, narrow.state_dict())) == 1
    state_dict, lines = fit(narrow.state_dict(), wide.state_dict(), None, None)
    assert misfits(wide, state_dict) == []
    assert len(lines) == 1 and 'from 3 to 5' in lines[0]
    assert wide.backbone(torch.randn(1, 5, 64, 64))[0].shape[0] == 1


def test_all_at_once_and_the_checkpoint_stays_as_it_was(model, demo_config):
    demo_config.metainfo.classes = ('pine', 'fallen')
    demo_config.model.backbone.in_channels = 4
    other = build(demo_config, num_queries=40)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    state_dict, lines = fit(before, other.state_dict(), ('oak', 'beech', 'ash', 'pine'), ('pine', 'fallen'))
    other.load_state_dict(state_dict)
    assert [line.split(':')[0] for line in lines] == ['Queries', 'Classes', 'Bands']
    assert '1 keep their rows by name, 1 start as the mean of those given up' in lines[1]
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
    changed = {name for name in before if before[name].shape != state_dict[name].shape}
    assert changed == {*CLASSES, *QUERIES, 'backbone.conv1.weight'}


def test_classes_in_another_order_are_put_in_order(model):
    names = ('oak', 'beech', 'ash', 'pine')
    state_dict, lines = fit(model.state_dict(), model.state_dict(), names, names[::-1])
    assert torch.equal(state_dict[CLASSES[0]], model.state_dict()[CLASSES[0]][[3, 2, 1, 0, 4]])
    assert '4 keep their rows by name' in lines[0]
    for old, new in ((names, names), (None, names), (names, ('a', 'b', 'c', 'd'))):  # renamed as a whole
        assert fit(model.state_dict(), model.state_dict(), old, new)[1] == []


def test_what_is_no_surgery_stays_as_it_came(model, demo_config):
    wide = build(demo_config, feat_channels=64, out_channels=64)
    wide.backbone.conv1 = torch.nn.Conv2d(4, 48, 7)  # other filters, not only other bands
    state_dict, lines = fit(model.state_dict(), wide.state_dict(), None, None)
    assert lines == []
    assert torch.equal(state_dict['backbone.conv1.weight'], model.state_dict()['backbone.conv1.weight'])


@pytest.mark.parametrize('named', [True, False])
def test_ground_of_coco_panoptic_is_dropped_before_things_become_trees(named):
    things, stuff, none = torch.randn(80, 8), torch.full((53, 8), 1e6), torch.randn(1, 8)
    old = {CLASSES[0]: torch.cat([things, stuff, none]), CLASSES[1]: torch.zeros(134)}
    wanted = {CLASSES[0]: torch.zeros(2, 8), CLASSES[1]: torch.zeros(2)}
    names = [f'thing {number}' for number in range(80)] + [f'stuff {number}' for number in range(53)]
    fitted, lines = fit(old, wanted, names if named else None, ('fallen_tree',))
    assert torch.allclose(fitted[CLASSES[0]], torch.cat([things.mean(0, keepdim=True), none]))
    assert '53 kinds of ground' in lines[0] and 'from 80 to 1' in lines[1]
    whole, lines = fit(old, old, names, names)
    assert torch.equal(whole[CLASSES[0]], old[CLASSES[0]]) and lines == []
