# An agent on Kubernetes by the chart of this repository. Values, such as who unseals it, are the
# chart's: deploy/helm/freehold-agent/values.yaml.

resource "kubernetes_namespace_v1" "this" {
  metadata {
    name = var.namespace

    labels = {
      "pod-security.kubernetes.io/enforce" = "restricted"
      "pod-security.kubernetes.io/warn"    = "restricted"
    }
  }

  # Its volumes go with a namespace.
  lifecycle {
    prevent_destroy = true
  }
}

resource "helm_release" "agent" {
  name      = var.name
  namespace = kubernetes_namespace_v1.this.metadata[0].name
  chart     = coalesce(var.chart, "${path.module}/../../helm/freehold-agent")
  version   = var.chart_version
  values    = var.values

  # A sealed agent is not ready until people have initialized it: nothing to wait for.
  wait            = false
  cleanup_on_fail = true
}
