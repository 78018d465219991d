function element(name, text, parent) {
  const made = document.createElement(name);
  made.textContent = text;  // never as HTML: names come from data
  parent.append(made);
  return made;
}

function show() {
  const before = pane();
  card.hidden = !chosen;
  card.replaceChildren();
  if (chosen) fill();
  view.x += (pane().w - before.w) / 2 / (view.k || 1);  // the ground stays where it is while the card takes its place
  view.y += (pane().h - before.h) / 2 / (view.k || 1);
}

function fill() {
  const here = scene(), own = here[chosen.side], n = chosen.n, partner = own.partner[n];
  const f = chosen.side === 'found' ? n : partner, t = chosen.side === 'truth' ? n : partner;
  const found = f >= 0 ? here.found : null, truth = t >= 0 ? here.truth : null;
  element('h3', (chosen.side === 'found' ? 'Tree ' : 'Label ') + own.id[n], card);
  const words = [own.class[n]];
  if (found) words.push(`score ${found.score[f]}`);
  words.push(WORDS[own.verdict[n]] + (found && truth ? ` (IoU ${found.iou[f]})` : ''));
  element('p', words.filter(Boolean).join(', '), card).className = 'soft';
  const table = element('table', '', card), head = element('tr', '', table);
  const columns = [...(found ? ['found'] : []), ...(truth ? ['labelled'] : [])];
  ['', ...columns].forEach(text => element('th', text, head));
  for (const [key, name, unit] of ROWS) {
    const row = element('tr', '', table);
    element('td', name, row);
    for (const [trees, place] of [[found, f], [truth, t]]) {
      if (!trees) continue;
      const value = trees.measures[key][place], ends = trees.intervals && trees.intervals[key];
      const cell = element('td', value === null ? 'not known' : `${value}${unit === '°' ? '' : ' '}${unit}`, row);
      if (key === 'azimuth_deg' && value !== null && trees.direction[place])
        element('small', trees.direction[place] === 'fall' ? 'fell that way' : 'axis', cell);
      if (ends && ends[place]) { element('small', `${ends[place][0]} to ${ends[place][1]}`, cell); }
    }
  }
  const steps = element('div', '', card);
  steps.className = 'steps';
  element('button', '← previous', steps).onclick = () => step(-1);
  element('button', 'next →', steps).onclick = () => step(1);
  const close = element('button', '✕', card);
  close.className = 'close';
  close.setAttribute('aria-label', 'close');
  close.onclick = () => { choose(null); canvas.focus(); };
}

function choose(tree, near = false) {
  chosen = tree;
  show();
  if (tree && near) {
    const [x0, y0, x1, y1] = scene()[tree.side].box[tree.n], {w, h} = pane();
    const k = Math.min(w * .45 / (x1 - x0), h * .45 / (y1 - y0), CLOSEST / 2);
    view = {x: (x0 + x1) / 2, y: (y0 + y1) / 2, k: Math.max(k, farthest())};
  }
  write();
  draw();
}

function step(by) {
  const list = [], here = scene();
  for (const side of ['found', 'truth'])
    here[side].kind.forEach((kind, n) => { if (on(kind) && kind !== 'label') list.push({side, n}); });
  if (!list.length) return;
  const now = list.findIndex(tree => chosen && tree.side === chosen.side && tree.n === chosen.n);
  choose(list[(now + by + list.length + (now < 0 && by < 0 ? 1 : 0)) % list.length], true);
}

function count() {
  document.querySelectorAll('[data-count]').forEach(output => {
    const kind = output.dataset.count, trees = scene()[LOOK[kind].of];
    output.textContent = trees.kind.filter(own => own === kind).length;
  });
}

function open(number) {
  at = number;
  chosen = null;
  if (find('#scene')) find('#scene').value = String(at);
  count();
  show();
  whole();
}

function side(wanted) {
  beside = wanted;
  find('#beside').setAttribute('aria-pressed', String(beside));
  view.k = Math.max(view.k, farthest());
  write();
  draw();
}

let written = '';
function write() {  // the address says what is shown
  const part = new URLSearchParams();
  if (scenes.length > 1 || chosen) part.set('scene', scene().name);
  if (chosen) part.set(chosen.side === 'found' ? 'tree' : 'label', scene()[chosen.side].id[chosen.n]);
  const hidden = boxes.filter(box => !box.checked && !['unsure', 'ignored'].includes(box.dataset.kind));
  if (hidden.length) part.set('hide', hidden.map(box => box.dataset.kind).join(' '));
  if (beside) part.set('beside', '1');
  written = `#${part}`;
  try { history.replaceState(null, '', written); } catch (error) { /* not in a frame without an address */ }
}

