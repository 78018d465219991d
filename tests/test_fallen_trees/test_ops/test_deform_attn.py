"""The fused operator against mmcv's plain path, against float64, against finite differences, and against itself."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mmcv.ops.multi_scale_deform_attn import multi_scale_deformable_attn_pytorch

from fallen_trees.ops.deform_attn import fused_available, ms_deform_attn

LEVELS = ((3, 5), (1, 1), (7, 2))
SPREAD = 0.7  # of locations beyond a level, in its sizes: about half of them lie outside


@pytest.fixture(scope='module', autouse=True)
def compiled():
    """A machine that runs these tests has a compiler; without the operator they would test mmcv's path."""
    assert fused_available()


def inputs(shapes=LEVELS, batch=2, queries=4, heads=2, channels=4, points=3, dtype=torch.float64, seed=0):
    """Value, shapes, starts, locations and weights; what can have a gradient has one."""
    draw = torch.Generator().manual_seed(seed)
    sizes = torch.tensor(shapes)
    starts = torch.cat([torch.zeros(1, dtype=torch.long), sizes.prod(1).cumsum(0)[:-1]])
    value = torch.randn(batch, int(sizes.prod(1).sum()), heads, channels, generator=draw, dtype=torch.float64)
    sampled = batch, queries, heads, len(shapes), points
    locations = (1 + 2 * SPREAD) * torch.rand(*sampled, 2, generator=draw, dtype=torch.float64) - SPREAD
    weights = torch.randn(*sampled, generator=draw, dtype=torch.float64).flatten(3).softmax(-1).view(sampled)
    value, locations, weights = (tensor.to(dtype).requires_grad_() for tensor in (value, locations, weights))
    return value, sizes, starts, locations, weights


def plain(value, sizes, _, locations, weights):
    return multi_scale_deformable_attn_pytorch(value, sizes, locations, weights)


def results(function, data):
    """Output and three gradients, for an output gradient that is always the same."""
    value, _, _, locations, weights = data
    output = function(*data)
    torch.manual_seed(1)
    gradients = torch.autograd.grad(output, (value, locations, weights), torch.randn_like(output), allow_unused=True)
    return [output.detach(), *gradients]


def error(one, other):
    """Largest difference, relative to the largest number."""
    one, other = one.detach(), other.detach()
    return float((one.double() - other.double()).abs().max() / other.double().abs().max().clamp(min=1e-12))


@pytest.mark.parametrize(
    'changes',
    [
        dict(),
        dict(channels=1),
        dict(channels=3),
        dict(channels=8, heads=1),
        dict(batch=1, channels=32, queries=11),
        dict(channels=5, points=1, shapes=((1, 9),)),
        dict(shapes=((1, 1),), queries=19),
        dict(shapes=((2, 3), (1, 4), (4, 1), (5, 5)), points=4, batch=3),
    ],
    ids=str,
)
def test_it_is_mmcvs_plain_path_in_float64(changes):
    for ours, theirs in zip(*(results(f, inputs(**changes)) for f in (ms_deform_attn, plain)), strict=True):
        assert error(ours, theirs) < 1e-12


@settings(deadline=None, max_examples=30)
@given(
    shapes=st.lists(st.tuples(st.integers(1, 6), st.integers(1, 6)), min_size=1, max_size=4),
    queries=st.integers(1, 20),
    heads=st.integers(1, 3),
    channels=st.integers(1, 40),
    points=st.integers(1, 4),
    seed=st.integers(0, 1000),
)
def test_it_is_mmcvs_plain_path_whatever_the_sizes(**sizes):
    data = inputs(batch=1, **sizes)
    for ours, theirs in zip(*(results(f, data) for f in (ms_deform_attn, plain)), strict=True):
        assert error(ours, theirs) < 1e-10


@pytest.mark.parametrize('shapes', [LEVELS, ((1, 1),), ((0, 0), (2, 3))], ids=str)
@pytest.mark.parametrize('channels', [1, 4])
def test_its_gradients_are_those_of_finite_differences(shapes, channels):
    value, sizes, starts, locations, weights = inputs(shapes, queries=2, channels=channels, points=2)
    torch.autograd.gradcheck(
        lambda v, x, w: ms_deform_attn(v, sizes, starts, x, w), (value, locations, weights), eps=1e-7, atol=1e-5
    )


def test_float32_is_as_near_to_float64_as_mmcvs_plain_path():
    shapes = ((16, 16), (32, 32), (64, 64))
    exact = results(plain, inputs(shapes, queries=300, heads=4, channels=32, points=4))
    data = inputs(shapes, queries=300, heads=4, channels=32, points=4, dtype=torch.float32)
    ours, theirs = (results(f, data) for f in (ms_deform_attn, plain))
    for tensor, other, truth in zip(ours, theirs, exact, strict=True):
        assert tensor.dtype == torch.float32
        assert error(tensor, truth) < max(2e-6, 1.5 * error(other, truth))


@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float16], ids=str)
def test_half_precision_is_computed_in_float32(dtype):
    value, sizes, starts, locations, weights = inputs(dtype=torch.float32)
    halved = value.detach().to(dtype).requires_grad_()
    output = ms_deform_attn(halved, sizes, starts, locations, weights)
    expected = ms_deform_attn(halved.float(), sizes, starts, locations, weights)
    assert output.dtype == dtype and torch.equal(output, expected.to(dtype))
    output.float().sum().backward()
    assert halved.grad.dtype == dtype and locations.grad.dtype == torch.float32


