// What the page shows, unpacked; and elements made of it. Text of the bundle goes into the page as text and nothing else.

const D = JSON.parse(document.getElementById("data").textContent);
const R = D.recording;
const $ = (id) => document.getElementById(id);

/** An element: properties are set, everything else becomes text. */
function el(tag, properties, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties || {})) {
    if (name in element) element[name] = value;
    else element.setAttribute(name, value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined).map((child) =>
    child instanceof Node ? child : document.createTextNode(String(child))));
  return element;
}

function fill(element, ...children) {
  element.replaceChildren(...children.map((child) =>
    child instanceof Node ? child : document.createTextNode(String(child))));
}

const FAILED = 1, LATE = 2, CUT = 4;
const STREAM = Object.fromEntries(D.streams.map((name, index) => [name, index]));

const E = (() => {
  const count = D.events.length;
  const e = {
    count,
    num: new Float64Array(count), at: new Float64Array(count), took: new Float64Array(count),
    type: new Int32Array(count), thread: new Int32Array(count), container: new Int32Array(count),
    flags: new Uint8Array(count), error: new Int32Array(count), stream: new Uint8Array(count),
    text: new Array(count), lower: new Array(count),
  };
  let num = 0, at = 0;
  for (let i = 0; i < count; i++) {
    const row = D.events[i];
    e.num[i] = num += row[0];
    e.at[i] = at += row[1];
    e.took[i] = row[2];
    e.type[i] = row[3];
    e.thread[i] = row[4];
    e.container[i] = row[5];
    e.flags[i] = row[6];
    e.error[i] = row[7];
    e.text[i] = row[8];
    e.stream[i] = D.types[row[3]][0];
  }
  D.events = null;
  // An event that came late stands in the order where it came.
  e.byTime = Uint32Array.from({ length: count }, (_, i) => i);
  let sorted = true;
  for (let i = 1; i < count && sorted; i++) sorted = e.at[i - 1] <= e.at[i];
  if (!sorted) e.byTime.sort((a, b) => e.at[a] - e.at[b] || a - b);
  return e;
})();

/** The place of the first event at or after a moment, in the order of time. */
function lowerBound(at) {
  let low = 0, high = E.count;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (E.at[E.byTime[middle]] < at) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** The event with a number, or -1. */
function indexOf(num) {
  let low = 0, high = E.count - 1;
  while (low <= high) {
    const middle = (low + high) >> 1;
    if (E.num[middle] < num) low = middle + 1;
    else if (E.num[middle] > num) high = middle - 1;
    else return middle;
  }
  return -1;
}

function threadText(index) {
  if (index < 0) return "";
  const [pid, tid, comm] = D.threads[index];
  if (pid === 0 && tid === 0) return comm;
  return pid === tid ? `${comm}[${pid}]` : `${comm}[${pid}/${tid}]`;
}

const typeText = (i) => D.types[E.type[i]][1];
const number = (value) => value.toLocaleString("en-US");
const plural = (count, one, many) => `${number(count)} ${count === 1 ? one : many || one + "s"}`;

/** Quotes a word for a shell. */
const quoted = (word) => /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replace(/'/g, "'\\''")}'`;
const command = (...words) => ["replay", words[0], quoted(R.bundle), ...words.slice(1)].join(" ");
