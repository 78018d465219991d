"""Label maps drawn from polygons, as IDD's own tool draws them: in their order, edges included, by Pillow."""

from __future__ import annotations

from pathlib import Path

from data_prep.atomic import atomic_path
from data_prep.convert.document import ring_problem
from data_prep.errors import DataError, MissingPackage
from data_prep.labels.strict_json import read_json
from data_prep.semantic.classes import VOID, drawn_id


def draw_map(polygons: Path, label_map: Path, size_wh: tuple[int, int]) -> set[str]:
    """Draw the level-3 ids of one image.

    Args:
        polygons: ``FRAME_gtFine_polygons.json``.
        label_map: PNG to write, of 8 bits.
        size_wh: Of the image, in px.

    Returns:
        Labels that IDD does not have; their polygons are drawn as void.

    Raises:
        DataError: If the file is not built as IDD builds it, or is for an image of another size.
        MissingPackage: If Pillow is not installed.
    """
    try:
        from PIL import Image, ImageDraw
    except ImportError:
        raise MissingPackage('drawing label maps needs Pillow: pip install pillow') from None
    content = read_json(polygons)
    objects = content.get('objects') if isinstance(content, dict) else None
    if not isinstance(objects, list) or not all(isinstance(item, dict) for item in objects):
        raise DataError(f"{polygons} must hold a list 'objects', as IDD's polygons do; copy the file again")
    declared = content.get('imgWidth'), content.get('imgHeight')
    if declared != size_wh:
        raise DataError(f'{polygons} is for an image of {declared[0]} x {declared[1]} px, its image has {size_wh[0]} x '
                        f'{size_wh[1]}; copy both again')  # fmt: skip
    picture, unknown = Image.new('L', size_wh, VOID), set()
    drawer = ImageDraw.Draw(picture)
    for number, item in enumerate(objects, 1):
        if item.get('deleted'):
            continue
        ring, problem = item.get('polygon'), ring_problem(item.get('polygon'))
        if not isinstance(item.get('label'), str) or (problem and not problem.startswith('fewer')):
            raise DataError(f'{polygons}, object {number}: must have a label and a polygon; copy the file again')
        value = drawn_id(item['label'])
        if value is None:
            unknown.add(item['label'])
        if not problem:
            drawer.polygon([tuple(point) for point in ring], fill=VOID if value is None else value)
    with atomic_path(label_map) as temporary:
        picture.save(temporary)
    return unknown
