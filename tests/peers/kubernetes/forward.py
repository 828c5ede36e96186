"""forward.py LISTEN-ADDRESS PORT TARGET-ADDRESS PORT: a TCP forwarder that keeps half-closed connections."""

import asyncio
import sys

listen, port, target, target_port = sys.argv[1], int(sys.argv[2]), sys.argv[3], int(sys.argv[4])


async def pump(reader, writer):
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
        writer.write_eof()
    except OSError:
        writer.close()


async def serve(reader, writer):
    try:
        there_reader, there_writer = await asyncio.open_connection(target, target_port)
    except OSError:
        writer.transport.abort()
        return
    await asyncio.gather(pump(reader, there_writer), pump(there_reader, writer))
    for w in (writer, there_writer):
        w.close()


async def main():
    server = await asyncio.start_server(serve, listen, port)
    async with server:
        await server.serve_forever()


asyncio.run(main())
