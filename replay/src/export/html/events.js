// The list of events and what is known of the chosen one. Only the rows in sight are in the page.

const ROW = 24;
const grid = $("grid");
const spacer = $("spacer");
const COLUMNS = ["#", "Time", "", "Process", "What", "Took"];

const markOf = (i) => D.streams[E.stream[i]] === "loss" ? ["✕", "lost"]
  : E.flags[i] & FAILED ? ["▲", "failed"]
  : E.flags[i] & LATE ? ["~", "late"] : ["", ""];

/** The place in the list of an event; in order of time the list is sorted by it. */
function placeOf(index) {
  if (asked.order !== "time") return shown.indexOf(index);
  let low = 0, high = shown.length - 1;
  while (low <= high) {
    const middle = (low + high) >> 1;
    if (shown[middle] < index) low = middle + 1;
    else if (shown[middle] > index) high = middle - 1;
    else return middle;
  }
  return -1;
}

function rowOf(place) {
  const i = shown[place];
  const [mark, meaning] = markOf(i);
  const cell = (kind, text, more) => el("span", { className: kind, role: "gridcell", ...more }, text);
  const row = el("div", { className: "row", role: "row", id: `event-${E.num[i]}` },
    cell("num", E.num[i]),
    cell("when", clock(E.at[i], 9), { title: since(E.at[i], 9) }),
    cell("mark", mark, meaning ? { title: meaning, "aria-label": meaning } : {}),
    cell("who", threadText(E.thread[i])),
    cell("what", E.text[i]),
    cell("took", span(E.took[i])));
  row.setAttribute("aria-rowindex", String(place + 2));
  row.setAttribute("aria-selected", String(i === view.chosen));
  if (meaning === "failed") row.classList.add("failed");
  if (meaning === "lost") row.classList.add("loss");
  if (place % 2 === 1) row.classList.add("odd");
  row.style.transform = `translateY(${place * ROW}px)`;
  row.addEventListener("click", () => choose(i));
  return row;
}

function drawRows() {
  const first = Math.max(0, Math.floor(grid.scrollTop / ROW) - 5);
  const last = Math.min(shown.length, first + Math.ceil(grid.clientHeight / ROW) + 10);
  const rows = [];
  for (let place = first; place < last; place++) rows.push(rowOf(place));
  grid.replaceChildren(spacer, ...rows);
  const chosen = view.chosen >= 0 ? $(`event-${E.num[view.chosen]}`) : null;
  if (chosen) grid.setAttribute("aria-activedescendant", chosen.id);
  else grid.removeAttribute("aria-activedescendant");
}

function reveal() {
  const place = view.chosen >= 0 ? placeOf(view.chosen) : -1;
  if (place < 0) return;
  const top = place * ROW;
  if (top < grid.scrollTop || top + ROW > grid.scrollTop + grid.clientHeight) {
    grid.scrollTop = Math.max(0, top - grid.clientHeight / 2);
  }
}

function listEvents() {
  spacer.style.height = `${shown.length * ROW}px`;
  grid.setAttribute("aria-rowcount", String(shown.length + 1));
  // The heads stand over their columns, wherever the scrollbar is.
  $("grid-head").style.paddingRight = `${8 + grid.offsetWidth - grid.clientWidth}px`;
  reveal();
  drawRows();
  const missing = lanes.reduce((sum, stream) => sum + leftOut(stream, view.from, view.to), 0);
  const out = missing >= 1 ? ` In this window about ${number(Math.round(missing))} events are not in this page: see above how to get them.` : "";
  $("count").textContent = (shown.length === 0 ? "No event in this page: clear the filter, or zoom out."
    : `${plural(shown.length, "event")} of ${number(E.count)}${isWhole() ? "" : ", those in the timeline's window"}.`) + out;
  details();
}

