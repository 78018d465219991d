"""Label files of one format to another: read, place, write."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from data_prep.convert.document import Document, Lost, Place, objects
from data_prep.convert.placing import check_size, find_image, read_place, recorded_place, to_map, to_pixels
from data_prep.convert.reading import find_files, read_documents
from data_prep.convert.splitting import split_documents
from data_prep.convert.writing import SUFFIXES, plan_files, write_files
from data_prep.errors import DataError
from data_prep.labels.strict_json import uncollected
from data_prep.tile.splits import Ratios

FORMATS = tuple(SUFFIXES)
ON_MAPS = ('geojson', 'gpkg')

Progress = Callable[[str, int], Callable[[], object]]


@dataclass
class Converted:
    """What was made."""

    files: list[Path]
    images: int
    objects: int
    lost: list[Lost] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


@uncollected()
def convert_labels(
    inputs: Sequence[Path],
    to: str,
    out: Path,
    *,
    raster: Path | None = None,
    images: Path | None = None,
    label_field: str = 'label',
    classes: Sequence[str] = (),
    clip: bool = True,
    split: Ratios | None = None,
    seed: int = 0,
    overwrite: bool = False,
    progress: Progress = lambda what, total: lambda: None,
) -> Converted:
    """Convert label files; polygons stay as they were drawn, crossing outlines too.

    Args:
        inputs: LabelMe, COCO, GeoJSON, GeoPackage or Shapefile files, folders of them, and folders laid out as
            Roboflow, Cityscapes or IDD do. Formats are told by content.
        to: labelme, coco, geojson, gpkg or roboflow.
        out: A file where its name ends as the format's files do, else a folder.
        raster: Image of the one input; None looks in ``images``, or beside the labels.
        images: Folder of the images.
        label_field: Field of vector files with the class, read or written.
        classes: To keep, in the order of their COCO ids; empty keeps all (of Cityscapes and IDD, what they evaluate).
        clip: Of Cityscapes and IDD: take later polygons out of earlier ones.
        split: Shares of train, val and test among the images, for inputs that are not split; None leaves them so.
        seed: Of the split.
        overwrite: Whether files that exist may be replaced.
        progress: Gets what is done and how many steps it has, returns what is called after each.

    Returns:
        Files written, counts, and what could not be carried over.

    Raises:
        DataError: If an input is wrong or an image is missing or of another size; nothing is written.
        MissingPackage: If GeoPackage or Shapefile is read without pyogrio.
        OSError: If writing fails; files that were new are gone again.
    """
    if to not in FORMATS:
        raise DataError(f'--to must be one of {", ".join(FORMATS)}; got {to}')
    files = find_files(inputs)
    on_file = progress('read', len(files))
    documents, ids = read_documents(files, label_field, clip=clip, classes=classes, on_file=on_file)
    if raster is not None and len(documents) != 1:
        raise DataError(f'--raster is the image of one input, and there are {len(documents)}; pass --images FOLDER')
    documents, lacking = split_documents(documents, split, seed) if split else (documents, [])
    placed = [_placed(document, to, raster, images) for document in documents]
    plan = plan_files(placed, to, out, label_field=label_field, classes=ids)
    write_files(plan, files, overwrite=overwrite, on_file=progress('write', len(plan.files)))
    return Converted(
        files=list(plan.files),
        images=len(documents),
        objects=objects(placed),
        lost=[lost for document in documents for lost in document.lost],
        notes=list(dict.fromkeys([*(note for document in documents for note in document.notes), *plan.notes])),
        warnings=list(dict.fromkeys([*plan.warnings, *lacking])),
    )


def _placed(document: Document, to: str, raster: Path | None, images: Path | None) -> Document:
    """The document in the coordinates of its target, with the image's name and size where the target takes them."""
    if to in ON_MAPS:
        return document if document.crs is not None else _on_map(document, raster, images)
    found = find_image(document, raster, images)
    if document.crs is not None:
        place = read_place(_needed(document, found, 'to place its map coordinates on pixels'))
        document = to_pixels(document, place)
    elif document.size_wh is None or raster is not None or images is not None:
        place = read_place(
            _needed(document, found, 'for width and height' if document.size_wh is None else 'to compare')
        )
    else:
        place = Place(document.size_wh, path=found)
    check_size(document, place)
    name = document.file_name or (found.name if found else f'{document.name}.tif')
    if to == 'roboflow':
        found = _needed(document, found, 'to copy it beside the labels')
    return replace(document, file_name=name, size_wh=place.size_wh, image=found)


def _on_map(document: Document, raster: Path | None, images: Path | None) -> Document:
    place = recorded_place(document) if raster is None and images is None else None
    if place is None:
        found = find_image(document, raster, images)
        place = read_place(_needed(document, found, 'for its place on the map'))
    check_size(document, place)
    return to_map(replace(document, size_wh=place.size_wh), place)


def _needed(document: Document, found: Path | None, why: str) -> Path:
    """The image that was found.

    Raises:
        DataError: If there is none.
    """
    if found is None:
        name = document.file_name or f'{document.name}.tif'
        raise DataError(f'{document.source}: the image {name} is needed {why} and was not found; pass --raster FILE or '
                        f'--images FOLDER')  # fmt: skip
    return found
