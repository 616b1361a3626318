// What is going on, in words: the worst first. Pure.

import { departures } from "./departures.js";
import { condition, isExcused } from "./explain.js";
import { RECENT, counted, finding, names } from "./finding.js";
import { count, milliseconds, parseDuration, plural } from "./format.js";
import { greatest } from "./history.js";
import { ofRefusals } from "./refusals.js";
import { answers, stallOf } from "./why.js";

/**
 * The findings, the worst first: at most one of a kind.
 *
 * status: of /status. worst: connections, the worst first, not all. ends: the latest, newest first. sentences: of /status/why. history: samples.
 */
export function situation(status, worst, ends, sentences, history) {
    const { options, totals } = status;
    const now = Date.parse(status.now);
    const recent = ends.filter(end => now - Date.parse(end.at) < RECENT * 1000);
    // The server remembers the last 1,000.
    const areAll = recent.length < ends.length || ends.length >= totals.ended;
    const findings = [
        ...ofServer(status, greatest(history.lateness_ms.slice(-12))),
        ...answers(sentences, now),
        ...ofConnections(worst, options, totals, stallOf(sentences)),
        ...departures(recent, areAll, sentences, options, now),
        ...ofRefusals(status, history, now),
    ];
    const rank = { bad: 0, warn: 1, note: 2, good: 3 };
    findings.sort((a, b) => rank[a.level] - rank[b.level]);
    if (!findings.some(({ level }) => level === "bad" || level === "warn"))
        findings.unshift(allWell(status));
    return findings;
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

function ofConnections(worst, options, { connections, suspect }, stall) {
    // The server says it of all of them at once.
    if (stall && !stall.isOver)
        return [];
    const kinds = worst.map(connection => condition(connection, options).kind);
    const of = kind => worst.filter((_, place) => kinds[place] === kind);
    // Of those that stood still together, the pongs of that time came late.
    const ofUnexcused = kind => of(kind).filter(connection => !isExcused(connection, options, stall));
    const findings = [];
    const silent = of("silent");
    const slow = ofUnexcused("slow");
    const late = ofUnexcused("late");
    // Where the page ends before the bad ones do, there may be more of them.
    const areAll = worst.length >= connections || ["healthy", "new"].includes(kinds.at(-1));
    const unseen = areAll ? 0 : Math.max(0, suspect - worst.filter(({ strikes }) => strikes > 0).length);
    if (silent.length) {
        // Of the suspects that are not on the page each is silent, or one that keeps answering late.
        const all = slow.length ? silent.length : silent.length + unseen;
        findings.push(finding(
            "silent", "bad", `${counted(all, unseen === 0 || !slow.length, "client is", "clients are")} silent: ${names(silent, all)}`,
            silent.length === 1 ? condition(silent[0], options).text : "They miss pings now; each is cut after "
                + `${options["max-missed"]} missed in a row, and its end then says whether the network or the program is to blame.`, silent));
    }
    if (slow.length) {
        const worstOf = slow.reduce((a, b) => Math.max(...a.recent_ms) > Math.max(...b.recent_ms) ? a : b);
        findings.push(finding(
            "slow", "warn", `${counted(slow.length, areAll, "client keeps", "clients keep")} answering late: ${names(slow)}`,
            condition(worstOf, options).text, slow));
    }
    if (late.length) {
        findings.push(finding(
            "late", "note", `${counted(late.length, areAll, "client", "clients")} answered late just now: ${names(late)}`,
            `The last pong took longer than --timeout ${options.timeout}.`, late));
    }
    return findings;
}

function allWell({ totals, options, round_trip_ms: times }) {
    if (totals.connections === 0)
        return finding("nobody", "note", "Nobody is connected.", `Clients connect to ${options.path} on port ${options.port}.`);
    if (options.ping === "0")
        return finding("unknown", "note", `${plural(totals.connections, "client is", "clients are")} connected.`, "Pings are off (--ping 0): how they are is not known.");
    return finding(
        "well", "good", totals.connections === 1 ? "The one client answers in time." : `All ${count(totals.connections)} clients answer in time.`,
        times.p99 === null ? "No pong measured yet." : `99 of 100 pongs came within ${milliseconds(times.p99)}.`);
}
