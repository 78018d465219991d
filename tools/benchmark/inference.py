"""What does it cost to make instances of mask logits, and to get the logits? MMDetection's fusion head beside ours.

    python tools/benchmark/inference.py            # tiles of 512 and 1024 px, and an image of 4096 px
    python tools/benchmark/inference.py --quick    # trunks on tiles of 512 and 1024 px, seconds only: under a minute

100 queries, logits at a quarter of the image, RLE for COCO at the end. `logs`: a trunk each, 5-25 % of the image long,
`noise`: half of all pixels positive, the worst there can be. `stock` is MMDetection: masks enlarged, its fusion head,
`encode_mask_results`; `ours` is BlockwiseFusionHead, whose masks are the same, `filtered` ours with half of the class
scores below its threshold. `network` is the forward pass that makes the logits of one tile of 512 px, random weights.

Each arm is a process of its own with one thread. Medians of three CPU seconds after one run, freed memory kept; MB by
which memory grows over the logits, in another process that keeps none. What does not fit in memory is null.

The last line is one line of JSON: `postprocess_vs_stock` is how often the CPU seconds of ours fit into those of
MMDetection, for trunks at 1024 px; `share` is what making instances takes of network and instances together, at 512 px.
"""

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

QUERIES, STRIDE, SIDE = 100, 4, 512
ARMS = ('stock', 'ours', 'filtered')
NETWORKS = ('mask2former_r18_tiny', 'mask2former_r50')
MODELS = Path(__file__).resolve().parents[2] / 'configs/_base_/models'
MEASURES = {  # of malloc: freed memory is kept, so that no arm waits for the kernel; or given back, so that it is seen
    'cpu_s': dict.fromkeys(('MALLOC_MMAP_THRESHOLD_', 'MALLOC_TRIM_THRESHOLD_'), str(2**34)),
    'mb': dict.fromkeys(('MALLOC_MMAP_THRESHOLD_', 'MALLOC_TRIM_THRESHOLD_'), str(2**16)),
}


def main() -> None:
    """Measure all arms and print a table, then one line of JSON; with --arm be one of them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--quick', action='store_true', help='trunks on tiles of 512 and 1024 px, seconds only')
    parser.add_argument('--measure', nargs='+', metavar=('WHAT', 'JOB'), help='cpu_s or mb of ARM:KIND:SIDE')
    args = parser.parse_args()
    if args.measure:
        print(json.dumps([measure(args.measure[0], *job.split(':')) for job in args.measure[1:]]))
        return
    tiles = [('logs', SIDE), ('logs', 1024)] + [('noise', SIDE), ('noise', 1024), ('logs', 4096)] * (not args.quick)
    arms = ARMS[:2] if args.quick else ARMS
    found = {tile: {} for tile in tiles}
    for arm in arms:
        found_of = in_process('cpu_s', [(arm, *tile) for tile in tiles])
        for tile, seconds in zip(tiles, found_of, strict=True):
            found[tile][arm] = dict(cpu_s=seconds)
            if not args.quick:
                (found[tile][arm]['mb'],) = in_process('mb', [(arm, *tile)])
    rows = {f'{kind}_{side}': found[kind, side] | ratios(found[kind, side]) for kind, side in tiles}
    for kind, side in tiles:
        print(f'{kind:6} {side:5} px' + ''.join(cell(*pair) for pair in found[kind, side].items()))
    seconds = in_process('cpu_s', [(name, 'network', SIDE) for name in NETWORKS])
    rows['share'] = {name: share(name, s, found['logs', SIDE]) for name, s in zip(NETWORKS, seconds, strict=True)}
    print(json.dumps(dict(postprocess_vs_stock=rows['logs_1024']['cpu_s_stock_by_ours']) | rows))


def cell(arm: str, found: dict[str, float | None]) -> str:
    """What an arm took, for the table."""
    return f'   {arm}' + ''.join(' -' if value is None else f' {value:.4g} {key}' for key, value in found.items())


def ratios(row: dict[str, dict]) -> dict[str, float | None]:
    """What MMDetection's head takes by what ours takes."""
    stock = row['stock']
    return {
        f'{key}_stock_by_{arm}': stock[key] and row[arm][key] and round(stock[key] / max(row[arm][key], 1e-3), 2)
        for arm in list(row)[1:]
        for key in stock
    }


def share(name: str, seconds: float, row: dict[str, dict]) -> dict[str, float]:
    """Seconds of a network, and the share of the rest with MMDetection's head and with ours."""
    rest = {arm: row[arm]['cpu_s'] for arm in ('stock', 'ours')}
    found = dict(network_cpu_s=seconds) | {arm: round(s / (s + seconds), 3) for arm, s in rest.items()}
    print(f'{name} at {SIDE} px   {seconds:.4g} cpu_s   instances: stock {found["stock"]:.1%} of the whole, '
          f'ours {found["ours"]:.1%}')  # fmt: skip
    return found


