// The last hour in samples, as columns: fetched once, then appended to. Pure.

import { CAUSES } from "./explain.js";

const HOUR = 3600;
/** Seconds between two samples. */
const SAMPLE = 5;
const COLUMNS = ["time", "connections", "refused", "p50_ms", "p95_ms", "p99_ms", "lateness_ms"];

/** No samples. */
export function emptyHistory() {
    return { ...Object.fromEntries(COLUMNS.map(name => [name, []])), ends: Object.fromEntries(Object.keys(CAUSES).map(cause => [cause, []])) };
}

/** The samples, the newer ones of an answer of /status/history behind them, without those that are older than an hour. */
export function appended(history, newer) {
    const all = name => [...history[name], ...newer[name]];
    const time = all("time");
    // Where the server's clock was set back, the samples of before that are later than those that came then are of no use.
    let next = Infinity;
    const kept = time.map((_, place) => place).reverse().filter(place => {
        const isKept = time[place] < next && time[place] > time.at(-1) - HOUR;
        if (isKept)
            next = time[place];
        return isKept;
    }).reverse();
    const column = values => kept.map(place => values[place]);
    return {
        ...Object.fromEntries(COLUMNS.map(name => [name, column(all(name))])),
        ends: Object.fromEntries(Object.keys(history.ends).map(cause => [cause, column([...history.ends[cause], ...newer.ends[cause]])])),
    };
}

/** The ends in bins: { seconds, time, ends }, wide enough that at most 60 of them fill the time from `from` on. */
export function binnedEnds(history, from) {
    const span = (history.time.at(-1) ?? from) - from;
    const seconds = [5, 10, 15, 30, 60].find(width => span / width <= 60) ?? 60;
    const bins = [...new Set(history.time.map(time => binOf(time, seconds)))];
    const place = new Map(bins.map((bin, i) => [bin, i]));
    const ends = {};
    for (const [cause, counts] of Object.entries(history.ends)) {
        ends[cause] = new Array(bins.length).fill(0);
        counts.forEach((each, i) => ends[cause][place.get(binOf(history.time[i], seconds))] += each);
    }
    return { seconds, time: bins, ends };
}

/** A sample at 12:00:05 is of the five seconds before. */
const binOf = (time, seconds) => Math.floor((time - 1) / seconds) * seconds;

/** From where the plots show: the first sample, at most an hour and at least five minutes before the last. */
export const startOf = history => Math.min(history.time[0] - SAMPLE, history.time.at(-1) - 300);

export const sum = values => values.reduce((a, b) => a + b, 0);

export const greatest = values => values.reduce((a, b) => b !== null && (a === null || b > a) ? b : a, null);
