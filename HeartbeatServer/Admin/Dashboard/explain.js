// Why a connection ended, or how it is, in plain English, and what to do about it. Pure. The advice is that of docs/troubleshooting.md.

import { asOption, count, duration, milliseconds, parseDuration, plural } from "./format.js";

/** The causes, in the order in which plots stack them: what is nobody's fault is at the bottom. */
export const CAUSES = {
    client_closed: "said goodbye",
    server_shutdown: "server stopped",
    client_vanished: "vanished",
    connection_reset: "reset",
    pong_timeout: "no pong",
    slow_consumer: "does not read",
    buffer_limit: "too much held",
    protocol_error: "protocol error",
    invalid_payload: "not UTF-8",
    message_too_big: "message too big",
    internal_error: "bug of ours",
    upstream_closed: "application said goodbye",
    upstream_vanished: "application vanished",
    upstream_reset: "application reset",
    upstream_dead: "application out of reach",
    upstream_protocol_error: "application broke a rule",
};

/** How the server pings, in words. */
export function beatOf({ ping, timeout }) {
    if (ping === "0")
        return "It sends no pings (--ping 0), so it does not learn how clients are.";
    return timeout === "0" ? `A ping every ${ping}; nobody is judged by the pong (--timeout 0).` : `A ping every ${ping}, pong within ${timeout}.`;
}

/** Whether it ended as it should: nobody has to look at it. */
export const isOrdinary = end => ["client_closed", "upstream_closed", "server_shutdown"].includes(end.cause);

/** The least --timeout, in ms, that lets these round trips (ms) pass: a quarter above the longest, rounded up to two digits. */
export function enoughTimeout(roundTrips) {
    const wanted = Math.max(...roundTrips) * 1.25;
    const step = 10 ** Math.max(0, Math.floor(Math.log10(wanted)) - 1);
    return Math.ceil(wanted / step) * step;
}

/**
 * What an open connection is like.
 * kind: "healthy", "new" (nothing measured yet), "late" (its last pong), "slow" (late again and again), "silent" (strikes) or "closing".
 * stall: of stallOf; what many clients share is no reason to raise --timeout for one of them.
 */
export function condition(connection, options, stall = null) {
    const { state, strikes, pongs, recent_ms: recent, round_trip_ms: times } = connection;
    const late = lateOf(connection, options).length;
    // A ping of a client that is always late is first a strike, then a late pong. One that has recovered is not blamed for what it was.
    const slow = late >= 2 && late * 2 >= recent.length && strikes <= 1;
    if (state === "closing")
        return { kind: "closing", label: "closing", text: "Our Close frame was sent; the client's is awaited." };
    if (slow)
        return { kind: "slow", label: late === recent.length ? "always late" : "often late", text: slowText(connection, options, stall) };
    if (strikes > 0) {
        const most = options["max-missed"];
        return {
            kind: "silent",
            label: `silent, ${strikes} of ${most}`,
            text: `${pongs === 0 ? "It has never answered a ping" : "It answered before, and is silent now"}: ${strikes} of at most ${most} in a row missed, `
                + `last byte ${duration(connection.last_byte_seconds)} ago. Its end will say whether the network or the program is to blame.`,
        };
    }
    if (state === "late")
        return { kind: "late", label: "late", text: `Its last pong took ${milliseconds(times?.last)}, longer than --timeout ${options.timeout}.` };
    return times
        ? { kind: "healthy", label: "healthy", text: "It answers in time." }
        : options.ping === "0"
            ? { kind: "new", label: "connected", text: "Pings are off (--ping 0): how it is, is not known." }
            : { kind: "new", label: "new", text: "No ping of it was answered yet." };
}

/** The last round trips (ms) that took longer than --timeout. */
function lateOf({ recent_ms: recent }, options) {
    const timeout = parseDuration(options.timeout);
    return timeout ? recent.filter(time => time > timeout) : [];
}

/** Whether a stall explains the late pongs of a client: there are no more of them than pings left while it lasted, and one that was under way. */
export function isExcused(connection, options, stall) {
    return stall !== null && lateOf(connection, options).length <= 1 + stall.seconds * 1000 / parseDuration(options.ping);
}

/** What to do about a client that answers, but after --timeout. */
function slowText(connection, options, stall) {
    if (isExcused(connection, options, stall))
        return "Its last pongs came late, when many clients were silent at once: a host or a network that they share is to blame.";
    const late = lateOf(connection, options);
    const enough = enoughTimeout(late);
    const ping = parseDuration(options.ping);
    const limit = enough > ping ? `, and --ping above it (it is ${options.ping})` : "";
    return `It answers, but after --timeout ${options.timeout}: ${count(late.length)} of its last ${plural(connection.recent_ms.length, "pong")} came late, `
        + `the slowest after ${milliseconds(Math.max(...late))}. A slow path or a busy client, not a dead one. `
        + `Raise --timeout to at least ${asOption(enough)}${limit}.`;
}

