// What the clients of the applications share.
import { deepStrictEqual } from "node:assert";
import { setTimeout as pause } from "node:timers/promises";

export const expect = (what, got, wanted) => deepStrictEqual(got, wanted, what);

/** Does the exchange, is silent while pings come, and does it again on the same connection. */
export async function twice(exchange) {
    await exchange();
    console.log("exchanged");
    await pause(1500);
    await exchange();
    console.log("exchanged again");
}
