"""Who makes whole trees of what windows saw? Our joining beside SAHI's merge, polygon NMS and detectree2's rule.

    python tools/benchmark/joining.py            # five sparse and two dense scenes of each kind
    python tools/benchmark/joining.py --quick    # two and one, 20 % overlap only; needs requirements/benchmark.txt

Quality (W6): 500 trunks (20/ha at 5 cm) or 4000 (160/ha) on 10,000 x 10,000 px, straight or bent, in tiles of 1024 px
at strides of 819 (20 % overlap), 512 (half) and 1024 (none), each piece moved by 1.5 px of normal noise. F1 at IoU 0.5,
0.75 and 0.9, matched one to one; a scene is a seed. `f1_sparse` and `f1_dense` are at IoU 0.5 and 20 % overlap, the
lower of straight and bent trunks. Speed (W5): 30,000 polygons, 3 copies of each trunk; CPU seconds, median of rounds in
turn, one thread, both arms in one process after a round that is not counted. Workloads: merge_workload.py.

    ours        tree_map.join with its defaults
    sahi        GreedyNMM on IOS 0.5, what get_sliced_prediction does by default
    nms         greedy by score on polygons, IoU 0.5: one bulk query of an STRtree, vectorised intersections
    detectree2  its rule as documented: pieces within 1 m of their tile's edge are dropped, then of those that share
                IoU 0.7, or 0.85 of the smaller, the most confident is kept

The last line is one line of JSON.
"""

import argparse
import json
import os
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

os.environ['OMP_NUM_THREADS'] = '1'
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / 'projects/tree_map'))

import numpy as np
import shapely
from merge_workload import PX_PER_M, Scene, copies, windthrow
from sahi.annotation import BoundingBox
from sahi.postprocess.combine import GreedyNMMPostprocess
from sahi.prediction import ObjectPrediction
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from tree_map.joining import join
from tree_map.pieces import Pieces

IOUS = (0.5, 0.75, 0.9)
DENSITIES = dict(sparse=500, dense=4000)
KINDS = ((False, 819), (True, 819), (True, 512), (False, 1024))  # bent, stride


def main() -> None:
    """Measure quality and speed, print tables, then one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--quick', action='store_true', help='fewer scenes and rounds')
    args = parser.parse_args()
    table = quality(*((dict(sparse=2, dense=1), KINDS[:2]) if args.quick else (dict(sparse=5, dense=2), KINDS)))
    seconds, found = speed(3 if args.quick else 9)
    at_half = {
        density: {arm: min(table[f'{density} {kind} 819'][arm][0] for kind in ('straight', 'bent')) for arm in ARMS}
        for density in DENSITIES
    }
    print(
        json.dumps(
            dict(
                f1_sparse=at_half['sparse']['ours'],
                f1_dense=at_half['dense']['ours'],
                time_vs_strtree_nms=round(seconds['ours'] / seconds['nms'], 3),
                f1_at_half=at_half,
                f1=table,
                cpu_s=seconds,
                trees_of_10000=found,
            )
        )
    )


# Quality


def quality(scenes: dict[str, int], kinds: tuple[tuple[bool, int], ...]) -> dict[str, dict[str, list[float]]]:
    """Mean F1 of all arms over scenes, by density, kind and stride."""
    table = {}
    for density, count in DENSITIES.items():
        for bent, stride in kinds:
            key = f'{density} {"bent" if bent else "straight"} {stride}'
            rows: dict[str, list[list[float]]] = {arm: [] for arm in ARMS}
            for seed in range(1, 1 + (scenes[density] if stride == 819 else 1)):
                scene = windthrow(count, stride=stride, bent=bent, seed=seed)
                for arm, merge in ARMS.items():
                    rows[arm].append(f1(scene.trunks, merge(scene.pieces)))
            table[key] = {arm: np.mean(row, 0).round(4).tolist() for arm, row in rows.items()}
            cells = '   '.join(f'{arm} ' + ' '.join(f'{x:.3f}' for x in row) for arm, row in table[key].items())
            print(f'{key:21} {cells}', flush=True)
    return table


def f1(trunks: np.ndarray, trees: np.ndarray) -> list[float]:
    """F1 at each of IOUS, pairs taken one to one from the highest IoU down."""
    truth, tree = shapely.STRtree(trees).query(trunks)
    shared = shapely.area(shapely.intersection(trunks[truth], trees[tree]))
    iou = shared / (shapely.area(trunks)[truth] + shapely.area(trees)[tree] - shared)
    free_truth, free_tree, hits = np.ones(len(trunks), bool), np.ones(len(trees), bool), []
    for row in np.argsort(-iou, kind='stable'):
        if free_truth[truth[row]] and free_tree[tree[row]]:
            free_truth[truth[row]] = free_tree[tree[row]] = False
            hits.append(iou[row])
    return [2 * int(np.sum(np.array(hits) >= at)) / (len(trunks) + len(trees)) for at in IOUS]


# Arms: polygons of trees from pieces


def ours(pieces: Pieces) -> np.ndarray:
    """Polygons of our trees."""
    return join(pieces).polygons


def nms(pieces: Pieces) -> np.ndarray:
    """Polygons that greedy suppression by IoU keeps."""
    first, second, shared, area = overlaps(pieces.polygons)
    over = shared > 0.5 * (area[first] + area[second] - shared)
    first, second = first[over], second[over]
    first_wins = pieces.scores[first] >= pieces.scores[second]
    winner, loser = np.where(first_wins, first, second), np.where(first_wins, second, first)
    kept = np.ones(len(pieces), bool)
    order = np.argsort(-pieces.scores[winner], kind='stable')
    for better, worse in zip(winner[order].tolist(), loser[order].tolist(), strict=True):
        if kept[better]:
            kept[worse] = False
    return pieces.polygons[kept]


def overlaps(polygons: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Pairs whose boxes touch, the area each pair shares, and all areas."""
    first, second = shapely.STRtree(polygons).query(polygons)
    once = first < second
    first, second = first[once], second[once]
    return first, second, shapely.area(shapely.intersection(polygons[first], polygons[second])), shapely.area(polygons)


