#!/usr/bin/env python3
"""A second reader of bundles, written from docs/format.md alone.

Usage: read_bundle.py [--digest] FILE

Prints one JSON object a line for each event, in order; with --digest their SHA-256 ("Digest"). A key that `replay events --json` has too has the same value
there; keys of our own have no dot in them. It needs the standard library, cbor2, and the program zstd.

Exit code: 0 complete, 3 not a bundle, 4 cut or damaged (what stands before is printed, what is wrong goes to stderr).
"""

import base64
import datetime
import hashlib
import io
import json
import re
import struct
import subprocess
import sys

import cbor2

MIB = 1 << 20
FRAME_MAX = 64 * MIB
MEMBER_MAX = FRAME_MAX - 2 * 512
ROWS_MAX, STREAM_EVENTS_MAX, COLUMNS_MAX, DEPTH_MAX = 1 << 20, 1 << 18, 256, 32
STREAMS = ["clock", "loss", "process", "syscall", "packet", "block", "journal", "kernel", "engine", "log", "metrics", "uring"]
MASK = (1 << 64) - 1


class NotABundle(Exception):
    pass


class Damaged(Exception):
    pass


class Cut(Damaged):
    pass


def want(condition, problem):
    if not condition:
        raise Damaged(problem)


# ---- "Frames"


