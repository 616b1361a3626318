// The little that the page needs of the DOM. Text is only ever set as text.

export const byId = id => document.getElementById(id);

/** An element with a class, and what is in it: texts and nodes. */
export function element(name, className = "", ...children) {
    const node = document.createElement(name);
    if (className)
        node.className = className;
    node.append(...children);
    return node;
}

/** Sets the text if it is another, so that what did not change is not laid out again. */
export function setText(node, text) {
    text = String(text);
    if (node.textContent !== text)
        node.textContent = text;
}

/** Sets a text in which the options of the command line stand out, and are not broken at their hyphens. */
export function setProse(node, text) {
    if (node.textContent !== text)
        node.replaceChildren(...text.split(/(--[a-z][a-z-]*)/).map((part, place) => place % 2 ? element("code", "", part) : part));
}

export function setClass(node, className) {
    if (node.className !== className)
        node.className = className;
}

export function setAttribute(node, name, value) {
    if (node.getAttribute(name) !== String(value))
        node.setAttribute(name, value);
}

/** A link to the details of a connection. It has an address of its own, which can be copied; a click alone opens them here. */
export function connectionLink(id, onOpen) {
    const node = element("a", "link", `#${id}`);
    node.href = `#connection=${id}`;
    node.addEventListener("click", event => {
        if (isElsewhere(event))
            return;
        event.preventDefault();
        onOpen(id);
    });
    return node;
}

/** Whether a click asks for another tab or window. */
export const isElsewhere = event => event.ctrlKey || event.metaKey || event.shiftKey;

/** Gives the reader a file. */
export function saveAs(name, text) {
    const link = element("a");
    link.href = URL.createObjectURL(new Blob([text], { type: "text/csv" }));
    link.download = name;
    link.click();
    // The browser has begun to read it by then.
    setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

/** Puts these nodes, in this order, into the parent, and moves only what is elsewhere. The focus stays where it is. */
export function arrange(parent, nodes) {
    const focused = parent.contains(document.activeElement) ? document.activeElement : null;
    let place = parent.firstElementChild;
    for (const node of nodes) {
        if (node === place)
            place = place.nextElementSibling;
        else
            parent.insertBefore(node, place);
    }
    while (place) {
        const next = place.nextElementSibling;
        place.remove();
        place = next;
    }
    if (focused && focused !== document.activeElement && focused.isConnected)
        focused.focus({ preventScroll: true });
}

/** Shows one node for each item, by key; nodes of items that stay are updated in place. make(item) makes a node, update(node, item) fills it. */
export function keyedList(parent, make, update) {
    let nodes = new Map();
    return (items, keyOf) => {
        const kept = new Map();
        for (const item of items) {
            const key = keyOf(item);
            const node = nodes.get(key) ?? make(item);
            update(node, item);
            kept.set(key, node);
        }
        nodes = kept;
        arrange(parent, [...kept.values()]);
    };
}
