"""Commands and types of their arguments; a wrong value is told with the range that was meant."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable


def add_command(
    subparsers: argparse._SubParsersAction,
    name: str,
    run: Callable[[argparse.Namespace], int],
    *,
    help: str,
    description: str,
    epilog: str,
) -> argparse.ArgumentParser:
    """Register a command that ``run`` does; the epilog keeps its line breaks."""
    parser = subparsers.add_parser(
        name, help=help, description=description, epilog=epilog, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.set_defaults(run=run)
    return parser


def number(kind: type[int] | type[float], low: float, high: float) -> Callable[[str], float]:
    """Argument type for a finite number in low..high, both included."""

    def parse(text: str) -> float:
        try:
            value = kind(text)
        except ValueError:
            value = math.nan
        if not low <= value <= high:
            raise argparse.ArgumentTypeError(f'must be {kind.__name__} from {low} to {high}; got {text!r}')
        return value

    return parse


def names(text: str) -> tuple[str, ...]:
    """Argument type for a comma-separated list of different names."""
    items = tuple(item.strip() for item in text.split(','))
    if not all(items) or len(set(items)) < len(items):
        raise argparse.ArgumentTypeError(f'must be different names with commas between; got {text!r}')
    return items


def bands(text: str) -> tuple[int, ...]:
    """Argument type for band numbers."""
    try:
        items = tuple(int(item) for item in text.split(','))
    except ValueError:
        items = ()
    if not items or min(items) < 1:
        raise argparse.ArgumentTypeError(f'must be band numbers from 1, such as 1,2,3; got {text!r}')
    return items


def ratios(text: str) -> tuple[float, float, float]:
    """Argument type for the shares of train, val and test, summing to 1 or to 100."""
    try:
        shares = tuple(float(item) for item in text.split(','))
    except ValueError:
        shares = ()
    total = 100 if sum(shares) > 1.5 else 1
    if len(shares) != 3 or not min(shares) >= 0 or abs(sum(shares) / total - 1) > 0.002:
        raise argparse.ArgumentTypeError(
            f'must be three shares (train,val,test) that sum to 1, such as 0.8,0.1,0.1; got {text!r}'
        )
    return tuple(share / sum(shares) for share in shares)
