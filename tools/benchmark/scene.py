"""One scene through our mapper, and through MMDetection's large-image demo with SAHI's slicing: time, memory, F1.

    bash tools/demo.sh                                       # makes the default model and scene
    python tools/benchmark/scene.py                          # 1280 x 1280 px of the demo's test scene
    python tools/benchmark/scene.py --quick                  # 512 x 512 px, under a minute
    python tools/benchmark/scene.py CONFIG CHECKPOINT SCENE  # any of one's own; labels lie beside the scene

Both arms run the same weights over the same windows (side of the training tiles, a quarter overlap) with the same score
threshold, each in a process of its own, one thread for the network. The other arm does what the demo does: the whole
image in memory, `sahi.slicing.slice_image`, MMDetection's own heads, every mask shifted to the size of the image, one
`batched_nms` on boxes at IoU 0.25. Detections under the score threshold are dropped before masks are shifted, which the
demo does not do: without it the masks of one scene fill the machine.

After a window as warm-up. CPU seconds of the main thread: `network` (up to the logits), `prepare` (pipeline and
preprocessor), `after`: masks, outlines, journal, joining; `measure`, in our arm alone: smoothing, measuring, the layers
of the map. F1: pairs at IoU of at least 0.5, best scores first, against the drawn truth but for what is under 16 px.
The last line is JSON.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path

os.environ['OMP_NUM_THREADS'] = '1'

import numpy as np
import rasterio
import shapely
from rasterio.windows import Window

ROOT = Path(__file__).resolve().parents[2]
DEMO, DEMO_CONFIG = ROOT / 'work_dirs/demo', ROOT / 'configs/m2f_trees_demo.py'
IOU, NMS_IOU, OVERLAP, SMALLEST_PX = 0.5, 0.25, 0.25, 16


class Watch:
    """CPU seconds of the main thread, by phase; phases that others are called from count only their own."""

    def __init__(self) -> None:
        self.seconds, self._open, self._last = defaultdict(float), ['after'], time.thread_time()

    def _turn(self) -> None:
        now = time.thread_time()
        self.seconds[self._open[-1]] += now - self._last
        self._last = now

    def around(self, owner: object, name: str, phase: str) -> None:
        """Count calls of a method as a phase."""
        method = getattr(owner, name)

        def timed(*args: object, **kwargs: object) -> object:
            self._turn()
            self._open.append(phase)
            try:
                return method(*args, **kwargs)
            finally:
                self._turn()
                self._open.pop()

        setattr(owner, name, timed)

    def start(self) -> None:
        """Forget what was before."""
        self.seconds.clear()
        self._last = time.thread_time()

    def stop(self) -> dict[str, float]:
        """Seconds since the start."""
        self._turn()
        return dict(self.seconds)


def watch(network: object) -> Watch:
    """Count what a network does, and what is done to its pictures before."""
    from mmcv.transforms import Compose

    found = Watch()
    for owner, name, phase in (
        (network, 'extract_feat', 'network'),
        (network.panoptic_head, 'forward', 'network'),
        (network.data_preprocessor, 'forward', 'prepare'),
        (Compose, '__call__', 'prepare'),
    ):
        found.around(owner, name, phase)
    return found


def ours(args: argparse.Namespace, scene: Path) -> tuple[list, list, dict[str, float]]:
    """Polygons in pixels, scores, seconds."""
    from affine import Affine

    import tree_map.mapper
    from tree_map.mapper import Options, TreeMapper

    options = Options(window=args.window, overlap=OVERLAP)
    mapper = TreeMapper(args.config, args.checkpoint, device=args.device, options=options)
    mapper.map_scene(args.warm)
    clock = watch(mapper.model.network)
    clock.around(tree_map.mapper, 'assemble', 'measure')
    clock.start()
    trees = mapper.map_scene(scene).trees
    seconds = clock.stop()
    with rasterio.open(scene) as dataset:
        to_pixels = (~Affine(*dataset.transform[:6])).to_shapely()
    from shapely.affinity import affine_transform

    return [affine_transform(tree, to_pixels) for tree in trees.geometry], trees['score'].tolist(), seconds


def mmdet_sahi(args: argparse.Namespace, scene: Path) -> tuple[list, list, dict[str, float]]:
    """The same of MMDetection's large-image demo."""
    from mmcv.ops import batched_nms
    from mmcv.transforms import Compose
    from mmengine.structures import InstanceData
    from sahi.slicing import slice_image

    from tree_map.predicting.model import load_model

    options = {'model.panoptic_head.type': 'Mask2FormerHead', 'model.panoptic_fusion_head.type': 'MaskFormerFusionHead'}
    model = load_model(args.config, args.checkpoint, device=args.device, cfg_options=options)
    pipeline: Compose = model.pipeline(args.window)

    def run(path: Path) -> tuple[list, list]:
        with rasterio.open(path) as dataset:
            image = dataset.read([1, 2, 3]).transpose(1, 2, 0)
        slices = slice_image(image, slice_height=args.window, slice_width=args.window,
                             overlap_height_ratio=OVERLAP, overlap_width_ratio=OVERLAP)  # fmt: skip
        results = []
        for n, picture in enumerate(slices.images):
            packed = pipeline(dict(img=np.ascontiguousarray(picture[..., ::-1]), img_id=n))
            (result,) = model.network.test_step({key: [value] for key, value in packed.items()})
            instances = result.pred_instances[result.pred_instances.scores >= model.score_thr].cpu()
            shift(instances, slices.starting_pixels[n], image.shape[:2])
            results.append(instances)
        found = InstanceData.cat(results)
        if not len(found):  # batched_nms fails
            return [], []
        nms = dict(type='nms', iou_threshold=NMS_IOU)
        found = found[batched_nms(found.bboxes, found.scores, found.labels, nms_cfg=nms)[1]]
        return found.masks, found.scores.tolist()

    run(args.warm)
    clock = watch(model.network)
    clock.start()
    masks, scores = run(scene)
    seconds = clock.stop()
    return [outline(np.asarray(mask)) for mask in masks], scores, seconds


