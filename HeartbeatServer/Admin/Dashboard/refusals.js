// Requests that got no connection, and the option to look at. Pure.

import { RECENT, finding } from "./finding.js";
import { count, plural } from "./format.js";
import { sum } from "./history.js";

/** Why, by reason. ours: who asked was a client of ours, as far as can be seen, and somebody should look; others are often strangers. */
const REASONS = {
    origin: { ours: true, why: () => "the page is not in --allow-origin" },
    ip_limit: { ours: true, why: options => `--max-connections-per-ip ${options["max-connections-per-ip"]} are there from the address; a proxy in front belongs in --trust-proxy` },
    connection_limit: {
        ours: true,
        why: options => options["max-connections"] === "0" ? "too many unfinished requests at once" : `--max-connections ${options["max-connections"]} are there`,
    },
    not_found: { why: options => `another path than --path ${options.path}` },
    upgrade_required: { why: () => "plain HTTP, not WebSocket; does a proxy on the way pass the Upgrade header on?" },
    request_timeout: { why: options => `not finished within --handshake-timeout ${options["handshake-timeout"]}` },
    bad_request: { why: () => "a rule of the handshake or of HTTP was broken" },
    method_not_allowed: { why: () => "not GET" },
    header_too_large: { why: () => "headers without end, or too many of them" },
    http_version: { why: () => "not HTTP/1.1" },
    tls: { ours: true, why: () => "TLS on the plain port: it needs --tls-cert, or a proxy that ends the TLS" },
    plain_http: { ours: true, why: () => "ws:// or http:// on the TLS port: the URL wants wss:// or https://" },
    tls_version: { why: () => "TLS older than 1.2" },
    tls_alert: { ours: true, why: () => "the client ended the TLS handshake: does it trust the certificate of --tls-cert?" },
    tls_gone: { why: () => "the client went in the middle of the TLS handshake" },
    tls_failed: { why: () => "the TLS handshake failed; the log says why" },
    proxy_protocol: { ours: true, why: () => "a PROXY protocol header: have the proxy send X-Forwarded-For instead" },
    draining: { why: () => "this server was stopping" },
    upstream_unreachable: { ours: true, why: () => "no connection to the application: is it running, and is --upstream right?" },
    upstream_bad_certificate: { ours: true, why: () => "the application's certificate is not accepted; the log says what is wrong with it" },
    upstream_bad_answer: { ours: true, why: () => "the application did not answer as a WebSocket server does; the log says what is wrong" },
    upstream_loop: { ours: true, why: () => "--upstream leads back to this server" },
    upstream_timeout: { ours: true, why: options => `the application did not answer within --upstream-timeout ${options["upstream-timeout"]}, or took nothing of a body for --write-timeout ${options["write-timeout"]}` },
    upstream_queue: { ours: true, why: () => "too many requests wait for the application: it answers too slowly" },
    upstream_refused: { why: () => "the application itself answered with an error or a redirect; its log knows why" },
    buffer_limit: { ours: true, why: () => "pages held more than half of --max-buffered for sides that do not read" },
    client_gone: { why: () => "the client went before it had its whole answer" },
};

/** The finding about refusals, if there were some of late. now: Unix ms. */
export function ofRefusals({ totals, options }, history, now) {
    const recent = sum(history.refused.filter((_, place) => history.time[place] > now / 1000 - RECENT));
    if (recent === 0)
        return [];
    // The history does not tell them apart. All but so many have other reasons: the rest of the recent ones was for this one.
    const isSure = reason => recent > totals.refused - totals.refusals[reason];
    const reasons = Object.entries(totals.refusals).filter(([, many]) => many).sort(([, a], [, b]) => b - a);
    const isAll = recent >= totals.refused;
    return [finding(
        "refused", reasons.some(([reason]) => REASONS[reason]?.ours && isSure(reason)) ? "warn" : "note",
        `${plural(recent, "request was", "requests were")} refused in the last ${RECENT / 60} minutes.`,
        `${isAll ? "" : "Since the start: "}${reasons.map(([reason, many]) => `${reason} ${count(many)} (${REASONS[reason]?.why(options) ?? "see the log"})`).join(", ")}.`)];
}
