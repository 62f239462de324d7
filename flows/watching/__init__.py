"""Who is told as a run goes on: a terminal, a program, Prometheus."""
