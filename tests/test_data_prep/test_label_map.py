"""Labels are renamed, joined and dropped before classes are chosen."""

import json

import pytest

from data_prep.errors import DataError
from data_prep.labels.label_map import read_label_map

BOX = [[4, 4], [20, 4], [20, 20], [4, 20]]
MAP = {'pine': 'tree', 'spruce': 'tree', 'rock': None}


def written(tmp_path, kind):
    """The same map as text of the command line, JSON and CSV."""
    if kind == 'text':
        return 'pine=tree, spruce = tree,rock='
    path = tmp_path / f'map.{kind}'
    if kind == 'json':
        path.write_text(json.dumps({'pine': 'tree', ' spruce': 'tree ', 'rock': None}))
    else:
        path.write_text('label,class\npine,tree\n\nspruce,tree\nrock,\n', encoding='utf-8-sig')
    return str(path)


@pytest.mark.parametrize('kind', ['text', 'json', 'csv'])
def test_the_same_map_in_every_form(tmp_path, kind):
    assert read_label_map(written(tmp_path, kind)) == MAP


@pytest.mark.parametrize('kind', ['text', 'json', 'csv'])
def test_labels_become_classes(data_prep, tmp_path, write_raster, write_labelme, kind):
    raster = write_raster(tmp_path / 'in/s.tif')
    labels = ['pine', 'spruce', 'rock', 'stump', 'rock']
    write_labelme(tmp_path / 'in/s.json', [(label, BOX) for label in labels])
    options = ('--label-map', written(tmp_path, kind), '--tile-size', 64, '--split', '1,0,0')
    code, _, stderr = data_prep('tile', raster, '--out', tmp_path / 'out', *options, '--classes', 'tree,stump')
    assert code == 0, stderr
    content = json.loads((tmp_path / 'out/annotations/instances_train.json').read_text())
    assert {part['object_id']: part['category_id'] for part in content['annotations']} == {'s/1': 1, 's/2': 1, 's/4': 2}
    report = json.loads((tmp_path / 'out/report.json').read_text())
    assert report['scenes']['s']['skipped'] == [
        {'file': 's.json', 'feature': number, 'reason': 'label rock is dropped by --label-map'} for number in (3, 5)
    ]
    code, _, stderr = data_prep('tile', raster, '--out', tmp_path / 'two', *options)
    found = json.loads((tmp_path / 'two/annotations/instances_val.json').read_text())['categories']
    assert [category['name'] for category in found] == ['stump', 'tree']


def test_names_may_be_swapped(data_prep, tmp_path, write_raster, write_labelme):
    raster = write_raster(tmp_path / 's.tif')
    write_labelme(tmp_path / 's.json', [('a', BOX), ('b', BOX), ('b', BOX)])
    options = ('--label-map', 'a=b,b=a', '--tile-size', 64, '--split', '1,0,0', '--classes', 'a,b')
    assert data_prep('tile', raster, '--out', tmp_path / 'out', *options)[0] == 0
    content = json.loads((tmp_path / 'out/annotations/instances_train.json').read_text())
    assert [part['category_id'] for part in content['annotations']] == [2, 1, 1]


def test_a_label_the_map_does_not_name_must_be_a_class(data_prep, tmp_path, write_raster, write_labelme):
    raster = write_raster(tmp_path / 's.tif')
    write_labelme(tmp_path / 's.json', [('pine', BOX), ('Pine', BOX)])
    options = ('--label-map', 'pine=tree', '--classes', 'tree', '--split', '1,0,0')
    code, _, stderr = data_prep('tile', raster, '--out', tmp_path / 'out', *options)
    assert code == 2 and "feature 2: label 'Pine' is not in --classes tree" in stderr


CASES = {
    'no pairs': ('tree', 'takes a .json or .csv file'),
    'empty text': ('', 'takes a .json or .csv file'),
    'two equals': ('a=b=c', 'takes a .json or .csv file'),
    'another file': ('map.txt', 'takes a .json or .csv file'),
    'label twice': ('a=b,a=c', "has the label 'a' twice"),
    'label twice but for blanks': ('a=b, a=c', "has the label 'a' twice"),
    'empty label': ('=b', 'has an empty label'),
    'missing file': ('no.json', 'cannot be read'),
}
FILES = {
    'list': ('map.json', '["a"]', 'must hold one JSON object'),
    'list of lists': ('map.json', '[["a", "b"]]', 'must hold one JSON object'),
    'number': ('map.json', '3', 'must hold one JSON object'),
    'key twice': ('map.json', '{"a": "b", "a": "c"}', "has the label 'a' twice"),
    'target is a number': ('map.json', '{"a": 1}', "must give label 'a' a class name"),
    'target is an object': ('map.json', '{"a": {"b": "c"}}', "must give label 'a' a class name"),
    'empty object': ('map.json', '{}', 'is empty'),
    'broken JSON': ('map.json', '{"a": ', 'not valid JSON'),
    'no header': ('map.csv', 'a,b\nc,d\n', 'must begin with the line label,class; got a,b'),
    'empty file': ('map.csv', '', 'got nothing'),
    'header alone': ('map.csv', 'label,class\n', 'is empty'),
    'three cells': ('map.csv', 'label,class\na,b,c\n', 'two cells in each line'),
    'row twice': ('map.csv', 'label,class\na,b\na,b\n', "has the label 'a' twice"),
    'huge cell': ('map.csv', 'label,class\n"' + 'a' * 200_000 + '",b\n', 'map.csv'),
}


@pytest.mark.parametrize('name', [*CASES, *FILES])
def test_refused(data_prep, tmp_path, write_raster, write_labelme, name):
    write_raster(tmp_path / 'in/s.tif')
    write_labelme(tmp_path / 'in/s.json', [('tree', BOX)])
    if name in CASES:
        argument, *words = CASES[name]
    else:
        file, content, *words = FILES[name]
        argument = tmp_path / 'in' / file
        argument.write_text(content)
    code, stdout, stderr = data_prep('tile', tmp_path / 'in/s.tif', '--out', tmp_path / 'out', '--label-map', argument)
    assert code == 2 and stdout == '' and stderr.startswith('error: ') and stderr.count('\n') == 1
    assert all(word in stderr for word in words), stderr
    assert not (tmp_path / 'out').exists()


def test_latin_1_is_refused(tmp_path):
    (tmp_path / 'map.csv').write_bytes('label,class\nkäfer,tree\n'.encode('latin-1'))
    with pytest.raises(DataError, match='must be UTF-8'):
        read_label_map(str(tmp_path / 'map.csv'))
