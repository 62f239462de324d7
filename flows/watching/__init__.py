"""Watch a run: each watcher gets its messages on a thread of its own and can never affect the outcome of a pair.

listeners         starts watchers for a run and delivers messages to them
notify_all        starts all watchers of a run: log, caller, operator, context
from_environment  the watchers that the operator configures by environment variables
progress          the progress of a run, computed from its messages
log               logs a line per pair
terminal          a live display
json_lines        writes a line of JSON per pair
metrics           metrics for Prometheus
"""
