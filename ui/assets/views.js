// How each part of the state looks. State is told by a word and a shape, and by colour beside them.
import {h} from './dom.js';
import {buttons, links} from './faults.js';

const marks = {leader: '★', follower: '●', candidate: '▲', 'pre-candidate': '△', 'non-voter': '○', up: '●', silent: '◌', dead: '✕', unknown: '?',
  registered: '●', disconnected: '◌', recovered: '◌', unreachable: '✕', gone: '✕', healthy: '●', degraded: '◐', 'no quorum': '✕'};
const mark = (word, shown) => span('mark ' + String(word).replace(' ', '-'), h('span', {'aria-hidden': 'true'}, marks[word] || '·'), ' ', shown || word);
const states = {up: 'up', silent: 'no answer', dead: 'dead', unknown: 'not asked yet'};
const column = (key, ...kids) => h('th', {scope: 'col', key}, ...kids);
const kind = (tag, attrs) => (...kids) => h(tag, attrs, ...kids);
const td = kind('td', {}), num = kind('td', {class: 'num'}), head = kind('th', {scope: 'row'}), small = kind('small', {}), bold = kind('b', {});
const span = (c, ...kids) => h('span', {class: c}, ...kids);
const two = n => String(n).padStart(2, '0');
export const clock = ms => { const d = new Date(ms); return `${two(d.getHours())}:${two(d.getMinutes())}:${two(d.getSeconds())}.${String(d.getMilliseconds()).padStart(3, '0')}`; };
export const columnsFor = width => Math.max(5, Math.min(30, Math.floor((Math.min(width, 1280) - (width < 700 ? 225 : 410)) / (width < 700 ? 30 : 33))));
const number = n => Number(n || 0).toLocaleString('en');
const many = (n, word) => `${number(n)} ${word}${n === 1 ? '' : 's'}`;
const of = (state, kind) => Object.keys(state.parts).filter(k => k.startsWith(kind + '/')).map(k => state.parts[k]);
const byName = (a, b) => a.name.length - b.name.length || (a.name < b.name ? -1 : 1);
const none = text => h('p', {class: 'none'}, text);

function table(label, heads, rows, attrs) {
  return h('div', {class: 'scroll', key: 't-' + label}, h('table', {'aria-label': label, ...attrs},
    h('thead', {}, h('tr', {}, heads.map(t => typeof t === 'object' ? t : column(t, t)))), h('tbody', {}, rows)));
}

const checks = {leader: 'one leader a term', chosen: 'chosen never changes', prefix: 'prefixes equal'};

export function hero(state) {
  const hero = state.parts.hero;
  if (!hero) return [h('h1', {}, 'Synod'), h('p', {}, 'Looking at the cluster …')];
  const invariants = state.parts.invariants || {};
  return [
    h('h1', {}, 'Synod ', h('small', {title: 'cluster ' + hero.cluster}, 'seen from ' + hero.serving)),
    h('p', {class: 'line'},
      h('strong', {test: 'hero-health', 'data-health': hero.health}, mark(hero.health, hero.health.toUpperCase())),
      h('span', {}, `${hero.up} of ${many(hero.nodes, 'node')} up`),
      hero.groups.map(g => h('span', {test: g.name === mainGroup(state) ? 'hero-leader' : 'hero-leader-' + g.name, 'data-leader': g.leader || '', 'data-term': g.term},
        g.name + ' ', g.leader ? bold('★ ' + g.leader) : bold('no leader'), ' ', g.ballot ? 'ballot ' + g.ballot : 'term ' + g.term)),
      h('span', {test: 'hero-master', 'data-master': hero.master || ''}, 'master ', bold(hero.master || 'none')),
      h('span', {test: 'hero-tasks', 'data-running': hero.running}, `${many(hero.running, 'task')} on ${many(hero.agents, 'agent')}`)),
    h('p', {class: 'line checks'}, Object.keys(checks).filter(c => invariants[c]).map(c => h('span', {test: 'invariant-' + c, 'data-ok': String(invariants[c].ok),
      'data-count': invariants[c].count, class: invariants[c].ok ? 'ok' : 'bad'},
      invariants[c].ok ? '✓ ' : '✕ BROKEN ', checks[c], small(' ' + number(invariants[c].count) + ' compared'),
      invariants[c].last ? h('em', {}, ' ' + invariants[c].last) : null))),
    (hero.reasons || []).length > 0 && h('ul', {class: 'reasons', test: 'hero-reasons'}, hero.reasons.map(r => h('li', {key: r}, r))),
  ];
}