function read() {
  if (location.hash === written || !location.hash.includes('=')) return false;
  const part = new URLSearchParams(location.hash.slice(1)), id = part.get('tree') ?? part.get('label');
  const on_side = part.has('tree') ? 'found' : 'truth';
  if (part.has('hide')) boxes.forEach(box => { box.checked = !part.get('hide').split(' ').includes(box.dataset.kind); });
  if (find('#beside') && part.has('beside')) side(part.get('beside') === '1');
  let number = scenes.findIndex(here => here.name === part.get('scene'));
  if (number < 0 && id !== null) number = scenes.findIndex(here => here[on_side].id.includes(id));
  if (number < 0) return false;
  if (number !== at) open(number);
  const n = id === null ? -1 : scene()[on_side].id.indexOf(id);
  if (n >= 0) choose({side: on_side, n}, true);
  return n >= 0;
}

const place = event => {
  const edge = canvas.getBoundingClientRect();
  return {x: event.clientX - edge.left, y: event.clientY - edge.top};
};
const touching = new Map();
let travelled = 0;
canvas.onpointerdown = event => {
  canvas.setPointerCapture(event.pointerId);
  touching.set(event.pointerId, place(event));
  if (touching.size === 1) travelled = 0;
  canvas.classList.add('held');
};
canvas.onpointermove = event => {
  const before = touching.get(event.pointerId), now = place(event);
  if (!before) { canvas.style.cursor = hit(now.x, now.y) ? 'pointer' : ''; return; }
  const [other] = [...touching].filter(([id]) => id !== event.pointerId).map(([, point]) => point);
  if (other) {
    const gap = point => Math.max(Math.hypot(point.x - other.x, point.y - other.y), 1);
    zoom(gap(now) / gap(before), ((now.x + other.x) / 2) % pane().w, (now.y + other.y) / 2);
    move((now.x - before.x) / 2, (now.y - before.y) / 2);
  } else {
    move(now.x - before.x, now.y - before.y);
  }
  travelled += Math.hypot(now.x - before.x, now.y - before.y);
  touching.set(event.pointerId, now);
};
const lift = event => {
  const point = touching.get(event.pointerId);
  touching.delete(event.pointerId);
  if (!touching.size) canvas.classList.remove('held');
  if (point && event.type === 'pointerup' && travelled < 5) choose(hit(point.x, point.y));
};
canvas.onpointerup = canvas.onpointercancel = lift;
canvas.addEventListener('wheel', event => {
  const before = view.k, {x, y} = place(event);
  zoom(Math.exp(-Math.max(-60, Math.min(60, event.deltaY)) * .0045), x % pane().w, y);
  if (view.k !== before) event.preventDefault();  // else the page scrolls on
}, {passive: false});
canvas.ondblclick = event => zoom(2, place(event).x % pane().w, place(event).y);
canvas.onkeydown = event => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const act = {ArrowLeft: () => move(60, 0), ArrowRight: () => move(-60, 0), ArrowUp: () => move(0, 60), ArrowDown: () => move(0, -60),
               '+': () => zoom(1.5), '=': () => zoom(1.5), '-': () => zoom(1 / 1.5), 0: whole, n: () => step(1), p: () => step(-1),
               b: () => find('#beside') && side(!beside), Escape: () => choose(null)}[event.key];
  if (act) { event.preventDefault(); act(); }
};
find('#in').onclick = () => zoom(1.6);
find('#out').onclick = () => zoom(1 / 1.6);
find('#whole').onclick = whole;
if (find('#beside')) find('#beside').onclick = () => side(!beside);
if (find('#scene')) find('#scene').onchange = event => { open(Number(event.target.value)); write(); };
boxes.forEach(box => { box.onchange = () => { write(); draw(); }; });
window.addEventListener('hashchange', () => { if (read()) find('#map').scrollIntoView(); });
new ResizeObserver(() => { view.k = Math.max(view.k, farthest()); draw(); }).observe(canvas);
open(0);
if (read()) find('#map').scrollIntoView({behavior: 'instant'});
