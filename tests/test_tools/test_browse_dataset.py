import cv2
import pytest


@pytest.mark.parametrize('split', ['train', 'val'])
def test_samples_as_fed_become_pictures_and_a_page(run_tool, tiny_config, tmp_path, split):
    out = tmp_path / 'seen'
    done = run_tool('browse_dataset.py', tiny_config, '--out', out, '--samples', '3', '--split', split)
    assert done.returncode == 0, done.stderr
    assert f'3 samples of {split}' in done.stdout
    page = (out / 'index.html').read_text()
    for name in ('0001.png', '0002.png', '0003.png'):
        assert name in page
        height, width = cv2.imread(str(out / name)).shape[:2]
        side = (width - 2 * 6) // 3  # three panels with gaps
        assert 480 <= max(side, height) <= 544  # crops of 48 to 64 px, some eight times as large
    assert cv2.imread(str(out / 'contact_sheet.png')).shape[1] == 3 * (320 + 6)


def test_the_order_of_channels_is_the_networks(run_tool, tiny_config, tmp_path):
    tool = ('browse_dataset.py', tiny_config, '--samples', '1', '--out', tmp_path / 'seen')
    assert run_tool(*tool).returncode == 0
    options = ('--cfg-options', 'model.data_preprocessor.bgr_to_rgb=False')
    right = cv2.imread(str(tmp_path / 'seen/0001.png'))[:, :400]
    assert run_tool(*tool, *options).returncode == 0  # its own folder is replaced
    wrong = cv2.imread(str(tmp_path / 'seen/0001.png'))[:, :400]
    assert (right == wrong[..., ::-1]).all() and (right != wrong).any()


def test_another_folder_is_left_alone(run_tool, tiny_config, tmp_path):
    (tmp_path / 'mine.txt').write_text('kept')
    done = run_tool('browse_dataset.py', tiny_config, '--out', tmp_path, '--samples', '1')
    assert done.returncode == 2 and 'Traceback' not in done.stderr
    assert (tmp_path / 'mine.txt').read_text() == 'kept'
