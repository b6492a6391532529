// What has happened, the newest first, with reasons.
import {h, sync} from './dom.js';
import {clock} from './views.js';
import {replay} from './replay.js';

const sorts = {
  fault: ['FAULT', 'RECOVER'], log: ['RAFT', 'PAXOS', 'NODE'], gossip: ['GOSSIP'], work: ['TASK', 'AGENT', 'FRAMEWORK', 'MASTER', 'JOB', 'OFFER'],
};
const names = {fault: 'faults and recoveries', log: 'Raft and Paxos', gossip: 'gossip', work: 'tasks and agents'};
let shown = {fault: true, log: true, gossip: true, work: true}, held = null, chosen = null, redraw = () => {}, said = 0;

const sortOf = tag => Object.keys(sorts).find(s => sorts[s].includes(tag));

export const timeline = {
  begin(f) { redraw = f; },
  say,

  draw(element, state) {
    if (!state.replaying && chosen && chosen.frozen) chosen = null;
    const lines = (!state.replaying && held || state.lines).filter(l => !sortOf(l.tag) || shown[sortOf(l.tag)]);
    sync(element, [
      h('div', {class: 'tools'},
        h('button', {test: 'timeline-pause', 'aria-pressed': String(!!held), disabled: state.replaying, onclick: () => { held = held ? null : state.lines; redraw(); }},
          held ? 'Go on' : 'Pause'),
        Object.keys(sorts).map(s => h('label', {key: s}, h('input', {type: 'checkbox', checked: shown[s], test: 'filter-' + s,
          onchange: e => { shown = {...shown, [s]: e.target.checked}; redraw(); }}), ' ', names[s]))),
      h('ol', {role: 'log', 'aria-live': 'off', 'aria-label': 'events, the newest first; arrow keys and Enter show a moment', tabindex: '0', class: 'lines', test: 'timeline', onkeydown: move},
        lines.map(l => h('li', {test: 'timeline-' + l.seq, 'data-tag': l.tag, 'data-kind': l.kind, 'data-time': l.time, 'data-node': l.node, 'data-chosen': isChosen(l), onclick: e => choose(e, l)},
          h('time', {}, h('button', {tabindex: '-1', 'aria-expanded': String(isChosen(l)), 'aria-label': `${clock(l.time)}: show this moment`}, clock(l.time))), h('b', {}, l.tag), h('span', {}, l.node ? h('i', {}, l.node) : null, l.node ? ' ' : '',
            l.group && l.tag !== 'RECOVER' ? l.group + ': ' : '', l.text),
          isChosen(l) && h('pre', {tabindex: '0', test: 'event-json'}, chosen.told + '\n' + JSON.stringify(l, null, 2))))),
      lines.length === 0 && h('p', {class: 'none'}, 'Nothing has happened yet that would be told here.'),
    ]);
  },
};

const isChosen = l => !!chosen && chosen.line.seq === l.seq && chosen.line.time === l.time;

// choose shows an event as it came and, if there is a recording, the page as it was then.
function choose(event, line) {
  if (event.target.closest('pre') || String(getSelection())) return;
  if (isChosen(line)) chosen = null;
  else {
    const frozen = replay.event(line);
    chosen = {line, frozen, told: frozen ? 'The page is shown as it was when this came.' : 'There is no recording of that moment.'};
  }
  redraw();
}

// move lets the arrow keys go from event to event.
function move(event) {
  const step = {ArrowDown: 1, ArrowUp: -1}[event.key], all = [...event.currentTarget.querySelectorAll('time button')];
  if (!step || event.target.localName === 'pre') return;
  event.preventDefault();
  const to = all[all.indexOf(document.activeElement) + step];
  if (to) to.focus();
}

// say has a screen reader tell faults and recoveries alone, at most one every two seconds.
function say(lines) {
  const line = lines.findLast(l => l.tag === 'FAULT' || l.tag === 'RECOVER');
  if (!line || Date.now() - said < 2000 || Date.now() - line.time > 5000) return;
  said = Date.now();
  document.getElementById('said').textContent = line.text;
}
