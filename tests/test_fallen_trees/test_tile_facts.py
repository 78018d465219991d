"""How tiles were cut is read from their annotation file, and nothing is made up where they disagree."""

import pytest

from fallen_trees.annotations.tile_facts import tile_facts


def coco(*changes):
    image = dict(
        id=1, file_name='a.png', width=64, height=64, window_xywh=[0, 0, 64, 64], gsd_m=0.1, scale=0.5, bands=[1, 2, 3]
    )
    return {'images': [image | change for change in changes]}


def test_tiles_that_agree_give_all_facts(tmp_path):
    facts = tile_facts(coco({}, {}), tmp_path / 'annotations/instances_train.json')
    assert facts == dict(size_px=[64, 64], gsd_m=0.1, scale=0.5, bands=[1, 2, 3], overlap=None, stretch=None)


@pytest.mark.parametrize(('key', 'value'), [('gsd_m', 0.2), ('scale', 1.0), ('bands', [3, 2, 1]), ('gsd_m', None)])
def test_what_tiles_disagree_on_is_unknown(tmp_path, key, value):
    assert tile_facts(coco({}, {}, {key: value}), tmp_path / 'a.json')[key] is None


def test_pixel_sizes_may_differ_by_a_hundredth(tmp_path):
    assert tile_facts(coco({}, {'gsd_m': 0.1004}, {}), tmp_path / 'a.json')['gsd_m'] == 0.1


def test_settings_of_the_data_set_fill_in(tmp_path):
    (tmp_path / 'TRACKING.json').write_text(
        '{"settings": {"rule": {"overlap": 0.4}, "stretch": "min-max", "gsd_m": 0.2}}'
    )
    facts = tile_facts(coco({}, {'gsd_m': 0.7}), tmp_path / 'annotations/a.json')
    assert (facts['overlap'], facts['stretch'], facts['gsd_m']) == (0.4, 'min-max', 0.2)
    (tmp_path / 'TRACKING.json').write_text('[')
    assert tile_facts(coco({}), tmp_path / 'annotations/a.json')['overlap'] is None


def test_pictures_that_are_no_tiles_give_none(tmp_path):
    assert tile_facts({'images': [{'id': 1, 'width': 9, 'height': 9}]}, tmp_path / 'a.json') is None
    assert tile_facts({'images': []}, tmp_path / 'a.json') is None
