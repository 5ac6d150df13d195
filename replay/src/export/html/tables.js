// Tables: processes, failures, the summary. Long ones come in pieces.

const PIECE = 500;

/** A table whose rows are made when they are asked for. */
function table(heads, rows, cells) {
  const body = el("tbody", {});
  const head = el("tr", {}, ...heads.map(([name, kind]) => {
    const cell = el("th", { className: kind || "" }, name);
    cell.scope = "col";
    return cell;
  }));
  const more = el("button", { type: "button" });
  let done = 0;
  const grow = () => {
    for (const row of rows.slice(done, done + PIECE)) {
      body.append(el("tr", {}, ...cells(row).map((cell, k) => el("td", { className: heads[k][1] || "" }, ...[cell].flat()))));
    }
    done = Math.min(rows.length, done + PIECE);
    more.hidden = done >= rows.length;
    more.textContent = `Show ${number(Math.min(PIECE, rows.length - done))} more of ${number(rows.length)}`;
  };
  more.addEventListener("click", grow);
  grow();
  return el("div", {}, el("div", { className: "scroll" }, el("table", {}, el("thead", {}, head), body)), more);
}

function processes() {
  const length = Math.max(1, WHOLE.to - WHOLE.from);
  const rows = D.processes;
  const view = table(
    [["PID", "number"], ["Command", "text"], ["Lived"], ["Ended"], ["Calls", "number"], ["Failed", "number"], ["In calls", "number"], ["Events", "events"]],
    rows,
    ([depth, pid, name, line, birth, born, ended, ending, failed, calls, failures, time, first, last, container]) => {
      const from = Math.max(WHOLE.from, born ?? WHOLE.from), to = Math.min(WHOLE.to, ended ?? WHOLE.to);
      const bar = el("i", { className: failed ? "failed" : "" });
      bar.style.left = `${Math.min(98, (from - WHOLE.from) / length * 100)}%`;
      bar.style.width = `${Math.max(0, (to - from) / length * 100)}%`;
      const words = (birth === 0 ? "before the recording" : `${birth === 2 ? "seen first at " : ""}${since(born, 6)}`)
        + ` to ${ended === null ? "the end" : since(ended, 6)}`;
      const life = el("div", { className: "life", title: words, role: "img", "aria-label": words }, bar);
      const only = el("button", { type: "button", className: "link", title: "Show its events" }, pid);
      only.addEventListener("click", () => {
        $("process").value = String(pid);
        ask();
        openTab("events");
      });
      const tree = el("span", {}, depth > 0 ? "│ ".repeat(depth - 1) + "└ " : "", line || `[${name}]`,
        container && D.containers.length > 1 ? el("span", { className: "quiet" }, ` (${container})`) : "");
      const end = ended === null ? el("span", { className: "quiet" }, "lives")
        : el("span", { className: failed ? "failed-text" : "good-text" }, `${failed ? "▲" : "✓"} ${ending}`);
      return [only, tree, life, end, number(calls), failures > 0 ? number(failures) : "", span(time),
        first === 0 ? "" : [eventLink(first), " to ", eventLink(last)]];
    });
  const failed = rows.filter((row) => row[8]).length;
  const left = D.processes_left_out;
  return [el("p", {}, `${plural(rows.length + left, "process", "processes")} of the whole recording, each under the one that made it`
    + (failed > 0 ? `; ▲ ${number(failed)} ended with an error.` : ".")
    + (left > 0 ? ` ${number(left)} are not in this page: replay tree shows them.` : "")), view];
}

function failures() {
  const kinds = {
    oom: "out of memory", engine: "engine", exit: "process ended", block: "block request", kernel: "kernel message",
    journal: "journal", reset: "connection", call: "call",
  };
  const rows = D.failures;
  const normal = Object.entries(D.normal_failures);
  const parts = [];
  if (rows.length === 0) parts.push(el("p", {}, "Nothing failed that is not normal."));
  else {
    parts.push(el("p", {}, `What failed in the whole recording, grouped; the first ${number(rows.length)} groups.`));
    parts.push(table([["Kind"], ["Times", "number"], ["Who"], ["What", "text"], ["Events", "events"]], rows, (row) => [
      kinds[row.kind] || row.kind, number(row.count), row.who,
      `${row.what}${row.error ? ` ▲ ${row.error}` : ""}${row.target ? `  ${row.target}` : ""}`,
      row.count === 1 ? eventLink(row.first_event) : [eventLink(row.first_event), " to ", eventLink(row.last_event)],
    ]));
  }
  if (normal.length > 0) {
    parts.push(el("p", { className: "quiet" }, `Normal failures, which are only counted: ${normal.map(([why, count]) => `${number(count)} ${why}`).join(", ")}.`));
  }
  return parts;
}

function summary() {
  const S = D.summary;
  const parts = [];
  const section = (title, ...children) => parts.push(el("section", {}, el("h3", {}, title), ...children));
  if (S.top.length > 0) {
    section("Most time in calls, waiting included", table(
      [["Process"], ["Time", "number"], ["Calls", "number"], ["Errors", "number"], ["Read", "number"], ["Written", "number"], ["Longest", "number"], ["At"]],
      S.top, (row) => [row.key, span(row.time_ns), number(row.count), number(row.errors), bytes(row.bytes_read || 0), bytes(row.bytes_written || 0),
        span(row.longest_ns), row.longest_event ? eventLink(row.longest_event) : ""]));
  }
  const classes = { work: "call or request", wait: "waits by design", open: "had not returned" };
  if (S.slowest.length > 0) {
    section("What was slow", table([["Took", "number"], ["Kind"], ["Who"], ["What", "text"], ["Event"]], S.slowest, (row) => [
      span(row.time_ns), classes[row.class] || row.class, row.who, row.what, row.event ? eventLink(row.event) : ""]));
  }
  if (S.stderr.length > 0) {
    section("Last lines on standard error", table([["Event"], ["Text", "text"]], S.stderr, (row) => [eventLink(row.event), row.text]));
  }
  const changes = S.changes.flatMap((target) => target.missing ? [[target.target, "", "", `not known: ${target.missing}`]]
    : target.changes.map((change) => [target.target, change.what, change.how, change.text]));
  if (changes.length > 0) {
    section("Start against end", table([["Target"], ["What"], ["How"], ["Which", "text"]], changes, (row) => row));
  }
  if (parts.length === 0) parts.push(el("p", {}, "Nothing was slow, written to standard error or changed."));
  return parts;
}
