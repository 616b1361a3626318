// A table as a file for spreadsheets (RFC 4180). Pure.

const CONNECTION = {
    id: each => each.id, remote: each => each.remote, state: each => each.state, opened: each => each.opened, age_seconds: each => each.age_seconds,
    strikes: each => each.strikes, pings: each => each.pings, pongs: each => each.pongs, missed: each => each.missed, late: each => each.late,
    ...roundTrips(), ...traffic(),
    ...client(), upstream: each => each.upstream?.address, upstream_last_byte_seconds: each => each.upstream?.last_byte_seconds,
};

const END = {
    seq: each => each.seq, id: each => each.id, at: each => each.at, remote: each => each.remote, cause: each => each.cause, by: each => each.by,
    verdict: each => each.verdict, detail: each => each.detail, age_seconds: each => each.age_seconds, pings: each => each.pings, pongs: each => each.pongs,
    missed: each => each.missed, late: each => each.late, ...roundTrips(), ...traffic(), ...client(),
};

/** The connections of /status, with a line of names. */
export const csvOfConnections = connections => csv(CONNECTION, connections);

/** The ends of /status/ends, with a line of names. */
export const csvOfEnds = ends => csv(END, ends);

function csv(columns, rows) {
    const lines = rows.map(row => Object.values(columns).map(of => cell(of(row))).join(","));
    return [Object.keys(columns).join(","), ...lines].map(line => `${line}\r\n`).join("");
}

function cell(value) {
    if (value === null || value === undefined)
        return "";
    if (typeof value === "number")
        return String(value);
    // A spreadsheet takes a text with one of these in front for a formula, and a client may send whatever it likes.
    const text = /^[=+\-@\t\r]/.test(value) ? `'${value}` : value;
    return /[",\r\n]/.test(text) ? `"${text.replaceAll("\"", "\"\"")}"` : text;
}

function roundTrips() {
    const names = ["last", "min", "mean", "max", "jitter"];
    return Object.fromEntries(names.map(name => [name === "jitter" ? "jitter_ms" : `round_trip_${name}_ms`, each => each.round_trip_ms?.[name]]));
}

function traffic() {
    const names = ["bytes_in", "bytes_out", "messages_in", "messages_out", "last_byte_seconds", "last_sent_seconds"];
    return Object.fromEntries(names.map(name => [name, each => each[name]]));
}

function client() {
    return Object.fromEntries(["path", "user_agent", "origin", "subprotocol"].map(name => [name, each => each[name]]));
}