// mainGroup is the first group that Raft keeps, or else the first.
export function mainGroup(state) {
  const groups = of(state, 'group').sort(byName);
  return (groups.find(g => g.engine !== 'paxos') || groups[0] || {}).name;
}

export function members(state, act) {
  const nodes = of(state, 'node').sort(byName), observers = nodes.filter(n => n.state === 'up').map(n => n.name);
  const main = state.parts['group/' + mainGroup(state)];
  const agents = state.parts.work?.agents || [];
  return [table('members', ['Node', 'This page asks it', 'Gossip', ...(state.faults ? ['Break it'] : [])], nodes.map(n => {
    const held = observers.map(o => n.gossip[o]).filter(Boolean), dead = held.filter(s => s === 'dead').length;
    return h('tr', {test: 'node-' + n.name, id: 'm-' + n.name, 'data-state': n.state, 'data-voter': String(n.voter)},
      head(n.name, main && main.leader === n.name ? h('span', {class: 'star', title: 'leads ' + main.name}, ' ★') : null,
        n.serving ? small(' this page') : n.api && !state.replaying ? [' ', h('a', {href: location.protocol + '//' + n.api + '/', class: 'to'}, 'its page')] : null),
      td(mark(n.state, states[n.state]), n.since ? small(` since ${clock(n.since).slice(0, 8)} ${n.why || ''}`) : null),
      td(dead === 0 ? `alive to all ${held.length}` : `dead to ${dead} of ${held.length}`, n.voter ? '' : small(' no voter')),
      state.faults && h('td', {class: 'acts'}, buttons(state, n.name, act)));
  }), {class: 'stack'}),
  state.faults && links(state, act),
  state.faults && agents.length > 0 && table('agents to break', ['Agent', 'State', 'Break it'], agents.filter(a => a.state !== 'gone').map(a =>
    h('tr', {key: a.id}, head(a.name), td(mark(a.state)), h('td', {class: 'acts'}, buttons(state, a.name, act)))), {class: 'stack'}),
  state.faults && h('p', {class: 'hint', key: 'demo'}, 'This is a demonstration: the buttons kill, stop and cut off real processes of this machine.')];
}

// map draws what the table of members says. A member is a link to its row there.
export function map(state) {
  const m = state.parts.map, line = (kind, [x1, y1, x2, y2], attrs) => h('line', {class: kind, x1, y1, x2, y2, ...attrs});
  return !m ? [] : [m.nodes.length > 0 && h('svg', {viewBox: '0 0 440 290', role: 'group', 'aria-label': m.label},
    m.links.map(l => line('', l)), m.walls.map(w => [line('cut', w.link), line('wall', w.bar, {test: 'wall-' + w.between.join('-')})]),
    m.nodes.map(n => {
      const {x, y, state, leads} = n, word = leads ? 'leads' : states[state];
      return h('a', {href: '#m-' + n.name, class: `${state} ${leads ? 'leads' : ''}`, test: 'map-' + n.name, 'data-state': state, 'aria-label': `${n.name}: ${word} ${leads || ''}`},
        state === 'dead' ? h('rect', {x: x - 19, y: y - 19, width: 38, height: 38}) : h('circle', {cx: x, cy: y, r: 21}), h('text', {x, y: y + 5}, n.name.length > 5 ? n.name.slice(0, 4) + '…' : n.name),
        h('text', {x, y: y + 37, class: 'low'}, (leads ? '★ ' : marks[state] + ' ') + word), leads && h('text', {x, y: y + 52, class: 'low'}, leads));
    })), h('p', {class: m.walls.length ? 'bad' : 'hint', test: 'map-label'}, m.label)];
}

