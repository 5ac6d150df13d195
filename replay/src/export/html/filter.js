// Which events are shown: those that the filters let pass, inside the window of the timeline.

const WHOLE = (() => {
  let from = R.from, to = R.to;
  // What came late, or from before the start, has its place too.
  if (E.count > 0) {
    from = Math.min(from, E.at[E.byTime[0]]);
    to = Math.max(to, E.at[E.byTime[E.count - 1]]);
  }
  return { from, to: Math.max(to, from + 1) };
})();

const view = { from: WHOLE.from, to: WHOLE.to, chosen: -1 };
const asked = { words: [], process: "", failed: false, streams: new Set(D.streams.keys()), order: "time" };
const passing = new Uint8Array(E.count).fill(1);
let shown = new Uint32Array(0);
const listeners = [];

const isWhole = () => view.from <= WHOLE.from && view.to >= WHOLE.to;

function refilter() {
  const threads = D.threads.map(([pid, tid, comm]) => {
    const wanted = asked.process;
    return wanted === "" || String(pid) === wanted || String(tid) === wanted || comm.toLowerCase().includes(wanted);
  });
  for (let i = 0; i < E.count; i++) {
    let pass = asked.streams.has(E.stream[i]) && (!asked.failed || (E.flags[i] & FAILED) !== 0);
    if (pass && asked.process !== "") pass = E.thread[i] >= 0 && threads[E.thread[i]];
    if (pass && asked.words.length > 0) {
      E.lower[i] ??= `${typeText(i)} ${threadText(E.thread[i])} ${E.text[i]}`.toLowerCase();
      pass = asked.words.every((word) => E.lower[i].includes(word));
    }
    passing[i] = pass ? 1 : 0;
  }
  rewindow();
}

function rewindow() {
  const found = [];
  const whole = isWhole();
  for (let i = 0; i < E.count; i++) {
    if (passing[i] === 1 && (whole || (E.at[i] >= view.from && E.at[i] <= view.to))) found.push(i);
  }
  if (asked.order === "slow") found.sort((a, b) => E.took[b] - E.took[a] || a - b);
  shown = Uint32Array.from(found);
  for (const listener of listeners) listener();
}

/** Moves the window; it stays inside of what there is, and never gets shorter than 100 ns. */
function look(from, to) {
  const length = Math.min(Math.max(to - from, 100), WHOLE.to - WHOLE.from);
  from = Math.min(Math.max(from, WHOLE.from), WHOLE.to - length);
  view.from = from;
  view.to = from + length;
  rewindow();
}

function zoom(factor, around) {
  const middle = around ?? (view.chosen >= 0 && E.at[view.chosen] >= view.from && E.at[view.chosen] <= view.to
    ? E.at[view.chosen] : (view.from + view.to) / 2);
  look(middle - (middle - view.from) * factor, middle + (view.to - middle) * factor);
}

const pan = (share) => look(view.from + (view.to - view.from) * share, view.to + (view.to - view.from) * share);

/** Chooses an event; the window follows it. */
function choose(index) {
  view.chosen = index;
  if (index >= 0) {
    const at = E.at[index];
    if (at < view.from || at > view.to) {
      const half = (view.to - view.from) / 2;
      look(at - half, at + half);
      return;
    }
  }
  for (const listener of listeners) listener();
}

/** The next passing event for which the test holds, from the chosen one on. */
function seek(step, test) {
  for (let i = view.chosen + step; i >= 0 && i < E.count; i += step) {
    if (passing[i] === 1 && test(i)) {
      choose(i);
      return true;
    }
  }
  return false;
}