def detectree2(pieces: Pieces) -> np.ndarray:
    """Polygons that its rule keeps; the scene's own edge drops none here, to be fair."""
    xywh = pieces.windows_xywh.astype(float)
    boxes = np.hstack([xywh[:, :2], xywh[:, :2] + xywh[:, 2:]])
    ends = np.concatenate([boxes[:, :2].min(0), boxes[:, 2:].max(0)])
    near = (shapely.bounds(pieces.polygons) - boxes[pieces.windows]) * [1, 1, -1, -1] <= PX_PER_M
    rows = np.flatnonzero(~(near & (boxes[pieces.windows] != ends)).any(1))
    polygons, scores = pieces.polygons[rows], pieces.scores[rows]
    first, second, shared, area = overlaps(polygons)
    same = shared > 0.7 * (area[first] + area[second] - shared)
    same |= shared > 0.85 * np.minimum(area[first], area[second])
    graph = coo_array((np.ones(same.sum()), (first[same], second[same])), shape=(len(rows), len(rows)))
    cluster = connected_components(graph, directed=False)[1]
    order = np.lexsort((-scores, cluster))
    return polygons[order[np.diff(cluster[order], prepend=-1) != 0]]


def sahi(pieces: Pieces) -> np.ndarray:
    """Polygons of SAHI's merged predictions."""
    merged = GreedyNMMPostprocess(match_threshold=0.5, match_metric='IOS', class_agnostic=False)(as_sahi(pieces))
    return np.array([area_of(prediction.mask.segmentation) for prediction in merged], object)


def as_sahi(pieces: Pieces) -> list[ObjectPrediction]:
    """Pieces as SAHI's predictions, in scene pixels; its boxes as they are, not cut to whole pixels."""
    size = (pieces.windows_xywh[:, :2] + pieces.windows_xywh[:, 2:]).max(0)
    predictions = []
    for polygon, score in zip(pieces.polygons, pieces.scores, strict=True):
        outer = [shapely.get_coordinates(part.exterior).ravel().tolist() for part in shapely.get_parts(polygon)]
        one = ObjectPrediction(
            segmentation=outer, category_id=0, category_name='tree', score=float(score), full_shape=[size[1], size[0]]
        )
        one.bbox = BoundingBox(polygon.bounds)
        predictions.append(one)
    return predictions


def area_of(segmentation: list[list[float]]) -> shapely.Geometry:
    """A valid polygon or multi-polygon of COCO's rings."""
    rings = [shapely.Polygon(np.reshape(ring, (-1, 2))) for ring in segmentation if len(ring) >= 6]
    return shapely.union_all(shapely.make_valid(rings))


ARMS: dict[str, Callable[[Pieces], np.ndarray]] = dict(ours=ours, sahi=sahi, nms=nms, detectree2=detectree2)


# Speed


def speed(rounds: int) -> tuple[dict[str, float], dict[str, int]]:
    """CPU seconds of ours and of NMS on W5, and how many trees each finds of 10,000."""
    scene: Scene = copies(30_000)
    arms = {arm: ARMS[arm] for arm in ('ours', 'nms')}
    seconds: dict[str, list[float]] = {arm: [] for arm in arms}
    found = {arm: len(merge(scene.pieces)) for arm, merge in arms.items()}
    for _ in range(rounds):
        for arm, merge in arms.items():
            began = time.process_time()
            merge(scene.pieces)
            seconds[arm].append(time.process_time() - began)
    median = {arm: round(statistics.median(times), 3) for arm, times in seconds.items()}
    print('30,000 polygons   ' + '   '.join(f'{arm} {median[arm]:.3f} s, {found[arm]} trees' for arm in arms))
    return median, found


if __name__ == '__main__':
    main()
