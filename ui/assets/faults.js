// What can be broken, while the cluster is one for demonstrations.
import {h} from './dom.js';

const picked = new Set();
let trouble = null, busy = false;

export const faults = {
  // look asks whether faults can be made here, and which there are.
  async look(state) {
    try {
      const answer = await fetch('/v1/faults');
      const told = answer.ok ? await answer.json() : {};
      state.faults = told.demo ? told : null;
    } catch (e) {} // the banner says that the node does not answer
  },

  async act(fault, state) {
    if (!fault) return;
    trouble = null;
    busy = true;
    try {
      const answer = await fetch('/v1/faults', {method: 'POST', headers: {'Content-Type': 'application/json'}, body: JSON.stringify(fault)});
      if (!answer.ok) trouble = {...await answer.json(), fault};
      else for (const name of fault.nodes || []) picked.delete(name);
    } catch (e) {
      trouble = {error: 'the node does not answer', why: e.message, fault};
    }
    busy = false;
    await faults.look(state);
  },
};

const process = (state, name) => state.faults?.nodes?.find(n => n.name === name);

// buttons are what can be done to the process of a node or an agent.
export function buttons(state, name, act) {
  const p = process(state, name);
  if (!p) return [h('small', {}, 'not started by this demonstration')];
  const button = (kind, text, can) => h('button', {test: `node-${name}-${kind}`, class: kind === 'kill' ? 'danger' : '', 'aria-label': `${text} ${name}`, disabled: !can,
    onclick: () => act({kind, node: name})}, text);
  return [
    h('label', {key: 'pick'}, h('input', {type: 'checkbox', test: 'pick-' + name, 'aria-label': `choose ${name} for a cut`, checked: picked.has(name),
      onchange: e => { if (e.target.checked) picked.add(name); else picked.delete(name); act(null); }})),
    button('kill', 'Kill', p.state !== 'down'), button('restart', 'Restart', p.state !== 'paused'),
    p.state === 'paused' ? button('resume', 'Resume', true) : button('pause', 'Pause', p.state === 'running'),
    h('small', {test: `process-${name}`, 'data-state': p.state, 'data-pid': p.pid || 0}, p.pid ? `pid ${p.pid}` : '', p.state === 'running' ? '' : ' ' + p.state)];
}

// links are what can be done to the links of those that are chosen, and the faults in force.
export function links(state, act) {
  const chosen = () => [...picked].sort(), none = picked.size === 0; // when a button is pressed
  const shown = trouble;
  return [
    h('p', {class: 'line', key: 'cut'},
      h('button', {test: 'cut', disabled: none, onclick: () => act({kind: 'cut', nodes: chosen()})}, none ? 'Cut off those chosen above' : 'Cut off ' + chosen().join(', ')),
      h('button', {test: 'slow', disabled: none, onclick: () => act({kind: 'slow', nodes: chosen(), delay: '800ms'})}, 'Slow them by 800 ms'),
      h('button', {test: 'heal', onclick: () => act({kind: 'heal'})}, 'Heal all'), busy && h('small', {}, 'working …')),
    shown && h('p', {class: 'bad', key: 'trouble', role: 'alert', test: 'fault-refused'}, shown.error, shown.why ? ': ' + shown.why : '', ' ',
      shown.code === 'E-QUORUM' && h('button', {class: 'danger', test: 'fault-yes', onclick: () => act({...shown.fault, yes: true})}, 'That is the lesson: do it')),
    state.faults.faults.length > 0 && h('ul', {class: 'reasons', key: 'faults', test: 'faults'}, state.faults.faults.map(f => h('li', {key: f.id, test: 'fault-' + f.id},
      h('b', {}, f.text), f.seen ? '; ' + f.seen : '', ' ', h('button', {'aria-label': `Heal: ${f.text}`, onclick: () => act({kind: 'heal', id: f.id})}, 'Heal'))))];
}
