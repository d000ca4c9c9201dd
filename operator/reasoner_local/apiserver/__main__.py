"""`python -m reasoner_local.apiserver --port N`: the API server alone, until SIGINT or SIGTERM."""

import argparse
import asyncio
import signal

from reasoner_local.memory import collect_seldom

from .app import ApiServer


async def serve(host: str, port: int) -> None:
    """Serve until a signal says stop."""
    server = ApiServer()
    print(await server.start(host, port), flush=True)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    await stop.wait()
    await server.stop()


def main() -> None:
    """Parse the command line and serve."""
    parser = argparse.ArgumentParser(prog="reasoner_local.apiserver", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0 takes a free port, which is printed")
    options = parser.parse_args()
    collect_seldom()
    asyncio.run(serve(options.host, options.port))


if __name__ == "__main__":
    main()
