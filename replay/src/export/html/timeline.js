// The timeline: a row for each stream with its events over time, failures, holes, and what is not in the page.

const LABEL = 170, AXIS = 26, LANE = 30, STRIP = 22, BUCKET = 4;
const canvas = $("canvas");
const board = $("timeline");

/** Streams that have something to show. */
const lanes = D.streams.map((_, stream) => stream).filter((stream) => {
  if (D.streams[stream] === "loss" || D.streams[stream] === "clock") return false;
  return E.stream.includes(stream) || D.left_out.counts[stream] || D.holes.some((hole) => hole[0] === stream);
});

let colours = {};
let pointer = null, drag = null;

function readColours() {
  const style = getComputedStyle(document.documentElement);
  for (const name of ["card", "ink", "soft", "line", "row", "accent", "bad", "bar", "hole", "out", "warn"]) {
    colours[name] = style.getPropertyValue(`--${name}`).trim();
  }
}

const width = () => canvas.clientWidth;
const height = () => AXIS + lanes.length * LANE + STRIP;
const toX = (at) => LABEL + (at - view.from) / (view.to - view.from) * (width() - LABEL);
const toTime = (x) => view.from + (x - LABEL) / (width() - LABEL) * (view.to - view.from);
const laneTop = (lane) => AXIS + lane * LANE;

/** Counts by bucket of pixels: events and failures of each lane inside the window. */
function buckets() {
  const columns = Math.max(1, Math.floor((width() - LABEL) / BUCKET));
  const place = new Map(lanes.map((stream, lane) => [stream, lane]));
  const all = lanes.map(() => new Uint32Array(columns));
  const failed = lanes.map(() => new Uint32Array(columns));
  const scale = columns / (view.to - view.from);
  for (let p = lowerBound(view.from); p < E.count; p++) {
    const i = E.byTime[p];
    if (E.at[i] > view.to) break;
    const lane = place.get(E.stream[i]);
    if (passing[i] === 0 || lane === undefined) continue;
    const column = Math.min(columns - 1, Math.floor((E.at[i] - view.from) * scale));
    all[lane][column]++;
    if (E.flags[i] & FAILED) failed[lane][column]++;
  }
  return { columns, all, failed };
}

/** How many events that are not in the page a stretch of time had, by the page's own columns of them. */
function leftOut(stream, from, to) {
  const counts = D.left_out.counts[stream];
  if (!counts) return 0;
  const step = (D.left_out.to - D.left_out.from + 1) / D.left_out.columns;
  let sum = 0;
  const first = Math.max(0, Math.floor((from - D.left_out.from) / step));
  const last = Math.min(counts.length - 1, Math.floor((to - D.left_out.from) / step));
  for (let c = first; c <= last; c++) {
    const begin = D.left_out.from + c * step;
    const share = (Math.min(to, begin + step) - Math.max(from, begin)) / step;
    sum += counts[c] * Math.max(0, Math.min(1, share));
  }
  return sum;
}

function draw() {
  const ratio = window.devicePixelRatio || 1;
  canvas.style.height = `${height()}px`;
  canvas.width = Math.round(width() * ratio);
  canvas.height = Math.round(height() * ratio);
  const c = canvas.getContext("2d");
  c.scale(ratio, ratio);
  c.clearRect(0, 0, width(), height());
  const font = getComputedStyle(document.body).fontFamily;
  const found = buckets();
  c.textBaseline = "middle";
  drawAxis(c, font);
  lanes.forEach((stream, lane) => drawLane(c, font, stream, lane, found));
  for (const hole of D.holes) drawHole(c, font, hole);
  for (const [from, to] of D.unreadable) drawGap(c, font, from, to);
  for (const [at] of D.steps) drawStep(c, font, at);
  drawStrip(c);
  drawChosen(c);
  if (drag && Math.abs(drag.to - drag.from) > 3) {
    c.globalAlpha = .2;
    c.fillStyle = colours.accent;
    c.fillRect(Math.min(drag.from, drag.to), 0, Math.abs(drag.to - drag.from), height() - STRIP);
    c.globalAlpha = 1;
  }
}

