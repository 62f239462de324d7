"""Everything that uses Prefect, except for the two flows.

It shows and schedules runs; what a run does is decided in the other packages.

fan_out             fan the batches of a run out as tasks
tasks               one task per batch, and one for the results table, which is an asset
artifacts           progress, summary and failures for Prefect's UI
plain_errors        log filters that reduce our errors in Prefect's log to one line
rows_as_manifest    a flow that also takes rows in place of a manifest's address
defaults            apply our default settings to a Prefect that was imported before flows
client_environment  check that Prefect's HTTP client can be built from the proxies and certificates in the environment
configured          what the user has configured: a server, a folder for Prefect's state
readable_settings   import Prefect, which reads its settings, and name those that it refuses
servers             Prefect servers: that of one run, that of `nst serve`, and one that the user names
serve               serve all deployments from one process
deployments         the path of the file that describes the deployments
deployment_runs     start runs of a deployment through the API, and read their states and logs
notify_kinds        the kinds of receivers that can be notified of runs
notifications       notify a chat, mailbox or webhook of runs that end with failures
parameters          check that flow parameters hold no secrets
yaml_files          read YAML files, with errors that name the line

Parts of Prefect that are private, or not promised to stay, as of Prefect 3.8.8; an upgrade has to check each:
configured          the settings files; the variables PREFECT__RUNTIME* and PREFECT__FLOW_RUN_ID of a flow run's process
embedded_server     `SubprocessASGIServer`: one instance per port, `start`, `port`, `server_process`, `running`
run_server          the app factory `prefect.server.api.server:create_app`; PREFECT__SERVER_EPHEMERAL and _FINAL
service_server      the settings of its address and folder
named_server        /api/health needs no password, nor does /api/ready, which deploy/ asks
access              the UI is at /v2
database            `prefect.db` with `alembic_version`, and the folder and form of the migrations
blank_database      the table `configuration`, which holds the server's own secrets
serve               `Runner._process_manager._process_map`, its handles' `graceful_kill` and `is_alive`; `Runner.start`
                    sets signal handlers, and kills its runs when it is stopped; a forced change of a run's state
                    releases its deployment's slot, also that of a server that has died
deploy/worker.py    the runs of a process worker are its child processes, and handle SIGTERM once they can report it
deployment_runs     the texts "Found incompatible versions", "Failed to reach API" and "encountered an exception"
notifications       `SlackWebhook._apprise_client`, and that a Slack block takes any address of Apprise
plain_errors        the names of the loggers of runs, and the texts of their last messages
rows_as_manifest    `Flow` objects may change their class; the signature of `Flow.__call__`
defaults            `refresh_global_settings_context`, `setup_logging`, and the module of Prefect's log handlers
tasks, fan_out      the characters and length of an asset's key; `PrefectConcurrentFuture` and its state
artifacts           context variables carry the run to a thread; outside of a coroutine creating one returns its id
client_environment  the client is httpx, takes proxies from the environment, and reads PREFECT_API_SSL_CERT_FILE
service.env         the module that keeps leases in files; expired buckets of automations are evaluated until deleted
prefect.yaml        a field of a schedule that is not set keeps its value on the server
"""
