// The dashboard's pure modules. Run by endtoend/dashboard.py, in a copy of the dashboard's folder.

import assert from "node:assert/strict";
import { test } from "node:test";

import { csvOfConnections, csvOfEnds } from "./csv.js";
import { addressesOf, flappers, groupEnds, isFound } from "./departures.js";
import { percent, ranges } from "./distribution.js";
import { CAUSES, beatOf, condition, enoughTimeout, explainEnd } from "./explain.js";
import { spoken } from "./finding.js";
import { asOption, bytes, duration, host, milliseconds, parseDuration, plural } from "./format.js";
import { appended, binnedEnds, emptyHistory, greatest, startOf } from "./history.js";
import { formatView, parseView } from "./permalink.js";
import { situation } from "./situation.js";
import { answers, eventOf, stallOf } from "./why.js";

const NOW = Date.parse("2026-01-01T12:00:00Z");
const OPTIONS = { ping: "2s", timeout: "500ms", "max-missed": "3", "max-message": "1MiB", "max-connections": "0", path: "/ws", port: "8080" };
const TIMES = { last: 0.3, min: 0.2, mean: 0.3, max: 0.4, jitter: 0.1 };

function connection(change) {
    return {
        id: 1, remote: "192.0.2.1:5000", state: "healthy", strikes: 0, pings: 9, pongs: 9, missed: 0, late: 0, round_trip_ms: TIMES,
        recent_ms: [0.3], bytes_in: 1, bytes_out: 1, last_byte_seconds: 0.4, age_seconds: 20, ...change,
    };
}

let seq = 0;

/** An end so many seconds before NOW. */
function end(ago, change) {
    seq++;
    return {
        seq, id: seq, at: new Date(NOW - ago * 1000).toISOString(), remote: `192.0.2.2:${5000 + seq}`, cause: "client_vanished", by: "client",
        detail: "FIN without a Close frame", verdict: null, age_seconds: 2, late: 0, round_trip_ms: null, last_byte_seconds: 1, ...change,
    };
}

function look(connections, ends, change = {}) {
    const status = {
        now: new Date(NOW).toISOString(), state: "serving", options: OPTIONS, round_trip_ms: { p50: 0.3, p95: 0.5, p99: 0.7 },
        totals: { connections: connections.length, suspect: connections.filter(({ strikes }) => strikes).length, ended: ends.length }, ...change,
    };
    return situation(status, connections, ends, change.sentences ?? [], { ...emptyHistory(), ...change.history });
}

const titles = findings => findings.map(({ title }) => title);

test("durations of options are those of the command line", () => {
    for (const [text, ms] of [["0", 0], ["500ms", 500], ["10s", 10_000], ["1m30s", 90_000], ["1.5h", 5_400_000], ["250us", 0.25], ["", null], ["10", null], ["x", null]])
        assert.equal(parseDuration(text), ms, text);
    assert.equal(asOption(950), "950ms");
    assert.equal(asOption(1700), "1.7s");
});

test("figures have a unit and few digits", () => {
    assert.deepEqual([0.3, 9.99, 12.34, 701.2, 1520, null].map(milliseconds), ["0.30 ms", "9.99 ms", "12.3 ms", "701 ms", "1.5 s", "–"]);
    assert.deepEqual([0.04, 9.96, 12.3, 59.96, 60, 185, 7440, 90000].map(duration), ["0.0 s", "10 s", "12 s", "1 min", "1 min", "3 min 5 s", "2 h 4 min", "1 d 1 h"]);
    assert.deepEqual([0, 999, 1000, 1434, 20 * 2 ** 20].map(bytes), ["0 B", "999 B", "1.0 KiB", "1.4 KiB", "20 MiB"]);
    assert.equal(plural(1, "client"), "1 client");
    assert.equal(plural(20000, "client"), "20,000 clients");
});

test("an address loses its port and its proxy, and nothing else", () => {
    for (const client of ["192.0.2.1:5000", "192.0.2.1", "192.0.2.1 via 10.0.0.2:5000", "192.0.2.1 via [2001:db8::2]:5000"])
        assert.equal(host(client), "192.0.2.1");
    for (const client of ["[2001:db8::1]:5000", "2001:db8::1", "2001:db8::1 via 10.0.0.2:5000", "2001:db8::1 via [2001:db8::2]:5000"])
        assert.equal(host(client), "2001:db8::1");
});

