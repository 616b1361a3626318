// One connection, also after its end, in a dialog.

import { byId, element, setProse, setText } from "./dom.js";
import { condition, explainEnd } from "./explain.js";
import { bytes, clock, count, duration, milliseconds, parseDuration } from "./format.js";
import { drawSparkline, sparkline } from "./sparkline.js";

/** The dialog. Its owner asks the server for the connection `id`, while that is not null, and hands the answer to show. onChange(id) is called after each change of it. */
export function detailsDialog(onChange) {
    const dialog = byId("details");
    const body = byId("details-body");
    // What is beside an open dialog is not heard, and hardly seen: it says itself that the server is gone.
    const gone = element("p", "alert");
    gone.setAttribute("role", "alert");
    gone.hidden = true;
    const chip = element("p", "chip");
    const what = element("p", "what");
    const advice = element("p", "advice");
    const line = sparkline();
    line.setAttribute("preserveAspectRatio", "none");
    const figures = element("dl");
    body.append(gone, chip, what, advice, line, figures);
    const details = {
        /** Number of the connection that is shown; null while the dialog is closed. */
        id: null,

        open(id) {
            details.id = id;
            setText(byId("details-title"), `#${id}`);
            fill({ chip: ["chip", "loading"], what: "", advice: "", times: [], rows: [] });
            if (!dialog.open)
                dialog.showModal();
            onChange(id);
        },

        /** Closes it, if it is open. Returns whether it was. */
        close() {
            const wasOpen = dialog.open;
            dialog.close();
            details.id = null;
            if (wasOpen)
                onChange(null);
            return wasOpen;
        },

        /** Says that the server does not answer; "" that it does. */
        setGone(text) {
            setText(gone, text);
            gone.hidden = !text;
        },

        /** answer: of /status/{id}; null if the server does not remember it. stall: of stallOf. */
        show(answer, options, stall) {
            if (answer === null)
                return fill({ chip: ["chip", "gone"], what: "The server does not remember this connection: it keeps the last 1,000 ends.", advice: "", times: [], rows: [] });
            const { end } = answer;
            const connection = end ?? answer;
            setText(byId("details-title"), `#${connection.id} ${connection.remote}`);
            if (end) {
                const { what: happened, advice: hint } = explainEnd(end, options);
                fill({
                    chip: [`chip cause ${end.cause}`, `ended: ${end.cause}${end.verdict ? `, ${end.verdict}` : ""}`],
                    what: happened, advice: hint, times: [],
                    rows: [["Ended", `${clock(new Date(end.at))}, by the ${end.by}`], ["In the log", end.detail], ...rowsOf(end, "before its end")],
                });
            } else {
                const { kind, label, text } = condition(connection, options, stall);
                fill({
                    chip: [`chip ${kind}`, label], what: text, advice: "", times: connection.recent_ms, timeout: parseDuration(options.timeout),
                    rows: [["Opened", clock(new Date(connection.opened))], ["Strikes now", `${connection.strikes} of ${options["max-missed"]}`], ...rowsOf(connection, "ago")],
                });
            }
        },
    };
    // The event comes a moment after the closing: by then another connection may be shown.
    dialog.addEventListener("close", () => {
        if (!dialog.open && details.id !== null) {
            details.id = null;
            onChange(null);
        }
    });
    // A click beside it.
    dialog.addEventListener("click", event => {
        if (event.target === dialog)
            dialog.close();
    });
    return details;

    function fill({ chip: [className, label], what: happened, advice: hint, times, timeout = 0, rows }) {
        chip.className = className;
        setText(chip, label);
        setProse(what, happened);
        setProse(advice, hint);
        line.style.display = times.length ? "" : "none";
        drawSparkline(line, times, timeout);
        if (figures.children.length !== rows.length)
            figures.replaceChildren(...rows.map(() => element("div", "", element("dt"), element("dd"))));
        rows.forEach(([name, value], place) => {
            setText(figures.children[place].firstElementChild, name);
            setText(figures.children[place].lastElementChild, value);
        });
    }
}

function rowsOf(figures, since) {
    const times = figures.round_trip_ms;
    return [
        ["Path", figures.path],
        ...(figures.subprotocol === null ? [] : [["Subprotocol", figures.subprotocol]]),
        ...(figures.subprotocols_not_spoken ? [["Subprotocols not spoken", count(figures.subprotocols_not_spoken)]] : []),
        ["Origin", figures.origin ?? "none"],
        ["User agent", figures.user_agent ?? "none"],
        ["Age", duration(figures.age_seconds)],
        ["Last byte", `${duration(figures.last_byte_seconds)} ${since}`],
        ["Last sent", `${duration(figures.last_sent_seconds)} ${since}`],
        ["Pings and pongs", `${count(figures.pings)} and ${count(figures.pongs)}`],
        ["Missed, late", `${count(figures.missed)}, ${count(figures.late)}`],
        ...(figures.other_pongs ? [["Other pongs", count(figures.other_pongs)]] : []),
        ["Round trip", times ? `last ${milliseconds(times.last)}, least ${milliseconds(times.min)}, mean ${milliseconds(times.mean)}, most ${milliseconds(times.max)}` : "none measured"],
        ["Jitter", milliseconds(times?.jitter)],
        ...kernelOf(figures),
        ["Bytes in, out", `${bytes(figures.bytes_in)}, ${bytes(figures.bytes_out)}`],
        ["Messages in, out", `${count(figures.messages_in)}, ${count(figures.messages_out)}`],
        ...(figures.upstream ? legOf(figures.upstream, since) : []),
    ];
}

/** What the kernel measured. Only an end by pong timeout has it. */
function kernelOf({ kernel_round_trip_ms: roundTrip = null, retransmissions = null }) {
    return [
        ...(roundTrip === null ? [] : [["Kernel round trip", milliseconds(roundTrip)]]),
        ...(retransmissions === null ? [] : [["Retransmissions", count(retransmissions)]]),
    ];
}

/** The rows of the leg to the application. */
function legOf(leg, since) {
    return [
        ["Application", `${leg.address}, answered the handshake in ${milliseconds(leg.handshake_ms)}`],
        ["Its kernel's round trip", milliseconds(leg.kernel_round_trip_ms)],
        ["Its last byte", `${duration(leg.last_byte_seconds)} ${since}${leg.inside_frame ? ", inside a frame that it has not ended" : ""}`],
        ["Bytes from it, to it", `${bytes(leg.bytes_in)}, ${bytes(leg.bytes_out)}`],
        ...(leg.not_read_seconds === null ? [] : [["Has not read for", duration(leg.not_read_seconds)]]),
    ];
}