function details() {
  const i = view.chosen;
  for (const id of ["same-back", "same-next", "zoom-here"]) $(id).disabled = i < 0;
  if (i < 0) return;
  const [mark, meaning] = markOf(i);
  $("details-title").textContent = `Event ${E.num[i]}`;
  $("what").textContent = E.text[i];
  const rows = [];
  const add = (name, value, field) => {
    if (value === "" || value === null) return;
    const shown = el("dd", field ? { "data-field": field } : {}, value);
    rows.push(el("dt", {}, name), shown);
  };
  add("Time", rfc3339(E.at[i]), "evt.time");
  add("Since the start", since(E.at[i], 9), "evt.reltime");
  add("Boottime", String(BigInt(R.boottime) + BigInt(E.at[i])), "evt.boottime");
  add("Type", typeText(i), "evt.type");
  add("Stream", D.streams[E.stream[i]], "evt.stream");
  if (E.container[i] >= 0) add("Container", D.containers[E.container[i]], "container.name");
  if (E.thread[i] >= 0) {
    const [pid, tid, comm] = D.threads[E.thread[i]];
    const only = el("button", { type: "button", className: "link" }, "only this process");
    only.addEventListener("click", () => { $("process").value = String(pid); ask(); });
    rows.push(el("dt", {}, "Process"), el("dd", { "data-field": "proc.name" }, comm));
    rows.push(el("dt", {}, "Process id"), el("dd", {}, el("span", { "data-field": "proc.pid" }, pid), " ", only));
    if (tid !== pid) add("Thread", tid, "thread.tid");
  }
  if (E.took[i] >= 0) {
    add("Took", `${span(E.took[i])} (${number(E.took[i])} ns)`, "evt.latency");
    add("Began", since(E.at[i] - E.took[i], 9));
  }
  if (E.error[i] >= 0) add("Error", `${mark} ${D.errors[E.error[i]]}`, "evt.res");
  else if (meaning) add("Note", `${mark} ${meaning}`);
  fill($("fields"), ...rows);
  const here = quoted(`#${E.num[i]}`);
  fill($("more"), E.flags[i] & CUT ? "The text is cut here. " : "", "Every field: ",
    el("code", {}, command("events", `--from ${here} --to ${here} --json`)));
  history.replaceState(null, "", `#${E.num[i]}`);
}

/** A link to an event: the button chooses it, or says why it cannot. */
function eventLink(num, text) {
  const button = el("button", { type: "button", className: "link" }, text ?? `#${num}`);
  button.addEventListener("click", () => goto(num));
  return button;
}

function goto(num) {
  const index = indexOf(num);
  openTab("events");
  if (index < 0) {
    fill($("goto-said"), `Event ${num} is not in this page: `, el("code", {}, command("events", `--from ${quoted("#" + num)} -n 20`)));
    $("goto").value = String(num);
    $("goto-said").scrollIntoView({ block: "nearest" });
    return false;
  }
  fill($("goto-said"), "");
  if (passing[index] === 0) clearFilters();
  choose(index);
  return true;
}

