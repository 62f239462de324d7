"""Prefect servers: that of one run, that of `nst serve`, and one that the user names.

named_server     whether the server in PREFECT_API_URL answers
run_server       the server of a run as a subprocess: start, wait, restart, end
embedded_server  restart the server of a run if it dies
service_server   the server of `nst serve`
access           URL and password of the server of `nst serve`
startup_lock     a lock that makes commands wait for a service that is starting
starting         what both starts have in common: a log, and a reason if they fail
kill_on_exit     subprocesses that end when this process ends, even if it is killed
database         check Prefect's database, and move it aside if it cannot be used
blank_database   a template from which new databases are copied
"""
