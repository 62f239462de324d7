"""A stand-in for the Python interpreter that runs Prefect's server: its server starts at once.

Code it gets runs up to the import of uvicorn, as for the real server. It notes how it was started in `starts.jsonl`
of its home, and behaves as the files there say. Any other program is run by the real interpreter.
"""

import json
import sys
from pathlib import Path
from typing import Any

HOME = "HOME_OF_THE_SERVER"
"""The variable of its environment that names the folder of all these files."""

CODE = """\
#!{python} -ISs
import os, sys
if "--port" not in sys.argv:
    os.execv({python!r}, [{python!r}, *sys.argv[1:]])
if sys.argv[1] == "-c":
    exec(sys.argv[2].removesuffix("from uvicorn import main; main()"))
import http.server, json, pathlib, signal, time
home = pathlib.Path(os.environ["{home}"])
blocked = signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, [])
with open(home / "starts.jsonl", "a") as file:
    start = {{"pid": os.getpid(), "arguments": sys.argv[1:], "environment": dict(os.environ), "deaf": blocked}}
    file.write(json.dumps(start) + "\\n")
if (home / "ends at once").exists() or (home / "prefect.db").exists():
    sys.exit("ValueError: the database is of no use")

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        is_ending = (home / f"{{os.getpid()}} is ending").exists()
        api = os.environ.get("PREFECT_SERVER_API_BASE_PATH", "/api")
        self.send_response(200 if self.path == f"{{api}}/health" and not is_ending else 503)
        self.end_headers()
    def log_message(self, *_):
        pass

while (home / "takes its time").exists():
    time.sleep(0.01)
port = int(sys.argv[sys.argv.index("--port") + 1])
http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler).serve_forever()
"""


def interpreter(folder: Path) -> str:
    """Write the stand-in into a folder and return its path."""
    path = folder / "interpreter"
    path.write_text(CODE.format(python=sys.executable, home=HOME))
    path.chmod(0o755)
    return str(path)


def starts(home: Path) -> list[dict[str, Any]]:
    """Return how the stand-in was started, each time."""
    return [json.loads(line) for line in (home / "starts.jsonl").read_text().splitlines()]
