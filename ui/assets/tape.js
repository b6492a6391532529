// Moments of the page: made of the node's messages, kept, saved as a file and read again. A file may
// come from anybody: nothing in it is believed.

export const blank = {at: 0, seq: 0, parts: {}, lines: []};

// next is the moment after a message. It shares with the one before what has not changed.
export function next(was, message, whole, at) {
  const parts = whole ? {} : {...was.parts}, lines = whole ? [] : was.lines;
  for (const [name, part] of Object.entries(message.parts || {})) {
    if (part === null) delete parts[name];
    else parts[name] = part;
  }
  return {at: Math.max(at, was.at), seq: message.seq, parts, lines: message.lines ? lines.concat(message.lines).sort((a, b) => b.time - a.time || b.seq - a.seq).slice(0, 300) : lines};
}

// newTape keeps the newest messages: of so many milliseconds, and so many characters. What goes
// becomes the moment that the rest begins with.
export function newTape(longest = 600_000, most = 32_000_000) {
  let first = [], kept = [], size = 0, gone = 0;
  const after = (was, m) => next(was || blank, JSON.parse(m.text), m.whole, m.at);
  return {
    add(text, whole, at) {
      kept.push({text, whole, at});
      size += text.length;
      while (kept.length > 1 && (size > most || at - kept[0].at > longest)) {
        const old = kept.shift();
        first = [after(first[0], old)];
        size -= old.text.length;
        gone++;
      }
    },
    moments() {
      let [now] = first;
      return [...first, ...kept.map(m => now = after(now, m))];
    },
    about: () => ({messages: first.length + kept.length, size, gone, ms: kept.length && kept.at(-1).at - (first[0] || kept[0]).at}),
    file: () => [JSON.stringify({recording: 'synod page', version: 1, messages: first.length + kept.length, left_out: gone}), ...first.map(m => `{"at":${m.at},"whole":true,"data":${JSON.stringify(m)}}`),
      ...kept.map(m => `{"at":${m.at},"whole":${m.whole},"data":${m.text}}`), ''].join('\n'),
  };
}

const mostMessages = 20_000;

// read makes moments of a file's text. wrong says what is wrong with it: then they are those before.
export function read(text) {
  const [first, ...rows] = text.split('\n', mostMessages + 1), head = parsed(first), moments = [];
  if (head.recording !== 'synod page' || head.version !== 1) return {moments, wrong: 'This is no recording that this page can read.'};
  let why = '';
  for (const row of rows) {
    const m = parsed(row);
    if (!row) continue;
    if (why = foul(m)) break;
    moments.push(next(moments.at(-1) || blank, m.data, m.whole === true, m.at));
  }
  const n = moments.length, all = Number(head.messages);
  return {moments, wrong: why ? `This recording is cut or damaged at message ${n + 1} of ${all}: ${why}.` : n === 0 ? 'This recording is empty.' : n < all ? `This recording is cut: it has ${n} of ${all} messages.` : ''};
}

function parsed(text) {
  try {
    return Object(JSON.parse(text));
  } catch (e) {
    return {};
  }
}

const isNumber = n => typeof n === 'number' && Math.abs(n) < 8.64e15; // else no date has it
const isLine = l => l && isNumber(l.time) && isNumber(l.seq) && ['tag', 'text', 'kind', 'node', 'group'].every((k, i) => typeof l[k] === 'string' || i > 1 && l[k] === undefined);

// foul says why the page may not be drawn from a message, '' if it may.
function foul(m) {
  const d = Object(m.data), {parts = {}, lines = []} = d;
  if (!isNumber(m.at) || !isNumber(d.seq)) return 'it has no time or number';
  for (const name in parts) if (!/^(hero|invariants|work|sessions|map|(node|group|actors)\/.{1,200})$/.test(name) || typeof parts[name] !== 'object') return 'it has a part that no page has';
  if (!Array.isArray(lines) || lines.length > 400 || !lines.every(isLine)) return 'its timeline is none';
  return isBounded(d, 8) ? '' : 'it is too large';
}

function isBounded(value, deep) {
  if (typeof value === 'string') return value.length < 20_000;
  const inner = Object.values(Object(value));
  return inner.length <= 1000 && (!inner.length || deep > 0 && inner.every(v => isBounded(v, deep - 1)));
}
