"""Outlines moved and then drawn are the pixels that MMDetection moves, and nearer to the truth where pixels mix."""

import pickle

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mmdet.structures.bbox import HorizontalBoxes
from mmdet.structures.mask import BitmapMasks
from mmengine.structures import InstanceData
from pycocotools import mask as pycoco

from fallen_trees.loading.outline_masks import OutlineMasks

HEIGHT, WIDTH, FINE = 60, 80, 8


def drawn(outline, height, width):
    """As MMDetection's LoadAnnotations draws it."""
    if isinstance(outline, dict):
        return pycoco.decode(outline)
    return pycoco.decode(pycoco.merge(pycoco.frPyObjects(outline, height, width)))


def pair(outlines, height=HEIGHT, width=WIDTH):
    pixels = [drawn(outline, height, width) for outline in outlines]
    return OutlineMasks(outlines, height, width), BitmapMasks(pixels, height, width)


def trunk(rng, width, length=70, at=(150, 130)):
    """Outline of a straight trunk at any angle, (8,)."""
    angle = rng.uniform(0, 2 * np.pi)
    ring = np.array([[-length, -width], [length, -width], [length, width], [-length, width]]) / 2
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return (ring @ turn.T + at + rng.uniform(-20, 20, 2)).ravel()


def rot90(masks, quarters):
    if isinstance(masks, OutlineMasks):
        return masks.turn(quarters)
    turned = np.rot90(masks.masks, quarters, axes=(1, 2))
    return BitmapMasks(np.ascontiguousarray(turned), *turned.shape[1:])


HOLED = np.zeros((HEIGHT, WIDTH), np.uint8)
HOLED[5:50, 10:70] = 1
HOLED[15:30, 20:41] = 0
RLE = pycoco.encode(np.asfortranarray(HOLED))

coordinate = st.tuples(st.integers(0, 8 * WIDTH + 160), st.integers(0, 8 * HEIGHT + 160)).map(np.array)
ring = st.lists(coordinate, min_size=3, max_size=7).map(lambda eighths: np.concatenate(eighths) / 8)
outlines = st.lists(st.one_of(st.lists(ring, min_size=1, max_size=3), st.just(RLE)), min_size=1, max_size=4)
side = st.integers(0, 90)
moves = st.lists(
    st.one_of(
        st.tuples(st.just('flip'), st.sampled_from(['horizontal', 'vertical', 'diagonal'])),
        st.tuples(st.just('turn'), st.integers(0, 3)),
        st.tuples(st.just('crop'), st.tuples(side, side, side, side)),
        st.tuples(st.just('pad'), st.tuples(side, side)),
        st.tuples(st.just('expand'), st.tuples(side, side)),
        st.tuples(st.just('translate'), st.tuples(st.integers(-30, 30), st.integers(-30, 30))),
        st.tuples(st.just('send'), st.none()),
    ),
    max_size=6,
)


def move(masks, kind, how):
    if kind == 'flip':
        return masks.flip(how)
    if kind == 'turn':
        return rot90(masks, how)
    if kind == 'crop':
        x, y = how[0] % masks.width, how[1] % masks.height
        return masks.crop(np.array([x, y, x + how[2], y + how[3]]))
    if kind == 'pad':
        return masks.pad((masks.height + how[0], masks.width + how[1]))
    if kind == 'expand':
        return masks.expand(masks.height + 2 * how[0], masks.width + how[1], how[0], how[1])
    if kind == 'translate':
        return masks.translate((masks.height, masks.width), how, 'both')
    return pickle.loads(pickle.dumps(masks))


@settings(max_examples=300)
@given(outlines, moves)
def test_whatever_moves_whole_pixels_gives_mmdetections_pixels(objects, steps):
    ours, stock = pair(objects)
    for kind, how in steps:
        ours, stock = move(ours, kind, how), move(stock, kind, how)
        assert isinstance(ours, OutlineMasks)
    assert (len(ours), ours.height, ours.width) == stock.masks.shape
    pixels = ours.to_ndarray()
    # Where a line runs exactly between two fifths of a pixel, how doubles are rounded decides on a pixel.
    assert ((pixels != stock.masks).sum(axis=(1, 2)) <= 1).all()
    same = BitmapMasks(pixels, *pixels.shape[1:])
    assert ours.areas.tolist() == same.areas.tolist()
    assert torch.equal(ours.get_bboxes(HorizontalBoxes).tensor, same.get_bboxes('hbox').tensor)


