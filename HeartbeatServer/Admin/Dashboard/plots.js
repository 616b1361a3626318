// The plots of the last hour. uPlot (a classic script) draws them; the cursors move together.

import { element, setAttribute, setText } from "./dom.js";
import { CAUSES } from "./explain.js";
import { clock, count, duration, milliseconds } from "./format.js";
import { binnedEnds, greatest, startOf, sum } from "./history.js";

const { uPlot } = globalThis;
const HEIGHT = 190;
/** What a logarithmic scale can show, in ms. */
const LEAST_MS = 0.01;
/** The causes from the top of the stack down: each bar begins at zero, and the next one is painted over it. */
const STACK = Object.keys(CAUSES).reverse();

/** Distances of ticks where only whole numbers make sense. */
const WHOLE = [0, 1, 2, 3, 4, 5].flatMap(power => [1, 2, 5].map(each => each * 10 ** power));

const PLOTS = [
    {
        title: "Connections",
        empty: () => "No sample yet: the first comes after 5 seconds.",
        series: [{ label: "open", colour: "--accent", area: true }],
        columns: history => [history.time, history.connections],
        show: count,
        range: (_, __, most) => [0, Math.max(5, Math.ceil((most ?? 0) * 1.1))],
        whole: true,
        summary: ({ connections }) => `${count(connections.at(-1))} now, at most ${count(greatest(connections))}`,
    },
    {
        title: "Ends by cause",
        empty: () => "No connection has ended in this time.",
        isEmpty: ({ ends }) => Object.values(ends).every(counts => sum(counts) === 0),
        series: STACK.map(cause => ({ label: cause, colour: `--${cause}`, bars: true })),
        columns(history, from) {
            const { time, ends } = binnedEnds(history, from);
            return [time, ...STACK.map(cause => ends[cause])];
        },
        stacked: true,
        show: count,
        range: (_, __, most) => [0, Math.max(3, Math.ceil((most ?? 0) * 1.1))],
        whole: true,
        summary: ({ ends }) => Object.entries(ends).map(([cause, counts]) => [cause, sum(counts)]).filter(([, total]) => total)
            .map(([cause, total]) => `${cause} ${count(total)}`).join(", "),
    },
    {
        title: "Round trip",
        empty: ({ ping }) => ping === "0" ? "Pings are off (--ping 0): nothing is measured." : "No pong measured yet.",
        isEmpty: history => greatest(history.p99_ms) === null,
        series: [
            { label: "p99", colour: "--p99" },
            { label: "p95", colour: "--p95", dash: [6, 3] },
            { label: "median", colour: "--p50", width: 2 },
        ],
        columns: history => [history.time, ...[history.p99_ms, history.p95_ms, history.p50_ms].map(
            column => column.map(value => value === null ? null : Math.max(value, LEAST_MS)))],
        show: milliseconds,
        logarithmic: true,
        range: (_, least, most) => [10 ** Math.floor(Math.log10((least || 0.1) * 0.999)), 10 ** Math.ceil(Math.log10((most || 1) * 1.001))],
        summary: history => `median ${milliseconds(latest(history.p50_ms))}, 99 of 100 within ${milliseconds(latest(history.p99_ms))}`,
    },
    {
        title: "Beat late by",
        empty: ({ ping }) => ping === "0" ? "Pings are off (--ping 0)." : "The beat has not ticked yet: it does once a client is connected.",
        isEmpty: history => greatest(history.lateness_ms) === null,
        series: [{ label: "most in 5 s", colour: "--accent", area: true }],
        columns: history => [history.time, history.lateness_ms],
        show: milliseconds,
        range: (_, __, most) => [0, Math.max(5, (most ?? 0) * 1.1)],
        summary: history => `last ${milliseconds(latest(history.lateness_ms))}, at most ${milliseconds(greatest(history.lateness_ms))}`,
    },
];

const latest = values => values.findLast(value => value !== null) ?? null;

/** The plots, made in the container; draw(history) shows the samples. */
export function plots(container) {
    const all = PLOTS.map(plot => panel(container, plot));
    const redraw = () => {
        colours.clear();
        all.forEach(each => each.restyle());
    };
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
    let frame;
    new ResizeObserver(() => {
        cancelAnimationFrame(frame);
        frame = requestAnimationFrame(() => all.forEach(each => each.resize()));
    }).observe(container);
    return { draw: (history, options) => all.forEach(each => each.draw(history, options)) };
}

