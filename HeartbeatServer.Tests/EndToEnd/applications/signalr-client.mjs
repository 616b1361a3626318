// node signalr-client.mjs PORT [websocket|any]: "any" negotiates by HTTP first.
import { HttpTransportType, HubConnectionBuilder, LogLevel } from "@microsoft/signalr";
import { expect, twice } from "./client.mjs";

const [port, transport] = process.argv.slice(2);
const options = transport === "any" ? {} : { skipNegotiation: true, transport: HttpTransportType.WebSockets };
const connection = new HubConnectionBuilder().withUrl(`http://127.0.0.1:${port}/hub`, options).configureLogging(LogLevel.Warning).build();
await connection.start();
console.log(`open ${connection.connection.transport.constructor.name}`);
await twice(async () => {
    const text = "\u00e9".repeat(10_000);
    expect("the result of Echo", await connection.invoke("Echo", text), text);
    const streamed = [];
    await new Promise((complete, error) => connection.stream("Countdown", 3).subscribe({ next: item => streamed.push(item), complete, error }));
    expect("the stream of Countdown", streamed, [3, 2, 1, 0]);
});
connection.onclose(error => console.log(`closed ${error ?? "cleanly"}`));
await connection.stop();