/** What happened, and what to do about it: { what, advice }. advice is "" where there is nothing to do. */
export function explainEnd(end, options) {
    const explain = EXPLANATIONS[end.cause];
    return explain ? explain(end, options) : { what: `It ended: ${end.detail}.`, advice: "" };
}

const EXPLANATIONS = {
    client_closed: end => {
        const left = / 1001\b/.test(end.detail);
        return {
            what: `The client said goodbye: ${end.detail}.`,
            advice: left ? "From a browser, 1001 means that the page was left." : "",
        };
    },

    client_vanished: end => ({
        what: `The client's side ended the connection (FIN) without a Close frame; a browser would call it 1006. ${lastByte(end)}`,
        advice: "Its program ended, a tab was closed, or a proxy on the way closed the connection. The client should reconnect.",
    }),

    connection_reset: end => ({
        what: `The connection was reset (${end.detail}). ${lastByte(end)}`,
        advice: "A crash, a firewall, or a proxy that was restarted. The client should reconnect.",
    }),

    pong_timeout: (end, options) => {
        const most = Number(options["max-missed"]);
        const pings = most === 1 ? "1 ping" : `${most} pings in a row`;
        const slow = end.late >= 2 && end.round_trip_ms
            ? ` ${plural(end.late, "pong")} had come late before: the path may be slow, not dead; then raise --timeout above ${milliseconds(end.round_trip_ms.max)}.`
            : "";
        if (end.verdict === "peer_frozen") {
            return {
                what: `The client's kernel answered, its program did not: ${pings} ${most === 1 ? "was" : "were"} acknowledged, and no pong came. ${lastByte(end)}`,
                advice: "Its event loop is blocked, or it is stopped or suspended (a sleeping tab or app). Look at the client; "
                    + `if it may be busy that long, raise --timeout or --max-missed.${slow}`,
            };
        }
        if (end.verdict === "path_dead") {
            return {
                what: `The client's machine is out of reach: it did not even acknowledge the ping. ${lastByte(end)}`,
                advice: "A NAT or firewall forgot the connection, the network went, or the machine sleeps or is off. "
                    + `A shorter --ping (now ${options.ping}) keeps a NAT's memory fresh; otherwise the client has to reconnect.${slow}`,
            };
        }
        if (end.verdict === "behind_proxy") {
            return {
                what: `No answer came to ${pings}. The client is behind a proxy, and the proxy's kernel answered. ${lastByte(end)}`,
                advice: `What lies behind the proxy is not known from here: it may be the client or its network. The proxy's log may know more.${slow}`,
            };
        }
        return {
            what: `No answer came to ${pings}. ${lastByte(end)}`,
            advice: `The kernel could not be asked whether the network or the program is to blame.${slow}`,
        };
    },

    protocol_error: end => ({
        what: `The client broke a rule of the protocol; we ${end.detail}.`,
        advice: "A bug of the client, or a proxy that changes bytes.",
    }),

    invalid_payload: end => ({
        what: `The client sent text that is not valid UTF-8; we ${end.detail}.`,
        advice: "Send binary data as binary messages; or a proxy changes bytes.",
    }),

    message_too_big: (end, options) => ({
        what: `The client sent a message larger than --max-message ${options["max-message"]}; we ${end.detail}.`,
        advice: "Send smaller messages, or raise --max-message.",
    }),

    slow_consumer: end => ({
        what: `The client does not read what it is sent: it ${end.detail}.`,
        advice: "Look at the client: it is overloaded, or it never reads. Pings and replies wait behind what it does not take.",
    }),

    buffer_limit: end => ({
        what: `All connections together held too much memory for unfinished messages and unsent replies, and this one had to go; ${end.detail}.`,
        advice: "Look at who leaves large messages unfinished or replies unread. Lower --max-message, or raise --max-buffered where there is memory for it.",
    }),

    server_shutdown: end => ({
        what: `This server was stopped: ${end.detail}.`,
        advice: "",
    }),

    internal_error: end => ({
        what: `A bug of this server: ${end.detail}.`,
        advice: "Please report it, with the exception from the log.",
    }),

    upstream_closed: end => ({
        what: `The application said goodbye: ${end.detail}.`,
        advice: "",
    }),

    upstream_vanished: () => ({
        what: "The application ended the connection (FIN) without a Close frame; a browser would call it 1006.",
        advice: "Its process ended or was restarted, or it closed an idle connection. The application's log knows more. The client should reconnect.",
    }),

    upstream_reset: end => ({
        what: `The connection to the application was reset (${end.detail}).`,
        advice: "The application crashed, or it closed the connection with bytes unread. Look at the application's log. The client should reconnect.",
    }),

    upstream_dead: end => ({
        what: `The application's host is out of reach: ${end.detail}.`,
        advice: "The host is off or suspended, or the network between this server and the application went. The client itself was well.",
    }),

    upstream_protocol_error: end => ({
        what: `The application broke a rule of the protocol: ${end.detail}.`,
        advice: "A bug of the application or of its library. The client itself was well.",
    }),
};

const lastByte = end => `Its last byte came ${duration(end.last_byte_seconds)} before.`;
