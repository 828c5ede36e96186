"""forward.py LISTEN-ADDRESS PORT TARGET-ADDRESS PORT: a TCP forwarder that keeps half-closed connections."""

import asyncio
import sys


async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Carry one direction to its end, which is passed on."""
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
        writer.write_eof()
    except OSError:
        writer.close()


async def main(listen: str, port: str, target: str, target_port: str) -> None:
    """Forward until killed."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            there_reader, there_writer = await asyncio.open_connection(target, int(target_port))
        except OSError:
            writer.transport.abort()
            return
        await asyncio.gather(pump(reader, there_writer), pump(there_reader, writer))
        writer.close()
        there_writer.close()

    async with await asyncio.start_server(serve, listen, int(port)) as server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:5]))
