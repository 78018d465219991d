"""What counts as the same tree; lengths and areas in pixels of the scene's grid."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields

GAP_M, BRIDGE_M = 1.0, 5.0


@dataclass(frozen=True)
class JoinSettings:
    """Thresholds of joining. The defaults fit trunks 6-24 px wide, as they are at 5 cm per pixel.

    Attributes:
        min_zone_iou: Two pieces are one tree where their masks agree so far inside the intersection of their windows.
        min_parallel_iou: The same where both are long there, run the same way and are as thick: a shift of 2 px leaves
            trunks of 6 px no more.
        min_zone_px: Area that they must share there, px^2.
        min_inside: Or: so much of one piece's share of the zone lies in the other, and both run the same way.
        duplicate_iou: Two pieces of one window that agree so far are two answers for one tree; the better is kept.
        duplicate_inside: Or: so much of one lies in the other, and both run the same way.
        min_extent_px: Two distinct pieces of one window, each of this area at least, are two trees, px^2.
        max_gap_px: Longest gap between two ends cut by their windows that continue one another (1 m at 5 cm).
        max_turn_deg: Largest angle between such ends.
        min_width_ratio: Smallest ratio of their widths.
        max_bridge_px: Longest gap between any two ends on one line (5 m at 5 cm): crowns hide that much. 0: none.
        max_bridge_turn_deg: Largest angle between such ends.
        cut_px: A piece this near to its window's border may go on beyond it: masks are least sure there.
    """

    min_zone_iou: float = 0.3
    min_parallel_iou: float = 0.15
    min_zone_px: float = 20.0
    min_inside: float = 0.8
    duplicate_iou: float = 0.5
    duplicate_inside: float = 0.8
    min_extent_px: float = 40.0
    max_gap_px: float = 20.0
    max_turn_deg: float = 5.0
    min_width_ratio: float = 0.6
    max_bridge_px: float = 100.0
    max_bridge_turn_deg: float = 8.0
    cut_px: float = 4.0

    @classmethod
    def at(cls, gsd_m: float | None, tuned: Mapping[str, float] | None = None) -> JoinSettings:
        """The settings for pixels of another size: gaps are metres on the ground, what masks err by is pixels.

        Args:
            gsd_m: Side of a pixel; None for a photo that lies nowhere, where nothing says that its objects are trunks:
                there ends are not bridged.
            tuned: What differs from the defaults: any of the settings, but `max_gap_m` and `max_bridge_m` in place of
                those in pixels.

        Raises:
            ValueError: If there is no such setting.
        """
        changes = dict(tuned or {})
        gap_m, bridge_m = changes.pop('max_gap_m', GAP_M), changes.pop('max_bridge_m', BRIDGE_M)
        unknown = sorted(changes.keys() - {field.name for field in fields(cls)})
        if unknown:
            raise ValueError(f'there is no setting of joining named {unknown[0]!r}')
        if gsd_m is None:
            return cls(**changes | dict(max_bridge_px=0.0))
        return cls(**dict(max_gap_px=gap_m / gsd_m, max_bridge_px=bridge_m / gsd_m) | changes)
