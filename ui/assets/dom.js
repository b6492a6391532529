// A description of elements, and what makes the document look like it. Elements that stay are
// kept, so that focus, selection and what a screen reader has read stay too.

// Tag is what h makes. Nothing else becomes an element: data may come from a file, and an
// object there that looks like a description is text.
class Tag {
  constructor(tag, attrs, kids) { Object.assign(this, {tag, attrs, kids}); }
}

export function h(tag, attrs, ...kids) {
  return new Tag(tag, attrs || {}, kids);
}

// sync makes the children of element those of kids. A kid is text or made by h; it is the same
// as before if its key, or else its test, which is its data-testid, or else its place, is.
export function sync(element, kids) {
  kids = kids.flat(Infinity).filter(k => k !== null && k !== undefined && k !== false);
  const before = new Map();
  for (const node of element.childNodes) before.set(node.key, node);
  const taken = new Set();
  let at = element.firstChild;
  kids.forEach((kid, i) => {
    const text = !(kid instanceof Tag);
    let key = text ? '#' + i : kid.attrs.key || kid.attrs.test || kid.tag + i;
    if (taken.has(key)) key += '#' + i;
    taken.add(key);
    let node = before.get(key);
    if (!node || !text && node.localName !== kid.tag) {
      node = text ? document.createTextNode('') : document.createElementNS(kid.tag === 'svg' ? 'http://www.w3.org/2000/svg' : element.namespaceURI, kid.tag);
      node.key = key;
      node.attrs = {};
    } else {
      before.delete(key);
    }
    if (text) {
      if (node.data !== String(kid)) node.data = kid;
    } else {
      change(node, kid.attrs);
      if (!kid.attrs.own) sync(node, kid.kids); // whose content is its own business
    }
    if (node === at) at = at.nextSibling;
    else element.insertBefore(node, at);
  });
  for (const node of before.values()) if (node.parentNode === element) node.remove();
}

function change(node, attrs) {
  const was = node.attrs;
  for (const name in was) if (!(name in attrs)) set(node, name, null);
  for (const name in attrs) if (was[name] !== attrs[name] || name === 'checked' && node.checked !== attrs.checked) set(node, name, attrs[name]);
  node.attrs = attrs;
}

function set(node, name, value) {
  if (name === 'key' || name === 'own') return;
  if (name === 'test') name = 'data-testid';
  if (name.startsWith('on')) node[name] = value;
  else if (name === 'checked' || name === 'value') node[name] = value;
  else if (value === null || value === undefined || value === false) node.removeAttribute(name);
  else node.setAttribute(name, value === true ? '' : value);
}