def in_process(what: str, jobs: list[tuple[str, str, int]]) -> list[float | None]:
    """Measure jobs in one process; None where it failed, or where one would not fit in the memory that is free."""
    free = os.sysconf('SC_AVPHYS_PAGES') * os.sysconf('SC_PAGE_SIZE')
    # MMDetection took 24 bytes a query and pixel at 512 and at 1024 px.
    able = [job for job in jobs if job[0] != 'stock' or 25 * QUERIES * job[2] ** 2 <= free]
    command = [sys.executable, __file__, '--measure', what, *(f'{arm}:{kind}:{side}' for arm, kind, side in able)]
    settings = MEASURES[what] | dict(OMP_NUM_THREADS='1')
    done = subprocess.run(command, env={**os.environ, **settings}, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    found = json.loads(done.stdout.splitlines()[-1]) if done.returncode == 0 else [None] * len(able)
    return [dict(zip(able, found, strict=True)).get(job) for job in jobs]


def measure(what: str, arm: str, kind: str, side: str) -> float:
    """Seconds or memory of one job, in this process."""
    once = forward(arm, int(side)) if kind == 'network' else postprocess(arm, kind, int(side))
    return cpu_seconds(once) if what == 'cpu_s' else megabytes(once)


def cpu_seconds(once: Callable[[], object]) -> float:
    """Median of three, after one that is not counted."""
    seconds = []
    for _ in range(4):
        began = time.process_time()
        once()
        seconds.append(time.process_time() - began)
    return round(statistics.median(seconds[1:]), 5)


def megabytes(once: Callable[[], object]) -> float:
    """How far the second of two runs raises the memory of this process."""
    once()
    os.write(os.open('/proc/self/clear_refs', os.O_WRONLY), b'5')  # forgets the peak
    before = status_mb('VmRSS')
    once()
    return round(status_mb('VmHWM') - before, 1)


def status_mb(name: str) -> float:
    """A figure of this process from Linux."""
    return int(re.search(rf'{name}:\s+(\d+)', Path('/proc/self/status').read_text())[1]) / 1024


def postprocess(arm: str, kind: str, side: int) -> Callable[[], object]:
    """From the logits of one image to its instances."""
    import torch
    import torch.nn.functional as F
    from mmdet.models import MaskFormerFusionHead
    from mmdet.structures import DetDataSample
    from mmdet.structures.mask import encode_mask_results
    from mmengine.config import ConfigDict

    from fallen_trees.heads.fusion_head import BlockwiseFusionHead

    cfg = dict(panoptic_on=False, instance_on=True, max_per_image=QUERIES, score_thr=0.01 if arm == 'filtered' else 0)
    head = (MaskFormerFusionHead if arm == 'stock' else BlockwiseFusionHead)(1, 0, test_cfg=ConfigDict(cfg))
    masks, size = logits(kind, side // STRIDE)[None], (side, side)
    classes = torch.stack([torch.tensor([2.0, -6.0]).repeat(QUERIES // 2), torch.zeros(QUERIES)], 1)[None]
    samples = [DetDataSample(metainfo=dict.fromkeys(('batch_input_shape', 'img_shape', 'ori_shape'), size))]

    @torch.no_grad()
    def once() -> list[dict]:
        # MMDetection enlarges in its Mask2FormerHead; CocoMetric encodes what comes as tensors.
        enlarged = F.interpolate(masks, size, mode='bilinear', align_corners=False) if arm == 'stock' else masks
        found = head.predict(classes, enlarged, samples, rescale=True)[0]['ins_results'].masks
        return encode_mask_results(found.numpy()) if arm == 'stock' else found

    return once


def forward(name: str, side: int) -> Callable[[], object]:
    """From the pixels of one tile to its logits, by a model of `configs/_base_/models` with one class."""
    import torch
    from mmdet.registry import MODELS as REGISTRY
    from mmdet.structures import DetDataSample
    from mmengine.config import Config
    from mmengine.registry import init_default_scope

    import fallen_trees  # noqa: F401  registers what the model is built of

    init_default_scope('mmdet')
    cfg = Config.fromfile(MODELS / f'{name}.py').model
    cfg.backbone.init_cfg, cfg.test_cfg.max_per_image = None, QUERIES
    cfg.panoptic_fusion_head.num_things_classes = 1
    cfg.panoptic_head.update(num_queries=QUERIES, num_things_classes=1)
    cfg.panoptic_head.loss_cls.class_weight = [1.0, 0.1]
    torch.manual_seed(0)
    model, image = REGISTRY.build(cfg).eval(), torch.randn(1, 3, side, side)
    sample = DetDataSample(metainfo=dict.fromkeys(('batch_input_shape', 'img_shape', 'ori_shape'), (side, side)))
    return torch.no_grad()(lambda: model(image, [sample], mode='tensor'))


def logits(kind: str, side: int):
    """Mask logits (QUERIES, side, side), float32, the same each time."""
    import torch

    made = torch.Generator().manual_seed(0)
    if kind == 'noise':
        return torch.randn(QUERIES, side, side, generator=made)
    masks = torch.empty(QUERIES, side, side)
    y, x = torch.meshgrid(torch.arange(side), torch.arange(side), indexing='ij')
    for mask, (x0, y0, turn, length, width) in zip(masks, torch.rand(QUERIES, 5, generator=made), strict=True):
        along = (x - x0 * side) * (turn * 3.14).cos() + (y - y0 * side) * (turn * 3.14).sin()
        across = (y - y0 * side) * (turn * 3.14).cos() - (x - x0 * side) * (turn * 3.14).sin()
        outside = torch.maximum(along.abs() / (side * (0.05 + 0.2 * length) / 2), across.abs() / (0.8 + 2 * width))
        mask[:] = 4 - 4 * outside.clamp(max=3)
    return masks


if __name__ == '__main__':
    main()
