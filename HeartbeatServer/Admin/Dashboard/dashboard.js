// The page: asks the server, and hands what it says to the parts.

import { detailsDialog } from "./details.js";
import { byId, connectionLink, element, keyedList, setClass, setProse, setText } from "./dom.js";
import { distribution } from "./distribution.js";
import { endList } from "./ends.js";
import { CAUSES, beatOf } from "./explain.js";
import { spoken } from "./finding.js";
import { clock, count, duration, milliseconds, plural } from "./format.js";
import { appended, emptyHistory, sum } from "./history.js";
import { formatView, parseView } from "./permalink.js";
import { plots } from "./plots.js";
import { NoAnswer, poll } from "./poll.js";
import { situation } from "./situation.js";
import { PAGE, connectionTable } from "./table.js";
import { stallOf } from "./why.js";

const HISTORY_EVERY_MS = 5000;
const MOST_ENDS = 1000;
const WORST = new URLSearchParams({ sort: "worst", order: "desc", search: "", state: "any", offset: 0, limit: PAGE }).toString();

let started = null;
let history, ends, sentences, historyAt, known;
let answeredAt = null;
let view = parseView(location.hash, Object.keys(CAUSES));
/** Of /status/round_trips. */
let roundTrips = null;
forget();

byId("main").hidden = byId("options-section").hidden = false;
const details = detailsDialog(id => {
    change({ connection: id });
    if (id !== null)
        asking.now();
});
const table = connectionTable(changeQuery, () => asking.now(), details.open);
const endsShown = endList(details.open, changeQuery);
const plotted = plots(byId("plots"));
const showDistribution = distribution(byId("plots"));
const showSituation = keyedList(byId("situation"), () => element("li", "", element("strong"), element("p"), element("span", "links")), fillFinding);
const asking = poll(look, showGone);
let typing;
byId("search").addEventListener("input", event => {
    clearTimeout(typing);
    typing = setTimeout(() => changeQuery({ search: event.target.value.trim() }), 250);
});
addEventListener("hashchange", () => {
    // The link at the top of the page leads to a place in it.
    if (location.hash.includes("="))
        go(parseView(location.hash, Object.keys(CAUSES)));
});
go(view);

/** Shows a view that comes from an address. */
function go(to) {
    view = to;
    byId("search").value = view.search;
    table.view(view);
    if (view.connection !== null)
        details.open(view.connection);
    else
        details.close();
    asking.now();
}

/** Changes the view, and with it the address of the page. */
function change(to) {
    view = { ...view, ...to };
    globalThis.history.replaceState(null, "", formatView(view) || location.pathname);
}

/** Changes which ends and connections are shown. */
function changeQuery(to) {
    change(to);
    table.view(view);
    asking.now();
}

/** What is known of a server that is not there any more. */
function forget() {
    history = emptyHistory();
    ends = [];
    sentences = [];
    historyAt = -Infinity;
    known = null;
}

async function look(get) {
    const query = table.parameters;
    const status = await get(`/status?${query}`);
    const isOther = started !== null && started !== status.started;
    if (isOther)
        forget();

    const worst = query === WORST ? status : await get(`/status?${WORST}`);
    const seen = ends[0]?.seq ?? 0;
    const isDue = performance.now() - historyAt >= HISTORY_EVERY_MS;
    if (status.totals.ended !== seen)
        ends = [...(await get(`/status/ends?after=${seen}&limit=${MOST_ENDS}`)).items, ...ends].slice(0, MOST_ENDS);
    // What the record says changes with the ends and with those who are silent; and what is old is no news any more.
    if (isDue || status.totals.ended !== seen || status.totals.suspect)
        ({ sentences } = await get("/status/why"));
    if (isDue) {
        const last = history.time.at(-1) ?? 0;
        // Not later than now, unless the server's clock was set back: then nothing would be newer for a long time.
        const samples = await get(`/status/history?after=${last > Date.parse(status.now) / 1000 ? 0 : last}`);
        history = appended(history, samples);
        historyAt = performance.now();
        roundTrips = await get("/status/round_trips");
        plotted.draw(history, status.options);
    }
    showAnswer(isOther);
    // Only now: what was given up on the way said nothing of the new server.
    started = status.started;
    showStatus(status);
    showFindings(situation(status, worst.connections.items, ends, sentences, history), isOther);
    const stall = stallOf(sentences);
    table.show(status, stall);
    endsShown.show(ends, ends.length >= status.totals.ended, sentences, status.options, view);
    showDistribution(roundTrips, status.options);
    if (details.id !== null)
        await lookAtOne(get, details.id, status.options, stall);
}

