"""The page in a real browser: Debian's chromium, without a screen, driven by mouse, keys and addresses."""

import json

import pytest
from chromium import Browser, program
from reported import EVIL, FOUND, LABELLED, report, write_scene

if program() is None:
    pytest.skip('chromium is not installed: apt-get install chromium', allow_module_level=True)


@pytest.fixture(scope='module')
def browser(tmp_path_factory):
    opened = Browser(tmp_path_factory.mktemp('profile'))
    yield opened
    opened.close()


@pytest.fixture(scope='module')
def page(tmp_path_factory, write_raster):
    folder = tmp_path_factory.mktemp('page')
    made = [write_scene(folder, write_raster, name=name, label=EVIL)[1] for name in ('east', 'west')]
    assert report(*made, '--truth', folder / 'labels', '--out', folder / 'report.html', '--score-thr', 0.5) == 0
    return folder / 'report.html'


def state(browser):
    """What the canvas says of itself."""
    found = dict(browser.js('({...document.querySelector("canvas").dataset})'))
    return {
        **found,
        'drawn': json.loads(found['drawn']),
        'k': float(found['k']),
        'at': (float(found['x']), float(found['y'])),
    }


def middle(browser):
    """Of the canvas, in the window."""
    box = 'document.querySelector("canvas").getBoundingClientRect()'
    return browser.js(f'(b => [b.x + b.width / 2, b.y + b.height / 2])({box})')


def card(browser):
    return browser.js('(c => c.hidden ? "" : c.innerText)(document.querySelector(".tree"))')


def pixel(browser, x, y):
    """Colour of the canvas at a source pixel."""
    return browser.js(f"""(() => {{
      const canvas = document.querySelector('canvas'), d = canvas.dataset;
      const at = (v, c, side) => Math.round((v - c) * d.k + side / 2);
      const [x, y] = [at({x}, d.x, canvas.width), at({y}, d.y, canvas.height)];
      return [...canvas.getContext('2d').getImageData(x, y, 1, 1).data];
    }})()""")


def test_a_page_opens_quietly_and_asks_for_nothing(browser, page):
    browser.open(page)
    assert browser.said == []
    assert [url for url in browser.asked if not url.startswith('data:')] == [f'file://{page}']
    assert state(browser)['drawn'] == {'right': 3, 'label': 3, 'false': 2, 'missed': 2}
    assert state(browser)['at'] == (200, 150) and card(browser) == ''


def test_the_image_lies_under_the_outlines(browser, tmp_path, write_raster):
    import numpy as np

    pixels = np.full((3, 300, 400), 30, np.uint8)
    pixels[0, 200:, 300:] = 250  # a red corner
    made = write_scene(tmp_path, write_raster, found=[((20, 20, 100, 20), 0.9)], pixels=pixels)[1]
    assert report(made, '--out', tmp_path / 'r.html') == 0
    browser.open(tmp_path / 'r.html')
    red, green, blue, _ = pixel(browser, 350, 250)
    assert red > 200 and green < 80 and blue < 80
    edge, inside = pixel(browser, 70, 20), pixel(browser, 70, 30)
    assert edge[2] > 150 and max(inside[:3]) < 60  # sky blue, and nothing


def test_a_link_goes_to_its_tree(browser, page):
    browser.open(page, '#scene=west&tree=4')
    now = state(browser)
    assert now['scene'] == 'west' and now['chosen'] == 'found 2' and now['at'] == (330, 244) and now['k'] > 4
    assert 'Tree 4' in card(browser) and 'false alarm' in card(browser) and '6 m' in card(browser)
    browser.open(page, '#label=5')
    assert state(browser)['scene'] == 'east' and 'missed' in card(browser) and state(browser)['at'] == (55, 253)


def test_a_case_of_the_gallery_goes_to_the_map(browser, page):
    browser.open(page)
    assert browser.js('document.querySelectorAll(".gallery a").length') == 14
    browser.js('document.querySelectorAll(".gallery a")[4].click()')
    browser.frames()
    assert browser.js('location.hash') == '#scene=east&tree=4' and state(browser)['chosen'] == 'found 2'


def test_boxes_show_and_hide_kinds(browser, page):
    browser.open(page)
    browser.js('document.querySelector("[data-kind=false]").click()')
    browser.js('document.querySelector("[data-kind=label]").click()')
    browser.frames()
    assert state(browser)['drawn'] == {'right': 3, 'missed': 2}
    assert browser.js('location.hash').endswith('hide=label+false')
    browser.open(page, '#hide=right+missed')
    assert state(browser)['drawn'] == {'label': 3, 'false': 2}


def test_wheel_and_buttons_zoom_where_they_are(browser, page):
    browser.open(page)
    before, (x, y) = state(browser), middle(browser)
    browser.mouse('mouseWheel', x + 100, y, deltaX=0, deltaY=-200)
    browser.frames()
    after = state(browser)
    assert after['k'] > before['k'] * 1.2
    assert after['at'][0] + 100 / after['k'] == pytest.approx(before['at'][0] + 100 / before['k'], abs=1)
    browser.js('document.querySelector("#whole").click()')
    browser.frames()
    assert state(browser)['k'] == before['k'] and state(browser)['at'] == before['at']


