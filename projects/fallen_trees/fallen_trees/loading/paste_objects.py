"""Objects of other tiles pasted onto a tile, without one that is there being deleted by it."""

import random
from collections.abc import Sequence

import cv2
import numpy as np
from mmcv.transforms import BaseTransform
from mmdet.registry import TRANSFORMS
from mmdet.structures.mask import BitmapMasks
from numpy.typing import NDArray

from fallen_trees.errors import ConfigError
from fallen_trees.loading.donor_objects import Cutout, DonorTiles, Edges, cut_out, moved_about
from fallen_trees.loading.outline_masks import OutlineMasks


@TRANSFORMS.register_module()
class PasteObjects(BaseTransform):
    """Copy-paste: lay objects of another tile over this one, scaled, mirrored and turned by quarters.

    MMDetection's CopyPaste pastes everything where it was and drops what it covers. A thin trunk is easily covered.
    Here each object finds a place where no other, pasted ones included, loses more than a set share of its pixels in
    all; one that finds none is left out. The soft edge lies outside the object's mask and counts as covering.

    An object that touches the edge of its tile is a part. Parts are not taken, or, with `parts`, laid against the same
    edge of this tile, turned with them, as any tile shows them. Where tiles are smaller than objects are long, as the
    demo's, nothing but parts is there.

    Its place is right behind the loading steps, which tiles to take from go through too: everything behind it then sees
    one image. It works on samples of any data set, and all its random numbers follow from the seed of the sample.

    Required and modified keys: `img`, `gt_bboxes`, `gt_bboxes_labels`, `gt_masks` (BitmapMasks or OutlineMasks), and
    where present `gt_ignore_flags`. Without an object pasted a sample stays as it is.

    Args:
        donors: Config of the data set to take from; None becomes the one whose pipeline this is
            (`fallen_trees.derive`), with the steps before this one.
        prob: Share of samples that are given any.
        parts: Whether parts are taken too.
        max_objects: Pasted on one sample; the number is drawn from 1 on.
        max_hidden: Largest share of an object's pixels, rim included, that may be covered in all.
        scale_range: Of the random enlargement of each object.
        feather: Width of the soft edge in px.
        tries: Places looked at for each object.
    """

    def __init__(
        self,
        donors: dict | None = None,
        prob: float = 0.5,
        parts: bool = False,
        max_objects: int = 4,
        max_hidden: float = 0.1,
        scale_range: tuple[float, float] = (0.8, 1.25),
        feather: int = 2,
        tries: int = 20,
    ) -> None:
        if not 0 <= max_hidden < 1:
            raise ConfigError(f'PasteObjects: max_hidden must be a share from 0 to below 1; got {max_hidden}.')
        self.prob, self.max_objects, self.max_hidden = prob, max_objects, max_hidden
        self.scale_range, self.feather, self.tries = scale_range, feather, tries
        self.donors = None if donors is None else DonorTiles(donors, parts)

    def transform(self, results: dict) -> dict:
        """Paste onto one sample."""
        if random.random() >= self.prob:
            return results
        if self.donors is None:
            raise ConfigError('PasteObjects: donors is None and nothing filled it in; name a data set to take from.')
        found = self.donors.draw(results.get('img_id'))
        if found is None:
            return results
        donor, objects = found
        number = min(random.randint(1, self.max_objects), len(objects))
        return self.paste(results, [self._cutout(donor, n) for n in random.sample(objects, number)])

    def _cutout(self, donor: dict, number: int) -> Cutout:
        mirrored, quarters = random.random() < 0.5, random.randrange(4)
        return moved_about(
            cut_out(donor, number, self.feather + 1), random.uniform(*self.scale_range), mirrored, quarters
        )

    def paste(self, results: dict, cutouts: Sequence[Cutout]) -> dict:
        """Paste objects onto a sample, the later ones on top, each where it fits or not at all."""
        masks = results['gt_masks'].settled() if isinstance(results['gt_masks'], OutlineMasks) else results['gt_masks']
        image = results['img'].copy()
        crops = [Seen(x, y, crop > 0) for x, y, crop in _crops(masks)]
        parts, labels, covers = [masks], [], {}
        for cutout in cutouts:
            mask = cutout.masks.masks[0] > 0
            alpha = soft_edge(mask, self.feather)
            place = self._find_place(crops, alpha > 0, cutout.edges, image.shape)
            if place is None or not mask.any():
                continue
            for n, seen in enumerate(crops):
                if seen.under(*place, mask) is not None and seen.under(*place, mask).any():
                    covers.setdefault(n, []).append(len(crops))
                seen.hide(*place, alpha > 0)
            blend(image, cutout.image, alpha, place)
            crops.append(Seen(*place, mask))
            parts.append(_placed(cutout.masks, place, image.shape))
            labels.append(cutout.label)
        return _joined(results, image, parts, labels, covers) if labels else results

    def _find_place(
        self, crops: 'list[Seen]', region: NDArray[np.bool_], edges: Edges, shape: tuple[int, ...]
    ) -> tuple[int, int] | None:
        """x, y for a region (h, w) that hides nothing too much; None if there is none or it is larger than the tile."""
        rest_y, rest_x = (tile - side for tile, side in zip(shape[:2], region.shape, strict=True))
        left, top, right, bottom = edges
        for _ in range(self.tries if min(rest_x, rest_y) >= 0 else 0):
            x, y = random.randint(0, rest_x), random.randint(0, rest_y)
            place = (0 if left else rest_x if right else x), (0 if top else rest_y if bottom else y)
            if all(seen.hidden_share(*place, region) <= self.max_hidden for seen in crops):
                return place
        return None

    def __repr__(self) -> str:
        """Show how the transform was set."""
        return f'{type(self).__name__}(prob={self.prob}, max_objects={self.max_objects}, max_hidden={self.max_hidden})'


