// What a finding is, and how it names clients. Pure.

import { count, plural } from "./format.js";

/** For how long something is news, in seconds. */
export const RECENT = 300;

/** So many are named; of the others only the number is told. */
export const NAMED = 3;

/**
 * level: "bad", "warn", "note" or "good". The key of a finding stays while its figures change. ids: of connections that have details, here the
 * first of those.
 */
export const finding = (key, level, title, text, those = []) => ({ key, level, title, text, ids: those.slice(0, NAMED).map(each => each.id) });

/** "12 clients are"; "At least 12 clients are" where the page does not know of all. */
export const counted = (value, areAll, one, many) => areAll ? plural(value, one, many) : `At least ${plural(value, one, many)}`;

/** "#3 192.0.2.1:5000, #4 192.0.2.1:5001 and 10 more". all: how many there are, if those are only some. */
export const names = (those, all = those.length) => listed(those.map(each => `#${each.id} ${each.remote}`), all);

/** "a, b, c and 10 more", or "and 1 more address": the first of many. */
export function listed(texts, all = texts.length, nouns = null) {
    const named = texts.slice(0, NAMED).join(", ");
    const more = all - NAMED;
    return more > 0 ? `${named} and ${nouns ? plural(more, `more ${nouns[0]}`, `more ${nouns[1]}`) : `${count(more)} more`}` : named;
}

/** Titles as they are read out: not dozens of them. */
export function spoken(titles) {
    const more = titles.length - NAMED;
    return [...titles.slice(0, NAMED), ...more > 0 ? [`And ${plural(more, "more finding")}`] : []].map(title => title.replace(/\.?$/, ".")).join(" ");
}