@pytest.mark.parametrize('last', [(0, 5), (6, 0), (0, 0)])
def test_empty_levels_count_nothing(last):
    value, sizes, starts, locations, weights = inputs(((0, 0), (3, 4), last))
    only = (sizes[1:2], starts[1:2], locations[:, :, :, 1:2], weights[:, :, :, 1:2])
    for _ in range(20):
        leave_nan_in_free_memory()
        output, *gradients = results(ms_deform_attn, (value, sizes, starts, locations, weights))
        assert error(output, plain(value, *only)) < 1e-12
        assert gradients[1][:, :, :, [0, 2]].abs().max() == gradients[2][:, :, :, [0, 2]].abs().max() == 0


def leave_nan_in_free_memory():
    """So that what is read beyond a tensor shows."""
    blocks = [torch.full((size,), torch.nan, dtype=torch.float64) for size in range(8, 400, 8)]
    del blocks


def test_nothing_but_empty_levels_and_no_queries():
    output, *gradients = results(ms_deform_attn, inputs(((0, 0),)))
    assert output.shape == (2, 4, 8) and output.abs().sum() == gradients[1].abs().sum() == 0
    output, *gradients = results(ms_deform_attn, inputs(queries=0))
    assert output.shape == (2, 0, 8) and gradients[0].abs().sum() == 0 and gradients[1].numel() == 0


def test_points_outside_count_nothing():
    value, sizes, starts, locations, weights = inputs()
    far = torch.tensor([-1.0, 1e30, -1e30, 3.0], dtype=torch.float64)
    locations = far[torch.randint(0, 4, locations.shape)].requires_grad_()
    output, *gradients = results(ms_deform_attn, (value, sizes, starts, locations, weights))
    assert all(tensor.abs().sum() == 0 for tensor in (output, *gradients))


def test_between_two_pixels_the_gradient_is_the_one_to_the_right_and_below():
    values = torch.tensor([1.0, 10.0, 100.0, 1000.0], dtype=torch.float64).view(1, 4, 1, 1)
    at_pixel_1 = torch.full((1, 1, 1, 1, 1, 2), 0.5, dtype=torch.float64)
    at_pixel_1[..., 0] = 1.5 / 4
    at_pixel_1.requires_grad_()
    weights = torch.ones(1, 1, 1, 1, 1, dtype=torch.float64)
    output = ms_deform_attn(values, torch.tensor([[1, 4]]), torch.tensor([0]), at_pixel_1, weights)
    output.sum().backward()
    assert output.item() == 10
    assert at_pixel_1.grad.flatten().tolist() == [4 * (100 - 10), -10]  # below the only row there is 0


@pytest.mark.parametrize('which', ['locations', 'weights', 'value'])
def test_what_is_not_a_number_is_not_hidden(which):
    data = dict(zip(('value', 'sizes', 'starts', 'locations', 'weights'), inputs(), strict=True))
    broken = data[which].detach().clone()
    broken[0, 1] = torch.nan
    data[which] = broken
    assert ms_deform_attn(*data.values())[0].isnan().any()


def test_layout_in_memory_does_not_matter():
    data = inputs(channels=8)
    odd = [t if t.dtype == torch.long else t.detach().transpose(0, -1).contiguous().transpose(0, -1) for t in data]
    odd = [t if t.dtype == torch.long else t.requires_grad_() for t in odd]
    assert not odd[0].is_contiguous() and not odd[3].is_contiguous()
    for one, other in zip(results(ms_deform_attn, data), results(ms_deform_attn, odd), strict=True):
        assert torch.equal(one, other)
    output = ms_deform_attn(*data)
    (expanded,) = torch.autograd.grad(output, data[0], torch.ones(1, 1, 1, dtype=torch.float64).expand_as(output))
    (dense,) = torch.autograd.grad(ms_deform_attn(*data), data[0], torch.ones_like(output))
    assert torch.equal(expanded, dense)


@pytest.mark.parametrize('threads', [2, 3, 7])
def test_threads_change_no_bit(threads):
    data, before = inputs(((9, 9), (17, 17)), heads=2, batch=1, queries=203, channels=32, dtype=torch.float32), None
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        one = results(ms_deform_attn, data)
        torch.set_num_threads(threads)
        many = results(ms_deform_attn, data)
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(a, b) for a, b in zip(one, many, strict=True))


def test_it_compiles_into_one_graph():
    data = inputs(dtype=torch.float32)
    torch._dynamo.reset()
    compiled = torch.compile(lambda *args: 2 * ms_deform_attn(*args), backend='aot_eager', fullgraph=True)
    for ours, theirs in zip(results(compiled, data), results(ms_deform_attn, data), strict=True):
        assert error(ours, theirs * (2 if theirs is not None else 1)) < 1e-6


def test_its_registration_keeps_torchs_rules():
    value, sizes, _, locations, weights = inputs(dtype=torch.float32)
    torch.library.opcheck(torch.ops.fallen_trees.ms_deform_attn.default, (value, sizes, locations, weights))


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (lambda v, s, i, x, w: (v[:, :-1], s, i, x, w), "a key for each of the levels' 30 pixels; got 29"),
        (lambda v, s, i, x, w: (v[0], s, i, x, w), r'\(batch, keys, heads, channels\)'),
        (lambda v, s, i, x, w: (v, s[:2], i, x, w), r'\(levels, 2\), int64, for the 3 levels'),
        (lambda v, s, i, x, w: (v, s, i, x[:1], w), 'batch and heads of value'),
        (lambda v, s, i, x, w: (v, s, i, x, w[..., :1]), 'attention weights must have the shape of locations'),
        (lambda v, s, i, x, w: (v, s * -1, i, x, w), 'must not be negative'),
    ],
)
def test_tensors_that_do_not_fit_are_named(change, message):
    with pytest.raises(RuntimeError, match=message):
        ms_deform_attn(*change(*inputs()))
