"""Pieces of windows become whole trees: what is one is united, what is two stays two, nothing is lost."""

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from tree_map.joining import JoinSettings, join
from tree_map.pieces import Pieces


def trunk(start, end, width=10.0):
    return shapely.LineString([start, end]).buffer(width / 2, cap_style='flat')


def grid(side=1000, tile=400, stride=300):
    starts = range(0, side - tile + 1, stride)
    return np.array([[x, y, tile, tile] for y in starts for x in starts])


def pieces_of(polygons, windows, scores=None, labels=None):
    """Pieces from (polygon, window) pairs."""
    shapes, seen_in = zip(*polygons, strict=True)
    count = len(shapes)
    return Pieces(
        np.array(shapes, object),
        np.full(count, 0.9) if scores is None else np.array(scores, float),
        np.zeros(count, int) if labels is None else np.array(labels),
        np.array(seen_in),
        windows,
    )


def seen(trees, windows, moved=None):
    """What every window shows of every tree, moved by a step for each piece and cut by the window."""
    pairs = []
    for tree in trees:
        for number, (x, y, width, height) in enumerate(windows):
            box = shapely.box(x, y, x + width, y + height)
            piece = tree.intersection(box)
            if moved is not None and not piece.is_empty:
                piece = shapely.transform(piece, lambda xy: xy + moved[len(pairs) % len(moved)]).intersection(box)  # noqa: B023
            if piece.area > 20 and piece.geom_type in ('Polygon', 'MultiPolygon'):
                pairs.append((piece, number))
    return pairs


def assert_same_trees(found, expected, least_iou=0.98):
    """Every expected tree once, nothing else, and every piece in one tree."""
    assert shapely.is_valid(found.polygons).all() and not shapely.is_empty(found.polygons).any()
    shared = [[a.intersection(b).area / a.union(b).area for b in found.polygons] for a in expected]
    assert len(found) == len(expected), np.round(shared, 2)
    assert (np.max(shared, axis=1) >= least_iou).all(), np.round(shared, 2)
    assert len(set(np.argmax(shared, axis=1))) == len(expected)


ROW = np.array([[0, 0, 400, 400], [300, 0, 400, 400], [600, 0, 400, 400]])
NO_BRIDGE = JoinSettings(max_bridge_px=0)
APART = np.array([[0, 0, 400, 400], [400, 0, 400, 400]])  # no overlap


@pytest.mark.parametrize('jitter', [0, 1.5])
@pytest.mark.parametrize('width', [6, 12])
@pytest.mark.parametrize(
    'windows, start, end',
    [
        pytest.param(ROW, (20, 100), (980, 160), id='over three windows'),
        pytest.param(ROW, (310, 100), (390, 120), id='whole in two windows'),
        pytest.param(ROW, (100, 100), (330, 180), id='whole in one, cut by another'),
        pytest.param(grid(), (250, 240), (450, 470), id='where four windows meet'),
        pytest.param(grid(), (350, 10), (350, 990), id='down the middle of an overlap'),
        pytest.param(ROW, (0, 0), (390, 395), id='touching the edge of the scene'),
    ],
)
def test_a_trunk_over_windows_is_one_tree(windows, start, end, width, jitter):
    tree = trunk(start, end, width).intersection(shapely.box(0, 0, 1000, 1000))
    steps = np.random.default_rng(0).uniform(-jitter, jitter, (8, 2))
    pairs = seen([tree], windows, steps)
    found = join(pieces_of(pairs, windows))
    assert_same_trees(found, [tree], 0.999 if jitter == 0 else 0.65 if width == 6 else 0.8)
    assert found.parts.tolist() == [len(pairs)]


def test_three_views_one_of_which_is_whole_give_that_ones_outline():
    tree = trunk((310, 200), (390, 210))
    windows = np.array([[0, 0, 400, 400], [300, 0, 400, 400], [150, 0, 400, 400]])
    outlines = [(tree.buffer(0.1 * number), number) for number in range(3)]
    found = join(pieces_of(outlines, windows, scores=[0.5, 0.6, 0.7]))
    assert found.polygons[0].equals_exact(outlines[2][0], 1e-6) and found.scores[0] == 0.7
    assert found.parts.tolist() == [3] and not found.seam_joined[0]


