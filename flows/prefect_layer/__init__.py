"""All that knows Prefect, but for the two flows: what is decided below is shown and scheduled here.

fan_out          the batches of a run as tasks
tasks            a task per batch, and one for the table, an asset
artifacts        what Prefect's UI shows of a run
defaults         our settings, taken up also where prefect was imported before them
embedded_server  Prefect's own server for runs without another, looked after
server           a server for one machine, with a password
serve            all deployments served from one process
parameters       nothing secret among what Prefect keeps
deployments      where their description is
deployment_runs  their runs through the API
"""
