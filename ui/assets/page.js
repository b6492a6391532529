// The page: it keeps the parts that the node sends, and draws those that have changed.
import {sync} from './dom.js';
import * as views from './views.js';
import {timeline} from './timeline.js';
import {faults} from './faults.js';
import {blank, newTape, next} from './tape.js';
import {replay} from './replay.js';
import {tour} from './tour.js';

// state is what is live; what is drawn is that, or a moment that is replayed.
const state = {...blank, faults: null, columns: 24};
const tape = newTape();
const holder = id => document.querySelector(`#${id} > div`) || document.getElementById(id);
const motion = !/[?&]motion=off/.test(location.search);
document.body.classList.toggle('still', !motion);

// What each part is drawn in.
const drawn = {hero: ['hero'], invariants: ['hero'], node: ['members', 'hero'], map: ['map'], group: ['groups', 'members'], work: ['work', 'members'],
  sessions: ['sessions'], actors: ['actors']};
const stale = new Set();
let asked = false;

function mark(part) {
  for (const section of drawn[part.split('/')[0]] || []) stale.add(section);
}

// later draws with the next frame of the screen, however many messages come before it.
function later() {
  if (asked) return;
  asked = true;
  requestAnimationFrame(draw);
}

function draw() {
  asked = false;
  const shown = replay.on ? {...state, ...replay.now(), faults: null, replaying: true} : state;
  for (const section of stale) {
    try {
      if (section === 'timeline') timeline.draw(holder(section), shown);
      else sync(holder(section), views[section](shown, act));
    } catch (e) {
      if (!replay.on) throw e;
      holder(section).replaceChildren();
      replay.broken(section);
    }
  }
  stale.clear();
  tour.draw(shown);
  document.body.dataset.seq = shown.seq;
  if (shown.seq > 0) document.body.dataset.ready = 'true';
}

function drawAll() {
  for (const sections of Object.values(drawn)) sections.forEach(s => stale.add(s));
  stale.add('timeline');
  later();
}

function act(fault) {
  const done = faults.act(fault, state);
  refresh();
  return done.then(refresh);
}

function refresh() {
  stale.add('members'); stale.add('groups'); stale.add('hero'); stale.add('work');
  later();
}

function measure() {
  const columns = views.columnsFor(document.documentElement.clientWidth);
  if (columns === state.columns) return;
  state.columns = columns;
  stale.add('groups');
  later();
}

function receive(text, whole) {
  const message = JSON.parse(text), at = Date.now();
  tape.add(text, whole, at);
  const changed = [...Object.keys(message.parts || {}), ...(whole ? Object.keys(state.parts) : [])];
  Object.assign(state, next(state, message, whole, at));
  if (!replay.on) { // else what is shown is of another time
    changed.forEach(mark);
    if (whole || message.lines) stale.add('timeline');
    timeline.say(message.lines || []);
  }
  tour.look();
  if (message.lines) {
    if (message.lines.some(l => l.tag === 'FAULT' || l.tag === 'RECOVER' || /member|peer/.test(l.kind || ''))) faults.look(state).then(refresh);
  }
  later();
}

const banner = document.getElementById('banner');

function connection(lost) {
  banner.hidden = !lost;
  document.body.dataset.connected = !lost;
  if (!lost) return;
  const others = Object.values(state.parts).filter(p => p.api && p.gossip && !p.serving);
  sync(banner, views.lost(state.parts.hero, others));
}

function connect() {
  const source = new EventSource('/v1/page/events');
  source.addEventListener('all', e => { connection(false); receive(e.data, true); });
  source.addEventListener('frame', e => receive(e.data, false));
  source.onopen = () => connection(false);
  source.onerror = () => {
    connection(true);
    if (source.readyState === EventSource.CLOSED) setTimeout(connect, 2000); // what is not 200, as of a node that starts, ends it for good
  };
}

connect();
addEventListener('resize', measure);
timeline.begin(() => { stale.add('timeline'); later(); });
replay.begin(tape, drawAll);
tour.begin(state, refresh);
faults.look(state).then(refresh);
measure();
stale.add('timeline');
