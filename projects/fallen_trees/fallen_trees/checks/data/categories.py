"""Whether annotations, categories and the run's classes mean the same things.

What cannot run at all is refused before (`annotations.classes`). What is left here runs, and learns less than it
should or something else: MMDetection passes over an annotation of no known category without a word.
"""

from collections import Counter
from collections.abc import Iterator

from fallen_trees.checks.finding import Finding, Verdict
from fallen_trees.checks.subject import Subject

NAME = 'categories'


def check_categories(subject: Subject) -> Iterator[Finding]:
    """Check the categories of every file, and that validation asks for nothing that was not trained: `categories`."""
    findings = [finding for split in subject.splits for finding in _of_file(subject, split)]
    findings += _never_trained(subject)
    if findings:
        yield from findings
        return
    counts = _counts(subject, 'train')
    said = ', '.join(f'{counts[name]} {name}' for name in subject.cfg.metainfo.classes)
    yield Finding(NAME, Verdict.OK, f'train holds {said}; all files agree.', dict(counts))


def _counts(subject: Subject, split: str) -> Counter:
    names = {category['id']: category['name'] for category in subject.coco(split)['categories']}
    return Counter(names.get(a.get('category_id')) for a in subject.coco(split)['annotations'])


def _of_file(subject: Subject, split: str) -> Iterator[Finding]:
    coco, classes = subject.coco(split), subject.cfg.metainfo.classes
    file = subject.ann_file(split).name
    ids = [category['id'] for category in coco['categories']]
    twice = sorted(number for number, count in Counter(ids).items() if count > 1)
    if twice:
        yield Finding(NAME, Verdict.ERROR, f'{file}: category ids must differ; {twice} stand there twice.')
    used = Counter(annotation.get('category_id') for annotation in coco['annotations'])
    unknown = {number: count for number, count in used.items() if number not in ids}
    if unknown:
        yield _unknown(file, ids, used, unknown)
    counts = _counts(subject, split)
    absent = [name for name in classes if not counts[name]]
    if absent and split == 'train':
        message = f'{file}: no annotation of {absent}; the run has classes that it can never learn.'
        yield Finding(NAME, Verdict.WARNING, message)
    left_out = {c['name']: counts[c['name']] for c in coco['categories'] if c['name'] not in classes}
    left_out = {name: count for name, count in left_out.items() if count}
    if left_out and split == 'train':
        share = sum(left_out.values()) / len(coco['annotations'])
        message = (
            f'{file}: {sum(left_out.values())} annotations ({share:.0%}) are of {sorted(left_out)}, which are '
            'none of this '
            "run's classes, and become ground; name them in metainfo.classes if that is not meant."
        )
        yield Finding(NAME, Verdict.WARNING if share > 0.5 else Verdict.OK, message, left_out)


def _unknown(file: str, ids: list[int], used: Counter, unknown: dict[int, int]) -> Finding:
    """Say what annotations of no category are: all ids off by one, or some that are lost."""
    lost, all_ = sum(unknown.values()), sum(used.values())
    for step in (1, -1):
        if len(ids) > 1 and all(number is not None and number + step in ids for number in used):
            message = (
                f'{file}: annotations use the ids {sorted(used)}, categories {sorted(ids)}: they are off by one, so '
                f'{lost} of {all_} annotations are dropped and the others are learnt as another class; add '
                f'{step:+d} to each.'
            )
            return Finding(NAME, Verdict.ERROR, message, dict(dropped=lost, annotations=all_))
    verdict = Verdict.ERROR if lost > all_ / 2 else Verdict.WARNING
    message = (
        f'{file}: {lost} of {all_} annotations have the category ids {sorted(map(str, unknown))}, which are no '
        'category of '
        f'the file ({sorted(ids)}), and are dropped without a word.'
    )
    return Finding(NAME, verdict, message, dict(dropped=lost, annotations=all_))


def _never_trained(subject: Subject) -> Iterator[Finding]:
    if 'train' not in subject.splits or 'val' not in subject.splits:
        return
    trained, asked = _counts(subject, 'train'), _counts(subject, 'val')
    never = [name for name in subject.cfg.metainfo.classes if asked[name] and not trained[name]]
    if never:
        yield Finding(NAME, Verdict.WARNING, f'val asks for {never}, of which train has no annotation.')
