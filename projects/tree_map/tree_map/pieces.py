"""What passes from one stage to the next: pieces as the network saw them, then whole trees."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Pieces:
    """Parts of trees, each seen in one window; arrays of one length n, in pixels of the scene's grid.

    The grid is the scene at the pixel size of prediction: x right, y down, (0, 0) the outer corner of the first pixel.

    Attributes:
        polygons: shapely Polygon or MultiPolygon, valid and not empty, (n,) object.
        scores: 0..1, (n,) float.
        labels: Index of the class, from 0, (n,) int.
        windows: Row in `windows_xywh` of the window that a piece was seen in, (n,) int.
        windows_xywh: Windows of the scene, x y width height in whole pixels, (w, 4) int. They may reach past the
            scene; every window that was looked at stands here, with pieces or without.
    """

    polygons: NDArray[np.object_]
    scores: NDArray[np.floating]
    labels: NDArray[np.integer]
    windows: NDArray[np.integer]
    windows_xywh: NDArray[np.integer]

    def __len__(self) -> int:
        return len(self.polygons)


@dataclass(frozen=True)
class Trees:
    """Whole trees; arrays of one length n, in pixels of the scene's grid.

    Attributes:
        polygons: shapely Polygon or MultiPolygon, valid and not empty, (n,) object.
        scores: 0..1, (n,) float.
        labels: Index of the class, from 0, (n,) int.
        parts: Pieces that a tree was made of, (n,) int.
        seam_joined: Whether its outline was put together from more than one window, (n,) bool.
    """

    polygons: NDArray[np.object_]
    scores: NDArray[np.floating]
    labels: NDArray[np.integer]
    parts: NDArray[np.integer]
    seam_joined: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.polygons)
