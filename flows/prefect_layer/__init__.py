"""All that knows Prefect, but for the two flows: tasks, artifacts, servers, deployments."""