def test_the_edge_of_the_scene_cuts_no_tree():
    tree = trunk((0, 100), (370, 120))
    views = [(tree, 0), (tree.intersection(shapely.box(300, 0, 700, 400)).buffer(0.4), 1)]
    found = join(pieces_of(views, ROW, scores=[0.6, 0.9]))
    assert not found.seam_joined[0] and found.scores[0] == 0.6 and found.parts.tolist() == [2]


def test_a_union_of_views_does_not_thicken_a_stitched_tree():
    tree = trunk((20, 200), (980, 200), 8)
    steps = np.array([[0, -1.5], [0, 1.5], [0, -1.5]])
    pairs = seen([tree], ROW, steps)
    found = join(pieces_of(pairs, ROW, scores=[0.4, 0.8, 0.4]))
    assert found.seam_joined[0]
    assert found.polygons[0].area == pytest.approx(tree.area, rel=0.01)
    assert shapely.union_all([piece for piece, _ in pairs]).area > 1.07 * tree.area  # what a union would have made
    low, high = found.polygons[0].bounds[1::2]
    assert high - low < 9.5  # each view moved half-way to its neighbours: no step of 3 px at the seams
    own = np.array([330, 300, 330])  # of 960 px, by the middle lines of the overlaps
    assert found.scores[0] == pytest.approx((own * [0.4, 0.8, 0.4]).sum() / 960, abs=0.005)


@pytest.mark.parametrize('angle', [8, 15, 30, 60, 90])
@pytest.mark.parametrize('where', [(350, 200), (200, 200), (395, 200), (350, 350)])
def test_trunks_that_cross_stay_two(angle, where):
    turn = np.deg2rad(angle)
    step = 140 * np.array([np.cos(turn), np.sin(turn)])
    trees = [trunk(np.subtract(where, (140, 0)), np.add(where, (140, 0)), 12), trunk(where - step, where + step, 12)]
    assert_same_trees(join(pieces_of(seen(trees, grid()), grid())), trees)


def test_trunks_that_cross_in_the_overlap_stay_two_though_each_window_missed_one():
    level, slanted = trunk((100, 200), (400, 200), 20), trunk((300, 186.6), (600, 267), 20)
    zone = shapely.box(300, 0, 400, 400)
    shared = level.intersection(slanted).intersection(zone).area
    assert shared > 0.5 * (level.intersection(zone).area + slanted.intersection(zone).area - shared)
    assert len(join(pieces_of([(level, 0), (slanted, 1)], ROW))) == 2


@pytest.mark.parametrize('distance', [0, 1, 3])
@pytest.mark.parametrize('jitter', [0, 1.0])
def test_parallel_trunks_a_pixel_apart_stay_two(distance, jitter):
    trees = [trunk((100, 200 + row * (8 + distance)), (900, 260 + row * (8 + distance)), 8) for row in range(3)]
    steps = np.random.default_rng(1).uniform(-jitter, jitter, (9, 2))
    found = join(pieces_of(seen(trees, ROW, steps), ROW))
    assert_same_trees(found, trees, 0.99 if jitter == 0 else 0.7)
    assert found.parts.tolist() == [3, 3, 3]


def test_a_third_window_that_fused_two_trees_does_not_fuse_them_here():
    windows = np.array([[0, 0, 400, 400], [200, 0, 400, 400]])
    upper, lower = trunk((250, 100), (350, 100)), trunk((250, 112), (350, 112))
    fused = shapely.union_all([upper, lower, shapely.box(250, 104, 350, 108)])
    found = join(pieces_of([(upper, 0), (lower, 0), (fused, 1)], windows))
    assert len(found) == 2 and found.parts.sum() == 3
    chain = np.array([[0, 0, 400, 400], [200, 0, 400, 400], [210, 0, 400, 400]])
    between = trunk((250, 105), (350, 107), 14)
    found = join(pieces_of([(upper, 0), (lower, 0), (between, 1), (between, 2)], chain))
    assert len(found) == 2 and found.parts.sum() == 4