function drawAxis(c, font) {
  const [step, digits] = axisStep(view.to - view.from, Math.max(2, Math.floor((width() - LABEL) / 130)));
  c.font = `11px ${font}`;
  // Ticks stand at round times of the wall clock, as far as there is one.
  const begin = Math.ceil(view.from);
  const rest = Number((wall(begin) ?? BigInt(begin)) % BigInt(step));
  const past = rest < 0 ? rest + step : rest;
  for (let at = begin + (past === 0 ? 0 : step - past); at <= view.to; at += step) {
    const x = toX(at);
    c.strokeStyle = colours.line;
    c.beginPath();
    c.moveTo(Math.round(x) + .5, AXIS - 6);
    c.lineTo(Math.round(x) + .5, height() - STRIP);
    c.stroke();
    if (x < width() - 50) {
      c.fillStyle = colours.soft;
      // Rounded: the wall clock is corrected by nanoseconds now and then, and a tick stands just before its time.
      c.fillText(clock(at + Math.pow(10, 9 - digits) / 2, digits), x + 3, 10);
    }
  }
}

function drawLane(c, font, stream, lane, found) {
  const top = laneTop(lane), base = top + LANE - 7, room = LANE - 11;
  c.fillStyle = colours.ink;
  c.font = `12px ${font}`;
  c.fillText(D.streams[stream], 0, top + 11);
  c.font = `11px ${font}`;
  const sum = (list) => list.reduce((a, b) => a + b, 0);
  const failed = sum(found.failed[lane]);
  const out = Math.round(leftOut(stream, view.from, view.to));
  c.fillStyle = colours.soft;
  const text = number(sum(found.all[lane])) + (out > 0 ? ` (+${number(out)})` : "");
  c.fillText(text, 0, top + 24);
  if (failed > 0) {
    const x = c.measureText(text + " ").width;
    c.fillStyle = colours.bad;
    c.fillText(`▲${number(failed)}`, x + 2, top + 24);
  }
  c.strokeStyle = colours.line;
  c.beginPath();
  c.moveTo(LABEL, base + 6.5);
  c.lineTo(width(), base + 6.5);
  c.stroke();
  const length = (view.to - view.from) / found.columns;
  const outside = D.left_out.counts[stream]
    ? Array.from({ length: found.columns }, (_, k) => leftOut(stream, view.from + k * length, view.from + (k + 1) * length)) : null;
  let peak = 1;
  for (let k = 0; k < found.columns; k++) peak = Math.max(peak, found.all[lane][k] + (outside ? outside[k] : 0));
  for (let k = 0; k < found.columns; k++) {
    const x = LABEL + k * (width() - LABEL) / found.columns;
    const count = found.all[lane][k], bad = found.failed[lane][k];
    // No event is drawn as nothing.
    const tall = count > 0 ? Math.max(2, count / peak * room) : 0;
    if (outside && outside[k] >= .01) {
      const more = Math.max(2, outside[k] / peak * room);
      c.fillStyle = colours.out;
      // Every second line: it is told from what is in the page without its colour.
      for (let y = base - tall - more; y < base - tall; y += 2) c.fillRect(x, y, BUCKET - 1, 1);
    }
    if (count > 0) {
      c.fillStyle = colours.bar;
      c.fillRect(x, base - tall, BUCKET - 1, tall);
    }
    if (bad > 0) {
      c.fillStyle = colours.bad;
      const tallBad = Math.max(2, bad / peak * room);
      c.fillRect(x, base - tallBad, BUCKET - 1, tallBad);
      c.beginPath();
      c.moveTo(x - 1, base + 6);
      c.lineTo(x + 1.5, base + 1);
      c.lineTo(x + 4, base + 6);
      c.fill();
    }
  }
}

function hatch(c, x, y, w, h, colour) {
  c.save();
  c.beginPath();
  c.rect(x, y, w, h);
  c.clip();
  c.strokeStyle = colour;
  c.lineWidth = 1;
  c.beginPath();
  for (let k = x - h; k < x + w; k += 5) {
    c.moveTo(k, y + h);
    c.lineTo(k + h, y);
  }
  c.stroke();
  c.strokeRect(x + .5, y + .5, Math.max(w - 1, 1), h - 1);
  c.restore();
}

/** The ends of a stretch on the canvas, at least a few pixels wide; null outside of the window. */
function stretch(from, to) {
  if (to < view.from || from > view.to) return null;
  const x = Math.max(LABEL, toX(from));
  return [x, Math.max(4, Math.min(width(), toX(to)) - x)];
}

function label(c, font, text, x, y, colour) {
  c.font = `bold 10px ${font}`;
  const w = c.measureText(text).width + 6;
  x = Math.max(LABEL, Math.min(x, width() - w));
  c.fillStyle = colours.card;
  c.fillRect(x, y - 7, w, 14);
  c.fillStyle = colour;
  c.fillText(text, x + 3, y);
}