test("a timeout that would do is above the longest round trip, and round", () => {
    assert.equal(enoughTimeout([600, 700]), 880);
    assert.equal(enoughTimeout([1300]), 1700);
    assert.equal(enoughTimeout([3]), 4);
});

test("a client that misses pings is silent; one that answers each too late is not", () => {
    const kind = change => condition(connection(change), OPTIONS).kind;
    assert.equal(kind({}), "healthy");
    assert.equal(kind({ round_trip_ms: null, recent_ms: [], pongs: 0 }), "new");
    assert.equal(kind({ state: "suspect", strikes: 1, missed: 1 }), "silent");
    assert.equal(kind({ state: "late", late: 1 }), "late");
    const recent_ms = [700, 700, 600, 0.3];
    assert.equal(kind({ state: "late", late: 3, missed: 3, recent_ms }), "slow");
    assert.equal(kind({ state: "suspect", strikes: 1, late: 3, missed: 4, recent_ms }), "slow", "while its next pong is awaited");
    assert.equal(kind({ state: "suspect", strikes: 2, late: 3, missed: 5, recent_ms }), "silent", "once it stops to answer");
    assert.equal(kind({ state: "closing", strikes: 3 }), "closing");
});

test("a client is judged by its last round trips, not by its whole life", () => {
    const label = (recent_ms, change) => condition(connection({ late: 900, pongs: 1000, recent_ms, ...change }), OPTIONS).label;
    assert.equal(label(Array(16).fill(700)), "always late");
    assert.equal(label([...Array(8).fill(700), ...Array(8).fill(0.3)]), "often late");
    assert.equal(label([...Array(7).fill(700), ...Array(9).fill(0.3)]), "healthy", "it has recovered");
    assert.equal(label([700], { state: "late" }), "late", "once is not always");
    assert.equal(condition(connection({ recent_ms: [700, 700] }), { ...OPTIONS, timeout: "0" }).kind, "healthy", "--timeout 0 judges nobody");
});

test("a slow client is told which --timeout would do, and --ping if that is below it", () => {
    const slow = { state: "late", late: 9, recent_ms: [600, 700] };
    assert.match(condition(connection(slow), OPTIONS).text, /Raise --timeout to at least 880ms\.$/);
    assert.match(condition(connection(slow), { ...OPTIONS, ping: "700ms" }).text, /at least 880ms, and --ping above it \(it is 700ms\)\.$/);
});

test("every cause has its words", () => {
    for (const cause of Object.keys(CAUSES)) {
        const { what, advice } = explainEnd(end(1, { cause, detail: "the detail" }), OPTIONS);
        assert.ok(what.length > 20, cause);
        assert.equal(advice === "", ["client_closed", "upstream_closed", "server_shutdown"].includes(cause), cause);
    }
    assert.equal(explainEnd(end(1, { cause: "of_tomorrow", detail: "x" }), OPTIONS).what, "It ended: x.");
});

test("the advice of a pong timeout is that of its verdict", () => {
    const advice = (verdict, change) => Object.values(explainEnd(end(1, { cause: "pong_timeout", verdict, ...change }), OPTIONS)).join(" ");
    assert.match(advice("peer_frozen"), /kernel answered, its program did not.*event loop is blocked/);
    assert.match(explainEnd(end(1, { cause: "pong_timeout", verdict: "peer_frozen" }), { ...OPTIONS, "max-missed": "1" }).what, /: 1 ping was acknowledged/);
    assert.match(advice("behind_proxy"), /behind a proxy, and the proxy's kernel answered.*The proxy's log/);
    assert.match(advice("path_dead"), /out of reach.*A NAT or firewall forgot/);
    assert.match(advice("unknown"), /could not be asked/);
    assert.match(advice("path_dead", { late: 5, round_trip_ms: { max: 800 } }), /may be slow, not dead; then raise --timeout above 800 ms/);
});

