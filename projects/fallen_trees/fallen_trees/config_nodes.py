"""Walks through nested configs."""

from collections.abc import Iterator


def datasets_in(loader: object) -> Iterator[dict]:
    """Every data set of a loader that reads an annotation file, wrapped ones included."""
    return (found for found in dicts_in(loader) if 'ann_file' in found)


def dicts_in(node: object) -> Iterator[dict]:
    """Every dict inside nested dicts and lists, outermost first."""
    return (found for _, found in named_dicts_in(node))


def named_dicts_in(node: object, path: str = '') -> Iterator[tuple[str, dict]]:
    """Every dict inside nested dicts and lists with its dotted path below `path`, outermost first."""
    if isinstance(node, dict):
        yield path, node
    items = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list | tuple) else ()
    for key, value in list(items):  # whoever asks may change them
        yield from named_dicts_in(value, f'{path}.{key}'.lstrip('.'))