def test_the_stronger_of_two_links_that_exclude_each_other_is_taken():
    upper, lower = trunk((310, 100), (390, 100)), trunk((310, 110), (390, 110))
    for middle, partner in ((trunk((310, 103), (390, 103), 14), 0), (trunk((310, 107), (390, 107), 14), 1)):
        found = join(pieces_of([(upper, 0), (lower, 0), (middle, 1)], ROW, scores=[0.5, 0.6, 0.9]))
        alone = [upper, lower][1 - partner]
        assert sorted(found.parts.tolist()) == [1, 2]
        assert found.polygons[found.parts == 1][0].equals(alone)


def test_two_parts_of_a_trunk_under_another_stay_one_tree():
    whole = trunk((250, 200), (750, 200))
    over = shapely.box(340, 150, 352, 250)
    left, right = whole.difference(over).geoms
    parts = seen([shapely.MultiPolygon([left, right])], ROW)
    assert_same_trees(join(pieces_of(parts, ROW)), [whole.difference(over)])
    given_as_two = seen([left, right], ROW[:1]) + [piece for piece in parts if piece[1] > 0]
    found = join(pieces_of(given_as_two, ROW))
    assert_same_trees(found, [whole.difference(over)])
    assert found.parts.tolist() == [len(given_as_two)]


def test_two_answers_of_one_window_are_one_tree_and_the_better_is_kept():
    tree, half = trunk((50, 100), (250, 120)), trunk((50, 100), (130, 108))
    shifted = shapely.transform(tree, lambda xy: xy + [0, 1])
    found = join(pieces_of([(shifted, 0), (tree, 0), (half, 0)], ROW, scores=[0.5, 0.8, 0.85]))
    assert_same_trees(found, [tree], 0.999)
    assert found.scores[0] == 0.8 and found.parts.tolist() == [3] and not found.seam_joined[0]
    for other in (trunk((150, 85), (150, 135), 12), trunk((100, 104), (200, 114), 4)):  # across; thin, on top
        assert len(join(pieces_of([(trunk((50, 100), (250, 120), 14), 0), (other, 0)], ROW))) == 2


@pytest.mark.parametrize('start, end', [((100, 100), (700, 160)), ((300, 100), (500, 380)), ((380, 50), (420, 350))])
def test_ends_that_face_each_other_join_without_overlap(start, end):
    tree = trunk(start, end)
    found = join(pieces_of(seen([tree], APART), APART))
    assert_same_trees(found, [tree], 0.999)
    assert found.seam_joined[0]


def test_ends_join_over_a_gap_of_a_metre_and_no_more():
    for gap, trees in ((15, 1), (30, 2)):
        windows = np.array([[0, 0, 400, 400], [400 + gap, 0, 400, 400]])
        assert len(join(pieces_of(seen([trunk((100, 100), (700, 160))], windows), windows), NO_BRIDGE)) == trees
    windows = np.array([[0, 0, 400, 400], [430, 0, 400, 400]])
    pieces = pieces_of(seen([trunk((100, 100), (700, 160))], windows), windows)
    assert len(join(pieces, JoinSettings(max_gap_px=40, max_bridge_px=0))) == 1


@pytest.mark.parametrize(
    'other',
    [
        pytest.param(trunk((400, 142), (700, 142)), id='beside its line'),
        pytest.param(trunk((400, 130), (700, 230)), id='in another direction'),
        pytest.param(trunk((400, 130), (700, 130), 30), id='three times as wide'),
        pytest.param(trunk((430, 130), (700, 130)), id='not at the border'),
    ],
)
def test_ends_that_do_not_continue_one_another_stay_two(other):
    one = trunk((100, 130), (400, 130))
    found = join(pieces_of([(one, 0), (other.intersection(shapely.box(400, 0, 800, 400)), 1)], APART), NO_BRIDGE)
    assert len(found) == 2


