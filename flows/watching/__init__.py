"""Who is told as a run goes on; nothing here ever touches a pair's fate.

listeners    a run's news, to every watcher by a thread of its own
progress     where a run stands, from its news
log          a line per pair
terminal     one live display
json_lines   a line of JSON per pair
metrics      numbers for Prometheus
asked_for    the watchers that the operator's environment asks for
"""
