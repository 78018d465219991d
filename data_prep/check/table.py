"""A report as text for the terminal."""

from __future__ import annotations

from data_prep.check.codes import Severity
from data_prep.check.report import Example, Report, SplitProof


def text(report: Report) -> str:
    """Counts, one block for each finding (worst first) with its examples and advice, what was proved, and the sum."""
    lines = [f'{report.path}']
    width = max(map(len, report.files))
    for name, counts in report.files.items():
        lines.append(f'  {name:{width}}  {_plural(counts["images"], "image")}, '
                     f'{_plural(counts["annotations"], "annotation")}, '
                     f'{_plural(counts["categories"], "category", "categories")}')  # fmt: skip
    if report.findings:
        lines += ['', f'  {"":8}{"count":>8}  finding']
    for item in report.findings:
        lines.append(f'  {item.severity.name.lower():8}{item.count:>8}  {item.code}: {item.advice}')
        lines += [f'{"":20}{_example(example)}' for example in item.examples]
    if report.proof is not None:
        lines += ['', f'  {proof(report.proof, report.codes)}']
    return _printable('\n'.join([*lines, f'  {summary(report)}']))


def _example(example: Example) -> str:
    return f'{example.file}, {example.place}: {example.problem}'


def _plural(count: int, one: str, many: str | None = None) -> str:
    return f'{count} {one if count == 1 else many or one + "s"}'


def proof(compared: SplitProof, codes: dict[str, int]) -> str:
    """What is known about the splits, in one sentence."""
    names = ', '.join(compared.splits)
    shared = [code for code in ('split-object', 'split-pixels', 'split-file') if code in codes]
    what = [
        f'{compared.object_ids} object_ids' if compared.object_ids else '',
        f'{compared.regions} tiles by their place in the source' if compared.regions else '',
        f'{compared.by_bytes} images by their bytes' if compared.by_bytes else '',
    ]
    told = '; '.join(item for item in what if item) or 'nothing'
    verdict = f'shared: {", ".join(shared)}' if shared else 'nothing is in two splits'
    rest = f'; {compared.unproved} images could not be compared' if compared.unproved else ''
    return f'splits {names}: {verdict} (compared: {told}{rest})'


def summary(report: Report) -> str:
    """Errors and warnings, in words."""
    errors, warnings = report.count(Severity.ERROR), report.count(Severity.WARNING)
    if not errors and not warnings:
        return 'clean'
    return f'{_plural(errors, "error")}, {_plural(warnings, "warning")}'


def _printable(text: str) -> str:
    """Without what a terminal obeys or cannot show: names in the file may hold anything."""
    clean = ''.join(char if char.isprintable() or char == '\n' else repr(char)[1:-1] for char in text)
    return clean.encode('utf-8', 'backslashreplace').decode('utf-8')
