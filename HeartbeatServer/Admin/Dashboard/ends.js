// The latest ends in plain English. Those of one address with one cause are one entry.

import { groupEnds } from "./departures.js";
import { byId, element, keyedList, setProse, setText } from "./dom.js";
import { explainEnd } from "./explain.js";
import { clock, duration, host } from "./format.js";

const STEP = 12;
const NAMED = 6;

/** onOpen(id) is called when a connection is to be shown. */
export function endList(onOpen) {
    let shown = STEP;
    let last;
    const show = keyedList(byId("ends"), () => {
        const item = element("li", "", element("span", "chip"), element("span", "who"), element("time"), element("p", "what"), element("p", "advice"));
        return item;
    }, (item, group) => {
        const [chip, who, time, what, advice] = item.children;
        const [end] = group;
        // What an end says does not change; how many there are of it does.
        if (item.dataset.ends === `${end.seq} ${group.length}`)
            return;
        item.dataset.ends = `${end.seq} ${group.length}`;
        chip.className = `chip cause ${end.cause}`;
        setText(chip, end.verdict && end.verdict !== "unknown" ? `${end.cause}, ${end.verdict}` : end.cause);
        const more = group.length > NAMED ? [`and ${group.length - NAMED} more`] : [];
        who.replaceChildren(
            ...group.slice(0, NAMED).flatMap(each => [button(each.id), " "]), ...more,
            element("span", "address", group.length > 1 ? ` ${host(end.remote)}, ${group.length} times` : ` ${end.remote}`));
        time.dateTime = end.at;
        setText(time, `${clock(new Date(end.at))}, after ${duration(end.age_seconds)}`);
        const text = explainEnd(end, last.options);
        setProse(what, text.what);
        setProse(advice, text.advice);
        advice.hidden = !text.advice;
    });

    function button(id) {
        const node = element("button", "link", `#${id}`);
        node.type = "button";
        node.addEventListener("click", () => onOpen(id));
        return node;
    }

    function redraw() {
        const groups = groupEnds(last.ends);
        // By its oldest end: it stays while newer ones come.
        show(groups.slice(0, shown), group => group.at(-1).seq);
        byId("no-ends").hidden = groups.length > 0;
        byId("more-of-ends").hidden = groups.length <= shown;
    }

    byId("more-of-ends").addEventListener("click", () => {
        shown += STEP;
        redraw();
    });

    return {
        /** ends: newest first. */
        show(ends, options) {
            last = { ends, options };
            redraw();
        },
    };
}