export function groups(state) {
  const list = of(state, 'group').sort((a, b) => (a.engine === 'paxos') - (b.engine === 'paxos') || byName(a, b));
  return list.flatMap(g => [
    h('h2', {key: 'h-' + g.name}, g.engine === 'paxos' ? 'Paxos' : 'Raft', ' ', small('group ' + g.name + (g.leader ? '' : ', no leader'))),
    g.engine === 'paxos' ? paxos(g, state.columns) : raft(g, state), contests(g)]);
}

// contests are who asked to lead, who refused and why.
function contests(g) {
  const steps = (g.contests || []).slice().reverse();
  return steps.length > 0 && h('details', {key: 'c-' + g.name, test: 'contests-' + g.name}, h('summary', {}, g.engine === 'paxos' ? 'Ballots and refusals' : 'Elections and refusals',
    small(` the last: ${steps[0].node} ${steps[0].what} ${steps[0].peer || ''} in ${steps[0].in}`)),
    table('contests of ' + g.name, ['Time', 'Node', 'Did', g.engine === 'paxos' ? 'Ballot' : 'Term', 'Why'], steps.map((c, i) => h('tr', {key: c.time + c.node + c.what + i, 'data-what': c.what, 'data-node': c.node},
      td(clock(c.time)), head(c.node), td(c.what === 'refuses' ? '✕ refuses ' + c.peer : c.what === 'became leader' ? '★ became leader' : c.what),
      td(c.in.replace(/^\w+ /, '')), td(c.why || '')))));
}

const replicaHeads = word => [column('n', 'Node'), column('r', 'Role'), h('th', {scope: 'col', key: 't', class: 'wide'}, word),
  h('th', {scope: 'col', key: 'c', class: 'wide'}, 'Commit'), column('b', 'Behind')];

function replica(g, r, id) {
  const role = !r.answers ? (r.role === '-' ? 'unknown' : 'silent') : !r.voter && r.role === 'follower' ? 'non-voter' : r.role;
  return [h('th', {scope: 'row', key: 'n'}, r.node),
    h('td', {key: 'r'}, mark(role, role === 'silent' ? 'no answer' : role === 'leader' ? 'LEADER' : role),
      r.answers && !r.quorum ? h('b', {class: 'bad'}, ' no quorum') : null, r.wrong ? h('small', {class: 'bad'}, ' ' + r.wrong) : null),
    h('td', {key: 't', class: 'wide num'}, r.ballot || r.term), h('td', {key: 'c', class: 'wide num'}, number(r.commit)),
    h('td', {key: 'b', class: 'num'}, r.behind ? number(r.behind) : '0')];
}

const rowAttrs = (g, r, id) => ({test: id, 'data-group': g.name, 'data-role': r.answers ? r.role : 'silent', 'data-term': r.term, 'data-ballot': r.ballot, 'data-commit': r.commit,
  'data-last': r.last, 'data-leader': r.leader || '', 'data-quorum': String(r.answers && r.quorum), class: r.answers ? '' : 'away'});

function raft(g, state) {
  const columns = state.columns, from = Math.max(1, g.last - columns + 1), main = g.name === mainGroup(state);
  const indexes = Array.from({length: Math.min(columns, g.last)}, (_, i) => from + i);
  const id = r => 'raft-' + (main ? '' : g.name + '-') + r.node;
  return [h('p', {class: 'hint', key: 'p-' + g.name}, indexes.length ? `Entries ${number(from)} to ${number(g.last)}; a cell shows its term. ` : 'No entries yet. ',
      span('cell k', '7'), ' committed ', span('cell open', '7?'), ' not committed ', span('cell snap', 'S'), ' in the snapshot alone'),
    table('log of ' + g.name, [...replicaHeads('Term'), ...indexes.map(i => h('th', {scope: 'col', key: 'i' + i, class: 'idx', 'aria-label': 'entry ' + i}, i === from || i % 5 === 0 ? short(i) : '·'))],
      g.rows.map(r => h('tr', rowAttrs(g, r, id(r)), replica(g, r), indexes.map(i => entry(r, i, id(r))))), {class: 'strip', test: 'group-' + g.name, 'data-last': g.last})];
}

const short = i => i < 10000 ? String(i) : '…' + String(i % 1000).padStart(3, '0');

