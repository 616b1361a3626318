// The table of connections. The server sorts, searches and pages; at most one page is in the document, and its rows are updated in place.

import { csvOfConnections } from "./csv.js";
import { byId, element, isElsewhere, keyedList, saveAs, setAttribute, setClass, setText } from "./dom.js";
import { condition } from "./explain.js";
import { bytes, count, duration, milliseconds, parseDuration, plural } from "./format.js";
import { STATES } from "./permalink.js";
import { get } from "./poll.js";
import { drawSparkline, sparkline } from "./sparkline.js";

export const PAGE = 25;
/** So many connections of a file come with one request: the server gives no more. */
const AT_ONCE = 1000;

const chip = { make: () => element("span", "chip"), fill(node, connection, options, stall) {
    const { kind, label, text } = condition(connection, options, stall);
    setClass(node, `chip ${kind}`);
    setText(node, label);
    setAttribute(node, "title", text);
} };
const number = { make: () => element("a", "link"), fill(node, { id }) {
    setText(node, `#${id}`);
    setAttribute(node, "href", `#connection=${id}`);
} };
const line = { make: sparkline, fill: (node, connection, options) => drawSparkline(node, connection.recent_ms, parseDuration(options.timeout)) };
const text = of => ({ make: () => element("span"), fill: (node, connection) => setText(node, of(connection)) });
const time = name => text(({ round_trip_ms: times }) => milliseconds(times?.[name]));

/** The port on a line of its own where there is no room. */
const address = { make: () => element("span", "", element("span"), element("wbr"), element("span")), fill(node, { remote }) {
    const port = /:\d+$/.exec(remote)?.index ?? remote.length;
    setText(node.firstElementChild, remote.slice(0, port));
    setText(node.lastElementChild, remote.slice(port));
} };

/** The application's leg of a relayed connection: how far its kernel is, and since when it is silent or does not read. */
const leg = text(({ upstream }) => !upstream ? "" : upstream.not_read_seconds > 1
    ? `has not read for ${duration(upstream.not_read_seconds)}`
    : `${milliseconds(upstream.kernel_round_trip_ms)}, ${duration(upstream.last_byte_seconds)} ago`);

/** Each with what it is called, how the server sorts by it (if it does), its class, and what is in its cells. */
const COLUMNS = [
    ["State", "worst", "", chip],
    ["No.", "id", "number", number],
    ["Client", null, "client", address],
    ["Strikes", "strikes", "number wide", text(({ strikes }) => strikes)],
    ["Missed", "missed", "number wide", text(({ missed }) => count(missed))],
    ["Late", "late", "number wide", text(({ late }) => count(late))],
    ["Round trip", "round_trip", "number", time("last")],
    ["mean", null, "number wide", time("mean")],
    ["max", null, "number wide", time("max")],
    ["jitter", null, "number wide", time("jitter")],
    ["Last 16", null, "line", line],
    ["Bytes in / out", "bytes", "number wide", text(each => `${bytes(each.bytes_in)} / ${bytes(each.bytes_out)}`)],
    ["Last byte", null, "number middle", text(each => `${duration(each.last_byte_seconds)} ago`)],
    ["Application", null, "number relayed", leg],
    ["Age", "age", "number middle", text(each => duration(each.age_seconds))],
];