def test_dragging_moves_the_ground_with_the_mouse(browser, page):
    browser.open(page)
    before, (x, y) = state(browser), middle(browser)
    x, y = x + (251 - 200) * before['k'], y + (34 - 150) * before['k']  # on a tree: this is no click
    browser.mouse('mousePressed', x, y, button='left', clickCount=1)
    for step in (20, 40, 60):
        browser.mouse('mouseMoved', x + step, y, button='left', buttons=1)
    browser.mouse('mouseReleased', x + 60, y, button='left', clickCount=1)
    browser.frames()
    after = state(browser)
    assert after['at'][0] == pytest.approx(before['at'][0] - 60 / before['k'], abs=0.2) and after['chosen'] == ''


def test_two_fingers_pinch(browser, page):
    browser.open(page)
    before, (x, y) = state(browser), middle(browser)
    fingers = lambda gap: [{'x': x - gap, 'y': y, 'id': 1}, {'x': x + gap, 'y': y, 'id': 2}]  # noqa: E731
    browser('Input.dispatchTouchEvent', type='touchStart', touchPoints=fingers(40))
    for gap in (60, 80):
        browser('Input.dispatchTouchEvent', type='touchMove', touchPoints=fingers(gap))
    browser('Input.dispatchTouchEvent', type='touchEnd', touchPoints=[])
    browser.frames()
    assert state(browser)['k'] == pytest.approx(before['k'] * 2, rel=0.1)


def test_a_click_shows_a_trees_measures_beside_its_label(browser, page):
    browser.open(page)
    now, (x, y) = state(browser), middle(browser)
    left, top, width, height = FOUND[0][0]
    spot = [
        m + (v - c) * now['k'] for m, v, c in zip((x, y), (left + width / 2, top + height / 2), now['at'], strict=True)
    ]
    browser.click(*spot)
    text = card(browser)
    assert state(browser)['chosen'] == 'found 0' and 'IoU 0.983' in text
    assert '11.8 m' in text and '10.6 to 13' in text and '12 m' in text and 'fell that way' in text
    after, (x, y) = state(browser), middle(browser)
    place = zip((x, y), (left + width / 2, top + height / 2), after['at'], strict=True)
    # The card takes its place, and the ground stays under the mouse.
    assert [m + (v - c) * after['k'] for m, v, c in place] == pytest.approx(spot, abs=1)
    browser.click(spot[0], spot[1] + 20 * after['k'])  # bare ground
    assert card(browser) == ''


def test_keys_do_what_the_mouse_does(browser, page):
    browser.open(page)
    browser.js('document.querySelector("canvas").focus()')
    before = state(browser)
    browser.key('+')
    assert state(browser)['k'] == pytest.approx(before['k'] * 1.5, rel=1e-3)
    browser.key('ArrowRight')
    assert state(browser)['at'][0] > before['at'][0]
    browser.key('n')
    assert 'Tree 1' in card(browser)
    browser.key('p')
    assert 'Label 5' in card(browser)  # the last one
    browser.key('Escape')
    browser.key('0')
    assert card(browser) == '' and state(browser)['k'] == before['k']


def test_labels_and_found_trees_stand_side_by_side(browser, page):
    browser.open(page)
    alone = state(browser)
    browser.js('document.querySelector("#beside").click()')
    browser.frames()
    assert browser.js('location.hash') == '#scene=east&beside=1'
    x, y = middle(browser)
    now, (left, top, width, height) = state(browser), LABELLED[0]
    assert now['drawn'] == alone['drawn']
    quarter = browser.js('document.querySelector("canvas").clientWidth') / 4
    dx, dy = (left + width / 2 - now['at'][0]) * now['k'], (top + height / 2 - now['at'][1]) * now['k']
    browser.click(x - quarter + dx, y + dy)
    assert 'Label 1' in card(browser)


def test_another_scene_is_chosen(browser, page):
    browser.open(page)
    browser.js('(s => { s.value = "1"; s.dispatchEvent(new Event("change")); })(document.querySelector("#scene"))')
    browser.frames()
    assert state(browser)['scene'] == 'west' and browser.js('location.hash') == '#scene=west'


def test_a_class_that_is_a_script_stays_a_word(browser, page):
    browser.open(page, '#tree=1')
    assert EVIL in card(browser) and browser.js('document.querySelectorAll("script").length') == 2
    browser.js("document.body.insertAdjacentHTML('beforeend', '<img src=x onerror=\"window.ran = 1\">')")
    browser.js(
        "(s => { s.textContent = 'window.ran = 1'; document.body.append(s); })(document.createElement('script'))"
    )
    browser.frames()
    assert browser.js('window.ran') is None and any('Content Security Policy' in line for line in browser.said)


@pytest.mark.parametrize('width', [400, 1280])
@pytest.mark.parametrize('dark', [False, True])
def test_nothing_is_wider_than_the_window(browser, page, width, dark):
    browser.size(width, 860, dark)
    browser.open(page, '#tree=1')
    assert browser.js('document.documentElement.scrollWidth <= innerWidth')
    paper = browser.js('getComputedStyle(document.body).backgroundColor')
    assert (sum(map(int, paper[4:-1].split(','))) < 150) is dark
    browser.size(1200, 900)
