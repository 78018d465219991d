"""What does it cost to make instances of mask logits? MMDetection's fusion head beside ours, RLE for COCO included.

    python tools/benchmark/fusion.py            # tiles of 512 and 1024 px, and an image of 4096 px
    python tools/benchmark/fusion.py --quick    # one tile of each kind, about a minute

100 queries, logits at a quarter of the image; `logs`: a trunk each, 5-25 % of the image long, `noise`: half of all
pixels positive, the worst there can be. Ours also with half of the class scores below its threshold (`filtered`).
Each arm is a process of its own with one thread and the same allocator settings, and is run once before it is timed.
Seconds of CPU; MB by which memory grows over the logits. An arm that does not fit in memory is null.

The last line is one line of JSON with the ratios of MMDetection's seconds and memory to ours.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

QUERIES, STRIDE = 100, 4
ARMS = ('stock', 'ours', 'filtered')


def main() -> None:
    """Measure all arms and print a table, then one line of JSON; with --arm be one of them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--quick', action='store_true', help='one tile of each kind')
    parser.add_argument('--arm', nargs=3, metavar=('ARM', 'KIND', 'SIDE'), help='measure this one only')
    args = parser.parse_args()
    if args.arm:
        print(json.dumps(measure(args.arm[0], args.arm[1], int(args.arm[2]))))
        return
    rows = {}
    quick, longer = [('logs', 1024), ('noise', 512)], [('logs', 512), ('noise', 1024), ('logs', 4096)]
    for kind, side in quick if args.quick else quick + longer:
        row = {arm: in_process(arm, kind, side) for arm in ARMS}
        cells = [f'{arm} {row[arm]["cpu_s"]:8.3f} s {row[arm]["mb"]:8.0f} MB' if row[arm] else arm for arm in ARMS]
        print(f'{kind:6} {side:5} px   ' + '   '.join(cells), flush=True)
        rows[f'{kind}_{side}'] = row | ratios(row)
    print(json.dumps(rows))


def ratios(row: dict[str, dict | None]) -> dict[str, float | None]:
    """What MMDetection's head takes by what ours takes."""
    stock = row['stock']
    return {
        f'{measure}_stock_by_{arm}': stock and row[arm] and round(stock[measure] / max(row[arm][measure], 1e-3), 2)
        for arm in ARMS[1:]
        for measure in ('cpu_s', 'mb')
    }


def in_process(*arm: object) -> dict | None:
    """Measure an arm in a process of its own; None if it failed, or would not fit in the memory that is free."""
    if arm[0] == 'stock' and 25 * QUERIES * arm[2] ** 2 > os.sysconf('SC_AVPHYS_PAGES') * os.sysconf('SC_PAGE_SIZE'):
        return None  # it took 24 bytes a query and pixel at 512 and at 1024 px
    settings = dict(OMP_NUM_THREADS='1', MALLOC_MMAP_THRESHOLD_='65536', MALLOC_TRIM_THRESHOLD_='65536')
    command = [sys.executable, __file__, '--arm', *map(str, arm)]
    done = subprocess.run(command, env={**os.environ, **settings}, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    return json.loads(done.stdout.splitlines()[-1]) if done.returncode == 0 else None


def measure(arm: str, kind: str, side: int) -> dict:
    """Seconds and memory of one image."""
    import torch
    import torch.nn.functional as F
    from mmdet.models import MaskFormerFusionHead
    from mmdet.structures import DetDataSample
    from mmdet.structures.mask import encode_mask_results
    from mmengine.config import ConfigDict

    from fallen_trees.fusion_head import BlockwiseFusionHead

    cfg = dict(panoptic_on=False, instance_on=True, max_per_image=QUERIES, score_thr=0.01 if arm == 'filtered' else 0)
    head = (MaskFormerFusionHead if arm == 'stock' else BlockwiseFusionHead)(1, 0, test_cfg=ConfigDict(cfg))
    masks, size = logits(kind, side // STRIDE)[None], (side, side)
    classes = torch.stack([torch.tensor([2.0, -6.0]).repeat(QUERIES // 2), torch.zeros(QUERIES)], 1)[None]
    samples = [DetDataSample(metainfo=dict.fromkeys(('batch_input_shape', 'img_shape', 'ori_shape'), size))]

    def once() -> None:
        # MMDetection enlarges in its Mask2FormerHead; CocoMetric encodes what comes as tensors.
        enlarged = F.interpolate(masks, size, mode='bilinear', align_corners=False) if arm == 'stock' else masks
        found = head.predict(classes, enlarged, samples, rescale=True)[0]['ins_results'].masks
        encode_mask_results(found.numpy()) if arm == 'stock' else found

    with torch.no_grad():
        once()
        os.write(os.open('/proc/self/clear_refs', os.O_WRONLY), b'5')  # forgets the peak
        before, began = status_mb('VmRSS'), time.process_time()
        once()
        return dict(cpu_s=round(time.process_time() - began, 4), mb=round(status_mb('VmHWM') - before, 1))


def status_mb(name: str) -> float:
    """A figure of this process from Linux."""
    return int(re.search(rf'{name}:\s+(\d+)', Path('/proc/self/status').read_text())[1]) / 1024


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
