// What is shown, as the part of the page's address behind the #: it can be copied, and opened by somebody else. Pure.

export const STATES = ["any", "healthy", "late", "suspect", "closing"];
export const SORTS = ["worst", "id", "age", "round_trip", "strikes", "bytes", "late", "missed"];

/** connection: the number of the one in the details, or null. search: a text. state: of open connections. cause: of ends, "any" for all. */
const NOTHING = { connection: null, search: "", state: "any", cause: "any", sort: "worst", order: "desc" };

/** The view of an address. What it does not say, or what is no such value, is as at first. causes: the causes that there are. */
export function parseView(hash, causes) {
    const given = new URLSearchParams(hash.replace(/^#/, ""));
    const oneOf = (name, values) => values.includes(given.get(name)) ? given.get(name) : NOTHING[name];
    const number = given.get("connection") ?? "";
    return {
        connection: /^\d{1,15}$/.test(number) ? Number(number) : null,
        search: (given.get("search") ?? "").trim(),
        state: oneOf("state", STATES),
        cause: oneOf("cause", ["any", ...causes]),
        sort: oneOf("sort", SORTS),
        order: oneOf("order", ["desc", "asc"]),
    };
}

/** The address of a view: only what is not as at first; "" for nothing. */
export function formatView(view) {
    const said = Object.entries(NOTHING).filter(([name, nothing]) => view[name] !== nothing).map(([name]) => [name, view[name]]);
    return said.length ? `#${new URLSearchParams(said)}` : "";
}