/** onView(change) is called when others are wanted, onPage when another page of them is, onOpen(id) when a connection is to be shown. */
export function connectionTable(onView, onPage, onOpen) {
    const query = { sort: "worst", order: "desc", search: "", state: "any", offset: 0, limit: PAGE };
    const headers = COLUMNS.map(([title, sort, className]) => {
        const header = element("th", className);
        header.scope = "col";
        if (sort) {
            const button = element("button", "", title);
            button.type = "button";
            button.addEventListener("click", () => {
                // First the worst, then the other way round.
                onView({ sort, order: query.sort === sort && query.order === "desc" ? "asc" : "desc" });
            });
            header.append(button);
        } else {
            header.append(title);
        }
        return header;
    });
    byId("headers").append(...headers);

    let options, stall;
    // Whoever asked for another page hears which came; not how it changes by itself.
    let asked = false;
    const show = keyedList(byId("rows"), ({ id }) => {
        const row = element("tr");
        row.dataset.id = id;
        row.append(...COLUMNS.map(([, , className, cell]) => element("td", className, cell.make())));
        return row;
    }, (row, connection) => {
        COLUMNS.forEach(([, , , cell], place) => cell.fill(row.children[place].firstElementChild, connection, options, stall));
    });

    function turnTo(offset) {
        query.offset = offset;
        asked = true;
        onPage();
    }

    /** Not `disabled`: that would take the focus from the button that led to the last page. */
    function onTurn(button, offset) {
        button.addEventListener("click", () => {
            if (button.ariaDisabled !== "true")
                turnTo(offset());
        });
    }

    function showSort() {
        COLUMNS.forEach(([, sort], place) => {
            if (sort)
                setAttribute(headers[place], "aria-sort", sort !== query.sort ? "none" : query.order === "desc" ? "descending" : "ascending");
        });
    }

    byId("rows").addEventListener("click", event => {
        const row = event.target.closest("tr");
        const isLink = event.target.closest("a") !== null;
        if (isLink && isElsewhere(event))
            return;
        event.preventDefault();
        // Who marks an address to copy it does not want the details.
        if (row && (isLink || getSelection().isCollapsed))
            onOpen(Number(row.dataset.id));
    });
    onTurn(byId("previous"), () => Math.max(0, query.offset - PAGE));
    onTurn(byId("next"), () => query.offset + PAGE);
    const filter = byId("state-filter");
    filter.append(...STATES.map(state => new Option(state)));
    filter.addEventListener("change", () => onView({ state: filter.value }));
    byId("connections-csv").addEventListener("click", async () => {
        byId("connections-csv").disabled = true;
        try {
            saveAs("connections.csv", csvOfConnections(await allOf(query)));
        } finally {
            byId("connections-csv").disabled = false;
        }
    });
    showSort();

    return {
        /** The parameters of /status for what is to be shown. */
        get parameters() {
            return new URLSearchParams(query).toString();
        },

        /** Shows others from now on: those of a view of permalink.js, from the first on. */
        view({ sort, order, search, state }) {
            Object.assign(query, { sort, order, search, state, offset: 0 });
            asked = true;
            filter.value = state;
            showSort();
        },

        /** Shows the page of an answer of /status. inStall: of stallOf. */
        show(status, inStall) {
            options = status.options;
            stall = inStall;
            byId("rows").closest("table").classList.toggle("relays", options.upstream !== "none");
            const { items, matching, offset } = status.connections;
            if (items.length === 0 && offset > 0)
                return turnTo(Math.floor(Math.max(0, matching - 1) / PAGE) * PAGE);
            show(items, ({ id }) => id);
            setText(byId("range"), items.length ? `${count(offset + 1)}–${count(offset + items.length)} of ${count(matching)}` : "");
            setAttribute(byId("previous"), "aria-disabled", offset === 0);
            setAttribute(byId("next"), "aria-disabled", offset + items.length >= matching);
            byId("no-rows").hidden = items.length > 0;
            const wanted = [...query.search ? [`matches “${query.search}”`] : [], ...query.state !== "any" ? [`is ${query.state}`] : []];
            setText(byId("no-rows"), wanted.length && status.totals.connections
                ? `None of ${plural(status.totals.connections, "connection")} ${wanted.join(" and ")}.`
                : `Nobody is connected. Clients connect to ${options.path} on port ${options.port}.`);
            if (asked) {
                asked = false;
                setText(byId("page-news"), items.length ? `${byId("range").textContent}, by ${query.sort.replace("_", " ")}, ${query.order === "desc" ? "descending" : "ascending"}` : byId("no-rows").textContent);
            }
        },
    };
}

/** All connections of a query, in the order of their numbers: those that come and go meanwhile move no others to another page. */
async function allOf({ search, state }) {
    const all = [];
    for (;;) {
        const { connections } = await get(`/status?${new URLSearchParams({ search, state, sort: "id", order: "asc", offset: all.length, limit: AT_ONCE })}`);
        all.push(...connections.items);
        if (connections.items.length === 0 || all.length >= connections.matching)
            return all;
    }
}
