// node graphql-client.mjs PORT: a query and a subscription of graphql-ws.
import { createClient } from "graphql-ws";
import { WebSocket } from "ws";
import { expect, twice } from "./client.mjs";

const client = createClient({ url: `ws://127.0.0.1:${process.argv[2]}/graphql`, webSocketImpl: WebSocket, lazy: false, retryAttempts: 0 });

async function results(query, variables) {
    const list = [];
    for await (const result of client.iterate({ query, variables }))
        list.push(result.data);
    return list;
}

await twice(async () => {
    const text = "\u00e9".repeat(40_000);
    expect("the query's result", await results("query ($text: String!) { echo(text: $text) }", { text }), [{ echo: text }]);
    expect("the subscription's", await results("subscription { countdown(from: 3) }"), [3, 2, 1, 0].map(countdown => ({ countdown })));
});
client.on("closed", ({ code }) => console.log(`closed ${code}`));
await client.dispose();