def test_of_three_thousand_masks_five_pixels_differ():
    rng = np.random.default_rng(0)
    ours, stock = pair([[trunk(rng, width)] for width in rng.uniform(3, 26, 1000)], 260, 300)
    box = np.array([70, 50, 231, 201])
    for one, other in ((ours, stock), (ours.flip('diagonal').crop(box), stock.flip('diagonal').crop(box)),
                       (ours.crop(box).turn(1), rot90(stock.crop(box), 1))):  # fmt: skip
        assert other.masks.sum() > 100_000 and (one.masks != other.masks).sum() <= 5


def iou(one, other):
    return (one & other).sum() / max((one | other).sum(), 1)


def augmented(rng, masks):
    """A flip, quarter turns, a resize and a crop."""
    masks = rot90(masks.flip(str(rng.choice(['horizontal', 'vertical']))), int(rng.integers(4)))
    scale = rng.uniform(0.6, 1.6)
    height, width = int(masks.height * scale), int(masks.width * scale)
    x, y = rng.integers(0, 30, 2)
    return masks.resize((height, width)).crop(np.array([x, y, width - 10, height - 20]))


@pytest.mark.parametrize('width', [3, 4, 6, 12, 26])
def test_resized_masks_are_nearer_to_the_truth_than_mmdetections(width):
    rng, found = np.random.default_rng(width), []
    for seed in range(40):
        outline = trunk(rng, width)
        ours, stock = pair([[outline]], 260, 300)
        truth = augmented_truth(np.random.default_rng(seed), outline)
        one, other = (augmented(np.random.default_rng(seed), masks).masks[0] > 0 for masks in (ours, stock))
        assert one.shape == other.shape == truth.shape
        found.append((iou(one, truth), iou(other, truth)))
    ours, stock = np.mean(found, axis=0)
    assert ours > max(stock + 0.02, 0.94), (ours, stock)


def augmented_truth(rng, outline):
    """Where half of a pixel is covered: corners moved by hand, drawn at FINE times the size, averaged."""
    corners, (width, height) = outline.reshape(-1, 2).copy(), (300, 260)
    axis, side = (0, width) if str(rng.choice(['horizontal', 'vertical'])) == 'horizontal' else (1, height)
    corners[:, axis] = side - corners[:, axis]
    for _ in range(int(rng.integers(4))):
        corners, width, height = np.stack([corners[:, 1], width - corners[:, 0]], 1), height, width
    scale = rng.uniform(0.6, 1.6)
    new = int(width * scale), int(height * scale)
    corners = corners * new / np.array([width, height])
    x, y = rng.integers(0, 30, 2)
    rows, columns = new[1] - 20 - y, new[0] - 10 - x
    fine = drawn([(FINE * (corners - (x, y))).clip(-5000, 5000).ravel()], FINE * rows, FINE * columns)
    return fine.reshape(rows, FINE, columns, FINE).mean(axis=(1, 3)) >= 0.5