def test_ends_are_left_alone_where_a_third_window_saw_both_sides():
    windows = np.array([[0, 0, 400, 400], [200, 0, 400, 400], [400, 0, 400, 400]])
    left, right = trunk((100, 200), (397, 200)), trunk((403, 200), (700, 200))
    found = join(pieces_of(seen([left, right], windows), windows), NO_BRIDGE)
    assert_same_trees(found, [left, right])


def test_an_end_has_one_partner():
    windows = np.array([[0, 0, 400, 400], [400, 0, 400, 400], [410, 0, 400, 400]])
    one, near, far = (
        trunk((100, 130), (400, 130), 8),
        trunk((400, 127), (700, 127), 8),
        trunk((410, 133.5), (700, 133.5), 8),
    )
    found = join(pieces_of([(one, 0), (near, 1), (far, 2)], windows))
    assert sorted(found.parts.tolist()) == [1, 2]
    assert found.polygons[found.parts == 1][0].equals(far)


def test_other_classes_never_join():
    tree = trunk((20, 100), (980, 160))
    pairs = seen([tree], ROW)
    found = join(pieces_of(pairs, ROW, labels=[0, 1, 0]))
    assert sorted(found.labels.tolist()) == [0, 0, 1] and len(found) == 3
    ends = seen([trunk((100, 100), (700, 160))], APART)
    assert join(pieces_of(ends, APART, labels=[0, 1])).labels.tolist() == [0, 1]
    found = join(pieces_of(pairs * 2, ROW, labels=[0] * 3 + [1] * 3))
    assert found.labels.tolist() == [0, 1] and found.parts.tolist() == [3, 3]


def test_no_tree_is_dropped_for_touching_a_border():
    alone = [(trunk((395, 100), (400, 300), 6), 0), (shapely.box(399, 10, 400, 40), 0), (shapely.box(0, 0, 5, 5), 0)]
    assert_same_trees(join(pieces_of(alone, ROW)), [piece for piece, _ in alone])


def test_an_end_that_its_owner_missed_is_kept():
    tree = trunk((100, 200), (390, 200))
    missed = trunk((300, 200), (340, 200))  # the second window, which owns x > 350, saw no more
    found = join(pieces_of([(tree.union(shapely.box(389, 195, 400, 205)), 0), (missed, 1)], ROW[:2]))
    assert_same_trees(found, [trunk((100, 200), (400, 200))])


@pytest.mark.parametrize('short_of_the_border', [0, 3, 60])
def test_a_view_that_ends_before_its_border_is_not_taken_for_the_whole(short_of_the_border):
    tree = trunk((120, 200), (580, 200))
    first, second = tree.intersection(shapely.box(0, 0, 400, 400)), trunk((300 + short_of_the_border, 200), (580, 200))
    found = join(pieces_of([(first, 0), (second, 1)], ROW[:2]))
    assert_same_trees(found, [tree], 0.999)


def test_nothing_in_nothing_out():
    empty = Pieces(np.empty(0, object), np.empty(0), np.empty(0, int), np.empty(0, int), ROW)
    for windows in (ROW, np.empty((0, 4), int)):
        found = join(Pieces(empty.polygons, empty.scores, empty.labels, empty.windows, windows))
        assert len(found) == 0 and found.polygons.dtype == object and found.parts.dtype.kind == 'i'


def test_slivers_and_specks_pass_through():
    sliver = shapely.Polygon([(300, 100), (400, 100), (400, 100 + 1e-9)])
    speck = shapely.box(350, 50, 350.01, 50.01)
    repeated = shapely.Polygon([(310, 10), (310, 10), (330, 10), (330, 10), (330, 30), (310, 30), (310, 10)])
    found = join(pieces_of([(sliver, 0), (sliver, 1), (speck, 0), (speck, 1), (repeated, 0), (repeated, 1)], ROW))
    assert found.parts.sum() == 6 and np.isfinite(found.scores).all()
    assert not shapely.is_empty(found.polygons).any() and shapely.is_valid(found.polygons).all()


