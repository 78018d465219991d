"""The chosen images are those with the highest scores by the formula, and the subset is a COCO file of them."""

import json
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_prep.check import check_coco
from data_prep.errors import DataError
from data_prep.select import score_images, select_images

# File name, and the classes it shows.
SHOWN = {
    'a/1.png': [1, 1, 1],
    'a/2.png': [1, 2],
    'a/3.png': [],
    'b/4.png': [1],
    'c/5.png': [3, 1, 2],
    'c/6.png': [2, 2],
}


def content(shown=SHOWN):
    images = [{'id': 10 * n, 'file_name': name, 'width': 8, 'height': 6} for n, name in enumerate(shown, 1)]
    parts = []
    for image, classes in zip(images, shown.values(), strict=True):
        for category in classes:
            parts.append({'id': 7 + len(parts), 'image_id': image['id'], 'category_id': category, 'iscrowd': 0,
                          'bbox': [1, 1, 4, 3], 'area': 12, 'segmentation': [[1, 1, 5, 1, 5, 4, 1, 4]]})  # fmt: skip
    names = {1: 'tree', 2: 'log', 3: 'stump', 4: 'bush'}
    return {
        'info': {'year': 2024},
        'images': images,
        'annotations': parts,
        'categories': [{'id': n, 'name': name} for n, name in names.items()],
    }


@pytest.fixture
def coco(tmp_path, write_raster):
    """The file with its images beside it."""
    for seed, name in enumerate(SHOWN):
        write_raster(tmp_path / 'images' / name, (8, 6), seed=seed, driver='PNG')
    (tmp_path / 'coco.json').write_text(json.dumps(content()))
    return tmp_path / 'coco.json'


def test_scores_by_hand():
    whole = content()
    scores = score_images(whole['images'], whole['annotations'])
    assert [score.cds for score in scores] == [1, 2, 0, 1, 3, 1]
    # Class 1 is in 4 of 6 images, class 2 in 3, class 3 in 1.
    assert [score.rcs for score in scores] == pytest.approx([1.5, 3.5, 0, 1.5, 9.5, 2])
    assert [score.ics for score in scores] == pytest.approx([1 / 3, 1 / 3, 1 / 3, 1, 1 / 2, 1 / 2])
    by_hand = [0.4 * score.cds / 3 + 0.4 * score.rcs / 9.5 + 0.2 * score.ics for score in scores]
    assert [score.score for score in scores] == pytest.approx(by_hand)


@pytest.mark.parametrize(
    ('weights', 'first'),
    [('1,0,0', ['c/5.png', 'a/2.png']), ('0,0,1', ['b/4.png', 'c/5.png']), ('0,2,0', ['c/5.png', 'a/2.png'])],
)
def test_weights_choose(data_prep, coco, tmp_path, weights, first):
    out = tmp_path / 'out.json'
    code, stdout, stderr = data_prep('select', coco, '--n', 2, '--out', out, '--weights', weights, '--json')
    assert code in (0, 1), stderr
    assert [row['file_name'] for row in json.loads(stdout)['scores']] == first


def test_the_subset_keeps_ids_order_and_categories(data_prep, coco, tmp_path):
    out = tmp_path / 'out.json'
    code, stdout, stderr = data_prep('select', coco, '--n', 3, '--out', out)
    assert code == 0 and stderr == '' and '3 of 6 images, 6 annotations' in stdout
    whole, subset = content(), json.loads(out.read_text())
    assert [image['file_name'] for image in subset['images']] == ['a/2.png', 'b/4.png', 'c/5.png']
    assert subset['categories'] == whole['categories'] and subset['info'] == whole['info']
    assert subset['annotations'] == [part for part in whole['annotations'] if part['image_id'] in (20, 40, 50)]
    keys = [image.pop('selection') for image in subset['images']]
    assert [image for image in whole['images'] if image['id'] in (20, 40, 50)] == subset['images']
    assert [key['rank'] for key in keys] == [2, 3, 1] and set(keys[0]) == {'rank', 'score', 'cds', 'rcs', 'ics'}
    assert keys[2]['score'] == pytest.approx(0.9) and f'{keys[2]["score"]:.4f}' in stdout
    assert check_coco(out).exit_code == 0


