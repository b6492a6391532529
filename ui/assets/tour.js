// Six steps through a cluster of node dev. Each asks what will come of something, does it to the
// real processes, waits for what really comes, and tells that with its figures.
import {h, sync} from './dom.js';
import {faults} from './faults.js';
import {mainGroup} from './views.js';

const panel = document.getElementById('tour'), place = document.querySelector('#tools > :last-child'), waiting = new Set();
let state, redraw, step = -1, phase = 'ask', picked = -1, text, said, turn = 0, asked, right, index = 0, side;

const hero = () => state.parts.hero, work = () => state.parts.work;
const group = () => state.parts['group/' + mainGroup(state)] || {rows: []};
const rows = () => group().rows.filter(r => r.voter);
const having = i => rows().filter(r => r.answers && r.commit >= i);
const agent = name => work().agents?.find(a => a.name === name)?.state;
const running = () => work().tasks?.find(t => t.state === 'RUNNING' && agent(t.agent_name) === 'registered');
const pid = name => state.faults.nodes.find(n => n.name === name)?.pid;

function clock() {
  const began = performance.now();
  return () => Math.round(performance.now() - began) + ' ms';
}

// until waits for a state of the page in which f gives something.
const until = f => new Promise((done, fail) => {
  const end = (tell, what) => { clearTimeout(late); waiting.delete(look); tell(what); };
  const look = () => { const got = f(); if (got) end(done, got); };
  const late = setTimeout(() => end(fail, Error('Nothing came of it in 45 s.')), 45_000);
  waiting.add(look);
  look();
});

async function ask(method, path, body) {
  const answer = await fetch(path, {method, body: JSON.stringify(body), headers: {'Content-Type': 'application/json'}}), got = await answer.json();
  if (!answer.ok) throw Error(got.error + ': ' + got.why);
  return got;
}

const fault = (kind, ...nodes) => ask('POST', '/v1/faults', {kind, nodes}).then(() => faults.look(state));

async function write() {
  const took = clock();
  index = (await ask('PUT', '/v1/kv/tour', 'x')).index;
  return took();
}

// Of the choices that at right is true.
const steps = [{
  title: 'See the leader',
  text: () => `${rows().length} nodes have a copy of one log each. One leads, the others follow it: look for the star under Raft.`,
  async run() {
    await until(() => group().quorum);
    const {leader, term, commit} = group(), n = rows().length;
    return `${leader} leads in term ${term}; ${rows().filter(r => r.leader === leader).length} of ${n} nodes follow it, and ${(n >> 1) + 1} are a majority. ${commit} entries are committed.`;
  },
}, {
  title: 'Write',
  text: () => 'The leader sends a write to all as the next entry. Once a majority has it on disk it is committed, and never lost. Watch the end of the logs.',
  async run() {
    const seen = clock(), took = await write(), n = rows().length;
    await until(() => having(index).length === n);
    return `Entry ${index} of term ${group().term} was acknowledged after ${took}. After ${seen()} the page saw it committed on all ${n} nodes.`;
  },
}, {
  title: 'Kill the leader', right: 1,
  text: () => group().leader + ' leads and will be killed, as kill -9 does.' + (group().leader === hero().serving ? ' It serves this page, so another node is made to lead first.' : ''),
  choices: ['Nothing can be written until it is back.', 'Another node leads, in a higher term; what was written is there.', 'Another node leads; what was written last is lost.'],
  async run() {
    const here = hero().serving;
    if (group().leader === here) await ask('POST', '/v1/transfer?to=' + rows().find(r => r.answers && r.node !== here).node);
    await until(() => group().quorum && group().leader !== here); // else the page does not know whom the next follows
    const {name, leader, term} = group(), line = () => state.lines.find(l => l.tag === 'RECOVER' && l.group === name && l.text.includes('after ' + leader));
    await fault('kill', leader);
    await until(() => group().quorum && group().term > term && having(index).length > rows().length / 2 && line());
    const told = `${line().text}. Entry ${index} is on ${having(index).map(r => r.node).join(', ')}. ${leader} is started again now.`;
    await fault('heal');
    return told;
  },
}, {
  title: 'Cut off a minority', right: 1,
  text() {
    const {leader} = group();
    side = rows().map(r => r.node).filter(n => n !== hero().serving).sort((a, b) => (b === leader) - (a === leader)).slice(0, (rows().length - 1) >> 1);
    return `Nothing will pass between ${side.join(', ')} and the others, though all go on running. ${leader} leads now. What will those do that are cut off?`;
  },
  choices: ['Go on, with a leader of their own.', 'Nothing: they find no majority, and commit nothing.', 'Stop the others too.'],
  async run() {
    await until(() => hero().health === 'healthy');
    const passed = clock(), alone = () => rows().filter(r => side.includes(r.node)), rest = rows().length - side.length;
    await fault('cut', ...side);
    await until(() => alone().every(r => r.answers && !r.quorum) && group().quorum && !side.includes(group().leader));
    const after = passed(), took = await write();
    await until(() => having(index).length >= rest);
    return `After ${after} ${side.join(', ')} had no quorum. ${group().leader} leads the other ${rest} in term ${group().term}; they committed entry ${index} in ${took}, while ${alone().map(r => `${r.node} stands at ${r.commit}`).join(', ')}.`;
  },
}, {
  title: 'Heal', right: 2,
  text: () => side.join(', ') + ' will be connected again. What will their logs be?',
  choices: ['As they are.', 'Mixed with the others by time.', 'Equal to the leader’s: what was not committed may go.'],
  async run() {
    const took = clock(), n = rows().length;
    await fault('heal');
    await until(() => hero().health === 'healthy' && having(group().commit).length === n);
    const {ok, count} = state.parts.invariants.prefix;
    return `${took()} after the cut was healed all ${n} logs are equal up to entry ${group().commit}. The page has compared ${count} beginnings of logs and ${ok ? 'never found a difference' : 'FOUND A DIFFERENCE'}.`;
  },
}, {
  title: 'Kill an agent', right: 2,
  text() {
    const t = running();
    return t ? `${t.agent_name} runs ${t.id} for the master. The agent will be killed, then started again.` : 'No agent runs a task yet.';
  },
  choices: ['The task dies with it.', 'The master starts the task elsewhere at once.', 'The task runs on, and its agent finds it again.'],
  async run() {
    const {id, agent_name: name, container} = await until(running), was = pid(name), now = () => work().tasks?.find(t => t.id === id);
    await fault('kill', name);
    await until(() => agent(name) && agent(name) !== 'registered');
    const took = clock();
    await fault('heal');
    await until(() => agent(name) === 'registered' && now()?.state === 'RUNNING' && pid(name) && pid(name) !== was);
    return `${name} was process ${was} and is process ${pid(name)}, registered again ${took()} after it was started. ${id} runs in ${now().container === container ? 'the same' : 'ANOTHER'} container, ${now().container.slice(0, 8)}.`;
  },
}];

