// Who left, and how: clients that come and go, many that left together, and the others by their cause. Pure. Ends are newest first.

import { explainEnd, isOrdinary, usualTimeout } from "./explain.js";
import { RECENT, counted, finding, listed, names } from "./finding.js";
import { count, duration, host } from "./format.js";
import { burstOfEnds } from "./history.js";

/** What flapping is: so many connections of one address, one after another, that the client's side ended, none older than so many seconds. */
const FLAPPING = 3;
const SHORT = 60;
/** Times are rounded, and of a client that is back at once a busy server may see the opening before the end: ms. */
const SLACK = 100;
const LEAVING = ["client_closed", "client_vanished", "connection_reset"];

/** The findings about ends. ends: the recent ones. areAll: whether none of the recent is missing. now: Unix ms. */
export function departures(ends, areAll, history, options, now) {
    const flapping = flappers(ends, now);
    const burst = burstOfEnds(history, now / 1000 - RECENT);
    const told = new Set(flapping.flatMap(flapper => flapper.ends));
    const together = burst ? ends.filter(end => isOf(burst, end)) : [];
    together.filter(({ cause }) => LEAVING.includes(cause)).forEach(end => told.add(end));
    return [
        ...ofBurst(burst, together, now),
        ...ofFlappers(flapping, now),
        ...ofCauses(ends.filter(end => !told.has(end)), areAll, options, now),
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

/** The time of a sample is its last, in whole seconds. */
const isOf = ({ from, to }, end) => endedAt(end) >= from * 1000 && endedAt(end) < (to + 1) * 1000;

/** Ends for a list: those of one address with one cause and verdict, within RECENT of the newest of them, are one entry. Newest first. */
export function groupEnds(ends) {
    const groups = [];
    const open = new Map();
    for (const end of ends) {
        const key = `${host(end.remote)} ${end.cause} ${end.verdict}`;
        const group = open.get(key);
        if (group && endedAt(group[0]) - endedAt(end) < RECENT * 1000) {
            group.push(end);
        } else {
            open.set(key, [end]);
            groups.push(open.get(key));
        }
    }
    return groups;
}

/** known: those of the burst that are remembered. */
function ofBurst(burst, known, now) {
    if (burst === null)
        return [];
    const { total, before, ends, from, to } = burst;
    const causes = Object.entries(ends).filter(([, many]) => many).sort(([, a], [, b]) => b - a);
    const hosts = new Set(known.map(end => host(end.remote)));
    const who = known.length < total ? `The ${count(known.length)} that are remembered` : "They";
    const where = known.length ? `${who} came from ${hosts.size === 1 ? [...hosts][0] : `${count(hosts.size)} addresses`}. ` : "";
    return [finding(
        `together ${from}`, ["client_closed", "upstream_closed"].includes(causes[0][0]) ? "note" : "warn",
        `${count(total)}${total <= before ? ` of ${count(before)}` : ""} connections ended within ${to - from} s, ${ago(to * 1000, now)}.`,
        `${causes.map(([cause, many]) => `${cause} ${count(many)}`).join(", ")}. ${where}${TOGETHER[causes[0][0]] ?? TOGETHER.other}`)];
}

/** Why many end together, by the most frequent cause. */
const LEFT_TOGETHER = "A proxy or load balancer on the way was restarted or cut them, a program that held many of them ended, or a network went. "
    + "So that they do not come back all at once, let clients wait for a random time before they reconnect.";
const LEFT_BY_APPLICATION = "The application ended them: it was restarted, or it crashed. Its log knows more.";
const TOGETHER = {
    client_closed: "They said goodbye: a program that held many of them ended, as a load test does, or a new version of the client was rolled out.",
    client_vanished: LEFT_TOGETHER,
    connection_reset: LEFT_TOGETHER,
    pong_timeout: "So many at once are rarely each to blame: the network between went, or a machine that holds many of them was suspended.",
    upstream_closed: "The application said goodbye to them: it is being stopped or restarted.",
    upstream_vanished: LEFT_BY_APPLICATION,
    upstream_reset: LEFT_BY_APPLICATION,
    upstream_dead: "The application's host went, or the network between it and this server.",
    upstream_protocol_error: "The same fault of the application many times: was a new version of it rolled out?",
    other: "The same fault in many clients: was a new version of them rolled out?",
};

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
        const isLeaving = LEAVING.includes(newest.cause);
        const idle = those.map(end => usualTimeout(end.last_byte_seconds));
        const pattern = isLeaving && those.length > 1 && idle[0] !== null && idle.every(each => each === idle[0])
            ? `All of them after a silence of ${duration(idle[0])}. ` : "";
        // Clients come and go: of itself that is no reason to get up.
        const level = ["internal_error", "pong_timeout"].includes(newest.cause) ? "bad" : isLeaving && !pattern ? "note" : "warn";
        return finding(
            key, level,
            `${counted(those.length, areAll, one, many)}: ${names(those)}, ${those.length > 1 ? "the last " : ""}${ago(endedAt(newest), now)}`,
            `${pattern}${what} ${advice}`, those);
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
