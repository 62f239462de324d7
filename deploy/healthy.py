"""Check the health of a container: exit 0 if one of its ports answers a path with status 200, `healthy.py 8080 /health`.

Connects to loopback directly, without any proxy that the environment names. It is a file because some container engines
split an inline command at its blanks.
"""

import sys
from http.client import HTTPConnection

port, path = sys.argv[1:]
asked = HTTPConnection("127.0.0.1", int(port), timeout=4)
asked.request("GET", path)
sys.exit(asked.getresponse().status != 200)
