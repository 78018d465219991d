"""Masks that stay outlines until their pixels are asked for: what MMDetection's transforms then move is a few numbers.

    polygons or RLE of the file -> flips, turns, resizes and crops change one frame -> RLE of each object's box

MMDetection's BitmapMasks holds all pixels of all objects from the start and resizes, flips, crops and sends them: 1 MB
for each object of a tile of 1024 px. Here pixels are drawn once, by pycocotools as everywhere in COCO, at the size they
are wanted in. A trunk 6 px wide that is shown at half its size is drawn 3 px wide, not thinned out by leaving pixels
out, which makes the masks of thin objects better too.

Objects are drawn in the orientation of their file and the pixels are then flipped and turned, so that at the file's own
scale every pixel is the one that BitmapMasks has, but for two details of pycocotools, which walks along an outline in
steps of a fifth of a pixel. Where a line runs exactly between two of them, the last bit of a double decides, and that
bit depends on how far the origin is: a pixel in about a thousand masks. And it rounds corners towards zero, which left
of and above the image is the other way; here all are rounded one way.
"""

from collections.abc import Mapping, Sequence

import mmcv
import numpy as np
import torch
from mmdet.structures.bbox import BaseBoxes, get_box_type
from mmdet.structures.mask import BitmapMasks
from numpy.typing import NDArray
from pycocotools import mask as pycoco
from torch import Tensor

from fallen_trees.loading.outline_drawing import Covered, Outline, Piece, draw
from fallen_trees.loading.pixel_frame import PixelFrame

ROUNDING = 1e-6  # px


