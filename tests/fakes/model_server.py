"""A model server on the standard library, for tests of serving. What it does is in its variables:

VERSION      what `/version` answers
MODE         ok, crash, wrong-port, unhealthy, missing-module, hog, exit-zero
START_S      seconds before it listens
"""

import http.server
import json
import os
import socketserver
import sys
import threading
import time
import urllib.parse

MODE = os.environ.get("MODE", "ok")
INSTANCE = os.urandom(8).hex()  # pids repeat: each sandbox has its own
broken = threading.Event()
time.sleep(float(os.environ.get("START_S", "0")))
print("starting in mode", MODE, flush=True)
if MODE == "crash":
    raise RuntimeError("the model file is damaged")
if MODE == "missing-module":
    import a_module_that_is_not_there  # noqa: F401
if MODE == "exit-zero":
    sys.exit(0)
if MODE == "hog":
    hog = bytearray(600 << 20)
    time.sleep(30)


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, *args):
        pass

    def do_GET(self):
        url = urllib.parse.urlsplit(self.path)
        query = dict(urllib.parse.parse_qsl(url.query))
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length)
        if url.path == "/healthz":
            return self.answer(500 if MODE == "unhealthy" or broken.is_set() else 200, {})
        if url.path == "/break":
            broken.set()
            return self.answer(200, {})
        if url.path == "/version":
            return self.answer(200, {"version": os.environ.get("VERSION"), "instance": INSTANCE})
        if url.path == "/sleep":
            time.sleep(float(query.get("s", "0.1")))
            return self.answer(200, {"slept": True, "instance": INSTANCE})
        if url.path == "/stream":
            return self.stream(int(query.get("n", "10")), float(query.get("pause", "0.1")))
        if url.path == "/exit":
            threading.Thread(target=lambda: (time.sleep(0.05), os._exit(3))).start()
            return self.answer(200, {})
        if url.path == "/cookies":
            self.send_response(200)
            for name in query["names"].split(","):
                self.send_header("Set-Cookie", f"{name}=theirs; Path=/")
            return self.finish_json({"cookie": self.headers.get("Cookie")})
        return self.answer(
            200, {"path": self.path, "headers": dict(self.headers), "bytes": len(body)}
        )

    do_POST = do_PUT = do_DELETE = do_GET

    def answer(self, status, data):
        self.send_response(status)
        self.finish_json(data)

    def finish_json(self, data):
        body = json.dumps(data).encode()
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def stream(self, count, pause):
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for number in range(count):
            line = f"data: {number}\n\n".encode()
            self.wfile.write(b"%x\r\n%s\r\n" % (len(line), line))
            time.sleep(pause)
        self.wfile.write(b"0\r\n\r\n")


class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True
    request_queue_size = 256


port = int(os.environ["PORT"])
Server(("127.0.0.1", port + 10_000 if MODE == "wrong-port" else port), Handler).serve_forever()
