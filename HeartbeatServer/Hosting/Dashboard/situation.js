// What is going on, in words: the worst first. Pure.

import { condition, explainEnd, isOrdinary, usualTimeout } from "./explain.js";
import { count, duration, host, milliseconds, parseDuration, plural } from "./format.js";

/** For how long an end is news, in seconds. */
export const RECENT = 300;
/** What flapping is: so many connections of one address that the client's side ended, none older than so many seconds. */
const FLAPPING = 3;
const SHORT = 60;
const LEAVING = ["client_closed", "client_vanished", "connection_reset"];
const NAMED = 3;

/**
 * The findings: { key, level, title, text, ids }, the worst first. level: "bad", "warn", "note" or "good". The key of a finding stays while
 * its figures change. ids: of connections that have details.
 *
 * status: of /status. worst: connections, the worst first, not all. ends: the latest, newest first. lateness: ms, of the last minute.
 */
export function situation(status, worst, ends, lateness) {
    const { options } = status;
    const now = Date.parse(status.now);
    const recent = ends.filter(end => now - Date.parse(end.at) < RECENT * 1000);
    const flapping = flappers(recent, now);
    const others = recent.filter(end => !flapping.some(each => each.ends.includes(end)));
    const findings = [
        ...ofServer(status, lateness),
        ...ofConnections(worst, options, status.totals.suspect),
        ...flapping.map(flapper => ofFlapper(flapper, now)),
        ...ofEnds(others, options, now),
    ];
    const rank = { bad: 0, warn: 1, note: 2, good: 3 };
    findings.sort((a, b) => rank[a.level] - rank[b.level]);
    if (!findings.some(finding => finding.level === "bad" || finding.level === "warn"))
        findings.unshift(allWell(status));
    return findings;
}

/** Addresses that came and left again and again: { host, ends } with the newest end first. */
export function flappers(ends, now) {
    const byHost = new Map();
    for (const end of ends) {
        const opened = Date.parse(end.at) - end.age_seconds * 1000;
        if (!LEAVING.includes(end.cause) || end.age_seconds > SHORT || now - opened > RECENT * 1000)
            continue;
        const address = host(end.remote);
        byHost.set(address, [...byHost.get(address) ?? [], end]);
    }
    return [...byHost]
        .filter(([, those]) => those.length >= FLAPPING)
        .map(([address, those]) => ({ host: address, ends: those }))
        .sort((a, b) => b.ends.length - a.ends.length);
}

/** Ends for a list: those of one address with one cause and verdict, within RECENT of the newest of them, are one entry. Newest first. */
export function groupEnds(ends) {
    const groups = [];
    const open = new Map();
    for (const end of ends) {
        const key = `${host(end.remote)} ${end.cause} ${end.verdict}`;
        const group = open.get(key);
        if (group && Date.parse(group[0].at) - Date.parse(end.at) < RECENT * 1000) {
            group.push(end);
        } else {
            open.set(key, [end]);
            groups.push(open.get(key));
        }
    }
    return groups;
}

function ofServer({ state, options }, lateness) {
    const findings = [];
    if (state === "draining")
        findings.push(finding("draining", "warn", "This server is stopping.", "It says goodbye (Close 1001) to its clients, and takes no new ones."));
    if (state === "full") {
        findings.push(finding(
            "full", "bad", "This server is full.", `--max-connections ${options["max-connections"]} is reached: new clients get 503 until somebody leaves.`));
    }
    const timeout = parseDuration(options.timeout);
    if (timeout > 0 && lateness > timeout / 4) {
        findings.push(finding(
            "lateness", "warn", `This server's own beat was late by up to ${milliseconds(lateness)} in the last minute.`,
            "A pause of the machine or of the program. Deadlines that fell into it were moved: no client was blamed for it."));
    }
    return findings;
}

