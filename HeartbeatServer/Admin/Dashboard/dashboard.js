// The page: asks the server, and hands what it says to the parts.

import { detailsDialog } from "./details.js";
import { byId, element, keyedList, setClass, setProse, setText } from "./dom.js";
import { endList } from "./ends.js";
import { spoken } from "./finding.js";
import { clock, count, duration, milliseconds, plural } from "./format.js";
import { appended, emptyHistory, sum } from "./history.js";
import { plots } from "./plots.js";
import { NoAnswer, poll } from "./poll.js";
import { situation } from "./situation.js";
import { PAGE, connectionTable } from "./table.js";
import { stallOf } from "./why.js";

const HISTORY_EVERY_MS = 5000;
const MOST_ENDS = 1000;
const WORST = new URLSearchParams({ sort: "worst", order: "desc", search: "", offset: 0, limit: PAGE }).toString();

let started = null;
let history, ends, historyAt, known;
let answeredAt = null;
forget();

const details = detailsDialog(() => asking.now());
const table = connectionTable(() => asking.now(), details.open);
const endsShown = endList(details.open);
const plotted = plots(byId("plots"));
const showSituation = keyedList(byId("situation"), () => element("li", "", element("strong"), element("p"), element("span", "links")), fillFinding);
const asking = poll(look, showGone);

/** What is known of a server that is not there any more. */
function forget() {
    history = emptyHistory();
    ends = [];
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
    const newer = await get(`/status/ends?after=${ends[0]?.seq ?? 0}&limit=${MOST_ENDS}`);
    const { sentences } = await get("/status/why");
    ends = [...newer.items, ...ends].slice(0, MOST_ENDS);
    if (performance.now() - historyAt >= HISTORY_EVERY_MS) {
        const last = history.time.at(-1) ?? 0;
        // Not later than now, unless the server's clock was set back: then nothing would be newer for a long time.
        const samples = await get(`/status/history?after=${last > Date.parse(status.now) / 1000 ? 0 : last}`);
        history = appended(history, samples);
        historyAt = performance.now();
        plotted.draw(history);
    }
    showAnswer(isOther);
    // Only now: what was given up on the way said nothing of the new server.
    started = status.started;
    showStatus(status);
    showFindings(situation(status, worst.connections.items, ends, sentences, history), isOther);
    const stall = stallOf(sentences);
    table.show(status, stall);
    endsShown.show(ends, status.options);
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
    setText(byId("state"), "no answer");
    setClass(byId("state"), "chip gone");
    document.title = "No answer – HeartbeatServer";
}

function showStatus(status) {
    const { state, totals, round_trip_ms: times, lateness_ms: lateness } = status;
    setText(byId("state"), state);
    setClass(byId("state"), `chip ${state}`);
    setText(byId("about"), `Version ${status.version}, up for ${duration(status.uptime_seconds)}. Ping every ${status.options.ping}, pong within ${status.options.timeout}.`);
    document.title = `${totals.suspect ? `${count(totals.suspect)} suspect of ` : ""}${plural(totals.connections, "connection")} – HeartbeatServer`;

    figure("connections", count(totals.connections), `at most ${count(totals.peak)}, ${count(totals.opened)} in all${totals.refused ? `, ${count(totals.refused)} refused` : ""}`);
    figure("suspect", count(totals.suspect), `${plural(totals.missed, "ping")} missed, ${plural(totals.late, "pong")} late`);
    const lastHour = status.uptime_seconds < 3600 ? totals.ended : sum(Object.values(history.ends).map(sum));
    figure("ends", count(lastHour), `${count(totals.ended)} in all`);
    figure("round-trip", milliseconds(times.p50), times.p50 === null ? "no pong measured yet" : `p95 ${milliseconds(times.p95)}, p99 ${milliseconds(times.p99)}`);
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
    links.replaceChildren(...ids.map(id => {
        const button = element("button", "link", `#${id}`);
        button.type = "button";
        button.addEventListener("click", () => details.open(id));
        return button;
    }));
}

function say(text) {
    setText(byId("news"), text);
}
