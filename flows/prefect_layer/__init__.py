"""All that knows Prefect, but for the two flows: what is decided below is shown and scheduled here.

fan_out          the batches of a run as tasks
tasks            a task per batch, and one for the table, an asset
artifacts        what Prefect's UI shows of a run
defaults         our settings, taken up also where prefect was imported before them
embedded_server  Prefect's own server for runs without another, looked after
server_process   such a server as a process, from its start to its end
database         whether Prefect can use its database
blank_database   a new one as a copy
server           a server for one machine, with a password
serve            all deployments served from one process
starting         others wait until they are
parameters       nothing secret among what Prefect keeps
deployments      where their description is
deployment_runs  their runs through the API
"""
