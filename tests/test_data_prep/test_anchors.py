"""`python -m data_prep anchors`: k-means with 1 - IoU, beside MMDetection's default anchors."""

import json

import numpy as np
import pytest

from data_prep.anchors.boxes import ious, mean_best_iou, read_sizes
from data_prep.anchors.clustering import cluster, grid, grid_sizes


def coco(path, sizes, image_wh=(640, 480), crowds=0):
    """A COCO file of boxes; the last ones are crowds."""
    annotations = [
        dict(id=n, image_id=1, category_id=1, bbox=[0, 0, w, h], area=w * h, iscrowd=int(n > len(sizes) - crowds))
        for n, (w, h) in enumerate(sizes, 1)
    ]
    image = dict(id=1, file_name='a.jpg', width=image_wh[0], height=image_wh[1])
    content = dict(images=[image], annotations=annotations, categories=[dict(id=1, name='car')])
    path.write_text(json.dumps(content))
    return path


def test_iou_of_boxes_on_one_centre():
    assert ious(np.array([[2.0, 4]]), np.array([[2.0, 4], [4, 2], [1, 2]]))[0] == pytest.approx([1, 4 / 12, 2 / 8])


def test_clusters_that_are_there_are_found():
    random = np.random.default_rng(0)
    centres = np.array([[10.0, 20], [40, 15], [80, 90], [200, 60]])
    sizes = np.concatenate([centre * random.uniform(0.95, 1.05, (50, 2)) for centre in centres])
    found = cluster(sizes, 4, seed=0)
    assert found == pytest.approx(centres[np.argsort(centres.prod(1))], rel=0.03)
    assert mean_best_iou(sizes, found) > 0.9
    assert (cluster(sizes, 4, seed=0) == found).all()


def test_the_grid_is_what_the_anchor_generator_makes():
    generator = pytest.importorskip('mmdet.models.task_modules.prior_generators').AnchorGenerator
    sides, ratios = np.array([8.0, 30, 90]), np.array([0.5, 1, 2.5])
    theirs = generator(strides=[4, 8, 16], base_sizes=sides.tolist(), scales=[1.0], ratios=ratios.tolist())
    boxes = np.concatenate([level.numpy() for level in theirs.base_anchors])
    assert grid_sizes(sides, ratios) == pytest.approx(boxes[:, 2:] - boxes[:, :2], rel=1e-5)
    random = np.random.default_rng(0)
    sizes = grid_sizes(sides, ratios)[random.integers(9, size=400)] * random.uniform(0.97, 1.03, (400, 1))
    found = grid(sizes, cluster(sizes, 9, seed=0), 3)
    assert mean_best_iou(sizes, grid_sizes(*found)) > 0.9


def test_images_are_fitted_and_crowds_left_out(tmp_path):
    path = coco(tmp_path / 'a.json', [(10, 20), (30, 40)], crowds=1)
    assert read_sizes(path, None).tolist() == [[10, 20]]
    # as MMDetection resizes: the longer side to 1333 would make the shorter one 1000
    assert read_sizes(path, (1333, 800)) == pytest.approx(np.array([[10, 20]]) * 800 / 480)


def test_the_command_prints_what_a_config_takes(data_prep, tmp_path):
    random = np.random.default_rng(1)
    path = coco(tmp_path / 'a.json', (random.lognormal(4, 1, (200, 1)) * [[1, 3]]).tolist())
    code, out, err = data_prep('anchors', path, '--out', tmp_path / 'anchors.json', '--seed', 3)
    assert (code, err) == (0, '')
    found = json.loads((tmp_path / 'anchors.json').read_text())
    fit = found['fit']
    assert found['anchors'] == 15 == len(found['sizes_wh'])
    assert fit['kmeans'] > fit['kmeans_grid'] > fit['default'] + 0.05  # all boxes are three times as high as wide
    line = next(line for line in out.splitlines() if 'YOLOAnchorGenerator' in line)
    said = eval(line.split('=', 1)[1])
    assert [list(size) for level in said['base_sizes'] for size in level] == found['sizes_wh']
    assert data_prep('anchors', path, '--json', '--seed', 3)[1] == json.dumps(found) + '\n'


def test_generators_build_and_serve_the_rpn(data_prep, tmp_path):
    registry = pytest.importorskip('mmdet.registry')
    path = coco(tmp_path / 'a.json', np.random.default_rng(1).lognormal(4, 1, (200, 2)).tolist())
    found = json.loads(data_prep('anchors', path, '--json')[1])
    for key in ('anchor_generator', 'explicit_generator'):
        built = registry.TASK_UTILS.build(dict(found[key]))
        assert built.num_base_priors == [3] * 5
        sizes = np.concatenate([level.numpy()[:, 2:] - level.numpy()[:, :2] for level in built.base_anchors])
        assert round(mean_best_iou(read_sizes(path, None), sizes), 2) == round(
            found['fit']['kmeans_grid' if key == 'anchor_generator' else 'kmeans'], 2
        )


def test_anchors_fit_real_boxes_better_than_the_default(data_prep, real_data):
    path = real_data / 'coco_permissive33/instances.json'
    for size in ([], ['--image-size', '1333,800']):
        code, out, _ = data_prep('anchors', path, '--json', *size)
        fit = json.loads(out)['fit']
        assert code == 0
        assert fit['kmeans'] > fit['default'] + 0.08 and fit['kmeans_grid'] > fit['default']


@pytest.mark.parametrize(
    ('spoil', 'args', 'said'),
    [
        (lambda path: path.unlink(), [], 'nothing is there'),
        (lambda path: path.write_text('[]'), [], 'must be a COCO file with lists'),
        (lambda path: coco(path, [(0, 5)]), [], 'no box with an area'),
        (lambda path: coco(path, [(3, 5), (4, 6)]), [], '15 anchors need as many different boxes; there are 2'),
        (lambda path: path.write_text('{"images": [{}], "annotations": []}'), [], 'without id, width or height'),
        (lambda path: None, ['--image-size', '800'], 'must be width and height'),
        (lambda path: None, ['--out', 'nowhere/a.json'], 'in a folder that exists'),
    ],
)
def test_bad_input_is_one_line(data_prep, tmp_path, spoil, args, said):
    path = coco(tmp_path / 'a.json', np.random.default_rng(0).uniform(5, 90, (40, 2)).tolist())
    spoil(path)
    code, out, err = data_prep('anchors', path, *args)
    assert (code, out) == (2, '') and err.count('\n') == 1
    assert said in err