def frame_length(data, at):
    """Length of the data frame at `at`, from its header and its block headers (RFC 8878, 3.1.1)."""

    def take(offset, size):
        piece = data[at + offset : at + offset + size]
        if len(piece) < size:
            raise Cut("the file ends inside a frame")
        return piece

    want(take(0, 4) == b"\x28\xb5\x2f\xfd", "not a data frame")
    descriptor = take(4, 1)[0]
    want(descriptor & 8 == 0, "a reserved bit of a frame header is set")
    want(descriptor & 3 == 0, "a frame names a dictionary")
    single = descriptor & 0x20
    width = [1 if single else 0, 2, 4, 8][descriptor >> 6]
    offset = 5
    if not single:
        window = take(5, 1)[0]
        base = 1 << (10 + (window >> 3))
        want(base + base // 8 * (window & 7) <= 8 * MIB, "a window over 8 MiB")
        offset = 6
    content = int.from_bytes(take(offset, width), "little") + (256 if width == 2 else 0)
    want(content <= FRAME_MAX, "a frame over 64 MiB")
    want(not single or content <= 8 * MIB, "a window over 8 MiB")
    offset += width
    while True:
        block = int.from_bytes(take(offset, 3), "little")
        kind, size = block >> 1 & 3, block >> 3
        want(kind != 3, "a block of the reserved type")
        offset += 3 + (1 if kind == 1 else size)
        if block & 1:
            break
    offset += 4 if descriptor & 4 else 0
    take(offset - 1, 1)
    return offset


def decompress(frame):
    run = subprocess.run(["zstd", "-dcq", "-M8MiB"], input=frame, capture_output=True)
    want(run.returncode == 0, "a frame cannot be decompressed: " + run.stderr.decode(errors="replace").strip())
    want(len(run.stdout) <= FRAME_MAX, "a frame over 64 MiB")
    return run.stdout


# ---- "Members"

NAME = re.compile(rb"[a-z0-9._/-]{1,100}\Z")


def name_is_allowed(name):
    def part_is_allowed(part):
        stem = part.split(b".")[0]
        port = len(stem) == 4 and stem[:3] in (b"com", b"lpt") and stem[3:].isdigit()
        device = port or stem in (b"con", b"prn", b"aux", b"nul")
        return part and part[:1] != b"." and part[-1:] != b"." and not device

    return NAME.match(name) and all(part_is_allowed(part) for part in name.split(b"/"))


def tar_header(name, size):
    block = bytearray(512)
    block[0 : len(name)] = name
    block[100:108] = b"0000644\0"
    block[108:116] = block[116:124] = b"0000000\0"
    block[124:136] = b"%011o\0" % size
    block[136:148] = b"00000000000\0"
    block[148:156] = b" " * 8
    block[156:157] = b"0"
    block[257:265] = b"ustar\x0000"
    block[148:156] = b"%07o\0" % sum(block)
    return bytes(block)


def members(content):
    """Names and contents of the members of a frame."""
    at = 0
    while at < len(content):
        if content[at:] == bytes(1024):
            return
        block = content[at : at + 512]
        want(len(block) == 512, "a tar header is cut")
        name = block[:100].split(b"\0")[0]
        want(name_is_allowed(name), "a member's name is not allowed: %r" % name)
        digits = block[124:135]
        want(re.fullmatch(rb"[0-7]{11}", digits), "a member's size is not octal")
        size = int(digits, 8)
        want(size <= MEMBER_MAX, "a member over its limit")
        want(block == tar_header(name, size), "the header of %r is not the one its name and size give" % name)
        body = content[at + 512 : at + 512 + size]
        end = at + 512 + (size + 511) // 512 * 512
        want(end <= len(content), "a member is longer than its frame")
        want(not any(content[at + 512 + size : end]), "padding that is not zero")
        yield name.decode(), body
        at = end


# ---- "CBOR", "Segments", "Columns"


def decode_cbor(data):
    stream = io.BytesIO(data)
    try:
        item = cbor2.load(stream)
    except Exception as error:  # cbor2 raises many kinds
        raise Damaged("not CBOR: %s" % error) from error
    want(stream.tell() == len(data), "bytes follow the CBOR item")
    check_depth(item, DEPTH_MAX)
    check_keys(data, 0)
    return item


def check_keys(data, at):
    """Goes over one well-formed item, of which no map may have a key twice. Gives where it ends."""
    major, low = data[at] >> 5, data[at] & 31
    at += 1
    indefinite = low == 31
    width = {24: 1, 25: 2, 26: 4, 27: 8}.get(low, 0)
    value = int.from_bytes(data[at : at + width], "big") if width else low
    at += width
    if major in (2, 3) and not indefinite:
        return at + value
    if major in (0, 1, 7):
        return at
    if major == 6:
        return check_keys(data, at)
    seen, count = set(), 0
    while data[at] != 0xFF if indefinite else count < value:
        begin, at = at, check_keys(data, at)
        if major == 5:
            key = cbor2.dumps(cbor2.loads(data[begin:at]))
            want(key not in seen, "a key stands twice in a map")
            seen.add(key)
            at = check_keys(data, at)
        count += 1
    return at + indefinite


def check_depth(item, left):
    want(left > 0, "CBOR is nested too deep")
    if isinstance(item, dict):
        for value in item.values():
            check_depth(value, left - 1)
    elif isinstance(item, list):
        for value in item:
            check_depth(value, left - 1)


def is_number(value, limit=MASK):
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= limit


def leb128(data, rows):
    want(len(data) >= rows, "too few bytes for the rows")
    values, at = [], 0
    for _ in range(rows):
        value = shift = 0
        while True:
            want(at < len(data) and shift <= 63, "an integer is cut or too long")
            byte = data[at]
            at += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                break
        want(value <= MASK, "an integer over 64 bits")
        values.append(value)
    want(at == len(data), "more integers than rows")
    return values


def unzigzag(value):
    return (value >> 1) ^ -(value & 1)


def integer_column(column, rows):
    want(isinstance(column, dict) and "v" in column, "not a column")
    encoding, content = column.get("e"), column["v"]
    if encoding == "const":
        want(is_number(content), "a constant that is no number")
        return [content] * rows
    if encoding == "fixed":
        want(isinstance(content, cbor2.CBORTag), "not a typed array")
        want(content.tag in (64, 69, 70, 71) and isinstance(content.value, bytes), "not a typed array that is known")
        width, letter = {64: (1, "B"), 69: (2, "H"), 70: (4, "I"), 71: (8, "Q")}[content.tag]
        want(len(content.value) == rows * width, "a typed array of another length")
        return list(struct.unpack("<%d%s" % (rows, letter), content.value))
    if encoding == "dict":
        return dictionary(content, rows)
    want(encoding in ("varint", "delta") and isinstance(content, bytes), "an unknown encoding")
    values = leb128(content, rows)
    if encoding == "delta":
        before = 0
        for row, value in enumerate(values):
            before = values[row] = before + unzigzag(value) & MASK
    return values


def dictionary(content, rows):
    want(isinstance(content, list) and len(content) == 3, "not a dictionary")
    want(all(isinstance(part, bytes) for part in content), "not a dictionary")
    table, index, others = content
    values = leb128(table, sum(byte < 0x80 for byte in table))
    want(len(values) <= 255, "a dictionary of more than 255 values")
    want(len(index) == rows, "a dictionary of another length")
    others = iter(leb128(others, index.count(255)))
    return [next(others) if number == 255 else row(values, number) for number in index]


def bytes_column(column, rows):
    want(isinstance(column, dict) and column.get("e") == "bytes", "not a byte-string column")
    pair = column.get("v")
    want(isinstance(pair, list) and len(pair) == 2 and isinstance(pair[1], bytes), "not lengths and content")
    pieces, at = [], 0
    for length in integer_column(pair[0], rows):
        pieces.append(pair[1][at : at + length])
        at += length
    want(at == len(pair[1]), "lengths that do not add up to the content")
    return pieces


class Table:
    def __init__(self, item):
        want(isinstance(item, dict) and is_number(item.get("rows"), ROWS_MAX), "not a table")
        self.rows, self.columns = item["rows"], item.get("columns")
        want(isinstance(self.columns, dict) and len(self.columns) <= COLUMNS_MAX, "a table without columns")

    def column(self, name):
        want(name in self.columns, "no column " + name)
        return self.columns[name]

    def ints(self, name, limit=MASK):
        values = integer_column(self.column(name), self.rows)
        want(all(value <= limit for value in values), "column %s: a value over %d" % (name, limit))
        return values

    def signed(self, name):
        return [unzigzag(value) for value in self.ints(name)]

    def bytes(self, name):
        return bytes_column(self.column(name), self.rows)

    def texts(self, name):
        try:
            return [value.decode() for value in self.bytes(name)]
        except UnicodeDecodeError as error:
            raise Damaged("column %s: not UTF-8" % name) from error


class Segment:
    def __init__(self, data):
        item = decode_cbor(data)
        want(isinstance(item, dict) and len(item) <= COLUMNS_MAX, "not a map of tables")
        self.tables = item

    def table(self, name):
        want(name in self.tables, "no table " + name)
        return Table(self.tables[name])


def row(rows, index):
    want(index < len(rows), "row %d of a table of %d" % (index, len(rows)))
    return rows[index]


# ---- "Events": what they become in JSON


def put_bytes(event, key, value):
    """Bytes that are UTF-8 are text; others stand, in base64, under the key with .b64 behind it."""
    try:
        event[key] = value.decode()
    except UnicodeDecodeError:
        event[key + ".b64"] = base64.b64encode(value).decode()


def put_present(event, key, value):
    """0 and empty mean: not known, or none."""
    if value:
        event[key] = value


def put_task(event, task):
    put_present(event, "container.id", task["container"])
    put_present(event, "proc.pid", task["pid"])
    put_present(event, "thread.tid", task["tid"])
    if task["comm"]:
        put_bytes(event, "proc.name", task["comm"])


def tasks(segment):
    table = segment.table("tasks")
    columns = zip(table.ints("pid", 0xFFFFFFFF), table.ints("tid", 0xFFFFFFFF), table.bytes("comm"), table.texts("container"))
    return [dict(zip(("pid", "tid", "comm", "container"), values)) for values in columns]


def captured(table):
    """Captured data as hex with what became of the copying."""
    found = []
    for status, original, content in zip(table.ints("status", 3), table.ints("original"), table.bytes("bytes")):
        word = ["whole", "truncated", "failed", "redacted"][status]
        item = {"status": word, "original": original}
        if status < 2:
            item["bytes"] = content.hex()
        found.append(item)
    return found


def rfc3339(realtime):
    seconds, fraction = divmod(realtime, 10**9)
    moment = datetime.datetime(1970, 1, 1) + datetime.timedelta(seconds=seconds)
    return moment.isoformat() + ".%09dZ" % fraction


def shares(counts, items):
    """Cuts `items` into runs of the lengths in `counts`, which must take all of it."""
    at, found = 0, []
    for count in counts:
        found.append(items[at : at + count])
        at += count
    want(at == len(items), "rows that belong to no event, or are missing")
    return found


# ---- "Digest"

DIGEST = "digest"


def string(data):
    return struct.pack("<Q", len(data)) + data


def task_bytes(task):
    return struct.pack("<II", task["pid"], task["tid"]) + string(task["comm"]) + string(task["container"].encode())


def captured_bytes(item):
    status = ["whole", "truncated", "failed", "redacted"].index(item["status"])
    original = item["original"] if status else 0
    return struct.pack("<BQ", status, original) + string(bytes.fromhex(item.get("bytes", "")))


# ---- "Streams"


def clock(segment, table, raw):
    return [{"clock.delta": delta, DIGEST: struct.pack("<q", delta)} for delta in table.signed("delta")]


def loss(segment, table, raw):
    names = ("stream", "count", "from", "to")
    columns = zip(*(table.ints(name) for name in names), table.texts("cause"), table.texts("scope"))
    found = []
    for stream, count, begin, end, cause, scope in columns:
        event = {"loss.stream": row(STREAMS, stream), "loss.cause": cause, "loss_from": begin, "loss_to": end}
        put_present(event, "loss.count", count)
        put_present(event, "loss.scope", scope)
        event[DIGEST] = struct.pack("<BQQQ", stream, count, begin, end) + string(cause.encode()) + string(scope.encode())
        found.append(event)
    return found


def process(segment, table, raw):
    threads, programs = tasks(segment), captured(segment.table("programs"))
    word = 0xFFFFFFFF
    columns = (table.ints("task"), table.ints("change", 4), table.ints("first", word), table.ints("second", word))
    of_event = shares([2 if change == 1 else 0 for change in columns[1]], programs)
    signals = iter(signal_rows(segment, threads, columns[1].count(3)))
    kills = iter(oom_rows(segment, threads, columns[1].count(4)))
    found = []
    for (task, change, first, second), own in zip(zip(*columns), of_event):
        event = {"change": ["fork", "exec", "exit", "signal", "oom-kill"][change]}
        put_task(event, row(threads, task))
        if change == 0:
            event["child.pid"], event["child.tid"] = first, second
            values = struct.pack("<BII", 0, first, second)
        elif change == 1:
            event["old_tid"] = first
            event["filename"], event["argv"] = own
            values = struct.pack("<BI", 1, first) + b"".join(captured_bytes(item) for item in own)
        elif change == 3:
            event["signal.number"] = first
            more, values = next(signals)
            event.update(more)
            values = struct.pack("<BI", 3, first) + values
        elif change == 4:
            more, values = next(kills)
            event.update(more)
            values = b"\4" + values
        else:
            want(first < 256, "an exit status over 255")
            signal = second & 0xFF
            event["exit_status"] = first
            event.update({"proc.exit.signal": signal} if signal else {"proc.exit.status": first})
            event["proc.exit.core"], event["proc.exit.last"] = bool(second >> 8 & 1), bool(second >> 9 & 1)
            values = struct.pack("<BBBBB", 2, first, signal, second >> 8 & 1, second >> 9 & 1)
        event[DIGEST] = task_bytes(threads[task]) + values
        found.append(event)
    return found


def maybe_task(threads, number):
    """A task that may be absent: as JSON, and as the digest has it."""
    if number == 0:
        return None, b"\0"
    task = row(threads, number - 1)
    return [task["pid"], task["tid"], task["comm"].hex(), task["container"]], b"\1" + task_bytes(task)


def word32(value):
    want(-(1 << 31) <= value < 1 << 31, "a number of more than 32 bits")
    return value


def signal_rows(segment, threads, count):
    if count == 0:
        return []
    table = segment.table("signals")
    want(table.rows == count, "signals and their rows differ in number")
    columns = zip(table.ints("step", 8), table.signed("code"), table.ints("sender"), table.ints("flags"), table.bytes("siginfo"))
    found = []
    for step, code, sender, flags, info in columns:
        sender, sender_bytes = maybe_task(threads, sender)
        event = {"signal_step": step, "signal_code": word32(code), "signal_sender": sender, "siginfo": info.hex()}
        event["signal.fatal"], event["signal_process_wide"] = bool(flags & 1), bool(flags & 2)
        found.append((event, struct.pack("<BqB", step, code, flags & 3) + sender_bytes + string(info)))
    return found


def oom_rows(segment, threads, count):
    if count == 0:
        return []
    table = segment.table("oom_kills")
    want(table.rows == count, "OOM kills and their rows differ in number")
    names = ("total_vm", "anon", "file", "shmem")
    pages = zip(*(table.ints(name) for name in names))
    columns = zip(table.ints("trigger"), table.signed("score_adj"), table.ints("known", 1), pages)
    found = []
    for trigger, score, known, pages in columns:
        trigger, values = maybe_task(threads, trigger)
        event = {"oom_trigger": trigger, "oom.score_adj": word32(score)}
        if known:
            event.update(("oom.pages." + name, value) for name, value in zip(names, pages))
        values += struct.pack("<qB", score, known) + (struct.pack("<4Q", *pages) if known else b"")
        found.append((event, values))
    return found


def syscall(segment, table, raw):
    threads = tasks(segment)
    names = segment.table("descriptors")
    names = list(zip(names.texts("kind"), names.bytes("name")))
    captures = segment.table("captures")
    kinds = captures.ints("kind", 5)
    argument, when = captures.ints("arg", 5), captures.ints("when", 1)
    memory = captured(captures)
    for item, arg, kind, moment in zip(memory, argument, kinds, when):
        item["arg"] = arg
        item["kind_number"] = kind
        item["kind"] = ["path", "sockaddr", "buffer", "descriptor-pair", "strings", "struct"][kind]
        item["when"] = ["entry", "exit"][moment]
    memory = shares(table.ints("captures", 255), memory)
    args = list(zip(*(table.ints("arg%d" % n) for n in range(6))))
    duration, number, abi = table.ints("duration"), table.ints("number", 0xFFFFFFFF), table.ints("abi", 2)
    ret, task, cpu = table.signed("ret"), table.ints("task"), table.ints("cpu", 0xFFFF)
    flags, descriptor = table.ints("flags", 0xFF), table.ints("descriptor")
    found = []
    for n in range(table.rows):
        event = {"evt.nr": number[n], "evt.abi": ["x86_64", "i386", "aarch64"][abi[n]], "evt.cpu": cpu[n]}
        put_task(event, row(threads, task[n]))
        for which, value in enumerate(args[n]):
            event["evt.rawarg[%d]" % which] = hex(value)
        if flags[n] & 1 == 0:
            event["evt.rawres"] = ret[n]
            event["evt.failed"] = -4095 <= ret[n] <= -1
        if flags[n] & 2 == 0:
            event["evt.latency"] = duration[n]
        if descriptor[n]:
            kind, name = row(names, descriptor[n] - 1)
            event["fd.type"] = kind
            put_bytes(event, "fd.name", name)
        event["captures"] = memory[n]
        values = task_bytes(threads[task[n]]) + struct.pack("<BI6Q", abi[n], number[n], *args[n])
        values += b"\0" if flags[n] & 1 else struct.pack("<Bq", 1, ret[n])
        values += b"\0" if flags[n] & 2 else struct.pack("<BQ", 1, duration[n])
        values += struct.pack("<HB", cpu[n], descriptor[n] > 0)
        if descriptor[n]:
            values += string(names[descriptor[n] - 1][0].encode()) + string(names[descriptor[n] - 1][1])
        values += struct.pack("<Q", len(memory[n]))
        for item in memory[n]:
            values += struct.pack("<BBB", item["arg"], item["kind_number"], item["when"] == "exit") + captured_bytes(item)
            del item["kind_number"]
        event[DIGEST] = values
        found.append(event)
    return found


class Section:
    """One pcapng section: its interfaces, and the packets behind its head."""

    def __init__(self, data, head, lengths):
        self.interfaces, self.pieces, at = [], [], head
        want(head <= len(data), "a head longer than its member")
        for length in lengths:
            self.pieces.append(data[at : at + length])
            at += length
        want(at == len(data), "packets that do not add up to their member")
        blocks = list(self.blocks(data[:head]))
        want(blocks and blocks[0][0] == 0x0A0D0D0A, "no section header")
        magic, major, minor = struct.unpack_from("<IHH", blocks[0][1])
        want((magic, major, minor) == (0x1A2B3C4D, 1, 0), "a section of another version or byte order")
        for kind, body in blocks[1:]:
            want(kind == 1, "a block that is no interface in the head")
            options = dict(self.options(body[8:]))
            want(options.get(9) == b"\x09" and 2 in options, "an interface without name or nanoseconds")
            netns = re.fullmatch(rb"netns (0|[1-9][0-9]*)", options.get(3, b""))
            want(netns, "an interface without namespace")
            self.interfaces.append((options[2].decode(), int(netns[1]), struct.unpack_from("<H", body)[0]))

    @staticmethod
    def blocks(data):
        at = 0
        while at < len(data):
            want(at + 12 <= len(data), "a pcapng block is cut")
            kind, length = struct.unpack_from("<II", data, at)
            want(length >= 12 and length % 4 == 0 and length <= 16 * MIB, "a pcapng block of impossible length")
            want(at + length <= len(data), "a pcapng block is cut")
            want(struct.unpack_from("<I", data, at + length - 4)[0] == length, "two lengths of a block differ")
            yield kind, data[at + 8 : at + length - 4]
            at += length

    @staticmethod
    def options(data):
        at = 0
        while at + 4 <= len(data):
            code, length = struct.unpack_from("<HH", data, at)
            if code == 0:
                return
            want(at + 4 + length <= len(data), "an option longer than its block")
            yield code, data[at + 4 : at + 4 + length]
            at += 4 + (length + 3) // 4 * 4

    def packet(self, block):
        found = list(self.blocks(block))
        want(len(found) == 1 and found[0][0] == 6 and len(found[0][1]) >= 20, "not one packet")
        body = found[0][1]
        interface, high, low, caught, original = struct.unpack_from("<IIIII", body)
        data = body[20 : 20 + caught]
        want(len(data) == caught and caught <= original, "a packet longer than its block")
        name, netns, linktype = row(self.interfaces, interface)
        flags = dict(self.options(body[20 + (caught + 3) // 4 * 4 :])).get(2, b"\0\0\0\0")
        direction = {1: "in", 2: "out"}.get(flags[0] & 3)
        want(direction and high < 1 << 31, "a packet without direction, or of an impossible time")
        values = struct.pack("<Q", netns) + string(name.encode())
        values += struct.pack("<HBqI", linktype, direction == "out", high << 32 | low, original) + string(data)
        return {
            DIGEST: values,
            "pkt.interface": name,
            "pkt.netns": netns,
            "pkt.direction": direction,
            "pkt.len": original,
            "pkt.caplen": caught,
            "pkt.linktype": linktype,
            "pkt.time": rfc3339(high << 32 | low),
            "packet": data.hex(),
        }


def packet(segment, table, raw):
    heads = segment.table("sections").ints("head")
    numbers, lengths = table.ints("section"), table.ints("len")
    sections = []
    for number, head in enumerate(heads):
        own = [length for other, length in zip(numbers, lengths) if other == number]
        section = Section(raw("packets.%d.pcapng" % number), head, own)
        sections.append((section, iter(section.pieces)))
    found = []
    for number in numbers:
        section, pieces = row(sections, number)
        found.append(section.packet(next(pieces)))
    return found


def block(segment, table, raw):
    threads, owners = tasks(segment), segment.table("containers").texts("value")
    word = 0xFFFFFFFF
    limits = {"action": 2, "major": word, "minor": word, "bytes": word, "owner": 3, "error": word >> 1, "cpu": 0xFFFF}
    plain = ("sector", "cmd_flags", "task", "container", "inode", "request", "latency")
    columns = {name: table.ints(name, limits.get(name, MASK)) for name in (*limits, *plain)}
    found = []
    for n in range(table.rows):
        it = {name: column[n] for name, column in columns.items()}
        event = {
            "blk.action": ["queue", "issue", "complete"][it["action"]],
            "blk.dev": "%d:%d" % (it["major"], it["minor"]),
            "blk.sector": it["sector"],
            "blk.bytes": it["bytes"],
            "blk.flags": hex(it["cmd_flags"]),
            "blk.owner": ["page", "bio", "task", "unknown"][it["owner"]],
            "evt.cpu": it["cpu"],
        }
        put_task(event, {**row(threads, it["task"]), "container": row(owners, it["container"])})
        put_present(event, "blk.error", it["error"])
        put_present(event, "blk.inode", it["inode"])
        if it["request"]:
            event["blk.request"] = hex(it["request"])
        if it["latency"]:
            event["blk.latency"] = it["latency"] - 1
        values = struct.pack("<BIIQIQ", *(it[name] for name in ("action", "major", "minor", "sector", "bytes", "cmd_flags")))
        values += task_bytes(threads[it["task"]]) + string(owners[it["container"]].encode())
        values += struct.pack("<BQQQIH", *(it[name] for name in ("owner", "inode", "request", "latency", "error", "cpu")))
        event[DIGEST] = values
        found.append(event)
    return found


def text(name, ending=b""):
    def read(segment, table, raw):
        pieces = shares(table.ints("len"), raw(name))
        pieces = [piece[: -len(ending)] if ending and piece.endswith(ending) else piece for piece in pieces]
        return [{"text": piece.hex(), DIGEST: string(piece)} for piece in pieces]

    return read


def log(segment, table, raw):
    containers = segment.table("containers").texts("value")
    columns = (table.ints("container"), table.ints("stream", 2), table.signed("realtime"), table.bytes("bytes"))
    found = []
    for container, stream, realtime, content in zip(*columns):
        want(stream > 0, "an unknown output")
        event = {"log.stream": ["", "stdout", "stderr"][stream], "log.time": rfc3339(realtime), "text": content.hex()}
        put_present(event, "container.id", row(containers, container))
        values = string(containers[container].encode()) + struct.pack("<Bq", stream, realtime)
        event[DIGEST] = values + string(content)
        found.append(event)
    return found


def uring(segment, table, raw):
    threads = tasks(segment)
    names = segment.table("descriptors")
    names = list(zip(names.texts("kind"), names.bytes("name")))
    limits = {"task": MASK, "cpu": 0xFFFF, "step": 2, "ring": MASK, "user_data": MASK, "flags": 0xFFFFFFFF}
    limits.update(opcode=256, fd=MASK, descriptor=MASK, latency=MASK)
    columns = {name: table.ints(name, limit) for name, limit in limits.items()}
    results = table.signed("result")
    found = []
    for n in range(table.rows):
        it = {name: column[n] for name, column in columns.items()}
        event = {"uring.ring": hex(it["ring"]), "uring.user_data": hex(it["user_data"]), "evt.cpu": it["cpu"]}
        event["uring_step"] = it["step"]
        event["uring_flags"] = it["flags"]
        put_task(event, row(threads, it["task"]))
        values = struct.pack("<BQQIHH", *(it[name] for name in ("step", "ring", "user_data", "flags", "cpu", "opcode")))
        if it["opcode"]:
            event["uring_opcode"] = it["opcode"] - 1
        values += struct.pack("<B", it["descriptor"] > 0)
        if it["descriptor"]:
            kind, name = row(names, it["descriptor"] - 1)
            event["fd.type"] = kind
            put_bytes(event, "fd.name", name)
            values += string(kind.encode()) + string(name)
        if it["step"] == 0:
            want(it["flags"] < 256, "flags of a request over 255")
            values += struct.pack("<B", it["fd"] > 0)
            if it["fd"]:
                event["uring.fd"] = word32(unzigzag(it["fd"] - 1))
                values += struct.pack("<q", event["uring.fd"])
        else:
            event["uring.result"] = word32(results[n])
            latency = it["latency"] if it["step"] == 1 else 0
            if latency:
                event["uring.latency"] = latency - 1
            values += struct.pack("<qQ", results[n], latency)
        event[DIGEST] = task_bytes(threads[it["task"]]) + values
        found.append(event)
    return found


def metrics(segment, table, raw):
    names, containers = segment.table("names").texts("value"), segment.table("containers").texts("value")
    values = segment.table("values")
    readings = [(row(names, name), value) for name, value in zip(values.ints("name"), values.ints("value"))]
    readings = shares(table.ints("values"), readings)
    found = []
    for container, own in zip(table.ints("container"), readings):
        event = {"metrics." + name: value for name, value in own}
        put_present(event, "container.id", row(containers, container))
        values = string(containers[container].encode()) + struct.pack("<Q", len(own))
        event[DIGEST] = values + b"".join(string(name.encode()) + struct.pack("<Q", value) for name, value in own)
        found.append(event)
    return found


READERS = {
    "clock": clock,
    "loss": loss,
    "process": process,
    "syscall": syscall,
    "packet": packet,
    "block": block,
    "journal": text("journal.export"),
    "kernel": text("kernel.txt"),
    "engine": text("engine.jsonl", b"\n"),
    "log": log,
    "uring": uring,
    "metrics": metrics,
}


def call_times(table):
    """Times of the returns of calls: each from the one before it of the same thread."""
    times, of_task = [], {}
    for gap, duration, task in zip(table.signed("gap"), table.ints("duration"), table.ints("task")):
        before = of_task.get(task, times[-1] if times else 0)
        of_task[task] = before + gap + duration & MASK
        times.append(of_task[task])
    return times


def read_stream(stream, folder, found):
    """The events of a stream, from the members in `found`."""
    name = "%s%s.cbor" % (folder, stream)
    if name not in found:
        return []
    segment = Segment(found[name])
    table = segment.table("events")
    want(table.rows <= STREAM_EVENTS_MAX, "too many events")

    def raw(file):
        want(folder + file in found, "no member " + folder + file)
        return found[folder + file]

    try:
        bodies = READERS[stream](segment, table, raw)
    except Damaged as error:
        raise Damaged("%s: %s" % (name, error)) from error
    events = []
    times = call_times(table) if stream == "syscall" else table.ints("time")
    for time, late, body in zip(times, table.ints("late", 1), bodies):
        event = {"evt.boottime": time, "evt.stream": stream, **body}
        if late:
            event["evt.late"] = True
        event[DIGEST] = struct.pack("<QBB", time, late, STREAMS.index(stream)) + event[DIGEST]
        events.append(event)
    want(len(events) == table.rows, name + ": bodies and rows differ")
    return events


# ---- "Checkpoint": containers and usage


CONTAINERS_MAX, READINGS_MAX, TEXT_MAX = 1024, 512, 256
SIGNALS = "HUP INT QUIT ILL TRAP ABRT BUS FPE KILL USR1 SEGV USR2 PIPE ALRM TERM STKFLT CHLD CONT STOP TSTP TTIN TTOU".split()
STATUS = {"create": "created", "start": "running", "unpause": "running", "pause": "paused"}
STATUS.update(destroy="removed", remove="removed")


def short(text):
    """A word as it is kept: without the slash before a name, and not at all where it is too long."""
    if not isinstance(text, str):
        return None
    text = text.removeprefix("/")
    return text if 0 < len(text.encode()) <= TEXT_MAX else None


def signal_number(text):
    if not isinstance(text, str):
        return text if is_number(text, 0xFFFFFFFF) else 0
    if text.isdecimal():
        return int(text)
    name = text.removeprefix("SIG")
    return SIGNALS.index(name) + 1 if name in SIGNALS else 0


def code(value):
    if isinstance(value, str):
        return int(value) if value.lstrip("-").isdecimal() else None
    return value if isinstance(value, int) and not isinstance(value, bool) else None


class Containers:
    def __init__(self):
        self.containers, self.usage, self.left_out = {}, {}, False

    def of(self, container):
        if len(container.encode()) > TEXT_MAX:
            self.left_out = True
            return None
        if container not in self.containers and len(self.containers) >= CONTAINERS_MAX:
            self.left_out = True
            removed = [(one["event"], name) for name, one in self.containers.items() if one["status"] == "removed"]
            if not removed:
                return None
            del self.containers[min(removed)[1]]
        nothing = dict.fromkeys(("name", "since", "stamp", "event", "exit_code", "oom", "health", "uncertain"))
        nothing.update(status="unknown", restarts="unknown", stop_signal=0, stopped=False)
        return self.containers.setdefault(container, nothing)

    def start(self, target, inspection):
        def at(*keys):
            item = reply
            for key in keys:
                item = item.get(key) if isinstance(item, dict) else None
            return item

        try:
            reply = json.loads(inspection)
        except ValueError:
            reply = {}
        it = self.of(target["id"])
        words = {"configured": "created", "initialized": "created", "dead": "exited", "stopped": "exited"}
        status = at("State", "Status")
        status = words.get(status, status)
        known = ("created", "running", "paused", "restarting", "exited")
        it["status"] = status if status in known else "unknown"
        has_ended = status in ("exited", "restarting")
        stamps = {"created": at("Created"), "running": at("State", "StartedAt"), "paused": None}
        it["stamp"] = short(stamps.get(status, at("State", "FinishedAt") if has_ended else None))
        it["exit_code"] = at("State", "ExitCode") if has_ended else None
        it["oom"] = at("State", "OOMKilled")
        it["health"] = short(at("State", "Health", "Status"))
        it["name"] = short(target["name"]) if target["name"] else short(at("Name"))
        policy, most = at("HostConfig", "RestartPolicy", "Name"), at("HostConfig", "RestartPolicy", "MaximumRetryCount")
        policies = {"": "never", "no": "never", "always": "always", "unless-stopped": "always"}
        it["restarts"] = "failed" if (policy, most) == ("on-failure", 0) else policies.get(policy, "unknown")
        it["stop_signal"] = signal_number(at("Config", "StopSignal") or "")

    def event(self, number, event):
        stream = event["evt.stream"]
        if stream == "engine":
            self.engine(number, event["evt.boottime"], bytes.fromhex(event["text"]))
        if stream == "metrics":
            self.reading(number, event)
        if stream == "loss" and event["loss.stream"] == "engine":
            for it in self.containers.values():
                it["uncertain"] = event["loss_from"] if it["uncertain"] is None else it["uncertain"]
                it["oom"] = it["oom"] or None

    def engine(self, number, time, content):
        try:
            message = json.loads(content)
            actor = message["Actor"]
            kind, action, container = message["Type"], message["Action"], actor["ID"]
            action, _, detail = action.partition(":")
        except (ValueError, KeyError, TypeError, AttributeError):
            return
        known = set(STATUS) | {"die", "died", "kill", "oom", "stop", "rename", "update", "health_status"}
        if kind != "container" or not container or action not in known:
            return
        it = self.of(container)
        if it is None:
            return
        attributes = actor.get("Attributes", {})
        if not isinstance(attributes, dict):
            return
        it["name"] = short(attributes.get("name")) or it["name"]
        status = STATUS.get(action)
        if action == "start":
            it.update(exit_code=None, health=None, oom=False, stopped=False)
        elif action in ("die", "died"):
            ended = code(attributes.get("exitCode"))
            it["exit_code"] = code(attributes.get("containerExitCode")) if ended is None else ended
            again = it["restarts"] == "always" or it["restarts"] == "failed" and it["exit_code"] not in (None, 0)
            status = "restarting" if again and not it["stopped"] else "exited"
            it["health"] = None
        elif action == "oom":
            it["oom"] = True
        elif action == "kill":
            it["stopped"] |= signal_number(attributes.get("signal")) in (9, it["stop_signal"] or 15)
        elif action == "stop":
            it["stopped"] = True
            if it["uncertain"] is not None or it["status"] not in ("exited", "removed"):
                status = "exited"
                if it["uncertain"] is not None or it["status"] != "restarting":
                    it["exit_code"] = None
        elif action == "health_status":
            it["health"] = short(detail.strip() or attributes.get("health_status"))
        elif action == "update":
            it["restarts"] = "unknown"
        if status:
            it.update(status=status, since=time, event=number, stamp=None, uncertain=None)

    def reading(self, number, event):
        container, time = event.get("container.id", ""), event["evt.boottime"]
        before = self.usage.get(container)
        if len(container.encode()) > TEXT_MAX or before is None and len(self.usage) >= CONTAINERS_MAX:
            self.left_out = True
            return
        if before is not None and time <= before["time"]:
            return
        values, left_out = {}, False
        for key, value in event.items():
            name = key.removeprefix("metrics.")
            if name == key or name.startswith("host."):
                continue
            if len(name.encode()) > TEXT_MAX or len(values) >= READINGS_MAX:
                left_out = True
                continue
            values[name] = [value, before["values"].get(name, [None])[0] if before else None]
        self.usage[container] = {"time": time, "event": number, "values": values, "left_out": left_out}
        self.usage[container]["before"] = before["time"] if before else None

    def check(self, name, content):
        """Whether a checkpoint has what events gave."""
        state = decode_cbor(content)
        if "containers" not in state:
            return
        want(state["containers"] == self.containers, name + ": its containers are not what events give")
        want(state["usage"] == self.usage, name + ": its usage is not what events give")
        want(state["containers_left_out"] == self.left_out, name + ": containers left out")

    def load(self, content):
        state = decode_cbor(content)
        self.containers, self.usage = state.get("containers", {}), state.get("usage", {})
        self.left_out = state.get("containers_left_out", False)


# ---- "Order", "Ledger"


class Reader:
    def __init__(self):
        self.header = self.end = None
        self.anchors = []
        self.chain = bytes(32)
        self.uncovered = []
        self.slice, self.first, self.floor = 1, 1, None
        self.counts = {}
        self.gaps, self.slices, self.total, self.recorded = [], 0, 0, None
        # What checkpoints say of containers, as long as no event is missing.
        self.containers, self.has_state = Containers(), False

    def realtime(self, time):
        anchor = self.anchors[0]
        for other in self.anchors:
            if other["boottime"] <= time:
                anchor = other
        return anchor["realtime"] + time - anchor["boottime"]

    def member(self, name, content):
        if self.header is None:
            self.begin(name, content)
        if name.endswith("/ledger.cbor"):
            yield from self.ledger(name, content)
            self.uncovered = []
        elif name not in ("index.cbor", "manifest.json"):
            self.uncovered.append((name, content))
        if name == "end.json":
            self.end = json.loads(content)
        if name == "origin.json":
            origin = json.loads(content)
            self.gaps, self.recorded = origin["gaps"], bytes.fromhex(origin.get("chain", "00" * 32))
            want(self.gaps == [] or "gaps" in self.header["format"].get("requires", []), "gaps that no feature tells of")

    def begin(self, name, content):
        if name != "header.json":
            raise NotABundle("its first member is not header.json")
        try:
            header = json.loads(content)
            version = header["format"]
        except (ValueError, KeyError) as error:
            raise NotABundle("header.json cannot be read") from error
        if version.get("name") != "stillframe-bundle":
            raise NotABundle("another format")
        if version.get("major") != 1 or set(version.get("requires", [])) - {"gaps", "signals", "uring"}:
            raise NotABundle("written in format %s: this reader knows 1.x" % version)
        self.header = header
        self.anchors = sorted(header["anchors"], key=lambda anchor: anchor["boottime"])

    def ledger(self, name, content):
        ledger = decode_cbor(content)
        want(isinstance(ledger, dict), name + ": not a map")
        listed = [(record["name"], record["size"], record["sha256"]) for record in ledger["members"]]
        there = [(name, len(content), hashlib.sha256(content).digest()) for name, content in self.uncovered]
        want(listed == there, name + ": the members before it are not those that it lists")
        if name == "slice/000001/ledger.cbor" and self.recorded:
            self.chain = self.recorded
        while name.startswith("slice/") and self.gaps and self.gaps[0]["slice"] == self.slice:
            gap = self.gaps.pop(0)
            # What stood before a part is known only where the part says so.
            if gap["cause"] != "cut" or not self.has_state:
                self.containers = None
            want(gap["first"] == self.first, "a gap out of turn")
            self.slice, self.first, self.floor = self.slice + gap["slices"], self.first + gap["events"], gap["to"]
            self.chain = bytes.fromhex(gap["chain"])
        want(ledger["previous"] == self.chain, name + ": it follows another ledger")
        self.chain = hashlib.sha256(content).digest()
        self.anchors = sorted(self.anchors + ledger.get("anchors", []), key=lambda anchor: anchor["boottime"])
        if name == "start/ledger.cbor":
            self.start(dict(self.uncovered))
        if name.startswith("slice/"):
            yield from self.events(name, ledger)

    def start(self, found):
        if "start/state.cbor" in found:
            self.has_state = True
            return self.containers.load(found["start/state.cbor"])
        for target in self.header["targets"]:
            if target["kind"] == "container":
                inspection = found.get("start/containers/%s/inspect.json" % target.get("folder", ""), b"")
                self.containers.start(target, inspection)

    def events(self, name, ledger):
        folder = "slice/%06d/" % self.slice
        want(name == folder + "ledger.cbor" and ledger["slice"] == self.slice, name + ": out of turn")
        want(ledger["first"] == self.first, name + ": its first event is another one")
        want(self.floor in (None, ledger["from"]), name + ": it does not follow the slice before in time")
        found = dict(self.uncovered)
        want(self.uncovered and folder + "open.cbor" in found, name + ": no open.cbor")
        calls = decode_cbor(found[folder + "open.cbor"])
        want(isinstance(calls, list) and all(is_number(call["abi"], 2) for call in calls), "open.cbor: not calls")
        if folder + "state.cbor" in found:
            if self.containers:
                self.containers.check(folder + "state.cbor", found[folder + "state.cbor"])
            self.containers = Containers()
            self.containers.load(found[folder + "state.cbor"])
        streams = [read_stream(stream, folder, found) for stream in STREAMS]
        counts = {stream: len(events) for stream, events in zip(STREAMS, streams) if events}
        want(counts == {stream: count for stream, count in ledger.get("counts", {}).items() if count}, name + ": counts")
        want(sum(counts.values()) == ledger["events"], name + ": events")
        want(folder + "order.cbor" in found, name + ": no order.cbor")
        runs = Segment(found[folder + "order.cbor"]).table("runs")
        places, number, before = [0] * len(STREAMS), self.first, (0, 0)
        in_order = []
        for stream, count in zip(runs.ints("stream", len(STREAMS) - 1), runs.ints("count")):
            want(count > 0, "an empty run")
            begin = places[stream]
            places[stream] += count
            run = streams[stream][begin : begin + count]
            want(len(run) == count, "a run longer than its stream")
            for event in run:
                time = event["evt.boottime"]
                want(before <= (time, stream), "event %d is out of order" % number)
                want(time < ledger["to"], "event %d is not before its slice's end" % number)
                want(event.get("evt.late", False) == (time < ledger["from"]), "event %d: late" % number)
                if number == ledger["first"]:
                    want(ledger.get("earliest", time) == time, "event %d: earliest" % number)
                before = (time, stream)
                if self.containers:
                    self.containers.event(number, event)
                event[DIGEST] = struct.pack("<Q", number) + event[DIGEST]
                in_order.append({"evt.num": number, "evt.time": rfc3339(self.realtime(time)), **event})
                number += 1
        want(places == [len(events) for events in streams], "events that no run takes")
        for stream, count in counts.items():
            self.counts[stream] = self.counts.get(stream, 0) + count
        self.slice, self.first, self.floor = self.slice + 1, number, ledger["to"]
        self.slices, self.total = self.slices + 1, self.total + ledger["events"]
        yield from in_order


def events(data, reader):
    """All events, frame by frame, without seek table and index, which are only hints."""
    at = 0
    while at < len(data) and data[at : at + 4] != b"\x5e\x2a\x4d\x18":
        length = frame_length(data, at)
        for name, content in members(decompress(data[at : at + length])):
            yield from reader.member(name, content)
        at += length
    if reader.end is None:
        raise Cut("the file ends before its end record")
    want(reader.end["events"] == reader.total and reader.end["slices"] == reader.slices, "end.json: totals")
    want(reader.end["counts"] == reader.counts, "end.json: counts")


def main():
    with open(sys.argv[-1], "rb") as file:
        data = file.read()
    reader = Reader()
    wants_digest = sys.argv[1] == "--digest"
    digest = hashlib.sha256(b"stillframe events 1\n")
    try:
        for event in events(data, reader):
            digest.update(event.pop(DIGEST))
            if not wants_digest:
                print(json.dumps(event))
        if wants_digest:
            print(digest.hexdigest())
    except NotABundle as error:
        print("not a bundle: %s" % error, file=sys.stderr)
        return 3
    except (Damaged, KeyError, TypeError, ValueError) as error:
        # The last three: a record lacks a key, or has a value of another type.
        print("%s: %s" % (type(error).__name__, error), file=sys.stderr)
        return 3 if reader.header is None else 4
    return 0


if __name__ == "__main__":
    sys.exit(main())