def union(*polygons):
    return shapely.union_all(polygons)


@pytest.mark.parametrize(
    'one, two',
    [
        pytest.param(trunk((5, 160), (315, 163)), trunk((160, 5), (158, 315)), id='X'),
        pytest.param(trunk((5, 160), (315, 163)), trunk((110, 5), (205, 315)), id='slanted X'),
        pytest.param(trunk((5, 160), (165, 160)), trunk((160, 160), (158, 315)), id='L'),
        pytest.param(trunk((160, 120), (20, 300)), trunk((155, 120), (310, 280)), id='V'),
        pytest.param(trunk((5, 130), (190, 130)), trunk((130, 195), (315, 195)), id='side by side'),
    ],
)
def test_a_piece_that_covers_two_trees_does_not_unite_them(one, two):
    windows = grid(320, 128, 96)
    hub = union(one, two, shapely.box(155, 118, 163, 195)).intersection(shapely.box(96, 96, 224, 224))
    pairs = [piece for piece in seen([one, two], windows) if piece[1] != 4] + [(hub, 4)]
    found = join(pieces_of(pairs, windows))
    assert hub.geom_type == 'Polygon' and len(found) == 2 and found.parts.sum() == len(pairs)
    around = shapely.difference(found.polygons, shapely.box(96, 96, 224, 224))
    of_one, of_two = (shapely.area(shapely.intersection(around, tree)) for tree in (one, two))
    assert sorted(of_one > 300) == sorted(of_two > 300) == [False, True]  # each has its own tree's far ends, whole
    assert (np.minimum(of_one, of_two) < 1).all()


@pytest.mark.parametrize('bend_deg', [0, 15, 28])
def test_a_bent_trunk_stays_one(bend_deg):
    angles = np.linspace(0, np.deg2rad(bend_deg), 60)
    line = np.cumsum(np.stack([np.cos(angles), np.sin(angles)], 1) * 15, 0) + [30, 100]
    tree = shapely.LineString(line).buffer(5, cap_style='flat')
    windows = grid(1000, 200, 150)
    assert_same_trees(join(pieces_of(seen([tree], windows), windows), NO_BRIDGE), [tree])


@pytest.mark.parametrize(
    'speck',
    [
        pytest.param(shapely.box(200, 250, 210, 260), id='beside its middle'),
        pytest.param(shapely.box(340, 150, 350, 160), id='off its line'),
        pytest.param(trunk((200, 107), (220, 107), 3), id='along its flank'),
        pytest.param(trunk((60, 250), (200, 250), 9), id='most of another tree'),
    ],
)
def test_what_a_mask_shows_beside_its_trunk_is_dropped(speck):
    tree = trunk((50, 100), (300, 100))
    found = join(pieces_of([(union(tree, speck), 0)], ROW))
    assert_same_trees(found, [tree], 0.999)
    assert found.polygons[0].geom_type == 'Polygon'


def test_parts_in_line_are_kept():
    whole = trunk((50, 100), (350, 160))
    for lo, hi in ((180, 195), (60, 75), (310, 330)):
        two = whole.difference(shapely.box(lo, 0, hi, 400))
        assert two.geom_type == 'MultiPolygon'
        assert_same_trees(join(pieces_of([(two, 0)], ROW)), [two], 0.999)
    plate, stem = shapely.box(100, 180, 140, 220), trunk((150, 200), (260, 200), 8)
    assert_same_trees(join(pieces_of([(union(plate, stem), 0)], ROW)), [union(plate, stem)], 0.999)


@pytest.mark.parametrize('gap', [-8, 6, 40, 95])
@pytest.mark.parametrize('width', [10, 7])
def test_a_trunk_goes_on_behind_a_crown(gap, width):
    left, right = trunk((20, 100), (170, 100)), trunk((170 + gap, 102), (390, 104), width)
    found = join(pieces_of([(left, 0), (right, 0)], ROW, scores=[0.8, 0.6]))
    assert_same_trees(found, [union(left, right)], 0.999)
    assert found.parts.tolist() == [2] and found.seam_joined[0]
    assert found.scores[0] == pytest.approx(np.average([0.8, 0.6], weights=[left.area, right.area]), abs=0.01)
    assert len(join(pieces_of([(left, 0), (right, 0)], ROW), NO_BRIDGE)) == 2