function entry(r, i, id) {
  const run = (r.runs || []).find(run => run[0] <= i && i <= run[1]);
  const done = i <= r.commit;
  if (run) return h('td', {key: 'i' + i, test: id + '-entry-' + i, 'data-term': run[2], 'data-committed': String(done)},
    h('span', {class: 'cell h' + run[2] % 6 + (done ? ' k' : ' open'), title: `entry ${i} of term ${run[2]}, ${done ? 'committed' : 'not committed as far as ' + r.node + ' knows'}`}, short(run[2]) + (done ? '' : '?')));
  if (i < r.first && i <= r.last) return h('td', {key: 'i' + i}, h('span', {class: 'cell snap', title: 'in the snapshot'}, 'S'));
  return h('td', {key: 'i' + i}, span('cell'));
}

function paxos(g) {
  const acceptors = g.rows.filter(r => r.voter || r.votes);
  const instances = Array.from({length: Math.min(8, g.last)}, (_, i) => g.last - i);
  return [table('replicas of ' + g.name, replicaHeads('Ballot'), g.rows.map(r => h('tr', rowAttrs(g, r, 'paxos-' + r.node), replica(g, r))), {test: 'group-' + g.name}),
    h('p', {class: 'hint', key: 'p-' + g.name}, 'Votes, instance by acceptor: the ballot in which each has accepted. ', span('vote', '✓ 1.2.0'), ' accepted ',
      span('vote learned', '⇣'), ' learned from others ', span('vote', '–'), ' nothing'),
    table('votes of ' + g.name, ['Instance', ...acceptors.map(r => column(r.node, r.node, r.promised ? small(' promised ' + r.promised) : null)), 'Result'],
      instances.map(i => {
        const votes = acceptors.map(r => [r, (r.votes || []).find(v => v.i === i)]), known = votes.map(([, v]) => v).filter(Boolean), chosen = known.some(v => v.c);
        return h('tr', {key: 'i' + i}, head(number(i)), votes.map(([r, v]) => h('td', {test: `paxos-${i}-${r.node}`, 'data-vote': v ? v.v || 'learned' : '', 'data-group': g.name},
          !v ? span('vote', r.answers ? '–' : 'no answer') : v.v ? span('vote', '✓ ' + v.v) : span('vote learned', '⇣ learned'))),
          td(chosen ? bold('chosen') : 'open', ' ', small(known.length ? `${known[0].k || 'command'} first proposed in ${known[0].b}` : '')));
      }), {class: 'votes', test: 'votes-' + g.name})];
}

let open = null, log = '';

async function show(task, act) {
  const key = task.framework + '/' + task.id;
  open = open === key ? null : key;
  log = 'reading …';
  act(null);
  if (!open) return;
  const at = '/v1/tasks/' + encodeURIComponent(task.framework) + '/' + encodeURIComponent(task.id) + '/logs?tail=15';
  try {
    const [out, err] = await Promise.all(['stdout', 'stderr'].map(s => fetch(at + '&stream=' + s).then(async r => r.ok ? r.text() : JSON.parse(await r.text()).error)));
    if (open === key) log = (out || '(nothing on stdout)\n') + (err ? '\nstderr:\n' + err : '');
  } catch (e) {
    if (open === key) log = 'the log cannot be read: ' + e.message;
  }
  act(null);
}

const resources = text => String(text || '').split(';').map(r => r.replace(/:/, ' ').replace(/\[(.*)\]/, '$1')).join(', ');