class Seen:
    """What is still seen of an object: its pixels in a box of the tile."""

    def __init__(self, x: int, y: int, mask: NDArray[np.bool_]) -> None:
        self.x, self.y, self.left, self.area = x, y, mask.copy(), int(mask.sum())

    def under(self, x: int, y: int, region: NDArray[np.bool_]) -> NDArray[np.bool_] | None:
        """Its pixels under a region (h, w) at x, y, as an array of the common box; None if there is none."""
        inside = self._common(x, y, region)
        return None if inside is None else self.left[inside[0]] & region[inside[1]]

    def hidden_share(self, x: int, y: int, region: NDArray[np.bool_]) -> float:
        """Share of its first pixels that would be hidden, those hidden before included."""
        under = self.under(x, y, region)
        if under is None or not self.area or not under.any():
            return 0.0
        return (self.area - int(self.left.sum()) + int(under.sum())) / self.area

    def hide(self, x: int, y: int, region: NDArray[np.bool_]) -> None:
        """Count what is under a region as hidden."""
        inside = self._common(x, y, region)
        if inside is not None:
            self.left[inside[0]] &= ~region[inside[1]]

    def _common(self, x: int, y: int, region: NDArray[np.bool_]) -> tuple | None:
        """Slices of the common box in its own pixels and in the region's."""
        x0, y0 = max(self.x, x), max(self.y, y)
        x1, y1 = (
            min(self.x + self.left.shape[1], x + region.shape[1]),
            min(self.y + self.left.shape[0], y + region.shape[0]),
        )
        if x0 >= x1 or y0 >= y1:
            return None
        return tuple(np.s_[y0 - top : y1 - top, x0 - left : x1 - left] for left, top in ((self.x, self.y), (x, y)))


def soft_edge(mask: NDArray[np.bool_], feather: int) -> NDArray[np.float32]:
    """Opacity (h, w): 1 on the object, falling to 0 within so many px outside; thin objects stay solid."""
    distance = cv2.distanceTransform((~mask).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    return np.clip(1 - distance / (feather + 1), 0, 1)


def blend(image: NDArray, patch: NDArray, alpha: NDArray[np.float32], place: tuple[int, int]) -> None:
    """Lay a patch (h, w, bands) over an image at x, y, in place; integers are rounded."""
    x, y = place
    part = image[y : y + alpha.shape[0], x : x + alpha.shape[1]]
    mixed = part + alpha[..., None] * (patch.astype(np.float32) - part)
    part[:] = np.rint(mixed) if np.issubdtype(image.dtype, np.integer) else mixed


def _crops(masks: BitmapMasks) -> list[tuple[int, int, NDArray]]:
    return masks.crops() if isinstance(masks, OutlineMasks) else [(0, 0, mask) for mask in masks.masks]


def _placed(masks: BitmapMasks, place: tuple[int, int], shape: tuple[int, ...]) -> BitmapMasks:
    """Masks of a patch as masks of the tile."""
    placed = masks.expand(*shape[:2], place[1], place[0])
    return placed.settled() if isinstance(placed, OutlineMasks) else placed


def _joined(results: dict, image: NDArray, parts: list, labels: list[int], covers: dict[int, list[int]]) -> dict:
    """The sample with what was pasted; boxes of covered objects shrink to what is left of them."""
    kind, masks = type(parts[0]), parts[0].cat(parts)
    if isinstance(masks, OutlineMasks):
        masks = masks.covered(covers)
    else:
        pixels = masks.masks
        for n, tops in covers.items():
            pixels[n][pixels[tops].any(axis=0)] = 0
        masks = kind(pixels, *pixels.shape[1:])
    boxes = results['gt_bboxes']
    changed = [*covers, *range(len(parts[0]), len(masks))]
    tensor = boxes.tensor.new_zeros(len(masks), 4)
    tensor[: len(boxes)] = boxes.tensor
    tensor[changed] = masks[changed].get_bboxes(type(boxes)).tensor.to(tensor)
    results.update(img=image, gt_masks=masks, gt_bboxes=type(boxes)(tensor))
    for key, new in (('gt_bboxes_labels', labels), ('gt_ignore_flags', [False] * len(labels))):
        if key in results:
            results[key] = np.concatenate([results[key], np.array(new, results[key].dtype)])
    return results