@pytest.mark.parametrize(
    'other',
    [
        pytest.param(trunk((275, 100), (390, 100)), id='too far'),
        pytest.param(trunk((200, 112), (390, 112)), id='beside its line'),
        pytest.param(trunk((200, 100), (380, 160)), id='in another direction'),
        pytest.param(trunk((200, 100), (390, 100), 26), id='more than twice as thick'),
        pytest.param(trunk((250, 100), (275, 100)), id='a stump far off'),
        pytest.param(shapely.box(185, 94, 203, 106), id='points nowhere'),
    ],
)
def test_ends_on_no_line_are_not_bridged(other):
    assert len(join(pieces_of([(trunk((20, 100), (170, 100)), 0), (other, 0)], ROW))) == 2


def test_a_bridge_joins_no_classes_and_takes_the_better_partner():
    left, right = trunk((20, 100), (170, 100)), trunk((200, 100), (390, 100))
    assert len(join(pieces_of([(left, 0), (right, 0)], ROW, labels=[0, 1]))) == 2
    near, far = trunk((200, 97), (390, 97)), trunk((215, 102), (390, 102), 9)
    found = join(pieces_of([(left, 0), (near, 0), (far, 0)], ROW))
    assert sorted(found.parts.tolist()) == [1, 2]
    assert found.polygons[found.parts == 1][0].equals(near)


@st.composite
def scenes(draw):
    """Pieces of a few random trunks, some shown twice or by one window only."""
    seed = draw(st.integers(0, 10_000))
    rng = np.random.default_rng(seed)
    starts = rng.uniform(0, 1000, (draw(st.integers(1, 12)), 2))
    turns = rng.uniform(0, np.pi, len(starts))
    ends = starts + rng.uniform(40, 400, (len(starts), 1)) * np.stack([np.cos(turns), np.sin(turns)], 1)
    trees = [trunk(a, b, rng.uniform(3, 25)) for a, b in zip(starts, ends, strict=True)]
    windows = grid(stride=draw(st.sampled_from([200, 300, 400])))
    pairs = seen(
        [tree for tree in trees if shapely.box(0, 0, 1000, 1000).covers(tree)], windows, rng.normal(0, 1, (9, 2))
    )
    pairs = [pairs[row] for row in rng.permutation(len(pairs))[: draw(st.integers(0, 40))]]
    if not pairs:
        pairs = [(trunk((10, 10), (60, 60)), 0)]
    return pieces_of(pairs, windows, rng.uniform(0, 1, len(pairs)), rng.integers(0, 2, len(pairs)))


@given(scenes(), st.randoms(use_true_random=False))
@settings(max_examples=60, deadline=None)
def test_the_order_of_pieces_and_windows_does_not_matter_and_none_is_lost(pieces, random):
    found = join(pieces)
    assert found.parts.sum() == len(pieces) and (found.parts > 0).all()
    assert shapely.is_valid(found.polygons).all() and not shapely.is_empty(found.polygons).any()
    assert found.scores.min() >= pieces.scores.min() - 1e-9 and found.scores.max() <= pieces.scores.max() + 1e-9
    rows = np.array(random.sample(range(len(pieces)), len(pieces)))
    place = np.array(random.sample(range(len(pieces.windows_xywh)), len(pieces.windows_xywh)))
    shuffled = Pieces(
        pieces.polygons[rows], pieces.scores[rows], pieces.labels[rows], np.argsort(place)[pieces.windows[rows]],
        pieces.windows_xywh[place],
    )  # fmt: skip
    again = join(shuffled)
    assert shapely.equals_identical(again.polygons, found.polygons).all()
    for name in ('scores', 'labels', 'parts', 'seam_joined'):
        assert (getattr(again, name) == getattr(found, name)).all()
