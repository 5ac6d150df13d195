// Counters over time. Totals are drawn as what they grew by in a second, levels as they are.

const SVG = "http://www.w3.org/2000/svg";

function svg(tag, attributes) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, String(value));
  return element;
}

/** What a counter is by its name: how it is drawn, and how its values are said. */
function unitOf(name) {
  const level = /^(memory\.(usage|limit|cache|inactive_file|rss|swap)_bytes|pids\.)/.test(name);
  if (level) return { level, text: name.endsWith("_bytes") ? bytes : number, rank: name.startsWith("memory.usage") ? 1 : 3 };
  // Nanoseconds and microseconds of time in a second: a share.
  if (name.endsWith("_ns")) return { level, scale: 1e-9, text: (v) => name.startsWith("cpu.") ? `${v.toFixed(2)} CPUs` : `${(v * 100).toFixed(1)} %`, rank: name === "cpu.usage_ns" ? 0 : 4 };
  if (name.endsWith("_us")) return { level, scale: 1e-6, text: (v) => `${(v * 100).toFixed(1)} %`, rank: 6 };
  if (name.endsWith("_bytes")) return { level, scale: 1, text: (v) => `${bytes(v)}/s`, rank: 2 };
  return { level, scale: 1, text: (v) => `${v >= 100 ? number(Math.round(v)) : v.toFixed(1)}/s`, rank: 5 };
}

/** Points to draw: a level's readings, or the growth between two of them. */
function pointsOf(series, unit) {
  const points = [];
  for (let k = unit.level ? 0 : 1; k < series.readings.length; k++) {
    const [at, value] = series.readings[k];
    if (unit.level) points.push([at, value]);
    else {
      const [before, last] = series.readings[k - 1];
      // A total that fell was begun anew.
      if (at > before && value >= last) points.push([at, (value - last) / (at - before) * SECOND * unit.scale, before]);
    }
  }
  return points;
}

function plot(series, unit, points) {
  const most = Math.max(...points.map((point) => point[1])), least = Math.min(...points.map((point) => point[1]));
  // Levels need not begin at zero, but what grows does.
  const low = 0, high = most > low ? most : low + 1;
  const x = (at) => (at - WHOLE.from) / (WHOLE.to - WHOLE.from) * 1000;
  const y = (value) => 96 - (value - low) / (high - low) * 90;
  const picture = svg("svg", { viewBox: "0 0 1000 100", preserveAspectRatio: "none", "aria-hidden": "true" });
  const band = svg("rect", { class: "plot-window", y: 0, height: 100 });
  picture.append(band, svg("line", { class: "plot-base", x1: 0, x2: 1000, y1: 96, y2: 96 }));
  const corners = [];
  for (const [at, value, before] of points) {
    if (before !== undefined) corners.push(`${x(before).toFixed(1)},${y(value).toFixed(1)}`);
    corners.push(`${x(at).toFixed(1)},${y(value).toFixed(1)}`);
  }
  const ends = [points[0][2] ?? points[0][0], points[points.length - 1][0]].map((at) => x(at).toFixed(1));
  picture.append(svg("polygon", { class: "plot-area", points: `${ends[0]},96 ${corners.join(" ")} ${ends[1]},96` }));
  picture.append(svg("polyline", { class: "plot-line", points: corners.join(" ") }));
  listeners.push(() => {
    band.setAttribute("x", isWhole() ? 0 : x(view.from));
    band.setAttribute("width", isWhole() ? 0 : Math.max(3, x(view.to) - x(view.from)));
  });
  const last = points[points.length - 1][1];
  const where = D.counters.several ? `${series.container}: ` : "";
  return el("figure", { "data-counter": series.name },
    el("figcaption", {}, el("span", {}, where + series.name), el("span", {}, `most ${unit.text(most)}, least ${unit.text(least)}, last ${unit.text(last)}`)),
    picture,
    el("div", { className: "plot-axis" }, el("span", {}, clock(WHOLE.from, 0)), el("span", {}, clock(WHOLE.to, 0))));
}

function counters() {
  const all = D.counters.series;
  if (all.length === 0) return [el("p", {}, "No metrics in this range.")];
  D.counters.several = new Set(all.map((series) => series.container)).size > 1;
  const drawn = [], still = [];
  for (const series of all) {
    const unit = unitOf(series.name);
    const points = pointsOf(series, unit);
    const moves = points.length > 0 && (unit.level ? points.some((point) => point[1] !== points[0][1]) : points.some((point) => point[1] > 0));
    if (moves) drawn.push({ series, unit, points });
    else still.push(series);
  }
  drawn.sort((a, b) => a.unit.rank - b.unit.rank);
  const parts = [el("p", {}, `${plural(drawn.length, "counter")} that moved; the shaded stretch is the timeline's window.`)];
  const thinned = Math.max(...all.map((series) => series.every));
  if (thinned > 1) parts.push(el("p", { className: "quiet" }, `Of the longest series one reading in ${thinned} is shown.`));
  if (D.counters.left_out > 0) parts.push(el("p", { className: "quiet" }, "There are more than 512 counters: the others are not in this page."));
  parts.push(el("div", { className: "plots" }, ...drawn.map(({ series, unit, points }) => plot(series, unit, points))));
  parts.push(el("h3", {}, "Readings"));
  const rows = [...drawn.map((d) => d.series), ...still];
  const told = (name, value) => name.endsWith("_bytes") ? bytes(value) : name.endsWith("_ns") ? span(value) : name.endsWith("_us") ? span(value * 1000) : number(value);
  parts.push(table([["Counter", "text"], ["Of"], ["First", "number"], ["Last", "number"], ["Most", "number"], ["Readings", "number"]], rows, (series) => {
    const values = series.readings.map((reading) => reading[1]);
    return [series.name, series.container, told(series.name, values[0]), told(series.name, values[values.length - 1]),
      told(series.name, Math.max(...values)), number(values.length)];
  }));
  return parts;
}
