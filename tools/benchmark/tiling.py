"""How fast are large rasters cut? Our tiler beside a plain rasterio loop and other tilers, on one drawn scene.

    python tools/benchmark/tiling.py                                        # 10,000 px a side; memory up to 40,000 px
    python tools/benchmark/tiling.py --quick                                # 3,000 px, under a minute
    python tools/benchmark/tiling.py --peers-python /tmp/peers/bin/python   # that has requirements/benchmark.txt

Scene: RGB uint8 at 5 cm, noise grids of four sizes and 5 trunks a megapixel, deflate in blocks of 512 px, repeated
above 10,000 px. Tiles of 1024 px at a stride of 819 px; labels kept from 10 % of their area on. Each arm is a process
of its own with a warm page cache and one thread. A pixel counts once, however many tiles show it. An arm that is not
installed is null. Our arms also hash the source, test each pixel for data and sync their files; the others do not.
`decode_only` reads each pixel once and does nothing else: no tiler that looks at the pixels can be faster. A second
table adds the first epoch of training: each tile that an arm wrote is loaded once by MMDetection's loader or ours.

The last line is one line of JSON. Trust CPU seconds, and their ratios more: they vary with what else the machine does.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TILE, STRIDE, MIN_VISIBLE = 1024, 819, 0.1
OURS = ('none', 'jpeg', 'zstd', 'png')
PEERS = ('sahi_png', 'sahi_jpg', 'sahi_tif')
ABSENT = ('geodataset', 'detectree2')  # no package of the first, none of the detectron2 that the second imports


def main() -> None:
    """Measure all arms and print a table, then one line of JSON."""
    args = _arguments()
    folder = Path(tempfile.mkdtemp(prefix='tiling-', dir=args.folder))
    try:
        print(json.dumps(measure(args, folder)))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--quick', action='store_true', help='3,000 px a side, memory up to 6,000 px')
    parser.add_argument('--peers-python', type=Path, help='interpreter of an environment with the other tilers')
    parser.add_argument('--folder', type=Path, help='where scenes and tiles are written meanwhile')
    return parser.parse_args()


def measure(args: argparse.Namespace, folder: Path) -> dict:
    """Run all arms; returns the ratios by name."""
    side = 3000 if args.quick else 10_000
    sides = (3000, 6000) if args.quick else (10_000, 20_000, 40_000)
    scene = draw(folder / f'scene{side}', side)
    arms = {f'ours_{kind}': run_ours(scene, kind, side) for kind in OURS}
    for name in ('decode_only', 'rasterio_png'):
        arms[name] = run_arm(sys.executable, name, scene, side)
    for name in PEERS:
        arms[name] = run_arm(args.peers_python, name, scene, side) if args.peers_python else None
    arms |= dict.fromkeys(ABSENT)
    print_table('cut', arms, ('mpix_per_cpu_s', 'cpu_s', 'wall_s', 'peak_rss_mb'))
    print_table('cut and load once', arms, ('tiles', 'cpu_s', 'epoch_cpu_s', 'total_cpu_s'))
    memory = {}
    for larger in sides:
        memory[larger] = run_ours(draw(folder / f'scene{larger}', larger), 'none', larger)['peak_rss_mb']
        print(f'{larger} px a side: peak RSS {memory[larger]:.0f} MB')
    slope = {'rss_mb_by_side': memory, 'rss_ratio': memory[sides[-1]] / memory[sides[0]]}
    return {'side_px': side, **ratios(arms), **slope, 'arms': arms}


def print_table(title: str, arms: dict[str, dict | None], columns: tuple[str, ...]) -> None:
    """A row for each arm; a dash for what an arm has not."""
    print(f'{title:18}' + ''.join(f'{column:>16}' for column in columns))
    for name, arm in arms.items():
        cells = [f'{arm[column]:16.2f}' if arm and column in arm else f'{"-":>16}' for column in columns]
        print(f'{name:18}' + ''.join(cells))
    print()


def ratios(arms: dict[str, dict | None]) -> dict:
    """Our rates by those of the best peer: without images against any, and PNG against PNG."""
    rate = {name: arm['mpix_per_cpu_s'] for name, arm in arms.items() if arm}
    others = {name: value for name, value in rate.items() if name in PEERS}
    totals = {name: arm['total_cpu_s'] for name, arm in arms.items() if arm and 'total_cpu_s' in arm}
    peers = [value for name, value in totals.items() if name in PEERS]
    return {
        'index_only_mpix_per_cpu_s': rate['ours_none'],
        'index_only_vs_best_peer': rate['ours_none'] / max(others.values()) if others else None,
        'index_only_vs_decode_only': rate['ours_none'] / rate['decode_only'],
        'index_only_vs_rasterio_png': rate['ours_none'] / rate['rasterio_png'],
        'png_vs_best_png_peer': rate['ours_png'] / rate['sahi_png'] if 'sahi_png' in rate else None,
        'png_vs_rasterio_png': rate['ours_png'] / rate['rasterio_png'],
        'index_only_with_epoch_vs_best_peer': min(peers) / totals['ours_none'] if peers else None,
    }


def draw(folder: Path, side: int) -> Path:
    """Write ``scene.tif`` with its labels as LabelMe and COCO; a scene that is there is taken."""
    if not (folder / 'scene.tif').exists():
        subprocess.run([sys.executable, Path(__file__).with_name('tiling_scene.py'), folder, str(side)], check=True)
    return folder


def run_ours(scene: Path, kind: str, side: int) -> dict:
    """Our command, all train tiles."""
    out = scene.parent / 'out'
    command = [sys.executable, '-m', 'data_prep', 'tile', scene / 'scene.tif', '--out', out, '--pixels', kind,
               '--tile-size', TILE, '--overlap', 1 - STRIDE / TILE, '--min-visible', MIN_VISIBLE,
               '--split', '1,0,0', '--empty-share', 1]  # fmt: skip
    try:
        return with_epoch(timed(command, scene, side), kind, out)
    finally:
        shutil.rmtree(out, ignore_errors=True)


def run_arm(python: Path | str, name: str, scene: Path, side: int) -> dict | None:
    """Another tiler, in an interpreter that has it."""
    out = scene.parent / 'out'
    out.mkdir()
    try:
        arm = timed([python, Path(__file__).with_name('tiling_peers.py'), name, scene, out], scene, side)
        return arm if name == 'decode_only' else with_epoch(arm, name, out)
    except subprocess.CalledProcessError as error:
        print(f'{name} failed: {error.stderr.decode(errors="replace").strip().splitlines()[-1:]}', file=sys.stderr)
        return None
    finally:
        shutil.rmtree(out, ignore_errors=True)


def with_epoch(arm: dict, kind: str, out: Path) -> dict:
    """Add what loading each tile once costs."""
    report = out / 'epoch.json'
    command = [sys.executable, Path(__file__).with_name('tiling_epoch.py'), kind, out, report]
    subprocess.run(list(map(str, command)), cwd=ROOT, env=one_thread(), check=True, capture_output=True)
    epoch = json.loads(report.read_text())
    return {**arm, **epoch, 'total_cpu_s': arm['cpu_s'] + epoch['epoch_cpu_s']}


def one_thread() -> dict[str, str]:
    """This environment, with one thread for each library."""
    return {**os.environ, **dict.fromkeys(('OMP_NUM_THREADS', 'OPENBLAS_NUM_THREADS', 'GDAL_NUM_THREADS'), '1')}


def timed(command: list, scene: Path, side: int) -> dict:
    """Run a process with the scene in the page cache; its imports count."""
    for path in scene.iterdir():
        with open(path, 'rb') as file:
            while file.read(1 << 24):
                pass
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    process = subprocess.Popen(
        list(map(str, command)),
        cwd=ROOT,
        env=one_thread(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    stderr = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    wall, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command, stderr=stderr)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    mpix = side * side / 1e6
    return {'mpix_per_cpu_s': mpix / cpu, 'cpu_s': cpu, 'wall_s': wall, 'peak_rss_mb': usage.ru_maxrss / 1024}


if __name__ == '__main__':
    main()