function panel(container, plot) {
    const values = element("p", "values");
    const canvas = element("div", "plot");
    const empty = element("p", "empty");
    const figure = element("figure", "", element("figcaption", "", element("h3", "", plot.title), values), canvas, empty);
    container.append(figure);
    canvas.setAttribute("role", "img");

    let raw = [[]];
    let at = null;
    const keys = plot.series.map(({ label, colour }) => {
        const key = element("i");
        key.style.background = `var(${colour})`;
        const value = element("b");
        const item = element("span", "", key, `${label} `, value);
        return { item, value };
    });
    const when = element("span", "when");
    // As they are stacked and read: the last series is the lowest, and comes first.
    values.append(when, ...keys.map(({ item }) => item).reverse());

    const u = new uPlot(optionsOf(plot, index => {
        at = index;
        showValues();
    }), null, canvas);

    /** The values under the cursor; without one, the last, or of ends the totals. */
    function showValues() {
        setText(when, at === null || raw[0][at] === undefined ? "" : clock(new Date(raw[0][at] * 1000)));
        keys.forEach(({ item, value }, place) => {
            const column = raw[place + 1] ?? [];
            item.hidden = plot.stacked && sum(column) === 0;
            setText(value, plot.show(at !== null ? column[at] : plot.stacked ? sum(column) : latest(column)));
        });
    }

    return {
        draw(history, options) {
            const isEmpty = history.time.length === 0 || (plot.isEmpty?.(history) ?? false);
            figure.classList.toggle("is-empty", isEmpty);
            setText(empty, plot.empty(options));
            if (isEmpty)
                return;
            const from = startOf(history);
            raw = plot.columns(history, from);
            at = at !== null && at < raw[0].length ? at : null;
            u.batch(() => {
                u.setData(plot.stacked ? stacked(raw) : raw, false);
                u.setScale("x", { min: from, max: history.time.at(-1) });
            });
            showValues();
            setAttribute(canvas, "aria-label", `${plot.title}, in the last ${duration(history.time.at(-1) - from)}: ${plot.summary(history)}`);
        },
        restyle: () => u.redraw(true, true),
        resize() {
            if (canvas.clientWidth && canvas.clientWidth !== u.width)
                u.setSize({ width: canvas.clientWidth, height: HEIGHT });
        },
    };
}

/** Each column the sum of itself and of those after it. No bar where there is nothing. */
function stacked([time, ...columns]) {
    const height = time.map(() => 0);
    const heights = columns.reverse().map(column => column.map((value, i) => {
        height[i] += value;
        return value ? height[i] : null;
    }));
    return [time, ...heights.reverse()];
}

function optionsOf(plot, onCursor) {
    const axis = { stroke: () => colour("--muted"), grid: { stroke: () => colour("--grid"), width: 1 }, ticks: { show: false }, font: "11px system-ui, sans-serif" };
    return {
        width: 400,
        height: HEIGHT,
        padding: [8, 8, 0, 0],
        legend: { show: false },
        cursor: { y: false, drag: { x: false, y: false }, sync: { key: "last hour", setSeries: false }, points: { size: 6 } },
        scales: { x: {}, y: { range: plot.range, distr: plot.logarithmic ? 3 : 1 } },
        axes: [
            { ...axis, size: 28, space: 70, values: (_, times, __, ___, step) => times.map(time => clock(new Date(time * 1000)).slice(0, step < 60 ? 8 : 5)) },
            {
                ...axis, size: 52, space: 34,
                incrs: plot.whole ? WHOLE : undefined,
                values: (_, values) => values.map(value => value === null ? null : plot.whole ? count(value) : tick(value)),
            },
        ],
        series: [{}, ...plot.series.map(series => ({
            stroke: () => colour(series.colour),
            width: series.bars ? 0 : series.width ?? 1.5,
            dash: series.dash,
            fill: series.bars ? () => colour(series.colour) : series.area ? () => `${colour(series.colour)}22` : undefined,
            paths: series.bars ? uPlot.paths.bars({ size: [0.86, 28], align: 1 }) : undefined,
            points: { show: !series.bars && ((_, __, from, to) => to - from < 2), size: 5 },
        }))],
        hooks: { setCursor: [u => onCursor(u.cursor.idx ?? null)] },
    };
}

/** A round number of milliseconds. */
const tick = value => value >= 1000 ? `${+(value / 1000).toPrecision(3)} s` : `${+value.toPrecision(3)} ms`;

/** The colours of the style sheet by name, as long as they stay. To ask for one lays the page out. */
const colours = new Map();

function colour(name) {
    if (!colours.has(name))
        colours.set(name, getComputedStyle(document.documentElement).getPropertyValue(name).trim());
    return colours.get(name);
}
