// How long the round trips took, all since the start: a row for each range. It is a table, and its bars are only to look at.

import { element, keyedList, setClass, setText } from "./dom.js";
import { count, milliseconds, parseDuration, plural } from "./format.js";
import { sum } from "./history.js";

/** Where the ranges end, in ms. */
const BOUNDS = [0.03, 0.1, 0.3, 1, 3, 10, 30, 100, 300, 1000, 3000, 10_000, 30_000, Infinity];

/** The ranges from the first to the last that has some: { from, to, count, share }, in ms and as a part of 1. roundTrips: of /status/round_trips. Pure. */
export function ranges({ up_to_ms: upTo, count: counts }) {
    const total = sum(counts);
    const all = BOUNDS.map((to, place) => {
        const from = place ? BOUNDS[place - 1] : 0;
        const many = sum(counts.filter((_, bucket) => upTo[bucket] > from && upTo[bucket] <= to));
        return { from, to, count: many, share: total ? many / total : 0 };
    });
    const filled = all.flatMap((range, place) => range.count ? [place] : []);
    return filled.length ? all.slice(filled[0], filled.at(-1) + 1) : [];
}

/** A part of 1 in words that never round a few to none or to all. Pure. */
export function percent(share) {
    if (share === 0 || share === 1)
        return `${share * 100} %`;
    return share < 0.001 ? "< 0.1 %" : share > 0.999 ? "> 99.9 %" : `${(share * 100).toFixed(1)} %`;
}

/** The table, made in the container. Returns a function that shows an answer of /status/round_trips. */
export function distribution(container) {
    const rows = element("tbody");
    const total = element("p", "values");
    const empty = element("p", "empty");
    const table = element("table", "bars", element("caption", "unseen", "Round trips since the start, by how long they took"), rows);
    const figure = element("figure", "", element("figcaption", "", element("h3", "", "All round trips, since the start"), total), table, empty);
    container.append(figure);
    const show = keyedList(rows, () => {
        const name = element("th");
        name.scope = "row";
        return element("tr", "", name, element("td", "", element("i")), element("td"), element("td"));
    }, (row, { from, to, count: many, share, isLate }) => {
        const [name, { firstElementChild: bar }, counted, part] = row.children;
        setText(name, to === Infinity ? `more than ${milliseconds(from)}` : `up to ${milliseconds(to)}`);
        const width = `${(share * 100).toFixed(1)}%`;
        if (bar.style.width !== width)
            bar.style.width = width;
        setClass(bar, many === 0 ? "none" : isLate ? "late" : "");
        setText(counted, count(many));
        setText(part, percent(share));
    });
    return (roundTrips, options) => {
        const timeout = parseDuration(options.timeout);
        const shown = ranges(roundTrips);
        figure.classList.toggle("is-empty", shown.length === 0);
        setText(empty, options.ping === "0" ? "Pings are off (--ping 0): nothing is measured." : "No pong measured yet.");
        setText(total, plural(sum(roundTrips.count), "pong"));
        show(shown.map(range => ({ ...range, isLate: timeout > 0 && range.from >= timeout })), ({ to }) => to);
    };
}
