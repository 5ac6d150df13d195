// Puts the page together.

const TABS = ["events", "processes", "failures", "counters", "summary", "help"];
const LATER = { processes, failures, counters, summary };

function openTab(name) {
  for (const tab of TABS) {
    const chosen = tab === name;
    $(`tab-${tab}`).setAttribute("aria-selected", String(chosen));
    $(`tab-${tab}`).tabIndex = chosen ? 0 : -1;
    $(`panel-${tab}`).hidden = !chosen;
  }
  // Made when it is looked at first.
  if (LATER[name]) {
    fill($(`panel-${name}`), ...LATER[name]());
    delete LATER[name];
    for (const listener of listeners) listener();
  }
  if (name === "events") listEvents();
}

/** Text in which `#123` is a link to that event. */
function linked(text) {
  return text.split(/(#\d+)/).filter((part) => part !== "").map((part) =>
    /^#\d+$/.test(part) ? eventLink(Number(part.slice(1)), part) : document.createTextNode(part));
}

function note(kind, ...children) {
  $("notes").append(el("div", { className: `note ${kind}`, role: "note" }, ...children));
}

function header() {
  const names = R.targets.map((target) => target.name);
  const title = names.length === 0 ? "Recording" : names.slice(0, 3).join(", ") + (names.length > 3 ? ` and ${names.length - 3} more` : "");
  document.title = `${title} – Stillframe`;
  $("title").textContent = title;
  $("subtitle").textContent = R.targets.map((target) => target.kind === "container" ? `container ${target.id.slice(0, 12)}` : target.kind).slice(0, 3).join(", ")
    + (R.shortfall ? " – incomplete" : "");
  for (const [name, text] of D.head) {
    if (name === "Target") continue;
    $("facts").append(el("div", {}, el("dt", {}, name), el("dd", {}, text)));
  }
}

function missing() {
  if (R.shortfall) note("bad", el("strong", {}, "The bundle is incomplete: "), R.shortfall);
  for (const [, , , , text] of D.unreadable) note("bad", text);
  if (D.missing.length > 0) {
    const list = el("ul", {}, ...D.missing.map((line) => el("li", {}, line)));
    if (D.missing.length > 4) note("", el("details", {}, el("summary", {}, `What is missing: ${D.missing.length} things`), list));
    else note("", el("strong", {}, "What is missing"), list);
  }
  const left = D.left_out;
  if (left.count > 0) {
    const options = (without) => R.asked.filter(([option]) => option !== without).map(([option, text]) => `${option} ${quoted(text)}`);
    const page = (...words) => el("code", {}, command("export", "html", ...words));
    const first = Math.min(...left.classes.map((row) => row[2]));
    const all = left.count + E.count;
    note("", el("strong", {}, "Not all events are in this page: "),
      `${number(left.count)} of ${number(all)} are left out. They are counted on the timeline, in dashes.`,
      el("ul", {}, ...left.classes.map(([name, count, num]) => el("li", {}, `${number(count)} ${name}, from #${num} on`)),
        el("li", {}, "A page that begins there: ", page(`--from ${quoted("#" + first)}`, ...options("--from"), "-o rest.html")),
        all <= left.limit ? el("li", {}, "All in one page: ", page(`--max-events ${all}`, ...options(), "-o all.html")) : null));
  }
  if (R.asked.length > 0) {
    note("", el("strong", {}, "A part of the recording: "), el("code", {}, R.asked.map(([option, text]) => `${option} ${quoted(text)}`).join(" ")),
      ". Timeline, events and metrics are of this part; “In short”, processes, failures and summary of the whole recording.");
  }
  if (D.holes_more > 0) note("", `${number(D.holes_more)} more holes are not drawn.`);
}

function findings() {
  const list = D.findings.length > 0 ? D.findings : ["nothing failed"];
  fill($("findings"), ...list.map((text) => el("li", {}, ...linked(text))));
}

function help() {
  $("commands").textContent = [
    command("events", "-f 'evt.failed=true' -n 20"),
    command("top", "--by file"),
    command("tree"),
    command("state", "ps --at 50%"),
    command("step"),
  ].join("\n");
  $("foot").textContent = `Bundle ${R.id}, written by replay ${R.version}. Times are ${R.zone ?? "seconds since the start: the bundle has no clock anchor"}. One file; nothing is fetched, nothing is sent.`;
}

function start() {
  header();
  missing();
  findings();
  help();
  wireTimeline();
  wireEvents();
  wireFilters();
  for (const tab of TABS) {
    $(`tab-${tab}`).addEventListener("click", () => openTab(tab));
    $(`tab-${tab}`).addEventListener("keydown", (event) => {
      const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      if (!step) return;
      const next = TABS[(TABS.indexOf(tab) + step + TABS.length) % TABS.length];
      openTab(next);
      $(`tab-${next}`).focus();
      event.preventDefault();
    });
  }
  $("tab-processes").append(` ${number(D.processes.length + D.processes_left_out)}`);
  $("tab-failures").append(` ${number(D.failures.length)}`);
  $("tab-counters").append(` ${number(D.counters.series.length)}`);
  openTab("events");
  refilter();
  const asked = /^#(\d+)$/.exec(location.hash);
  if (asked) goto(Number(asked[1]));
  document.documentElement.dataset.ready = "true";
}

start();
