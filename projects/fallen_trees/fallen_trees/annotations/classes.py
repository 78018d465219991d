"""Which classes a COCO file holds, and whether a config and all its files mean the same ones.

MMDetection drops annotations of a misspelt class without a word, and numbers the classes by their order in the *file*,
not in the config. Both end at AP 0; both are errors here.
"""

import difflib
import json
from pathlib import Path

from fallen_trees.annotations.map_sets import annotations_of
from fallen_trees.errors import ConfigError

UNWRITTEN = '.window'  # end of file_name where `data_prep tile --pixels none` wrote no file


def read_coco(ann_file: Path) -> dict:
    """Read a COCO file.

    Returns:
        The parsed file, with the lists `images`, `annotations` (of panoptic files: segments) and `categories`.

    Raises:
        ConfigError: If the file is missing, is no JSON, or lacks one of the three lists.
    """
    try:
        coco = json.loads(ann_file.read_text(encoding='utf-8'))
    except FileNotFoundError:
        raise ConfigError(
            f'{ann_file} does not exist. Make it with `python -m data_prep tile SCENES --out DIR`, '
            'or name the folder that holds it: --cfg-options data_root=DIR'
        ) from None
    except (ValueError, RecursionError) as error:
        raise ConfigError(f'{ann_file} is not readable as JSON ({error}).') from None
    for key in ('images', 'annotations', 'categories'):
        if not isinstance(coco, dict) or not isinstance(coco.get(key), list):
            raise ConfigError(f"{ann_file} is no COCO instance file: it has no list '{key}'.")
    return coco | dict(annotations=annotations_of(coco))


def without_twin_root(coco: dict) -> list[dict]:
    """List the categories of a COCO file without an unused category 0 that has the name of another one.

    Roboflow's root is called like the project, and a project is often called like its one class.
    """
    categories = coco['categories']
    used = any(annotation.get('category_id') == 0 for annotation in coco.get('annotations', ()))
    others = {category.get('name') for category in categories if category.get('id') != 0}
    return [c for c in categories if used or c.get('id') != 0 or c.get('name') not in others]


def classes_in(coco: dict, ann_file: Path) -> tuple[tuple[str, ...], list[str]]:
    """Name the classes of a COCO file in its own order.

    Returns:
        The names, and lines that say what was passed over: an unused root category 0, as Roboflow writes it.

    Raises:
        ConfigError: If there is no category or two share a name.
    """
    used = {annotation.get('category_id') for annotation in coco['annotations']}
    names, notes = [], []
    for category in coco['categories']:
        if category['id'] == 0 and 0 not in used and len(coco['categories']) > 1:
            notes.append(f"{ann_file}: the root category 0 ('{category['name']}') has no annotation and is left out.")
            continue
        if category['id'] == 0:
            notes.append(f"{ann_file}: category id 0 ('{category['name']}') has annotations; it becomes label 0.")
        names.append(category['name'])
    if not names:
        raise ConfigError(f'{ann_file} has no category.')
    if len(set(names)) != len(names):
        raise ConfigError(f'{ann_file}: two categories share a name among {names}; give each its own.')
    return tuple(names), notes


def require_classes(classes: tuple[str, ...], coco: dict, ann_file: Path, whose: str = '') -> None:
    """Hold the classes of a run against one of its files.

    Args:
        classes: Of the run.
        coco: Content of the file.
        ann_file: The file.
        whose: Begins the message: what does not fit the file.

    Raises:
        ConfigError: If a class is no category of the file, the file orders them differently, or has no image.
    """
    names = [category['name'] for category in without_twin_root(coco)]
    for name in classes:
        if name not in names:
            near = difflib.get_close_matches(name, names, n=1)
            hint = f"is '{near[0]}' meant?" if near else f'it has {names}.'
            raise ConfigError(f"{whose}the class '{name}' is no category of {ann_file}; {hint}")
    in_file_order = tuple(name for name in names if name in classes)
    if in_file_order != tuple(classes):
        raise ConfigError(
            f'{ann_file} orders the classes {in_file_order}, this run {tuple(classes)}; MMDetection numbers them '
            'by the order in the file, so all files and the config must agree.'
        )
    if not coco['images']:
        raise ConfigError(f'{ann_file} lists no image, so nothing can be learnt or measured on it.')


def require_instances(classes: tuple[str, ...], coco: dict, ann_file: Path) -> None:
    """Make sure there is something to learn from.

    Raises:
        ConfigError: If no annotation belongs to one of the classes.
    """
    ids = {category['id'] for category in coco['categories'] if category['name'] in classes}
    if not any(annotation.get('category_id') in ids for annotation in coco['annotations']):
        raise ConfigError(f'{ann_file} has no annotation of {list(classes)}: a run on it would learn to see nothing.')


def require_images(coco: dict, image_dir: Path, ann_file: Path) -> None:
    """Make sure that every listed image is there before hours are spent on the others.

    Raises:
        ConfigError: If one is missing; names the first.
    """
    missing = [image['file_name'] for image in coco['images'] if not (image_dir / image['file_name']).is_file()]
    if missing:
        hint = ''
        if missing[0].endswith(UNWRITTEN):
            hint = ' (a window of a scene, which has no file: begin the pipelines with LoadImageFromScene)'
        raise ConfigError(
            f'{len(missing)} of {len(coco["images"])} images of {ann_file} are not in {image_dir}: {missing[0]}{hint}'
        )
