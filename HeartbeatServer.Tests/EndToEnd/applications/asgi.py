"""An ASGI application that echoes: uvicorn asgi:app"""


async def app(scope: dict, receive, send) -> None:
    if scope["type"] != "websocket":
        return
    await receive()
    await send({"type": "websocket.accept", "subprotocol": next(iter(scope["subprotocols"]), None), "headers": [(b"x-scheme", scope["scheme"].encode())]})
    while (event := await receive())["type"] == "websocket.receive":
        await send({"type": "websocket.send", "bytes": event.get("bytes"), "text": event.get("text")})
