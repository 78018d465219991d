"""One arm of the tiling benchmark that is not ours: python tiling_peers.py ARM SCENE_FOLDER OUT_FOLDER."""

from __future__ import annotations

import sys
from pathlib import Path

TILE, STRIDE, MIN_VISIBLE = 1024, 819, 0.1


def decode_only(scene: Path) -> None:
    """Read each pixel once, in windows of eight blocks a side."""
    import rasterio
    from rasterio.windows import Window

    with rasterio.Env(GDAL_CACHEMAX=16), rasterio.open(scene / 'scene.tif') as dataset:
        for y in range(0, dataset.height, 4096):
            for x in range(0, dataset.width, 4096):
                dataset.read(window=Window(x, y, min(4096, dataset.width - x), min(4096, dataset.height - y)))


def rasterio_png(scene: Path, out: Path) -> None:
    """What one writes by hand: a window after the other to PNG, with labels clipped by shapely."""
    import json

    import rasterio
    import shapely
    from rasterio.windows import Window

    shapes = json.loads((scene / 'scene.json').read_text())['shapes']
    polygons = [shapely.Polygon(shape['points']) for shape in shapes]
    tree, parts = shapely.STRtree(polygons), []
    with rasterio.open(scene / 'scene.tif') as dataset:
        last = dataset.width - TILE
        starts = [*range(0, last, STRIDE), last]
        for y in starts:
            for x in starts:
                profile = dict(driver='PNG', width=TILE, height=TILE, count=3, dtype='uint8', ZLEVEL=1)
                temporary = out / f'{x}_{y}.png'
                with rasterio.open(temporary, 'w', **profile) as tile:
                    tile.write(dataset.read(window=Window(x, y, TILE, TILE)))
                for n in tree.query(shapely.box(x, y, x + TILE, y + TILE)):
                    part = shapely.clip_by_rect(polygons[n], x, y, x + TILE, y + TILE)
                    if part.area >= MIN_VISIBLE * polygons[n].area:
                        parts.append(dict(tile=temporary.name, box=part.bounds, outline=shapely.to_geojson(part)))
    temporary = out / 'labels.json'
    with open(temporary, 'w') as file:
        json.dump(parts, file)


def sahi(scene: Path, out: Path, suffix: str) -> None:
    """SAHI's slicer of COCO data sets."""
    from sahi.slicing import slice_coco

    slice_coco(
        coco_annotation_file_path=str(scene / 'coco.json'), image_dir=str(scene), output_dir=str(out),
        output_coco_annotation_file_name='sliced', slice_height=TILE, slice_width=TILE,
        overlap_height_ratio=1 - STRIDE / TILE, overlap_width_ratio=1 - STRIDE / TILE, min_area_ratio=MIN_VISIBLE,
        out_ext=suffix,
    )  # fmt: skip


if __name__ == '__main__':
    arm, folder, target = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
    if arm == 'decode_only':
        decode_only(folder)
    elif arm == 'rasterio_png':
        rasterio_png(folder, target)
    else:
        sahi(folder, target, f'.{arm.removeprefix("sahi_")}')
