"""Python's own HTTP server for a folder, with room for fifty connections at the same moment."""

import functools
import http.server
import sys


class Server(http.server.ThreadingHTTPServer):
    # Five, the default, makes the kernel drop the rest, and they try again after a second.
    request_queue_size = 128


handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=sys.argv[1])
with Server(("127.0.0.1", 0), handler) as server:
    print(f"port {server.server_port}", flush=True)
    server.serve_forever()
