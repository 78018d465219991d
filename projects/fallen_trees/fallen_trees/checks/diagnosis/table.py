"""A diagnosis for the terminal: a table of plain text, worst first, and a last line that says what it means."""

import textwrap
from shutil import get_terminal_size

from fallen_trees.checks.diagnosis.doctor import Diagnosis
from fallen_trees.checks.finding import Verdict

WORDS = {Verdict.OK: 'ok', Verdict.WARNING: 'WARNING', Verdict.ERROR: 'ERROR'}


def table(diagnosis: Diagnosis, width: int | None = None) -> str:
    """Lay the findings out in three columns: verdict, check, message.

    Args:
        diagnosis: What was found.
        width: Columns of the terminal; None asks it (100 where there is none), and at least 60 are used.
    """
    width = max(width or get_terminal_size((100, 24)).columns, 60)
    names = max(len(finding.check) for finding in diagnosis.findings)
    lines = []
    for finding in diagnosis.findings:
        head = f'{WORDS[finding.verdict]:7}  {finding.check:{names}}  '
        indent = ' ' * len(head)
        wrapped = textwrap.wrap(
            finding.message, max(width - len(head), 30), break_long_words=False, break_on_hyphens=False
        )
        lines += [head + wrapped[0], *(indent + line for line in wrapped[1:])] if wrapped else [head.rstrip()]
    return '\n'.join([*lines, '', summary(diagnosis)])


def summary(diagnosis: Diagnosis) -> str:
    """Say in one sentence whether to start the run."""
    errors, warnings = diagnosis.count(Verdict.ERROR), diagnosis.count(Verdict.WARNING)
    if errors:
        return f'{diagnosis.config}: do not start. {_number(errors, "error")}, {_number(warnings, "warning")}.'
    if warnings:
        return f'{diagnosis.config}: can run, but {_number(warnings, "warning")} to look at first.'
    return f'{diagnosis.config}: healthy. {len(diagnosis.findings)} findings, all ok.'


def _number(count: int, word: str) -> str:
    return f'{count or "no"} {word}{"" if count == 1 else "s"}'