async function lookAtOne(get, id, options, stall) {
    let answer = null;
    try {
        answer = await get(`/status/${id}`);
    } catch (error) {
        // It ended long ago.
        if (!(error instanceof NoAnswer) || error.status !== 404)
            throw error;
    }
    if (details.id === id)
        details.show(answer, options, stall);
}

function showAnswer(isOther) {
    const wasGone = !byId("gone").hidden;
    answeredAt = new Date();
    byId("gone").hidden = true;
    details.setGone("");
    document.body.classList.remove("is-gone");
    if (isOther) {
        // Numbers begin anew: the one in the details is, or will be, another connection.
        const wasOpen = details.close();
        say(`The server was started anew. Its figures begin again${wasOpen ? ", and the details were closed" : ""}.`);
    } else if (wasGone) {
        say("The server answers again.");
    }
}

function showGone({ message, status }) {
    const since = answeredAt ? ` since ${clock(answeredAt)}` : "";
    const text = status === null
        ? `No answer${since}, trying again. What is shown below is from then.`
        : `The server answers with an error${since}: ${message} (HTTP ${status}), trying again.`;
    byId("gone").hidden = false;
    setText(byId("gone"), text);
    details.setGone(text);
    document.body.classList.add("is-gone");
    byId("state").hidden = false;
    setText(byId("state"), "no answer");
    setClass(byId("state"), "chip gone");
    document.title = "No answer – HeartbeatServer";
}

function showStatus(status) {
    const { state, totals, round_trip_ms: times, lateness_ms: lateness } = status;
    setText(byId("state"), state);
    setClass(byId("state"), `chip ${state}`);
    byId("state").hidden = false;
    setText(byId("about"), `Version ${status.version}, up for ${duration(status.uptime_seconds)}. ${beatOf(status.options)}`);
    document.title = `${totals.suspect ? `${count(totals.suspect)} suspect of ` : ""}${plural(totals.connections, "connection")} – HeartbeatServer`;

    figure("connections", count(totals.connections), `at most ${count(totals.peak)}, ${count(totals.opened)} in all${totals.refused ? `, ${count(totals.refused)} refused` : ""}`);
    figure("suspect", count(totals.suspect), status.options.ping === "0" ? "pings are off" : `${plural(totals.missed, "ping")} missed, ${plural(totals.late, "pong")} late`);
    const lastHour = status.uptime_seconds < 3600 ? totals.ended : sum(Object.values(history.ends).map(sum));
    figure("ends", count(lastHour), `${count(totals.ended)} in all`);
    figure("round-trip", milliseconds(times.p50), times.p50 === null ? (status.options.ping === "0" ? "pings are off" : "no pong measured yet") : `p95 ${milliseconds(times.p95)}, p99 ${milliseconds(times.p99)}`);
    figure("lateness", milliseconds(lateness.last), lateness.last === null ? "not measured yet" : `p99 ${milliseconds(lateness.p99)}, most ${milliseconds(lateness.max)}`);
    byId("figure-suspect").classList.toggle("alarming", totals.suspect > 0);

    const options = Object.entries(status.options);
    if (byId("options").children.length !== options.length)
        byId("options").replaceChildren(...options.map(([name, value]) => element("div", "", element("dt", "", `--${name}`), element("dd", "", value))));
}

function figure(name, value, more) {
    setText(byId(`figure-${name}`), value);
    setText(byId(`more-${name}`), more);
}

function showFindings(findings, isOther) {
    showSituation(findings, ({ key }) => key);
    const now = new Map(findings.filter(({ level }) => level === "bad" || level === "warn").map(({ key, title }) => [key, title]));
    // A person who listens hears what is new, and that all is well again; not each figure that changes.
    if (known && !isOther) {
        const fresh = [...now].filter(([key]) => !known.has(key)).map(([, title]) => title);
        if (fresh.length)
            say(spoken(fresh));
        else if (known.size && now.size === 0)
            say(findings[0].title);
    }
    known = now;
}

function fillFinding(item, { level, title, text, ids }) {
    const [heading, words, links] = item.children;
    setClass(item, level);
    setText(heading, title);
    setProse(words, text);
    if (links.dataset.ids === String(ids))
        return;
    links.dataset.ids = ids;
    links.replaceChildren(...ids.map(id => connectionLink(id, details.open)));
}

function say(text) {
    setText(byId("news"), text);
}
