import json

import pytest

from fallen_trees.annotations.classes import (
    classes_in,
    read_coco,
    require_classes,
    require_images,
    require_instances,
)
from fallen_trees.errors import ConfigError


def coco(*categories, annotations=(1,), images=('a.png',)):
    return dict(
        images=[dict(id=i, file_name=name) for i, name in enumerate(images)],
        annotations=[dict(category_id=i) for i in annotations],
        categories=[dict(id=i, name=name) for i, name in categories],
    )


def test_classes_keep_the_order_of_the_file(tmp_path):
    assert classes_in(coco((2, 'b'), (1, 'a')), tmp_path) == (('b', 'a'), [])


def test_unused_root_category_is_dropped_and_said(tmp_path):
    names, notes = classes_in(coco((0, 'trees'), (1, 'log')), tmp_path)
    assert names == ('log',)
    assert 'trees' in notes[0]


def test_category_zero_with_annotations_is_kept_and_said(tmp_path):
    names, notes = classes_in(coco((0, 'log'), (1, 'stump'), annotations=(0, 1)), tmp_path)
    assert names == ('log', 'stump')
    assert 'label 0' in notes[0]


@pytest.mark.parametrize('categories', [(), ((1, 'a'), (2, 'a'))], ids=['none', 'same name'])
def test_unusable_categories_are_refused(tmp_path, categories):
    with pytest.raises(ConfigError, match='categor'):
        classes_in(coco(*categories), tmp_path)


def test_misspelt_class_is_refused_with_the_nearest(tmp_path):
    with pytest.raises(ConfigError, match="'fallen_tree' meant"):
        require_classes(('fallen tree',), coco((1, 'fallen_tree')), tmp_path)


def test_another_order_in_the_file_is_refused(tmp_path):
    # MMDetection would train 'b' under the name 'a'.
    with pytest.raises(ConfigError, match='order'):
        require_classes(('a', 'b'), coco((1, 'b'), (2, 'a')), tmp_path)


def test_a_file_without_images_is_refused(tmp_path):
    with pytest.raises(ConfigError, match='no image'):
        require_classes(('a',), coco((1, 'a'), images=()), tmp_path)


def test_a_file_without_instances_of_the_classes_is_refused(tmp_path):
    with pytest.raises(ConfigError, match='no annotation'):
        require_instances(('b',), coco((1, 'a'), (2, 'b'), annotations=(1,)), tmp_path)


def test_missing_images_are_counted(tmp_path):
    (tmp_path / 'a.png').touch()
    with pytest.raises(ConfigError, match='1 of 2 images.*b.png'):
        require_images(coco((1, 'a'), images=('a.png', 'b.png')), tmp_path, tmp_path / 'x.json')


@pytest.mark.parametrize(
    ('content', 'said'),
    [('{', 'JSON'), ('[]', 'images'), (json.dumps(dict(images=[], annotations=[])), 'categories'), (None, 'data_prep')],
)
def test_unreadable_files_are_refused(tmp_path, content, said):
    file = tmp_path / 'x.json'
    if content is not None:
        file.write_text(content)
    with pytest.raises(ConfigError, match=said):
        read_coco(file)