test("an address flaps that left three times, by itself and soon", () => {
    const three = change => [1, 20, 40].map(ago => end(ago, change));
    const hosts = ends => flappers(ends, NOW).map(flapper => flapper.host);
    assert.deepEqual(hosts(three({})), ["192.0.2.2"]);
    assert.deepEqual(hosts(three({}).slice(1)), []);
    assert.deepEqual(hosts(three({ age_seconds: 100 })), [], "after a while");
    assert.deepEqual(hosts(three({ cause: "pong_timeout" })), [], "cut by us");
    assert.deepEqual(hosts(three({ cause: "server_shutdown" })), []);
    assert.deepEqual(hosts([...three({}).slice(1), end(299, { age_seconds: 10 })]), [], "opened too long ago");
});

test("a crowd that leaves at once does not flap, whoever left before", () => {
    const crowd = Array.from({ length: 34 }, () => end(5, { age_seconds: 20 }));
    assert.deepEqual(flappers([...crowd, end(30, {})], NOW), []);
    const back = [end(1, { age_seconds: 2 }), end(2.95, { age_seconds: 1 })];
    const [flapper] = flappers([...back, ...crowd], NOW);
    assert.deepEqual([flapper.ends.length, flapper.ends[0].id, flapper.ends[1].id], [3, back[0].id, back[1].id]);
});

test("many addresses that flap are one finding, with the worst three", () => {
    const flap = (host, times) => Array.from({ length: times }, (_, i) => end(10 + i * 3, { remote: `192.0.2.${host}:1` }));
    const all = [flap(1, 3), flap(2, 9), flap(3, 5), flap(4, 4), flap(5, 3)].flat().sort((a, b) => b.at.localeCompare(a.at));
    const findings = look([connection()], all);
    assert.deepEqual(titles(findings), ["5 addresses come and go: 192.0.2.2 (9 times), 192.0.2.3 (5 times), 192.0.2.4 (4 times) and 2 more addresses, the last 10 s ago."]);
    assert.equal(findings[0].ids.length, 3);
    const fewer = look([connection()], all.filter(({ remote }) => remote !== "192.0.2.5:1"));
    assert.match(fewer[0].title, /^4 addresses .* and 1 more address, the last/);
});

test("five clients that behave differently are told apart", () => {
    const frozen = end(9, { remote: "192.0.2.9:1", cause: "pong_timeout", verdict: "peer_frozen" });
    const gone = end(12, { remote: "192.0.2.8:1", age_seconds: 200 });
    const flapping = [1, 8, 16].map(ago => end(ago, {}));
    const silent = connection({ id: 70, state: "suspect", strikes: 2 });
    const slow = connection({ id: 71, state: "late", late: 9, recent_ms: [700, 700] });
    const findings = look([silent, slow, connection({ id: 72 })], [...flapping, frozen, gone]);
    assert.deepEqual(titles(findings), [
        "1 client is silent: #70 192.0.2.1:5000",
        `1 client was frozen and is cut: #${frozen.id} 192.0.2.9:1, 9.0 s ago`,
        "1 client keeps answering late: #71 192.0.2.1:5000",
        "192.0.2.2 connected and left 3 times in 17 s, the last 1.0 s ago.",
        `1 client left without a goodbye: #${gone.id} 192.0.2.8:1, 12 s ago`,
    ]);
    assert.deepEqual(findings.map(({ level }) => level), ["bad", "bad", "warn", "warn", "note"]);
});