def test_equal_scores_go_by_file_name(tmp_path, data_prep):
    names = ['b.png', 'd.png', 'a.png', 'c.png']
    (tmp_path / 'coco.json').write_text(json.dumps(content({name: [1] for name in names})))
    for attempt in range(2):
        arguments = ('--n', 2, '--out', tmp_path / f'{attempt}.json', '--json')
        _, stdout, _ = data_prep('select', tmp_path / 'coco.json', *arguments)
        assert [row['file_name'] for row in json.loads(stdout)['scores']] == ['a.png', 'b.png']
    assert (tmp_path / '0.json').read_bytes() == (tmp_path / '1.json').read_bytes()


def test_images_of_small_scenes_come_first_when_asked():
    whole = content({f'{n}.png': [1] for n in range(4)})
    for image, scene in zip(whole['images'], 'xxyx', strict=True):
        image['scene'] = scene
    folder = score_images(whole['images'], whole['annotations'])
    scene = score_images(whole['images'], whole['annotations'], balance='scene')
    assert len({score.score for score in folder}) == 1
    assert [score.score for score in scene].index(max(score.score for score in scene)) == 2
    with pytest.raises(DataError, match='needs the key scene'):
        score_images(content()['images'], [], balance='scene')


@given(st.lists(st.lists(st.integers(1, 4), max_size=6), min_size=1, max_size=8),
       st.tuples(*[st.floats(0, 5)] * 3).filter(lambda weights: sum(weights) > 0.01))  # fmt: skip
def test_scores_stay_in_0_to_1_whatever_the_scale_of_the_weights(shown, weights):
    whole = content({f'{n % 3}/{n}.png': classes for n, classes in enumerate(shown)})
    scores = score_images(whole['images'], whole['annotations'], weights=weights)
    assert all(0 <= score.score <= 1 for score in scores)
    doubled = score_images(whole['images'], whole['annotations'], weights=tuple(2 * weight for weight in weights))
    assert [one.score for one in scores] == pytest.approx([two.score for two in doubled])


def test_a_lost_class_is_told(data_prep, coco, tmp_path):
    arguments = ('--n', 1, '--weights', '0,0,1', '--out', tmp_path / 'out.json')
    code, _, stderr = data_prep('select', coco, *arguments)
    assert code == 1 and "no chosen image shows 'log', 'stump'" in stderr and 'bush' not in stderr


def test_copies_of_the_chosen_files(data_prep, coco, tmp_path):
    folder, out = tmp_path / 'kept', tmp_path / 'out.json'
    code, _, stderr = data_prep('select', coco, '--n', 3, '--out', out, '--copy-images', folder)
    assert code == 0, stderr
    names = sorted(os.path.relpath(path, folder) for path in folder.rglob('*') if path.is_file())
    assert names == ['a/2.png', 'b/4.png', 'c/5.png']
    assert all((folder / name).read_bytes() == (coco.parent / 'images' / name).read_bytes() for name in names)
    report = check_coco(out, folder)
    assert report.exit_code == 0 and 'file-unlisted' not in report.codes
    before = out.read_bytes()
    more = ('--n', 4, '--out', out, '--copy-images', folder, '--overwrite')
    (folder / 'a/2.png').write_bytes(b'mine')
    code, _, stderr = data_prep('select', coco, *more)
    assert code == 2 and 'holds another 2.png' in stderr and out.read_bytes() == before
    assert sorted(path.name for path in folder.rglob('*.png')) == ['2.png', '4.png', '5.png']
    (folder / 'a/2.png').unlink()
    assert data_prep('select', coco, *more)[0] == 0
    assert sorted(path.name for path in folder.rglob('*')) == ['2.png', '4.png', '5.png', '6.png', 'a', 'b', 'c']


