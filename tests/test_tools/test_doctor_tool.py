import json

import pytest


@pytest.fixture(scope='module')
def doctor(run_tool, tiny_config, tmp_path_factory):
    """Run the doctor on the tiny config; returns the process and the folder it wrote to."""

    def run(*args, config=tiny_config):
        folder = tmp_path_factory.mktemp('doctor')
        return run_tool('doctor.py', config, '--work-dir', folder, '--samples', 4, *args), folder

    return run


def test_findings_as_json_with_the_validators_among_them(doctor):
    done, folder = doctor('--json', '--cfg-options', 'train_cfg.max_iters=400', 'train_cfg.val_interval=100')
    found = json.loads(done.stdout)
    assert done.returncode == found['exit_code'], done.stderr
    names = {finding['check'] for finding in found['findings']}
    assert {'coco-file', 'config', 'learning-rate', 'memory'} <= names
    assert not [item for item in found['findings'] if 'could not be checked' in item['message']]
    assert found['page'] == str(folder / 'doctor.html') and (folder / 'doctor.html').is_file()
    recipe = [item for item in found['findings'] if item['check'] in ('learning-rate', 'lr-schedule', 'start-weights')]
    assert {item['verdict'] for item in recipe} == {'ok'}


def test_a_fault_is_shown_first_and_in_the_exit_code(doctor):
    options = ['optim_wrapper.optimizer.lr=0.08', 'model.panoptic_head.loss_cls.class_weight=[1.0,1.0,0.1]']
    done, folder = doctor('--out', 'page.html', '--cfg-options', *options)
    assert done.returncode == 2
    lines = done.stdout.splitlines()
    assert lines[0].startswith('ERROR') and 'do not start' in done.stdout and lines[-1] == 'page.html'
    assert {line.split()[1] for line in lines if line.startswith('ERROR')} >= {'learning-rate', 'class-counts'}
    assert 'Traceback' not in done.stderr


def test_annotations_that_crash_a_reader_are_found(doctor, tiny_config, tiles, tmp_path):
    (tmp_path / 'images').symlink_to(tiles / 'images')
    (tmp_path / 'annotations').mkdir()
    for split in ('train', 'val', 'test'):
        coco = json.loads((tiles / f'annotations/instances_{split}.json').read_text())
        for annotation in coco['annotations']:
            x, y, width, height = annotation['bbox']
            annotation['bbox'] = [x, y, x + width, y + height]
        (tmp_path / f'annotations/instances_{split}.json').write_text(json.dumps(coco))
    done, _ = doctor('--json', '--cfg-options', f'data_root={tmp_path}')
    found = json.loads(done.stdout)
    assert done.returncode == 2
    codes = {item['figures']['code'] for item in found['findings'] if item['check'] == 'coco-file'}
    assert codes & {'bbox-xyxy', 'bbox-disagrees'}


@pytest.mark.parametrize(
    ('args', 'words'),
    [
        (['--cfg-options', 'optim_wraper.lr=1'], 'optim_wraper'),
        (['--samples', '0'], '--samples'),
    ],
)
def test_what_cannot_be_read_is_one_line(doctor, args, words):
    done, folder = doctor(*args)
    errors = [line for line in done.stderr.splitlines() if line.startswith('error:')]
    assert done.returncode == 2 and len(errors) == 1 and words in errors[0] and 'Traceback' not in done.stderr
    assert not list(folder.iterdir())


def test_data_that_are_missing_are_a_finding(doctor):
    done, folder = doctor('--json', '--cfg-options', 'data_root=nowhere')
    (found,) = json.loads(done.stdout)['findings']
    assert (done.returncode, found['check'], found['verdict']) == (2, 'config', 'error')
    assert (folder / 'doctor.html').is_file()
