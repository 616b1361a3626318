// A small line of the last round trips. All lines have one logarithmic scale, so that rows can be compared; the dotted rule is --timeout.

import { milliseconds, plural } from "./format.js";
import { setAttribute } from "./dom.js";

const SVG = "http://www.w3.org/2000/svg";
const WIDTH = 96;
const HEIGHT = 26;
const LEAST_MS = 0.1;
const POINTS = 16;

/** An empty line; update it with drawSparkline. */
export function sparkline() {
    const svg = document.createElementNS(SVG, "svg");
    svg.setAttribute("viewBox", `0 0 ${WIDTH} ${HEIGHT}`);
    svg.setAttribute("class", "spark");
    svg.setAttribute("role", "img");
    const rule = document.createElementNS(SVG, "line");
    rule.setAttribute("x2", WIDTH);
    const line = document.createElementNS(SVG, "polyline");
    svg.append(rule, line);
    return svg;
}

/** times: ms, oldest first, at most 16. timeout: ms, 0 for none. */
export function drawSparkline(svg, times, timeout) {
    const [rule, line] = svg.children;
    const most = Math.max(timeout * 2, ...times, 10);
    const y = time => (HEIGHT - 3 - (HEIGHT - 6) * Math.log(Math.max(time, LEAST_MS) / LEAST_MS) / Math.log(most / LEAST_MS)).toFixed(1);
    const x = place => (3 + (WIDTH - 6) * (place + POINTS - times.length) / (POINTS - 1)).toFixed(1);
    setAttribute(line, "points", times.map((time, place) => `${x(place)},${y(time)}`).join(" "));
    setAttribute(rule, "visibility", timeout && times.length ? "visible" : "hidden");
    if (timeout) {
        setAttribute(rule, "y1", y(timeout));
        setAttribute(rule, "y2", y(timeout));
    }
    setAttribute(svg, "aria-label", times.length
        ? `last ${plural(times.length, "round trip")}, from ${milliseconds(Math.min(...times))} to ${milliseconds(Math.max(...times))}` : "no pong measured yet");
}
