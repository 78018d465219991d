"""Lists, ids and names: what a reader indexes before it looks at any number."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from data_prep.check.layout import duplicates, normal
from data_prep.check.report import Findings
from data_prep.errors import DataError
from data_prep.labels.strict_json import read_json

Record = dict[str, Any]

LISTS = ('images', 'annotations', 'categories')
MAX_SIDE = 1 << 24


@dataclass
class Content:
    """The usable entries of a COCO file: objects that have their ids."""

    file: str
    images: list[Record] = field(default_factory=list)
    annotations: list[Record] = field(default_factory=list)
    categories: list[Record] = field(default_factory=list)

    def counts(self) -> dict[str, int]:
        """Number of entries by list."""
        return {name: len(getattr(self, name)) for name in LISTS}

    def image_place(self, row: int) -> str:
        """Name of an image for messages."""
        return f'image {shown(self.images[row]["file_name"])}'


def shown(value: Any) -> str:
    """A value of the file as short printable text."""
    text = value if isinstance(value, str) and value.isprintable() and value == value.strip() else repr(value)
    return text if len(text) <= 60 else f'{text[:28]}...{text[-28:]}'


def is_id(value: Any) -> bool:
    """Whether readers can look an id up."""
    return isinstance(value, int | float | str) and not isinstance(value, bool)


def read_content(path: Path, name: str, findings: Findings) -> Content:
    """Read a COCO file and check its lists, ids and names.

    Args:
        path: The file.
        name: What to call it in findings.
        findings: Gets what is wrong.

    Returns:
        What is usable; entries that are not objects or lack an id are left out.
    """
    twice: list[tuple[str, str]] = []

    def members(pairs: list[tuple[str, Any]]) -> Record:
        record = dict(pairs)
        if len(record) < len(pairs):
            again = pairs[duplicates(key for key, _ in pairs)[0]][0]
            place = f'object with id {shown(record["id"])}' if 'id' in record else f'object of {len(record)} keys'
            twice.append((place, f'key {again!r} stands in it more than once'[:80]))
        return record

    try:
        parsed = read_json(path, members)
    except DataError as error:
        findings.add('json-unreadable', name, 'file', str(error))
        return Content(name)
    findings.rows('json-key-twice', name, range(len(twice)), lambda row: twice[row])
    return examine(parsed, name, findings)


def examine(parsed: Any, name: str, findings: Findings) -> Content:
    """Check lists, ids and names of a parsed COCO file; arguments and result as those of ``read_content``."""
    if not isinstance(parsed, dict) or not all(isinstance(parsed.get(key), list) for key in LISTS):
        findings.add('coco-incomplete', name, 'file', _missing_lists(parsed))
        parsed = {} if not isinstance(parsed, dict) else parsed
    content = Content(
        name,
        _entries(parsed, 'images', ('id',), ('file_name',), name, findings),
        _entries(parsed, 'annotations', ('id', 'image_id', 'category_id'), (), name, findings),
        _entries(parsed, 'categories', ('id',), ('name',), name, findings),
    )
    check_images(content, findings)
    check_categories(content, findings)
    check_references(content, findings)
    return content


def _missing_lists(parsed: Any) -> str:
    if not isinstance(parsed, dict):
        return f'holds a {type(parsed).__name__}'
    missing = [key for key in LISTS if not isinstance(parsed.get(key), list)]
    return f'no list {", ".join(missing)}'


def _entries(
    parsed: Record, key: str, ids: Sequence[str], texts: Sequence[str], name: str, findings: Findings
) -> list[Record]:
    entries = parsed.get(key)
    if not isinstance(entries, list):
        return []

    def problem(entry: Any) -> str | None:
        if not isinstance(entry, dict):
            return f'must be an object; is a {type(entry).__name__}'
        for wanted in ids:
            if not is_id(entry.get(wanted)):
                return f'{wanted} is {shown(entry[wanted])}' if wanted in entry else f'has no {wanted}'
        for wanted in texts:
            if not isinstance(entry.get(wanted), str):
                return f'{wanted} is {shown(entry[wanted])}' if wanted in entry else f'has no {wanted}'
        return None

    problems = {row: text for row, entry in enumerate(entries) if (text := problem(entry))}
    findings.rows('entry-invalid', name, problems, lambda row: (f'{key}[{row}]', problems[row]))
    usable = [entry for row, entry in enumerate(entries) if row not in problems]
    odd = [row for row, entry in enumerate(usable) if any(type(entry[wanted]) is not int for wanted in ids)]
    findings.rows(
        'id-type', name, odd, lambda row: (f'{key}[{row}]', ', '.join(f'{i} {usable[row][i]!r}'[:60] for i in ids))
    )
    return usable


def check_images(content: Content, findings: Findings) -> None:
    """Check ids, sizes and names of images, and that none is listed twice."""
    images = content.images
    findings.rows('image-id-duplicate', content.file, duplicates(image['id'] for image in images),
                  lambda row: (content.image_place(row), f'id {shown(images[row]["id"])} came before'))  # fmt: skip
    findings.rows('image-listed-twice', content.file, duplicates(normal(image['file_name']) for image in images),
                  lambda row: (content.image_place(row), f'again with id {shown(images[row]["id"])}'))  # fmt: skip
    odd = [row for row, image in enumerate(images) if image_size(image) is None]
    findings.rows('image-size-invalid', content.file, odd,
                  lambda row: (content.image_place(row), f'width {shown(images[row].get("width"))}, '
                                                         f'height {shown(images[row].get("height"))}'))  # fmt: skip


def image_size(image: Record) -> tuple[int, int] | None:
    """Width and height of an image entry in pixels; None where they are not whole numbers from 1."""
    sides = image.get('width'), image.get('height')
    return sides if all(type(side) is int and 1 <= side <= MAX_SIDE for side in sides) else None


def check_categories(content: Content, findings: Findings) -> None:
    """Check ids and names of categories."""
    file, categories = content.file, content.categories
    ids, names = [entry['id'] for entry in categories], [entry['name'] for entry in categories]

    def place(row: int) -> str:
        return f'category {shown(names[row])}'

    again = duplicates(ids)
    findings.rows('category-id-duplicate', file, again, lambda row: (place(row), f'id {shown(ids[row])} came before'))
    zero = [row for row, value in enumerate(ids) if value == 0]
    findings.rows('category-id-zero', file, zero, lambda row: (place(row), 'has id 0'))
    whole = sorted({value for value in ids if type(value) is int and value > 0})
    if whole and whole != list(range(1, len(whole) + 1)):
        gap = next(number for number, value in enumerate(whole, 1) if number != value)
        findings.add('category-id-gaps', file, 'categories', f'{len(whole)} ids up to {whole[-1]}; {gap} is missing')
    again = duplicates(names)
    findings.rows('category-name-duplicate', file, again, lambda row: (place(row), f'also id {shown(ids[row])}'))
    blanks = [row for row, name in enumerate(names) if name != ' '.join(name.split()) or not name]
    findings.rows('category-name-blanks', file, blanks, lambda row: (place(row), f'name {names[row]!r}'[:80]))
    folded = {name: ' '.join(name.split()).casefold() for name in dict.fromkeys(names)}
    alike = duplicates(folded.values())
    findings.rows('category-name-case', file, alike, lambda row: _alike(row, folded))


def _alike(row: int, folded: dict[str, str]) -> tuple[str, str]:
    name = list(folded)[row]
    return f'category {name!r}'[:80], f'is also written {next(n for n in folded if folded[n] == folded[name])!r}'[:80]


def check_references(content: Content, findings: Findings) -> None:
    """Check that annotations have ids of their own and name an image and a category that exist."""
    file, parts = content.file, content.annotations
    again = duplicates(part['id'] for part in parts)
    findings.rows('annotation-id-duplicate', file, again, lambda row: (f'annotations[{row}]', f'id {_ids(parts[row])}'))
    zero = [row for row, part in enumerate(parts) if part['id'] == 0]
    findings.rows('annotation-id-zero', file, zero, lambda row: (f'annotations[{row}]', 'has id 0'))
    for key, name, entries, code in (
        ('image_id', 'image', content.images, 'annotation-image-unknown'),
        ('category_id', 'category', content.categories, 'annotation-category-unknown'),
    ):
        known: set[Hashable] = {entry['id'] for entry in entries}
        unknown = [row for row, part in enumerate(parts) if part[key] not in known]
        findings.rows(code, file, unknown, lambda row, key=key, name=name: (
            f'annotation {_ids(parts[row])}', f'no {name} has the id {parts[row][key]!r}'[:80]))  # fmt: skip
    _check_unused(content, findings)


def _ids(part: Record) -> str:
    return shown(part['id'])


def _check_unused(content: Content, findings: Findings) -> None:
    per_image = Counter(part['image_id'] for part in content.annotations)
    empty = [row for row, image in enumerate(content.images) if image['id'] not in per_image]
    findings.rows('image-without-annotations', content.file, empty,
                  lambda row: (content.image_place(row), 'no annotation names it'))  # fmt: skip
    used = {part['category_id'] for part in content.annotations}
    unused = [row for row, entry in enumerate(content.categories) if entry['id'] not in used]
    findings.rows('category-unused', content.file, unused,
                  lambda row: (f'category {shown(content.categories[row]["name"])}', 'no annotation'))  # fmt: skip
