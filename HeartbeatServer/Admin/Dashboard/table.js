// The table of connections. The server sorts, searches and pages; at most one page is in the document, and its rows are updated in place.

import { byId, element, keyedList, setAttribute, setClass, setText } from "./dom.js";
import { condition } from "./explain.js";
import { bytes, count, duration, milliseconds, parseDuration, plural } from "./format.js";
import { drawSparkline, sparkline } from "./sparkline.js";

export const PAGE = 50;

const chip = { make: () => element("span", "chip"), fill(node, connection, options, stall) {
    const { kind, label, text } = condition(connection, options, stall);
    setClass(node, `chip ${kind}`);
    setText(node, label);
    setAttribute(node, "title", text);
} };
const number = { make: () => element("button", "link"), fill: (node, { id }) => setText(node, `#${id}`) };
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

/** onQuery is called when another page is wanted, onOpen(id) when a connection is to be shown. */
export function connectionTable(onQuery, onOpen) {
    const query = { sort: "worst", order: "desc", search: "", offset: 0, limit: PAGE };
    const headers = COLUMNS.map(([title, sort, className]) => {
        const header = element("th", className);
        header.scope = "col";
        if (sort) {
            const button = element("button", "", title);
            button.type = "button";
            button.addEventListener("click", () => {
                // First the worst, then the other way round.
                ask({ sort, order: query.sort === sort && query.order === "desc" ? "asc" : "desc", offset: 0 });
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

    function ask(change) {
        Object.assign(query, change);
        asked = true;
        showSort();
        onQuery();
    }

    /** Not `disabled`: that would take the focus from the button that led to the last page. */
    function onTurn(button, offset) {
        button.addEventListener("click", () => {
            if (button.ariaDisabled !== "true")
                ask({ offset: offset() });
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
        // Who marks an address to copy it does not want the details.
        if (row && getSelection().isCollapsed)
            onOpen(Number(row.dataset.id));
    });
    onTurn(byId("previous"), () => Math.max(0, query.offset - PAGE));
    onTurn(byId("next"), () => query.offset + PAGE);
    let typing;
    byId("search").addEventListener("input", event => {
        clearTimeout(typing);
        typing = setTimeout(() => ask({ search: event.target.value.trim(), offset: 0 }), 250);
    });
    showSort();

    return {
        /** The parameters of /status for what is to be shown. */
        get parameters() {
            return new URLSearchParams(query).toString();
        },

        /** Shows the page of an answer of /status. inStall: of stallOf. */
        show(status, inStall) {
            options = status.options;
            stall = inStall;
            byId("rows").closest("table").classList.toggle("relays", options.upstream !== "none");
            const { items, matching, offset } = status.connections;
            if (items.length === 0 && offset > 0)
                return ask({ offset: Math.floor(Math.max(0, matching - 1) / PAGE) * PAGE });
            show(items, ({ id }) => id);
            setText(byId("range"), items.length ? `${count(offset + 1)}–${count(offset + items.length)} of ${count(matching)}` : "");
            setAttribute(byId("previous"), "aria-disabled", offset === 0);
            setAttribute(byId("next"), "aria-disabled", offset + items.length >= matching);
            byId("no-rows").hidden = items.length > 0;
            setText(byId("no-rows"), query.search && status.totals.connections
                ? `None of ${plural(status.totals.connections, "connection")} matches “${query.search}”.`
                : `Nobody is connected. Clients connect to ${options.path} on port ${options.port}.`);
            if (asked) {
                asked = false;
                setText(byId("page-news"), items.length ? `${byId("range").textContent}, by ${query.sort.replace("_", " ")}, ${query.order === "desc" ? "descending" : "ascending"}` : byId("no-rows").textContent);
            }
        },
    };
}