def shift(instances: object, offset_xy: list[int], full_shape: tuple[int, int]) -> None:
    """Move boxes and masks to their place in the image, each mask as large as that.

    As `mmdet.utils.large_image.shift_predictions` means to: it looks for masks in the wrong place and moves none.
    """
    x, y = offset_xy
    instances.bboxes = instances.bboxes + instances.bboxes.new_tensor([x, y, x, y])
    masks = np.zeros((len(instances), *full_shape), bool)
    masks[:, y : y + instances.masks.shape[1], x : x + instances.masks.shape[2]] = instances.masks.numpy()
    instances.masks = masks


def outline(mask: np.ndarray) -> shapely.Geometry:
    """Exactly the pixels of a mask."""
    from rasterio.features import shapes

    return shapely.union_all([shapely.geometry.shape(part) for part, _ in shapes(mask.astype(np.uint8), mask)])


def truth_of(scene: Path, side: int) -> list[shapely.Geometry]:
    """What is seen of each tree in the corner of the scene that was cut out."""
    from data_prep.imagery.rasters import raster_info
    from data_prep.labels.objects import load_objects
    from data_prep.scenes import Scene

    labels = next(path for end in ('.json', '.gpkg', '.geojson', '.shp') if (path := scene.with_suffix(end)).exists())
    objects = load_objects(Scene(scene.stem, scene, labels), raster_info(scene)).objects
    inside = shapely.intersection([item.polygon for item in objects], shapely.box(0, 0, side, side))
    return [tree for tree in inside if tree.area >= SMALLEST_PX]


def f1(found: list, scores: list, truth: list) -> float:
    """Of pairs at IoU of at least 0.5, one to one, best scores first."""
    left, hits = list(range(len(truth))), 0
    for index in np.argsort(scores)[::-1]:
        shared = shapely.area(shapely.intersection(found[index], [truth[k] for k in left]))
        iou = shared / (found[index].area + shapely.area([truth[k] for k in left]) - shared)
        if len(iou) and iou.max() >= IOU:
            left.pop(int(iou.argmax()))
            hits += 1
    return 2 * hits / max(len(found) + len(truth), 1)


def cut(scene: Path, side: int, temporary: Path) -> Path:
    """Write the upper left corner of a scene."""
    with rasterio.open(scene) as source:
        profile = dict(source.profile, width=side, height=side)
        with rasterio.open(temporary, 'w', **profile) as corner:
            corner.write(source.read(window=Window(0, 0, side, side)))
    return temporary


def arm(args: argparse.Namespace) -> None:
    """One arm in this process; the last line it prints is JSON."""
    with tempfile.TemporaryDirectory() as folder:
        args.warm = cut(args.scene, args.window, Path(folder, 'warm.tif'))
        scene = cut(args.scene, args.side, Path(folder, 'scene.tif'))
        found, scores, seconds = (ours if args.arm == 'ours' else mmdet_sahi)(args, scene)
    rss = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    figures = dict(f1=f1(found, scores, truth_of(args.scene, args.side)), rss_mb=rss, found=len(found), **seconds)
    print(json.dumps(figures))


def main() -> None:
    """Run both arms and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', type=Path, nargs='?', default=DEMO_CONFIG)
    parser.add_argument('checkpoint', type=Path, nargs='?')
    parser.add_argument('scene', type=Path, nargs='?', default=DEMO / 'scenes/synth_05.tif')
    parser.add_argument('--window', type=int, default=128, help='side of the windows in px')
    parser.add_argument('--side', type=int, default=1280, help='of the corner of the scene that is mapped, in px')
    parser.add_argument('--device', default='cpu')
    parser.add_argument('--quick', action='store_true', help='512 x 512 px')
    parser.add_argument('--arm', choices=['ours', 'sahi'], help='run this one alone and print its figures')
    args = parser.parse_args()
    args.checkpoint = args.checkpoint or next(DEMO.glob('best_*.pth'), None)
    if args.checkpoint is None or not args.scene.is_file():
        parser.error(f'there is no model in {DEMO}; run `bash tools/demo.sh`, or name CONFIG CHECKPOINT SCENE')
    args.side = 512 if args.quick else args.side
    if args.arm:
        return arm(args)
    figures = {}
    for name in ('ours', 'sahi'):
        command = [sys.executable, __file__, args.config, args.checkpoint, args.scene, '--arm', name,
                   '--window', args.window, '--side', args.side, '--device', args.device]  # fmt: skip
        done = subprocess.run(list(map(str, command)), check=True, stdout=subprocess.PIPE, text=True)
        figures[name] = json.loads(done.stdout.splitlines()[-1])
        print(name, *(f'{key} {value:.4g}' for key, value in figures[name].items()))
    a, b = figures['ours'], figures['sahi']
    phases = ('network', 'prepare', 'after', 'measure')
    total = {name: sum(of.get(key, 0) for key in phases) for name, of in figures.items()}
    print(json.dumps({
        'postprocess_vs_mmdet_sahi': round(b['after'] / a['after'], 2),
        'end_to_end_vs_mmdet_sahi': round(total['sahi'] / total['ours'], 2),
        'rss_vs_mmdet_sahi': round(a['rss_mb'] / b['rss_mb'], 3),
        'f1_ours': round(a['f1'], 4),
        'f1_mmdet_sahi': round(b['f1'], 4),
    }))  # fmt: skip


if __name__ == '__main__':
    main()