test("many silent clients are counted by the server, not by the page", () => {
    const page = Array.from({ length: 50 }, (_, i) => connection({ id: i, state: "suspect", strikes: 2 }));
    const [silent] = look(page, [], { totals: { connections: 20000, suspect: 12000 } });
    assert.match(silent.title, /^12,000 clients are silent: #0 .* and 11,997 more$/);
});

test("what the page does not know of all of is counted as at least so many", () => {
    const slow = Array.from({ length: 50 }, (_, i) => connection({ id: i, recent_ms: [700, 700] }));
    const title = (connections, totals, ends = []) => look(connections, ends, { totals: { suspect: 0, ended: ends.length, ...totals } })[0].title;
    assert.match(title(slow, { connections: 50 }), /^50 clients keep answering late/);
    assert.match(title(slow, { connections: 120 }), /^At least 50 clients keep answering late/);
    assert.match(title([...slow.slice(1), connection({ id: 60 })], { connections: 120 }), /^49 clients keep/, "the page ends with a healthy one");
    const waiting = slow.slice(2).map(each => ({ ...each, state: "suspect", strikes: 1 }));
    const silent = [1, 2].map(id => connection({ id, state: "suspect", strikes: 2 }));
    assert.match(title([...silent, ...waiting], { connections: 200, suspect: 120 }), /^At least 2 clients are silent/, "the other suspects may be slow");
    const frozen = Array.from({ length: 1000 }, () => end(10, { cause: "pong_timeout", verdict: "peer_frozen" }));
    assert.match(title([connection()], { connections: 1, ended: 3000 }, frozen), /^At least 1,000 clients were frozen/);
    assert.match(title([connection()], { connections: 1, ended: 3000 }, [...frozen, end(400, {})]), /^1,000 clients were frozen/);
});

test("refusals of late are told with their reasons, and the option to look at", () => {
    const options = { ...OPTIONS, "max-connections-per-ip": "2", "handshake-timeout": "10s" };
    const refusals = (recent, byReason) => {
        const refused = Object.values(byReason).reduce((a, b) => a + b, 0);
        const time = [NOW / 1000 - 301, NOW / 1000 - 5];
        const totals = { connections: 1, suspect: 0, ended: 0, refused, refusals: byReason };
        return look([connection()], [], { options, totals, history: { time, refused: [refused - recent, recent] } }).find(({ key }) => key === "refused");
    };
    const limited = refusals(7, { ip_limit: 5, not_found: 2, origin: 0 });
    assert.deepEqual([limited.title, limited.level], ["7 requests were refused in the last 5 minutes.", "warn"]);
    assert.equal(limited.text, "ip_limit 5 (--max-connections-per-ip 2 are there from the address; a proxy in front belongs in --trust-proxy), not_found 2 (another path than --path /ws).");
    const strangers = refusals(1, { not_found: 1 });
    assert.deepEqual([strangers.title, strangers.level], ["1 request was refused in the last 5 minutes.", "note"]);
    const mixed = refusals(3, { not_found: 90, origin: 2 });
    assert.equal(mixed.level, "note", "the last three may all be strangers");
    assert.match(mixed.text, /^Since the start: not_found 90 .*, origin 2 \(the page is not in --allow-origin\)\.$/);
    assert.equal(refusals(3, { not_found: 2, origin: 90 }).level, "warn", "one of the last three at least was a page");
    assert.equal(refusals(0, { origin: 9 }), undefined, "long ago");
    assert.match(refusals(1, { of_tomorrow: 1 }).text, /^of_tomorrow 1 /);
});

test("three new findings are read out, and the others counted", () => {
    assert.equal(spoken(["This server is full.", "1 client is silent: #1"]), "This server is full. 1 client is silent: #1.");
    assert.equal(spoken(["A", "B", "C.", "D", "E"]), "A. B. C. And 2 more findings.");
    assert.equal(spoken(["A", "B", "C", "D"]), "A. B. C. And 1 more finding.");
});

test("one that left is a note", () => {
    const ends = [end(1, { remote: "192.0.2.3:1", age_seconds: 200 }), end(2, { remote: "192.0.2.4:1", age_seconds: 300, last_byte_seconds: 60 })];
    assert.deepEqual(look([connection()], ends).map(({ level }) => level), ["good", "note"]);
});

/** A sentence of /status/why, whose moment was so many seconds before NOW. */
const sentence = (kind, text, change) => ({
    kind, sentence: text, count: 41, of: 60, seconds: 60, causes: { client_vanished: 41 }, candidates: [], ping: null,
    from: new Date(NOW - 12_000).toISOString(), to: new Date(NOW - 10_000).toISOString(), ...change,
});
const STALL = "41 % of all clients (1,230 of 3,000) are silent at once, for 3.1 s so far: a host or a network that they share, not the clients.";

test("the sentences of the server are findings: what happened, and what it means", () => {
    const said = (kind, change) => answers([sentence(kind, "41 of 60 ended after 60.0 s of silence: an idle timeout. --ping 25s keeps them.", change)], NOW)
        .map(({ level, title, text }) => [level, title, text]);
    const words = ["41 of 60 ended after 60.0 s of silence.", "An idle timeout. --ping 25s keeps them."];
    assert.deepEqual(said("silence"), [["warn", ...words]]);
    assert.deepEqual(said("age"), [["warn", ...words]]);
    assert.deepEqual(said("event"), [["warn", ...words]]);
    assert.deepEqual(said("event", { causes: { client_closed: 30, client_vanished: 11 } }), [["note", ...words]], "they said goodbye");
    assert.deepEqual(said("silence", { to: new Date(NOW - 301_000).toISOString() }), [["note", ...words]], "long ago");
    assert.deepEqual(said("stall"), [["warn", ...words]]);
    assert.deepEqual(said("stall", { to: null }), [["bad", ...words]], "it goes on");
    assert.deepEqual(said("pings", { from: null, to: null, causes: {} }), [["note", ...words]]);
    assert.deepEqual(said("none", { from: null, to: null, seconds: null, causes: {} }), []);
});

test("a finding keeps its key while its figures change", () => {
    const key = (kind, change) => answers([sentence(kind, "a: b.", change)], NOW)[0].key;
    assert.equal(key("silence", { seconds: 60.012 }), key("silence", { seconds: 59.998 }));
    assert.notEqual(key("silence", { seconds: 5 }), key("silence", { seconds: 60 }));
    assert.equal(key("stall", { seconds: 2 }), key("stall", { seconds: 9 }));
    assert.equal(key("event", { to: "2026-01-01T11:59:50Z" }), key("event", { to: "2026-01-01T11:59:51Z" }));
});

test("the ends of an event are told once, and others by themselves", () => {
    const event = sentence("event", "41 of 60 connections ended within 2.0 s: something restarted.");
    assert.deepEqual([end(11, {}), end(9, {}), end(13, {}), end(11, { cause: "pong_timeout" })].map(each => eventOf(each, [event]) === event), [true, false, false, false]);
    const crowd = Array.from({ length: 41 }, (_, i) => end(10.5, { remote: `192.0.2.${i}:1` }));
    const alone = end(1, { remote: "192.0.2.9:1" });
    assert.deepEqual(titles(look([connection()], [alone, ...crowd], { sentences: [event] })), [
        "41 of 60 connections ended within 2.0 s.", `1 client left without a goodbye: #${alone.id} 192.0.2.9:1, 1.0 s ago`]);
});

test("while many are silent at once the server's sentence stands for them, and nobody is told to raise --timeout", () => {
    const silent = Array.from({ length: 50 }, (_, id) => connection({ id, state: "suspect", strikes: 2 }));
    const slow = Array.from({ length: 50 }, (_, id) => connection({ id, state: "late", late: 2, recent_ms: [3300, 3300, 0.3] }));
    const totals = { connections: 3000, suspect: 1230 };
    const now = sentence("stall", STALL, { to: null });
    const over = sentence("stall", STALL.replace("are silent at once, for 3.1 s so far", "were silent at once for 3.3 s, until 10 s ago"));
    assert.deepEqual(titles(look(silent, [], { totals, sentences: [now] })), [STALL.split(": ")[0] + "."]);
    const after = look(slow, [], { totals: { ...totals, suspect: 0 }, sentences: [over] });
    assert.deepEqual(titles(after), ["41 % of all clients (1,230 of 3,000) were silent at once for 3.3 s, until 10 s ago."]);
    assert.match(look(slow, [], { totals })[0].text, /Raise --timeout/, "without a stall");
    assert.doesNotMatch(condition(slow[0], OPTIONS, stallOf([over])).text, /--timeout/);
    assert.deepEqual(titles(look(silent.slice(0, 1), [], { totals: { connections: 1, suspect: 1 }, sentences: [over] }))[0], "1 client is silent: #0 192.0.2.1:5000");
});

test("a stall excuses as many late pongs as pings left while it lasted, and one more", () => {
    const late = (id, times) => connection({ id, state: "late", late: times, recent_ms: Array(times).fill(3300) });
    // A ping every 2 s.
    const over = sentence("stall", STALL.replace("are silent at once, for 3.1 s so far", "were silent at once for 3.3 s, until 10 s ago"), { seconds: 3.3 });
    assert.deepEqual(stallOf([over]), { isOver: true, seconds: 3.3 });
    assert.deepEqual(titles(look([late(1, 16), late(2, 3), late(3, 2), late(4, 1)], [], { sentences: [over] })), [
        "41 % of all clients (1,230 of 3,000) were silent at once for 3.3 s, until 10 s ago.",
        "2 clients keep answering late: #1 192.0.2.1:5000, #2 192.0.2.1:5000",
    ]);
    const text = times => condition(late(1, times), OPTIONS, stallOf([over])).text;
    assert.match(text(3), /Raise --timeout/);
    assert.match(text(2), /when many clients were silent at once/);
});

test("what is well is said too, and what is old is no news", () => {
    assert.deepEqual(titles(look([], [])), ["Nobody is connected."]);
    assert.deepEqual(titles(look([connection()], [end(301, {})])), ["The one client answers in time."]);
    assert.deepEqual(titles(look([connection(), connection({ id: 2 })], [end(1, { cause: "client_closed" })])), ["All 2 clients answer in time."]);
    assert.deepEqual(titles(look([connection()], [], { options: { ...OPTIONS, ping: "0" } })), ["1 client is connected."]);
    assert.deepEqual(titles(look([], [], { state: "full" })), ["This server is full."]);
    assert.deepEqual(titles(look([connection()], [], { history: { lateness_ms: [126] } })), ["This server's own beat was late by up to 126 ms in the last minute."]);
    assert.deepEqual(titles(look([connection()], [], { history: { lateness_ms: [124] } })), ["The one client answers in time."]);
});

test("ends of one cause and verdict are one entry, newest first", () => {
    const ends = [end(1, {}), end(5, { cause: "pong_timeout", verdict: "path_dead" }), end(7, { cause: "pong_timeout", verdict: "peer_frozen" }), end(10, {}), end(400, { remote: "192.0.2.3:1" })];
    const groups = groupEnds(ends, []);
    assert.deepEqual(groups.map(group => group.ends.map(({ id }) => id)), [[ends[0].id, ends[3].id, ends[4].id], [ends[1].id], [ends[2].id]]);
    assert.deepEqual(addressesOf(groups[0].ends), [["192.0.2.2", 2], ["192.0.2.3", 1]]);
});

test("a mass departure is one entry, whatever its causes, and others with these causes are not in it", () => {
    const event = sentence("event", "41 of 60 connections ended within 2.0 s: something restarted.", { causes: { client_vanished: 30, connection_reset: 11 } });
    const before = end(200, {});
    const crowd = Array.from({ length: 5 }, (_, i) => end(11 - i / 10, { cause: i % 2 ? "connection_reset" : "client_vanished" }));
    const groups = groupEnds([...crowd.toReversed(), before], [event]);
    assert.deepEqual(groups.map(({ event: of, ends }) => [of === event, ends.length]), [[true, 5], [false, 1]]);
    assert.equal(groups[1].ends[0], before);
    assert.notEqual(groups[0].key, groups[1].key);
});

test("a search finds ends as the server does", () => {
    const one = end(1, { id: 70, remote: "192.0.2.7:5000", path: "/Chat", user_agent: "Firefox/1", origin: null, subprotocol: undefined });
    for (const search of ["", "#70", "70", "0.2.7", "chat", "FIREFOX", "vanished"])
        assert.ok(isFound(one, search), search);
    for (const search of ["#7", "71", "null", "undefined", "safari"])
        assert.ok(!isFound(one, search), search);
});

test("the address of the page says what is shown, and only what is not as at first", () => {
    const causes = Object.keys(CAUSES);
    const first = parseView("", causes);
    assert.equal(formatView(first), "");
    const view = { connection: 7, search: "a&b=c #ü", state: "late", cause: "pong_timeout", sort: "age", order: "asc" };
    assert.deepEqual(parseView(formatView(view), causes), view);
    assert.equal(formatView({ ...first, connection: 7 }), "#connection=7");
    assert.deepEqual(parseView("#connection=x&state=sad&cause=boredom&sort=size&order=up&other=1", causes), first);
    assert.deepEqual(parseView("#connections", causes), first, "a place in the page");
    assert.equal(parseView("#connection=0", causes).connection, 0);
    assert.equal(parseView("#connection=99999999999999999999", causes).connection, null);
});

test("a file for spreadsheets keeps every text apart, and runs none", () => {
    const [names, line, rest] = csvOfConnections([connection({ user_agent: "=cmd|' /C calc'!A0", path: "/a,b", origin: "say \"hi\"\r\n" })]).split(/\r\n(?!")/);
    assert.equal(names.split(",").length, 27);
    assert.match(line, /^1,192\.0\.2\.1:5000,healthy,/);
    assert.ok(line.includes(`"/a,b",'=cmd|' /C calc'!A0,"say ""hi""\r\n",,`), line);
    assert.equal(rest, "");
    assert.equal(csvOfConnections([]).trim(), names, "the names, even of nothing");
    const [head, row] = csvOfEnds([end(1, { round_trip_ms: null })]).split("\r\n");
    assert.equal(row.split(",")[head.split(",").indexOf("cause")], "client_vanished");
    assert.equal(row.split(",")[head.split(",").indexOf("round_trip_last_ms")], "");
});

test("round trips are counted in ranges, from the first to the last that has some", () => {
    const all = ranges({ up_to_ms: [0.2, 0.3, 0.35, 700, 99_000], count: [5, 1, 2, 1, 1] });
    assert.deepEqual(all.map(({ to, count }) => [to, count]), [[0.3, 6], [1, 2], [3, 0], [10, 0], [30, 0], [100, 0], [300, 0], [1000, 1], [3000, 0], [10_000, 0], [30_000, 0], [Infinity, 1]]);
    assert.equal(all[0].share, 0.6);
    assert.deepEqual(ranges({ up_to_ms: [], count: [] }), []);
    assert.deepEqual([0, 0.0001, 0.123, 0.99999, 1].map(percent), ["0 %", "< 0.1 %", "12.3 %", "> 99.9 %", "100 %"]);
});

test("how the server pings is said in words", () => {
    assert.equal(beatOf(OPTIONS), "A ping every 2s, pong within 500ms.");
    assert.match(beatOf({ ping: "0", timeout: "500ms" }), /^It sends no pings \(--ping 0\)/);
    assert.match(beatOf({ ping: "2s", timeout: "0" }), /nobody is judged by the pong/);
});

/** Samples of /status/history. */
function samples(times, closed) {
    const empty = emptyHistory();
    const zeros = times.map(() => 0);
    return {
        ...Object.fromEntries(Object.keys(empty).map(name => [name, zeros])), time: times,
        ends: { ...Object.fromEntries(Object.keys(empty.ends).map(cause => [cause, zeros])), client_closed: closed },
    };
}

test("history is appended to, and an hour long", () => {
    const early = appended(emptyHistory(), samples([100, 105], [1, 2]));
    assert.deepEqual(early.ends.client_closed, [1, 2]);
    const later = appended(early, samples([3703], [4]));
    assert.deepEqual([later.time, later.ends.client_closed], [[105, 3703], [2, 4]]);
    assert.deepEqual(appended(later, samples([], [])).time, [105, 3703]);
    assert.equal(startOf(early), -195);
});

test("a clock that was set back makes history begin where it is now", () => {
    const before = appended(emptyHistory(), samples([100, 105, 110, 115], [1, 2, 3, 4]));
    const after = appended(before, samples([100, 105, 110, 115, 103, 108], [1, 2, 3, 4, 5, 6]));
    assert.deepEqual([after.time, after.ends.client_closed], [[100, 103, 108], [1, 5, 6]]);
});

test("bins keep every end", () => {
    const times = Array.from({ length: 720 }, (_, i) => 3600 + (i + 1) * 5);
    const hour = binnedEnds(appended(emptyHistory(), samples(times, times.map(() => 1))), 3600);
    assert.equal(hour.seconds, 60);
    assert.deepEqual([hour.time.length, hour.time[0], new Set(hour.ends.client_closed)], [60, 3600, new Set([12])]);
});

test("the greatest of nothing is nothing", () => {
    assert.equal(greatest([]), null);
    assert.equal(greatest([null, 0, null, 3, 2]), 3);
});
