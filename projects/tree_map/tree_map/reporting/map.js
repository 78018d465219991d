'use strict';
const scenes = JSON.parse(document.getElementById('data').textContent);
const find = selector => document.querySelector(selector);
const canvas = find('canvas'), card = find('.tree'), pen = canvas.getContext('2d');
const boxes = [...document.querySelectorAll('[data-kind]')];
const style = getComputedStyle(document.documentElement);
const colour = name => style.getPropertyValue(`--${name}-map`).trim();
const LOOK = {  // of outlines, in the order they are drawn; those of labels are dashed
  ignored: {of: 'found', ink: colour('rest'), dash: []}, unsure: {of: 'found', ink: colour('rest'), dash: []},
  label: {of: 'truth', ink: colour('label'), dash: [2, 3]}, right: {of: 'found', ink: colour('right'), dash: []},
  found: {of: 'found', ink: colour('right'), dash: []}, missed: {of: 'truth', ink: colour('missed'), dash: [7, 3]},
  false: {of: 'found', ink: colour('false'), dash: []},
};
const WORDS = {right: 'found right', false: 'false alarm', missed: 'missed', unsure: 'score below the threshold',
               ignored: 'on ground that does not count', found: ''};
const ROWS = [['length_m', 'length', 'm'], ['diameter_mid_m', 'diameter', 'm'], ['volume_m3', 'volume', 'm³'],
              ['azimuth_deg', 'direction', '°']];
const CLOSEST = 16;  // screen pixels a source pixel, at most
let at = 0, view = {x: 0, y: 0, k: 0}, chosen = null, beside = false, waiting = false;
document.documentElement.classList.add('js');

for (const scene of scenes) {
  for (const side of ['found', 'truth']) {
    const trees = scene[side];
    trees.shape = trees.path.map(path => new Path2D(path));
    trees.kind = trees.verdict.map(verdict => side === 'truth' && verdict === 'right' ? 'label' : verdict);
  }
}
[...document.querySelectorAll('.overview')].forEach(image => {
  scenes[image.dataset.scene].image = image;
  image.decode().then(draw, () => {});
});

const scene = () => scenes[at];
const size = () => ({w: canvas.clientWidth, h: canvas.clientHeight});
const pane = () => ({w: size().w / (beside ? 2 : 1), h: size().h});
const farthest = () => Math.min(pane().w / scene().width, pane().h / scene().height) * .98;
const on = kind => boxes.some(box => box.dataset.kind === kind && box.checked);

function whole() { view = {x: scene().width / 2, y: scene().height / 2, k: farthest()}; draw(); }

function zoom(factor, x = pane().w / 2, y = pane().h / 2) {
  const k = Math.min(Math.max(view.k * factor, Math.min(farthest(), view.k)), Math.max(CLOSEST, view.k));
  const dx = x - pane().w / 2, dy = y - pane().h / 2;
  view = {x: view.x + dx / view.k - dx / k, y: view.y + dy / view.k - dy / k, k};
  draw();
}

function move(dx, dy) {
  const clamp = (value, side) => Math.min(Math.max(value, 0), side);
  view.x = clamp(view.x - dx / view.k, scene().width);
  view.y = clamp(view.y - dy / view.k, scene().height);
  draw();
}

function draw() {
  if (waiting) return;
  waiting = true;
  requestAnimationFrame(() => { waiting = false; paint(); });
}

function paint() {
  const ratio = window.devicePixelRatio || 1, {w, h} = size();
  if (canvas.width !== Math.round(w * ratio) || canvas.height !== Math.round(h * ratio)) {
    canvas.width = Math.round(w * ratio);
    canvas.height = Math.round(h * ratio);
  }
  if (!view.k) { view = {x: scene().width / 2, y: scene().height / 2, k: farthest()}; }
  pen.setTransform(ratio, 0, 0, ratio, 0, 0);
  pen.clearRect(0, 0, w, h);
  const drawn = {};
  if (beside) {
    layer(0, ['truth'], drawn);
    layer(w / 2, ['found'], drawn);
    caption('labelled', 0);
    caption('found', w / 2);
  } else {
    layer(0, ['truth', 'found'], drawn);
  }
  ruler();
  Object.assign(canvas.dataset, {scene: scene().name, x: view.x.toFixed(1), y: view.y.toFixed(1), k: view.k.toFixed(4),
                                 drawn: JSON.stringify(drawn), chosen: chosen ? `${chosen.side} ${chosen.n}` : ''});
}

