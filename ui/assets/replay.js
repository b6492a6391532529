// Record and replay: the page as it was, from its own tape or from a file. No node is asked.
import {h, sync} from './dom.js';
import {clock} from './views.js';
import {read} from './tape.js';

let tape, changed, list = [], at = 0, timer = 0, speed = 1, from = '', said = '', back = null;
const bar = document.getElementById('replay'), tools = document.querySelector('#tools > :first-child');
const minutes = ms => `${Math.floor(ms / 60_000)} min ${Math.round(ms / 1000) % 60} s`;

export const replay = {
  on: false,
  now: () => list[at],

  // begin shows the buttons. change is called when another moment is to be drawn.
  begin(theTape, change) {
    [tape, changed] = [theTape, change];
    draw();
  },

  // event goes to where a line of the timeline came, and tells whether there is a recording of that.
  event(line) {
    const moments = replay.on ? list : tape.moments();
    const i = moments.findIndex((m, i) => m.lines !== moments[i - 1]?.lines && m.lines.some(l => l.seq === line.seq && l.time === line.time));
    if (i < 0 || line.time < moments[0].at - 1000) return false;
    start(moments, i, replay.on ? from : 'what this page has seen', '');
    return true;
  },

  broken(section) {
    said = `The ${section} cannot be shown: the recording is damaged here.`;
    draw();
  },
};

function start(moments, i, name, text) {
  if (!replay.on) back = document.activeElement;
  replay.on = true;
  [list, from] = [moments, name];
  go(i, text);
}

function stop() {
  pause();
  replay.on = false;
  said = '';
  draw();
  changed();
  (back.isConnected ? back : tools.firstChild).focus();
}

// go shows a moment and stops what plays.
function go(i, text = '') {
  pause();
  [at, said] = [i, text];
  draw();
  changed();
}

function pause() {
  clearTimeout(timer);
  timer = 0;
}

function play() {
  const end = list.length - 1, first = at < end ? at : 0, began = performance.now();
  const tick = () => {
    let i = at;
    while (i < end && list[i + 1].at <= list[first].at + (performance.now() - began) * speed) i++;
    if (i !== at) go(i);
    if (i < end) timer = setTimeout(tick, 50);
    draw();
  };
  go(first);
  tick();
}

async function open(input) {
  const file = input.files[0];
  let got = {moments: [], wrong: 'The file cannot be read, or has more than 64 MB.'};
  try {
    if (file.size < 64e6) got = read(await file.text());
  } catch (e) {
    // It has gone, or is no text.
  }
  input.value = ''; // so that the same file can be chosen again
  said = got.wrong;
  if (!got.moments.length) return draw();
  start(got.moments, 0, file.name, got.wrong);
  bar.querySelector('input').focus();
}

function save() {
  const {messages, ms, size, gone} = tape.about(), link = document.createElement('a');
  link.href = URL.createObjectURL(new Blob([tape.file()]));
  link.download = `synod-${Date.now()}.ndjson`;
  link.click();
  setTimeout(URL.revokeObjectURL, 10_000, link.href);
  said = `Saved: ${minutes(ms)}, ${messages} messages, ${Math.ceil(size / 1000)} kB. ` + (gone ? `${gone} older ones are left out: 10 minutes or 32 MB are kept.` : 'Nothing is left out.');
  draw();
}

function draw() {
  document.body.dataset.replay = replay.on;
  document.title = replay.on ? 'REPLAY – Synod' : 'Synod';
  bar.hidden = !replay.on;
  sync(tools, [
    h('button', {test: 'record', onclick: save}, 'Save a recording'),
    h('button', {test: 'replay-open', onclick: () => tools.querySelector('input').click()}, 'Open a recording'),
    h('input', {type: 'file', hidden: true, test: 'replay-file', onchange: e => open(e.target)}),
    h('span', {role: 'status'}, said)]);
  if (!replay.on) return;
  const m = list[at], end = list.length - 1;
  sync(bar, [h('p', {class: 'line'},
    h('strong', {test: 'replay-word'}, 'REPLAY'), h('span', {}, `of ${from}: ${new Date(m.at).toLocaleDateString()} `, h('b', {}, clock(m.at)), ` after ${minutes(m.at - list[0].at)} of ${minutes(list[end].at - list[0].at)}`),
    h('button', {test: 'replay-play', onclick: () => timer ? go(at) : play()}, timer ? 'Pause' : 'Play'),
    h('input', {type: 'range', test: 'replay-at', 'aria-label': 'moment', 'aria-valuetext': clock(m.at), min: 0, max: end, value: at, oninput: e => go(Number(e.target.value))}),
    h('label', {}, 'Speed ', h('select', {test: 'replay-speed', onchange: e => { speed = Number(e.target.value); if (timer) play(); }}, [1, 0.25, 4, 16].map(s => h('option', {value: s, key: 's' + s}, s + '×')))),
    h('button', {test: 'replay-live', onclick: stop}, 'Back to live'))]);
}