def test_an_rle_keeps_its_hole_at_any_size():
    ours, _ = pair([RLE])
    assert np.array_equal(ours.masks[0], HOLED)
    for size in ((120, 160), (45, 60), (37, 71)):
        rows, columns = ((np.arange(n) + 0.5) * old / n for n, old in zip(size, (HEIGHT, WIDTH), strict=True))
        truth = HOLED[rows.astype(int)[:, None], columns.astype(int)]
        assert np.array_equal(ours.resize(size).masks[0], truth)
    counts = [WIDTH * HEIGHT // 2, WIDTH * HEIGHT // 2]
    plain = OutlineMasks([dict(size=[HEIGHT, WIDTH], counts=counts)], HEIGHT, WIDTH)
    assert plain.masks[0, :, WIDTH // 2 :].all() and plain.areas.tolist() == [counts[1]]


def test_an_rle_of_another_size_is_refused():
    with pytest.raises(ValueError, match=r'60 x 81 px \(rows x columns\); got \[60, 80\]'):
        OutlineMasks([RLE], HEIGHT, WIDTH + 1)


def test_what_was_cut_off_does_not_come_back():
    masks = OutlineMasks([[np.array([0, 0, 80, 0, 80, 60, 0, 60.0])]], HEIGHT, WIDTH)
    padded = masks.crop(np.array([10, 10, 30, 30])).pad((60, 60)).resize((120, 120))
    assert padded.areas.tolist() == [1600] and padded.masks[0, :40, :40].all()
    beside = padded.crop(np.array([50, 50, 90, 90]))
    assert beside.areas.tolist() == [0] and beside.masks.shape == (1, 40, 40)
    assert beside.get_bboxes().tensor.tolist() == [[0, 0, 0, 0]]


def test_objects_without_a_pixel_and_tiles_without_an_object():
    outside = OutlineMasks([[np.array([90, 70, 99, 70, 99, 75.0])], [np.zeros(6)]], HEIGHT, WIDTH)
    stock = pair([[np.array([90, 70, 99, 70, 99, 75.0])], [np.zeros(6)]])[1]
    assert np.array_equal(outside.masks, stock.masks) and outside.areas.tolist() == [0, 0]
    empty = OutlineMasks([], HEIGHT, WIDTH)
    for masks in (empty, outside[np.zeros(2, bool)], outside[[]]):
        masks = masks.rescale(0.5).flip().turn(1).crop(np.array([0, 0, 20, 30]))
        masks = pickle.loads(pickle.dumps(masks.pad((64, 64))))
        assert masks.masks.shape == (0, 64, 64) and masks.areas.shape == (0,)
        assert masks.get_bboxes().tensor.shape == (0, 4)
        assert masks.to_tensor(torch.bool, 'cpu').shape == (0, 64, 64)


def test_masks_travel_drawn_and_small():
    rng = np.random.default_rng(1)
    ours, stock = pair([[trunk(rng, 12)] for _ in range(30)], 260, 300)
    sent = pickle.dumps(ours.crop(np.array([20, 20, 280, 240])))
    assert len(sent) < len(pickle.dumps(stock)) / 50
    received = pickle.loads(sent)
    assert received._pieces is not None
    padded = received.pad((256, 320))
    assert padded._pieces is not None and padded.masks[:, :220, :260].sum() == padded.areas.sum() > 0


def test_tensors_are_of_the_type_that_is_asked_for():
    ours, stock = pair([RLE, [np.array([3, 3, 40, 8, 20, 50.0])]])
    for dtype in (torch.bool, torch.uint8, torch.long, torch.float32):
        one, other = (masks.to_tensor(dtype=dtype, device='cpu') for masks in (ours, stock))
        assert one.dtype == dtype and torch.equal(one, other)


def test_what_mixes_pixels_is_left_to_mmdetection():
    ours, stock = pair([RLE, [np.array([3, 3, 40, 8, 20, 50.0])]])
    for one, other in (
        (ours.rotate((HEIGHT, WIDTH), 20), stock.rotate((HEIGHT, WIDTH), 20)),
        (ours.shear((HEIGHT, WIDTH), 0.3), stock.shear((HEIGHT, WIDTH), 0.3)),
        (ours.pad((70, 90), 1), stock.pad((70, 90), 1)),
        (ours.translate((50, 90), 7, border_value=1), stock.translate((50, 90), 7, border_value=1)),
    ):
        assert type(one) is BitmapMasks and np.array_equal(one.masks, other.masks)


def test_masks_can_be_chosen_joined_and_painted_over():
    ours, stock = pair([RLE, [np.array([3, 3, 40, 8, 20, 50.0])], [np.array([5, 5, 60, 5, 60, 9, 5, 9.0])]])
    for index in (1, [2, 0], np.array([True, False, True]), slice(1, None), np.array([], int)):
        assert np.array_equal(ours[index].masks, stock[index].masks)
    chosen = InstanceData(masks=ours)[torch.tensor([False, True, True])].masks
    assert np.array_equal(chosen.masks, stock.masks[1:]) and np.array_equal(list(ours), stock.masks)
    moved = OutlineMasks.cat([ours, ours.flip()])
    assert np.array_equal(moved.masks, np.concatenate([stock.masks, stock.flip().masks]))
    assert np.array_equal(OutlineMasks.cat([ours.flip(), chosen.flip()]).masks[3:], stock.flip().masks[1:])
    ours.masks = np.where(stock.masks[:1] > 0, 0, stock.masks)  # as MMDetection's CopyPaste does
    assert not ours.masks[0].any() and np.array_equal(ours.masks[1], stock.masks[1] & ~HOLED & 1)


def test_rescale_takes_what_mmdetections_resize_gives_it():
    ours, stock = pair([RLE])
    for scale in (0.5, (100, 100), (200, 70)):
        assert ours.rescale(scale).masks.shape == stock.rescale(scale).masks.shape
