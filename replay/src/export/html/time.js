// Times and amounts in words. Moments are nanoseconds since the recording began.

const SECOND = 1e9;

/** Nanoseconds since 1970 as a BigInt; null where the bundle has no anchor. The anchor in force is the last one before. */
function wall(at) {
  if (R.realtime === undefined) return null;
  let low = 0, high = R.anchors.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (R.anchors[middle][0] <= at) low = middle + 1;
    else high = middle;
  }
  const anchor = R.anchors[Math.max(low - 1, 0)];
  return BigInt(R.realtime) + BigInt(Math.round(at)) + BigInt(anchor ? anchor[1] : 0);
}

/** The offset of the page's zone in seconds; null for UTC. */
function offsetAt(second) {
  if (!R.offsets) return null;
  let found = R.offsets[0][1];
  for (const [from, offset] of R.offsets) if (from <= second) found = offset;
  return found;
}

/** Date and time of day apart, with so many digits of the second. */
function wallParts(at, digits) {
  const time = wall(at);
  if (time === null) return null;
  let millis = time / 1000000n, rest = time % 1000000n;
  if (rest < 0n) { millis -= 1n; rest += 1000000n; }
  const offset = offsetAt(Number(millis) / 1000);
  const text = new Date(Number(millis) + (offset ?? 0) * 1000).toISOString();
  const fraction = text.slice(20, 23) + String(rest).padStart(6, "0");
  const two = (amount) => String(Math.floor(amount)).padStart(2, "0");
  return {
    date: text.slice(0, 10),
    time: text.slice(11, 19) + (digits > 0 ? "." + fraction.slice(0, digits) : ""),
    zone: offset === null ? "Z" : `${offset < 0 ? "-" : "+"}${two(Math.abs(offset) / 3600)}:${two(Math.abs(offset) / 60 % 60)}`,
  };
}

/** RFC 3339 with nine digits. */
function rfc3339(at) {
  const parts = wallParts(at, 9);
  return parts === null ? null : `${parts.date}T${parts.time}${parts.zone}`;
}

/** The time of day, or date and time where the recording has several days, or seconds since the start. */
function clock(at, digits) {
  const parts = wallParts(at, digits);
  if (parts === null) return since(at, digits);
  return R.several_days ? `${parts.date} ${parts.time}` : parts.time;
}

/** `+1.234567890s`. */
function since(at, digits) {
  const sign = at < 0 ? "-" : "+";
  const total = BigInt(Math.round(Math.abs(at)));
  const fraction = String(total % 1000000000n).padStart(9, "0").slice(0, digits);
  return `${sign}${total / 1000000000n}${digits > 0 ? "." + fraction : ""}s`;
}

/** A length of time in about four digits. */
function span(nanoseconds) {
  if (nanoseconds < 0) return "";
  const [unit, name] = nanoseconds < 1e3 ? [1, "ns"] : nanoseconds < 1e6 ? [1e3, "us"] : nanoseconds < 1e9 ? [1e6, "ms"] : [1e9, "s"];
  const value = nanoseconds / unit;
  const digits = unit === 1 ? 0 : value < 10 ? 3 : value < 100 ? 2 : value < 1000 ? 1 : 0;
  return value.toFixed(digits) + name;
}

/** Bytes as replay shows them. */
function bytes(value) {
  const units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
  let unit = 0;
  while (Math.abs(value) >= 1024 && unit < units.length - 1) { value /= 1024; unit++; }
  return `${unit === 0 ? Math.round(value) : value.toFixed(1)} ${units[unit]}`;
}

/** A round step of an axis, so that about `count` of them fit, and the digits of a second that it needs. */
function axisStep(length, count) {
  const rough = Math.max(length / count, 1);
  let step = Math.pow(10, Math.floor(Math.log10(rough)));
  if (rough / step > 5) step *= 10;
  else if (rough / step > 2) step *= 5;
  else if (rough / step > 1) step *= 2;
  // Above a second, clocks count by sixties.
  if (step > SECOND) step = [2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 21600, 43200, 86400].map((s) => s * SECOND).find((s) => s >= rough) || step;
  return [step, step >= SECOND ? 0 : Math.min(9, Math.ceil(-Math.log10(step / SECOND) - 1e-9))];
}
