// Figures as people read them. Pure. No figure is shown as a dash.

export const NONE = "–";

const UNIT_MS = { h: 3_600_000, ms: 1, m: 60_000, s: 1000, us: 0.001, "µs": 0.001, ns: 0.000_001 };

/** A whole number with its thousands apart: 20,000. */
export const count = value => value == null ? NONE : value.toLocaleString("en-US");

/** "1 client", "2 clients". */
export const plural = (value, noun, nouns = `${noun}s`) => `${count(value)} ${value === 1 ? noun : nouns}`;

/** Milliseconds, with about three digits: 0.31 ms, 12.4 ms, 701 ms, 1.52 s. */
export function milliseconds(value) {
    if (value == null)
        return NONE;
    if (value >= 999.5)
        return duration(value / 1000);
    return `${value < 9.995 ? value.toFixed(2) : value < 99.95 ? value.toFixed(1) : value.toFixed(0)} ms`;
}

/** Seconds, as two units at most: 0.4 s, 12.3 s, 3 min 5 s, 2 h 4 min, 5 d 3 h. */
export function duration(seconds) {
    if (seconds == null)
        return NONE;
    if (seconds < 59.95)
        return `${seconds.toFixed(seconds < 9.95 ? 1 : 0)} s`;
    const whole = Math.round(seconds);
    const [size, unit, smaller, smallerUnit] =
        whole < 3600 ? [60, "min", 1, "s"] : whole < 86400 ? [3600, "h", 60, "min"] : [86400, "d", 3600, "h"];
    const rest = Math.floor(whole % size / smaller);
    return `${Math.floor(whole / size)} ${unit}${rest ? ` ${rest} ${smallerUnit}` : ""}`;
}

/** Bytes in powers of 1024: 512 B, 1.4 KiB, 20 MiB. */
export function bytes(value) {
    if (value == null)
        return NONE;
    const units = ["B", "KiB", "MiB", "GiB", "TiB"];
    let unit = 0;
    while (value >= 999.5 && unit < units.length - 1) {
        value /= 1024;
        unit++;
    }
    return `${unit === 0 || value >= 9.95 ? Math.round(value) : value.toFixed(1)} ${units[unit]}`;
}

/** A time of day where the reader is: 12:03:10. */
export const clock = date => date.toLocaleTimeString("en-GB", { hour12: false });

/** A duration as options have it ("500ms", "1m30s", "0"), in milliseconds; null for anything else. */
export function parseDuration(text) {
    if (text === "0")
        return 0;
    if (!/^(?:[\d.]+(?:h|ms|m|s|us|µs|ns))+$/.test(text ?? ""))
        return null;
    return [...text.matchAll(/([\d.]+)(ms|us|µs|ns|h|m|s)/g)].reduce((sum, [, number, unit]) => sum + number * UNIT_MS[unit], 0);
}

/** Milliseconds as an option takes them: 900ms, 2s, 2.5s. */
export const asOption = value => value >= 1000 ? `${+(value / 1000).toFixed(1)}s` : `${value}ms`;

/**
 * The address of the client, without its port and without the proxy it came through: "192.0.2.1:5000", "[2001:db8::1]:5000" and
 * "2001:db8::1 via 10.0.0.2:5000".
 */
export function host(remote) {
    const [client] = remote.split(" via ");
    const bracketed = /^\[(.*)\](?::\d+)?$/.exec(client);
    if (bracketed)
        return bracketed[1];
    return client.split(":").length === 2 ? client.slice(0, client.indexOf(":")) : client;
}
