"""The Kubernetes operator: custom resources become agents, Secrets and policies.

`kube_operator/api.py` speaks to the API server, `kube_operator/agents.py` to agents; a reconciler a
kind of resource brings both together. It has no rights at an agent of its own: for each resource it
logs in as a service account of the resource's namespace.
"""