def test_a_missing_image_leaves_nothing_behind(data_prep, coco, tmp_path):
    (coco.parent / 'images/b/4.png').unlink()
    before = sorted(tmp_path.rglob('*'))
    arguments = ('--n', 6, '--out', tmp_path / 'out.json', '--copy-images', tmp_path / 'kept')
    code, _, stderr = data_prep('select', coco, *arguments)
    assert code == 2 and "the first 'b/4.png'" in stderr
    assert sorted(tmp_path.rglob('*')) == before


def rewritten(change):
    def rewrite(path):
        whole = content()
        change(whole)
        path.write_text(json.dumps(whole))

    return rewrite


BAD = [
    ('more than there are', ['--n', 7], None, 'from 1 to the number of images, 6'),
    ('none', ['--n', 0], None, 'from 1'),
    ('two weights', ['--weights', '1,1'], None, 'three weights'),
    ('a negative weight', ['--weights=-1,1,1'], None, 'three weights'),
    ('weights of 0', ['--weights', '0,0,0'], None, 'not all 0'),
    ('NaN as weight', ['--weights', 'nan,1,1'], None, 'three weights'),
    ('no scene', ['--balance', 'scene'], None, 'needs the key scene'),
    ('images without copies', ['--images', '.'], None, 'both or neither'),
    ('no such file', [], lambda path: path.unlink(), 'nothing is there'),
    ('no JSON', [], lambda path: path.write_text('{'), 'not valid JSON'),
    ('no lists', [], lambda path: path.write_text('{}'), 'coco-incomplete'),
    ('unknown image', [], rewritten(lambda c: c['annotations'][0].update(image_id=1)), 'annotation-image-unknown'),
    ('image id twice', [], rewritten(lambda c: c['images'][0].update(id=20)), 'image-id-duplicate'),
    ('a name that leads out', [], rewritten(lambda c: c['images'][0].update(file_name='../x.png')), 'file-name-unsafe'),
]


@pytest.mark.parametrize(('options', 'change', 'message'), [case[1:] for case in BAD], ids=[case[0] for case in BAD])
def test_wrong_input_is_one_line_and_writes_nothing(data_prep, coco, tmp_path, options, change, message):
    if change:
        change(coco)
    before = sorted(tmp_path.rglob('*'))
    code, stdout, stderr = data_prep('select', coco, '--n', 2, '--out', tmp_path / 'out.json', *options)
    assert code == 2 and stdout == '' and stderr.count('\n') == 1 and message in stderr
    assert sorted(tmp_path.rglob('*')) == before


def test_a_file_in_the_way_stays(data_prep, coco, tmp_path):
    before = coco.read_bytes()
    code, _, stderr = data_prep('select', coco, '--n', 2, '--out', coco, '--overwrite')
    assert code == 2 and 'must not be the file that is read' in stderr and coco.read_bytes() == before
    (tmp_path / 'out.json').write_text('mine')
    code, _, stderr = data_prep('select', coco, '--n', 2, '--out', tmp_path / 'out.json')
    assert code == 2 and '--overwrite' in stderr and (tmp_path / 'out.json').read_text() == 'mine'
    assert select_images(coco, tmp_path / 'out.json', 3, overwrite=True).total == 6
    assert len(json.loads((tmp_path / 'out.json').read_text())['images']) == 3


def test_real_photos(real_data, tmp_path):
    source = real_data / 'coco_permissive33/instances.json'
    selection = select_images(source, tmp_path / 'out.json', 5, copy_to=tmp_path / 'images')
    assert selection.total == 33 and len(selection.images) == 5
    assert selection.images[0]['file_name'] == '000000000127.jpg'  # the one with most classes
    assert 'file-missing' not in check_coco(tmp_path / 'out.json').codes
