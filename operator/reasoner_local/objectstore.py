"""The embedded cluster's S3 server: moto in a process of its own, objects in memory.
Run by `cluster` as `python -m reasoner_local.objectstore --host H --port P`."""

from __future__ import annotations

import argparse
import logging
import os


def serve(host: str, port: int, bucket: str) -> None:
    """Serve one bucket until killed."""
    # Read when moto is imported: a dotted host name is a server's, not a bucket's.
    os.environ["S3_IGNORE_SUBDOMAIN_BUCKETNAME"] = "true"
    from moto.core.models import DEFAULT_ACCOUNT_ID
    from moto.moto_server.werkzeug_app import MotoRequestHandler, create_backend_app
    from moto.s3.models import s3_backends
    from werkzeug.serving import make_server

    class Handler(MotoRequestHandler):
        """Keeps connections open, as clients of S3 expect."""

        protocol_version = "HTTP/1.1"

    s3_backends[DEFAULT_ACCOUNT_ID]["aws"].create_bucket(bucket, "us-east-1")
    make_server(host, port, create_backend_app("s3"), threaded=True, request_handler=Handler).serve_forever()


def main() -> None:
    """Serve until SIGTERM."""
    parser = argparse.ArgumentParser(prog="python -m reasoner_local.objectstore", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on")
    parser.add_argument("--port", type=int, default=9000, help="port to listen on")
    parser.add_argument("--bucket", default="reasoner", help="bucket to make")
    options = parser.parse_args()
    logging.basicConfig(level=logging.WARNING)
    serve(options.host, options.port, options.bucket)


if __name__ == "__main__":
    main()