export function work(state, act) {
  const work = state.parts.work || {};
  if (!work.agents) return [none('No master leads, or this program has none.')];
  return [h('p', {class: 'hint', key: 'm'}, 'Master ', bold(work.master), ` leads in term ${work.term}`, work.lost ? h('b', {class: 'bad'}, ', and does not answer: what follows is what it told last') : '',
      `. Tasks: ${number(work.running)} running, ${number(work.ended)} ended.`),
    work.agents.length === 0 ? none('No agents.') : table('agents', ['Agent', 'State', 'Tasks', 'Has', 'Used', 'Offered now'], work.agents.map((a, i) =>
      h('tr', {test: 'agent-' + a.name, 'data-state': a.state, 'data-tasks': a.tasks}, head(a.name), td(mark(a.state), a.draining ? ' draining' : a.inactive ? ' no offers' : ''),
        num(a.tasks), td(resources(a.resources)), td(resources(a.used)), td(resources(work.offered[i]) || '–')))),
    work.frameworks.length > 0 && table('frameworks', ['Framework', 'Connected', 'Tasks', 'Offers', 'Uses'], work.frameworks.map((f, i) => h('tr', {test: 'framework-' + f.id, 'data-connected': String(f.connected)},
      head(f.name || f.id), td(f.connected ? '● yes' : '◌ no'), num(f.tasks), num(work.offers[i]), td(resources(f.used))))),
    work.tasks.length === 0 ? none('No tasks.') : table('tasks', ['Task', 'State', 'Agent', 'Since', 'Container', 'Log'], work.tasks.flatMap(t => {
      const key = t.framework + '/' + t.id;
      return [h('tr', {test: 'task-' + t.id, 'data-state': t.state, 'data-agent': t.agent_name, 'data-container': t.container},
        head(t.id, t.framework === 'synod' ? '' : small(' ' + t.framework)),
        td(t.state === 'RUNNING' ? '● ' : '◌ ', t.state, t.health ? ' ' + t.health : '', t.message && t.state !== 'RUNNING' ? small(' ' + t.message) : null),
        td(t.agent_name || t.agent), td(clock(t.since).slice(0, 8)), td(small(t.container)),
        td(h('button', {test: 'task-' + t.id + '-log', 'aria-expanded': String(open === key), disabled: state.replaying, onclick: () => show(t, act)}, open === key ? 'Hide' : 'Log'))),
        open === key && !state.replaying && h('tr', {key: 'log-' + key}, h('td', {colspan: 6}, h('pre', {tabindex: '0', test: 'task-log'}, log)))];
    }))];
}

export function sessions(state) {
  const s = state.parts.sessions;
  if (!s || Object.keys(s.nodes).length === 0) return [none('This program keeps no sessions.')];
  return [h('p', {class: 'hint', test: 'sessions', 'data-open': s.open}, `${many(s.open, 'session')} open.`),
    table('connections', ['Node', 'Sessions connected', 'Watches of streams'], Object.keys(s.nodes).sort().map(n => h('tr', {key: n}, head(n),
      num(s.nodes[n].connections), num(s.nodes[n].watches)))),
    s.list.length > 0 && table('sessions', ['Session', 'Timeout', 'Opened', 'Own keys'], s.list.map(x => h('tr', {test: 'session-' + x.id}, head(x.id),
      td(x.timeout), td(clock(x.opened).slice(0, 8)), num(x.ephemeral))))];
}

export function actors(state) {
  return Object.keys(state.parts).filter(k => k.startsWith('actors/')).sort().map(k => {
    const name = k.slice(7), list = state.parts[k], restarts = list.reduce((n, a) => n + a.restarts, 0), here = new Set(list.map(a => a.name)), told = new Set();
    const row = (a, deep) => !told.has(a.name) && told.add(a.name) && [h('tr', {test: `actor-${name}-${a.name}`, 'data-restarts': a.restarts, 'data-waiting': a.waiting},
      h('th', {scope: 'row', class: 'deep' + Math.min(deep, 4)}, deep ? '└ ' : '', deep && a.name.startsWith(a.parent) ? a.name.slice(a.parent.length + 1) : a.name),
      num(a.waiting), num(a.restarts), td(a.panic ? h('small', {class: 'bad'}, clock(a.panic_at).slice(0, 8) + ' ' + a.panic) : '–')),
      list.filter(b => b.parent === a.name).map(b => row(b, deep + 1))];
    return h('details', {key: k, test: 'actors-' + name, 'data-restarts': restarts},
      h('summary', {}, bold(name), ` ${many(list.length, 'actor')}, ${many(restarts, 'restart')}`, restarts ? span('bad', ' ▲') : null),
      table('actors of ' + name, ['Actor', 'Waiting', 'Restarts', 'Last panic'], list.filter(a => !here.has(a.parent)).flatMap(a => row(a, 0))));
  });
}

export function lost(hero, others) {
  return [bold(`${hero ? hero.serving : 'The node'} does not answer. `), 'What is shown is what it told last. ',
    ...others.map(n => h('a', {key: n.name, href: location.protocol + '//' + n.api + '/', class: 'to'}, 'the page of ' + n.name))];
}