function layer(left, sides, drawn) {
  const {w, h} = pane(), here = scene(), k = view.k, reach = {x: w / 2 / k, y: h / 2 / k};
  pen.save();
  pen.beginPath();
  pen.rect(left, 0, w, h);
  pen.clip();
  pen.translate(left + w / 2, h / 2);
  pen.scale(k, k);
  pen.translate(-view.x, -view.y);
  pen.fillStyle = '#3d443d';
  pen.fillRect(0, 0, here.width, here.height);
  if (here.image && here.image.complete) {
    pen.imageSmoothingEnabled = k * here.width / here.picture[0] < 4;
    pen.imageSmoothingQuality = 'high';
    pen.drawImage(here.image, 0, 0, here.width, here.height);
  }
  pen.scale(here.step, here.step);
  pen.lineJoin = 'round';
  const unit = 1 / (k * here.step);
  for (const [kind, look] of Object.entries(LOOK)) {
    if (!sides.includes(look.of) || !on(kind)) continue;
    const trees = here[look.of];
    trees.kind.forEach((own, n) => {
      const [x0, y0, x1, y1] = trees.box[n];
      if (own !== kind || x1 < view.x - reach.x || x0 > view.x + reach.x || y1 < view.y - reach.y || y0 > view.y + reach.y) return;
      drawn[kind] = (drawn[kind] || 0) + 1;
      stroke(trees.shape[n], look, unit, chosen && chosen.side === look.of && chosen.n === n);
    });
  }
  if (chosen && sides.includes(chosen.side)) {  // over all others, also where its kind is not shown
    const trees = here[chosen.side];
    stroke(trees.shape[chosen.n], LOOK[trees.kind[chosen.n]], unit, true);
  }
  pen.restore();
}

function stroke(shape, look, unit, strong) {
  const near = Math.min(Math.max((view.k / scene().gsd - 10) / 50, 0), 1);  // by screen pixels a metre: thinner from afar
  const width = strong ? 3.2 : 1.3 + .7 * near;
  const dash = look.dash.map(length => length * unit * (strong ? 1.3 : .7 + .3 * near));
  pen.setLineDash(strong ? [] : dash);
  pen.strokeStyle = strong ? 'rgba(0,0,0,.8)' : 'rgba(0,0,0,.55)';
  pen.lineWidth = (width + (strong ? 2 : 1.4)) * unit;
  pen.stroke(shape);
  if (strong) { pen.fillStyle = 'rgba(255,255,255,.22)'; pen.fill(shape, 'evenodd'); }
  pen.setLineDash(dash);
  pen.strokeStyle = look.ink;
  pen.lineWidth = width * unit;
  pen.stroke(shape);
}

function caption(text, left) {
  pen.font = '600 13px system-ui, sans-serif';
  const width = pen.measureText(text).width + 16;
  pen.fillStyle = 'rgba(0,0,0,.65)';
  pen.fillRect(left + 8, 8, width, 24);
  pen.fillStyle = '#fff';
  pen.fillText(text, left + 16, 25);
  if (left) pen.fillRect(left - 1, 0, 2, size().h);
}

function ruler() {
  const gsd = scene().gsd, wanted = 110 / view.k * gsd, power = 10 ** Math.floor(Math.log10(wanted));
  const length = [5, 2, 1].map(part => part * power).find(value => value <= wanted);
  const wide = length / gsd * view.k, y = size().h - 16;
  const text = `${+length.toPrecision(1)} m`;
  pen.font = '12px system-ui, sans-serif';
  pen.fillStyle = 'rgba(0,0,0,.65)';
  pen.fillRect(8, y - 20, Math.max(wide, pen.measureText(text).width) + 16, 30);
  pen.fillStyle = '#fff';
  pen.fillText(text, 16, y - 5);
  pen.fillRect(16, y + 1, wide, 3);
}

function hit(x, y) {
  const left = beside && x > pane().w ? pane().w : 0, here = scene();
  const sides = beside ? [left ? 'found' : 'truth'] : ['found', 'truth'];
  const px = view.x + (x - left - pane().w / 2) / view.k, py = view.y + (y - pane().h / 2) / view.k, slop = 6 / view.k;
  const hits = [];
  pen.save();
  pen.setTransform(1, 0, 0, 1, 0, 0);
  pen.setLineDash([]);
  pen.lineWidth = 2 * slop / here.step;
  for (const side of sides) {
    here[side].kind.forEach((kind, n) => {
      const [x0, y0, x1, y1] = here[side].box[n], shape = here[side].shape[n];
      if (!on(kind) || px < x0 - slop || px > x1 + slop || py < y0 - slop || py > y1 + slop) return;
      if (pen.isPointInPath(shape, px / here.step, py / here.step, 'evenodd') ||
          pen.isPointInStroke(shape, px / here.step, py / here.step)) hits.push({side, n, area: (x1 - x0) * (y1 - y0)});
    });
  }
  pen.restore();
  return hits.sort((a, b) => (a.side > b.side) - (a.side < b.side) || a.area - b.area)[0] || null;
}
