"""What annotation files of semantic and panoptic sets say beyond COCO's instance files, and whether maps are there.

    semantic (`data_prep semantic`)    images: seg_file; categories: map_ids, color
    panoptic (COCO)                    annotations: segments_info, a PNG for each image; categories: isthing, color

`derive` asks here; what it learns stands in the config that the run keeps.
"""

from collections.abc import Sequence
from pathlib import Path

from mmengine.config import ConfigDict

from fallen_trees.errors import ConfigError

KINDS = ('LabelMapDataset', 'PanopticDataset')


def annotations_of(coco: dict) -> list[dict]:
    """Annotations of a COCO file, segments of panoptic ones one by one, each with its `image_id`."""
    return [
        part
        for item in coco.get('annotations') or []
        for part in (
            [{**segment, 'image_id': item['image_id']} for segment in item['segments_info']]
            if 'segments_info' in item
            else [item]
        )
    ]


def colours_of(coco: dict, classes: Sequence[str]) -> list[tuple[int, ...]] | None:
    """Colours (RGB) of the classes by a file's categories; None where one has none."""
    known = {category['name']: category.get('color') for category in coco['categories']}
    colours = [known.get(name) for name in classes]
    return [tuple(colour) for colour in colours] if all(colours) else None


def things_of(coco: dict, classes: Sequence[str], ann_file: Path) -> tuple[str, ...]:
    """Classes whose objects are counted, in order; the others are stuff.

    Raises:
        ConfigError: If a category does not say what it is, or stuff comes before things, which MMDetection numbers
            first.
    """
    known = {category['name']: category.get('isthing') for category in coco['categories']}
    kinds = [known.get(name) for name in classes]
    if None in kinds:
        raise ConfigError(f"{ann_file}: every category of a panoptic set must have 'isthing'; "
                          f"'{classes[kinds.index(None)]}' has none.")  # fmt: skip
    things = tuple(name for name, kind in zip(classes, kinds, strict=True) if kind)
    if things != tuple(classes[: len(things)]):
        raise ConfigError(f'{ann_file} must list all things before stuff, as COCO does; sort its categories.')
    return things


def require_maps(coco: dict, dataset: ConfigDict, ann_file: Path) -> None:
    """Make sure that every image of a semantic or panoptic set has its map.

    Args:
        coco: Content of the file.
        dataset: Config of the data set, its `data_root` settled; other kinds of sets pass.
        ann_file: The file.

    Raises:
        ConfigError: If one is missing; names the first.
    """
    if dataset.get('type') not in KINDS:
        return
    names = [_map_of(image, dataset.type) for image in coco['images']]
    if None in names:
        image = coco['images'][names.index(None)]['file_name']
        raise ConfigError(f"{ann_file}: {image} has no 'seg_file', so it has no label map; list the set with "
                          '`python -m data_prep semantic FOLDER`.')  # fmt: skip
    folder = Path(dataset.data_root, (dataset.get('data_prefix') or {}).get('seg') or '')
    missing = [name for name in names if not (folder / name).is_file()]
    if missing:
        raise ConfigError(f'{len(missing)} of {len(names)} maps of {ann_file} are not in {folder}: {missing[0]}; bring '
                          'them there.')  # fmt: skip


def _map_of(image: dict, kind: str) -> str | None:
    return image.get('seg_file') if kind == 'LabelMapDataset' else str(Path(image['file_name']).with_suffix('.png'))
