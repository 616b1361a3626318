// Who left, and how: clients that come and go, and the others by their cause. Pure. Ends are newest first.

import { explainEnd, isOrdinary } from "./explain.js";
import { RECENT, counted, finding, listed, names } from "./finding.js";
import { count, duration, host } from "./format.js";
import { eventOf } from "./why.js";

/** What flapping is: so many connections of one address, one after another, that the client's side ended, none older than so many seconds. */
const FLAPPING = 3;
const SHORT = 60;
/** Times are rounded, and of a client that is back at once a busy server may see the opening before the end: ms. */
const SLACK = 100;
const LEAVING = ["client_closed", "client_vanished", "connection_reset"];

/**
 * The findings about ends. ends: the recent ones. areAll: whether none of the recent is missing. sentences: of /status/why, which tell of those that
 * left together. now: Unix ms.
 */
export function departures(ends, areAll, sentences, options, now) {
    const flapping = flappers(ends, now);
    const told = new Set(flapping.flatMap(flapper => flapper.ends));
    return [
        ...ofFlappers(flapping, now),
        ...ofCauses(ends.filter(end => !told.has(end) && !eventOf(end, sentences)), areAll, options, now),
    ];
}

/** Addresses that came back again and again: { host, ends }, those that did it most first. Who leaves in a crowd does not come back by that. */
export function flappers(ends, now) {
    const byHost = groupBy(
        ends.filter(end => LEAVING.includes(end.cause) && end.age_seconds <= SHORT && now - openedAt(end) <= RECENT * 1000),
        end => host(end.remote));
    return [...byHost]
        .map(([address, those]) => ({ host: address, ends: oneAfterAnother(those) }))
        .filter(flapper => flapper.ends.length >= FLAPPING)
        .sort((a, b) => b.ends.length - a.ends.length);
}

/** Of ends of one address: each of a connection that was opened after the one before had ended. */
function oneAfterAnother(ends) {
    let left = -Infinity;
    return ends.toReversed().filter(end => {
        const isNext = openedAt(end) >= left - SLACK;
        if (isNext)
            left = endedAt(end);
        return isNext;
    }).reverse();
}

const endedAt = end => Date.parse(end.at);
const openedAt = end => endedAt(end) - end.age_seconds * 1000;

/**
 * Ends for a list: those of an event are one entry, whatever their causes; of the others those of one cause and verdict are one. Newest first.
 * An entry is { key, event, ends }; event is the sentence of /status/why, or null.
 */
export function groupEnds(ends, sentences) {
    const groups = new Map();
    for (const end of ends) {
        const event = eventOf(end, sentences) ?? null;
        const key = event ? `event ${event.from}` : `${end.cause} ${end.verdict}`;
        if (!groups.has(key))
            groups.set(key, { key, event, ends: [] });
        groups.get(key).ends.push(end);
    }
    return [...groups.values()];
}

/** The addresses of ends with how often each is there, the most frequent first: [[address, times], ...]. */
export const addressesOf = ends => [...groupBy(ends, end => host(end.remote))].map(([address, those]) => [address, those.length]).sort(([, a], [, b]) => b - a);

/** Whether a search finds an end, as /status/ends has it: by a part of the address, of what the client said or of the cause, or by the number. */
export function isFound(end, search) {
    const wanted = search.toLowerCase();
    return wanted === "" || (/^#?\d+$/.test(wanted) && Number(wanted.replace("#", "")) === end.id)
        || [end.remote, end.path, end.user_agent, end.origin, end.subprotocol, end.cause].some(text => text?.toLowerCase().includes(wanted));
}

function ofFlappers(flapping, now) {
    if (flapping.length === 0)
        return [];
    const [{ host: address, ends: [newest] }] = flapping;
    const ends = flapping.flatMap(flapper => flapper.ends);
    const usual = ends.map(end => end.age_seconds).sort((a, b) => a - b)[ends.length >> 1];
    const causes = [...new Set(ends.map(end => end.cause.replaceAll("_", " ")))].join(", ");
    const times = ({ ends: { length } }) => `${count(length)} times`;
    const latest = ago(Math.max(...flapping.map(flapper => endedAt(flapper.ends[0]))), now);
    return [finding(
        "flapping", "warn",
        flapping.length === 1
            ? `${address} connected and left ${times(flapping[0])} in ${duration(Math.max(1, (endedAt(newest) - openedAt(ends.at(-1))) / 1000))}, the last ${latest}.`
            : `${count(flapping.length)} addresses come and go: ${listed(flapping.map(each => `${each.host} (${times(each)})`), flapping.length, ["address", "addresses"])}, the last ${latest}.`,
        `${flapping.length === 1 ? "It is" : "They are"} flapping: a connection stays for ${usual < 0.1 ? "less than 0.1 s" : duration(usual)} as a rule (${causes}). `
        + "Does the client reconnect in a loop, without waiting? Or do many clients share an address, behind a proxy or NAT?",
        flapping.length === 1 ? ends : flapping.map(each => each.ends[0]))];
}

function ofCauses(ends, areAll, options, now) {
    const groups = groupBy(ends.filter(end => !isOrdinary(end)), ({ cause, verdict }) => cause === "pong_timeout" ? `pong_timeout ${verdict}` : cause);
    return [...groups].map(([key, those]) => {
        const [newest] = those;
        const { what, advice } = explainEnd(newest, options);
        const [one, many] = WORDS[key] ?? ["client broke a rule", "clients broke rules"];
        // Clients come and go: of itself that is no reason to get up.
        const level = ["internal_error", "pong_timeout"].includes(newest.cause) ? "bad" : LEAVING.includes(newest.cause) ? "note" : "warn";
        return finding(
            key, level,
            `${counted(those.length, areAll, one, many)}: ${names(those)}, ${those.length > 1 ? "the last " : ""}${ago(endedAt(newest), now)}`,
            `${what} ${advice}`, those);
    });
}

/** The items by their key, in the order in which the keys come. */
function groupBy(items, keyOf) {
    const groups = new Map();
    for (const item of items) {
        const key = keyOf(item);
        groups.set(key, groups.get(key) ?? []);
        groups.get(key).push(item);
    }
    return groups;
}

const ago = (at, now) => `${duration(Math.max(0, (now - at) / 1000))} ago`;

const WORDS = {
    "pong_timeout peer_frozen": ["client was frozen and is cut", "clients were frozen and are cut"],
    "pong_timeout path_dead": ["client was out of reach and is cut", "clients were out of reach and are cut"],
    "pong_timeout behind_proxy": ["client behind a proxy was silent and is cut", "clients behind a proxy were silent and are cut"],
    "pong_timeout unknown": ["client was silent and is cut", "clients were silent and are cut"],
    client_vanished: ["client left without a goodbye", "clients left without a goodbye"],
    connection_reset: ["connection was reset", "connections were reset"],
    slow_consumer: ["client did not read and is cut", "clients did not read and are cut"],
    buffer_limit: ["client held too much memory and is cut", "clients held too much memory and are cut"],
    internal_error: ["connection met a bug of this server", "connections met a bug of this server"],
    upstream_vanished: ["connection was ended by the application without a goodbye", "connections were ended by the application without a goodbye"],
    upstream_reset: ["connection was reset by the application", "connections were reset by the application"],
    upstream_dead: ["connection lost its application", "connections lost their application"],
    upstream_protocol_error: ["connection ended because the application broke a rule", "connections ended because the application broke a rule"],
};