function drawHole(c, font, [stream, from, to, count]) {
  const lane = lanes.indexOf(stream);
  const place = stretch(from, to);
  if (lane < 0 || !place) return;
  hatch(c, place[0], laneTop(lane) + 2, place[1], LANE - 4, colours.hole);
  const text = place[1] > 70 ? `✕ lost ${count === 0 ? "?" : number(count)}` : "✕";
  label(c, font, text, place[0], laneTop(lane) + 9, colours.hole);
}

function drawGap(c, font, from, to) {
  const place = stretch(from, to);
  if (!place) return;
  hatch(c, place[0], AXIS, place[1], lanes.length * LANE, colours.hole);
  label(c, font, "? unreadable", place[0], AXIS + 8, colours.hole);
}

function drawStep(c, font, at) {
  if (at < view.from || at > view.to) return;
  const x = Math.round(toX(at)) + .5;
  c.strokeStyle = colours.warn;
  c.setLineDash([4, 3]);
  c.beginPath();
  c.moveTo(x, AXIS - 4);
  c.lineTo(x, height() - STRIP);
  c.stroke();
  c.setLineDash([]);
  label(c, font, "clock stepped", x + 2, AXIS - 2, colours.warn);
}

/** The whole range, and where in it the window is. */
function drawStrip(c) {
  const top = height() - STRIP + 7, tall = STRIP - 9, room = width() - LABEL;
  c.fillStyle = colours.row;
  c.fillRect(LABEL, top, room, tall);
  const x = LABEL + (view.from - WHOLE.from) / (WHOLE.to - WHOLE.from) * room;
  const w = Math.max(4, (view.to - view.from) / (WHOLE.to - WHOLE.from) * room);
  c.fillStyle = colours.accent;
  c.globalAlpha = isWhole() ? .25 : .55;
  c.fillRect(Math.min(x, width() - 4), top, w, tall);
  c.globalAlpha = 1;
  c.font = `11px ${getComputedStyle(document.body).fontFamily}`;
  c.fillStyle = colours.soft;
  c.fillText(isWhole() ? "whole range" : "window", 0, top + tall / 2);
}

function drawChosen(c) {
  if (view.chosen < 0) return;
  const at = E.at[view.chosen];
  if (at < view.from || at > view.to) return;
  const x = Math.round(toX(at)) + .5;
  const lane = lanes.indexOf(E.stream[view.chosen]);
  c.strokeStyle = c.fillStyle = colours.accent;
  c.beginPath();
  c.moveTo(x, AXIS);
  c.lineTo(x, height() - STRIP);
  c.stroke();
  c.beginPath();
  c.moveTo(x - 5, AXIS - 8);
  c.lineTo(x + 5, AXIS - 8);
  c.lineTo(x, AXIS);
  c.fill();
  // A call began before it returned.
  const took = E.took[view.chosen];
  if (took > 0 && lane >= 0) {
    const begin = Math.max(LABEL, toX(at - took));
    c.fillRect(begin, laneTop(lane) + LANE - 4, Math.max(x - begin, 1), 3);
  }
}

function laneAt(y) {
  const lane = Math.floor((y - AXIS) / LANE);
  return lane >= 0 && lane < lanes.length ? lane : -1;
}

/** The passing event nearest to a moment, of one stream or of all. */
function nearest(at, stream) {
  let best = -1;
  const near = lowerBound(at);
  const fits = (i) => passing[i] === 1 && (stream === undefined || E.stream[i] === stream);
  for (let p = near; p < E.count && E.at[E.byTime[p]] <= view.to; p++) if (fits(E.byTime[p])) { best = E.byTime[p]; break; }
  for (let p = near - 1; p >= 0 && E.at[E.byTime[p]] >= view.from; p--) {
    const i = E.byTime[p];
    if (best >= 0 && at - E.at[i] >= E.at[best] - at) break;
    if (fits(i)) { best = i; break; }
  }
  return best;
}

function say() {
  const count = asked.streams.size === D.streams.length && asked.words.length === 0 && asked.process === "" && !asked.failed
    ? plural(shown.length, "event") : `${plural(shown.length, "event")} of the filter`;
  const digits = Math.min(9, Math.max(3, axisStep(view.to - view.from, 8)[1] + 1));
  $("window").textContent = `${clock(view.from, digits)} to ${clock(view.to, digits)}`
    + ` (${since(view.from, digits)}, ${span(view.to - view.from)} long), ${count}`;
  $("window").dataset.from = String(view.from);
  $("window").dataset.to = String(view.to);
}

