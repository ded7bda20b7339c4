"""A receiver of webhooks: stores each record once, by its id, and counts what it had already.

python3 webhook_receiver.py PORT FOLDER

FOLDER has `receiver.json` with the settings and `verify.py`, the function that the webhook sink's page shows.
A place is there when FOLDER has `NAME.ndjson`, and posts to /NAME are appended to it, one line for each new
record: {"id": …, "record": …}. Repeats are appended to `NAME.repeats`. It ends when its standard input does.
"""

import gzip
import json
import os
import pathlib
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PORT, FOLDER = int(sys.argv[1]), pathlib.Path(sys.argv[2])
SETTINGS = json.loads((FOLDER / "receiver.json").read_text())

sys.path.insert(0, str(FOLDER))
from verify import verify  # noqa: E402

lock = threading.Lock()
known = {}
posts = 0


def ids(path):
    """The ids in a file."""
    if path.name not in known:
        known[path.name] = {json.loads(line)["id"] for line in path.read_bytes().splitlines()}
    return known[path.name]


def cut_back(path):
    """To the last whole line: what a crash left behind it was confirmed to nobody."""
    data = path.read_bytes()
    os.truncate(path, data.rfind(b"\n") + 1)


def append(path, entries):
    with path.open("ab") as file:
        file.write(b"".join(json.dumps(entry).encode() + b"\n" for entry in entries))
        file.flush()
        os.fsync(file.fileno())


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self, status, text=""):
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(text.encode())

    def place(self):
        return FOLDER / (self.path.strip("/") + ".ndjson")

    def refusal(self, body):
        """Why a request is not looked at any further."""
        if self.headers.get("Authorization") != "Bearer " + SETTINGS["token"]:
            return 401, "who is " + self.headers.get("Authorization", "") + "?"
        if not verify(SETTINGS["secret"].encode(), self.headers.get("Pump-Signature", ""), body):
            return 401, "not signed by " + self.headers.get("Pump-Signature", "")
        if not self.place().is_file():
            return 404, "no such place"
        return None

    def do_HEAD(self):
        self.answer(*(self.refusal(b"") or (200,)))

    def do_POST(self):
        global posts
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if refusal := self.refusal(body):
            return self.answer(*refusal)
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        if len(body) > SETTINGS["max_size"]:
            return self.answer(413, "too much")
        entries = json.loads(body)
        entries = entries if isinstance(entries, list) else [entries]
        if any(len(entry["record"].get("api_name") or "") > SETTINGS["max_name"] for entry in entries):
            return self.answer(422, "a name is too long")
        if not self.headers.get("Idempotency-Key"):
            return self.answer(400, "no key")
        path = self.place()
        with lock:
            seen, new, again = ids(path), [], []
            for entry in entries:
                (again if entry["id"] in seen else new).append(entry)
                seen.add(entry["id"])
            append(path, new)
            if again:
                append(path.with_suffix(".repeats"), again)
            posts += 1
            is_lost = SETTINGS["lose_every"] and posts % SETTINGS["lose_every"] == 0
        if is_lost:
            # Everything is stored, and nobody is told.
            self.close_connection = True
            return None
        return self.answer(200, "thanks")

    def log_message(self, *arguments):
        pass


class Server(ThreadingHTTPServer):
    request_queue_size = 128
    daemon_threads = True


def end_with_standard_input():
    sys.stdin.buffer.read()
    os._exit(0)


for left in [*FOLDER.glob("*.ndjson"), *FOLDER.glob("*.repeats")]:
    cut_back(left)
threading.Thread(target=end_with_standard_input, daemon=True).start()
Server(("127.0.0.1", PORT), Handler).serve_forever()
