// node mqtt-client.mjs PORT: MQTT over a WebSocket, with mqtt.js.
import { once } from "node:events";
import { connectAsync } from "mqtt";
import { expect, twice } from "./client.mjs";

const client = await connectAsync(`ws://127.0.0.1:${process.argv[2]}/`, { reconnectPeriod: 0 });
await client.subscribeAsync("sensors/#", { qos: 1 });
await twice(async () => {
    const payload = Buffer.from(Uint8Array.from({ length: 70_000 }, (_, i) => i * 7));
    const message = once(client, "message");
    await client.publishAsync("sensors/door", payload, { qos: 1 });
    const [topic, received] = await message;
    expect("the topic", topic, "sensors/door");
    expect("the payload", Buffer.compare(received, payload), 0);
});
client.on("close", () => console.log("closed"));
await client.endAsync();
