"""`convert --split`: every image is in one split, the seed decides which, and all splits have the same categories."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_prep.convert.document import Document, Item
from data_prep.convert.splitting import split_documents
from data_prep.errors import DataError

RING = [[2, 2], [20, 2], [20, 20]]


@pytest.fixture
def photos(tmp_path, write_raster, write_labelme):
    """Ten photos with LabelMe files; `rare` is on one of them."""
    for number in range(10):
        write_raster(tmp_path / f'photos/p{number}.png', (32, 32), seed=number, driver='PNG', crs=None, transform=None)
        shapes = [('log', RING)] * (1 + number % 3) + [('rare', RING)] * (number == 4)
        write_labelme(tmp_path / f'photos/p{number}.json', shapes, (32, 32))
    return tmp_path / 'photos'


def read(folder):
    return {path.parent.name: json.loads(path.read_text()) for path in folder.glob('*/_annotations.coco.json')}


def test_images_are_shared_out_whole(data_prep, photos, tmp_path):
    code, out, err = data_prep(
        'convert', photos, '--to', 'roboflow', '--split', '0.6,0.2,0.2', '--out', tmp_path / 'data'
    )
    found = read(tmp_path / 'data')
    names = {split: {image['file_name'] for image in coco['images']} for split, coco in found.items()}
    assert {split: len(images) for split, images in names.items()} == dict(train=6, valid=2, test=2)
    assert set.union(*names.values()) == {f'p{number}.png' for number in range(10)}
    for split, images in names.items():
        assert {path.name for path in (tmp_path / 'data' / split).glob('*.png')} == images
    assert len({json.dumps(coco['categories']) for coco in found.values()}) == 1
    assert sum(len(coco['annotations']) for coco in found.values()) == 20
    assert code == 1 and 'shows no rare; choose another --split or --seed' in err


def test_the_seed_decides_and_nothing_else(data_prep, photos, tmp_path):
    def split(name, *args):
        code, _, err = data_prep('convert', *args, '--to', 'roboflow', '--split', '0.5,0.5,0', '--out', tmp_path / name)
        assert code in (0, 1), err
        return {i['file_name'] for i in read(tmp_path / name)['train']['images']}

    files = sorted(photos.glob('*.json'))
    one = split('a', photos)
    assert one == split('b', *reversed(files)) == split('c', photos, '--seed', '0')
    assert any(one != split(f's{seed}', photos, '--seed', seed) for seed in (1, 2, 3))


def test_coco_and_one_file_an_image_know_the_split_too(data_prep, photos, tmp_path):
    for to, pattern in (('coco', 'instances_*.json'), ('labelme', '*/*.json')):
        data_prep('convert', photos, '--to', to, '--split', '0.8,0.2,0', '--out', tmp_path / to)
        assert list((tmp_path / to).glob(pattern))
    assert sorted(path.name for path in (tmp_path / 'coco').iterdir()) == ['instances_train.json', 'instances_val.json']
    assert len(list((tmp_path / 'labelme/val').iterdir())) == 2


def test_what_is_split_already_or_too_few_is_refused(data_prep, photos, tmp_path):
    data_prep('convert', photos, '--to', 'roboflow', '--split', '0.8,0.2,0', '--out', tmp_path / 'data')
    for inputs, said in (
        ([tmp_path / 'data'], 'is split already (train)'),
        ([photos / 'p1.json', photos / 'p2.json'], 'got 2 images'),
    ):
        code, _, err = data_prep(
            'convert', *inputs, '--to', 'coco', '--split', '0.8,0.1,0.1', '--out', tmp_path / 'new'
        )  # fmt: skip
        assert code == 2 and said in err and not (tmp_path / 'new').exists()


@given(counts=st.lists(st.integers(0, 9), min_size=3, max_size=30), seed=st.integers(0, 99))
def test_no_image_is_lost_or_doubled(counts, seed):
    documents = [Document(f'd{n}', f'd{n}.json', [Item('log', [])] * count) for n, count in enumerate(counts)]
    placed, _ = split_documents(documents, (0.6, 0.2, 0.2), seed)
    assert [document.name for document in placed] == [document.name for document in documents]
    assert {document.split for document in placed} == {'train', 'val', 'test'}
    with pytest.raises(DataError, match='split already'):
        split_documents(placed, (0.6, 0.2, 0.2), seed)
