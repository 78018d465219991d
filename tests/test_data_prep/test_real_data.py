"""Real scenes: every format of the same trees gives the same instances."""

import json

import pytest
from pycocotools import mask as rle

SPLITS = ('train', 'val', 'test')


def instances(out, size=256):
    """Run-length masks by split, image, object and category."""
    found = {}
    for split in SPLITS:
        content = json.loads((out / f'annotations/instances_{split}.json').read_text())
        for part in content['annotations']:
            outline = part['segmentation']
            mask = rle.merge(rle.frPyObjects(outline, size, size)) if isinstance(outline, list) else outline
            found[split, part['image_id'], part['object_id'], part['category_id']] = mask
    return found


def assert_same(first, second):
    assert first.keys() == second.keys()
    overlaps = [rle.iou([mask], [second[key]], [0])[0, 0] for key, mask in first.items()]
    assert min(overlaps) > 0.97 and sum(overlaps) / len(overlaps) > 0.9999


def test_danish_crowns_from_labelme_and_geopackage(real_data, data_prep, tmp_path):
    folder = real_data / 'denmark_tree_crowns'
    totals = []
    for name, labels in (('a', 'scene0_labelme.json'), ('b', 'scene0_crowns.gpkg')):
        code, stdout, stderr = data_prep(
            'tile', folder / 'scene0_rgb.tif', '--labels', folder / labels, '--out', tmp_path / name,
            '--tile-size', 256, '--split', '0.67,0.33,0', '--json',
        )  # fmt: skip
        assert code == 0, stderr
        totals.append(json.loads(stdout)['totals'])
    assert totals[0]['objects'] == totals[1]['objects'] == 1159 and totals[0]['dropped'] == 0
    first, second = instances(tmp_path / 'a'), instances(tmp_path / 'b')
    assert len(first) > 1500
    assert_same(first, second)


def test_near_infrared_is_left_out_of_four_bands(real_data, data_prep, tmp_path):
    folder = real_data / 'denmark_tree_crowns'
    for name in ('scene0_rgb', 'scene0_rgbn'):
        code, _, stderr = data_prep(
            'tile', folder / f'{name}.tif', '--labels', folder / 'scene0_labelme.json', '--out', tmp_path / name
        )
        assert code == 0, stderr
    pictures = [sorted((tmp_path / name / 'images/val').iterdir()) for name in ('scene0_rgb', 'scene0_rgbn')]
    assert [a.read_bytes() == b.read_bytes() for a, b in zip(*pictures, strict=True)] == [True] * len(pictures[0])
    assert pictures[0]


def test_finnish_deadwood_from_every_format(real_data, data_prep, tmp_path):
    folder = real_data / 'finland_deadwood'
    found = []
    for name in ('R70C21.shp', 'derived/R70C21_labelme.json', 'derived/R70C21_deadwood.geojson'):
        out = tmp_path / str(len(found))
        options = ('--tile-size', 256, '--split', '0.7,0.3,0', '--classes', 'Fallen,Standing')
        code, _, stderr = data_prep('tile', folder / 'R70C21.tif', '--labels', folder / name, '--out', out, *options)
        assert code == 0, stderr
        found.append(instances(out))
    assert {key[3] for key in found[0]} == {1, 2}
    assert_same(found[0], found[1])
    assert_same(found[0], found[2])


def test_folder_as_it_lies(real_data, data_prep, tmp_path):
    code, _, stderr = data_prep(
        'tile', real_data / 'finland_deadwood', '--out', tmp_path / 'o', '--tile-size', 256, '--split', '0.7,0.3,0'
    )
    assert code == 0, stderr
    code, _, stderr = data_prep('tile', real_data / 'denmark_tree_crowns', '--out', tmp_path / 'p')
    assert code == 2 and stderr.count('\n') == 1  # four label files, none named like a raster


@pytest.mark.parametrize('name', ['scene0_rgb', 'scene0_rgbn'])
def test_sources_are_left_as_they_were(real_data, data_prep, tmp_path, name):
    import shutil

    folder = tmp_path / 'in'
    folder.mkdir()
    shutil.copy(real_data / f'denmark_tree_crowns/{name}.tif', folder)
    shutil.copy(real_data / 'denmark_tree_crowns/scene0_crowns.gpkg', folder / f'{name}.gpkg')
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert data_prep('tile', folder, '--out', tmp_path / 'o')[0] == 0
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
