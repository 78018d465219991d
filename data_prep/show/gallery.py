"""The folder that `show` makes: a picture for each tile, contact sheets, and a page to leaf through."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path, PurePosixPath

import numpy as np

from data_prep.atomic import atomic_write
from data_prep.coco import Record
from data_prep.errors import DataError
from data_prep.imagery.encode import encode_png
from data_prep.labels.strict_json import write_json
from data_prep.show.captions import put_text
from data_prep.show.output import check_report_out, fresh_folder, render, require_report_packages
from data_prep.show.samples import Sample, draw_sample
from data_prep.tile.staging import MARKER

SHEET_ROWS, SHEET_PANEL_PX, SHEET_PAD_PX, TITLE_PX = 4, 224, 10, 18


def write_gallery(
    samples: Sequence[Sample],
    out: Path,
    *,
    images: Path | None = None,
    max_side: int = 640,
    columns: int = 2,
    overwrite: bool = False,
    on_tile: Callable[[], object] = lambda: None,
) -> Record:
    """Draw tiles into a new folder.

    Args:
        samples: What ``choose`` took.
        out: Folder to make.
        images: Folder of images; None looks in the places data sets use.
        max_side: Longer side of a panel in pixels at most.
        columns: Tiles side by side on a contact sheet.
        overwrite: Whether an older gallery at ``out`` may be replaced.
        on_tile: Called after each tile.

    Returns:
        ``{'out', 'tiles', 'sheets', 'annotations'}``. ``out`` is complete; the same input gives the same bytes.

    Raises:
        DataError: If nothing is to be shown, or an image or annotation cannot be drawn; ``out`` is as it was.
        MissingPackage: If matplotlib or jinja2 is not installed.
        OSError: If writing fails; ``out`` is as it was.
    """
    if not samples:
        raise DataError('no tile is there to show; check --split and --classes')
    require_report_packages()
    sources = [path for sample in samples for path in (sample.split.path, images or sample.split.path)]
    out = check_report_out(out, sources, 'show', overwrite=overwrite)
    with fresh_folder(out) as folder:
        (folder / 'tiles').mkdir()
        rows, small = [], []
        for number, sample in enumerate(samples, 1):
            name = f'tiles/{_picture_name(number, sample)}'
            _write_png(folder / name, draw_sample(sample, images, max_side))
            small.append(_thumbnail(draw_sample(sample, images, SHEET_PANEL_PX, captions=False), sample))
            rows.append(_row(name, sample))
            on_tile()
        sheets = _write_sheets(folder, small, columns)
        render(folder / 'index.html', __package__, 'page.html', rows=rows, sheets=sheets,
               splits=list(dict.fromkeys(row['split'] for row in rows)),
               classes=sorted({name for row in rows for name in row['classes']}))  # fmt: skip
        tracking = {'command': 'show', 'tiles': [f'{row["split"]}/{row["file_name"]}' for row in rows]}
        write_json(folder / MARKER, tracking, indent=1)
    return {'out': str(out), 'tiles': len(rows), 'sheets': len(sheets), 'annotations': sum(r['count'] for r in rows)}


def _picture_name(number: int, sample: Sample) -> str:
    """A name that is safe in a path and in a link, whatever the tile is called."""
    stem = PurePosixPath(sample.entry['file_name'].replace('\\', '/')).stem
    plain = ''.join(c if c.isascii() and (c.isalnum() or c in '-_') else '_' for c in stem)[:80]
    return f'{number:04d}_{plain}.png'


def _row(name: str, sample: Sample) -> Record:
    entry, parts = sample.entry, sample.annotations
    named = [sample.split.class_name(part) for part in parts]
    gsd = entry.get('gsd_m')
    ground = f', {gsd:.4g} m a pixel' if isinstance(gsd, int | float) else ''
    return {
        'picture': name,
        'file_name': entry['file_name'],
        'split': sample.split.name,
        'size': f'{entry["width"]} x {entry["height"]} px{ground}',
        'classes': sample.classes,
        'counts': {name: named.count(name) for name in sample.classes},
        'count': len(parts),
    }


def _write_png(path: Path, pixels: np.ndarray) -> None:
    with atomic_write(path, 'wb', sync=False) as file:
        file.write(encode_png(np.ascontiguousarray(pixels.transpose(2, 0, 1))))


def _thumbnail(panels: np.ndarray, sample: Sample) -> np.ndarray:
    """Small panels on a white card with the tile's name above."""
    height, width = panels.shape[:2]
    card = np.full((TITLE_PX + SHEET_PANEL_PX, 3 * SHEET_PANEL_PX + 12, 3), 255, np.uint8)
    card[TITLE_PX : TITLE_PX + height, :width] = panels
    text = f'{sample.split.name}/{sample.entry["file_name"]}   {len(sample.annotations)}'
    return put_text(card, [(0, 1, text[-100:], np.array((255, 255, 255)))])


def _write_sheets(folder: Path, cards: Sequence[np.ndarray], columns: int) -> list[str]:
    """Write contact sheets of ``columns`` x SHEET_ROWS cards; return their names."""
    height, width = (side + SHEET_PAD_PX for side in cards[0].shape[:2])
    names = []
    for number in range(math.ceil(len(cards) / (columns * SHEET_ROWS))):
        chosen = cards[number * columns * SHEET_ROWS : (number + 1) * columns * SHEET_ROWS]
        across, down = min(columns, len(chosen)), math.ceil(len(chosen) / columns)
        sheet = np.full((down * height + SHEET_PAD_PX, across * width + SHEET_PAD_PX, 3), 255, np.uint8)
        for place, card in enumerate(chosen):
            y, x = (place // columns * height + SHEET_PAD_PX, place % columns * width + SHEET_PAD_PX)
            sheet[y : y + card.shape[0], x : x + card.shape[1]] = card
        names.append(f'contact_sheet_{number + 1:02d}.png')
        _write_png(folder / names[-1], sheet)
    return names