function ofConnections(worst, options, suspect) {
    const of = kind => worst.filter(connection => condition(connection, options).kind === kind);
    const findings = [];
    const silent = of("silent");
    const slow = of("slow");
    const late = of("late");
    if (silent.length) {
        // The page may hold only some of them.
        const all = silent.length + slow.length === worst.length ? Math.max(silent.length, suspect) : silent.length;
        findings.push(finding(
            "silent", "bad", `${plural(all, "client is", "clients are")} silent: ${names(silent, all)}`,
            silent.length === 1 ? condition(silent[0], options).text : "They miss pings now; each is cut after "
                + `${options["max-missed"]} missed in a row, and its end then says whether the network or the program is to blame.`, silent));
    }
    if (slow.length) {
        const worstOf = slow.reduce((a, b) => Math.max(...a.recent_ms) > Math.max(...b.recent_ms) ? a : b);
        findings.push(finding(
            "slow", "warn", `${plural(slow.length, "client answers", "clients answer")} late, always: ${names(slow)}`,
            condition(worstOf, options).text, slow));
    }
    if (late.length) {
        findings.push(finding(
            "late", "note", `${plural(late.length, "client", "clients")} answered late just now: ${names(late)}`,
            `The last pong took longer than --timeout ${options.timeout}.`, late));
    }
    return findings;
}

function ofFlapper({ host: address, ends }, now) {
    const ages = ends.map(end => end.age_seconds).sort((a, b) => a - b);
    const causes = [...new Set(ends.map(end => end.cause))].map(cause => cause.replaceAll("_", " ")).join(", ");
    const first = Date.parse(ends.at(-1).at) - ends.at(-1).age_seconds * 1000;
    return finding(
        `flapping ${address}`, "warn", `${address} connected and left ${ends.length} times in ${duration(Math.max(1, (now - first) / 1000))}.`,
        `It is flapping: it stays for ${duration(ages[ages.length >> 1])} as a rule (${causes}). Does the client reconnect in a loop, without waiting? `
        + "Or do many clients share this address, behind a proxy or NAT?", ends);
}

function ofEnds(ends, options, now) {
    const groups = new Map();
    for (const end of ends) {
        if (isOrdinary(end))
            continue;
        const key = end.cause === "pong_timeout" ? `pong_timeout ${end.verdict}` : end.cause;
        groups.set(key, [...groups.get(key) ?? [], end]);
    }
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
            `${plural(those.length, one, many)}: ${names(those)}, ${those.length > 1 ? "the last " : ""}${duration((now - Date.parse(newest.at)) / 1000)} ago`,
            `${pattern}${what} ${advice}`, those);
    });
}

const WORDS = {
    "pong_timeout peer_frozen": ["client was frozen and is cut", "clients were frozen and are cut"],
    "pong_timeout path_dead": ["client was out of reach and is cut", "clients were out of reach and are cut"],
    "pong_timeout unknown": ["client was silent and is cut", "clients were silent and are cut"],
    client_vanished: ["client left without a goodbye", "clients left without a goodbye"],
    connection_reset: ["connection was reset", "connections were reset"],
    slow_consumer: ["client did not read and is cut", "clients did not read and are cut"],
    internal_error: ["connection met a bug of this server", "connections met a bug of this server"],
};

function allWell({ totals, options, round_trip_ms: times }) {
    if (totals.connections === 0)
        return finding("nobody", "note", "Nobody is connected.", `Clients connect to ${options.path} on port ${options.port}.`);
    if (options.ping === "0")
        return finding("unknown", "note", `${plural(totals.connections, "client is", "clients are")} connected.`, "Pings are off (--ping 0): how they are is not known.");
    return finding(
        "well", "good", totals.connections === 1 ? "The one client answers in time." : `All ${count(totals.connections)} clients answer in time.`,
        times.p99 === null ? "No pong measured yet." : `99 of 100 pongs came within ${milliseconds(times.p99)}.`);
}

const finding = (key, level, title, text, those = []) => ({ key, level, title, text, ids: those.slice(0, NAMED).map(each => each.id) });

/** "#3 192.0.2.1:5000, #4 192.0.2.1:5001 and 10 more". all: how many there are, if those are only some. */
function names(those, all = those.length) {
    const named = those.slice(0, NAMED).map(each => `#${each.id} ${each.remote}`).join(", ");
    return all > NAMED ? `${named} and ${count(all - NAMED)} more` : named;
}
