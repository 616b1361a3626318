// What the server says about its record: why connections end, and why many clients are silent. Pure.

import { RECENT, finding } from "./finding.js";

/** The findings of /status/why. now: Unix ms. The server says in words what it is; here is only how loud it is said. */
export const answers = (sentences, now) => sentences
    .filter(({ kind }) => kind !== "none")
    .map(each => finding(keyOf(each), levelOf(each, now), ...parts(each.sentence)));

/** The many clients that are silent at once, or were of late: { isOver, seconds }; null if there are none. */
export function stallOf(sentences) {
    const stall = sentences.find(({ kind }) => kind === "stall");
    return stall ? { isOver: stall.to !== null, seconds: stall.seconds } : null;
}

/** The event of which an end is one, and which is told as a whole. */
export const eventOf = (end, sentences) => sentences.find(({ kind, from, to, causes }) =>
    kind === "event" && end.cause in causes && Date.parse(end.at) >= Date.parse(from) - ROUNDED && Date.parse(end.at) <= Date.parse(to) + ROUNDED);

/** It stays while the figures change. */
const keyOf = ({ kind, from, seconds }) => `why ${kind} ${{ event: from, age: Math.round(seconds), silence: Math.round(seconds) }[kind] ?? ""}`;

/** Times are rounded: ms. */
const ROUNDED = 2;

function levelOf({ kind, to, causes }, now) {
    if (kind === "stall")
        return to === null ? "bad" : "warn";
    const isOld = to !== null && now - Date.parse(to) > RECENT * 1000;
    const [cause] = Object.entries(causes).sort(([, a], [, b]) => b - a)[0] ?? [];
    return kind === "pings" || isOld || (kind === "event" && ["client_closed", "upstream_closed"].includes(cause)) ? "note" : "warn";
}

/** What happened, and what it means: the sentence before and after its colon. */
export function parts(sentence) {
    const colon = sentence.indexOf(": ");
    const meaning = sentence.slice(colon + 2);
    return [`${sentence.slice(0, colon)}.`, meaning[0].toUpperCase() + meaning.slice(1)];
}
