// Why connections ended, in plain English: an entry for each event and for each cause, and in it the connections.

import { csvOfEnds } from "./csv.js";
import { addressesOf, groupEnds, isFound } from "./departures.js";
import { byId, connectionLink, element, keyedList, saveAs, setProse, setText } from "./dom.js";
import { CAUSES, explainEnd } from "./explain.js";
import { counted, listed } from "./finding.js";
import { clock, count, duration, plural } from "./format.js";
import { parts } from "./why.js";

const PAGE = 25;

/** onOpen(id) is called when a connection is to be shown, onView(change) when others are wanted. */
export function endList(onOpen, onView) {
    let last = { ends: [], areAll: true, sentences: [], options: {}, view: { search: "", cause: "any" } };
    let drawn;
    const show = keyedList(byId("ends"), entry, (item, group) => item.fill(group));
    const filter = byId("cause");
    filter.append(...Object.keys(CAUSES).map(cause => new Option(cause)));
    filter.addEventListener("change", () => onView({ cause: filter.value }));
    byId("ends-csv").addEventListener("click", () => saveAs("ends.csv", csvOfEnds(found())));

    const found = () => last.ends.filter(end => (last.view.cause === "any" || end.cause === last.view.cause) && isFound(end, last.view.search));

    function entry() {
        const chips = element("p", "causes");
        const who = element("p", "who");
        const time = element("p", "when");
        const what = element("p", "what");
        const advice = element("p", "advice");
        const all = connections(onOpen);
        const item = element("li", "", chips, who, time, what, advice, all.node);
        item.fill = group => {
            const { event, ends } = group;
            // With a filter the page counts; else the server does, who knows of those too that are forgotten.
            const causes = event && !isFiltered() ? Object.entries(event.causes) : [...countBy(ends, end => end.cause)];
            const total = causes.reduce((all, [, many]) => all + many, 0);
            const [newest] = ends;
            chips.replaceChildren(...causes.map(([cause, many]) => element("span", `chip cause ${cause}`, nameOf(cause, newest, event, many))));
            who.replaceChildren(...total === 1
                ? [connectionLink(newest.id, onOpen), ` ${newest.remote}`]
                : [element("b", "", counted(total, last.areAll || (event && !isFiltered()), "connection")), ` from ${addresses(ends)}`]);
            setText(time, span(ends));
            const words = event ? parts(event.sentence) : Object.values(explainEnd(newest, last.options));
            setProse(what, (total > 1 && !event ? "The last one: " : "") + words[0]);
            setProse(advice, words[1]);
            advice.hidden = !words[1];
            all.show(ends, total);
        };
        return item;
    }

    const isFiltered = () => last.view.cause !== "any" || last.view.search !== "";

    function draw() {
        const { ends, sentences, view } = last;
        // What an end says does not change. What is said of an event has its time in it.
        const now = JSON.stringify([ends[0]?.seq, ends.length, sentences.filter(({ kind }) => kind === "event").map(({ sentence }) => sentence), view.cause, view.search]);
        if (now === drawn)
            return;
        drawn = now;
        const those = found();
        show(groupEnds(those, sentences), ({ key }) => key);
        byId("no-ends").hidden = those.length > 0;
        setText(byId("no-ends"), ends.length ? "None of the ends that are remembered is like that." : "No connection has ended yet.");
        byId("ends-csv").disabled = those.length === 0;
        setText(byId("ends-range"), those.length ? `${isFiltered() ? `${count(those.length)} of the` : "The"} last ${count(ends.length)}` : "");
    }

    return {
        /** ends: newest first. areAll: whether none is missing. sentences: of /status/why. view: of permalink.js. */
        show(ends, areAll, sentences, options, view) {
            last = { ends, areAll, sentences, options, view };
            filter.value = view.cause;
            draw();
        },
    };
}

/** The connections of an entry, in a table that opens: 25 rows, and more if they are asked for. */
function connections(onOpen) {
    const summary = element("summary");
    const body = element("tbody");
    const heads = ["No.", "Client", "Ended", "Age", "Last byte", "Detail"].map(title => {
        const head = element("th", "", title);
        head.scope = "col";
        return head;
    });
    const more = element("button", "plain", "Show 25 more");
    more.type = "button";
    const scroller = element("div", "table", element("table", "", element("thead", "", element("tr", "", ...heads)), body));
    scroller.tabIndex = 0;
    scroller.setAttribute("role", "group");
    scroller.setAttribute("aria-label", "Connections that ended");
    const node = element("details", "", summary, scroller, more);
    let ends = [];
    let shown = PAGE;

    function draw() {
        if (!node.open)
            return;
        body.replaceChildren(...ends.slice(0, shown).map(end => element("tr", "", ...[
            connectionLink(end.id, onOpen), end.remote, clock(new Date(end.at)), duration(end.age_seconds), `${duration(end.last_byte_seconds)} before`, end.detail,
        ].map(each => element("td", "", each)))));
        more.hidden = ends.length <= shown;
    }

    node.addEventListener("toggle", draw);
    more.addEventListener("click", () => {
        shown += PAGE;
        draw();
    });
    return {
        node,
        show(those, total) {
            ends = those;
            node.hidden = total === 1;
            setText(summary, those.length < total ? `The last ${count(those.length)} of them` : "All of them");
            draw();
        },
    };
}

function nameOf(cause, newest, event, many) {
    if (event)
        return `${cause} ${count(many)}`;
    return newest.verdict && newest.verdict !== "unknown" ? `${cause}, ${newest.verdict}` : cause;
}

function addresses(ends) {
    const all = addressesOf(ends);
    return all.length === 1 ? all[0][0] : `${plural(all.length, "address", "addresses")}: ${listed(all.map(([address, times]) => times > 1 ? `${address} (${count(times)})` : address))}`;
}

/** When the ends came: a moment, or from the first to the last. */
function span(ends) {
    const [first, last] = [ends.at(-1), ends[0]].map(end => clock(new Date(end.at)));
    return first === last ? last : `${first} to ${last}`;
}

function countBy(items, keyOf) {
    const counts = new Map();
    for (const item of items)
        counts.set(keyOf(item), (counts.get(keyOf(item)) ?? 0) + 1);
    return counts;
}