export const tour = {
  begin(s, f) { [state, redraw] = [s, f]; },
  look: () => waiting.forEach(f => f()),

  draw(shown) {
    sync(place, [shown.faults && rows().length > 2 && step < 0 && h('button', {test: 'tour', onclick: () => { asked = right = 0; go(0); }}, 'Tour in six steps')]);
    panel.hidden = step < 0 || !!shown.replaying;
    if (step >= 0) sync(panel, view(steps[step]));
  },
};

function view(s) {
  const asks = phase === 'ask', ready = phase === 'told' || asks && (!s?.choices || picked >= 0);
  if (s && asks) text = s.text();
  return [h('h2', {id: 'h-tour'}, s ? `Tour, step ${step + 1} of 6: ${s.title}` : 'The tour is over'),
    h('p', {key: 'text', role: 'status'}, s ? text : `You foretold ${right} of ${asked}. The buttons under Members are yours now.`),
    s?.choices && asks && h('fieldset', {}, h('legend', {}, 'Predict what will happen:'), s.choices.map((choice, i) =>
      h('label', {key: i}, h('input', {type: 'radio', name: 'predict', test: 'predict-' + i, checked: picked === i, onchange: () => { picked = i; redraw(); }}), ' ', choice))),
    h('p', {key: 'said', role: 'status', class: asks ? 'bad' : '', test: 'tour-said'}, said),
    s && h('button', {test: 'tour-next', 'data-phase': phase, 'aria-disabled': String(!ready), onclick: () => press(s)}, phase === 'told' ? 'Next' : s.title),
    h('button', {test: 'tour-end', onclick: leave}, 'End the tour')];
}

// press acts on what is so now: what was drawn may be old.
function press(s) {
  if (s !== steps[step]) return;
  if (phase === 'told') go(step + 1);
  else if (phase === 'ask' && (!s.choices || picked >= 0)) run(s);
}

function go(n) {
  [step, phase, picked, said] = [n, 'ask', -1, ''];
  redraw();
}

async function run(s) {
  const mine = ++turn, foretold = picked === s.right, was = !s.choices ? '' : foretold ? 'As you foretold: ' : `You foretold “${s.choices[picked]}” But: `;
  [phase, said] = ['wait', 'Waiting for what really happens …'];
  redraw();
  const then = await s.run().then(told => ['told', was + told], e => fault('heal').catch(() => {}).then(() => ['ask', e.message]));
  if (mine !== turn) return; // the tour was left
  [phase, said] = then;
  if (phase === 'told' && s.choices) [asked, right] = [asked + 1, right + foretold];
  redraw();
}

// leave ends the tour, and what it has broken.
function leave() {
  turn++;
  if (steps[step] && (step === 4 || phase !== 'ask')) fault('heal').catch(() => {}); // if the node is lost the banner tells
  go(-1);
  setTimeout(() => place.firstChild?.focus(), 100);
}
