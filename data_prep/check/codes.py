"""Everything that can be found: its code, how bad it is, and what to do about it."""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple


class Severity(IntEnum):
    """How bad a finding is; the worst decides the exit code."""

    INFO = 0  # worth knowing; does not count
    WARNING = 1  # usable, but probably not what was meant
    ERROR = 2  # a reader fails, or trains and scores on something wrong


class Code(NamedTuple):
    """One kind of finding."""

    severity: Severity
    advice: str


INFO, WARNING, ERROR = Severity

CODES = {
    # the file and its lists
    'json-unreadable': Code(ERROR, 'save it again as UTF-8 JSON'),
    'json-key-twice': Code(ERROR, 'keep one of the two: of equal keys of an object a reader takes the last'),
    'coco-incomplete': Code(ERROR, 'a COCO file is an object with the lists images, annotations and categories'),
    'entry-invalid': Code(ERROR, 'every entry is an object with its ids and names; remove it or export again'),
    'id-type': Code(WARNING, 'write ids as whole numbers: readers compare them exactly'),
    'image-id-duplicate': Code(ERROR, 'give every image its own id: of two equal ones a reader keeps the last'),
    'image-size-invalid': Code(ERROR, 'write width and height as whole pixels, at least 1'),
    'image-listed-twice': Code(ERROR, 'list each file once, with all its annotations'),
    'image-without-annotations': Code(INFO, 'nothing, where these images really show no object'),
    'annotation-id-duplicate': Code(ERROR, 'number the annotations anew: of two equal ids a reader keeps the last'),
    'annotation-id-zero': Code(WARNING, 'count from 1: pycocotools scores a match with annotation 0 as a miss'),
    'annotation-image-unknown': Code(ERROR, 'add the image or remove the annotation'),
    'annotation-category-unknown': Code(ERROR, 'add the category or remove the annotation'),
    'category-id-duplicate': Code(ERROR, 'give every category its own id'),
    'category-id-zero': Code(WARNING, 'count from 1: many readers take 0 for background'),
    'category-id-gaps': Code(WARNING, 'never use the ids as class numbers; renumber where a reader does'),
    'category-name-duplicate': Code(ERROR, 'merge the two categories, or rename one'),
    'category-name-blanks': Code(WARNING, 'remove the blanks: a config with the clean name finds no object'),
    'category-name-case': Code(WARNING, 'merge names that differ by case, or rename one'),
    'category-unused': Code(INFO, 'nothing, where the class is rare or lies in another split'),
    # numbers of an annotation
    'bbox-invalid': Code(ERROR, 'bbox is [x, y, width, height], four finite numbers, width and height above 0'),
    'bbox-xyxy': Code(ERROR, 'write [x, y, width, height]; this holds two corners'),
    'bbox-disagrees': Code(ERROR, 'compute bbox from the segmentation again'),
    'bbox-loose': Code(WARNING, 'compute bbox from the segmentation again'),
    'bbox-outside': Code(WARNING, 'clip the box to the image'),
    'area-invalid': Code(ERROR, 'area is a finite number above 0; compute it from the segmentation'),
    'area-disagrees': Code(WARNING, 'compute area from the segmentation: scores by object size use it'),
    'iscrowd-invalid': Code(ERROR, 'iscrowd is 0 or 1'),
    'iscrowd-polygon': Code(WARNING, 'write crowds as RLE, or set iscrowd to 0 where this is one object'),
    'segmentation-missing': Code(WARNING, 'only boxes can be trained; write outlines for masks'),
    'segmentation-invalid': Code(ERROR, 'segmentation is a list of rings or an RLE object with size and counts'),
    'polygon-short': Code(ERROR, 'a ring has at least 3 points, 6 numbers; remove it'),
    'polygon-odd': Code(ERROR, 'a ring is x0, y0, x1, y1, ...; one number is missing or too many'),
    'polygon-not-finite': Code(ERROR, 'replace NaN and infinite coordinates, or remove the object'),
    'polygon-ring-flat': Code(WARNING, 'remove rings that enclose nothing'),
    'polygon-outside': Code(WARNING, 'clip the outline to the image'),
    'object-outside': Code(ERROR, 'remove the object, or pair it with its own image'),
    'rle-size': Code(ERROR, 'size is [height, width] of the image'),
    'rle-counts': Code(ERROR, 'encode the mask again: readers fill the rest with bytes that are left in memory'),
    'mask-empty': Code(ERROR, 'remove the object: it has no pixel'),
    'object-duplicate': Code(WARNING, 'keep one of the two'),
    # image files
    'images-not-found': Code(WARNING, 'name the folder of the image files: --images FOLDER'),
    'file-name-unsafe': Code(ERROR, 'file_name is a path inside the image folder, with / between its parts'),
    'source-missing': Code(ERROR, 'copy the raster there: tiles without pixels of their own are read from it'),
    'file-missing': Code(ERROR, 'copy the file there or remove the entry'),
    'file-unreadable': Code(ERROR, 'copy the file again from its source'),
    'file-truncated': Code(ERROR, 'copy the file again from its source'),
    'file-format-unknown': Code(WARNING, 'convert to PNG, JPEG or TIFF: the size of others is not compared'),
    'file-size-disagrees': Code(ERROR, 'pair the annotations with the image they were drawn on'),
    'file-link-outside': Code(WARNING, 'a link leads out of the image folder; copy the file where the set is moved'),
    'file-unlisted': Code(INFO, 'list the image without annotations where it shows no object, or remove it'),
    # between splits
    'split-object': Code(ERROR, 'split again so that an object is in one split only'),
    'split-pixels': Code(ERROR, 'split again so that no pixel of a source is in two splits'),
    'split-file': Code(ERROR, 'remove the copy from one of the splits'),
    'split-categories': Code(ERROR, 'give all splits the same ids and names of categories'),
}