function wireEvents() {
  fill($("grid-head"), ...COLUMNS.map((name, k) => el("span", { className: ["num", "", "", "", "", "took"][k] }, name)));
  grid.addEventListener("scroll", drawRows, { passive: true });
  new ResizeObserver(drawRows).observe(grid);
  grid.addEventListener("keydown", (event) => {
    const page = Math.max(1, Math.floor(grid.clientHeight / ROW) - 1);
    const moves = { ArrowDown: 1, ArrowUp: -1, PageDown: page, PageUp: -page, Home: -Infinity, End: Infinity };
    const move = moves[event.key];
    if (move === undefined || shown.length === 0) return;
    event.preventDefault();
    const place = view.chosen < 0 ? -1 : placeOf(view.chosen);
    choose(shown[Math.min(shown.length - 1, Math.max(0, place + move))]);
  });
  const same = (i) => E.thread[i] >= 0 && view.chosen >= 0 && E.thread[view.chosen] >= 0
    && D.threads[E.thread[i]][1] === D.threads[E.thread[view.chosen]][1];
  const failed = (i) => (E.flags[i] & FAILED) !== 0;
  const moves = {
    "[": () => seek(-1, same), "]": () => seek(1, same), e: () => seek(1, failed), E: () => seek(-1, failed),
    z: zoomHere, "+": () => zoom(.5), "=": () => zoom(.5), "-": () => zoom(2), 0: () => look(WHOLE.from, WHOLE.to),
    "/": () => { openTab("events"); $("text").focus(); }, g: () => { openTab("events"); $("goto").focus(); }, Escape: clearFilters,
  };
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.target instanceof HTMLInputElement || event.target instanceof HTMLSelectElement) {
      if (event.key === "Escape") event.target.blur();
      return;
    }
    const move = moves[event.key];
    if (!move) return;
    event.preventDefault();
    move();
  });
  $("same-back").addEventListener("click", moves["["]);
  $("same-next").addEventListener("click", moves["]"]);
  $("next-failed").addEventListener("click", moves.e);
  $("zoom-here").addEventListener("click", zoomHere);
  $("goto-form").addEventListener("submit", (event) => {
    event.preventDefault();
    const num = Number($("goto").value.trim().replace(/^#/, ""));
    if (Number.isInteger(num) && num > 0) goto(num);
    else fill($("goto-said"), "A number, such as 4711.");
  });
  listeners.push(listEvents);
}

/** The event with some time around it, as long as what it took. */
function zoomHere() {
  if (view.chosen < 0) return;
  const around = Math.max(E.took[view.chosen] * 2, (WHOLE.to - WHOLE.from) / 1000, 10000);
  look(E.at[view.chosen] - around, E.at[view.chosen] + around / 2);
}

function ask() {
  asked.words = $("text").value.toLowerCase().split(/\s+/).filter((word) => word !== "");
  // What the list of processes offers is `name[pid]`.
  const process = $("process").value.trim().toLowerCase();
  asked.process = (/\[(\d+)\]$/.exec(process) || [null, process])[1];
  asked.failed = $("failed").checked;
  asked.order = $("order").value;
  asked.streams = new Set([...$("streams").querySelectorAll("input")].filter((box) => box.checked).map((box) => Number(box.value)));
  refilter();
}

function clearFilters() {
  $("text").value = $("process").value = "";
  $("failed").checked = false;
  $("order").value = "time";
  for (const box of $("streams").querySelectorAll("input")) box.checked = true;
  ask();
}

function wireFilters() {
  const counts = new Map();
  for (let i = 0; i < E.count; i++) counts.set(E.stream[i], (counts.get(E.stream[i]) || 0) + 1);
  for (const [stream, name] of D.streams.entries()) {
    const box = el("input", { type: "checkbox", checked: true, value: String(stream) });
    box.addEventListener("change", ask);
    const entry = el("label", { className: "check" }, box, ` ${name} `, el("span", { className: "quiet" }, number(counts.get(stream) || 0)));
    // A stream without events is asked for silently: what is not there cannot be switched off.
    entry.hidden = !counts.has(stream);
    $("streams").append(entry);
  }
  const seen = new Set();
  for (const [pid, , comm] of D.threads) {
    if (seen.size >= 500) break;
    const text = `${comm}[${pid}]`;
    if (pid === 0 || seen.has(text)) continue;
    seen.add(text);
    $("processes").append(el("option", { value: text }));
  }
  let waiting = 0;
  for (const id of ["text", "process"]) {
    $(id).addEventListener("input", () => {
      clearTimeout(waiting);
      waiting = setTimeout(ask, 120);
    });
  }
  $("failed").addEventListener("change", ask);
  $("order").addEventListener("change", ask);
  $("clear").addEventListener("click", clearFilters);
  $("filters").addEventListener("submit", (event) => event.preventDefault());
}