function hover() {
  const lane = pointer ? laneAt(pointer.y) : -1;
  if (!pointer || pointer.x < LABEL || lane < 0) {
    $("hover").textContent = "";
    return;
  }
  const length = (view.to - view.from) * BUCKET / Math.max(1, width() - LABEL);
  const at = toTime(pointer.x), from = at - length / 2, to = at + length / 2;
  let count = 0, failed = 0;
  for (let p = lowerBound(from); p < E.count && E.at[E.byTime[p]] <= to; p++) {
    const i = E.byTime[p];
    if (passing[i] === 0 || E.stream[i] !== lanes[lane]) continue;
    count++;
    if (E.flags[i] & FAILED) failed++;
  }
  const hole = D.holes.find((h) => h[0] === lanes[lane] && h[1] <= to && h[2] >= from);
  const out = Math.round(leftOut(lanes[lane], from, to));
  $("hover").textContent = `${clock(at, 6)} ${since(at, 6)}: ${plural(count, D.streams[lanes[lane]] + " event")}`
    + (failed > 0 ? `, ${number(failed)} failed` : "") + (out > 0 ? `, about ${number(out)} not in this page` : "")
    + (hole ? `; ${hole[5]}` : "");
}

function wireTimeline() {
  const at = (event) => {
    const box = canvas.getBoundingClientRect();
    return { x: event.clientX - box.left, y: event.clientY - box.top };
  };
  canvas.addEventListener("pointerdown", (event) => {
    const place = at(event);
    if (event.button !== 0 || place.x < LABEL) return;
    canvas.setPointerCapture(event.pointerId);
    drag = { from: place.x, to: place.x, strip: place.y > height() - STRIP };
    if (drag.strip) moveStrip(place.x);
  });
  canvas.addEventListener("pointermove", (event) => {
    pointer = at(event);
    if (drag && drag.strip) moveStrip(pointer.x);
    else if (drag) {
      drag.to = Math.max(LABEL, Math.min(width(), pointer.x));
      draw();
    }
    hover();
  });
  canvas.addEventListener("pointerleave", () => { pointer = null; hover(); });
  canvas.addEventListener("pointercancel", () => { drag = null; draw(); });
  canvas.addEventListener("pointerup", (event) => {
    const done = drag, place = at(event);
    drag = null;
    if (!done || done.strip) return;
    if (Math.abs(done.to - done.from) > 3) {
      look(toTime(Math.min(done.from, done.to)), toTime(Math.max(done.from, done.to)));
      return;
    }
    const lane = laneAt(place.y);
    const found = nearest(toTime(place.x), lane < 0 ? undefined : lanes[lane]);
    if (found >= 0) choose(found);
    else draw();
  });
  canvas.addEventListener("dblclick", () => zoom(4));
  canvas.addEventListener("wheel", (event) => {
    if (!event.ctrlKey && !event.metaKey && !event.shiftKey) return;
    event.preventDefault();
    const amount = event.deltaY || event.deltaX;
    if (event.shiftKey) pan(Math.sign(amount) * .15);
    else zoom(Math.pow(1.25, Math.sign(amount)), toTime(Math.max(LABEL, at(event).x)));
  }, { passive: false });
  board.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "ArrowLeft") pan(-.2);
    else if (event.key === "ArrowRight") pan(.2);
    else if (event.key === "ArrowUp") zoom(.5);
    else if (event.key === "ArrowDown") zoom(2);
    else return;
    event.preventDefault();
  });
  $("in").addEventListener("click", () => zoom(.5));
  $("out").addEventListener("click", () => zoom(2));
  $("left").addEventListener("click", () => pan(-.5));
  $("right").addEventListener("click", () => pan(.5));
  $("all").addEventListener("click", () => look(WHOLE.from, WHOLE.to));
  new ResizeObserver(draw).observe(board);
  const dark = matchMedia("(prefers-color-scheme: dark)");
  dark.addEventListener("change", () => { readColours(); draw(); });
  readColours();
  board.setAttribute("aria-label", `Events over time, by stream: ${lanes.map((stream) => D.streams[stream]).join(", ")}`);
  $("legend-out").hidden = D.left_out.count === 0;
  listeners.push(say, draw);
}

function moveStrip(x) {
  const middle = WHOLE.from + (x - LABEL) / (width() - LABEL) * (WHOLE.to - WHOLE.from);
  const half = (view.to - view.from) / 2;
  look(middle - half, middle + half);
}