class OutlineMasks(BitmapMasks):
    """Masks of N objects that behave as MMDetection's BitmapMasks, and are it wherever MMDetection asks for its type.

    Flips, quarter turns, resizes and windows (`flip`, `turn`, `rescale`, `resize`, `crop`, `pad`, `expand` and
    `translate`) give OutlineMasks again; all else (`rotate`, `shear`, `crop_and_resize`) gives BitmapMasks.
    `interpolation` has no meaning for an outline; an RLE is read at the pixel centres of the output.
    `masks` is a new array each time: to change pixels, assign to it.

    Args:
        masks: Outlines in px of the file; several rings of an object are united. Or pixels (N, height, width).
        height: Of the file's image, in px.
        width: Of the file's image, in px.

    Raises:
        ValueError: If an RLE is of another size than the image.
    """

    def __init__(self, masks: Sequence[Outline] | NDArray, height: int, width: int) -> None:
        size = int(height), int(width)
        self._frame = PixelFrame.of_file(size[::-1])
        if isinstance(masks, np.ndarray) or (len(masks) and isinstance(masks[0], np.ndarray)):
            masks = [pycoco.encode(np.asfortranarray(mask, np.uint8)) for mask in masks]
        for mask in masks:
            if isinstance(mask, dict) and tuple(mask['size']) != size:
                raise ValueError(f'an RLE must be as large as its image, {size[0]} x {size[1]} px (rows x columns); '
                                 f'got {mask["size"]}; cut or scale it with its image')  # fmt: skip
        self._outlines, self._pieces = list(masks), None

    @property
    def height(self) -> int:
        """Of the masks, in px."""
        return self._frame.size_wh[1]

    @property
    def width(self) -> int:
        """Of the masks, in px."""
        return self._frame.size_wh[0]

    @property
    def masks(self) -> NDArray[np.uint8]:
        """All pixels, (N, height, width) of 0 and 1."""
        return self.to_ndarray()

    @masks.setter
    def masks(self, pixels: NDArray) -> None:
        self.__init__(np.asarray(pixels), *pixels.shape[1:])

    def __len__(self) -> int:
        return len(self._outlines)

    def __iter__(self):
        return iter(self.to_ndarray())

    def __repr__(self) -> str:
        return f'{type(self).__name__}(num_masks={len(self)}, height={self.height}, width={self.width})'

    def __getitem__(self, index: object) -> 'OutlineMasks':
        """Choose masks by number, slice, list or array, as from an array."""
        chosen = np.arange(len(self))[index].reshape(-1)
        pieces = self._pieces and [self._pieces[n] for n in chosen]
        return self._changed(self._frame, [self._outlines[n] for n in chosen], pieces)

    def __getstate__(self) -> dict:
        """Draw before leaving for another process, so that the work is done here."""
        self._drawn()
        return self.__dict__

    def _changed(
        self, frame: PixelFrame, outlines: list[Outline] | None = None, pieces: list[Piece] | None = None
    ) -> 'OutlineMasks':
        other = object.__new__(type(self))
        other._frame, other._outlines, other._pieces = frame, self._outlines if outlines is None else outlines, pieces
        return other

    def _windowed(self, x: float, y: float, size_wh: tuple[int, int]) -> 'OutlineMasks':
        """Cut out a window; what is drawn already is kept where none of it is cut off, as by padding."""
        frame, pieces = self._frame.windowed(x, y, size_wh), None
        if self._pieces is not None and x == int(x) and y == int(y):
            before, after = self._frame.upright.seen_pixels, frame.upright.seen_pixels
            dx, dy, *far = (new - old for new, old in zip(after, before, strict=True))
            if far == [dx, dy]:
                pieces = [(px + dx, py + dy, rle) for px, py, rle in self._pieces]
        return self._changed(frame, pieces=pieces)

    def rescale(self, scale: float | tuple[int, int], interpolation: str = 'nearest') -> 'OutlineMasks':
        """Resize as large as `scale` (longer and shorter side, or a factor) allows at the same aspect."""
        return self._changed(self._frame.resized(mmcv.rescale_size((self.width, self.height), scale)))

    def resize(self, out_shape: tuple[int, int], interpolation: str = 'nearest') -> 'OutlineMasks':
        """Resize to (height, width)."""
        return self._changed(self._frame.resized(tuple(out_shape)[::-1]))

    def flip(self, flip_direction: str = 'horizontal') -> 'OutlineMasks':
        """Flip 'horizontal', 'vertical' or both ('diagonal')."""
        assert flip_direction in ('horizontal', 'vertical', 'diagonal')
        frame = self._frame.mirrored(flip_direction != 'vertical', flip_direction != 'horizontal')
        return self._changed(frame, pieces=self._pieces)

    def turn(self, quarters: int) -> 'OutlineMasks':
        """Turn counter-clockwise by `quarters` x 90 degrees, as `numpy.rot90` counts them."""
        frame = self._frame
        for _ in range(quarters % 4):
            frame = frame.transposed().mirrored(False, True)
        return self._changed(frame, pieces=self._pieces)

    def crop(self, bbox: NDArray) -> 'OutlineMasks':
        """Crop to x0, y0, x1, y1, cut to the image."""
        x0, x1 = (int(side) for side in np.clip(bbox[0::2], 0, self.width))
        y0, y1 = (int(side) for side in np.clip(bbox[1::2], 0, self.height))
        return self._windowed(x0, y0, (max(x1 - x0, 1), max(y1 - y0, 1)))

    def pad(self, out_shape: tuple[int, int], pad_val: int = 0) -> BitmapMasks:
        """Enlarge to (height, width) at the right and below."""
        if pad_val:
            return super().pad(out_shape, pad_val)
        return self.expand(*out_shape, 0, 0)

    def expand(self, expanded_h: int, expanded_w: int, top: int, left: int) -> 'OutlineMasks':
        """Place in an image of another size, of which (left, top) is the old origin."""
        return self._windowed(-left, -top, (int(expanded_w), int(expanded_h)))

    def translate(
        self,
        out_shape: tuple[int, int],
        offset: float | tuple[float, float],
        direction: str = 'horizontal',
        border_value: int = 0,
        interpolation: str = 'bilinear',
    ) -> BitmapMasks:
        """Move by `offset` px along one axis, or by two along both, in an image of (height, width)."""
        if border_value:
            return super().translate(out_shape, offset, direction, border_value, interpolation)
        dx, dy = {'horizontal': (offset, 0), 'vertical': (0, offset)}.get(direction) or np.broadcast_to(offset, 2)
        size_wh = tuple(out_shape)[::-1]
        return self._windowed(0, 0, size_wh)._windowed(-dx, -dy, size_wh)

    @property
    def areas(self) -> NDArray[np.int64]:
        """Pixels of each mask, (N,)."""
        return np.array(pycoco.area([rle for _, _, rle in self._drawn()]), np.int64)

    def get_bboxes(self, dst_type: str | type[BaseBoxes] = 'hbox') -> BaseBoxes:
        """Boxes around the pixels; zeros for a mask without any."""
        _, box_type = get_box_type(dst_type)
        return box_type(torch.from_numpy(self._boxes_xyxy()))

    def _boxes_xyxy(self) -> NDArray[np.float32]:
        if not len(self):
            return np.zeros((0, 4), np.float32)
        origins, rles = np.array([piece[:2] for piece in self._drawn()]), [rle for _, _, rle in self._drawn()]
        x, y, width, height = pycoco.toBbox(rles).T
        boxes = np.stack([x, y, x + width, y + height], axis=1) + np.tile(origins, 2)
        return np.where(self.areas[:, None] > 0, self._frame.turn_boxes(boxes), 0).astype(np.float32)

    def to_ndarray(self) -> NDArray[np.uint8]:
        """All pixels, (N, height, width) of 0 and 1."""
        dense = np.zeros((len(self), self.height, self.width), np.uint8)
        for mask, (x0, y0, crop) in zip(dense, self.crops(), strict=True):
            mask[y0 : y0 + crop.shape[0], x0 : x0 + crop.shape[1]] = crop
        return dense

    def crops(self) -> list[tuple[int, int, NDArray[np.uint8]]]:
        """Pixels of each mask in a box around it: x0, y0 and (h, w) of 0 and 1."""
        boxes = [(x, y, x + rle['size'][1], y + rle['size'][0]) for x, y, rle in self._drawn()]
        origins = self._frame.turn_boxes(np.array(boxes, int).reshape(-1, 4))[:, :2].tolist()
        pixels = [self._frame.turn_crop(pycoco.decode(rle)) for _, _, rle in self._drawn()]
        return [(*origin, crop) for origin, crop in zip(origins, pixels, strict=True)]

    def to_tensor(self, dtype: torch.dtype, device: torch.device | str) -> Tensor:
        """All pixels, (N, height, width)."""
        dense = torch.from_numpy(self.to_ndarray()).to(device)
        return dense.view(torch.bool) if dtype is torch.bool else dense.to(dtype)

    @classmethod
    def cat(cls, masks: Sequence['OutlineMasks']) -> 'OutlineMasks':
        """Put masks of several into one; outlines stay outlines where all were moved alike."""
        if any(other._frame != masks[0]._frame for other in masks[1:]):
            return super().cat(masks)
        return masks[0]._changed(masks[0]._frame, [outline for other in masks for outline in other._outlines])

    def settled(self) -> 'OutlineMasks':
        """The same masks as if the present image were their file, so that they can be joined with others of its size.

        Polygons stay polygons unless a window or padding cut them; what is mirrored may differ in pixels of its edge.
        """
        frame, whole = self._frame, PixelFrame.of_file(self._frame.size_wh)
        if frame == whole:
            return self
        moved = [self._settled_outline(n) for n in range(len(self))]
        return self._changed(whole, moved)

    def _settled_outline(self, n: int) -> Outline:
        if isinstance(self._outlines[n], list):
            rings = [self._frame.place(np.reshape(ring, (-1, 2))) for ring in self._outlines[n]]
            low, high = (ufunc.reduce(np.concatenate(rings)) for ufunc in (np.minimum, np.maximum))
            seen = np.array(self._frame.seen_xyxy) + (-ROUNDING, -ROUNDING, ROUNDING, ROUNDING)
            everything = self._frame.seen_xyxy == (0, 0, *self._frame.size_wh)
            if everything or ((low >= seen[:2]).all() and (high <= seen[2:]).all()):
                return [ring.ravel() for ring in rings]
        return pycoco.encode(np.asfortranarray(self[n].to_ndarray()[0]))

    def covered(self, by: Mapping[int, Sequence[int]]) -> 'OutlineMasks':
        """Lay masks over others of the same image: mask `n` loses the pixels of the masks `by[n]`.

        Polygons stay, so that the edge between two objects is as sharp after a resize as all others.
        """
        outlines = list(self._outlines)
        plain = [item.outline if isinstance(item, Covered) else item for item in outlines]
        for n, tops in by.items():
            before = outlines[n].by if isinstance(outlines[n], Covered) else ()
            outlines[n] = Covered(plain[n], (*before, *(plain[top] for top in tops)))
        return self._changed(self._frame, outlines)

    def _drawn(self) -> list[Piece]:
        """Pieces of all masks in the upright frame, drawn at most once."""
        if self._pieces is None:
            self._pieces = draw(self._outlines, self._frame.upright)
        return self._pieces
