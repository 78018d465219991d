"""Whatever JSON somebody wrote, the readers give features or one clear error."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_prep.errors import DataError
from data_prep.labels.features import label_text
from data_prep.labels.labelme import read_labelme
from data_prep.labels.strict_json import read_json, write_json
from data_prep.labels.vectors import read_geojson
from data_prep.scenes import json_kind

PATH = Path('a.json')
numbers = st.integers() | st.floats()
anything = st.recursive(
    st.none() | st.booleans() | numbers | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=10,
)
points = st.lists(st.lists(numbers, min_size=2, max_size=2), max_size=6)


def mostly(good):
    """The expected kind of value, or anything."""
    return good | anything


shapes = st.fixed_dictionaries(
    {'label': mostly(st.just('tree')), 'points': mostly(points)},
    optional={'shape_type': mostly(st.sampled_from(['polygon', 'rectangle', 'line', 'circle']))},
)
rings = st.lists(points, max_size=3)
geometries = st.fixed_dictionaries({'type': mostly(st.sampled_from(['Polygon', 'MultiPolygon', 'Point'])),
                                    'coordinates': mostly(rings | st.lists(rings, max_size=2))})  # fmt: skip
features = st.fixed_dictionaries(
    {'properties': mostly(st.fixed_dictionaries({'label': anything})), 'geometry': mostly(geometries)}
)

named_crs = st.fixed_dictionaries({'properties': anything | st.fixed_dictionaries({'name': anything})})


@settings(max_examples=300)
@given(st.lists(shapes, max_size=3) | anything, st.none() | anything, st.none() | anything)
def test_any_labelme_content(content, width, height):
    try:
        found = read_labelme(PATH, {'shapes': content, 'imageWidth': width, 'imageHeight': height}, (96, 64))
    except DataError as error:
        assert 'a.json' in str(error)
    else:
        assert [feature.number for feature in found.features] == list(range(1, len(content) + 1))
        assert all((feature.geometry is None) == bool(feature.problem) for feature in found.features)


@settings(max_examples=300)
@given(st.lists(features, max_size=3) | anything, st.none() | anything | named_crs)
def test_any_geojson_content(content, crs):
    try:
        found = read_geojson(PATH, {'type': 'FeatureCollection', 'features': content, 'crs': crs}, 'label')
    except DataError as error:
        assert 'a.json' in str(error)
    else:
        assert [feature.number for feature in found.features] == list(range(1, len(content) + 1))


@given(anything)
def test_any_json_has_a_kind_or_is_refused(content):
    try:
        assert json_kind(PATH, content) in ('labelme', 'geojson', 'coco')
    except DataError as error:
        assert 'a.json' in str(error)


@pytest.mark.parametrize(
    ('value', 'text'),
    [
        ('tree', 'tree'),
        (' tree ', 'tree'),
        (3, '3'),
        (None, None),
        ('', None),
        (float('nan'), None),
        ('Bäume', 'Bäume'),
    ],
)
def test_label_text(value, text):
    assert label_text(value) == text


def test_json_round_trip_with_byte_order_mark(tmp_path):
    content = {'b': [1, 2.5, 'Bäume'], 'a': None}
    write_json(tmp_path / 'a.json', content)
    assert read_json(tmp_path / 'a.json') == content
    (tmp_path / 'bom.json').write_text('\ufeff{"a": 1}', encoding='utf-8')
    assert read_json(tmp_path / 'bom.json') == {'a': 1}


def test_nan_is_never_written(tmp_path):
    with pytest.raises(ValueError, match='Out of range'):
        write_json(tmp_path / 'a.json', {'a': float('nan')})
    assert list(tmp_path.iterdir()) == []
